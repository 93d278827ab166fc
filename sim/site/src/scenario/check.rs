//! Multiplies `count` and resolves references, so that the world's builder finds every name.

use std::collections::BTreeSet;

use super::{Disk, Fabric, Generation, Machine, Os, Scenario, ScenarioError, StartState, VCenter};
use crate::fault::Effect;

/// Turns `count: n` into n machines and gives a bare fabric its servers. Tells of each machine which entry of the scenario it comes from.
pub(super) fn expand(scenario: &mut Scenario) -> Result<Vec<usize>, ScenarioError> {
    let mut machines = Vec::new();
    let mut entries = Vec::new();
    for (index, machine) in std::mem::take(&mut scenario.machines).into_iter().enumerate() {
        if machine.count == 0 || machine.count > 100_000 {
            return Err(ScenarioError::impossible(format!("machines[{index}].count"), "must lie between 1 and 100000"));
        }
        if machine.name.is_empty() {
            return Err(ScenarioError::impossible(format!("machines[{index}].name"), "is missing"));
        }
        if machines.len() + machine.count > 100_000 {
            return Err(ScenarioError::impossible("machines".to_owned(), "are more than 100000 altogether"));
        }
        if machine.count == 1 {
            machines.push(machine);
            entries.push(index);
            continue;
        }
        for number in 1..=machine.count {
            let name = format!("{}-{number:04}", machine.name);
            let item = machine.item.as_ref().map(|item| format!("{item}-{number:04}"));
            machines.push(Machine { name, item, count: 1, ..machine.clone() });
            entries.push(index);
        }
    }
    scenario.machines = machines;
    for fabric in &mut scenario.fabrics {
        match fabric.generation {
            Generation::Modernized => {
                if fabric.appliances.is_empty() {
                    fabric.appliances.push(super::Appliance::default());
                }
            }
            Generation::Classic => {
                if fabric.master_targets.is_empty() {
                    for (name, os, ip) in
                        [("mt-windows", Os::Windows, "10.20.0.31"), ("mt-linux", Os::Linux, "10.20.0.32")]
                    {
                        fabric.master_targets.push(super::MasterTarget {
                            name: name.to_owned(),
                            os,
                            ip: ip.to_owned(),
                            ..Default::default()
                        });
                    }
                }
            }
        }
    }
    Ok(entries)
}

/// Fills in default references and refuses those that lead nowhere. `entries`: see [`expand`].
pub(super) fn references(scenario: &mut Scenario, entries: &[usize]) -> Result<(), ScenarioError> {
    unique("vcenters", scenario.vcenters.iter().map(|v| v.name.as_str()).enumerate())?;
    unique("fabrics", scenario.fabrics.iter().map(|f| f.name.as_str()).enumerate())?;
    unique("machines", entries.iter().copied().zip(scenario.machines.iter().map(|m| m.name.as_str())))?;
    for (index, vcenter) in scenario.vcenters.iter().enumerate() {
        check_vcenter(&format!("vcenters[{index}]"), vcenter)?;
    }
    let vcenters = scenario.vcenters.clone();
    for (index, fabric) in scenario.fabrics.iter_mut().enumerate() {
        check_fabric(&format!("fabrics[{index}]"), fabric, &vcenters)?;
    }
    let fabrics = scenario.fabrics.clone();
    let mut items = BTreeSet::new();
    for (index, machine) in entries.iter().zip(&mut scenario.machines) {
        let path = format!("machines[{index}]");
        check_machine(&path, machine, &fabrics, &vcenters)?;
        let item = machine.item.as_ref().unwrap_or(&machine.name).to_ascii_lowercase();
        if !items.insert((machine.fabric.clone(), item.clone())) {
            let message =
                format!("`{item}` is there twice in fabric `{}`", machine.fabric.as_deref().unwrap_or_default());
            return Err(ScenarioError::impossible(format!("{path}.item"), message));
        }
    }
    for (index, fault) in scenario.faults.iter().enumerate() {
        let changed = if let Effect::World { change } = &fault.effect { change.machine.as_ref() } else { None };
        for (field, name) in [("machine", fault.machine.as_ref()), ("effect.change.machine", changed)] {
            if let Some(name) = name
                && !scenario.machines.iter().any(|machine| machine.name.eq_ignore_ascii_case(name))
            {
                return Err(nowhere(format!("faults[{index}].{field}"), "machine", name));
            }
        }
    }
    let names: BTreeSet<&str> = scenario.machines.iter().map(|m| m.name.as_str()).collect();
    for (index, plan) in scenario.plans.iter().enumerate() {
        for (group, members) in plan.groups.iter().enumerate() {
            for (member, name) in members.machines.iter().enumerate() {
                if !names.contains(name.as_str()) {
                    return Err(nowhere(format!("plans[{index}].groups[{group}].machines[{member}]"), "machine", name));
                }
            }
        }
    }
    Ok(())
}

