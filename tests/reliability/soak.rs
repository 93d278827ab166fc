//! Many machines come home while calls fail at random, the process is killed, the API server restarts, sessions and
//! tokens expire. Every verb takes effect exactly once, and calls are not repeated without end.
//!
//! By default 8 machines and one seed; `FAILBACK_LONG=1`: 100 machines and ten seeds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use sim_apiserver::Match;
use sim_site::{Effect, Fault, Mend};

use crate::world::{CYCLE, World};

const SPEED: f64 = 300.0;
/// One call of ten to Azure and vCenter meets a fault.
const RATE: f64 = 0.1;
/// More than a run can meet.
const FAULTS: usize = 3000;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_all_machines_come_home_and_no_verb_is_repeated() {
    let (machines, seeds) = if crate::long() { (100, 10) } else { (8, 1) };
    println!(
        "{:>5} {:>9} {:>7} {:>6} {:>6} {:>9} {:>8}",
        "seed", "machines", "faults", "kills", "calls", "most/item", "seconds"
    );
    for seed in 1..=seeds {
        run(seed, machines).await;
    }
}

async fn run(seed: u64, count: usize) {
    let mut dice = StdRng::seed_from_u64(seed);
    let machines: Vec<String> = (1..=count).map(|number| format!("web-{number:03}")).collect();
    let world = World::of(machines.clone(), seed, SPEED).await;
    arm(&world, &mut dice);
    let began = Instant::now();
    let mut kills = 0;
    let home = {
        let home = world.until_home(Duration::from_secs(900));
        tokio::pin!(home);
        let mut controller = world.controller();
        loop {
            let until_next = Duration::from_millis(dice.random_range(3000..8000));
            tokio::select! {
                home = &mut home => break home,
                () = tokio::time::sleep(until_next) => {}
            }
            disturb(&world, &mut dice);
            if !controller.runs() || dice.random_bool(0.3) {
                kills += 1;
                drop(controller);
                controller = world.controller();
            }
        }
    };
    let calls = world.gate.verbs();
    let most = per_item(&calls, &machines);
    // What has struck is disarmed.
    let struck = FAULTS - world.rehearsal.site.snapshot()["faults"].as_array().unwrap().len();
    let seconds = began.elapsed().as_secs();
    println!("{seed:>5} {count:>9} {struck:>7} {kills:>6} {:>6} {most:>9} {seconds:>8}", calls.len());
    assert_eq!(home, Ok(()), "seed {seed}");
    assert!(kills > 0 && struck > 0, "seed {seed}: something went wrong on the way");
    assert!(most <= 2 * CYCLE.len(), "seed {seed}: {most} calls for one machine");
    world.end().await;
}

/// Faults for the calls to come, one in ten on average.
fn arm(world: &World, dice: &mut StdRng) {
    let mut skip = 5;
    for _ in 0..FAULTS {
        skip += dice.random_range(1..=(2.0 / RATE) as u32 - 1);
        world.rehearsal.site.try_inject(fault(skip, any_effect(dice))).unwrap();
    }
}

fn fault(skip: u32, effect: Effect) -> Fault {
    Fault { method: None, path: None, soap: None, machine: None, skip, times: 1, effect }
}

fn any_effect(dice: &mut StdRng) -> Effect {
    let status = |status, retry_after: Option<&str>| Effect::Status {
        status,
        code: None,
        message: None,
        retry_after: retry_after.map(str::to_owned),
        body: None,
    };
    match dice.random_range(0..9) {
        0 => status(429, Some("1")),
        1 => status(500, None),
        2 => status(503, Some("1")),
        3 => Effect::Html { status: 502 },
        4 => Effect::CutBody { after_bytes: 20 },
        5 | 6 => Effect::ResetBefore,
        7 => Effect::ResetAfter,
        _ => Effect::Latency { millis: 50 },
    }
}

/// Something that is not tied to one call.
fn disturb(world: &World, dice: &mut StdRng) {
    let mend = |change: Mend| {
        let change = Effect::World { change: Box::new(change) };
        world.rehearsal.site.try_inject(fault(0, change)).unwrap();
    };
    match dice.random_range(0..6) {
        0 => world.rehearsal.api.restart(true),
        1 => mend(Mend { kill_sessions: Some(true), ..Mend::default() }),
        2 => mend(Mend { expire_tokens: Some(true), ..Mend::default() }),
        3 => refuse(world, sim_apiserver::Effect::Refuse(500)),
        4 => refuse(world, sim_apiserver::Effect::LoseAnswer),
        _ => refuse(world, sim_apiserver::Effect::Refuse(409)),
    }
}

/// Some of the controller's next writes are not taken, or their answers get lost.
fn refuse(world: &World, effect: sim_apiserver::Effect) {
    let on = Match { client: Some("controller".to_owned()), verb: Some("patch".to_owned()), ..Match::default() };
    world.rehearsal.api.faults().inject(sim_apiserver::Fault { on, effect, times: Some(4) });
}

/// The most calls that were sent for one machine, those that met a fault included.
fn per_item(calls: &[String], machines: &[String]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls {
        if let Some(machine) = machines.iter().find(|machine| call.contains(machine.as_str())) {
            *counts.entry(machine).or_default() += 1;
        }
    }
    counts.into_values().max().unwrap_or_default()
}
