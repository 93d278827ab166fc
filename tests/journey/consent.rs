//! What lets a call be made is asked as late as possible: what changes between the intent and the call is heard, and a
//! process without the lease hands nothing out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use failback::{
    api::{DesiredPhase, FailbackPlan, ItemPhase, OperationOutcome, OperationRecord},
    ports::Leadership,
    rehearsal::Variant,
};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use sim_site::{Effect, Fault};

use crate::{
    lost::{before_a_commit, retry},
    stage::{SCENARIO, Stage, manifests},
};

/// Slow: what is read for some seconds on the wall is still fresh on the site's clock.
const SPEED: f64 = 20.0;
const WALL: Duration = Duration::from_secs(60);

/// Every reading of an item takes this long, the one between intent and call too.
const SLOW: Duration = Duration::from_millis(2500);

fn on_reads(path: &str, effect: Effect) -> Fault {
    let (method, path) = (Some("GET".to_owned()), Some(path.to_owned()));
    Fault { method, path, soap: None, machine: None, skip: 0, times: 0, effect }
}

/// The manifests with a plan that wants no more than this.
fn wanting(phase: DesiredPhase) -> Vec<serde_json::Value> {
    manifests(|object| {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!(phase);
        }
    })
}

async fn operation(stage: &Stage) -> Option<OperationRecord> {
    stage.items().get("web-01").await.unwrap().status.and_then(|status| status.operation)
}

async fn is(stage: &Stage, outcome: OperationOutcome) -> bool {
    operation(stage).await.is_some_and(|operation| operation.outcome == outcome)
}

/// Lets the plan go on, while items are read slowly, until the intent of its step is on record.
async fn intends(stage: &Stage, go_on: impl Future<Output = ()>) {
    let millis = u64::try_from(SLOW.as_millis()).unwrap();
    let slow = on_reads("*/replicationProtectedItems/*", Effect::Latency { millis });
    stage.rehearsal.site.try_inject(slow).unwrap();
    go_on.await;
    stage.until(WALL, "an intent", || is(stage, OperationOutcome::Intended)).await;
}

async fn suspend(stage: &Stage) {
    let patch = Patch::Merge(json!({ "spec": { "suspend": true } }));
    let _plan: FailbackPlan = stage.plans().patch("web", &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_suspended_between_intent_and_call_is_heard() {
    let stage = Stage::playing(SCENARIO, SPEED, wanting(DesiredPhase::Assessed)).await;
    stage.plan_ready(WALL).await;
    intends(&stage, stage.raise(DesiredPhase::Reprotected)).await;
    suspend(&stage).await;
    stage.until(WALL, "the call was not made", || is(&stage, OperationOutcome::NotMade)).await;
    assert!(stage.verbs().is_empty(), "{:?}", stage.verbs());
    stage.end().await;
}

/// A job that cannot be read may be one that forbids the commit.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_cannot_be_read_between_intent_and_commit_stop_it() {
    let stage = before_a_commit().await;
    intends(&stage, retry(&stage, "go on")).await;
    let body = Some(json!({ "value": [{ "id": "odd" }] }).to_string());
    let odd = Effect::Status { status: 200, code: None, message: None, retry_after: None, body };
    stage.rehearsal.site.try_inject(on_reads("*/replicationJobs", odd)).unwrap();
    stage.until(WALL, "the call was not made", || is(&stage, OperationOutcome::NotMade)).await;
    let told = operation(&stage).await.unwrap().message;
    assert!(told.contains("Jobs of the vault"), "{told}");
    assert!(stage.verbs().is_empty(), "{:?}", stage.verbs());
    stage.end().await;
}

/// A lease that comes late.
#[derive(Default)]
struct Lease(AtomicBool);

impl Leadership for Lease {
    fn is_valid_now(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_the_lease_hands_out_no_claim() {
    let stage = Stage::without(SCENARIO, SPEED, wanting(DesiredPhase::Reprotected)).await;
    let lease = Arc::new(Lease::default());
    let stage = stage.begin(Variant { leadership: Arc::clone(&lease) as Arc<dyn Leadership>, ..Variant::default() });
    let claimed = || async { stage.items().get("web-01").await.unwrap().status.is_some_and(|s| s.claim.is_some()) };
    stage
        .until(WALL, "the machine is seen, and its plan has started", || async {
            let item = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
            let plan = stage.plans().get("web").await.unwrap().status.unwrap_or_default();
            item.phase > ItemPhase::Unknown && plan.started_at.is_some()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!claimed().await);
    lease.0.store(true, Ordering::SeqCst);
    stage.until(WALL, "a claim", claimed).await;
    stage.end().await;
}
