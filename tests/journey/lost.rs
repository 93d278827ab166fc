//! Disaster on disaster: the cluster's own state is lost, in whole or in part, or an old one comes back. Nothing is
//! repeated, and what cannot be taken back waits for a person's word.

use std::time::Duration;

use failback::{
    api::{DesiredPhase, FailbackPlanStatus, ItemPhase, ReplicatedItemStatus},
    core::conditions,
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use sim_site::{Effect, Fault};

use crate::stage::{SCENARIO, Stage, manifests};

const SPEED: f64 = 600.0;
const WALL: Duration = Duration::from_secs(60);
const WHOLE: [&str; 4] = ["reProtect", "plannedFailover", "failoverCommit", "reProtect"];

/// Waits until the plan needs a person's word, and gives its sentence.
async fn held(stage: &Stage) -> String {
    let ready = stage
        .condition(WALL, "the plan waits for a person's word", || async {
            let status = stage.plans().get("web").await.unwrap().status?;
            let stalled = conditions::is_true(&status.conditions, "Stalled");
            conditions::find(&status.conditions, "Ready").filter(|c| stalled && c.reason == "StatusLost").cloned()
        })
        .await;
    let told = || async { stage.reason("web-01").await };
    stage.wait(WALL, told, |told| told.contains("needs explicit approval")).await.unwrap();
    ready.message
}

async fn phase(stage: &Stage, wanted: ItemPhase) {
    let seen = || async { stage.items().get("web-01").await.unwrap().status.is_some_and(|s| s.phase >= wanted) };
    stage.until(WALL, &format!("{wanted:?}"), seen).await;
}

/// Nothing is left of a machine's status; or an old one comes back.
async fn forget(stage: &Stage, before: Option<ReplicatedItemStatus>) {
    let api = stage.items();
    let replace = async || {
        let mut item = api.get("web-01").await.unwrap();
        item.status = Some(before.clone().unwrap_or_default());
        api.replace_status("web-01", &PostParams::default(), &item).await.is_ok()
    };
    // The controller writes too.
    stage.until(WALL, "the machine's status is replaced", replace).await;
}

async fn forget_plan(stage: &Stage) {
    let api = stage.plans();
    let replace = async || {
        let mut plan = api.get("web").await.unwrap();
        plan.status = Some(FailbackPlanStatus::default());
        api.replace_status("web", &PostParams::default(), &plan).await.is_ok()
    };
    stage.until(WALL, "the plan's status is replaced", replace).await;
}

pub(crate) async fn retry(stage: &Stage, token: &str) {
    let patch = Patch::Merge(json!({ "spec": { "retryToken": token } }));
    stage.plans().patch("web", &PatchParams::default(), &patch).await.unwrap();
}

async fn approve(stage: &Stage, name: &str, uid: &str) {
    let spec_hash = stage.plans().get("web").await.unwrap().status.unwrap().spec_hash.unwrap();
    let approval = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackApproval",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "planRef": { "name": "web" }, "planUid": uid, "specHash": spec_hash, "step": "Commit",
            "approver": "lead@example.com", "expiresAt": "2099-01-01T00:00:00Z", "comment": name
        }
    });
    stage.apply(vec![approval]).await;
}

