//! What nobody has published is a knob: each of them, both ways.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::collections::BTreeSet;

use common::{Arm, start};
use serde_json::{Value, json};
use sim_site::scenario::Unknowns;

/// A machine at each place where a knob decides.
const SITE: &str = r"
fabrics:
  - {name: modern}
  - {name: old, generation: classic}
machines:
  - {name: back, fabric: modern, state: FailedBack}
  - {name: home, fabric: modern, state: FailedBackCommitted}
  - {name: bare, fabric: modern, state: FailedBack, azureVmExists: false}
  - {name: busy, fabric: modern, state: Reprotected}
  - {name: turn, fabric: modern, state: Reprotected}
  - {name: one, fabric: modern, state: Reprotected}
  - {name: two, fabric: modern, state: Reprotected}
  - {name: deaf, fabric: modern, agent: {registered: false, never: true}}
  - {name: away, fabric: modern}
  - {name: classic, fabric: old, state: FailedBack}
plans:
  - {name: one, groups: [{machines: [one]}]}
  - {name: two, groups: [{machines: [two]}]}
";

fn failback() -> Value {
    json!({"properties": {"providerSpecificDetails": {"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"}}})
}

/// Everything that a knob decides, as a client sees it.
async fn seen(unknowns: &str) -> Value {
    let running = start(&format!("{SITE}unknowns: {unknowns}"), 0.0).await;
    let arm = Arm::login(&running).await;
    let jobs = format!("{}/replicationJobs", arm.vault);
    let state = |item: &Value| {
        let p = &item["properties"];
        json!({"state": p["protectionState"], "operations": p["allowedOperations"], "location": p["activeLocation"]})
    };
    let mut seen = json!({
        "failedBack": state(&arm.item("back").await),
        "committed": state(&arm.item("home").await),
        "classic": state(&arm.item("classic").await),
        "disk": arm.item("turn").await["properties"]["providerSpecificDetails"]["protectedDisks"][0]["isInitialReplicationComplete"],
        "discovery": arm.get(&format!("{}/replicationvCenters", arm.vault)).await["value"][0]["properties"]["discoveryStatus"],
    });

    let job = arm.verb("turn", "plannedFailover", Some(failback())).await;
    arm.finish(&job).await;
    let reply = arm.call("POST", &format!("{}/failoverCancel", arm.item_id("turn")), None).await;
    if reply.status == 202 {
        arm.finish(reply.header("x-ms-request-id").rsplit('/').next().unwrap()).await;
        seen["cancelled"] = state(&arm.item("turn").await);
    } else {
        assert_eq!(reply.status, 400, "a verb that is not listed is refused");
    }

    let job = arm.verb("bare", "failoverCommit", None).await;
    seen["commitWithoutVm"] = arm.finish(&job).await["state"].clone();

    let busy = format!("{}/plannedFailover", arm.item_id("busy"));
    let first = arm.call("POST", &busy, Some(failback())).await;
    seen["signed"] = json!(first.header("azure-asyncoperation").contains("&t="));
    let second = arm.call("POST", &busy, Some(failback())).await;
    seen["concurrent"] = json!(second.status);
    if second.status == 202 {
        let job = second.header("x-ms-request-id").rsplit('/').next().unwrap().to_owned();
        seen["concurrentJob"] = arm.get(&format!("{jobs}/{job}")).await["properties"]["state"].clone();
    }

    for (plan, direction) in [("one", "RecoveryToPrimary"), ("two", "PrimaryToRecovery")] {
        let body = json!({"properties": {"failoverDirection": direction,
            "providerSpecificDetails": [{"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"}]}});
        let path = format!("{}/replicationRecoveryPlans/{plan}/plannedFailover", arm.vault);
        seen[direction] = json!(arm.call("POST", &path, Some(body)).await.status);
    }

    let fabric = arm.item_id("deaf").split("/replicationProtectionContainers").next().unwrap().to_owned();
    let agents = arm.get(&fabric).await["properties"]["customDetails"]["reprotectAgents"].clone();
    let body = json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMageRcm",
        "reprotectAgentId": agents[0]["id"], "datastoreName": "datastore1", "logStorageAccountId": "/s"}}});
    seen["deaf"] = json!(arm.call("POST", &format!("{}/reProtect", arm.item_id("deaf")), Some(body)).await.status);

    let job = arm.verb("away", "completeMigration", None).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    seen["migrated"] = json!(arm.call("GET", &arm.item_id("away"), None).await.status);
    seen
}

