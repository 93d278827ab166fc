//! Everything that was recorded or documented can be read, and nothing can be sent that makes reading panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{fabric, item, job, vm};
use crate::{
    azure::testing::folder,
    core::observed::{Direction, Generation, Health, Operation, Scenario},
};

/// All objects in a body that look like a resource of this kind.
fn resources(body: &Value, kind: &str, found: &mut Vec<Value>) {
    match body {
        Value::Object(fields) => {
            let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
            let is_one = id.rsplit('/').nth(1).is_some_and(|segment| segment.eq_ignore_ascii_case(kind));
            if is_one && body.get("properties").is_some_and(Value::is_object) {
                found.push(body.clone());
            }
            fields.values().for_each(|value| resources(value, kind, found));
        }
        Value::Array(values) => values.iter().for_each(|value| resources(value, kind, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn all(kind: &str) -> Option<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for name in ["recorded", "recorded-classic", "examples"] {
        for (file, mut body) in folder(name)? {
            for key in ["requestBody", "request"] {
                if let Some(sent) = body.get_mut(key) {
                    sent.take();
                }
            }
            let mut of_file = Vec::new();
            resources(&body, kind, &mut of_file);
            found.extend(of_file.into_iter().map(|resource| (file.clone(), resource)));
        }
    }
    Some(found)
}

#[test]
fn every_recorded_or_documented_item_is_read() {
    let Some(items) = all("replicationProtectedItems") else { return };
    let mut ours = 0;
    for (file, value) in &items {
        let read = item::observe(value.clone(), true).unwrap_or_else(|odd| panic!("{file}: {odd}"));
        assert!(!read.friendly_name.is_empty() && !read.fabric_id.is_empty(), "{file}");
        let busy = value.pointer("/properties/currentScenario/scenarioName").is_some_and(|name| name != "None");
        assert_eq!(read.scenario.is_some(), busy, "{file}");
        ours += usize::from(read.generation.is_some());
        // What tells that a machine came home, of which there is no recording, is allowed at no other time.
        let home = [Operation::Commit, Operation::CancelFailover, Operation::SwitchProtection];
        let came_home = home.iter().any(|word| read.allows(word));
        assert!(!(read.direction == Some(Direction::ToVMware) && came_home), "{file}");
        if read.generation.is_some() {
            assert!(read.runs_in().is_some() && !read.allowed.is_empty(), "{file}");
        }
    }
    assert!(items.len() >= 40 && ours >= 20, "{} items, {ours} of ours", items.len());
}

#[test]
fn every_recorded_or_documented_job_is_read() {
    let Some(jobs) = all("replicationJobs") else { return };
    for (file, value) in &jobs {
        let read = job::observe(value.clone(), false).unwrap_or_else(|odd| panic!("{file}: {odd}"));
        assert!(!read.id.is_empty() && read.started.is_some(), "{file}");
        assert_ne!(read.scenario, Scenario::Other(String::new()), "{file}");
    }
    assert!(jobs.len() >= 6, "{}", jobs.len());
}

#[test]
fn every_recorded_or_documented_fabric_is_read() {
    let Some(fabrics) = all("replicationFabrics") else { return };
    for (file, value) in &fabrics {
        let read = fabric::observe(value.clone()).unwrap_or_else(|odd| panic!("{file}: {odd}"));
        assert!(!read.name.is_empty(), "{file}");
        match read.generation {
            Some(Generation::Modernized) if file.starts_with("131") => {
                let [agent] = read.targets.as_slice() else { panic!("{file}: {:?}", read.targets) };
                assert_eq!(agent.id, "83629832-8201-4d31-b9cd-a644185d035a");
                assert_eq!(agent.health, Health::Normal);
                assert_eq!(agent.datastores, ["5 TB External storage", "Datastore 3", "datastore1 (6)"]);
                assert_eq!(agent.instance_uuid.as_deref(), Some("5013370c-b6d4-6aa1-40c2-82cb4bb98028"));
                assert_eq!(agent.bios_uuid.as_deref(), Some("d96e1342-c1a3-a90c-667c-b4528a466494"));
                assert_eq!(agent.vcenter_name.as_deref(), Some("vcenter65"));
                assert_eq!(agent.heartbeat, "2023-08-26T04:28:42.9955825Z".parse().ok());
                assert_eq!(read.process_servers[0].health, Health::Normal);
            }
            Some(Generation::Classic) if file == "fabric_vmware_get.json" => {
                let stores: Vec<_> = read.targets.iter().map(|t| (t.name.as_str(), t.datastores.len())).collect();
                assert_eq!(stores, [("PwsTestCS", 0), ("V2A-PS-200", 2)]);
                assert_eq!(read.targets[1].health, Health::Normal);
                assert_eq!(read.process_servers[0].name, "V2A-PS-200");
            }
            Some(_) | None => {}
        }
    }
    assert!(fabrics.len() >= 8, "{}", fabrics.len());
}

/// A complete item, so that the property tests need no data directory.
fn sample() -> Value {
    json!({
        "id": "/Subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v/replicationFabrics/f\
               /replicationProtectionContainers/c/replicationProtectedItems/i",
        "name": "i",
        "properties": {
            "friendlyName": "vm", "protectionState": "Protected", "activeLocation": "Primary",
            "allowedOperations": ["PlannedFailover"], "replicationHealth": "Normal", "startTime": "",
            "state": "InProgress", "scenarioName": "Commit", "errors": [{"serviceErrorDetails": {"code": "1"}}],
            "tasks": [{"state": "InProgress", "groupTaskCustomDetails": {"childTasks": [{"errors": []}]}}],
            "healthErrors": [{"errorCode": "1", "innerHealthErrors": [{"errorCode": "2"}]}],
            "currentScenario": {"scenarioName": "None", "jobId": "/replicationJobs/None",
                "startTime": "1753-01-01T01:01:01Z"},
            "customDetails": {"instanceType": "InMageRcm", "reprotectAgents": [{"id": "a", "healthErrors": [],
                "fabricObjectId": "vc_5013a427-875d-d00f-8488-ae04c6780453", "accessibleDatastores": ["d"]}],
                "processServers": [{"id": "p", "lastHeartbeatUtc": "8/26/2023 3:42:27 AM"}]},
            "instanceView": {"statuses": [{"code": "PowerState/running"}]},
            "providerSpecificDetails": {
                "instanceType": "InMageRcmFailback", "azureVirtualMachineId": "/virtualMachines/vm",
                "protectedDisks": [{"diskId": "d", "capacityInBytes": 1, "diskUuid": "U",
                    "irDetails": {"processedBytes": 1}, "resyncDetails": {"processedBytes": "2"}}],
                "initialReplicationProgressPercentage": "64", "mobilityAgentDetails": {"lastHeartbeatUtc": ""},
                "multiVmGroupName": "g", "discoveredVmDetails": {"vCenterId": "/vcenters/x", "datastores": ["d"]}
            }
        }
    })
}

fn odd_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        "\\PC{0,40}".prop_map(Value::from),
        Just(json!("/a/b/ä_5013a427-875d-d00f-8488-ae04c6780453")),
        Just(json!("9999-12-31T23:59:59.9999999-23:59")),
        Just(json!("PowerState/ä")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,12}", inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
}

/// Replaces the `nth` value of the tree, counted in depth-first order.
fn mutate(value: &mut Value, nth: &mut usize, with: &Value) {
    if *nth == 0 {
        *value = with.clone();
    }
    let Some(left) = nth.checked_sub(1) else { return };
    *nth = left;
    let mut each = |child: &mut Value| mutate(child, nth, with);
    match value {
        Value::Object(fields) => fields.values_mut().for_each(&mut each),
        Value::Array(values) => values.iter_mut().for_each(&mut each),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn read_as_everything(value: &Value) {
    for complete in [true, false] {
        if let Ok(item) = item::observe(value.clone(), complete) {
            item.total_bytes();
            item.runs_in();
        }
    }
    if let Ok(job) = job::observe(value.clone(), true) {
        job.in_flight();
    }
    fabric::is_vmware(value);
    drop(fabric::observe(value.clone()));
    vm::observe(value);
}

proptest! {
    #[test]
    fn a_mutated_body_never_makes_reading_panic(
        mutations in prop::collection::vec((0usize..120, odd_value()), 1..5)
    ) {
        let mut value = sample();
        for (mut nth, with) in mutations {
            mutate(&mut value, &mut nth, &with);
        }
        read_as_everything(&value);
    }

    #[test]
    fn no_body_makes_reading_panic(value in odd_value()) {
        read_as_everything(&value);
    }
}

#[test]
fn every_single_field_may_be_anything() {
    for with in [json!(null), json!(-1), json!("x"), json!([]), json!({}), json!([null, [], {}, "None", 1e300])] {
        for nth in 0..140 {
            let mut value = sample();
            mutate(&mut value, &mut { nth }, &with);
            read_as_everything(&value);
        }
    }
}
