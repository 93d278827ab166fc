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
    api::{
        DesiredPhase, FailbackApproval, FailbackPlan, FailbackPlanStatus, ItemPhase, OperationOutcome, OperationRecord,
    },
    core::conditions,
    ports::Leadership,
    rehearsal::Variant,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
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

async fn status_of_plan(stage: &Stage) -> FailbackPlanStatus {
    stage.plans().get("web").await.unwrap().status.unwrap_or_default()
}

/// Approves the reprotect of the plan as it is, under this name.
async fn approve(stage: &Stage, name: &str) {
    stage.approve_as(&stage.plans().get("web").await.unwrap(), "Reprotect", name).await;
}

async fn is_valid(stage: &Stage, name: &str) -> Option<bool> {
    let approvals: Api<FailbackApproval> = Api::default_namespaced(stage.client.clone());
    let status = approvals.get(name).await.unwrap().status?;
    conditions::find(&status.conditions, "Valid").map(|valid| valid.status == "True")
}

/// What the plan, the approval and the last look before the call hold it against is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_labelled_after_an_approval_needs_another_one() {
    let by_label = manifests(|object| {
        if object["kind"] == "FailbackPlan" {
            let selector = json!({ "matchLabels": { "tier": "web" } });
            object["spec"]["waves"] = json!([{ "name": "web", "selector": selector }]);
            object["spec"]["desiredPhase"] = json!(DesiredPhase::Assessed);
            object["spec"]["approvals"] = json!([{ "step": "Reprotect" }]);
        }
    });
    let stage = Stage::playing(SCENARIO, 600.0, by_label).await;
    stage.until(WALL, "the plan is seen", || async { status_of_plan(&stage).await.spec_hash.is_some() }).await;
    approve(&stage, "early").await;
    stage.until(WALL, "it counts", || async { is_valid(&stage, "early").await == Some(true) }).await;

    let label = Patch::Merge(json!({ "metadata": { "labels": { "tier": "web" } } }));
    stage.items().patch("web-01", &PatchParams::default(), &label).await.unwrap();
    stage.raise(DesiredPhase::Reprotected).await;
    stage.until(WALL, "it counts no more", || async { is_valid(&stage, "early").await == Some(false) }).await;
    stage
        .until(WALL, "the plan says so", || async {
            let status = status_of_plan(&stage).await;
            status.summary.total == 1
                && conditions::find(&status.conditions, "Ready").is_some_and(|ready| ready.reason == "ApprovalRequired")
        })
        .await;
    assert!(stage.verbs().is_empty(), "{:?}", stage.verbs());

    approve(&stage, "late").await;
    stage
        .until(WALL, "it is reprotected", || async {
            stage.items().get("web-01").await.unwrap().status.is_some_and(|at| at.phase == ItemPhase::Reprotected)
        })
        .await;
    assert_eq!(stage.verbs(), ["reProtect"]);
    stage.end().await;
}
