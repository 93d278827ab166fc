//! Details of a modernized item: InMageRcm toward Azure, InMageRcmFailback toward VMware. Keys, kinds and quirks are those of the recording.

mod failback;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::items::View;
use crate::clock::{azure_time, before};
use crate::scenario::{Disk, Os};
use crate::world::{Fabric, Machine, Stage, World, stable_id};

/// The agent's version, everywhere.
const AGENT: &str = "9.62.7172.1";

/// The last beat of something that reports every few minutes: what lies between is never newer than that.
pub(crate) fn beat(now: Timestamp, name: &str, every: i64) -> String {
    let offset = name.bytes().map(i64::from).sum::<i64>() % every.max(1);
    let second = (now.as_second() - offset - 60).div_euclid(every.max(1)) * every.max(1) + offset;
    Timestamp::from_second(second).map(azure_time).unwrap_or_default()
}

pub(crate) fn details(world: &World, machine: &Machine, fabric: &Fabric, view: View) -> Value {
    if machine.stage.is_reverse() {
        failback::details(world, machine, fabric, view)
    } else {
        forward(world, machine, fabric, view)
    }
}

/// Progress of the first copy. It stays 0 for a while and is null when there is none (recorded).
struct Progress {
    percentage: Value,
    processed: Value,
    transferred: Value,
    health: &'static str,
    disk_started: bool,
}

impl Progress {
    const NONE: Progress = Progress {
        percentage: Value::Null,
        processed: Value::Null,
        transferred: Value::Null,
        health: "None",
        disk_started: false,
    };

    /// Adds the fields that tell it, the same toward either side. A resynchronisation never happens here.
    fn tell(&self, details: &mut Map<String, Value>) {
        let fields = json!({
            "initialReplicationProgressPercentage": self.percentage,
            "initialReplicationProcessedBytes": self.processed,
            "initialReplicationTransferredBytes": self.transferred,
            "initialReplicationProgressHealth": self.health,
            "resyncProgressPercentage": Value::Null,
            "resyncProcessedBytes": Value::Null,
            "resyncTransferredBytes": Value::Null,
            "resyncProgressHealth": "None",
            "resyncRequired": "false",
            "resyncState": "None",
        });
        if let Value::Object(fields) = fields {
            details.extend(fields);
        }
    }
}

fn progress(world: &World, machine: &Machine) -> Progress {
    let Some(copying) = machine.copying else {
        return Progress::NONE;
    };
    let ran = world.now.duration_since(copying.started);
    // Nothing is shown for the first minutes: more of them toward Azure (recorded).
    let quiet = if machine.stage == Stage::ReverseInitial { 3 } else { 7 };
    if ran < SignedDuration::from_mins(quiet) {
        return Progress::NONE;
    }
    let whole = copying.ends.duration_since(copying.started).as_secs_f64().max(1.0);
    let share = (ran.as_secs_f64() / whole).clamp(0.0, 1.0);
    // The recording shows 0 for the whole of a small failback copy, and 0 for the first third of the forward one.
    let share = if machine.stage == Stage::ReverseInitial && machine.total_bytes() < 64 << 30 || share < 0.4 {
        0.0
    } else {
        share
    };
    let processed = (machine.total_bytes() as f64 * share) as u64;
    let transferred = (copying.bytes as f64 * share) as u64;
    Progress {
        percentage: json!((share * 100.0) as u32),
        processed: json!(processed),
        transferred: json!(transferred),
        health: "InProgress",
        disk_started: true,
    }
}

fn ir_details(machine: &Machine, progress: &Progress, reverse: bool) -> Value {
    let health = if progress.disk_started && !reverse { "InProgress" } else { "Queued" };
    let moment = |shape: fn(Timestamp) -> String| match (progress.disk_started, reverse, machine.copying) {
        (false, _, _) | (_, _, None) => Value::Null,
        // Failback disks show empty strings while they are queued (recorded).
        (true, true, _) => json!(""),
        (true, false, Some(copying)) => json!(shape(copying.started)),
    };
    json!({
        "progressHealth": health,
        "transferredBytes": progress.transferred.as_u64().unwrap_or(0),
        "last15MinutesTransferredBytes": progress.transferred.as_u64().unwrap_or(0),
        "lastDataTransferTimeUtc": moment(log_time),
        "processedBytes": progress.processed.as_u64().unwrap_or(0),
        "startTime": moment(log_time),
        "lastRefreshTime": moment(us_time),
        "progressPercentage": if health == "Queued" { Value::Null } else { progress.percentage.clone() },
    })
}

