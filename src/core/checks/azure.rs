//! Checks on the failed-over machine in Azure.

use jiff::{SignedDuration, Timestamp};

use super::{Check, FAILBACK, PRACTICE, REPROTECT, Verdict, View, judged};
use crate::{
    api::OperationOutcome,
    core::{
        action::Verb,
        journal,
        observed::{AzureDisk, AzurePower, AzureVm, Direction, Generation, Replication},
        stage::Stage,
        waiting::by_waiver,
    },
};

/// How long an agent may take to register after its machine booted (vendor documents: up to 15 minutes).
const REGISTRATION: SignedDuration = SignedDuration::from_mins(15);

/// So long after a machine moved the step itself tells whether its agent is there: one that fails for want of it is
/// tried again. What the vault says of it need not be the latest: in a recording a reprotect succeeds that was called 21
/// minutes after a failover of which the last word was that the agent had not registered.
const OVERDUE: SignedDuration = SignedDuration::from_mins(20);

pub(super) const AZURE_VM_PRESENT: Check = Check {
    name: "AzureVmPresent",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack],
    // It is the only copy of the workload.
    waivable: false,
    early: false,
    holds_when: "The failed-over Azure VM exists, in the resource group that it was created in: one that was deleted or moved to another group cannot be failed back.",
    rule: |view| judged(azure_vm_present(view)),
};

fn azure_vm_present(view: &View<'_>) -> Result<Verdict, Verdict> {
    Ok(match azure_vm(view)? {
        AzureVm::Present { id, .. } => Verdict::passed(format!("Azure VM {} exists.", AzureVm::name_of(id))),
        AzureVm::Absent => Verdict::failed(
            "The failed-over Azure VM does not exist in its resource group.",
            "Move the VM back to the resource group that it was created in. A deleted VM cannot be failed back.",
        ),
    })
}

/// The VM. That it is absent counts only where somebody named it: site recovery renames on a clash of names, so that
/// nothing follows from the absence of a VM by a derived name.
fn azure_vm<'a>(view: &View<'a>) -> Result<&'a AzureVm, Verdict> {
    let seen = view.facts.azure_vm.known().map_err(|why| {
        Verdict::unknown(
            why,
            "See the RecoveryVault's conditions; reading VMs needs Microsoft.Compute/virtualMachines/read.",
        )
    })?;
    let named =
        view.spec.azure_vm_id.is_some() || view.facts.replication.value().is_none_or(|item| item.azure_vm_id_named);
    match seen {
        AzureVm::Absent if !named => {
            let derived =
                view.facts.replication.value().and_then(|item| item.azure_vm_id.as_deref()).unwrap_or_default();
            Err(Verdict::unknown(
                format!(
                    "The vault does not name the Azure VM, and there is none by the derived name \"{}\".",
                    AzureVm::name_of(derived)
                ),
                by_waiver!(
                    "Set spec.azureVmId to the ARM id of the failed-over VM: site recovery renames it on a clash of names."
                ),
            ))
        }
        AzureVm::Absent | AzureVm::Present { .. } => Ok(seen),
    }
}

pub(super) const AZURE_VM_RUNNING: Check = Check {
    name: "AzureVmRunning",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "The Azure VM is running, so that its agent can answer.",
    rule: |view| judged(azure_vm_running(view)),
};

fn azure_vm_running(view: &View<'_>) -> Result<Verdict, Verdict> {
    Ok(match azure_vm(view)? {
        AzureVm::Present { power: AzurePower::Running, .. } => Verdict::passed("The Azure VM is running."),
        AzureVm::Present { id, power, .. } => {
            Verdict::failed(format!("Azure VM {} is {power}.", AzureVm::name_of(id)), "Start the VM in Azure.")
        }
        AzureVm::Absent => Verdict::failed("The Azure VM does not exist.", "Do what the check AzureVmPresent says."),
    })
}

pub(super) const AGENT_REGISTERED: Check = Check {
    name: "AgentRegistered",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect, Verb::Protect],
    waivable: true,
    early: false,
    holds_when: "The mobility agent has registered since the machine booted, which takes up to 15 minutes; a reprotect before that fails saying that the agent is not installed. Where the vault has denied it for 20 minutes, the reprotect itself tells, and is tried again.",
    rule: |view| judged(agent_registered(view)),
};

/// `isAgentRegistrationSuccessfulAfterFailover` tells it in the modernized generation. Elsewhere the provider reports the
/// agent's last heartbeat, which must be later than the failover that booted the machine.
fn agent_registered(view: &View<'_>) -> Result<Verdict, Verdict> {
    const WAIT: &str = "Wait: it registers by itself. If it does not within 15 minutes, look at the agent's connection to the replication service.";
    let item = view.item()?;
    let (began, ended) = (moved(item), failed_back(view));
    let booted = began.max(ended);
    let overdue = |since: Option<Timestamp>| since.is_some_and(|since| since + OVERDUE <= view.now);
    match item.agent_registered {
        Some(true) => return Ok(Verdict::passed("The mobility agent has registered since the last failover.")),
        Some(false) if overdue(booted) => {
            return Ok(Verdict::passed(
                "The vault has denied for 20 minutes that the mobility agent has registered: the step itself tells.",
            ));
        }
        Some(false) => {
            return Ok(Verdict::failed("The mobility agent has not registered since the last failover.", WAIT));
        }
        None if item.direction.is_none() || forward(item) && item.generation != Some(Generation::Classic) => {
            return Ok(Verdict::unknown("The vault does not say whether the mobility agent has registered.", WAIT));
        }
        None => {}
    }
    let Some(beat) = item.agent_heartbeat else {
        return Ok(Verdict::unknown("The vault reports no heartbeat of the mobility agent.", WAIT));
    };
    let is_recent = beat.duration_until(view.now) < REGISTRATION;
    let beats_since = |booted: Option<Timestamp>| booted.map_or(is_recent, |booted| beat > booted);
    Ok(if beats_since(booted) && booted.is_some() {
        Verdict::passed("The mobility agent has sent a heartbeat since the last failover.")
    } else if beats_since(booted) {
        Verdict::passed("The mobility agent's last heartbeat is less than 15 minutes old.")
    } else if overdue(ended) && beats_since(began) {
        Verdict::passed(format!(
            "The mobility agent's last heartbeat was at {beat:.0}, during the failback: the step itself tells."
        ))
    } else {
        Verdict::failed(
            format!("The mobility agent's last heartbeat was at {beat:.0}, before the machine booted here."),
            WAIT,
        )
    })
}

