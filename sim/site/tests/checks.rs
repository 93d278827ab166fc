//! Whatever a failback depends on can be broken by itself, at the start and later, and mended again: each way with the reads
//! that show it, and no others. The table is that of the README.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Arm, Vim, between};
use serde_json::{Value, json};

const SITE: &str = r"
vcenters:
  - name: vcenter.example.com
    hosts: [{name: esx01, cluster: c}, {name: esx02, cluster: c}]
    datastores: [{name: ds1}, {name: ds2}]
    vms: [{name: appliance01, host: esx02}]
fabrics:
  - {name: modern, appliances: [{name: appliance01, host: esx02}]}
  - name: cs01
    generation: classic
    policy: old
    processServers: [{name: ps01}]
    masterTargets: [{name: mt01, host: esx02}]
machines:
  - {name: web, fabric: modern, datastore: ds1, host: esx01, since: 10m, disks: [{size: 40GB}, {size: 10GB, kind: rdmPhysical}]}
  - {name: back, fabric: modern, datastore: ds1, host: esx01, state: FailedBack, since: 10m}
  - {name: erp, fabric: cs01, datastore: ds1, host: esx01, since: 10m}
  - {name: ready, fabric: cs01, datastore: ds1, host: esx01, state: Reprotected, since: 10h}
  - {name: metal, fabric: cs01, physical: true, since: 10m}
";

/// Check, where the scenario has it, its value there, the mend that breaks it, the mend that mends it, the reads that show it, and what they show.
type Row = (&'static str, &'static str, Value, Value, Value, &'static [&'static str], &'static str);

