//! The classic generation: InMageAzureV2 toward Azure, InMage toward VMware, and the configuration server's fabric. Shapes are those of the recordings.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::fabrics::heartbeat;
use super::items::View;
use super::rcm_item::beat;
use crate::clock::{azure_time, before};
use crate::scenario::{DatastoreKind, Os};
use crate::world::{Fabric, Machine, Role, Server, Stage, World, stable_id};

const FOREVER: &str = "9999-12-31T23:59:59.9999999";

/// Whole seconds, as the classic parts write times (recorded).
fn seconds(text: &str) -> String {
    match text.split_once('.') {
        Some((head, _)) => format!("{head}Z"),
        None => text.to_owned(),
    }
}

pub(crate) fn details(world: &World, machine: &Machine, fabric: &Fabric, view: View) -> Value {
    if machine.stage.is_reverse() {
        in_mage(world, machine, fabric, view)
    } else {
        azure_v2(world, machine, fabric, view)
    }
}

fn datastores(world: &World, machine: &Machine, fabric: &Fabric) -> Vec<String> {
    let vcenter = world.vcenters.get(fabric.vcenter);
    let of_vm = world
        .on_prem(machine)
        .and_then(|vm| vcenter?.datastores.get(vm.datastore))
        .map(|datastore| datastore.name.clone());
    of_vm.or_else(|| Some(machine.reverse.datastore.clone()).filter(|name| !name.is_empty())).into_iter().collect()
}

fn group(machine: &Machine) -> (String, String) {
    // Without a named group the id is repeated as the name (recorded; protocol reference §1.3).
    let id = stable_id("multi-vm", machine.spec.group.as_deref().unwrap_or(&machine.spec.name));
    let name = machine.spec.group.clone().unwrap_or_else(|| id.clone());
    (id, name)
}

fn copying(machine: &Machine) -> bool {
    matches!(machine.stage, Stage::ForwardInitial | Stage::ForwardPointPending | Stage::ReverseInitial)
}

fn percentage(world: &World, machine: &Machine) -> u32 {
    machine.copying.map_or(0, |copying| {
        let whole = copying.ends.duration_since(copying.started).as_secs_f64().max(1.0);
        (world.now.duration_since(copying.started).as_secs_f64() / whole * 100.0).clamp(0.0, 100.0) as u32
    })
}

fn disks(world: &World, machine: &Machine) -> Vec<Value> {
    let running = copying(machine);
    machine
        .spec
        .disks
        .iter()
        .filter(|disk| !disk.added_in_azure)
        .enumerate()
        .map(|(number, disk)| {
            json!({
                "diskId": format!("{{{}}}", stable_id("classic-disk", &format!("{}/{number}", machine.spec.name)).to_ascii_uppercase()),
                "diskName": format!("Disk{number}"),
                "protectionStage": if running { "InitialReplication" } else { "DifferentialSync" },
                "healthErrorCode": Value::Null,
                "rpoInSeconds": 240,
                "resyncRequired": "NotRequired",
                "resyncProgressPercentage": if running { percentage(world, machine) } else { 0 },
                "resyncDurationInSeconds": 298,
                "diskCapacityInBytes": disk.size.0,
                "fileSystemCapacityInBytes": disk.size.0,
                "sourceDataInMB": 0.0, "psDataInMB": 0.0, "targetDataInMB": 0.0,
                "diskResized": "NotResized",
                "lastRpoCalculatedTime": seconds(&beat(world.now, &machine.spec.name, 120)),
                "resyncProcessedBytes": 0, "resyncTotalTransferredBytes": 0, "resyncLast15MinutesTransferredBytes": 0,
                "resyncLastDataTransferTimeUTC": Value::Null,
                "resyncStartTime": Value::Null,
                "progressHealth": if running { "InProgress" } else { "Completed" },
                "progressStatus": if running { "Green" } else { "Grey" },
            })
        })
        .collect()
}

