//! Changes of a replicated machine: its item, its VM in Azure, its VM on-premises.

use super::Mend;
use crate::world::{AzurePower, Machine, Stage, VmKey, World};

pub(super) fn mend(world: &mut World, index: usize, change: &Mend) -> Result<(), String> {
    if let Some(machine) = world.machines.get_mut(index) {
        of_item(machine, change);
        of_azure(machine, change);
    }
    if change.agent_never == Some(false) {
        let boot = world.machines.get(index).map(|machine| {
            if machine.stage.runs_in_azure() {
                machine.azure.boots
            } else {
                world.on_prem(machine).map_or(0, |vm| vm.boots)
            }
        });
        world.agent_boots(index, boot.unwrap_or(0));
    }
    if let Some(running) = change.azure_vm_running {
        world.set_azure_power(index, if running { AzurePower::Running } else { AzurePower::Deallocated });
    }
    if let Some(key) = world.machines.get(index).and_then(|machine| machine.vm) {
        on_premises(world, key, change)?;
    }
    // Last, because a boot above makes the agent unknown.
    if let (Some(registered), Some(machine)) = (change.agent_registered, world.machines.get_mut(index)) {
        machine.agent_registered = registered;
    }
    world.watch_copies(index);
    Ok(())
}

fn of_item(machine: &mut Machine, change: &Mend) {
    if let Some(never) = change.agent_never {
        machine.agent_never = never;
        if never {
            machine.agent_registered = false;
        }
    }
    if let Some(health) = &change.replication_health {
        machine.health = health.clone();
    }
    match (change.migrated, machine.stage) {
        (Some(true), _) => machine.stage = Stage::Migrated,
        (Some(false), Stage::Migrated) => machine.stage = Stage::FailedOverCommitted,
        (Some(false) | None, _) => {}
    }
    machine.has_points = change.recovery_points.unwrap_or(machine.has_points);
    if let Some(known) = change.known_to_configuration_server {
        machine.spec.known_to_configuration_server = known;
    }
    if let Some(name) = &change.os_name {
        machine.spec.os_name = Some(name.clone()).filter(|name| !name.is_empty());
    }
    if let Some(group) = &change.group {
        machine.spec.group = Some(group.clone()).filter(|group| !group.is_empty());
    }
}

fn of_azure(machine: &mut Machine, change: &Mend) {
    if let Some(exists) = change.azure_vm_exists {
        machine.azure.exists = exists;
    }
    if let Some(group) = &change.azure_vm_moved_to {
        machine.azure.resource_group = group.clone();
    }
    if let Some(bytes) = change.disk_added_in_azure {
        machine.added_in_azure.push(bytes);
    }
    if change.added_disks_removed == Some(true) {
        machine.added_in_azure.clear();
    }
}

fn on_premises(world: &mut World, key: VmKey, change: &Mend) -> Result<(), String> {
    for (number, detached) in [(change.disk_detached, true), (change.disk_attached, false)] {
        let Some(number) = number else { continue };
        let vcenter = world.vcenters.get_mut(key.vcenter);
        let done = vcenter.and_then(|vcenter| {
            vcenter.change_vm(key.vm, |vm| vm.disks.get_mut(number).map(|disk| disk.detached = detached))
        });
        if done.flatten().is_none() {
            return Err(format!("the machine has no disk {number} on-premises"));
        }
    }
    if change.on_prem_exists == Some(false) {
        world.delete_vm(key);
    }
    match change.on_prem_running {
        Some(true) => world.power_on(key),
        Some(false) => world.power_off(key),
        None => {}
    }
    if let (Some(tools), Some(vcenter)) = (change.tools_running, world.vcenters.get_mut(key.vcenter)) {
        vcenter.change_vm(key.vm, |vm| {
            vm.tools = tools && vm.powered_on;
            vm.tools_start = tools;
        });
    }
    Ok(())
}
