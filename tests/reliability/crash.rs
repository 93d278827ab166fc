//! The real binary is killed before and after every single call that changes something, one run per point, and started
//! again. Each time the machine comes home, and every verb took effect exactly once.
//!
//! `FAILBACK_LONG=1` takes every point; by default every mutating call of site recovery is taken on both sides, and of
//! the writes to our own objects every fifth.

use std::time::Duration;

use failback::api::{FailbackPlan, HookOutcome, ItemPhase, ReplicatedItem};
use futures::{StreamExt, stream};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::{
    gate::{Point, Side},
    world::{CYCLE, World},
};

const WALL: Duration = Duration::from_secs(90);
/// Runs side by side: they mostly wait.
const RUNS: usize = 4;

async fn world() -> World {
    World::of(vec!["web-01".to_owned()], 1, 1200.0).await
}

/// The points of an undisturbed run.
async fn points() -> Vec<Point> {
    let world = world().await;
    let controller = world.controller();
    world.until_home(WALL).await.unwrap();
    drop(controller);
    let points = world.gate.points();
    world.end().await;
    points
}

/// One run: killed at the point, started again, and what came of it. `Ok(false)`: the point was not met in this run,
/// since the number of status writes varies.
async fn killed_at(point: &Point, side: Side) -> Result<bool, String> {
    let world = world().await;
    world.gate.arm(point.clone(), side);
    let controller = world.controller();
    let met = tokio::select! {
        () = world.gate.struck() => true,
        home = world.until_home(WALL) => { home?; false }
    };
    drop(controller);
    if met {
        world.free_lease().await;
    }
    let home = world.until_home_again(WALL).await;
    let judged = home.and_then(|()| each_once(&world, &CYCLE, (met && is_verb(point)).then_some(side)));
    world.end().await;
    judged.map(|()| met)
}

fn is_verb((call, _): &Point) -> bool {
    call.starts_with("POST ")
}

/// These verbs and no others took effect, each once and in this order, and none was sent twice; but for one at whose
/// sending the controller was killed before it arrived. Killed elsewhere, it may have had one on its way.
fn each_once(world: &World, wanted: &[&str], killed_at_verb: Option<Side>) -> Result<(), String> {
    let took = world.took_effect("web-01");
    if took != wanted {
        return Err(format!("what took effect was {took:?}"));
    }
    let (once, sent) = (wanted.len(), world.gate.verbs());
    let expected = match killed_at_verb {
        Some(Side::Before) => once + 1..=once + 1,
        Some(Side::After) => once..=once,
        None => once..=once + 1,
    };
    if expected.contains(&sent.len()) { Ok(()) } else { Err(format!("{} verbs were sent: {sent:#?}", sent.len())) }
}