fn agent_heartbeat(world: &World, machine: &Machine) -> String {
    if machine.agent_registered {
        seconds(&beat(world.now, &machine.spec.name, 150))
    } else {
        seconds(&azure_time(before(machine.since, SignedDuration::from_secs(120))))
    }
}

fn in_mage(world: &World, machine: &Machine, fabric: &Fabric, view: View) -> Value {
    let full = view == View::Full;
    let running = copying(machine);
    let (group_id, group_name) = group(machine);
    let points = if full { world.points(machine) } else { Vec::new() };
    let (oldest, newest) = (
        points.last().map(|point| seconds(&azure_time(point.at))),
        points.first().map(|point| seconds(&azure_time(point.at))),
    );
    let state = if running { "InitialReplicationInProgress" } else { "Protected" };
    // A tag's name ends in the moment at which it was set, in hex (recorded).
    let tags = match (points.first(), &newest) {
        (Some(point), Some(at)) => {
            let set = point.at.as_second();
            json!({format!("fileSystem{set:x}"): at, format!("systemLevelTag{set:x}"): at})
        }
        (_, _) => Value::Null,
    };
    json!({
        "instanceType": "InMage",
        "activeSiteType": if machine.stage.runs_in_azure() { "Azure" } else { "OnPrem" },
        "sourceVmCpuCount": 0,
        "sourceVmRamSizeInMB": 0,
        "osDetails": if full { json!({"osVhdId": Value::Null, "osType": machine.spec.os.name(), "vhdName": Value::Null}) } else { Value::Null },
        "protectionStage": if running { "InitialReplication" } else { "DifferentialSync" },
        "vmId": machine.internal_id,
        "vmProtectionState": state,
        "vmProtectionStateDescription": state,
        "resyncDetails": {"initialReplicationType": "InitialReplication", "initialReplicationProgressPercentage": percentage(world, machine).to_string()},
        "retentionWindowStart": oldest,
        "retentionWindowEnd": newest,
        "compressedDataRateInMB": 14.984_423_637_39,
        "uncompressedDataRateInMB": 147.490_636_825_56,
        "rpoInSeconds": 242,
        "protectedDisks": if full { disks(world, machine) } else { Vec::new() },
        "ipAddress": machine.azure.ip,
        "lastHeartbeat": agent_heartbeat(world, machine),
        "processServerId": machine.reverse.process_server,
        "masterTargetId": if full { json!(machine.reverse.target) } else { Value::Null },
        "consistencyPoints": tags,
        "diskResized": if full { json!("NotResized") } else { Value::Null },
        "rebootAfterUpdateStatus": Value::Null,
        "multiVmGroupId": group_id,
        "multiVmGroupName": group_name,
        "multiVmSyncStatus": "Enabled",
        "agentDetails": {"agentVersion": "9.62.0.0", "agentUpdateStatus": "NotRequired", "postUpdateRebootStatus": "NotRequired", "agentExpiryDate": FOREVER},
        "vCenterInfrastructureId": Value::Null,
        "infrastructureVmId": machine.spec.known_to_configuration_server.then_some(&machine.internal_id),
        "vmNics": [{"nicId": machine.azure.mac, "vMNetworkName": "Microsoft Hyper-V Network Adapter #2", "selectionType": "NotSelected",
            "ipConfigs": [{"isPrimary": true, "subnetName": "default", "staticIPAddress": Value::Null, "ipAddressType": "Dynamic"}]}],
        "discoveryType": if machine.stage.runs_in_azure() { "Physical" } else { "vCenter" },
        "azureStorageAccountId": Value::Null,
        "datastores": datastores(world, machine, fabric),
        "validationErrors": [],
        "lastRpoCalculatedTime": seconds(&beat(world.now, &machine.spec.name, 120)),
        "lastUpdateReceivedTime": beat(world.now, &fabric.name, 120),
        "replicaId": stable_id("replica", &machine.internal_id),
        "osVersion": Value::Null,
        "isAdditionalStatsAvailable": false,
        "totalDataTransferred": -1,
        "totalProgressHealth": if running { "InProgress" } else { "Completed" },
    })
}

