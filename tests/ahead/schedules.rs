//! When machines start and end.

use std::collections::BTreeMap;

use failback::core::estimate::schedule::{Leg, Never, Run, Schedule, Terms, WaveWork, Work, schedule};
use proptest::prelude::*;

/// Two legs: until it is verified, and, with no rest between them, the others.
fn work(name: &'static str, verified: i64, more: i64) -> Work<'static> {
    let home = Leg { seconds: verified, verifies: true, ..Leg::default() };
    let rest = Leg { seconds: more, ..Leg::default() };
    let legs = if more > 0 { vec![home, rest] } else { vec![home] };
    Work { name, moving: false, legs, disks: None }
}

fn wave(name: &'static str, after: &[usize], limit: usize, machines: Vec<Work<'static>>) -> WaveWork<'static> {
    WaveWork { name, after: after.to_vec(), limit, machines }
}

fn spans(runs: &[Run<'_>]) -> Vec<String> {
    runs.iter().map(|run| format!("{} {}-{}", run.item, run.starts, run.ends)).collect()
}

fn told(schedule: &Schedule<'_>) -> Vec<String> {
    spans(&schedule.runs)
}

fn path(schedule: &Schedule<'_>) -> Vec<String> {
    spans(&schedule.critical)
}

#[test]
fn places_and_gates() {
    let waves = [
        wave("data", &[], 1, vec![work("a", 10, 20), work("b", 10, 10)]),
        wave("front", &[0], 2, vec![work("c", 5, 0), work("d", 7, 0)]),
    ];
    let laid = schedule(&waves, &Terms::default());
    // At its resting point a goes before b, which asks later; both are home before the second wave starts.
    assert_eq!(told(&laid), ["a 0-30", "b 30-50", "c 40-45", "d 40-47"], "a wave waits for verified, not for done");
    assert_eq!(laid.seconds(), 50);
    assert_eq!(path(&laid), ["a 0-30", "b 30-50"]);
}

#[test]
fn a_machine_at_rest_keeps_nobody_waiting() {
    let soaking = |name| {
        let home = Leg { seconds: 10, verifies: true, ..Leg::default() };
        let commit = Leg { rests: 1000, seconds: 5, ..Leg::default() };
        Work { name, moving: false, legs: vec![home, commit], disks: None }
    };
    let waves = [wave("data", &[], 1, vec![soaking("a"), soaking("b"), soaking("c")])];
    let laid = schedule(&waves, &Terms::default());
    assert_eq!(told(&laid), ["a 0-1015", "b 10-1025", "c 20-1035"]);
    assert_eq!(path(&laid), ["a 0-10", "b 10-20", "c 20-1035"]);
}

#[test]
fn a_wave_is_failed_back_once_all_of_it_replicates() {
    let of = |name, first, second| {
        let replicates = Leg { seconds: first, ..Leg::default() };
        let home = Leg { seconds: second, verifies: true, together: true, ..Leg::default() };
        Work { name, moving: false, legs: vec![replicates, home], disks: None }
    };
    let late =
        Work { legs: vec![Leg { seconds: 3, verifies: true, together: true, ..Leg::default() }], ..work("c", 0, 0) };
    let waves = [wave("data", &[], 9, vec![of("a", 10, 5), of("b", 40, 5), late])];
    let laid = schedule(&waves, &Terms::default());
    assert_eq!(told(&laid), ["a 0-45", "b 0-45", "c 40-43"]);
    assert_eq!(path(&laid), ["b 0-45"]);
}

#[test]
fn the_critical_path_goes_through_gates() {
    let waves = [
        wave("data", &[], 5, vec![work("a", 40, 10), work("b", 10, 0)]),
        wave("other", &[], 5, vec![work("x", 60, 0)]),
        wave("front", &[0], 5, vec![work("c", 30, 0)]),
    ];
    assert_eq!(path(&schedule(&waves, &Terms::default())), ["a 0-40", "c 40-70"]);
}

#[test]
fn machines_on_their_way_keep_their_places_and_empty_waves_hold_nobody() {
    let moving = Work { moving: true, ..work("c", 5, 15) };
    let home = Work { legs: vec![], ..work("d", 0, 0) };
    let waves = [
        wave("gone", &[], 1, vec![]),
        wave("data", &[0], 1, vec![work("a", 10, 0), home]),
        wave("front", &[1], 1, vec![work("b", 3, 0), moving]),
    ];
    assert_eq!(told(&schedule(&waves, &Terms::default())), ["a 0-10", "d 0-0", "c 0-28", "b 10-13"]);
}

/// A window of ten in every hundred; after a thousand it does not open any more.
fn ten_in_a_hundred(at: i64) -> Option<i64> {
    let next = if at % 100 < 10 { at } else { (at / 100 + 1) * 100 };
    (next < 1000).then_some(next)
}

#[test]
fn a_call_waits_for_the_window_and_what_follows_waits_too() {
    let home = |name| {
        let replicates = Leg { seconds: 5, ..Leg::default() };
        let home = Leg { seconds: 5, windowed: true, verifies: true, ..Leg::default() };
        let commit = Leg { rests: 10, seconds: 10, windowed: true, ..Leg::default() };
        Work { name, moving: false, legs: vec![replicates, home, commit], disks: None }
    };
    let waves = [wave("data", &[], 1, vec![home("a")]), wave("front", &[0], 1, vec![home("b")])];
    // a fails back at once, and commits when the window opens again; b can only then fail back.
    let laid = schedule(&waves, &Terms { opens: Some(&ten_in_a_hundred), ..Terms::default() });
    assert_eq!(told(&laid), ["a 0-110", "b 10-210"]);
    assert_eq!(
        laid.runs.iter().map(|run| (run.verified, run.last_call)).collect::<Vec<_>>(),
        [(10, Some(100)), (105, Some(200))]
    );
    assert_eq!(path(&laid), ["a 0-10", "b 10-210"]);
}

#[test]
fn who_comes_too_late_for_the_last_window_and_all_behind_it_never_end() {
    let waits = Leg { seconds: 950, ..Leg::default() };
    let home = Leg { seconds: 10, windowed: true, verifies: true, ..Leg::default() };
    let late = Work { legs: vec![waits, home], ..work("late", 0, 0) };
    let waves = [wave("data", &[], 1, vec![late, work("next", 5, 0)]), wave("front", &[0], 1, vec![work("b", 1, 0)])];
    let laid = schedule(&waves, &Terms { opens: Some(&ten_in_a_hundred), ..Terms::default() });
    assert_eq!(told(&laid), ["next 950-955"], "it waits at rest, and keeps no place");
    assert_eq!(laid.never, [("late", Never::Window), ("b", Never::Behind)]);
}

#[test]
fn a_wave_begins_with_all_its_disks_and_gives_them_back_as_they_are_freed() {
    let with = |name, disks, seconds| {
        let leg = Leg { seconds: seconds + 5, verifies: true, frees_disks: Some(seconds), ..Leg::default() };
        Work { legs: vec![leg], disks: Some(("mt", disks)), ..work(name, 0, 0) }
    };
    let waves = [
        wave("one", &[], 9, vec![with("a", 4, 10), with("b", 4, 20)]),
        wave("two", &[], 9, vec![with("c", 6, 10)]),
        wave("three", &[], 9, vec![work("d", 1, 0)]),
    ];
    let of = |room: u32| {
        let room = BTreeMap::from([("mt", room)]);
        let laid = schedule(&waves, &Terms { room: Some(&room), ..Terms::default() });
        (told(&laid), path(&laid), laid.never.clone())
    };
    assert_eq!(of(14).0, ["a 0-15", "b 0-25", "c 0-15", "d 0-1"]);
    let ten = of(10);
    assert_eq!(ten.0, ["a 0-15", "b 0-25", "d 0-1", "c 10-25"], "once a's are free six fit beside four");
    assert_eq!(ten.1, ["a 0-10", "c 10-25"]);
    assert_eq!(of(5).0, ["d 0-1"]);
    assert_eq!(of(5).2, [("a", Never::Disks), ("b", Never::Disks), ("c", Never::Disks)]);
}

type Sizes = Vec<(usize, Vec<(i64, i64, i64, bool)>)>;

/// Waves in a row, of machines that replicate, fail back together, rest, and are committed.
fn plan(sizes: &Sizes) -> Vec<WaveWork<'static>> {
    let of = |(replicates, back, soak, moving): &(i64, i64, i64, bool)| Work {
        name: "m",
        moving: *moving,
        legs: vec![
            Leg { seconds: *replicates, ..Leg::default() },
            Leg { seconds: *back, together: true, verifies: true, ..Leg::default() },
            Leg { rests: *soak, seconds: 5, ..Leg::default() },
        ],
        disks: None,
    };
    let wave = |(position, (places, machines)): (usize, &(usize, Vec<_>))| WaveWork {
        name: "wave",
        after: (0..position).collect(),
        limit: *places,
        machines: machines.iter().map(of).collect(),
    };
    sizes.iter().enumerate().map(wave).collect()
}

