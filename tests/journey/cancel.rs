//! A failback that is undone on request.

use std::time::Duration;

use failback::api::DesiredPhase;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::stage::Stage;

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
