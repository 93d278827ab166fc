//! Recovery plans.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{Arm, start};
use jiff::SignedDuration;
use serde_json::{Value, json};

const TIERS: &str = include_str!("../../../examples/scenarios/three-tier.yaml");

fn plan_body(direction: &str) -> Value {
    json!({"properties": {"failoverDirection": direction, "providerSpecificDetails": [{"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"}]}})
}

#[tokio::test]
async fn groups_go_one_after_another_and_a_person_is_asked() {
    let running = start(
        &TIERS
            .replace("{name: web, count: 3,", "{name: web, count: 3, state: Reprotected,")
            .replace("{name: app, count: 2,", "{name: app, count: 2, state: Reprotected,")
            .replace("- name: db-01", "- name: db-01\n    state: Reprotected"),
        0.0,
    )
    .await;
    let arm = Arm::login(&running).await;
    let plan = format!("{}/replicationRecoveryPlans/three-tier", arm.vault);
    let body = arm.get(&plan).await;
    assert_eq!(body["properties"]["allowedOperations"], json!(["PlannedFailover"]));
    assert_eq!(body["properties"]["groups"].as_array().unwrap().len(), 5);
    let reply = arm
        .call("POST", &format!("{plan}/plannedFailover"), Some(json!({"properties": {"providerSpecificDetails": []}})))
        .await;
    assert_eq!(reply.status, 400, "the direction is required for a plan");
    let reply = arm.call("POST", &format!("{plan}/plannedFailover"), Some(plan_body("RecoveryToPrimary"))).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let job = reply.header("x-ms-request-id").rsplit('/').next().unwrap().to_owned();
    assert_eq!(arm.call("POST", &format!("{plan}/failoverCommit"), None).await.status, 409);
    // The first group, then the plan waits.
    let waiting = arm.finish(&job).await;
    assert_eq!((waiting["state"].as_str(), &waiting["allowedActions"]), (Some("Suspended"), &json!(["Resume"])));
    assert_eq!(arm.machine("db-01")["onPremVm"]["powerState"], "poweredOn");
    assert_eq!(arm.machine("web-0001")["onPremVm"]["powerState"], "poweredOff");
    assert_eq!(arm.get(&plan).await["properties"]["currentScenarioStatus"], "Suspended");
    let reply = arm
        .call(
            "POST",
            &format!("{}/replicationJobs/{job}/resume", arm.vault),
            Some(json!({"properties": {"comments": "checked"}})),
        )
        .await;
    assert_eq!(reply.status, 202);
    let done = arm.finish(&job).await;
    assert_eq!(done["state"], "Succeeded", "{done}");
    let children = done["tasks"][1]["groupTaskCustomDetails"]["childTasks"]
        .as_array()
        .or(done["tasks"][2]["groupTaskCustomDetails"]["childTasks"].as_array())
        .unwrap();
    assert_eq!(children.len(), 2);
    let home = arm.get(&plan).await;
    assert_eq!(home["properties"]["allowedOperations"], json!(["Commit", "CancelFailover"]));
    let reply = arm.call("POST", &format!("{plan}/failoverCommit"), None).await;
    let job = reply.header("x-ms-request-id").rsplit('/').next().unwrap().to_owned();
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    for name in ["db-01", "app-0002", "web-0003"] {
        assert_eq!(
            (arm.machine(name)["azureVm"]["exists"].as_bool(), arm.machine(name)["bothRunningEver"].as_bool()),
            (Some(false), Some(false))
        );
    }
    running.site.advance(SignedDuration::from_mins(15));
    let reply = arm.call("POST", &format!("{plan}/reProtect"), None).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
}

#[tokio::test]
async fn a_member_that_fails_fails_the_plan_and_later_groups_stay() {
    let yaml = "machines: [{name: a, state: Reprotected}, {name: b, state: Reprotected}]\nplans: [{name: p, groups: [{machines: [a]}, {machines: [b]}]}]";
    let running = start(yaml, 0.0).await;
    let arm = Arm::login(&running).await;
    running.site.inject(serde_json::from_value(json!({"machine": "a", "effect": {"type": "jobFails", "code": "8038", "message": "no memory", "task": "StartVmOnSecondary"}})).unwrap());
    let reply = arm
        .call(
            "POST",
            &format!("{}/replicationRecoveryPlans/p/plannedFailover", arm.vault),
            Some(plan_body("RecoveryToPrimary")),
        )
        .await;
    let job = reply.header("x-ms-request-id").rsplit('/').next().unwrap().to_owned();
    let job = arm.finish(&job).await;
    assert_eq!(job["state"], "Failed");
    assert_eq!(job["errors"][0]["serviceErrorDetails"]["code"], "RecoveryPlanGroupFailed");
    assert_eq!(arm.machine("b")["azureVm"]["powerState"], "running");
    // The service cancels a failed planned failover by itself.
    arm.until("a", "Protected").await;
    running.site.advance(SignedDuration::from_mins(10));
    assert_eq!(
        (arm.machine("a")["azureVm"]["powerState"].as_str(), arm.machine("a")["onPremVm"]["powerState"].as_str()),
        (Some("running"), Some("poweredOff"))
    );
    assert_eq!(arm.item("a").await["properties"]["providerSpecificDetails"]["lastPlannedFailoverStatus"], "Failed");
}

#[tokio::test]
async fn reprotect_of_a_plan_toward_vmware_says_why_not() {
    let running = start(TIERS, 0.0).await;
    let arm = Arm::login(&running).await;
    let reply = arm.call("POST", &format!("{}/replicationRecoveryPlans/three-tier/reProtect", arm.vault), None).await;
    assert_eq!((reply.status, reply.json()["error"]["details"][0]["code"].as_str()), (400, Some("506")));
}
