//! When machines start and end.

use std::collections::BTreeMap;

use failback::core::estimate::schedule::{Call, Never, Schedule, Terms, WaveWork, Work, schedule};
use proptest::prelude::*;

fn work(name: &'static str, verified_after: i64, seconds: i64) -> Work<'static> {
    Work { name, moving: false, verified_after, seconds, calls: Vec::new(), disks: None, committed_after: None }
}

fn wave(name: &'static str, after: &[usize], limit: usize, machines: Vec<Work<'static>>) -> WaveWork<'static> {
    WaveWork { name, after: after.to_vec(), limit, machines }
}

fn told(schedule: &Schedule<'_>) -> Vec<String> {
    schedule.runs.iter().map(|run| format!("{} {}-{}", run.item, run.starts, run.ends)).collect()
}

#[test]
fn places_and_gates() {
    let waves = [
        wave("data", &[], 1, vec![work("a", 10, 30), work("b", 10, 20)]),
        wave("front", &[0], 2, vec![work("c", 5, 5), work("d", 7, 7)]),
    ];
    let schedule = schedule(&waves, &Terms::default());
    assert_eq!(told(&schedule), ["a 0-30", "b 30-50", "c 40-45", "d 40-47"], "a wave waits for verified, not for done");
    assert_eq!(schedule.seconds(), 50);
    let path: Vec<&str> = schedule.critical.iter().map(|run| run.item).collect();
    assert_eq!(path, ["a", "b"]);
}

#[test]
fn the_critical_path_goes_through_gates() {
    let waves = [
        wave("data", &[], 5, vec![work("a", 40, 50), work("b", 10, 10)]),
        wave("other", &[], 5, vec![work("x", 60, 60)]),
        wave("front", &[0], 5, vec![work("c", 30, 30)]),
    ];
    let schedule = schedule(&waves, &Terms::default());
    let path: Vec<(&str, i64)> = schedule.critical.iter().map(|run| (run.item, run.starts)).collect();
    assert_eq!(path, [("a", 0), ("c", 40)]);
}

#[test]
fn machines_on_their_way_keep_their_places_and_empty_waves_hold_nobody() {
    let moving = Work { moving: true, ..work("c", 5, 20) };
    let waves = [
        wave("gone", &[], 1, vec![]),
        wave("data", &[0], 1, vec![work("a", 10, 10)]),
        wave("front", &[1], 1, vec![work("b", 3, 3), moving]),
    ];
    assert_eq!(told(&schedule(&waves, &Terms::default())), ["c 0-20", "a 0-10", "b 20-23"]);
}

/// A window of ten in every hundred; after a thousand it does not open any more.
fn ten_in_a_hundred(at: i64) -> Option<i64> {
    let next = if at % 100 < 10 { at } else { (at / 100 + 1) * 100 };
    (next < 1000).then_some(next)
}

#[test]
fn a_call_waits_for_the_window_and_what_follows_waits_too() {
    let calls = vec![Call { after: 5, verifies: true }, Call { after: 20, verifies: false }];
    let home = |name, start| Work { calls: calls.clone(), ..work(name, start, 30) };
    let waves = [wave("data", &[], 1, vec![home("a", 10)]), wave("front", &[0], 1, vec![home("b", 10)])];
    let terms = Terms { opens: Some(&ten_in_a_hundred), ..Terms::default() };
    // a fails back at once, and commits when the window opens again; b can only then fail back.
    let laid = schedule(&waves, &terms);
    assert_eq!(told(&laid), ["a 0-110", "b 10-210"]);
    assert_eq!(
        laid.runs.iter().map(|run| (run.verified, run.last_call)).collect::<Vec<_>>(),
        [(10, Some(100)), (105, Some(200))]
    );
}

#[test]
fn who_comes_too_late_for_the_last_window_and_all_behind_it_never_end() {
    let late = Work { calls: vec![Call { after: 950, verifies: true }], ..work("late", 960, 970) };
    let waves = [wave("data", &[], 1, vec![late, work("next", 5, 5)]), wave("front", &[0], 1, vec![work("b", 1, 1)])];
    let laid = schedule(&waves, &Terms { opens: Some(&ten_in_a_hundred), ..Terms::default() });
    assert_eq!(told(&laid), Vec::<String>::new());
    assert_eq!(laid.never, [("late", Never::Window), ("next", Never::Behind), ("b", Never::Behind)]);
}