fn azure_v2(world: &World, machine: &Machine, fabric: &Fabric, view: View) -> Value {
    let full = view == View::Full;
    let running = copying(machine);
    let in_azure = machine.stage.runs_in_azure();
    let (group_id, group_name) = group(machine);
    let server = fabric.servers.iter().find(|server| server.id.eq_ignore_ascii_case(&machine.process_server));
    let vm = world.on_prem(machine);
    let vcenter = world.vcenters.get(fabric.vcenter);
    let state = if running { "InitialReplicationInProgress" } else { "Protected" };
    // Until failed over the target VM's id ends without a name (recorded).
    let target = world.provider_id("Microsoft.Compute/virtualMachines/")
        + if in_azure { machine.azure.name.as_str() } else { "" };
    let last = world.newest_point(machine).map(|point| azure_time(point.at));
    let mut value = json!({
        "instanceType": "InMageAzureV2",
        "infrastructureVmId": machine.spec.known_to_configuration_server.then(|| stable_id("infrastructure", &machine.spec.name)),
        "vCenterInfrastructureId": (!machine.spec.physical && vcenter.is_some()).then_some(&fabric.vcenter_known_as),
        "protectionStage": if running { "InitialReplication" } else { "DifferentialSync" },
        "vmId": machine.internal_id,
        "vmProtectionState": state,
        "vmProtectionStateDescription": state,
        "resyncProgressPercentage": percentage(world, machine),
        "rpoInSeconds": 242,
        "compressedDataRateInMB": 14.98,
        "uncompressedDataRateInMB": 147.49,
        "ipAddress": machine.spec.ip.clone().or_else(|| vm.map(|vm| vm.ip.clone())),
        "agentVersion": "9.62.0.0",
        "agentExpiryDate": FOREVER,
        "isAgentUpdateRequired": "false",
        "isRebootAfterUpdateRequired": "false",
        "lastHeartbeat": agent_heartbeat(world, machine),
        "processServerId": machine.process_server,
        "processServerName": server.map(|server| server.name.as_str()),
        "multiVmGroupId": group_id,
        "multiVmGroupName": group_name,
        "multiVmSyncStatus": "Enabled",
        "protectedDisks": if full { disks(world, machine) } else { Vec::new() },
        "diskResized": if full { json!("NotResized") } else { Value::Null },
        "masterTargetId": if full { json!(machine.process_server) } else { Value::Null },
        "sourceVmCpuCount": machine.spec.cpus,
        "sourceVmRamSizeInMB": machine.spec.memory.0 >> 20,
        "osType": machine.spec.os.name(),
        "vhdName": Value::Null,
        "osDiskId": Value::Null,
        "azureVMDiskDetails": [],
        "recoveryAzureVMName": machine.spec.azure_vm.clone().unwrap_or_else(|| machine.spec.name.clone()),
        "recoveryAzureVMSize": "Standard_F4s_v2",
        "recoveryAzureStorageAccount": "",
        "recoveryAzureLogStorageAccountId": world.provider_id("Microsoft.Storage/storageAccounts/replicationcache"),
        "vmNics": [],
        "selectedRecoveryAzureNetworkId": world.provider_id("Microsoft.Network/virtualNetworks/recovery-vnet"),
        "selectedSourceNicId": "",
        "discoveryType": if machine.spec.physical { "Physical" } else { "vCenter" },
        "enableRdpOnTargetOption": "Never",
        "datastores": datastores(world, machine, fabric),
        "targetVmId": target,
        "recoveryAzureResourceGroupId": format!("/subscriptions/{}/resourceGroups/{}", world.azure.subscription, world.azure.resource_group),
        "recoveryAvailabilitySetId": "",
        "useManagedDisks": "true",
        "licenseType": "NotSpecified",
        "validationErrors": [],
        "lastRpoCalculatedTime": seconds(&beat(world.now, &machine.spec.name, 120)),
        "lastUpdateReceivedTime": beat(world.now, &fabric.name, 120),
        "replicaId": stable_id("replica", &machine.internal_id),
        "osVersion": machine.spec.os_name,
        "protectedManagedDisks": [],
        "firmwareType": "BIOS",
        "azureVmGeneration": "V1",
        "isAdditionalStatsAvailable": false,
        "totalDataTransferred": -1,
        "totalProgressHealth": if running { "InProgress" } else { "Completed" },
    });
    if let (Some(last), Some(map)) = (last, value.as_object_mut()) {
        map.insert("lastRecoveryPointReceived".to_owned(), json!(last));
    }
    value
}

