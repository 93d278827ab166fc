//! The whole journey, and the rest after it.

use std::time::Duration;

use failback::{
    api::{DesiredPhase, ItemPhase},
    core::conditions,
};
use serde_json::json;

use crate::stage::Stage;

const WALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_comes_home_and_is_protected_again() {
    let stage = Stage::up_to(DesiredPhase::Assessed, 1200.0).await;
    stage.plan_ready(WALL).await;
    stage
        .until(WALL, "the machine is placed", || async {
            stage.items().get("web-01").await.unwrap().status.unwrap().phase == ItemPhase::FailedOver
        })
        .await;
    stage.raise(DesiredPhase::Protected).await;
    stage.plan_ready(WALL).await;

    let item = stage.items().get("web-01").await.unwrap();
    let status = item.status.unwrap();
    let times: Vec<_> = ["Reprotected", "FailedBack", "Verified", "Committed", "Protected"]
        .into_iter()
        .map(|step| {
            let condition = conditions::find(&status.conditions, step).unwrap();
            assert_eq!(condition.status, "True", "{step}");
            condition.last_transition_time.0
        })
        .collect();
    assert!(times.is_sorted(), "steps in their order: {times:?}");
    assert!(times[0] < times[1] && times[2] < times[3] && times[3] < times[4], "{times:?}");

    let measured: Vec<&str> = status.timings.iter().rev().map(|timing| timing.verb.as_str()).collect();
    assert_eq!(measured, ["Reprotect", "SyncToVMware", "FailBack", "Commit", "Protect", "SyncToAzure"]);
    assert!(status.timings.iter().all(|timing| timing.seconds > 0), "{:#?}", status.timings);
    let plan = stage.plans().get("web").await.unwrap().status.unwrap();
    let promised: i32 = plan.preview.unwrap().calls.iter().map(|call| call.count).sum();
    assert_eq!(promised, 4, "kept as it was at the start");
    assert_eq!(plan.estimated_completion, None, "nothing moves any more");

    let calls = stage.rehearsal.site.calls();
    let called: Vec<_> = calls.iter().map(|call| (call.verb.as_str(), call.status)).collect();
    assert_eq!(
        called,
        [("reProtect", 202), ("plannedFailover", 202), ("failoverCommit", 202), ("reProtect", 202)],
        "each step once"
    );
    let reprotect = &calls[0].body["properties"];
    assert_eq!(reprotect["failoverDirection"], "RecoveryToPrimary");
    let details = &reprotect["providerSpecificDetails"];
    assert_eq!(details["instanceType"], "InMageRcm");
    assert_eq!(details["datastoreName"], "datastore1");
    assert!(details["reprotectAgentId"].is_string() && details["logStorageAccountId"].is_string(), "{details}");
    assert_eq!(
        calls[1].body,
        json!({ "properties": { "providerSpecificDetails": {
            "instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent" } } })
    );
    assert!(calls[2].body.is_null() || calls[2].body == json!(""), "a commit has no body: {}", calls[2].body);
    let protect = &calls[3].body["properties"];
    assert_eq!(protect["failoverDirection"], "PrimaryToRecovery");
    assert_eq!(protect["providerSpecificDetails"]["instanceType"], "InMageRcmFailback");
    assert!(protect["providerSpecificDetails"]["policyId"].as_str().unwrap().contains("replicationPolicies"));
    assert!(!stage.both_ran(), "never both copies at once");

    // The plan is complete: it lets go, and a second pass over an unchanged world writes nothing.
    stage
        .until(WALL, "the claim is released", || async {
            stage.items().get("web-01").await.unwrap().status.unwrap().claim.is_none()
        })
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.rehearsal.api.clear_record();
    // At this speed two seconds are forty simulated minutes: many readings, and eight rechecks of every object.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let requests = stage.rehearsal.api.record();
    let looked = requests.iter().any(|request| request.verb == "get" && request.resource == "failbackplans");
    assert!(!looked, "a plan that let go is read from the cache");
    let writes: Vec<_> =
        requests.iter().filter(|request| !matches!(request.verb.as_str(), "get" | "list" | "watch")).collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(stage.verbs().len(), 4, "nothing more was called");
    stage.end().await;
}
