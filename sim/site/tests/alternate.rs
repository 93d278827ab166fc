//! Alternate location: who the new VM is, as far as the wire tells, and what the service refuses.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{Arm, Vim, start};
use serde_json::{Value, json};

const SITE: &str = r"
vcenters: [{name: v, hosts: [{name: esx01}, {name: esx02}], datastores: [{name: ds1}, {name: nfs1, kind: NFS}]}]
fabrics:
  - {name: modern}
  - {name: cs01, generation: classic, policy: old, processServers: [{name: ps01}], masterTargets: [{name: mt-linux, os: Linux, host: esx02}]}
machines:
  - {name: shop, fabric: modern, originalVm: false, instanceUuid: 5002c8ea-1111-2222-3333-444444444444}
  - {name: metal, fabric: modern, os: Linux, physical: true}
  - {name: there, fabric: modern}
  - {name: erp, fabric: cs01, os: Linux, originalVm: false}
  - {name: oldmetal, fabric: cs01, os: Linux, physical: true, osName: Microsoft Windows Server 2008 R2 (64-bit)}
  - {name: mapped, fabric: cs01, os: Linux, originalVm: false, disks: [{size: 4GB, kind: rdmPhysical}]}
";

async fn details(arm: &Arm<'_>, fabric: &str) -> Value {
    let fabrics = arm.get(&format!("{}/replicationFabrics", arm.vault)).await;
    let listed = fabrics["value"].as_array().unwrap().iter().find(|f| f["properties"]["friendlyName"] == fabric);
    arm.get(listed.unwrap()["id"].as_str().unwrap()).await["properties"]["customDetails"].clone()
}

async fn modern(arm: &Arm<'_>) -> Value {
    let agent = details(arm, "modern").await["reprotectAgents"][0]["id"].clone();
    json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMageRcm",
        "reprotectAgentId": agent, "datastoreName": "ds1", "logStorageAccountId": "/s"}}})
}

async fn classic(arm: &Arm<'_>) -> Value {
    let known = details(arm, "cs01").await;
    let target = known["masterTargetServers"].as_array().unwrap().iter().find(|t| t["name"] == "mt-linux").unwrap();
    let server = known["processServers"].as_array().unwrap().iter().find(|s| s["friendlyName"] == "ps01").unwrap();
    json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMage",
        "masterTargetId": target["id"], "processServerId": server["id"], "retentionDrive": "/mnt/retention", "runAsAccountId": "2",
        "datastoreName": "ds1", "profileId": format!("{}/replicationPolicies/old-failback", arm.vault)}}})
}

async fn run(arm: &Arm<'_>, name: &str, verb: &str, body: Option<Value>) -> Value {
    let job = arm.verb(name, verb, body).await;
    arm.finish(&job).await
}

async fn provider(arm: &Arm<'_>, name: &str) -> Value {
    arm.item(name).await["properties"]["providerSpecificDetails"].clone()
}

#[tokio::test]
async fn a_modernized_item_names_the_disks_of_its_new_vm() {
    let running = start(SITE, 0.0).await;
    let arm = Arm::login(&running).await;
    let mut minutes = Vec::new();
    for name in ["there", "shop", "metal"] {
        assert_eq!(run(&arm, name, "reProtect", Some(modern(&arm).await)).await["state"], "Succeeded");
        minutes.push(arm.until(name, "Protected").await);
    }
    assert!(minutes[0] < minutes[1], "all data takes longer than changes: {minutes:?}");
    let vim = Vim::login(&running).await;
    for name in ["shop", "metal"] {
        let item = provider(&arm, name).await;
        assert_eq!((&item["targetVmName"], &item["targetDataStoreName"]), (&json!(name), &json!("ds1")));
        let vm = arm.machine(name)["onPremVm"]["moid"].as_str().unwrap().to_owned();
        let devices = vim
            .call(&format!(
                r#"<RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet><propSet><type>VirtualMachine</type><pathSet>config.hardware.device</pathSet></propSet><objectSet><obj type="VirtualMachine">{vm}</obj></objectSet></specSet><options/></RetrievePropertiesEx>"#
            ))
            .await;
        let disk = item["protectedDisks"][0]["diskUuid"].as_str().unwrap();
        assert!(devices.contains(disk), "{name}: {disk} is a disk of {vm}");
    }
}

