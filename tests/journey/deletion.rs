//! Deleting objects half-way: nothing changes in Azure or vCenter, and what must not be forgotten stays.

use std::time::Duration;

use failback::{
    api::{DesiredPhase, FailbackPlan, ItemPhase},
    core::conditions,
};
use kube::{ResourceExt, api::Patch};
use serde_json::json;

use crate::stage::{Stage, manifests};

const WALL: Duration = Duration::from_secs(60);

async fn phase(stage: &Stage, wanted: ItemPhase) {
    stage
        .until(WALL, &format!("{wanted:?}"), || async {
            stage.items().get("web-01").await.unwrap().status.is_some_and(|status| status.phase >= wanted)
        })
        .await;
}

async fn deletion_blocked(stage: &Stage) -> FailbackPlan {
    stage
        .until(WALL, "the plan says why it stays", || async {
            let plan = stage.plans().get("web").await.unwrap();
            let ready = plan.status.and_then(|status| conditions::find(&status.conditions, "Ready").cloned());
            plan.metadata.deletion_timestamp.is_some() && ready.is_some_and(|ready| ready.reason == "DeletionBlocked")
        })
        .await;
    stage.plans().get("web").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_deleted_after_the_failback_stays_until_it_is_abandoned() {
    let mut stage = Stage::up_to(DesiredPhase::FailedBack, 600.0).await;
    // Until the call is made, deleting the plan would keep it from being made.
    stage.until(WALL, "the failback is called", || async { stage.verbs().len() == 2 }).await;
    stage.plans().delete("web", &Default::default()).await.unwrap();
    phase(&stage, ItemPhase::FailedBack).await;
    let plan = deletion_blocked(&stage).await;
    assert!(conditions::is_true(&plan.status.clone().unwrap().conditions, "Stalled"));

    // A controller that starts anew, and reads plans and machines in any order, holds it just the same.
    stage.restart_controller().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let plan = deletion_blocked(&stage).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover"]);

    let abandon = json!({ "metadata": { "annotations": { "failback.dev/abandon": plan.uid().unwrap() } } });
    stage.plans().patch("web", &Default::default(), &Patch::Merge(abandon)).await.unwrap();
    stage
        .until(WALL, "the plan is gone, and so is its claim", || async {
            let claim = stage.items().get("web-01").await.unwrap().status.and_then(|status| status.claim);
            stage.plans().get_opt("web").await.unwrap().is_none() && claim.is_none()
        })
        .await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover"], "deleting changed nothing in Azure");
    assert!(!stage.both_ran());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_plan_commits_with_an_approval_and_goes() {
    let stage = Stage::with(600.0, |object| {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!("Committed");
            object["spec"]["approvals"] = json!([{ "step": "Commit" }]);
        }
    })
    .await;
    phase(&stage, ItemPhase::FailedBack).await;
    stage.plans().delete("web", &Default::default()).await.unwrap();
    let plan = deletion_blocked(&stage).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover"]);
    let approval = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackApproval",
        "metadata": { "name": "yes", "namespace": "default" },
        "spec": {
            "planRef": { "name": "web" }, "planUid": plan.uid().unwrap(),
            "specHash": plan.status.unwrap().spec_hash.unwrap(), "step": "Commit",
            "approver": "lead@example.com", "expiresAt": "2099-01-01T00:00:00Z"
        }
    });
    stage.apply(vec![approval]).await;
    stage.until(WALL, "the plan is gone", || async { stage.plans().get_opt("web").await.unwrap().is_none() }).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCommit"]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_machine_is_kept_while_its_call_is_open_and_comes_back_as_it_was() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, 600.0).await;
    phase(&stage, ItemPhase::FailingBack).await;
    stage
        .until(WALL, "the job is on record", || async {
            let operation = stage.items().get("web-01").await.unwrap().status.and_then(|status| status.operation);
            operation.is_some_and(|operation| operation.verb == "FailBack" && operation.job_id.is_some())
        })
        .await;
    stage.items().delete("web-01", &Default::default()).await.unwrap();
    let held = stage.items().get("web-01").await.unwrap();
    assert!(held.metadata.deletion_timestamp.is_some(), "its journal is the only memory of the call");
    let way_out = format!("kubectl annotate replicateditem web-01 failback.dev/abandon={}", held.uid().unwrap());
    stage
        .until(WALL, "the way out is told", || async {
            let item = stage.items().get_opt("web-01").await.unwrap();
            // It may be over by now.
            item.is_none_or(|item| {
                let conditions = item.status.unwrap_or_default().conditions;
                conditions::find(&conditions, "Ready").is_some_and(|ready| ready.message.contains(&way_out))
            })
        })
        .await;
    stage.until(WALL, "it goes", || async { stage.items().get_opt("web-01").await.unwrap().is_none() }).await;
    let machine = manifests(|_| ()).into_iter().filter(|object| object["kind"] == "ReplicatedItem").collect();
    stage.apply(machine).await;
    phase(&stage, ItemPhase::FailedBack).await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover"], "nothing was repeated");
    stage.end().await;
}
