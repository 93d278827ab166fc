//! Two replicas with the lease's real times: one acts, and when it is gone the other goes on where it was.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use crate::{
    gate::Side,
    world::{Controller, World},
};

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
    let world = World::of(vec!["web-01".to_owned()], 1, 600.0).await;
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
    assert!(one.ended(Duration::from_secs(10)), "it ends well");
    world.until_home(WALL).await.unwrap();
    drop(two);
    world.end().await;
}