/// "2023-Aug-26 03:26:50" (recorded).
fn log_time(at: Timestamp) -> String {
    at.strftime("%Y-%b-%d %H:%M:%S").to_string()
}

/// "8/26/2023 3:27:04 AM" (recorded).
fn us_time(at: Timestamp) -> String {
    at.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string()
}

fn disk_id(machine: &Machine, number: usize) -> String {
    let id = stable_id("disk-signature", &format!("{}/{number}", machine.spec.name));
    match machine.spec.os {
        Os::Windows => format!("{{{}}}", u32::from_str_radix(id.get(..8).unwrap_or("0"), 16).unwrap_or(0)),
        Os::Linux => format!("DataDisk{number}"),
    }
}

fn disk_name(machine: &Machine, number: usize) -> String {
    match machine.spec.os {
        Os::Windows => format!("\\\\.\\PHYSICALDRIVE{number}"),
        Os::Linux => format!("/dev/sd{}", char::from(b'a' + (number % 26) as u8)),
    }
}

fn replicated(machine: &Machine) -> impl Iterator<Item = (usize, &Disk)> {
    machine.spec.disks.iter().filter(|disk| !disk.added_in_azure).enumerate()
}

fn agent_heartbeat(world: &World, machine: &Machine) -> String {
    let runs = if machine.stage.runs_in_azure() {
        machine.azure.exists && machine.azure.power == crate::world::AzurePower::Running
    } else {
        world.on_prem(machine).is_some_and(|vm| vm.powered_on)
    };
    if runs && machine.agent_registered {
        beat(world.now, &machine.spec.name, 271)
    } else {
        azure_time(before(machine.since, SignedDuration::from_secs(143)))
    }
}

fn address(world: &World, machine: &Machine) -> String {
    machine
        .spec
        .ip
        .clone()
        .or_else(|| world.on_prem(machine).map(|vm| vm.ip.clone()))
        .unwrap_or_else(|| "10.10.0.250".to_owned())
}

