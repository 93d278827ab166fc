//! A failback that is undone on request.

use std::time::Duration;

use failback::{api::DesiredPhase, core::conditions};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::stage::{SCENARIO, Stage};

const WALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_failback_runs_in_azure_again_and_is_not_repeated() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, 1200.0).await;
    stage.plan_ready(WALL).await;
    let patch = Patch::Merge(json!({ "spec": { "cancel": [{ "reason": "the application does not start" }] } }));
    stage.plans().patch("web", &PatchParams::default(), &patch).await.unwrap();
    let power = || async { stage.rehearsal.site.snapshot()["machines"][0]["azureVm"]["powerState"].clone() };
    stage.wait(WALL, power, |power| power == "VM running" || power == "running").await.unwrap();
    let expected = ["reProtect", "plannedFailover", "failoverCancel"];
    assert_eq!(stage.verbs(), expected);
    // Half a simulated hour later nothing was repeated, and the reason is told.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(stage.verbs(), expected);
    let told = stage.reason("web-01").await;
    assert!(told.contains("the application does not start"), "{told}");
    assert!(!stage.both_ran());
    stage.end().await;
}

/// The service may go on calling Azure the primary side after a failback: that was never recorded.
const PRIMARY: &str = "\nunknowns:\n  locationAfterFailback: Primary\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_comes_home_where_azure_stays_the_primary_side() {
    let stage = Stage::of(&format!("{SCENARIO}{PRIMARY}"), 1200.0, |object| {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!(DesiredPhase::Protected);
        }
    })
    .await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCommit", "reProtect"]);
    assert!(!stage.both_ran());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_azure_does_not_start_again_after_a_cancel_is_told_until_somebody_starts_it() {
    let scenario = format!("{SCENARIO}    azureVmStarts: false\n{PRIMARY}");
    let stage = Stage::of(&scenario, 1200.0, |object| {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!(DesiredPhase::FailedBack);
        }
    })
    .await;
    stage.plan_ready(WALL).await;
    let patch = Patch::Merge(json!({ "spec": { "cancel": [{ "reason": "the application does not start" }] } }));
    stage.plans().patch("web", &PatchParams::default(), &patch).await.unwrap();
    let told = stage.wait(WALL, || stage.reason("web-01"), |told| told.contains("the machine runs nowhere")).await;
    let told = told.unwrap();
    assert!(told.starts_with("Azure VM web-01 is deallocated"), "{told}");
    assert!(told.contains("Remedy: Start the VM in Azure"), "{told}");
    let item = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
    let stopped = conditions::find(&item.conditions, "SourceStopped").unwrap();
    assert_eq!((stopped.status.as_str(), stopped.reason.as_str()), ("True", "Stopped"));
    assert!(conditions::is_true(&item.conditions, "Stalled"));

    let start = json!({ "effect": { "type": "world", "change": { "machine": "web-01", "azureVmRunning": true } } });
    stage.rehearsal.site.inject(serde_json::from_value(start).unwrap());
    stage.wait(WALL, || stage.reason("web-01"), |told| told.contains("the application does not start")).await.unwrap();
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCancel"]);
    stage.end().await;
}