fn nowhere(path: String, kind: &str, name: &str) -> ScenarioError {
    ScenarioError::impossible(path, format!("there is no {kind} `{name}`"))
}

fn unique<'a>(path: &str, names: impl Iterator<Item = (usize, &'a str)>) -> Result<(), ScenarioError> {
    let mut seen = BTreeSet::new();
    for (index, name) in names {
        if name.is_empty() {
            return Err(ScenarioError::impossible(format!("{path}[{index}].name"), "is missing"));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(ScenarioError::impossible(format!("{path}[{index}].name"), format!("`{name}` is there twice")));
        }
    }
    Ok(())
}

fn check_vcenter(path: &str, vcenter: &VCenter) -> Result<(), ScenarioError> {
    unique(&format!("{path}.hosts"), vcenter.hosts.iter().map(|h| h.name.as_str()).enumerate())?;
    unique(&format!("{path}.datastores"), vcenter.datastores.iter().map(|d| d.name.as_str()).enumerate())?;
    for (index, datastore) in vcenter.datastores.iter().enumerate() {
        if datastore.free > datastore.capacity {
            return Err(ScenarioError::impossible(
                format!("{path}.datastores[{index}].free"),
                "is more than its capacity",
            ));
        }
        for (host_index, host) in datastore.hosts.iter().enumerate() {
            has_host(vcenter, host, || format!("{path}.datastores[{index}].hosts[{host_index}]"))?;
        }
    }
    for (index, vm) in vcenter.vms.iter().enumerate() {
        if let Some(host) = &vm.host {
            has_host(vcenter, host, || format!("{path}.vms[{index}].host"))?;
        }
        if let Some(datastore) = &vm.datastore {
            has_datastore(vcenter, datastore, || format!("{path}.vms[{index}].datastore"))?;
        }
        mounted(vcenter, &format!("{path}.vms[{index}]"), vm.host.as_ref(), vm.datastore.as_ref(), &vm.disks)?;
    }
    Ok(())
}

fn has_host(vcenter: &VCenter, name: &str, path: impl FnOnce() -> String) -> Result<(), ScenarioError> {
    if vcenter.hosts.iter().any(|host| host.name == name) { Ok(()) } else { Err(nowhere(path(), "host", name)) }
}

fn has_datastore(vcenter: &VCenter, name: &str, path: impl FnOnce() -> String) -> Result<(), ScenarioError> {
    if vcenter.datastores.iter().any(|datastore| datastore.name == name) {
        Ok(())
    } else {
        Err(nowhere(path(), "datastore", name))
    }
}

/// A VM lies on datastores that its host mounts. What is left to the defaults is the vCenter's first.
fn mounted(
    vcenter: &VCenter,
    path: &str,
    host: Option<&String>,
    datastore: Option<&String>,
    disks: &[Disk],
) -> Result<(), ScenarioError> {
    let Some(host) = host.or_else(|| vcenter.hosts.first().map(|host| &host.name)) else { return Ok(()) };
    let own = datastore.or_else(|| vcenter.datastores.first().map(|datastore| &datastore.name));
    let of_disks = disks.iter().enumerate().filter(|(_, disk)| !disk.added_in_azure);
    let wanted = own.map(|name| (format!("{path}.datastore"), name)).into_iter().chain(
        of_disks
            .filter_map(|(index, disk)| Some((format!("{path}.disks[{index}].datastore"), disk.datastore.as_ref()?))),
    );
    for (path, name) in wanted {
        let known = vcenter.datastores.iter().find(|datastore| &datastore.name == name);
        if known.is_some_and(|datastore| !datastore.hosts.is_empty() && !datastore.hosts.contains(host)) {
            return Err(ScenarioError::impossible(path, format!("host `{host}` does not mount `{name}`")));
        }
    }
    Ok(())
}