#[tokio::test]
async fn once_home_a_physical_server_is_a_vm() {
    let running = start(SITE, 0.0).await;
    let arm = Arm::login(&running).await;
    assert_eq!(provider(&arm, "metal").await["discoveryType"], "Physical");
    run(&arm, "metal", "reProtect", Some(modern(&arm).await)).await;
    arm.until("metal", "Protected").await;
    let body = json!({"properties": {"providerSpecificDetails": {"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"}}});
    assert_eq!(run(&arm, "metal", "plannedFailover", Some(body)).await["state"], "Succeeded");
    assert_eq!(run(&arm, "metal", "failoverCommit", None).await["state"], "Succeeded");
    running.site.advance(jiff::SignedDuration::from_mins(15));
    let policy = provider(&arm, "metal").await["lastUsedPolicyId"].clone();
    let server = details(&arm, "modern").await["processServers"][0]["id"].clone();
    let body = json!({"properties": {"failoverDirection": "PrimaryToRecovery",
        "providerSpecificDetails": {"instanceType": "InMageRcmFailback", "processServerId": server, "policyId": policy}}});
    assert_eq!(run(&arm, "metal", "reProtect", Some(body)).await["state"], "Succeeded");
    arm.until("metal", "Protected").await;
    let item = provider(&arm, "metal").await;
    assert_eq!(item["discoveryType"], "VCenter");
    let uuid = arm.machine("metal")["onPremVm"]["instanceUuid"].as_str().unwrap().to_owned();
    assert!(item["fabricDiscoveryMachineId"].as_str().unwrap().ends_with(&uuid));
}

#[tokio::test]
async fn a_classic_item_says_little_of_its_new_vm() {
    let running = start(SITE, 0.0).await;
    let arm = Arm::login(&running).await;
    assert_eq!(run(&arm, "erp", "reProtect", Some(classic(&arm).await)).await["state"], "Succeeded");
    let item = provider(&arm, "erp").await;
    assert_eq!((&item["discoveryType"], &item["vCenterInfrastructureId"]), (&json!("Physical"), &Value::Null));
    assert_eq!(item["datastores"], json!(["ds1"]));
    assert!(item["protectedDisks"][0]["diskId"].as_str().unwrap().starts_with('{'), "no UUID of vSphere's");
    assert_eq!(arm.machine("erp")["onPremVm"]["host"], "esx02");
}

#[tokio::test]
async fn what_the_service_refuses() {
    let running = start(SITE, 0.0).await;
    let arm = Arm::login(&running).await;
    let change = |change: Value| {
        let fault = serde_json::from_value(json!({"effect": {"type": "world", "change": change}})).unwrap();
        running.site.try_inject(fault).unwrap();
    };
    let code = |job: Value| job["errors"][0]["serviceErrorDetails"]["code"].as_str().unwrap().to_owned();
    assert_eq!(code(run(&arm, "oldmetal", "reProtect", Some(classic(&arm).await)).await), "OsNotSupported");
    assert_eq!(code(run(&arm, "mapped", "reProtect", Some(classic(&arm).await)).await), "RdmNotSupported");
    for (break_, mend, expected) in [
        (
            json!({"fabric": "cs01", "vcenterKnownAs": "x"}),
            json!({"fabric": "cs01", "vcenterKnownAs": ""}),
            "VCenterNotFound",
        ),
        (
            json!({"fabric": "cs01", "configurationServerServices": "Stopped"}),
            json!({"fabric": "cs01", "configurationServerServices": "Running"}),
            "ConfigurationServerNotAvailable",
        ),
        (
            json!({"machine": "erp", "knownToConfigurationServer": false}),
            json!({"machine": "erp", "knownToConfigurationServer": true}),
            "ConfigurationServerUnknownMachine",
        ),
        (
            json!({"component": "ps01", "componentHeartbeat": false}),
            json!({"component": "ps01", "componentHeartbeat": true}),
            "ProcessServerNotHealthy",
        ),
        (
            json!({"component": "mt-linux", "componentVersion": "9.99.0.0"}),
            json!({"component": "mt-linux", "componentVersion": "9.62.0.0"}),
            "MasterTargetVersionNotSupported",
        ),
        (
            json!({"vm": "mt-linux", "vmController": "pvscsi"}),
            json!({"vm": "mt-linux", "vmController": "lsisas"}),
            "MasterTargetHardwareNotSupported",
        ),
        (
            json!({"component": "mt-linux", "componentAttachedDisks": 60}),
            json!({"component": "mt-linux", "componentAttachedDisks": 0}),
            "TooManyDisks",
        ),
        (
            json!({"datastore": "ds1", "datastoreKind": "NFS"}),
            json!({"datastore": "ds1", "datastoreKind": "VMFS"}),
            "DatastoreTypeNotSupported",
        ),
        (json!({"addVm": "erp", "host": "esx02"}), json!({"removeVm": "erp"}), "78052"),
    ] {
        change(break_);
        let job = run(&arm, "erp", "reProtect", Some(classic(&arm).await)).await;
        assert_eq!(code(job), expected);
        change(mend);
    }
    change(json!({"addVm": "erp", "host": "esx01"}));
    let job = run(&arm, "erp", "reProtect", Some(classic(&arm).await)).await;
    assert_eq!(job["state"], "Succeeded", "a namesake on another host is in nobody's way");
}
