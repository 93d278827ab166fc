//! Through what and into which datastore a machine comes home: declared, else chosen, and why.

mod classic;
mod datastore;
mod servers;
mod target;

pub use self::target::Chosen;
use self::target::in_use;
pub(super) use self::{
    classic::{disks_to_include, failback_policy, forward_policy, retention, run_as_account},
    servers::process_server,
};
use super::{
    action::Verb,
    facts::{Machine, is_about},
    location,
    observed::{Generation, Host},
    refusal::Refusal,
    stage::Stage,
};
use crate::api::{DecidedLocation, LocationStatus, TargetStatus};

/// Every choice about a machine's way home, each with the reason where it cannot be made.
#[derive(Debug)]
pub struct Placement<'a> {
    /// Original or alternate location.
    pub location: Result<LocationStatus, Refusal>,
    /// The appliance or master target.
    pub target: Result<Chosen<'a>, Refusal>,
    /// Display name of the datastore.
    pub datastore: Result<String, Refusal>,
}

/// Chooses.
pub fn choose<'a>(machine: &Machine<'a>) -> Placement<'a> {
    let location = location::standing(machine);
    let decided = location.as_ref().ok().map(|location| location.decided);
    let target = if machine.stage == Stage::FailedOver { target::choose(machine, decided) } else { in_use(machine) };
    let datastore = match (&location, &target) {
        (Ok(location), Ok(chosen)) => datastore::choose(machine, location.decided, chosen.target),
        (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.clone()),
    };
    Placement { location, target, datastore }
}

/// What is recorded of it: the choice while it can still change, then what is in use.
///
/// # Errors
/// Why there is no choice.
pub fn status(machine: &Machine<'_>, placement: &Placement<'_>) -> Result<TargetStatus, Refusal> {
    let chosen = placement.target.as_ref().map_err(Clone::clone)?;
    let id = &chosen.target.target.id;
    let recorded = machine.status.target.as_ref().filter(|_| is_about(&machine.status.identity, machine.facts));
    if machine.stage != Stage::FailedOver
        && let Some(recorded) = recorded.filter(|recorded| recorded.appliance_id.eq_ignore_ascii_case(id))
    {
        return Ok(recorded.clone());
    }
    let datastore = if machine.stage == Stage::FailedOver {
        placement.datastore.clone()?
    } else {
        let item = machine.facts.replication.known()?;
        item.datastores.first().cloned().unwrap_or_default()
    };
    let decided = placement.location.as_ref().ok().map(|location| location.decided);
    let generation = machine.facts.replication.value().and_then(|item| item.generation);
    let server = match generation {
        Some(Generation::Classic) => process_server(machine, Verb::Reprotect, Some(chosen.target)).ok(),
        Some(Generation::Modernized) | None => None,
    };
    Ok(TargetStatus {
        appliance: chosen.target.target.name.clone(),
        appliance_id: id.clone(),
        datastore,
        host: host(machine, chosen, decided).map(|host| host.name.clone()),
        process_server: server.map(|server| server.name.clone()),
        reason: chosen.reason.clone(),
    })
}

/// The host that the machine comes home to: its VM's, or the one that a new VM is made on.
fn host<'a>(machine: &Machine<'a>, chosen: &Chosen<'a>, decided: Option<DecidedLocation>) -> Option<&'a Host> {
    let vm = match decided? {
        DecidedLocation::Original => machine.facts.home_vm(),
        DecidedLocation::Alternate => chosen.target.machine(),
    };
    host_named(machine, vm?.host.as_deref()?)
}

/// The host with this managed object id.
pub(super) fn host_named<'a>(machine: &Machine<'a>, moref: &str) -> Option<&'a Host> {
    machine.facts.site.value()?.hosts.iter().map(AsRef::as_ref).find(|host| host.moref == moref)
}