fn vcenter_of<'a>(vcenters: &'a [VCenter], name: Option<&String>, path: &str) -> Result<&'a VCenter, ScenarioError> {
    match name {
        None => vcenters.first().ok_or_else(|| ScenarioError::impossible(path, "there is no vCenter")),
        Some(name) => {
            vcenters.iter().find(|v| &v.name == name).ok_or_else(|| nowhere(format!("{path}.vcenter"), "vCenter", name))
        }
    }
}

fn check_fabric(path: &str, fabric: &mut Fabric, vcenters: &[VCenter]) -> Result<(), ScenarioError> {
    let vcenter = vcenter_of(vcenters, fabric.vcenter.as_ref(), path)?;
    fabric.vcenter = Some(vcenter.name.clone());
    for (index, appliance) in fabric.appliances.iter().enumerate() {
        if fabric.generation == Generation::Classic {
            return Err(ScenarioError::impossible(
                format!("{path}.appliances[{index}]"),
                "a classic fabric has no appliances",
            ));
        }
        if let Some(host) = &appliance.host {
            has_host(vcenter, host, || format!("{path}.appliances[{index}].host"))?;
        }
        for (number, datastore) in appliance.datastores.iter().flatten().enumerate() {
            has_datastore(vcenter, datastore, || format!("{path}.appliances[{index}].datastores[{number}]"))?;
        }
    }
    for (index, target) in fabric.master_targets.iter().enumerate() {
        if fabric.generation == Generation::Modernized {
            return Err(ScenarioError::impossible(
                format!("{path}.masterTargets[{index}]"),
                "a modernized fabric has no master targets",
            ));
        }
        if let Some(host) = &target.host {
            has_host(vcenter, host, || format!("{path}.masterTargets[{index}].host"))?;
        }
        for (number, datastore) in target.datastores.iter().flatten().enumerate() {
            has_datastore(vcenter, datastore, || format!("{path}.masterTargets[{index}].datastores[{number}]"))?;
        }
    }
    Ok(())
}

fn check_machine(
    path: &str,
    machine: &mut Machine,
    fabrics: &[Fabric],
    vcenters: &[VCenter],
) -> Result<(), ScenarioError> {
    let fabric = match &machine.fabric {
        None => fabrics.first().ok_or_else(|| ScenarioError::impossible(path, "there is no fabric"))?,
        Some(name) => {
            fabrics.iter().find(|f| &f.name == name).ok_or_else(|| nowhere(format!("{path}.fabric"), "fabric", name))?
        }
    };
    machine.fabric = Some(fabric.name.clone());
    let vcenter = vcenter_of(vcenters, fabric.vcenter.as_ref(), path)?;
    if let Some(host) = &machine.host {
        has_host(vcenter, host, || format!("{path}.host"))?;
    }
    if let Some(datastore) = &machine.datastore {
        has_datastore(vcenter, datastore, || format!("{path}.datastore"))?;
    }
    if machine.disks.is_empty() {
        return Err(ScenarioError::impossible(format!("{path}.disks"), "a machine has at least one disk"));
    }
    for (index, disk) in machine.disks.iter().enumerate() {
        if disk.size.0 == 0 {
            return Err(ScenarioError::impossible(format!("{path}.disks[{index}].size"), "must not be zero"));
        }
        if let Some(datastore) = &disk.datastore {
            has_datastore(vcenter, datastore, || format!("{path}.disks[{index}].datastore"))?;
        }
    }
    if machine.physical {
        machine.original_vm = false;
    }
    let has_vm = machine.original_vm
        || match machine.state {
            StartState::Unprotected | StartState::Protected => !machine.physical,
            StartState::Reprotected | StartState::FailedBack | StartState::FailedBackCommitted => true,
            StartState::FailedOver | StartState::FailedOverCommitted | StartState::Migrated => false,
        };
    if has_vm {
        mounted(vcenter, path, machine.host.as_ref(), machine.datastore.as_ref(), &machine.disks)?;
    }
    Ok(())
}
