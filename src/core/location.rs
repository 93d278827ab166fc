//! Where a machine comes home: onto its original VM, or as a new one.
//!
//! The vendor's rule ("Reprotect VMs from Azure to an on-premises site"): while the on-premises VM exists, machines
//! return onto it and only changes are replicated; when it does not, reprotect makes a new VM. A physical server comes
//! back only as a new VM, and one with Windows Server 2008 R2 SP1 not at all.

use super::{
    action::Verb,
    facts::{Machine, is_about},
    observed::{Direction, OnPremisesVm, Replication},
    refusal::Refusal,
    stage::Stage,
};
use crate::api::{DecidedLocation, LocationChoice, LocationStatus, OperationOutcome, Transfer};

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Which.
    pub decided: DecidedLocation,
    /// Why, with names.
    pub reason: String,
}

/// Decides from what is declared and seen. Nothing follows from what is not known: a VM that was not looked for, or
/// that two VMs might be, is neither there nor gone.
///
/// # Errors
/// Why neither location is possible, or cannot be told.
pub fn decide(machine: &Machine<'_>) -> Result<Location, Refusal> {
    let item = machine.facts.replication.known()?;
    if is_physical(item) == Some(true) {
        return physical(machine.spec.location, item);
    }
    match (machine.facts.on_premises.known()?, machine.spec.location) {
        (OnPremisesVm::Ambiguous(names), _) => Err(Refusal::refused(
            format!("Several VMs in vCenter could be this machine: {}.", names.join(", ")),
            "Keep one: remove the copies, or give them another UUID; a template must become a VM again.",
        )),
        (OnPremisesVm::Found(vm), LocationChoice::Auto | LocationChoice::Original) => Ok(Location {
            decided: DecidedLocation::Original,
            reason: format!("The original VM {} ({}) is in vCenter.", vm.name, vm.moref),
        }),
        (OnPremisesVm::Found(vm), LocationChoice::Alternate) => Err(Refusal::refused(
            format!(
                "spec.location: Alternate is not possible while the original VM {} ({}) exists: site recovery returns a machine onto it.",
                vm.name, vm.moref
            ),
            "Remove spec.location, or remove the original VM from vCenter.",
        )),
        (OnPremisesVm::NotFound, LocationChoice::Original) => Err(Refusal::refused(
            "spec.location: Original is not possible: no VM in vCenter has the machine's UUIDs.",
            "Register the original VM in vCenter again, or remove spec.location.",
        )),
        // The discovery runs under another account, and lags: only together do they say that the VM is gone.
        (OnPremisesVm::NotFound, LocationChoice::Auto) if item.home_deleted == Some(false) => Err(Refusal::refused(
            "The vault says that the original VM exists, and vCenter shows none with its UUIDs to this account.",
            "Grant the VCenter's account read on the VM's folder. If the VM was deleted, wait for the appliance's next discovery, or set spec.location: Alternate for a new VM.",
        )),
        (OnPremisesVm::NotFound, LocationChoice::Auto | LocationChoice::Alternate) => Ok(Location {
            decided: DecidedLocation::Alternate,
            reason: "The original VM is not in vCenter; a new one is made.".to_owned(),
        }),
    }
}

fn physical(choice: LocationChoice, item: &Replication) -> Result<Location, Refusal> {
    if let Some(os) = unsupported_os(item) {
        return Err(Refusal::refused(
            format!("A physical server with {os} cannot come back."),
            "None: the vendor does not support it.",
        ));
    }
    match choice {
        LocationChoice::Original => Err(Refusal::refused(
            "spec.location: Original is not possible: a physical server has no VM to return onto.",
            "Remove spec.location.",
        )),
        LocationChoice::Auto | LocationChoice::Alternate => Ok(Location {
            decided: DecidedLocation::Alternate,
            reason: "A physical server comes home as a new VM.".to_owned(),
        }),
    }
}

/// Whether the machine was protected as a physical server; `None` where that cannot be told. Towards VMware the
/// classic provider calls the Azure VM physical, so that only the other direction counts.
pub(super) fn is_physical(item: &Replication) -> Option<bool> {
    match item.direction {
        Some(Direction::ToAzure) => item.physical.or_else(|| item.instance_uuid.as_ref().map(|_| false)),
        Some(Direction::ToVMware) | None => None,
    }
}

/// The operating system's name, where a physical server with it cannot come back. Service packs are not told, so that
/// every Windows Server 2008 R2 counts as one with SP1.
pub(super) fn unsupported_os(item: &Replication) -> Option<&str> {
    item.os_name.as_deref().filter(|name| name.contains("2008 R2"))
}

/// What is decided, to be recorded before anything runs. Once a reprotect was begun the record stays: an alternate
/// location then has a VM, which says nothing about the decision.
///
/// # Errors
/// As [`decide`], and where a reprotect was begun without a record.
pub fn standing(machine: &Machine<'_>) -> Result<LocationStatus, Refusal> {
    let recorded = machine.status.location.as_ref().filter(|_| is_about(&machine.status.identity, machine.facts));
    match (recorded, machine.stage == Stage::FailedOver) {
        (Some(recorded), begun) if !begun || reprotecting(machine) => {
            Ok(LocationStatus { estimated_seconds: estimate(machine, recorded), ..recorded.clone() })
        }
        (_, true) => decide(machine).map(|location| described(machine, location)),
        (_, false) => Err(Refusal::Unknown("The location was decided by whoever began the reprotect.".to_owned())),
    }
}

fn reprotecting(machine: &Machine<'_>) -> bool {
    let open = machine.status.operation.as_ref().filter(|record| {
        record.verb == Verb::Reprotect.as_str()
            && matches!(record.outcome, OperationOutcome::Intended | OperationOutcome::Submitted)
    });
    open.is_some() || machine.running == Some(Verb::Reprotect)
}

fn described(machine: &Machine<'_>, location: Location) -> LocationStatus {
    let transfer = match location.decided {
        DecidedLocation::Original => Transfer::Changes,
        DecidedLocation::Alternate => Transfer::Full,
    };
    let bytes = machine.facts.disk_bytes().and_then(|bytes| i64::try_from(bytes).ok());
    LocationStatus { decided: location.decided, reason: location.reason, transfer, bytes, estimated_seconds: None }
}

/// Seconds that the first transfer takes in all, by the rate measured since the reprotect.
fn estimate(machine: &Machine<'_>, recorded: &LocationStatus) -> Option<i64> {
    if machine.stage != Stage::SyncingToVMware {
        return recorded.estimated_seconds;
    }
    let (item, seen) = (machine.facts.replication.value()?, machine.facts.replication.at()?);
    let reprotect = machine.status.operation.as_ref().filter(|record| record.verb == Verb::Reprotect.as_str())?;
    let done = item.progress.processed_bytes.filter(|done| *done > 0)?;
    let elapsed = u128::try_from(reprotect.intended_at.0.duration_until(seen).as_secs()).ok()?;
    let bytes = u128::try_from(recorded.bytes?).ok()?;
    i64::try_from(bytes * elapsed / u128::from(done)).ok()
}
