//! Changes of a vCenter: its connection, hosts, datastores and VMs.

use super::Mend;
use crate::scenario;
use crate::world::{Snapshot, VCenter, VmKey, World, add_bystander};

pub(super) fn mend(world: &mut World, index: usize, change: &Mend) -> Result<(), String> {
    let now = world.now;
    let Some(vcenter) = world.vcenters.get_mut(index) else { return Ok(()) };
    if let Some(connected) = change.vcenter_connected {
        vcenter.connected = connected;
    }
    if let Some(discovery) = &change.vcenter_discovery {
        vcenter.discovery = Some(discovery.clone());
    }
    if change.kill_sessions == Some(true) {
        vcenter.session_epoch += 1;
        vcenter.next_revision();
    }
    if let Some(name) = &change.host {
        mend_host(vcenter, name, change)?;
    }
    if let Some(name) = &change.datastore {
        mend_datastore(vcenter, name, change)?;
    }
    if let Some(name) = &change.vm {
        let vm = vcenter.vm_named(name).ok_or_else(|| format!("there is no VM `{name}`"))?;
        vcenter.change_vm(vm, |vm| {
            if let Some(names) = &change.vm_snapshots {
                let made = |(number, name): (usize, &String)| Snapshot {
                    id: number as u32 + 1,
                    name: name.clone(),
                    made: now,
                };
                vm.snapshots = names.iter().enumerate().map(made).collect();
            }
            if let Some(controller) = &change.vm_controller {
                vm.controller = controller.clone();
            }
            vm.disk_enable_uuid = change.vm_disk_enable_uuid.unwrap_or(vm.disk_enable_uuid);
        });
    }
    if let Some(name) = &change.add_vm {
        let host = change.host.clone();
        let vm =
            scenario::Vm { name: name.clone(), host, powered_on: false, disks: Vec::new(), ..scenario::Vm::default() };
        add_bystander(vcenter, &vm, now);
    }
    if let Some(name) = &change.remove_vm {
        let bystander = vcenter.vms.iter().find(|(_, vm)| &vm.name == name && vm.machine.is_none()).map(|(id, _)| *id);
        let vm = bystander.ok_or_else(|| format!("there is no VM `{name}` that replicates nothing"))?;
        world.delete_vm(VmKey { vcenter: index, vm });
    }
    Ok(())
}

fn mend_host(vcenter: &mut VCenter, name: &str, change: &Mend) -> Result<(), String> {
    let host = vcenter.host_named(name).ok_or_else(|| format!("there is no host `{name}`"))?;
    let revision = vcenter.next_revision();
    let mut lost_or_found = false;
    if let Some(host) = vcenter.hosts.get_mut(host) {
        lost_or_found = change.host_connected.is_some_and(|connected| connected != host.connected);
        host.connected = change.host_connected.unwrap_or(host.connected);
        host.maintenance = change.host_maintenance.unwrap_or(host.maintenance);
        host.changed = revision;
    }
    // Its VMs show it in their `runtime.connectionState`.
    if lost_or_found {
        vcenter.vms.values_mut().filter(|vm| vm.host == host).for_each(|vm| vm.changed = revision);
    }
    Ok(())
}

fn mend_datastore(vcenter: &mut VCenter, name: &str, change: &Mend) -> Result<(), String> {
    let datastore = vcenter.datastore_named(name).ok_or_else(|| format!("there is no datastore `{name}`"))?;
    let find = |name: &String| vcenter.host_named(name).ok_or_else(|| format!("there is no host `{name}`"));
    let hosts = match &change.datastore_hosts {
        Some(names) => Some(names.iter().map(find).collect::<Result<Vec<_>, _>>()?),
        None => None,
    };
    let revision = vcenter.next_revision();
    let remounted = hosts.is_some();
    if let Some(datastore) = vcenter.datastores.get_mut(datastore) {
        datastore.free = change.datastore_free.unwrap_or(datastore.free).min(datastore.capacity);
        datastore.accessible = change.datastore_accessible.unwrap_or(datastore.accessible);
        datastore.read_only = change.datastore_read_only.unwrap_or(datastore.read_only);
        datastore.kind = change.datastore_kind.unwrap_or(datastore.kind);
        datastore.hosts = hosts.unwrap_or_else(|| std::mem::take(&mut datastore.hosts));
        datastore.changed = revision;
    }
    // A host lists what it mounts.
    if remounted {
        vcenter.hosts.iter_mut().for_each(|host| host.changed = revision);
    }
    Ok(())
}
