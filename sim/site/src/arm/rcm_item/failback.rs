//! InMageRcmFailback: a modernized item that replicates toward VMware.

use serde_json::{Value, json};

use super::{agent, disk_id, disk_name, ir_details, progress, replicated, vcenter_arm_id};
use crate::arm::items::View;
use crate::clock::azure_time;
use crate::world::{Fabric, Machine, Stage, World, disk_uuid};

pub(super) fn details(world: &World, machine: &Machine, fabric: &Fabric, view: View) -> Value {
    let progress = progress(world, machine);
    let initial = machine.stage == Stage::ReverseInitial;
    let agent_name = fabric
        .servers
        .iter()
        .find(|server| server.id.eq_ignore_ascii_case(&machine.reverse.target))
        .map(|server| server.name.clone());
    let complete = if !initial && !world.unknowns.failback_disks_never_complete { "true" } else { "false" };
    let home = world.on_prem(machine);
    let disks: Vec<Value> = replicated(machine)
        .map(|(number, disk)| {
            let mut value = json!({
                "diskId": disk_id(machine, number),
                "diskName": disk_name(machine, number),
                "isOSDisk": if number == 0 { "true" } else { "false" },
                "capacityInBytes": disk.size.0,
                // Of an alternate location: those of the new VM.
                "diskUuid": home.and_then(|vm| vm.disks.get(number)).map_or_else(|| disk_uuid(&machine.spec.name, number), |disk| disk.uuid.clone()),
                "dataPendingInLogDataStoreInMB": 0.0,
                "dataPendingAtSourceAgentInMB": 1.136_718_75,
                "isInitialReplicationComplete": complete,
            });
            if initial && let Some(value) = value.as_object_mut() {
                value.insert("irDetails".to_owned(), ir_details(machine, &progress, true));
            }
            value
        })
        .collect();
    let mut value = json!({
        "instanceType": "InMageRcmFailback",
        "internalIdentifier": machine.internal_id,
        "azureVirtualMachineId": world.azure_vm_id(machine),
        "multiVmGroupName": machine.spec.group,
        "reprotectAgentId": machine.reverse.target,
        "reprotectAgentName": agent_name,
        "osType": machine.spec.os.name(),
        "logStorageAccountId": machine.reverse.log_storage,
        "targetvCenterId": vcenter_arm_id(world, fabric),
        "targetDataStoreName": machine.reverse.datastore,
        "targetVmName": machine.spec.name,
        "protectedDisks": [],
        "mobilityAgentDetails": Value::Null,
        "vmNics": [],
        "discoveredVmDetails": Value::Null,
        "lastUsedPolicyId": machine.forward_policy,
        "lastUsedPolicyFriendlyName": machine.forward_policy.rsplit('/').next(),
        // Null while Azure is the source (recorded); after the failback it tells about the agent at home.
        "isAgentRegistrationSuccessfulAfterFailover": if machine.stage.runs_in_azure() { Value::Null } else { json!(machine.agent_registered) },
    });
    let Some(map) = value.as_object_mut() else { return value };
    progress.tell(map);
    if let Some(planned) = &machine.planned {
        map.insert("lastPlannedFailoverStartTime".to_owned(), json!(azure_time(planned.started)));
        if let Some(status) = &planned.status {
            map.insert("lastPlannedFailoverStatus".to_owned(), json!(status));
        }
    }
    if view == View::Full {
        map.insert("protectedDisks".to_owned(), json!(disks));
        map.insert("mobilityAgentDetails".to_owned(), agent(world, machine, "UnsupportedProtectionScenario", false));
        map.insert("vmNics".to_owned(), json!([{"macAddress": machine.azure.mac, "networkName": Value::Null, "adapterType": Value::Null, "sourceIpAddress": machine.azure.ip}]));
    }
    value
}
