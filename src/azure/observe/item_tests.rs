use serde_json::json;

use super::*;
use crate::{
    azure::testing::{folder, recorded},
    core::observed::RunsIn,
};

const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rgtestsrv2arcm";

fn item(properties: Value) -> Result<Replication, Odd> {
    observe(json!({"id": "/subscriptions/s/x/replicationProtectedItems/i", "properties": properties}), true)
}

fn get(number: &str) -> Option<Replication> {
    recorded(number).map(|mut exchange| observe(exchange["responseBody"].take(), true).unwrap())
}

#[test]
fn a_failed_over_machine_is_read_from_its_recording() {
    let Some(item) = get("130") else { return };
    assert_eq!(item.friendly_name, "RCM-Win2K16-01");
    assert_eq!(item.name, "cli-test-protected-item-V2ARCM-1");
    assert_eq!((item.generation, item.direction), (Some(Generation::Modernized), Some(Direction::ToAzure)));
    assert_eq!(item.runs_in(), Some(RunsIn::Azure));
    assert!(item.allows(&Operation::SwitchProtection) && item.allows(&Operation::Commit));
    assert!(item.allowed.contains(&Operation::Other("CompleteMigration".into())));
    assert_eq!(item.scenario, None, "scenario None, job None, 1753");
    assert_eq!(item.agent_registered, Some(false), "right after the failover");
    assert_eq!(item.agent_heartbeat, "2023-08-26T04:19:49.7773107Z".parse().ok());
    assert_eq!(item.last_failover, "2023-08-26T04:22:13.1215306Z".parse().ok());
    assert_eq!(item.azure_vm_id, Some(format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/RCM-Win2K16-01")));
    assert_eq!(item.instance_uuid.as_deref(), Some("5013a427-875d-d00f-8488-ae04c6780453"));
    assert_eq!(item.vcenter_name.as_deref(), Some("vcenter65"));
    assert_eq!(item.target_vm_name, None, "that is its name in Azure");
    assert_eq!(item.datastores, ["Datastore 3"]);
    assert_eq!(item.os, Some(OsFamily::Windows));
    assert_eq!(item.total_bytes(), 42_949_672_960);
    let account = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/cliteststoragev2arcm1");
    assert_eq!(item.log_storage_account_id, Some(account), "from the disk");
    assert_eq!(item.appliance_id.as_deref(), Some("83629832-8201-4d31-b9cd-a644185d035a"));
    assert!(item.run_as_account_id.is_some_and(|id| id.ends_with("/1f6fd679-7eda-54d7-b887-d681ca0cd984")));
    assert_eq!(item.group, None);
    assert!(item.fabric_id.ends_with("/replicationFabrics/vaulttestv2arcm-vmwarefabric"));
    assert!(item.policy_id.is_some_and(|id| id.ends_with("/cli-test-policy-V2ARCM-1")));
    assert!(item.complete);
}

#[test]
fn a_reprotected_machine_is_read_from_its_recording() {
    let Some(item) = get("162") else { return };
    assert_eq!((item.generation, item.direction), (Some(Generation::Modernized), Some(Direction::ToVMware)));
    assert_eq!(item.runs_in(), Some(RunsIn::Azure));
    assert_eq!(item.protection_state, "Protected");
    assert!(item.allows(&Operation::PlannedFailover));
    assert!(item.azure_vm_id.is_some_and(|id| id.ends_with("/RCM-Win2K16-01-e9369372-f40f-41eb-b64f-38bb79445508")));
    assert_eq!(item.vcenter_name.as_deref(), Some("vcenter65"));
    assert_eq!(item.target_vm_name.as_deref(), Some("RCM-Win2K16-01"));
    assert_eq!(item.datastores, ["Datastore 3"]);
    assert_eq!(item.disks[0].vmdk_uuid.as_deref(), Some("6000c29b-1cb1-c09c-1664-16f7879c0329"));
    assert_eq!(item.instance_uuid, None);
    assert_eq!(item.agent_registered, None);
    assert_eq!(item.last_planned_failover, None);
    assert_eq!(item.appliance_id.as_deref(), Some("83629832-8201-4d31-b9cd-a644185d035a"));
    assert!(item.last_used_policy_id.is_some_and(|id| id.ends_with("/cli-test-policy-V2ARCM-1")));
    assert!(item.policy_id.is_some_and(|id| id.ends_with("/crashconsistency-policy-failback")));
    assert!(item.log_storage_account_id.is_some());
}

#[test]
fn progress_is_read_where_it_is_given() {
    let Some(item) = get("087") else { return };
    assert_eq!(
        item.progress,
        ReplicationProgress {
            percent: Some(64),
            processed_bytes: Some(27_648_851_968),
            transferred_bytes: Some(24_243_077_120),
        }
    );
    let Some(queued) = get("158") else { return };
    let zero = Some(0);
    assert_eq!(queued.progress, ReplicationProgress { percent: None, processed_bytes: zero, transferred_bytes: zero });
}

#[test]
fn a_classic_machine_is_read_from_its_recordings() {
    let Some(files) = folder("recorded-classic") else { return };
    let file = |start: &str| files.iter().find(|(name, _)| name.starts_with(start)).unwrap().1.clone();
    let item = observe(file("rpi_InMage_protected_get"), true).unwrap();
    assert_eq!((item.generation, item.direction), (Some(Generation::Classic), Some(Direction::ToVMware)));
    assert_eq!(item.runs_in(), Some(RunsIn::Azure));
    assert_eq!((item.name.as_str(), item.friendly_name.as_str()), ("V2A-W2K16-201-new", "V2A-W2K16-201"));
    assert_eq!(item.os, Some(OsFamily::Windows));
    assert_eq!(item.disks.len(), 2);
    assert_eq!(item.total_bytes(), 37_580_963_840);
    assert_eq!(item.group, None, "its own id is no group");
    assert_eq!(item.appliance_id.as_deref(), Some("30AE6187-5869-8E44-B8AF6AA66E3ECC8F"));
    assert_eq!(item.datastores, ["datastore1"]);
    assert_eq!(item.agent_heartbeat, "2021-04-06T11:50:15Z".parse().ok());
    let summary = observe(file("rpi_InMage_protected_LIST")["value"][0].take(), false).unwrap();
    assert!(!summary.complete && summary.disks.is_empty() && summary.os.is_none() && summary.appliance_id.is_none());
    assert_eq!(summary.id, item.id);
}

#[test]
fn the_classic_site_type_is_the_better_witness() {
    let runs_in = |site: Value, location: &str| {
        let details = json!({"instanceType": "InMage", "activeSiteType": site});
        item(json!({"activeLocation": location, "providerSpecificDetails": details})).unwrap().runs_in()
    };
    assert_eq!(runs_in(json!("OnPrem"), "Recovery"), Some(RunsIn::VMware));
    assert_eq!(runs_in(json!("OnPrem"), "Primary"), Some(RunsIn::VMware));
    assert_eq!(runs_in(json!(null), "Primary"), Some(RunsIn::Azure));
    assert_eq!(runs_in(json!("Moon"), "Elsewhere"), None);
}

#[test]
fn an_empty_machine_name_is_no_machine() {
    let vm = |id: &str| {
        let details = json!({"instanceType": "InMageAzureV2", "targetVmId": id});
        item(json!({"providerSpecificDetails": details})).unwrap().azure_vm_id
    };
    assert_eq!(vm("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/"), None);
    assert_eq!(vm("/x/virtualMachines/vm1").as_deref(), Some("/x/virtualMachines/vm1"));
    let derived = |details: Value| item(json!({"providerSpecificDetails": details})).unwrap().azure_vm_id;
    assert_eq!(derived(json!({"instanceType": "InMageRcm", "targetVmName": "vm"})), None);
}

#[test]
fn outcome_of_the_last_failback() {
    let status = |status: Value| {
        let details = json!({"instanceType": "InMageRcmFailback", "lastPlannedFailoverStatus": status,
            "lastPlannedFailoverStartTime": "2023-08-26T05:15:24Z",
            "isAgentRegistrationSuccessfulAfterFailover": "True"});
        let item = item(json!({"providerSpecificDetails": details})).unwrap();
        assert_eq!(item.agent_registered, Some(true));
        item.last_planned_failover
    };
    let at = "2023-08-26T05:15:24Z".parse().ok();
    assert_eq!(status(json!("Cancelled")), Some((PlannedFailoverStatus::Cancelled, at)));
    assert_eq!(status(json!("Failed")), Some((PlannedFailoverStatus::Failed, at)));
    assert_eq!(status(json!("Unknown")), Some((PlannedFailoverStatus::Other("Unknown".into()), at)));
    for none in [json!(null), json!(""), json!("None")] {
        assert_eq!(status(none), None);
    }
}

#[test]
fn idleness_is_never_guessed() {
    let scenario = |scenario: Value| item(json!({"currentScenario": scenario})).map(|item| item.scenario);
    assert_eq!(scenario(json!(null)).unwrap(), None);
    assert_eq!(scenario(json!({"scenarioName": "None", "jobId": "/v/replicationJobs/None"})).unwrap(), None);
    let busy = scenario(json!({"scenarioName": "PlannedFailover", "jobId": "/v/replicationJobs/j"})).unwrap().unwrap();
    assert_eq!((busy.name.as_str(), busy.job_id.as_deref(), busy.started), ("PlannedFailover", Some("j"), None));
    assert!(scenario(json!({"scenarioName": "None", "jobId": "/v/replicationJobs/j"})).unwrap().is_some());
    assert!(scenario(json!({"scenarioName": "EnableDr"})).unwrap().is_some());
    for odd in [json!("PlannedFailover"), json!([]), json!(1)] {
        assert!(scenario(odd).unwrap_err().to_string().contains("currentScenario"));
    }
    assert!(item(json!({"allowedOperations": {"Commit": true}})).is_err());
    assert_eq!(observe(json!(7), true).unwrap_err().to_string(), "an entry without id: not an object");
    assert_eq!(observe(json!({"name": "n", "properties": {}}), true).unwrap_err().to_string(), "n: no id");
    assert_eq!(observe(json!({"id": "/i", "properties": []}), true).unwrap_err().to_string(), "/i: no properties");
}

#[test]
fn health_errors_include_the_inner_ones_once() {
    let error = json!({"errorCode": 1, "errorMessage": "a", "innerHealthErrors": [
        {"errorCode": "2", "summaryMessage": "b"}, {"errorCode": "2", "summaryMessage": "b"}, null, {}]});
    let item = item(json!({"replicationHealth": "Critical", "healthErrors": [error, "odd"]})).unwrap();
    assert_eq!(item.health, Health::Critical);
    let said: Vec<_> = item.health_errors.iter().map(|e| (e.code.as_str(), e.message.as_str())).collect();
    assert_eq!(said, [("1", "a"), ("2", "b")]);
}