/// Waits until the machine is in this phase.
async fn until(world: &World, phase: ItemPhase) {
    let items: Api<ReplicatedItem> = Api::default_namespaced(world.rehearsal.client().await.unwrap());
    let reached = async {
        while items.get("web-01").await.ok().and_then(|item| item.status).is_none_or(|status| status.phase != phase) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(WALL, reached).await.unwrap_or_else(|_| panic!("not {phase:?} within {WALL:?}"));
}

/// A failback is undone on request: the one verb that the cycle lacks.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_failback_is_undone_it_undoes_it_once() {
    for side in [Side::Before, Side::After] {
        let world = world().await;
        world.patch::<FailbackPlan>("web", json!({ "spec": { "desiredPhase": "FailedBack" } })).await;
        world.gate.arm(("POST failoverCancel".to_owned(), 0), side);
        let undoing = async {
            until(&world, ItemPhase::FailedBack).await;
            world
                .patch::<FailbackPlan>(
                    "web",
                    json!({ "spec": { "cancel": [{ "reason": "the application does not start" }] } }),
                )
                .await;
            tokio::time::timeout(WALL, world.gate.struck()).await.unwrap();
        };
        // Its end drops the controller, and so kills it.
        world.again(undoing).await;
        let undone = async {
            until(&world, ItemPhase::Reprotected).await;
            // Some ten minutes in which nothing is repeated.
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        world.again(undone).await;
        assert_eq!(
            each_once(&world, &["reProtect", "plannedFailover", "failoverCancel"], Some(side)),
            Ok(()),
            "{side:?}"
        );
        world.end().await;
    }
}

/// A Job of the user's may do anything: it is made once, whether or not the controller heard that it was.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_hook_is_made_it_runs_once() {
    for side in [Side::Before, Side::After] {
        let world = world().await;
        let container = json!({ "name": "main", "image": "busybox:1", "command": ["sh", "-c", "echo once"] });
        let hook = json!({
            "name": "note", "when": "Before", "step": "FailBack", "scope": "Plan",
            "jobTemplate": { "spec": { "template": { "spec": { "containers": [container] } } } },
        });
        world.patch::<FailbackPlan>("web", json!({ "spec": { "hooks": [hook] } })).await;
        world.gate.arm(("POST jobs".to_owned(), 0), side);
        world.again(async { tokio::time::timeout(WALL, world.gate.struck()).await.unwrap() }).await;
        world.until_home_again(WALL).await.unwrap();
        assert_eq!(each_once(&world, &CYCLE, None), Ok(()), "{side:?}");
        let client = world.rehearsal.client().await.unwrap();
        let jobs = Api::<Job>::default_namespaced(client.clone()).list(&ListParams::default()).await.unwrap();
        let pods = Api::<Pod>::default_namespaced(client.clone()).list(&ListParams::default()).await.unwrap();
        let made = world.gate.points().iter().filter(|(call, _)| call == "POST jobs").count();
        assert_eq!((jobs.items.len(), pods.items.len()), (1, 1), "{side:?}: one Job, one run, asked for {made} times");
        let plan = Api::<FailbackPlan>::default_namespaced(client).get("web").await.unwrap();
        let ended: Vec<_> = plan.status.unwrap_or_default().hooks.iter().map(|run| run.outcome).collect();
        assert_eq!(ended, [HookOutcome::Succeeded], "{side:?}");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_call_it_goes_on_and_repeats_nothing() {
    let all = points().await;
    assert_eq!(all.iter().filter(|point| is_verb(point)).count(), CYCLE.len(), "{all:?}");
    let taken: Vec<Point> = all
        .iter()
        .enumerate()
        .filter(|(at, point)| crate::long() || is_verb(point) || at % 5 == 0)
        .map(|(_, point)| point.clone())
        .collect();
    let runs = taken.iter().flat_map(|point| [(point, Side::Before), (point, Side::After)]);
    let results: Vec<(String, Result<bool, String>)> = stream::iter(runs)
        .map(|(point, side)| async move {
            let name = format!("{side:?} {} #{}", point.0, point.1 + 1);
            let result = match killed_at(point, side).await {
                Ok(false) if is_verb(point) => Err("a verb was not met again".to_owned()),
                result => result,
            };
            (name, result)
        })
        .buffered(RUNS)
        .collect()
        .await;
    println!("calls that change something in an undisturbed run: {}; taken: {}", all.len(), taken.len());
    let mut met = 0;
    let mut wrong: Vec<Value> = Vec::new();
    for (name, result) in &results {
        let told = match result {
            Ok(true) => {
                met += 1;
                "home, each verb once".to_owned()
            }
            Ok(false) => "not met in this run; home, each verb once".to_owned(),
            Err(why) => {
                wrong.push(json!({ "point": name, "why": why }));
                format!("WRONG: {why}")
            }
        };
        println!("{name:70} {told}");
    }
    println!("{} runs, {met} killed, {} wrong", results.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Of the writes, whose number varies. Each verb is met, or wrong.
    assert!(met * 10 >= results.len() * 8, "eight of ten points are met again: {met} of {}", results.len());
}
