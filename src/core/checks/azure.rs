//! Checks on the failed-over machine in Azure.

use jiff::SignedDuration;

use super::{Check, Verdict, View};
use crate::core::{
    action::Verb,
    observed::{AzurePower, AzureVm, Direction},
    stage::Stage,
};

/// How long an agent may take to register after its machine booted (vendor documents: up to 15 minutes).
pub(super) const REGISTRATION: SignedDuration = SignedDuration::from_mins(15);

pub(super) const AZURE_VM_PRESENT: Check = Check {
    name: "AzureVmPresent",
    gates: &[Verb::Reprotect, Verb::FailBack],
    holds_when: "The failed-over Azure VM exists, in the resource group that it was created in: one that was deleted or moved to another group cannot be failed back.",
    rule: |view| match view.facts.azure_vm.known() {
        Ok(AzureVm::Present { id, .. }) => Verdict::passed(format!("Azure VM {} exists.", vm_name(id))),
        Ok(AzureVm::Absent) => Verdict::failed(
            "The failed-over Azure VM does not exist in its resource group.",
            "Move the VM back to the resource group that it was created in. A deleted VM cannot be failed back.",
        ),
        Err(why) => Verdict::unknown(
            why,
            "See the RecoveryVault's conditions; reading VMs needs Microsoft.Compute/virtualMachines/read.",
        ),
    },
};

pub(super) const AZURE_VM_RUNNING: Check = Check {
    name: "AzureVmRunning",
    gates: &[Verb::Reprotect],
    holds_when: "The Azure VM is running, so that its agent can answer.",
    rule: |view| match view.facts.azure_vm.known() {
        Ok(AzureVm::Present { power: AzurePower::Running, .. }) => Verdict::passed("The Azure VM is running."),
        Ok(AzureVm::Present { id, power, .. }) => {
            Verdict::failed(format!("Azure VM {} is {power}.", vm_name(id)), "Start the VM in Azure.")
        }
        Ok(AzureVm::Absent) => Verdict::failed("The Azure VM does not exist.", "See AzureVmPresent."),
        Err(why) => Verdict::unknown(why, "See AzureVmPresent."),
    },
};

pub(super) const AGENT_REGISTERED: Check = Check {
    name: "AgentRegistered",
    gates: &[Verb::Reprotect, Verb::Protect],
    holds_when: "The mobility agent has registered since the machine booted, which takes up to 15 minutes; a reprotect before that fails saying that the agent is not installed.",
    rule: agent_registered,
};

/// `isAgentRegistrationSuccessfulAfterFailover` tells it in the direction to Azure; towards VMware the provider
/// reports the agent's last heartbeat, which must be later than the failback.
fn agent_registered(view: &View<'_>) -> Verdict {
    const WAIT: &str = "Wait: it registers by itself. If it does not within 15 minutes, look at the agent's connection to the replication service.";
    let item = match view.facts.replication.known() {
        Ok(item) => item,
        Err(why) => return Verdict::unknown(why, "See the RecoveryVault's conditions."),
    };
    match (item.agent_registered, item.direction) {
        (Some(true), _) => Verdict::passed("The mobility agent has registered since the last failover."),
        (Some(false), _) => Verdict::failed("The mobility agent has not registered since the last failover.", WAIT),
        (None, Some(Direction::ToVMware)) => {
            let booted = item.last_planned_failover.as_ref().and_then(|(_, started)| *started);
            match (item.agent_heartbeat, booted) {
                (Some(beat), Some(booted)) if beat > booted => {
                    Verdict::passed("The mobility agent has sent a heartbeat since the failback.")
                }
                (Some(beat), None) if beat.duration_until(view.now) < REGISTRATION => {
                    Verdict::passed("The mobility agent's last heartbeat is less than 15 minutes old.")
                }
                (Some(beat), _) => Verdict::failed(
                    format!("The mobility agent's last heartbeat was at {beat:.0}, before the machine came home."),
                    WAIT,
                ),
                (None, _) => Verdict::unknown("The vault reports no heartbeat of the mobility agent.", WAIT),
            }
        }
        (None, Some(Direction::ToAzure) | None) => {
            Verdict::unknown("The vault does not say whether the mobility agent has registered.", WAIT)
        }
    }
}

pub(super) const AZURE_VM_STOPPED: Check = Check {
    name: "AzureVmStopped",
    gates: &[Verb::Commit],
    holds_when: "After failback the Azure VM is seen shut down.",
    rule: |view| match view.facts.azure_vm.known() {
        Ok(AzureVm::Present { power, .. }) if power.is_off() => Verdict::passed(format!("The Azure VM is {power}.")),
        Ok(AzureVm::Present { id, power: AzurePower::Running, .. }) if view.stage == Stage::FailedBack => {
            Verdict::failed(
                format!(
                    "Azure VM {} is running while the machine was failed back: two copies may be live.",
                    vm_name(id)
                ),
                "Find out who started it, and stop it in Azure before anything else.",
            )
        }
        Ok(AzureVm::Present { power, .. }) => {
            Verdict::failed(format!("The Azure VM is {power}."), "Wait: the failback shuts it down.")
        }
        Ok(AzureVm::Absent) if view.running == Some(Verb::Commit) => {
            Verdict::passed("The commit has deleted the Azure VM.")
        }
        Ok(AzureVm::Absent) => Verdict::failed(
            "The Azure VM is not in its resource group: whether it is shut down cannot be seen.",
            "Look whether it was moved to another group, and runs there. If it was deleted, commit in the portal.",
        ),
        Err(why) => Verdict::unknown(why, "See the RecoveryVault's conditions."),
    },
};

/// Last segment of an ARM id.
fn vm_name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