fn rows() -> Vec<Row> {
    let row = |check, field, value, break_, mend, reads, shows| (check, field, value, break_, mend, reads, shows);
    vec![
        row("NotMigrated", "/machines/0/state", json!("Migrated"), json!({"machine": "web", "migrated": true}), json!({"machine": "web", "migrated": false}), &["item web"], "MigrationCompleted"),
        row("AzureVmPresent", "/machines/0/azureVmExists", json!(false), json!({"machine": "web", "azureVmExists": false}), json!({"machine": "web", "azureVmExists": true}), &["azure web"], "ResourceNotFound"),
        row("AzureVmPresent", "/machines/0/azureVmMovedTo", json!("other"), json!({"machine": "web", "azureVmMovedTo": "other"}), json!({"machine": "web", "azureVmMovedTo": "recovery-rg"}), &["azure web"], "ResourceNotFound"),
        row("AzureVmRunning", "/machines/0/azureVmRunning", json!(false), json!({"machine": "web", "azureVmRunning": false}), json!({"machine": "web", "azureVmRunning": true, "agentRegistered": true}), &["azure web", "item web"], "PowerState/deallocated"),
        row("AgentRegistered", "/machines/0/agent", json!({"registered": false}), json!({"machine": "web", "agentRegistered": false}), json!({"machine": "web", "agentRegistered": true}), &["item web"], r#""isAgentRegistrationSuccessfulAfterFailover":false"#),
        row("TargetIsVMware", "/fabrics/0/hyperV", json!(true), json!({"fabric": "modern", "hyperV": true}), json!({"fabric": "modern", "hyperV": false}), &["fabric modern", "item back", "item web"], "HyperV"),
        row("OriginalVCenter", "/fabrics/0/vcenterKnownAs", json!("another"), json!({"fabric": "modern", "vcenterKnownAs": "another"}), json!({"fabric": "modern", "vcenterKnownAs": ""}), &["sites"], "another"),
        row("OriginalVCenter", "/fabrics/1/vcenterKnownAs", json!("another"), json!({"fabric": "cs01", "vcenterKnownAs": "another"}), json!({"fabric": "cs01", "vcenterKnownAs": ""}), &["item erp", "vcenters"], "another"),
        row("VCenterConnected", "/vcenters/0/connected", json!(false), json!({"vcenterConnected": false}), json!({"vcenterConnected": true}), &["appliances", "fabric modern", "sites", "vcenters"], ""),
        row("ConfigurationServerAvailable", "/fabrics/1/configurationServer", json!({"services": "Stopped"}), json!({"fabric": "cs01", "configurationServerServices": "Stopped"}), json!({"fabric": "cs01", "configurationServerServices": "Running"}), &["fabric cs01"], r#""csServiceStatus":"Stopped""#),
        row("ConfigurationServerAvailable", "/fabrics/1/configurationServer", json!({"heartbeat": false}), json!({"fabric": "cs01", "configurationServerHeartbeat": false}), json!({"fabric": "cs01", "configurationServerHeartbeat": true}), &["fabric cs01"], ""),
        row("KnownToConfigurationServer", "/machines/2/knownToConfigurationServer", json!(false), json!({"machine": "erp", "knownToConfigurationServer": false}), json!({"machine": "erp", "knownToConfigurationServer": true}), &["item erp"], "ConfigurationServerUnknownMachine"),
        row("ApplianceHealthy", "/fabrics/0/appliances/0/parts", json!({"rcmProxy": {"health": "Critical"}}), json!({"component": "appliance01", "part": "rcmProxy", "componentHealth": "Critical"}), json!({"component": "appliance01", "part": "rcmProxy", "componentHealth": "Normal"}), &["appliances", "fabric modern"], "Critical"),
        row("ApplianceHealthy", "/fabrics/0/appliances/0/parts", json!({"dra": {"heartbeat": false}}), json!({"component": "appliance01", "part": "dra", "componentHeartbeat": false}), json!({"component": "appliance01", "part": "dra", "componentHeartbeat": true}), &["appliances", "fabric modern"], "NoHeartbeat"),
        row("MasterTargetDiscovered", "/fabrics/0/appliances/0/discovered", json!(false), json!({"component": "appliance01", "componentDiscovered": false}), json!({"component": "appliance01", "componentDiscovered": true}), &["fabric modern"], r#""reprotectAgents":[]"#),
        row("MasterTargetDiscovered", "/fabrics/1/masterTargets/0/discovered", json!(false), json!({"component": "mt01", "componentDiscovered": false}), json!({"component": "mt01", "componentDiscovered": true}), &["fabric cs01"], ""),
        row("MasterTargetOsMatches", "/fabrics/1/masterTargets/0/os", json!("Linux"), json!({"component": "mt01", "componentOs": "Linux"}), json!({"component": "mt01", "componentOs": "Windows"}), &["fabric cs01"], r#""osType":"Linux""#),
        row("MasterTargetHealthy", "/fabrics/1/masterTargets/0/errors", json!(["cache full"]), json!({"component": "mt01", "componentErrors": ["cache full"]}), json!({"component": "mt01", "componentErrors": []}), &["fabric cs01"], "cache full"),
        row("MasterTargetHealthy", "/fabrics/1/masterTargets/0/heartbeat", json!(false), json!({"component": "mt01", "componentHeartbeat": false}), json!({"component": "mt01", "componentHeartbeat": true}), &["fabric cs01"], ""),
        row("MasterTargetHealthy", "/fabrics/1/masterTargets/0/version", json!("9.63.0.0"), json!({"component": "mt01", "componentVersion": "9.63.0.0"}), json!({"component": "mt01", "componentVersion": "9.62.0.0"}), &["fabric cs01"], "9.63.0.0"),
        row("MasterTargetNoSnapshots", "/fabrics/1/masterTargets/0/snapshots", json!(["nightly"]), json!({"vm": "mt01", "vmSnapshots": ["nightly"]}), json!({"vm": "mt01", "vmSnapshots": []}), &["vms"], "nightly"),
        row("MasterTargetNoSnapshots", "/vcenters/0/vms/0/snapshots", json!(["nightly"]), json!({"vm": "appliance01", "vmSnapshots": ["nightly"]}), json!({"vm": "appliance01", "vmSnapshots": []}), &["vms"], "nightly"),
        row("MasterTargetDiskSlots", "/fabrics/1/masterTargets/0/attachedDisks", json!(59), json!({"component": "mt01", "componentAttachedDisks": 59}), json!({"component": "mt01", "componentAttachedDisks": 0}), &["fabric cs01", "vms"], ""),
        row("MasterTargetDiskSlots", "/fabrics/0/appliances/0/attachedDisks", json!(59), json!({"component": "appliance01", "componentAttachedDisks": 59}), json!({"component": "appliance01", "componentAttachedDisks": 0}), &["vms"], "SCSI controller 3"),
        row("MasterTargetRetention", "/fabrics/1/masterTargets/0/retention", json!([]), json!({"component": "mt01", "componentRetention": []}), json!({"component": "mt01", "componentRetention": [{"name": "R", "capacity": "1TB", "free": "1000GB"}]}), &["fabric cs01"], r#""retentionVolumes":[]"#),
        row("MasterTargetRetention", "/fabrics/1/masterTargets/0/retention", json!([{"name": "R", "free": 0}]), json!({"component": "mt01", "componentRetention": [{"name": "R", "free": 0}]}), json!({"component": "mt01", "componentRetention": [{"name": "R", "capacity": "1TB", "free": "1000GB"}]}), &["fabric cs01"], r#""freeSpaceInBytes":0"#),
        row("MasterTargetController", "/fabrics/1/masterTargets/0/controller", json!("pvscsi"), json!({"vm": "mt01", "vmController": "pvscsi"}), json!({"vm": "mt01", "vmController": "lsisas"}), &["vms"], "ParaVirtualSCSIController"),
        row("MasterTargetController", "/fabrics/1/masterTargets/0/diskEnableUuid", json!(false), json!({"vm": "mt01", "vmDiskEnableUuid": false}), json!({"vm": "mt01", "vmDiskEnableUuid": true}), &["vms"], ""),
        row("DatastoreReachable", "/vcenters/0/datastores/0/hosts", json!(["esx01"]), json!({"datastore": "ds1", "datastoreHosts": ["esx01"]}), json!({"datastore": "ds1", "datastoreHosts": ["esx01", "esx02"]}), &["appliances", "datastores", "fabric cs01", "fabric modern", "hosts"], ""),
        row("EsxHostDiscovered", "/fabrics/1/masterTargets/0/datastores", json!([]), json!({"component": "mt01", "componentDatastores": []}), json!({"component": "mt01", "componentDatastores": ["ds1", "ds2"]}), &["fabric cs01"], ""),
        row("EsxHostDiscovered", "/vcenters/0/discovery", json!("Pending"), json!({"vcenterDiscovery": "Pending"}), json!({"vcenterDiscovery": "Completed"}), &["vcenters"], "Pending"),
        row("SpecialDisksAttached", "/machines/0/disks/1/detached", json!(true), json!({"machine": "web", "diskDetached": 1}), json!({"machine": "web", "diskAttached": 1}), &["vms"], ""),
        row("DatastoreIsVmfs", "/vcenters/0/datastores/1/kind", json!("NFS"), json!({"datastore": "ds2", "datastoreKind": "NFS"}), json!({"datastore": "ds2", "datastoreKind": "VMFS"}), &["datastores", "fabric cs01"], "NFS"),
        row("DatastoreHasSpace", "/vcenters/0/datastores/1/free", json!(1 << 30), json!({"datastore": "ds2", "datastoreFree": 1 << 30}), json!({"datastore": "ds2", "datastoreFree": 3072_u64 << 30}), &["datastores", "fabric cs01"], ""),
        row("VmNameFree", "/vcenters/0/vms/1", json!({"name": "metal", "host": "esx02", "poweredOn": false}), json!({"addVm": "metal", "host": "esx02"}), json!({"removeVm": "metal"}), &["vms"], ">metal<"),
        row("OsSupported", "/machines/4/osName", json!("Microsoft Windows Server 2008 R2 (64-bit)"), json!({"machine": "metal", "osName": "Microsoft Windows Server 2008 R2 (64-bit)"}), json!({"machine": "metal", "osName": ""}), &["item metal"], "2008 R2"),
        row("ReplicationGroupTogether", "/machines/0/group", json!("tier"), json!({"machine": "web", "group": "tier"}), json!({"machine": "web", "group": ""}), &["item web", "points web"], "tier"),
        row("DisksUnchanged", "/machines/0/disks/2", json!({"size": "5GB", "addedInAzure": true}), json!({"machine": "web", "diskAddedInAzure": 5_u64 << 30}), json!({"machine": "web", "addedDisksRemoved": true}), &["azure web"], "added"),
        row("ReprotectComplete", "/machines/3/replicationHealth", json!("Critical"), json!({"machine": "ready", "replicationHealth": "Critical"}), json!({"machine": "ready", "replicationHealth": "Normal"}), &["item ready"], "ReplicationNotHealthy"),
        row("RecoveryPointAvailable", "/machines/3/recoveryPoints", json!(false), json!({"machine": "ready", "recoveryPoints": false}), json!({"machine": "ready", "recoveryPoints": true}), &["item ready", "points ready"], ""),
        row("AzureVmStopped", "/machines/1/azureVmLeftRunning", json!(true), json!({"machine": "back", "azureVmRunning": true, "agentRegistered": true}), json!({"machine": "back", "azureVmRunning": false}), &["azure back"], "PowerState/running"),
        row("OnPremisesVmRunning", "/machines/1/onPremRunning", json!(false), json!({"machine": "back", "onPremRunning": false}), json!({"machine": "back", "onPremRunning": true, "toolsRunning": true, "agentRegistered": true}), &["hosts", "item back", "vms"], ""),
        row("VMwareToolsRunning", "/machines/1/tools", json!(false), json!({"machine": "back", "toolsRunning": false}), json!({"machine": "back", "toolsRunning": true}), &["vms"], ""),
        row("NoDeleteLock", "/azure/locks", json!([{"name": "keep"}]), json!({"addLock": "keep"}), json!({"removeLock": "keep"}), &["locks"], "CanNotDelete"),
        row("ProcessServerAvailable", "/fabrics/1/processServers/0/heartbeat", json!(false), json!({"component": "ps01", "componentHeartbeat": false}), json!({"component": "ps01", "componentHeartbeat": true}), &["fabric cs01"], r#""psServiceStatus":"Stopped""#),
        row("ProcessServerAvailable", "/fabrics/0/appliances/0/parts", json!({"processServer": {"health": "Critical"}}), json!({"component": "appliance01", "part": "processServer", "componentHealth": "Critical"}), json!({"component": "appliance01", "part": "processServer", "componentHealth": "Normal"}), &["appliances", "fabric modern"], "Critical"),
    ]
}

async fn objects(vim: &Vim<'_>, kind: &str, paths: &[&str]) -> String {
    let view = vim
        .call(&format!(r#"<CreateContainerView xmlns="urn:vim25"><_this type="ViewManager">ViewManager</_this><container type="Folder">group-d1</container><type>{kind}</type><recursive>true</recursive></CreateContainerView>"#))
        .await;
    let view = between(&view, "<returnval type=\"ContainerView\">", "<").unwrap().to_owned();
    let paths: String = paths.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect();
    vim.call(&format!(
        r#"<RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet><propSet><type>{kind}</type>{paths}</propSet><objectSet><obj type="ContainerView">{view}</obj><skip>true</skip><selectSet xsi:type="TraversalSpec"><type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet></specSet><options/></RetrievePropertiesEx>"#
    ))
    .await
}

/// Every read that a client of the site makes, by a name.
async fn wire(running: &common::Running) -> BTreeMap<String, String> {
    let arm = Arm::login(running).await;
    let mut reads = BTreeMap::new();
    for name in ["web", "back", "erp", "ready", "metal"] {
        let id = arm.item_id(name);
        reads.insert(format!("item {name}"), arm.call("GET", &id, None).await.text());
        reads.insert(format!("points {name}"), arm.call("GET", &format!("{id}/recoveryPoints"), None).await.text());
        let vm = format!("{}/providers/Microsoft.Compute/virtualMachines/{name}?$expand=instanceView", arm.base);
        reads.insert(format!("azure {name}"), arm.call("GET", &vm, None).await.text());
    }
    for fabric in arm.get(&format!("{}/replicationFabrics", arm.vault)).await["value"].as_array().unwrap() {
        let name = fabric["properties"]["friendlyName"].as_str().unwrap();
        reads.insert(format!("fabric {name}"), arm.call("GET", fabric["id"].as_str().unwrap(), None).await.text());
    }
    let site = format!("{}/providers/Microsoft.OffAzure/VMwareSites/modernvmwaresite/vcenters", arm.base);
    let lock = format!("{}/providers/Microsoft.Compute/virtualMachines/web/providers/Microsoft.Authorization/locks", arm.base);
    for (name, path) in [
        ("appliances", format!("{}/replicationAppliances", arm.vault)),
        ("vcenters", format!("{}/replicationvCenters", arm.vault)),
        ("sites", site),
        ("locks", lock),
    ] {
        reads.insert(name.to_owned(), arm.call("GET", &path, None).await.text());
    }
    let vim = Vim::login(running).await;
    for (name, kind, paths) in [
        ("vms", "VirtualMachine", ["name", "runtime", "config.hardware.device", "config.extraConfig", "snapshot", "guest"].as_slice()),
        ("hosts", "HostSystem", ["name", "runtime", "parent", "datastore", "summary"].as_slice()),
        ("datastores", "Datastore", ["name", "summary", "host"].as_slice()),
    ] {
        reads.insert(name.to_owned(), objects(&vim, kind, paths).await);
    }
    reads
}

fn differing(some: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> BTreeSet<String> {
    some.iter().filter(|(name, text)| other.get(*name) != Some(text)).map(|(name, _)| name.clone()).collect()
}

fn put(scenario: &mut Value, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match scenario.pointer_mut(parent) {
        Some(Value::Array(list)) => list.push(value),
        Some(map) => map[field] = value,
        // `azure` is not in the scenario at all.
        None => scenario[parent.trim_start_matches('/')] = json!({field: value}),
    }
}

/// All of one instant, so that heartbeats do not differ.
async fn site(scenario: &Value) -> common::Running {
    let origin = "2026-01-05T08:00:00Z".parse().unwrap();
    common::start_with(&scenario.to_string(), sim_site::Options::at_speed(0.0).with_origin(origin)).await
}

#[tokio::test]
async fn each_check_can_be_failed_by_itself_and_mended() {
    let usual: Value = serde_yaml::from_str(SITE).unwrap();
    let before = wire(&site(&usual).await).await;
    for (check, field, value, break_, mend, reads, shows) in rows() {
        let expected: BTreeSet<String> = reads.iter().map(|name| (*name).to_owned()).collect();
        let text = |wire: &BTreeMap<String, String>| expected.iter().map(|name| wire[name].as_str()).collect::<String>();
        let mut broken = usual.clone();
        put(&mut broken, field, value);
        let from_the_start = wire(&site(&broken).await).await;
        assert_eq!(differing(&before, &from_the_start), expected, "{check}: {field}");
        assert!(text(&from_the_start).contains(shows), "{check}: {field} shows {shows}");
        let running = site(&usual).await;
        running.site.try_inject(change(&break_)).unwrap();
        let later = wire(&running).await;
        assert_eq!(differing(&before, &later), expected, "{check}: {break_}");
        assert!(text(&later).contains(shows), "{check}: {break_} shows {shows}");
        running.site.try_inject(change(&mend)).unwrap();
        running.site.advance(jiff::SignedDuration::ZERO);
        assert_eq!(differing(&later, &wire(&running).await), expected, "{check}: {mend}");
    }
}

fn change(mend: &Value) -> sim_site::Fault {
    serde_json::from_value(json!({"effect": {"type": "world", "change": mend}})).unwrap()
}

#[test]
fn the_readme_has_a_row_for_each() {
    let readme = include_str!("../README.md");
    for (check, field, _, break_, ..) in rows() {
        let row = readme.lines().find(|line| line.contains(&format!("| {check} |")));
        let row = row.unwrap_or_else(|| panic!("{check} has no row"));
        let last = field.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap();
        assert!(row.contains(&format!("`{last}`")) || row.contains(last), "{check}: {last}");
        let keys = break_.as_object().unwrap().keys();
        let unnamed = |key: &&String| !["machine", "host", "vm", "component", "fabric", "datastore", "agentRegistered"].contains(&key.as_str());
        for key in keys.filter(unnamed) {
            assert!(row.contains(key.as_str()), "{check}: {key}");
        }
    }
}
