//! 200 machines in six waves end no later than a list schedule under the same limits.

use std::collections::BTreeMap;

use failback::core::schedule::load::Limits;
use serde_json::json;

use crate::{
    list_schedule::{self, Leg, Way, makespan},
    support::{at, plans::plan_spec},
    world::{Thing, World},
};

const WAVES: [(&str, usize, &[usize]); 6] =
    [("a", 10, &[]), ("b", 40, &[0]), ("c", 50, &[0]), ("d", 30, &[1]), ("e", 40, &[1, 2]), ("f", 30, &[3, 4])];
const PER_WAVE: usize = 12;
const PER_PLAN: usize = 18;

fn limits() -> Limits {
    Limits { calls_per_vault: 15, starts_per_host: 3, disks_per_target: 60, ..Limits::default() }
}

/// Durations that differ, always the same ones.
fn machine(wave: usize, number: usize) -> Thing {
    let some = |salt: usize, most: usize| 1 + ((wave * 31 + number * 17 + salt * 7) % most) as i64;
    Thing {
        target: format!("mt-{wave}"),
        host: format!("esx-{}", number % 4),
        ..Thing::new(0, WAVES[wave].0, [some(1, 5), some(2, 20), some(3, 6), some(4, 4)], 20 + some(5, 60))
    }
}

fn all() -> Vec<(usize, Thing)> {
    (0..WAVES.len()).flat_map(|wave| (0..WAVES[wave].1).map(move |number| (wave, machine(wave, number)))).collect()
}

/// Minutes that a list schedule takes.
fn list_schedule() -> i64 {
    let Limits { calls_per_vault, starts_per_host, disks_per_target, .. } = limits();
    let bounds = list_schedule::Limits {
        waves: WAVES.iter().map(|(_, _, after)| (after.to_vec(), PER_WAVE)).collect(),
        plan: PER_PLAN,
        calls: calls_per_vault as usize,
        starts: starts_per_host as usize,
        disks: disks_per_target as usize,
        opens: [0; 3],
    };
    let ways: Vec<Way> = all()
        .into_iter()
        .map(|(wave, thing)| Way {
            wave,
            target: thing.target,
            disks: thing.disks as usize,
            host: thing.host,
            vault: "vault".to_owned(),
            commit: thing.job[2],
            legs: vec![
                Leg { call: thing.job[0], rest: thing.sync, settles: 0 },
                Leg { call: thing.job[1], ..Leg::default() },
                Leg { call: thing.job[2] + thing.job[3], ..Leg::default() },
            ],
            fails: false,
        })
        .collect();
    makespan(&bounds, &ways)
}

#[test]
fn two_hundred_machines_wait_for_nothing_but_their_limits() {
    let named = |wave: usize| (0..WAVES[wave].1).map(move |number| format!("{wave}-{number:02}"));
    let waves: Vec<_> = (0..WAVES.len())
        .map(|wave| {
            let before: Vec<_> = WAVES[wave].2.iter().map(|before| WAVES[*before].0).collect();
            json!({
                "name": WAVES[wave].0, "items": named(wave).collect::<Vec<_>>(), "maxConcurrent": PER_WAVE,
                "dependsOn": before,
            })
        })
        .collect();
    let spec = plan_spec(json!({
        "desiredPhase": "Protected", "waves": waves, "maxConcurrent": PER_PLAN, "commit": { "policy": "Manual" },
    }));
    let names = (0..WAVES.len()).flat_map(named);
    let things: BTreeMap<_, _> = names.zip(all().into_iter().map(|(_, thing)| thing)).collect();
    assert_eq!(things.len(), 200);
    let mut world = World::new(limits(), vec![spec], things);
    loop {
        world.settle();
        world.begin();
        if !world.pass_time() {
            break;
        }
    }
    assert!(world.plans[0].1.completed_at.is_some(), "{:?}", world.plans[0].1.conditions);
    let took = at(0).duration_until(world.now).as_mins();
    let least = list_schedule();
    assert!(took * 100 <= least * 103, "{took} minutes; a list schedule takes {least}");
}