fn forward(world: &World, machine: &Machine, fabric: &Fabric, view: View) -> Value {
    let appliance = world.appliance_of(machine);
    let appliance_name = appliance.map(|server| server.name.as_str()).unwrap_or_default();
    let storage = world.provider_id("Microsoft.Storage/storageAccounts/replicationcache");
    let in_azure = machine.stage.runs_in_azure();
    let progress = progress(world, machine);
    // The details of the copy stay for some minutes after it has ended (recorded).
    let lingers = machine.stage == Stage::ForwardPointPending
        && world.now.duration_since(machine.since) < SignedDuration::from_mins(4);
    let complete = machine.stage != Stage::ForwardInitial && !lingers;
    let disks: Vec<Value> = replicated(machine)
        .map(|(number, disk)| {
            let mut value = json!({
                "diskId": disk_id(machine, number),
                "diskName": disk_name(machine, number),
                "isOSDisk": if number == 0 { "true" } else { "false" },
                "capacityInBytes": disk.size.0,
                "logStorageAccountId": storage,
                "diskEncryptionSetId": Value::Null,
                "seedManagedDiskId": world.provider_id(&format!("Microsoft.Compute/disks/asrseeddisk-{}-{}", machine.spec.name, stable_id("seed", &format!("{}/{number}", machine.spec.name)))),
                "seedBlobUri": Value::Null,
                "targetManagedDiskId": if in_azure { json!(world.provider_id(&format!("Microsoft.Compute/disks/{}-disk{number}", machine.azure.name))) } else { Value::Null },
                "targetBlobUri": Value::Null,
                "diskType": "Premium_LRS",
                "dataPendingInLogDataStoreInMB": 0.0,
                "dataPendingAtSourceAgentInMB": 0.087_890_625,
                "isInitialReplicationComplete": if complete { "true" } else { "false" },
            });
            if !complete && let Some(value) = value.as_object_mut() {
                value.insert("irDetails".to_owned(), ir_details(machine, &progress, false));
            }
            value
        })
        .collect();
    let last_point = world.newest_point(machine);
    let last_point = last_point.as_ref();
    let machine_id = match &machine.discovered_as {
        Some(uuid) => {
            format!("Microsoft.OffAzure/VMwareSites/{}/machines/{}_{uuid}", fabric.site, vcenter_name(world, fabric))
        }
        None => format!(
            "Microsoft.OffAzure/ServerSites/{}physicalsite/machines/{}",
            fabric.friendly,
            stable_id("server", &machine.spec.name)
        ),
    };
    let mut value = json!({
        "instanceType": "InMageRcm",
        "internalIdentifier": machine.internal_id,
        "fabricDiscoveryMachineId": world.provider_id(&machine_id),
        "multiVmGroupName": machine.spec.group,
        "discoveryType": if machine.spec.physical { "Physical" } else { "VCenter" },
        "processServerId": machine.process_server,
        "processorCoreCount": machine.spec.cpus,
        "allocatedMemoryInMB": machine.spec.memory.0 as f64 / 1_048_576.0,
        "processServerName": appliance_name,
        "runAsAccountId": world.provider_id(&format!("Microsoft.OffAzure/VMwareSites/{}/runasaccounts/{}", fabric.site, stable_id("runas", &fabric.name))),
        "osType": machine.spec.os.name(),
        "firmwareType": "BIOS",
        "primaryNicIpAddress": address(world, machine),
        "targetGeneration": "V1",
        "licenseType": "NotSpecified",
        "storageAccountId": Value::Null,
        "targetVmName": machine.spec.azure_vm.clone().unwrap_or_else(|| machine.spec.name.clone()),
        "targetVmSize": "Standard_F4s_v2",
        "targetResourceGroupId": format!("/subscriptions/{}/resourceGroups/{}", world.azure.subscription, world.azure.resource_group),
        "targetLocation": world.azure.location,
        "targetAvailabilitySetId": "",
        "targetAvailabilityZone": "",
        "targetProximityPlacementGroupId": "",
        "targetBootDiagnosticsStorageAccountId": storage,
        "targetNetworkId": world.provider_id("Microsoft.Network/virtualNetworks/recovery-vnet"),
        "testNetworkId": "",
        "failoverRecoveryPointId": if in_azure { last_point.map_or(Value::Null, |point| json!(machine.failover_point.clone().unwrap_or_else(|| world.point_id(machine, &point.id)))) } else { Value::Null },
        "lastRecoveryPointId": last_point.map_or(Value::Null, |point| json!(world.point_id(machine, &point.id))),
        "agentUpgradeState": "None",
        "lastAgentUpgradeType": Value::Null,
        "agentUpgradeJobId": Value::Null,
        "agentUpgradeAttemptToVersion": Value::Null,
        "isLastUpgradeSuccessful": "false",
        // Null before a failover, false right after it (recorded), true once the agent has registered.
        "isAgentRegistrationSuccessfulAfterFailover": if in_azure { json!(machine.agent_registered) } else { Value::Null },
        "protectedDisks": [],
        "mobilityAgentDetails": Value::Null,
        "lastAgentUpgradeErrorDetails": [],
        "agentUpgradeBlockingErrorDetails": [],
        "vmNics": [],
        "discoveredVmDetails": Value::Null,
    });
    let Some(map) = value.as_object_mut() else { return value };
    progress.tell(map);
    // A discovered VM has it among its details (recorded); of a server there are none.
    if machine.spec.physical {
        map.insert("osName".to_owned(), json!(machine.spec.os_name));
    }
    if let Some(point) = last_point {
        map.insert("lastRecoveryPointReceived".to_owned(), json!(azure_time(point.at)));
        map.insert(
            "lastRpoInSeconds".to_owned(),
            json!(machine.points_until.unwrap_or(world.now).duration_since(point.at).as_secs().max(0)),
        );
        map.insert("lastRpoCalculatedTime".to_owned(), json!(azure_time(machine.points_until.unwrap_or(world.now))));
    }
    if view == View::Full {
        map.insert("protectedDisks".to_owned(), json!(disks));
        map.insert("mobilityAgentDetails".to_owned(), agent(world, machine, "AlreadyOnLatestVersion", true));
        map.insert("agentUpgradeBlockingErrorDetails".to_owned(), upgrade_blocked(machine, appliance_name));
        map.insert("vmNics".to_owned(), json!([forward_nic(world, machine)]));
        map.insert("discoveredVmDetails".to_owned(), discovered(world, machine, fabric));
    }
    value
}

