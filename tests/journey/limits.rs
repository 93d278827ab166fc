//! What objects say about limits reaches the plans.

use std::time::Duration;

use failback::{
    api::{DesiredPhase, FailbackPlan, MasterTarget},
    core::conditions,
};
use kube::{Api, api::Patch};
use serde_json::{Value, json};

use crate::stage::{SCENARIO, Stage};

/// What the plan says about its machines.
async fn told(stage: &Stage) -> Vec<(String, String)> {
    let plan: FailbackPlan = stage.plans().get("web").await.unwrap();
    plan.status.unwrap_or_default().issues.into_iter().map(|issue| (issue.reason, issue.message)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_target_that_takes_fewer_disks_holds_the_wave() {
    let two_disks = SCENARIO.replace("      - size: 40GB\n", "      - size: 40GB\n      - size: 10GB\n");
    let stage = Stage::of(&two_disks, 600.0, |object| match object["kind"].as_str() {
        Some("MasterTarget") => object["spec"]["maxDisks"] = json!(1),
        Some("FailbackPlan") => object["spec"]["desiredPhase"] = json!("Assessed"),
        _ => {}
    })
    .await;
    // Until it has a target, that is what its plan says.
    let target = || async { stage.items().get("web-01").await.unwrap().status.and_then(|status| status.target) };
    stage.wait(Duration::from_secs(30), target, Option::is_some).await.unwrap();
    stage.raise(DesiredPhase::Reprotected).await;
    let held = |issues: &Vec<(String, String)>| issues.iter().any(|(reason, _)| reason == "WaveTooLarge");
    let issues = stage.wait(Duration::from_secs(30), || told(&stage), held).await.unwrap();
    assert!(issues.iter().any(|(_, message)| message.contains("carries 1:")), "{issues:?}");
    assert!(stage.verbs().is_empty());

    let targets: Api<MasterTarget> = Api::default_namespaced(stage.client.clone());
    let more: Patch<Value> = Patch::Merge(json!({ "spec": { "maxDisks": 2 } }));
    targets.patch("appliance01", &Default::default(), &more).await.unwrap();
    stage
        .until(Duration::from_secs(30), "the wave begins", || async {
            let item = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
            conditions::is_true(&item.conditions, "Reprotected")
        })
        .await;
    assert_eq!(stage.verbs(), ["reProtect"]);
    stage.end().await;
}