proptest! {
    #[test]
    fn each_machine_ends_once_and_the_path_leads_back_to_the_beginning(
        sizes in prop::collection::vec(
            (1_usize..4, prop::collection::vec((0_i64..50, 0_i64..50, 0_i64..50, any::<bool>()), 0..6)), 1..5),
        limit in prop::option::of(1_usize..5),
    ) {
        let waves = plan(&sizes);
        let laid = schedule(&waves, &Terms { limit, ..Terms::default() });
        let all = waves.iter().flat_map(|wave| &wave.machines);
        prop_assert_eq!(laid.runs.len(), all.clone().count(), "each once");
        // No better than with a place for each, and no worse than one after the other.
        let alone = |work: &Work<'_>| work.legs.iter().map(|leg| leg.rests + leg.seconds).sum::<i64>();
        prop_assert!(laid.seconds() >= all.clone().map(alone).max().unwrap_or_default());
        prop_assert!(laid.seconds() <= all.map(alone).sum());
        for pair in laid.critical.windows(2) {
            prop_assert_eq!(pair[1].starts, pair[0].ends);
        }
        if let Some(first) = laid.critical.first() {
            prop_assert_eq!(first.starts, 0, "it leads back to one that waited for nobody");
        }
    }

    #[test]
    fn a_wave_waits_for_all_before_it(first in prop::collection::vec(1_i64..50, 1..6), places in 1_usize..4, then in 1_i64..50) {
        let waves = [
            wave("data", &[], places, first.iter().map(|seconds| work("a", *seconds, 0)).collect()),
            wave("front", &[0], 1, vec![work("b", then, 0)]),
        ];
        let laid = schedule(&waves, &Terms::default());
        let verified = laid.runs.iter().filter(|run| run.item == "a").map(|run| run.verified).max().unwrap();
        let next = laid.runs.iter().find(|run| run.item == "b").unwrap();
        prop_assert_eq!(next.starts, verified);
        let work: i64 = first.iter().sum();
        prop_assert!(verified <= work && verified * i64::try_from(places).unwrap() >= work);
    }
}