fn version(version: &str) -> Value {
    json!({"version": version, "expiryDate": FOREVER, "status": "Supported"})
}

/// `customDetails` of a configuration server's fabric.
pub(crate) fn fabric_details(world: &World, fabric: &Fabric, full: bool) -> Value {
    let Some(server) = fabric.servers.first() else { return json!({"instanceType": "VMware"}) };
    let process: Vec<Value> = fabric
        .servers
        .iter()
        .filter(|server| server.role != Role::MasterTarget)
        .map(|server| process_server(world, server))
        .collect();
    let targets: Vec<Value> = fabric
        .servers
        .iter()
        .filter(|server| matches!(server.role, Role::ConfigurationServer | Role::MasterTarget) && server.discovered)
        .map(|server| master_target(world, fabric, server))
        .collect();
    let accounts = json!([{"accountId": "1", "accountName": "vcenteruser"}, {"accountId": "2", "accountName": "windowsuser"}, {"accountId": "3", "accountName": "linuxuser"}]);
    let items = world
        .machines
        .iter()
        .filter(|machine| !machine.removed && world.fabric_of(machine).is_some_and(|of| of.name == fabric.name))
        .count();
    let mut value = json!({
        "instanceType": "VMware",
        "processServers": if full { process } else { Vec::new() },
        "masterTargetServers": if full { targets } else { Vec::new() },
        "runAsAccounts": if full { accounts } else { json!([]) },
        "replicationPairCount": (items * 2).to_string(),
        "processServerCount": fabric.servers.iter().filter(|server| server.role != Role::MasterTarget).count().to_string(),
        "agentCount": items.to_string(),
        "protectedServers": items.to_string(),
        "databaseServerLoad": "0.25",
        "databaseServerLoadStatus": "Green",
        "webLoad": "0",
        "webLoadStatus": "Green",
        "csServiceStatus": if server.heartbeat { fabric.cs_services.as_str() } else { "Stopped" },
        "hostName": fabric.friendly,
        "ipAddress": server.ip,
        "agentVersion": server.version,
        "versionStatus": "Supported",
        "lastHeartbeat": fabric.cs_silent_since.map_or_else(|| heartbeat(world, server, "cs"), azure_time),
        "sslCertExpiryDate": seconds(&azure_time(crate::clock::after(world.start, SignedDuration::from_hours(24 * 700)))),
        "sslCertExpiryRemainingDays": 700,
        "psTemplateVersion": "202102.14.00",
        "agentExpiryDate": FOREVER,
        "agentVersionDetails": version(&server.version),
    });
    if let (Some(map), Some(load)) = (value.as_object_mut(), load().as_object()) {
        map.extend(load.clone());
    }
    value
}

/// Loads are strings (recorded).
fn load() -> Value {
    json!({
        "systemLoad": "0", "systemLoadStatus": "Green", "cpuLoad": "0%", "cpuLoadStatus": "Green", "totalMemoryInBytes": 20_266_405_888_u64,
        "availableMemoryInBytes": 15_846_302_764_u64, "memoryUsageStatus": "Green", "totalSpaceInBytes": 137_435_803_648_u64, "availableSpaceInBytes": 133_154_694_826_u64,
        "spaceUsageStatus": "Green",
    })
}

