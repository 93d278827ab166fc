//! Checks on the machine at home.

use super::{Check, FAILBACK, OVERVIEW, REPROTECT, Verdict, View, judged};
use crate::{
    api::DecidedLocation,
    core::{
        action::Verb,
        location::{is_physical, unsupported_os},
        observed::{OnPremisesVm, Power, Tools, VirtualMachine},
    },
};

pub(super) const OS_SUPPORTED: Check = Check {
    name: "OsSupported",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Reprotect],
    // Such a machine cannot boot at home.
    waivable: false,
    early: false,
    holds_when: "The machine is not a physical server with Windows Server 2008 R2 SP1.",
    rule: |view| judged(os_supported(view)),
};

fn os_supported(view: &View<'_>) -> Result<Verdict, Verdict> {
    let item = view.item()?;
    let Some(os) = unsupported_os(item) else {
        return Ok(Verdict::passed(match &item.os_name {
            Some(os) => format!("{os} can come home."),
            None => "No operating system that cannot come home is reported.".to_owned(),
        }));
    };
    match is_physical(item).or_else(|| view.facts.home_vm().map(|_| false)) {
        Some(false) => Ok(Verdict::passed(format!("{os}, as a VM, can come home."))),
        Some(true) => Ok(Verdict::failed(
            format!("A physical server with {os} cannot come back."),
            "None: the vendor does not support it.",
        )),
        None => Err(Verdict::unknown(
            format!("Whether the machine with {os} was a physical server is not known; such a one cannot come back."),
            "Look at the item's discovery type in the portal.",
        )),
    }
}

pub(super) const SPECIAL_DISKS_ATTACHED: Check = Check {
    name: "SpecialDisksAttached",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "Original location: all disks of the machine, those on vSAN and raw devices included, exist and are attached to the on-premises VM.",
    rule: |view| judged(special_disks_attached(view)),
};

fn special_disks_attached(view: &View<'_>) -> Result<Verdict, Verdict> {
    if view.location()? == DecidedLocation::Alternate {
        return Err(Verdict::Irrelevant);
    }
    let vm = home_vm(view)?;
    let vsan: Vec<_> = view.site()?.datastores.iter().filter(|store| is_vsan(store.kind.as_deref())).collect();
    let on_vsan = |moref: &Option<String>| vsan.iter().any(|store| Some(&store.moref) == moref.as_ref());
    let special = vm.disks.iter().filter(|disk| disk.raw_device || on_vsan(&disk.datastore)).count();
    let replicated = view.item()?.disks.len();
    let wanted = if replicated > 0 { Some(replicated) } else { view.facts.disk_count() };
    match wanted {
        None => Err(Verdict::unknown("How many disks the machine has is not known.", "Wait for the item to be read.")),
        Some(wanted) if vm.disks.len() >= wanted => Ok(Verdict::passed(format!(
            "{} disks are attached to VM {}, {special} of them on vSAN or raw devices.",
            vm.disks.len(),
            vm.name
        ))),
        Some(wanted) => Ok(Verdict::failed(
            format!("{} of {wanted} disks are attached to VM {} ({}).", vm.disks.len(), vm.name, vm.moref),
            "Attach the disks that the machine was protected with, vSAN disks and raw devices included.",
        )),
    }
}

pub(super) fn is_vsan(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("vsan"))
}

pub(super) const VM_NAME_FREE: Check = Check {
    name: "VmNameFree",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "Alternate location: no other VM of that name is on the host that the new VM is made on.",
    rule: |view| judged(vm_name_free(view)),
};

fn vm_name_free(view: &View<'_>) -> Result<Verdict, Verdict> {
    if view.location()? == DecidedLocation::Original {
        return Err(Verdict::Irrelevant);
    }
    let item = view.item()?;
    let name = item.target_vm_name.as_deref().unwrap_or(&item.friendly_name);
    let site = view.site()?;
    let host = view.target_vm()?.host.as_ref();
    let taken = site.namesakes.iter().find(|vm| vm.host.is_none() || vm.host.as_ref() == host);
    Ok(match taken {
        None => Verdict::passed(format!("No other VM on the target's host is named {name}.")),
        Some(vm) => Verdict::failed(
            format!("VM {} ({}) on the target's host has the machine's name.", vm.name, vm.moref),
            "Rename that VM, or choose a target on another host.",
        ),
    })
}

pub(super) const ON_PREMISES_VM_RUNNING: Check = Check {
    name: "OnPremisesVmRunning",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::Commit],
    // The commit deletes the other copy.
    waivable: false,
    early: false,
    holds_when: "The on-premises VM is powered on, identified by UUID, never by name alone.",
    rule: |view| judged(on_premises_vm_running(view)),
};

fn on_premises_vm_running(view: &View<'_>) -> Result<Verdict, Verdict> {
    let vm = home_vm(view)?;
    Ok(match vm.power {
        Some(Power::On) => Verdict::passed(format!("VM {} ({}) is powered on.", vm.name, vm.moref)),
        Some(Power::Off | Power::Suspended) => Verdict::failed(
            format!("VM {} ({}) is not powered on.", vm.name, vm.moref),
            "Look at the VM's console and at its host's resources in vCenter.",
        ),
        None => Verdict::unknown(
            format!("vCenter does not show the power state of VM {} ({}).", vm.name, vm.moref),
            "Give the account of the VCenter the System.Read privilege on the VM.",
        ),
    })
}

pub(super) const VMWARE_TOOLS_RUNNING: Check = Check {
    name: "VMwareToolsRunning",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::Commit],
    // It is the least that shows that the machine at home works.
    waivable: false,
    early: false,
    holds_when: "VMware Tools, which failover disabled (Windows) or uninstalled (Linux), run again.",
    rule: |view| judged(vmware_tools_running(view)),
};

fn vmware_tools_running(view: &View<'_>) -> Result<Verdict, Verdict> {
    let vm = home_vm(view)?;
    Ok(match vm.tools {
        Some(Tools::Running | Tools::ExecutingScripts) => Verdict::passed("VMware Tools are running."),
        Some(Tools::NotRunning) => Verdict::failed(
            format!("VMware Tools are not running in VM {} ({}).", vm.name, vm.moref),
            "Wait for the guest to boot. On Linux install the tools again; on Windows enable their services.",
        ),
        None => Verdict::unknown(
            format!("vCenter does not show the state of VMware Tools in VM {} ({}).", vm.name, vm.moref),
            "Wait for the guest to boot.",
        ),
    })
}

fn home_vm<'a>(view: &View<'a>) -> Result<&'a VirtualMachine, Verdict> {
    match view.facts.on_premises.known() {
        Ok(OnPremisesVm::Found(vm)) => Ok(vm),
        Ok(OnPremisesVm::NotFound) => Err(Verdict::failed(
            "No VM in vCenter has the machine's UUIDs or disks.",
            "Check that vcenterRef names the original vCenter and that its account can see the VM.",
        )),
        Ok(OnPremisesVm::Ambiguous(names)) => Err(Verdict::failed(
            format!("Several VMs have the machine's UUID: {}.", names.join(", ")),
            "Remove the copies, or give them another UUID.",
        )),
        Err(why) => Err(Verdict::unknown(why, "See the conditions of the VCenter.")),
    }
}
