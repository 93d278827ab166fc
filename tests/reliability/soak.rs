//! Many machines come home while calls and jobs fail at random, the process is killed, the API server restarts, sessions
//! and tokens expire, agents register late, vCenter is cut off, lists lag behind. Every verb takes effect exactly once,
//! and calls are not repeated without end: at most twice as many for one machine as without faults.
//!
//! By default 8 machines and one seed; `FAILBACK_LONG=1`: 100 machines and ten seeds; `FAILBACK_SOAK=30x2`: 30 machines
//! and two seeds.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    trouble::{Trouble, failed_on_purpose, someone},
    world::{World, short_jobs},
};

/// More machines need more of the processor for each simulated second, so less is simulated: the clock is slower, and jobs
/// are shorter.
pub(crate) const MANY: usize = 20;
fn speed(machines: usize) -> f64 {
    if machines > MANY { 100.0 } else { 200.0 }
}
const WALL: Duration = Duration::from_secs(1200);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_all_machines_come_home_and_no_verb_is_repeated() {
    let (count, seeds) = asked().unwrap_or(if crate::long() { (100, 10) } else { (8, 1) });
    println!(
        "{:>10} {:>9} {:>7} {:>5} {:>6} {:>8} {:>6} {:>10} {:>10} {:>8} {:>8}",
        "seed",
        "machines",
        "faults",
        "jobs",
        "kills",
        "retries",
        "verbs",
        "verbs/item",
        "reads/item",
        "minutes",
        "seconds"
    );
    let undisturbed = run(None, count).await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut disturbed =
        stream::iter(1..=seeds).map(|seed| async move { (seed, run(Some(seed), count).await) }).buffer_unordered(cores);
    while let Some((seed, spent)) = disturbed.next().await {
        assert!(spent.verbs <= 2 * undisturbed.verbs, "seed {seed}: {spent:?}, undisturbed {undisturbed:?}");
        assert!(spent.reads <= 2 * undisturbed.reads, "seed {seed}: {spent:?}, undisturbed {undisturbed:?}");
    }
}

fn asked() -> Option<(usize, u64)> {
    let asked = std::env::var("FAILBACK_SOAK").ok()?;
    let (machines, seeds) = asked.split_once('x').unwrap();
    Some((machines.parse().unwrap(), seeds.parse().unwrap()))
}

/// The most calls for one machine, those that met a fault included. A call whose job was to fail is none of these: it must
/// be made once more.
#[derive(Debug)]
struct Spent {
    verbs: usize,
    reads: usize,
}

/// One run, disturbed by what a seed says.
async fn run(seed: Option<u64>, count: usize) -> Spent {
    let mut dice = StdRng::seed_from_u64(seed.unwrap_or_default());
    let machines: Vec<String> = (1..=count).map(|number| format!("web-{number:03}")).collect();
    let durations = if count > MANY { short_jobs() } else { json!({}) };
    let world = World::with(machines.clone(), seed.unwrap_or_default(), speed(count), durations).await;
    let mut trouble = Trouble::default();
    if seed.is_some() {
        trouble.begin(&world, &machines, &mut dice);
    }
    let (began, begun_at) = (Instant::now(), world.rehearsal.site.now());
    let (mut kills, mut retries, mut looks) = (0, 0, 0);
    let home = {
        let home = world.until_home(WALL);
        tokio::pin!(home);
        let mut controller = world.controller();
        loop {
            let until_next = Duration::from_millis(dice.random_range(3000..8000));
            tokio::select! {
                home = &mut home => break home,
                () = tokio::time::sleep(until_next) => {}
            }
            if seed.is_some() {
                trouble.go_on(&world, &mut dice);
                retries += usize::from(someone::tries_again(&world, retries).await);
            }
            // On a machine that is too busy it may lose its short lease, and end as it should.
            looks += 1;
            let killed = seed.is_some() && (looks == 2 || dice.random_bool(0.3));
            kills += usize::from(killed);
            if killed || !controller.runs() {
                drop(controller);
                controller = world.controller();
            }
        }
    };
    let on_purpose = failed_on_purpose(&world);
    let spent = Spent {
        verbs: most(&world.gate.verbs(), &machines, &on_purpose),
        reads: most(&world.gate.reads(), &machines, &[]),
    };
    let (faults, jobs) = trouble.struck(&world);
    let name = seed.map_or("no faults".to_owned(), |seed| seed.to_string());
    let minutes = world.rehearsal.site.now().duration_since(begun_at).as_mins();
    println!(
        "{name:>10} {count:>9} {faults:>7} {jobs:>5} {kills:>6} {retries:>8} {:>6} {:>10} {:>10} {minutes:>8} {:>8}",
        world.gate.verbs().len(),
        spent.verbs,
        spent.reads,
        began.elapsed().as_secs()
    );
    assert_eq!(home, Ok(()), "seed {name}");
    assert!(seed.is_none() || (kills > 0 && faults > 0 && jobs > 0), "seed {name}: something went wrong on the way");
    world.end().await;
    spent
}

/// The most of these paths that are about one machine, but for one for each time that it is among `less`.
fn most(paths: &[String], machines: &[String], less: &[String]) -> usize {
    let of = |machine: &String| {
        let all = paths.iter().filter(|path| path.contains(machine.as_str())).count();
        all - less.iter().filter(|name| *name == machine).count()
    };
    machines.iter().map(of).max().unwrap_or_default()
}
