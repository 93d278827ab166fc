//! Two replicas with the lease's real times: one acts, and when it is gone the other goes on where it was. One that may
//! have lost its lease makes no call, one that is told to stop keeps it until nothing is in flight.

use std::time::{Duration, Instant};

use failback::api::{OperationOutcome, OperationRecord, ReplicatedItem};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use sim_apiserver::{Effect, Fault, Match};

use crate::{gate::Side, process::Controller, world::World};

/// What is promised when a leader dies.
const TAKE_OVER: Duration = Duration::from_secs(20);
/// What is promised when it is told to stop: as soon as the other looks.
const HAND_OVER: Duration = Duration::from_secs(5);
const WALL: Duration = Duration::from_secs(90);
/// The lease that the chart sets.
const LEASE_SECONDS: u16 = 15;

/// Who holds the lease.
async fn holder(world: &World) -> String {
    let leases: Api<Lease> = Api::default_namespaced(world.rehearsal.client().await.unwrap());
    let lease = leases.get_opt("failback-controller").await.unwrap();
    let identity = lease.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity).unwrap_or_default();
    identity.split('_').next().unwrap_or_default().to_owned()
}

/// A lease that is over soon, and not by itself on a busy machine.
const SHORT: u16 = 6;
/// How long a process may take to end after its lease was lost or it was told to stop: its grace, and some more.
const END: Duration = Duration::from_secs(30);

async fn one_machine() -> World {
    World::of(vec!["web-01".to_owned()], 1, 600.0).await
}

/// The machine's operation as it is on record.
async fn operation(world: &World) -> Option<OperationRecord> {
    let items: Api<ReplicatedItem> = Api::default_namespaced(world.rehearsal.client().await.unwrap());
    items.get("web-01").await.unwrap().status.and_then(|status| status.operation)
}