fn agent(world: &World, machine: &Machine, blocked: &str, forward: bool) -> Value {
    let mut value = json!({
        "version": AGENT,
        "latestVersion": Value::Null,
        "driverVersion": AGENT,
        "latestUpgradableVersionWithoutReboot": Value::Null,
        "lastHeartbeatUtc": agent_heartbeat(world, machine),
        "reasonsBlockingUpgrade": [blocked],
        "isUpgradeable": "false",
    });
    if forward && let Some(value) = value.as_object_mut() {
        value.insert("latestAgentReleaseDate".to_owned(), Value::Null);
    }
    value
}

fn upgrade_blocked(machine: &Machine, appliance: &str) -> Value {
    let name = &machine.spec.name;
    json!([{
        "errorCode": "InMageRcmUpgradeBlockedAlreadyOnLatestVersion",
        "errorMessage": format!("The mobility agent of '{name}' needs no update."),
        "possibleCauses": format!("The mobility agent of '{name}' is already on version '{AGENT}'."),
        "recommendedAction": "None.",
        "errorMessageParameters": {"vmName": name, "rcmUri": "https://rcm.simulated.invalid", "applianceName": appliance, "agentVersion": AGENT, "latestVersion": Value::Null},
        "errorTags": {"category": "ClientError"},
    }])
}

fn forward_nic(world: &World, machine: &Machine) -> Value {
    json!({
        "nicId": world.on_prem(machine).map_or_else(|| "00:50:56:00:00:01".to_owned(), |vm| vm.mac.clone()),
        "isPrimaryNic": "true",
        "isSelectedForFailover": "true",
        "sourceIPAddress": address(world, machine),
        "sourceIPAddressType": "Static",
        "sourceNetworkId": "VM Network",
        "sourceSubnetName": Value::Null,
        "targetIPAddress": "",
        "targetIPAddressType": "Dynamic",
        "targetSubnetName": "default",
        "testSubnetName": Value::Null,
        "testIPAddress": Value::Null,
        "testIPAddressType": "Dynamic",
    })
}

fn vcenter_name<'a>(world: &'a World, fabric: &Fabric) -> &'a str {
    world.vcenters.get(fabric.vcenter).map_or("", |vcenter| vcenter.name.split('.').next().unwrap_or_default())
}

pub(crate) fn vcenter_arm_id(world: &World, fabric: &Fabric) -> String {
    world.provider_id(&format!(
        "Microsoft.OffAzure/VMwareSites/{}/vcenters/{}",
        fabric.site,
        vcenter_name(world, fabric)
    ))
}

fn discovered(world: &World, machine: &Machine, fabric: &Fabric) -> Value {
    if machine.spec.physical {
        return Value::Null;
    }
    let vm = world.on_prem(machine);
    let vcenter = world.vcenters.get(fabric.vcenter);
    let datastores: Vec<&str> =
        vm.and_then(|vm| vcenter?.datastores.get(vm.datastore)).map(|d| d.name.as_str()).into_iter().collect();
    json!({
        "vCenterId": vcenter_arm_id(world, fabric),
        "vCenterFqdn": "",
        "datastores": datastores,
        // Several addresses come in one string, joined by an underscore (recorded).
        "ipAddresses": [format!("fe80::250:56ff:fe00:1_{}", address(world, machine))],
        "vmwareToolsStatus": if vm.is_some_and(|vm| vm.tools) { "OK" } else { "NotRunning" },
        "powerStatus": if vm.is_some_and(|vm| vm.powered_on) { "ON" } else { "OFF" },
        "vmFqdn": machine.spec.name,
        "osName": vm.map_or_else(|| machine.spec.os_name.clone().unwrap_or_default(), |vm| vm.os_name.clone()),
        "createdTimestamp": azure_time(before(world.start, SignedDuration::from_hours(240))).replace('Z', "+00:00"),
        "updatedTimestamp": azure_time(before(world.start, SignedDuration::from_hours(1))).replace('Z', "+00:00"),
        "isDeleted": vm.is_none(),
        "lastDiscoveryTimeInUtc": beat(world.now, &fabric.name, 1_800),
    })
}
