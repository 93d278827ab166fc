//! Leader election against the embedded API server: of several processes at most one may act, at any moment.

#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected shall fail")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use failback::{
    kube_io::lease::{Elector, Timing},
    ports::{Clock, Leadership as _},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, ResourceExt as _};
use sim_apiserver::{ApiServer, Effect, Fault, Match, Options};
use tokio::time::{sleep, timeout};

const NAME: &str = "failback-controller";
const TIMING: Timing = Timing {
    duration: Duration::from_secs(3),
    retry: Duration::from_millis(200),
    call: Duration::from_millis(600),
    margin: Duration::from_secs(1),
};

/// A wall clock that can be set.
#[derive(Default)]
struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self, span: Duration) -> Duration {
        span
    }
}

fn server() -> ApiServer {
    ApiServer::new(Options::default()).unwrap()
}

/// A contender; `who` is the name of its client for faults.
fn contender(server: &ApiServer, who: &str) -> (Arc<Elector>, Arc<Wall>) {
    let wall = Arc::new(Wall::default());
    let clock: Arc<dyn Clock> = Arc::<Wall>::clone(&wall);
    let client = Client::new(server.service(who), "default");
    // All under one name: identities must not depend on it.
    (Elector::new(client, "default", NAME, "replica", clock, TIMING), wall)
}

async fn lease(server: &ApiServer) -> Lease {
    Api::namespaced(Client::new(server.service("test"), "default"), "default").get(NAME).await.unwrap()
}

fn cut_off(server: &ApiServer, who: &str) {
    let on = Match { client: Some(who.into()), ..Match::default() };
    server.faults().inject(Fault { on, effect: Effect::Disconnect, times: None });
}

#[tokio::test]
async fn of_two_contenders_one_leads() {
    let server = server();
    let ((a, _), (b, _)) = (contender(&server, "a"), contender(&server, "b"));
    assert!(!a.is_valid_now() && !b.is_valid_now());
    tokio::select! { () = a.acquire() => {}, () = b.acquire() => {} }
    assert_ne!(a.is_valid_now(), b.is_valid_now(), "exactly one");
    let (leader, other) = if a.is_valid_now() { (a, b) } else { (b, a) };
    // For longer than the lease lasts without a renewal.
    let watched = async {
        for _ in 0..50 {
            assert!(leader.is_valid_now() && !other.is_valid_now());
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = watched => {}
        () = leader.hold() => unreachable!("nobody takes it"),
        () = other.acquire() => unreachable!("the lease is held"),
    }
    let spec = lease(&server).await.spec.unwrap();
    assert!(spec.holder_identity.unwrap().starts_with("replica_"));
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(3), Some(1)));
}

#[tokio::test]
async fn another_takes_over_after_the_leader_was_killed() {
    let server = server();
    let ((a, _), (b, _)) = (contender(&server, "a"), contender(&server, "b"));
    a.acquire().await;
    let killed = Instant::now();
    timeout(Duration::from_secs(10), b.acquire()).await.unwrap();
    assert!(killed.elapsed() >= TIMING.duration, "not before the lease was over: {:?}", killed.elapsed());
    assert!(b.is_valid_now() && !a.is_valid_now());
    assert_eq!(lease(&server).await.spec.unwrap().lease_transitions, Some(2));
}

#[tokio::test]
async fn a_leader_that_was_paused_may_not_act_and_finds_out() {
    let server = server();
    let ((a, _), (b, _)) = (contender(&server, "a"), contender(&server, "b"));
    a.acquire().await;
    // Its renewals do not run. Its validity ends before anybody else's begins.
    let overlap = async {
        loop {
            assert!(!(a.is_valid_now() && b.is_valid_now()), "two may act");
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! { () = b.acquire() => {}, () = overlap => {} }
    assert!(!a.is_valid_now());
    timeout(Duration::from_secs(2), a.hold()).await.unwrap();
    assert!(!a.is_valid_now() && b.is_valid_now());
}

#[tokio::test]
async fn a_leader_that_is_cut_off_stops_in_time() {
    let server = server();
    let ((a, _), (b, _)) = (contender(&server, "a"), contender(&server, "b"));
    a.acquire().await;
    cut_off(&server, "a");
    let begun = Instant::now();
    let other = {
        let b = Arc::clone(&b);
        tokio::spawn(async move { b.acquire().await })
    };
    timeout(Duration::from_secs(10), a.hold()).await.unwrap();
    assert!(!a.is_valid_now());
    assert!(begun.elapsed() <= TIMING.duration, "the loss is told before the lease ends: {:?}", begun.elapsed());
    timeout(Duration::from_secs(10), other).await.unwrap().unwrap();
    assert!(b.is_valid_now());
}

#[tokio::test]
async fn a_short_failure_is_survived() {
    let server = server();
    let (a, _) = contender(&server, "a");
    a.acquire().await;
    for effect in [Effect::Refuse(500), Effect::LoseAnswer, Effect::Disconnect, Effect::Latency(Duration::from_secs(2))]
    {
        let on = Match { client: Some("a".into()), ..Match::default() };
        server.faults().inject(Fault { on, effect, times: Some(1) });
        tokio::select! {
            () = a.hold() => unreachable!("one failure is no loss"),
            () = sleep(Duration::from_millis(1500)) => {}
        }
        assert!(a.is_valid_now());
    }
}

#[tokio::test]
async fn a_lease_that_is_released_is_free_at_once() {
    let server = server();
    let ((a, _), (b, _)) = (contender(&server, "a"), contender(&server, "b"));
    a.acquire().await;
    // The other looks in the meantime and has to wait.
    assert!(timeout(Duration::from_millis(500), b.acquire()).await.is_err());
    a.release().await;
    assert!(!a.is_valid_now());
    let begun = Instant::now();
    b.acquire().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    // Who has lost it gives nothing back.
    let before = lease(&server).await.resource_version();
    a.release().await;
    assert_eq!(lease(&server).await.resource_version(), before);
}

#[tokio::test]
async fn a_machine_that_was_suspended_may_not_act() {
    let server = server();
    let (a, wall) = contender(&server, "a");
    a.acquire().await;
    // The monotonic clock stood still; the wall's was set right.
    wall.0.store(60, Ordering::SeqCst);
    assert!(!a.is_valid_now());
    // Nobody took it meanwhile: the next renewal makes it valid again.
    tokio::select! { () = a.hold() => unreachable!("it is still ours"), () = sleep(Duration::from_millis(500)) => {} }
    assert!(a.is_valid_now());
    // A wall clock that is set back prolongs nothing.
    wall.0.store(-3600, Ordering::SeqCst);
    sleep(TIMING.duration).await;
    assert!(!a.is_valid_now());
}

#[tokio::test]
async fn clocks_that_disagree_do_not_matter() {
    let server = server();
    let ((a, _), (b, wall)) = (contender(&server, "a"), contender(&server, "b"));
    wall.0.store(86_400, Ordering::SeqCst);
    a.acquire().await;
    tokio::select! {
        () = a.hold() => unreachable!("nobody takes it"),
        () = b.acquire() => unreachable!("a day ahead, but the lease is renewed"),
        () = sleep(Duration::from_secs(4)) => {}
    }
    assert!(a.is_valid_now() && !b.is_valid_now());
}