#[test]
fn a_wave_begins_with_all_its_disks_and_gives_them_back_machine_by_machine() {
    let with = |name, disks, verified| Work {
        disks: Some(("mt", disks)),
        committed_after: Some(verified + 2),
        ..work(name, verified, verified + 5)
    };
    let mut waves = [
        wave("one", &[], 9, vec![with("a", 4, 10), with("b", 4, 20)]),
        wave("two", &[], 9, vec![with("c", 6, 10)]),
        wave("three", &[], 9, vec![work("d", 1, 1)]),
    ];
    let laid = |waves: &[WaveWork<'static>], room: u32| {
        let room = BTreeMap::from([("mt", room)]);
        let laid = schedule(waves, &Terms { room: Some(&room), ..Terms::default() });
        (told(&laid), laid.never.clone())
    };
    let of = |room: u32| laid(&waves, room);
    assert_eq!(of(14).0, ["a 0-15", "b 0-25", "c 0-15", "d 0-1"]);
    assert_eq!(of(10).0, ["a 0-15", "b 0-25", "d 0-1", "c 12-27"], "once a is committed six fit beside four");
    assert_eq!(of(5), (vec!["d 0-1".to_owned()], vec![("a", Never::Disks), ("b", Never::Disks), ("c", Never::Disks)]));
    waves[0].machines.iter_mut().for_each(|work| work.committed_after = None);
    assert_eq!(laid(&waves, 10).1, [("c", Never::Disks)], "what is not committed keeps its disks");
}

proptest! {
    #[test]
    fn no_limit_is_exceeded_and_no_wave_starts_early(
        sizes in prop::collection::vec((1_usize..4, prop::collection::vec((0_i64..50, 0_i64..50, any::<bool>()), 0..6)), 1..5),
        limit in prop::option::of(1_usize..5),
    ) {
        let waves: Vec<WaveWork<'_>> = sizes.iter().enumerate().map(|(position, (places, machines))| WaveWork {
            name: "wave",
            after: (0..position).collect(),
            limit: *places,
            machines: machines.iter().map(|(verified, more, _)| work("m", *verified, verified + more)).collect(),
        }).collect();
        let laid = schedule(&waves, &Terms { limit, ..Terms::default() });
        prop_assert_eq!(laid.runs.len(), waves.iter().map(|wave| wave.machines.len()).sum::<usize>(), "each once");
        let busy = |at: i64, runs: &[_]| runs.iter().filter(|run: &&failback::core::estimate::schedule::Run<'_>| run.starts <= at && at < run.ends).count();
        for run in &laid.runs {
            if let Some(limit) = limit {
                prop_assert!(busy(run.starts, &laid.runs) <= limit);
            }
        }
        for pair in laid.critical.windows(2) {
            prop_assert!(pair[1].starts == pair[0].ends || pair[1].starts == pair[0].verified);
        }
        if let Some(first) = laid.critical.first() {
            prop_assert_eq!(first.starts, 0, "it leads back to one that waited for nobody");
        }
    }

    #[test]
    fn a_wave_waits_for_all_before_it(first in prop::collection::vec(1_i64..50, 1..6), places in 1_usize..4, then in 1_i64..50) {
        let waves = [
            wave("data", &[], places, first.iter().map(|seconds| work("a", *seconds, *seconds)).collect()),
            wave("front", &[0], 1, vec![work("b", then, then)]),
        ];
        let laid = schedule(&waves, &Terms::default());
        let verified = laid.runs.iter().filter(|run| run.item == "a").map(|run| run.verified).max().unwrap();
        let next = laid.runs.iter().find(|run| run.item == "b").unwrap();
        prop_assert_eq!(next.starts, verified);
        let work: i64 = first.iter().sum();
        prop_assert!(verified <= work && verified * i64::try_from(places).unwrap() >= work);
    }
}
