//! Checks on vCenter and on the machine at home.

use super::{Check, Verdict, View};
use crate::core::{
    action::Verb,
    observed::{OnPremisesVm, Power, Tools, VirtualMachine},
};

pub(super) const VCENTER_CONNECTED: Check = Check {
    name: "VCenterConnected",
    gates: &[Verb::Reprotect, Verb::FailBack],
    holds_when: "vCenter is connected; otherwise detaching and re-attaching disks fails.",
    rule: |view| match view.facts.vcenter.known() {
        Ok(about) => Verdict::passed(format!("Connected to vCenter {} ({}).", about.instance_uuid, about.version)),
        Err(why) => Verdict::unknown(why, "See the conditions of the VCenter."),
    },
};

pub(super) const ON_PREMISES_VM_RUNNING: Check = Check {
    name: "OnPremisesVmRunning",
    gates: &[Verb::Commit],
    holds_when: "The on-premises VM is powered on, identified by UUID, never by name alone.",
    rule: |view| match home_vm(view) {
        Ok(vm) => match vm.power {
            Some(Power::On) => Verdict::passed(format!("VM {} ({}) is powered on.", vm.name, vm.moref)),
            Some(Power::Off | Power::Suspended) => Verdict::failed(
                format!("VM {} ({}) is not powered on.", vm.name, vm.moref),
                "Look at the VM's console and at its host's resources in vCenter.",
            ),
            None => Verdict::unknown(
                format!("vCenter does not show the power state of VM {} ({}).", vm.name, vm.moref),
                "Give the account of the VCenter the System.Read privilege on the VM.",
            ),
        },
        Err(verdict) => verdict,
    },
};

pub(super) const VMWARE_TOOLS_RUNNING: Check = Check {
    name: "VMwareToolsRunning",
    gates: &[Verb::Commit],
    holds_when: "VMware Tools, which failover disabled (Windows) or uninstalled (Linux), run again.",
    rule: |view| match home_vm(view) {
        Ok(vm) => match vm.tools {
            Some(Tools::Running | Tools::ExecutingScripts) => Verdict::passed("VMware Tools are running."),
            Some(Tools::NotRunning) => Verdict::failed(
                format!("VMware Tools are not running in VM {} ({}).", vm.name, vm.moref),
                "Wait for the guest to boot. On Linux install the tools again; on Windows enable their services.",
            ),
            None => Verdict::unknown(
                format!("vCenter does not show the state of VMware Tools in VM {} ({}).", vm.name, vm.moref),
                "Wait for the guest to boot.",
            ),
        },
        Err(verdict) => verdict,
    },
};

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
