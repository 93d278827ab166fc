//! What is recorded of a machine beside its conditions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{CheckStatus, DecidedLocation, Identity, LocationStatus, ProbeStatus},
    core::{
        checks::CheckOutcome,
        facts::{Machine, azure_vm_id, is_about, learned},
        observed::Direction,
        placement::Placement,
        probes,
        refusal::Refusal,
        stage::Stage,
    },
};

/// The rows of the status; a result's time stays while result and message stay.
pub(super) fn check_rows(before: &[CheckStatus], outcomes: &[CheckOutcome], now: Timestamp) -> Vec<CheckStatus> {
    outcomes
        .iter()
        .map(|outcome| {
            let row = CheckStatus {
                name: outcome.check.name.to_owned(),
                result: outcome.result,
                message: outcome.message.clone(),
                remedy: outcome.remedy.clone(),
                waived: outcome.waived.clone(),
                gates: outcome.check.gates.iter().map(|verb| verb.as_str().to_owned()).collect(),
                observed_at: Time(now),
            };
            match before.iter().find(|old| old.name == row.name) {
                Some(old) if old.result == row.result && old.message == row.message => {
                    CheckStatus { observed_at: old.observed_at.clone(), ..row }
                }
                Some(_) | None => row,
            }
        })
        .collect()
}

/// The rows of the declared probes. Where none can be told of, as after the commit or a restart, what was seen last stays.
pub(super) fn probe_rows(machine: &Machine<'_>) -> Vec<ProbeStatus> {
    let before = &machine.status.probes;
    machine.facts.probes.value().map_or_else(|| before.clone(), |seen| probes::rows(before, seen, machine.now))
}

/// Where it comes home. What was decided stays while it cannot be told anew, and goes when it is ruled out.
pub(super) fn location(machine: &Machine<'_>, placement: &Placement<'_>) -> Option<LocationStatus> {
    match &placement.location {
        Ok(location) => Some(location.clone()),
        Err(Refusal::Unknown(_)) => {
            machine.status.location.clone().filter(|_| is_about(&machine.status.identity, machine.facts))
        }
        Err(Refusal::Refused { .. }) => None,
    }
}

/// What is known of who the machine is: what is seen now wins, what was learned before stays.
///
/// At an alternate location the VM whose UUIDs were known is gone, and the new one has others. So they are forgotten
/// when the machine replicates to VMware: from then on site recovery names the new VM's disks, by which it is found,
/// and its own UUIDs are learned.
pub(super) fn identity(machine: &Machine<'_>, location: Option<&LocationStatus>) -> Identity {
    let item = machine.facts.replication.value();
    let vm = machine.facts.home_vm();
    let known = learned(item, &machine.status.identity);
    let alternate = location.is_some_and(|location| location.decided == DecidedLocation::Alternate);
    let to_vmware = item.is_some_and(|item| item.direction == Some(Direction::ToVMware));
    let moref = if alternate && machine.stage == Stage::FailedOver { None } else { known.moref };
    let forget = alternate && to_vmware && moref.is_none();
    let (known_instance, known_bios) = if forget { (None, None) } else { (known.instance_uuid, known.bios_uuid) };
    Identity {
        item_id: item.map(|item| item.id.clone()).or(known.item_id),
        azure_vm_id: azure_vm_id(item, machine.spec.azure_vm_id.as_deref(), known.azure_vm_id.as_deref()),
        // What the VM was found by stays; it only tells what was not known yet.
        instance_uuid: item
            .and_then(|item| item.instance_uuid.clone())
            .or(known_instance)
            .or_else(|| vm.and_then(|vm| vm.instance_uuid.clone())),
        bios_uuid: known_bios.or_else(|| vm.and_then(|vm| vm.bios_uuid.clone())),
        moref: vm.map(|vm| vm.moref.clone()).or(moref),
    }
}