/// A quarter of a simulated hour.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_applied_again_after_all_was_lost_adopt_what_they_find() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, SPEED).await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), WHOLE[..2]);
    let old_uid = stage.plans().get("web").await.unwrap().uid().unwrap();
    stage.rehearsal.api.restart(false);
    // The definitions and the manifests come back from Git; no status does.
    for crd in failback::api::crds() {
        stage.rehearsal.api.apply(serde_json::to_value(crd).unwrap()).await.unwrap();
    }
    // The plan in Git leads to the end.
    stage.apply(manifests(|_| ())).await;
    let told = held(&stage).await;
    for word in
        ["\"web-01\" was found failed back", "approve web --step Commit", "retry web", "Azure shows a failback of"]
    {
        assert!(told.contains(word), "{word} in: {told}");
    }
    approve(&stage, "for-the-plan-that-was", &old_uid).await;
    a_while().await;
    assert_eq!(stage.verbs(), WHOLE[..2], "an approval of the plan that was lost is none");
    let uid = stage.plans().get("web").await.unwrap().uid().unwrap();
    approve(&stage, "now", &uid).await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), WHOLE);
    assert!(!stage.both_ran());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_is_wiped_in_each_phase() {
    let stage = Stage::up_to(DesiredPhase::Protected, SPEED).await;
    let mut asked = Vec::new();
    for wiped in [
        ItemPhase::FailedOver,
        ItemPhase::Reprotecting,
        ItemPhase::Reprotected,
        ItemPhase::FailingBack,
        ItemPhase::Committing,
        ItemPhase::Protecting,
    ] {
        phase(&stage, wiped).await;
        forget_plan(&stage).await;
        forget(&stage, None).await;
        if wiped == ItemPhase::FailingBack {
            asked.push(held(&stage).await);
            a_while().await;
            assert_eq!(stage.verbs(), WHOLE[..2]);
            retry(&stage, "I looked at both").await;
        }
    }
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), WHOLE, "asked once: {asked:?}");
    assert!(!stage.both_ran());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_status_comes_back_after_the_failback() {
    let stage = Stage::up_to(DesiredPhase::Reprotected, SPEED).await;
    stage.plan_ready(WALL).await;
    let uid = stage.plans().get("web").await.unwrap().uid().unwrap();
    approve(&stage, "before", &uid).await;
    let old = stage.items().get("web-01").await.unwrap().status;
    stage.raise(DesiredPhase::FailedBack).await;
    stage.plan_ready(WALL).await;
    forget(&stage, old).await;
    stage.raise(DesiredPhase::Protected).await;
    held(&stage).await;
    a_while().await;
    assert_eq!(stage.verbs(), WHOLE[..2], "the approval came back with it, and is no word about what was found");
    retry(&stage, "I looked at both").await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), WHOLE);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_object_alone_was_made_anew_is_asked_about() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, SPEED).await;
    stage.plan_ready(WALL).await;
    stage.items().delete("web-01", &Default::default()).await.unwrap();
    stage.until(WALL, "it goes", || async { stage.items().get_opt("web-01").await.unwrap().is_none() }).await;
    stage.apply(manifests(|_| ()).into_iter().filter(|object| object["kind"] == "ReplicatedItem").collect()).await;
    phase(&stage, ItemPhase::FailedBack).await;
    stage.raise(DesiredPhase::Committed).await;
    held(&stage).await;
    a_while().await;
    assert_eq!(stage.verbs(), WHOLE[..2]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_status_alone_was_lost_goes_on() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, SPEED).await;
    stage.plan_ready(WALL).await;
    forget_plan(&stage).await;
    stage.raise(DesiredPhase::Protected).await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), WHOLE, "the machine's journal says who failed it back");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_that_was_undone_is_not_made_again_when_nobody_remembers() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, SPEED).await;
    stage.plan_ready(WALL).await;
    let cancel = |requests| Patch::Merge(json!({ "spec": { "cancel": requests } }));
    let patch = cancel(json!([{ "reason": "the application does not start" }]));
    stage.plans().patch("web", &PatchParams::default(), &patch).await.unwrap();
    let undone = ["reProtect", "plannedFailover", "failoverCancel"];
    stage.until(WALL, "it is undone", || async { stage.verbs() == undone }).await;
    stage
        .until(WALL, "it runs in Azure again", || async {
            stage.items().get("web-01").await.unwrap().status.is_some_and(|s| s.phase == ItemPhase::Reprotected)
        })
        .await;
    // All that kept it there is lost: the request, and both records.
    stage.plans().patch("web", &PatchParams::default(), &cancel(json!([]))).await.unwrap();
    forget_plan(&stage).await;
    forget(&stage, None).await;
    let told = held(&stage).await;
    assert!(told.contains("approve web --step FailBack"), "{told}");
    a_while().await;
    assert_eq!(stage.verbs(), undone);
    retry(&stage, "it starts now").await;
    stage.until(WALL, "it is failed back once more", || async { stage.verbs().len() == 4 }).await;
    assert_eq!(stage.verbs()[3], "plannedFailover");
    stage.end().await;
}

/// A machine that came home with no record, verified, at a speed that leaves a reading fresh for long; its commit waits
/// for a person's word.
pub(crate) async fn before_a_commit() -> Stage {
    let scenario = SCENARIO.replace("state: FailedOverCommitted", "state: FailedBack");
    let committed = manifests(|object| {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!("Committed");
            object["spec"]["commit"] = json!({ "policy": "Manual" });
        }
    });
    let stage = Stage::playing(&scenario, 20.0, committed).await;
    held(&stage).await;
    stage
        .until(WALL, "it is verified, with no lock seen", || async {
            let status = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
            conditions::is_true(&status.conditions, "Verified")
        })
        .await;
    stage
}

/// The inventory reads locks each 45 seconds at best: what came since is seen right before the call.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_comes_between_the_last_look_and_the_commit_stops_it() {
    let stage = before_a_commit().await;
    let change = serde_json::from_value(json!({ "addLock": "keep" })).unwrap();
    let effect = Effect::World { change: Box::new(change) };
    let fault = Fault { method: None, path: None, soap: None, machine: None, skip: 0, times: 1, effect };
    stage.rehearsal.site.try_inject(fault).unwrap();
    retry(&stage, "go on").await;
    stage
        .until(WALL, "the call was not made", || async {
            let operation = stage.items().get("web-01").await.unwrap().status.and_then(|status| status.operation);
            operation.is_some_and(|operation| operation.verb == "Commit" && operation.message.contains("NoDeleteLock"))
        })
        .await;
    assert!(stage.verbs().is_empty(), "{:?}", stage.verbs());
    stage.end().await;
}

/// Applying nothing releases only what nobody else owns.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_a_plan_that_is_gone_is_released_whoever_else_owns_it() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, SPEED).await;
    let claimed =
        || async { stage.items().get("web-01").await.unwrap().status.is_some_and(|status| status.claim.is_some()) };
    stage.until(WALL, "it is claimed", claimed).await;
    let co_own = async || {
        let claim = stage.items().get("web-01").await.unwrap().status.and_then(|status| status.claim);
        let body = json!({
            "apiVersion": "failback.dev/v1alpha1", "kind": "ReplicatedItem", "metadata": { "name": "web-01" },
            "status": { "claim": claim }
        });
        let params = PatchParams::apply("restore").force();
        stage.items().patch_status("web-01", &params, &Patch::Apply(&body)).await.is_ok()
    };
    stage.until(WALL, "another manager owns it too", co_own).await;
    // The plan goes as with `kubectl delete --force` after its finalizer was taken away.
    let gone = async || {
        let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        drop(stage.plans().delete("web", &Default::default()).await);
        drop(stage.plans().patch("web", &PatchParams::default(), &free).await);
        stage.plans().get_opt("web").await.unwrap().is_none()
    };
    stage.until(WALL, "the plan is gone", gone).await;
    stage.until(WALL, "the claim is released", async || !claimed().await).await;
    stage.rehearsal.api.clear_record();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let writes = stage.rehearsal.api.record().into_iter().filter(|request| request.verb == "patch").count();
    assert!(writes < 20, "{writes} writes in two seconds");
    stage.end().await;
}
