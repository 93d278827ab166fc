//! Multiplies `count` and resolves references, so that the world's builder finds every name.

use std::collections::BTreeSet;

use super::{Fabric, Generation, Machine, Os, Scenario, ScenarioError, VCenter};

/// Turns `count: n` into n machines and gives a bare fabric its servers.
pub(super) fn expand(scenario: &mut Scenario) -> Result<(), ScenarioError> {
    let mut machines = Vec::new();
    for (index, machine) in std::mem::take(&mut scenario.machines).into_iter().enumerate() {
        if machine.count == 0 || machine.count > 100_000 {
            return Err(ScenarioError::impossible(format!("machines[{index}].count"), "must lie between 1 and 100000"));
        }
        if machine.name.is_empty() {
            return Err(ScenarioError::impossible(format!("machines[{index}].name"), "is missing"));
        }
        if machine.count == 1 {
            machines.push(machine);
            continue;
        }
        for number in 1..=machine.count {
            let name = format!("{}-{number:04}", machine.name);
            let item = machine.item.as_ref().map(|item| format!("{item}-{number:04}"));
            machines.push(Machine { name, item, count: 1, ..machine.clone() });
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
    Ok(())
}

/// Fills in default references and refuses those that lead nowhere.
pub(super) fn references(scenario: &mut Scenario) -> Result<(), ScenarioError> {
    unique("vcenters", scenario.vcenters.iter().map(|v| v.name.as_str()))?;
    unique("fabrics", scenario.fabrics.iter().map(|f| f.name.as_str()))?;
    unique("machines", scenario.machines.iter().map(|m| m.name.as_str()))?;
    for (index, vcenter) in scenario.vcenters.iter().enumerate() {
        check_vcenter(&format!("vcenters[{index}]"), vcenter)?;
    }
    let vcenters = scenario.vcenters.clone();
    for (index, fabric) in scenario.fabrics.iter_mut().enumerate() {
        check_fabric(&format!("fabrics[{index}]"), fabric, &vcenters)?;
    }
    let fabrics = scenario.fabrics.clone();
    for (index, machine) in scenario.machines.iter_mut().enumerate() {
        check_machine(&format!("machines[{index}]"), machine, &fabrics, &vcenters)?;
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

fn unique<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ScenarioError> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
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
    unique(&format!("{path}.hosts"), vcenter.hosts.iter().map(|h| h.name.as_str()))?;
    unique(&format!("{path}.datastores"), vcenter.datastores.iter().map(|d| d.name.as_str()))?;
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
    Ok(())
}