#[tokio::test]
async fn each_knob_turns_what_it_says() {
    // Knob, another setting, where it shows, by default, and then.
    let table = [
        (
            "stateAfterPlannedFailover",
            "Odd",
            "/failedBack/state",
            json!("PlannedFailoverCommitPendingStatesBegin"),
            json!("Odd"),
        ),
        (
            "operationsAfterPlannedFailover",
            "[Commit]",
            "/failedBack/operations",
            json!(["Commit", "CancelFailover"]),
            json!(["Commit"]),
        ),
        ("stateAfterCancel", "Odd", "/cancelled/state", json!("Protected"), json!("Odd")),
        (
            "operationsAfterCancel",
            "[PlannedFailover]",
            "/cancelled/operations",
            json!(["PlannedFailover", "DisableProtection"]),
            json!(["PlannedFailover"]),
        ),
        ("stateAfterFailbackCommit", "Odd", "/committed/state", json!("PlannedFailoverCommitted"), json!("Odd")),
        (
            "operationsAfterFailbackCommit",
            "[SwitchProtection]",
            "/committed/operations",
            json!(["SwitchProtection", "DisableProtection"]),
            json!(["SwitchProtection"]),
        ),
        ("locationAfterFailback", "Primary", "/failedBack/location", json!("Recovery"), json!("Primary")),
        (
            "classicStateAfterFailback",
            "Odd",
            "/classic/state",
            json!("UnplannedFailoverCommitPendingStatesBegin"),
            json!("Odd"),
        ),
        ("concurrentOperation", "badRequest", "/concurrent", json!(409), json!(400)),
        ("concurrentOperation", "failedJob", "/concurrentJob", Value::Null, json!("Failed")),
        ("commitWithoutAzureVm", "fail", "/commitWithoutVm", json!("Succeeded"), json!("Failed")),
        ("planFailbackDirection", "recoveryToPrimary", "/PrimaryToRecovery", json!(202), json!(400)),
        ("planFailbackDirection", "primaryToRecovery", "/RecoveryToPrimary", json!(202), json!(400)),
        ("refuseUnregisteredAgent", "true", "/deaf", json!(202), json!(400)),
        ("operationUrlLifetime", "1h", "/signed", json!(false), json!(true)),
        ("discoveryStatus", "InProgress", "/discovery", json!("Completed"), json!("InProgress")),
        ("failbackDisksNeverComplete", "false", "/disk", json!("false"), json!("true")),
        ("migrationRemovesItem", "true", "/migrated", json!(200), json!(404)),
    ];
    let at = |seen: &Value, pointer: &str| seen.pointer(pointer).cloned().unwrap_or(Value::Null);
    let usual = seen("{}").await;
    for (knob, setting, pointer, default, then) in &table {
        assert_eq!(at(&usual, pointer), *default, "{knob} by default");
        let turned = seen(&format!("{{{knob}: {setting}}}")).await;
        assert_eq!(at(&turned, pointer), *then, "{knob}: {setting}");
    }
    let tried: BTreeSet<String> = table.iter().map(|row| row.0.to_owned()).collect();
    let all = serde_json::to_value(Unknowns::default()).unwrap();
    let all: BTreeSet<String> = all.as_object().unwrap().keys().cloned().collect();
    assert_eq!(tried, all, "each knob is in the table");
}
