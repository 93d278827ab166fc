//! The classic generation, and the alternate location of both.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{Arm, Running, start};
use jiff::SignedDuration;
use serde_json::{Value, json};

const MIXED: &str = include_str!("../../../examples/scenarios/mixed-site.yaml");

async fn classic_fabric(arm: &Arm<'_>) -> Value {
    let fabrics = arm.get(&format!("{}/replicationFabrics", arm.vault)).await;
    let listed = fabrics["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|fabric| fabric["properties"]["friendlyName"] == "cs01")
        .unwrap()
        .clone();
    assert_eq!(listed["properties"]["customDetails"]["masterTargetServers"], json!([]));
    arm.get(listed["id"].as_str().unwrap()).await
}

fn server(fabric: &Value, list: &str, name: &str) -> Value {
    let key = if list == "processServers" { "friendlyName" } else { "name" };
    fabric["properties"]["customDetails"][list]
        .as_array()
        .unwrap()
        .iter()
        .find(|server| server[key] == name)
        .unwrap()
        .clone()
}

fn reprotect(arm: &Arm<'_>, fabric: &Value, target: &str, drive: &str, datastore: &str) -> Value {
    json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMage",
        "masterTargetId": server(fabric, "masterTargetServers", target)["id"], "processServerId": server(fabric, "processServers", "cs01")["id"],
        "retentionDrive": drive, "runAsAccountId": "2", "datastoreName": datastore, "profileId": format!("{}/replicationPolicies/classic-policy-failback", arm.vault)}}})
}

fn failback(details: Value) -> Value {
    let mut details = details;
    details["instanceType"] = json!("InMage");
    json!({"properties": {"failoverDirection": "PrimaryToRecovery", "sourceSiteOperations": "NotRequired", "providerSpecificDetails": details}})
}

async fn failure(arm: &Arm<'_>, name: &str, body: Value) -> String {
    let job = arm.verb(name, "reProtect", Some(body)).await;
    let job = arm.finish(&job).await;
    assert_eq!(job["state"], "Failed", "{job}");
    assert_eq!(job["tasks"][0]["errors"].as_array().unwrap().len(), 1);
    job["errors"][0]["serviceErrorDetails"]["code"].as_str().unwrap().to_owned()
}

fn free(running: &Running, name: &str) -> u64 {
    let snapshot = running.site.snapshot();
    let stores = snapshot["vcenters"][0]["datastores"].as_array().unwrap().clone();
    stores.iter().find(|store| store["name"] == name).unwrap()["free"].as_u64().unwrap()
}

#[tokio::test]
async fn a_master_target_that_cannot_serve_fails_the_job() {
    let running = start(MIXED, 0.0).await;
    let arm = Arm::login(&running).await;
    let fabric = classic_fabric(&arm).await;
    let own = server(&fabric, "masterTargetServers", "cs01");
    assert_eq!(own["dataStores"], json!([]), "the configuration server's own target has no datastores");
    assert_eq!(
        failure(&arm, "erp-01", reprotect(&arm, &fabric, "mt-linux", "/mnt/retention", "datastore1")).await,
        "MasterTargetOsMismatch"
    );
    assert_eq!(
        failure(&arm, "erp-01", reprotect(&arm, &fabric, "mt-broken", "R", "datastore1")).await,
        "MasterTargetHasSnapshots"
    );
    assert_eq!(
        failure(&arm, "erp-01", reprotect(&arm, &fabric, "mt-windows", "X", "datastore1")).await,
        "RetentionDriveNotFound"
    );
    assert_eq!(failure(&arm, "erp-01", reprotect(&arm, &fabric, "cs01", "D", "datastore1")).await, "8061");
    // Nothing has changed by all that.
    assert_eq!(arm.item("erp-01").await["properties"]["protectionState"], "UnplannedFailoverCommitted");
}

#[tokio::test]
async fn the_alternate_location_needs_vmfs_with_space_and_makes_a_new_vm() {
    let running = start(MIXED, 0.0).await;
    let arm = Arm::login(&running).await;
    let fabric = classic_fabric(&arm).await;
    for store in ["vsan01", "nfs01"] {
        assert_eq!(
            failure(&arm, "lost-01", reprotect(&arm, &fabric, "mt-windows", "R", store)).await,
            "DatastoreTypeNotSupported"
        );
    }
    assert_eq!(failure(&arm, "lost-01", reprotect(&arm, &fabric, "mt-windows", "R", "local03")).await, "8061");
    assert_eq!(arm.machine("lost-01")["onPremVm"]["exists"], false);
    let before = free(&running, "datastore2");
    for name in ["lost-01", "metal-01"] {
        let job = arm.verb(name, "reProtect", Some(reprotect(&arm, &fabric, "mt-windows", "R", "datastore2"))).await;
        assert_eq!(arm.finish(&job).await["state"], "Succeeded");
        let machine = arm.machine(name);
        assert_eq!(
            (machine["onPremVm"]["powerState"].as_str(), machine["alternateLocation"].as_bool()),
            (Some("poweredOff"), Some(true))
        );
        assert_eq!(
            (machine["onPremVm"]["host"].as_str(), machine["onPremVm"]["datastore"].as_str()),
            (Some("esx01.example.com"), Some("datastore2"))
        );
    }
    assert_eq!(before - free(&running, "datastore2"), 120 << 30);
    // Everything is moved: longer than the comparison of a machine that is still there.
    let whole = arm.until("lost-01", "Protected").await;
    let job = arm.verb("erp-01", "reProtect", Some(reprotect(&arm, &fabric, "mt-windows", "R", "datastore1"))).await;
    arm.finish(&job).await;
    let changes = arm.until("erp-01", "Protected").await;
    assert!(whole > changes, "{whole} min against {changes} min");
}