/// Waits until an intent is on record.
async fn until_intended(world: &World) {
    let began = Instant::now();
    while operation(world).await.is_none_or(|operation| operation.outcome != OperationOutcome::Intended) {
        assert!(began.elapsed() < WALL, "nothing is intended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the API server does to the controllers' requests of one kind from now on.
fn disturb(world: &World, verb: Option<&str>, resource: &str, effect: Effect) {
    let (client, verb) = (Some("controller".to_owned()), verb.map(str::to_owned));
    let on = Match { client, verb, resource: Some(resource.to_owned()), ..Match::default() };
    world.rehearsal.api.faults().inject(Fault { on, effect, times: None });
}

/// Those of the site that follow take so long to answer.
fn delay(world: &World, method: &str, path: &str, millis: u64, times: u32) {
    let (method, path) = (Some(method.to_owned()), Some(path.to_owned()));
    let effect = sim_site::Effect::Latency { millis };
    let fault = sim_site::Fault { method, path, soap: None, machine: None, skip: 0, times, effect };
    world.rehearsal.site.try_inject(fault).unwrap();
}

/// Another process goes on, to the end; in all, each verb was sent once.
async fn is_followed(world: World) {
    world.until_home_again(WALL).await.unwrap();
    assert_eq!(world.gate.verbs().len(), 4, "{:?}", world.gate.verbs());
    world.end().await;
}

/// Waits until this replica holds the lease, and says how long that took.
async fn until_led_by(world: &World, who: &str, wall: Duration) -> Duration {
    let began = Instant::now();
    while holder(world).await != who {
        assert!(began.elapsed() < wall, "{who} does not lead after {wall:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// A world with two replicas, of which `one` leads.
async fn world() -> (World, Controller, Controller) {
    let world = one_machine().await;
    let one = world.replica("one", LEASE_SECONDS);
    until_led_by(&world, "one", WALL).await;
    let two = world.replica("two", LEASE_SECONDS);
    (world, one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_in_the_midst_of_a_step_is_followed_within_20_seconds() {
    for side in [Side::Before, Side::After] {
        let (world, one, two) = world().await;
        world.gate.arm(("POST plannedFailover".to_owned(), 0), side);
        world.gate.struck().await;
        // The intent is written, the call is on its way, and nobody hears its answer.
        drop(one);
        let took = until_led_by(&world, "two", TAKE_OVER).await;
        println!("killed {side:?} the call: the other leads after {:.1} s", took.as_secs_f64());
        world.until_home(WALL).await.unwrap();
        drop(two);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_hands_over_at_once() {
    let (world, mut one, two) = world().await;
    world.until_called("reProtect", WALL).await;
    one.terminate();
    let took = until_led_by(&world, "two", HAND_OVER).await;
    println!("told to stop: the other leads after {:.1} s", took.as_secs_f64());
    assert_eq!(one.code(Duration::from_secs(10)).await, Some(0));
    world.until_home(WALL).await.unwrap();
    drop(two);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_between_intent_and_call_stops_the_call() {
    let world = one_machine().await;
    // The plan is asked right before the call: longer than the lease lasts.
    disturb(&world, Some("get"), "failbackplans", Effect::Latency(Duration::from_secs(10)));
    let mut one = world.replica("one", SHORT);
    until_intended(&world).await;
    disturb(&world, None, "leases", Effect::Refuse(503));
    assert_eq!(one.code(END).await, Some(1));
    let record = operation(&world).await.unwrap();
    assert_eq!(record.outcome, OperationOutcome::NotMade, "{record:?}");
    assert!(record.message.contains("no longer holds the lease"), "{record:?}");
    assert!(world.gate.verbs().is_empty(), "{:?}", world.gate.verbs());
    world.rehearsal.api.faults().clear();
    is_followed(world).await;
}

/// A world with one replica that has made its first call.
async fn begun() -> (World, Controller) {
    let world = one_machine().await;
    let one = world.replica("one", SHORT);
    world.until_called("reProtect", WALL).await;
    (world, one)
}

async fn ends_and_is_followed(world: World, mut one: Controller) {
    assert_eq!(one.code(END).await, Some(1));
    world.rehearsal.api.faults().clear();
    is_followed(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_lease_ends_and_is_followed() {
    let refused = async {
        let (world, one) = begun().await;
        disturb(&world, None, "leases", Effect::Refuse(503));
        ends_and_is_followed(world, one).await;
    };
    let taken = async {
        let (world, one) = begun().await;
        world.patch::<Lease>("failback-controller", json!({ "spec": { "holderIdentity": "somebody" } })).await;
        ends_and_is_followed(world, one).await;
    };
    tokio::join!(refused, taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_in_time_is_recorded_before_a_stopped_process_ends() {
    let world = one_machine().await;
    delay(&world, "POST", "*/reProtect", 3000, 1);
    let mut one = world.replica("one", LEASE_SECONDS);
    while world.gate.verbs().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    one.terminate();
    assert_eq!(one.code(END).await, Some(0));
    let record = operation(&world).await.unwrap();
    assert_eq!(record.outcome, OperationOutcome::Submitted, "{record:?}");
    assert!(record.job_id.is_some() && !record.adopted, "{record:?}");
    assert_eq!(holder(&world).await, "", "the lease is given up");
    is_followed(world).await;
}

/// The other replica must not lead while the call may still be on its way, and leads at once afterwards.
async fn stopped_without_an_answer(side: Side) {
    let (world, mut one, two) = world().await;
    world.gate.arm(("POST reProtect".to_owned(), 0), side);
    world.gate.struck().await;
    one.terminate();
    let (began, mut record) = (Instant::now(), None);
    while one.runs() {
        // It gives the lease up as its last act.
        let who = holder(&world).await;
        assert!(who == "one" || began.elapsed() > Duration::from_secs(19), "{who:?} leads while a call is open");
        assert!(began.elapsed() < END, "it does not end");
        record = operation(&world).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(18), "longer than a lease lasts: {took:?}");
    assert_eq!(one.code(WALL).await, Some(0));
    assert!(record.is_some_and(|record| record.outcome == OperationOutcome::Intended && record.job_id.is_none()));
    until_led_by(&world, "two", HAND_OVER).await;
    world.until_home(WALL).await.unwrap();
    drop(two);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_keeps_the_lease_while_a_call_is_open() {
    tokio::join!(stopped_without_an_answer(Side::Before), stopped_without_an_answer(Side::After));
}