fn process_server(world: &World, server: &Server) -> Value {
    let updates: Vec<Value> = [Os::Windows, Os::Linux]
        .iter()
        .map(|os| json!({"version": server.version, "rebootStatus": "NotRequired", "osType": os.name()}))
        .collect();
    let mut value = json!({
        "friendlyName": server.name, "id": server.id, "ipAddress": server.ip, "osType": "Windows", "agentVersion": server.version,
        "lastHeartbeat": seconds(&heartbeat(world, server, "ps")), "versionStatus": "Supported", "mobilityServiceUpdates": updates, "hostId": server.id,
        "machineCount": "1", "replicationPairCount": "2", "psServiceStatus": if server.heartbeat { "Running" } else { "Stopped" },
        "sslCertExpiryDate": seconds(&azure_time(crate::clock::after(world.start, SignedDuration::from_hours(24 * 700)))), "sslCertExpiryRemainingDays": 700,
        "osVersion": Value::Null, "healthErrors": [], "agentExpiryDate": FOREVER, "agentVersionDetails": version(&server.version),
        "health": if server.heartbeat { server.health.as_str() } else { "Critical" }, "psStatsRefreshTime": seconds(&beat(world.now, &server.name, 60)),
        "throughputUploadPendingDataInBytes": 0, "throughputInMBps": 0, "throughputInBytes": 0, "throughputStatus": "Green", "marsCommunicationStatus": "1", "marsRegistrationStatus": "1",
    });
    if let (Some(map), Some(load)) = (value.as_object_mut(), load().as_object()) {
        map.extend(load.clone());
    }
    value
}

fn gigabytes(bytes: u64) -> String {
    let text = format!("{:.2}", bytes as f64 / 1_073_741_824.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn master_target(world: &World, fabric: &Fabric, server: &Server) -> Value {
    let vcenter = world.vcenters.get(fabric.vcenter);
    let seen: Vec<String> = match &server.datastores {
        Some(names) => names.clone(),
        None => vcenter.map(|vcenter| vcenter.writable_on(server.host)).unwrap_or_default(),
    };
    let stores: Vec<Value> = seen
        .iter()
        .filter_map(|name| vcenter?.datastores.get(vcenter?.datastore_named(name)?))
        .map(|datastore| {
            let kind = match datastore.kind {
                DatastoreKind::Vmfs => "VMFS",
                DatastoreKind::Nfs => "NFS",
                DatastoreKind::Vsan => "vsan",
            };
            json!({"symbolicName": datastore.name, "uuid": datastore.uuid, "capacity": gigabytes(datastore.capacity), "freeSpace": gigabytes(datastore.free), "type": kind})
        })
        .collect();
    let volumes: Vec<Value> = server
        .retention
        .iter()
        .map(|volume| {
            let threshold = if server.role == Role::ConfigurationServer { Value::Null } else { json!(80) };
            json!({"volumeName": volume.name, "capacityInBytes": volume.capacity.0, "freeSpaceInBytes": volume.free.0, "thresholdPercentage": threshold})
        })
        .collect();
    let errors: Vec<Value> = server.errors.iter().map(|text| json!({"errorCode": "MasterTargetNotHealthy", "errorMessage": text, "errorLevel": "Error", "summaryMessage": text})).collect();
    let os_version = match server.os {
        Os::Windows => "Microsoft Windows Server 2016 Datacenter",
        Os::Linux => "Ubuntu 16.04",
    };
    json!({
        "id": server.id, "ipAddress": server.ip, "name": server.name, "osType": server.os.name(), "agentVersion": server.version,
        "lastHeartbeat": seconds(&heartbeat(world, server, "mt")), "versionStatus": "Supported", "retentionVolumes": volumes, "dataStores": stores, "validationErrors": [],
        "healthErrors": errors, "diskCount": world.disks_through(server), "osVersion": os_version, "agentExpiryDate": FOREVER, "marsAgentVersion": "2.0.9202.0", "marsAgentExpiryDate": FOREVER,
        "agentVersionDetails": version(&server.version), "marsAgentVersionDetails": version("2.0.9202.0"),
    })
}