#[tokio::test]
async fn the_modernized_alternate_location_uses_the_appliances_host() {
    let running = start(MIXED, 0.0).await;
    let arm = Arm::login(&running).await;
    let fabric = arm.get(&format!("{}/replicationFabrics/modern-fabric", arm.vault)).await;
    let agents = fabric["properties"]["customDetails"]["reprotectAgents"].as_array().unwrap().clone();
    let agent = |name: &str| agents.iter().find(|agent| agent["name"] == name).unwrap().clone();
    assert_eq!(agent("appliance03")["accessibleDatastores"], json!([]));
    let body = |agent: &Value, store: &str| {
        json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMageRcm",
        "reprotectAgentId": agent["id"], "datastoreName": store, "logStorageAccountId": "/subscriptions/s/storage"}}})
    };
    assert_eq!(failure(&arm, "gone-01", body(&agent("appliance03"), "datastore1")).await, "8061");
    running.site.inject(
        serde_json::from_value(
            json!({"effect": {"type": "world", "change": {"datastore": "local03", "datastoreFree": 1}}}),
        )
        .unwrap(),
    );
    assert_eq!(failure(&arm, "gone-01", body(&agent("appliance02"), "local03")).await, "InsufficientDiskSpace");
    let job = arm.verb("gone-01", "reProtect", Some(body(&agent("appliance02"), "datastore2"))).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    assert_eq!(arm.machine("gone-01")["onPremVm"]["host"], "esx03.example.com");
    // A VM of that name that is not the machine's own stands in the way.
    let reply = arm
        .call(
            "POST",
            &format!("{}/reProtect", arm.item_id("migrated-01")),
            Some(body(&agent("appliance01"), "datastore1")),
        )
        .await;
    assert_eq!(reply.status, 400, "a migrated machine has no way back");
    assert_eq!(
        failure(&arm, "silent-01", body(&agent("appliance01"), "datastore1")).await,
        "InMageRcmMobilityAgentNotRegistered"
    );
    assert_eq!(failure(&arm, "moved-01", body(&agent("appliance01"), "datastore1")).await, "ResourceNotFound");
}

#[tokio::test]
async fn classic_points_can_be_chosen() {
    // At the full hour the newest point of all is app-consistent.
    let origin = "2026-01-05T08:30:00Z".parse().unwrap();
    let running = common::start_with(MIXED, sim_site::Options::at_speed(0.0).with_origin(origin)).await;
    let arm = Arm::login(&running).await;
    let points = arm.get(&format!("{}/recoveryPoints", arm.item_id("ready-01"))).await;
    let points = points["value"].as_array().unwrap().clone();
    let tag = points.iter().find(|point| point["properties"]["recoveryPointType"] == "ApplicationConsistent").unwrap();
    assert!(
        points[0]["properties"]["recoveryPointTime"].as_str() > tag["properties"]["recoveryPointTime"].as_str(),
        "the newest app-consistent point lies behind the newest of all"
    );
    let reply = arm
        .call(
            "POST",
            &format!("{}/unplannedFailover", arm.item_id("ready-01")),
            Some(failback(json!({"recoveryPointType": "Custom", "recoveryPointId": "/nobody"}))),
        )
        .await;
    assert_eq!(
        (reply.status, reply.json()["error"]["details"][0]["code"].as_str()),
        (400, Some("RecoveryPointNotFound"))
    );
    let reply = arm
        .call(
            "POST",
            &format!("{}/plannedFailover", arm.item_id("ready-01")),
            Some(failback(json!({"recoveryPointType": "CrashConsistent"}))),
        )
        .await;
    assert_eq!(reply.status, 400, "there is no planned failover in the classic generation");
    let job = arm
        .verb(
            "ready-01",
            "unplannedFailover",
            Some(failback(json!({"recoveryPointType": "Custom", "recoveryPointId": tag["id"]}))),
        )
        .await;
    let job = arm.finish(&job).await;
    let tasks: Vec<&str> = job["tasks"].as_array().unwrap().iter().filter_map(|task| task["name"].as_str()).collect();
    assert!(tasks.contains(&"ShutdownVmOnPrimaryForUFO") && tasks.contains(&"StartVmOnSecondary"), "{tasks:?}");
    assert_eq!(arm.item("ready-01").await["properties"]["failoverRecoveryPointId"], tag["id"]);
    running.site.advance(SignedDuration::from_mins(2));
    assert_eq!(arm.machine("ready-01")["onPremVm"]["tools"], "running");
}