fn forward(item: &Replication) -> bool {
    item.direction == Some(Direction::ToAzure)
}

/// When the last failover began, or was over, as the vault tells.
fn moved(item: &Replication) -> Option<Timestamp> {
    if forward(item) { item.last_failover } else { item.last_planned_failover.as_ref().and_then(|(_, began)| *began) }
}

/// When the failback that brought the machine home was over, as the journal tells: the agent in Azure goes on sending
/// heartbeats while it is shut down.
fn failed_back(view: &View<'_>) -> Option<Timestamp> {
    let at_home = matches!(view.stage, Stage::FailedBack | Stage::HomeCommitted);
    let mut records = view.status.operation.iter().chain(&view.status.history);
    let last = records.find(|record| journal::ended_as(record, Verb::FailBack, OperationOutcome::Succeeded));
    last.filter(|_| at_home)?.ended_at.as_ref().map(|time| time.0)
}

pub(super) const DISKS_UNCHANGED: Check = Check {
    name: "DisksUnchanged",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::FailBack],
    waivable: true,
    early: true,
    holds_when: "No disk was added in Azure after the failover: such a disk does not come home, and is lost at the commit.",
    rule: |view| judged(disks_unchanged(view)),
};

fn disks_unchanged(view: &View<'_>) -> Result<Verdict, Verdict> {
    const SEE: &str = "Do what the check AzureVmPresent says.";
    let replicated = &view.item()?.disks;
    let AzureVm::Present { id, disks: Some(disks), .. } = azure_vm(view)? else {
        return Err(Verdict::unknown("The disks of the Azure VM were not listed.", SEE));
    };
    if replicated.is_empty() {
        return Err(Verdict::unknown("The vault does not list the replicated disks.", "Wait for the item to be read."));
    }
    if disks.len() <= replicated.len() {
        return Ok(Verdict::passed(format!(
            "The {} disks of Azure VM {} are replicated.",
            disks.len(),
            AzureVm::name_of(id)
        )));
    }
    let is_replicated =
        |disk: &&AzureDisk| replicated.iter().any(|other| other.name == disk.name || other.id == disk.name);
    let added: Vec<_> = disks.iter().filter(|disk| !is_replicated(disk)).map(|disk| disk.name.as_str()).collect();
    Ok(Verdict::failed(
        format!(
            "Azure VM {} has {} disks, and {} are replicated. Not known to the replication: {}.",
            AzureVm::name_of(id),
            disks.len(),
            replicated.len(),
            added.join(", ")
        ),
        "Move the data of the added disk onto a replicated one, and detach it; or waive this check, and lose it at the commit.",
    ))
}

pub(super) const AZURE_VM_STOPPED: Check = Check {
    name: "AzureVmStopped",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::Commit],
    // Two copies may be live.
    waivable: false,
    early: false,
    holds_when: "After failback the Azure VM is seen shut down.",
    rule: azure_vm_stopped,
};

fn azure_vm_stopped(view: &View<'_>) -> Verdict {
    match view.facts.azure_vm.known() {
        Ok(AzureVm::Present { power, .. }) if power.is_off() => Verdict::passed(format!("The Azure VM is {power}.")),
        Ok(AzureVm::Present { id, power: AzurePower::Running, .. }) if view.stage == Stage::FailedBack => {
            Verdict::failed(
                format!(
                    "Azure VM {} is running while the machine was failed back: two copies may be live.",
                    AzureVm::name_of(id)
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
            "Look in the portal whether it was moved to another resource group and runs there. If it was deleted, commit in the portal.",
        ),
        Err(why) => Verdict::unknown(why, "See the RecoveryVault's conditions."),
    }
}

pub(super) const NO_DELETE_LOCK: Check = Check {
    name: "NoDeleteLock",
    source: PRACTICE,
    generation: None,
    gates: &[Verb::Commit],
    waivable: true,
    early: true,
    holds_when: "No resource lock stops Azure from deleting the failed-over VM.",
    rule: |view| match view.facts.locks.known() {
        Ok(locks) if locks.is_empty() => {
            Verdict::passed("No lock is on the Azure VM, its resource group or subscription.")
        }
        Ok(locks) => Verdict::failed(
            format!("Locks keep Azure from deleting the VM: {}.", locks.join(", ")),
            "Delete these locks in the portal (the resource group's page Locks) before the commit.",
        ),
        Err(why) => Verdict::unknown(why, "Reading locks needs Microsoft.Authorization/locks/read."),
    },
};
