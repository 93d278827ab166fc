//! The appliance (modernized) or master target (classic) that a machine comes home through.

use super::datastore;
use crate::{
    api::DecidedLocation,
    core::{
        facts::{Machine, SiteFacts, TargetFacts},
        observed::{Direction, Generation, Replication},
        refusal::Refusal,
        target::{self, Finding},
    },
};

/// A target with the reason why it is this one.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    /// The target.
    pub target: &'a TargetFacts,
    /// Why.
    pub reason: String,
}

/// The declared target, else the fittest: the fewest problems, then the one that the machine's group uses, then the
/// fewest disks, then by name. One with problems is better than none: the checks say what is wrong with it.
pub(super) fn choose<'a>(machine: &Machine<'a>, location: Option<DecidedLocation>) -> Result<Chosen<'a>, Refusal> {
    let item = machine.facts.replication.known()?;
    let site = site(machine)?;
    if let Some(wanted) = machine.facts.appliance.known()?.as_deref() {
        return declared(site, wanted);
    }
    let datastore = location.and_then(|location| datastore::wanted(machine, location));
    let grouped = group_target(machine);
    let rank = |target: &TargetFacts| {
        let problems = problems(machine, item, target, datastore.as_deref());
        let in_group = grouped.as_deref().is_some_and(|id| target.target.id.eq_ignore_ascii_case(id));
        (problems, !in_group, target::occupied(target), target.target.name.clone(), target.target.id.clone())
    };
    let fittest = site.targets.iter().min_by_key(|target| rank(target));
    let Some(target) = fittest else {
        return Err(Refusal::refused(
            "Site recovery knows no appliance or master target in the machine's fabric.",
            "Register one, and wait for its discovery, which takes up to 30 minutes.",
        ));
    };
    Ok(Chosen { target, reason: why(site, target, rank(target).1 || grouped.is_none()) })
}

fn why(site: &SiteFacts, target: &TargetFacts, by_itself: bool) -> String {
    match site.targets.len() {
        1 => "The only one of the fabric.".to_owned(),
        _ if !by_itself => "The one that the machine's consistency group uses.".to_owned(),
        count => format!("Chosen of {count}: the fittest, with {} disks attached.", target::occupied(target)),
    }
}

fn declared<'a>(site: &'a SiteFacts, wanted: &str) -> Result<Chosen<'a>, Refusal> {
    let is_it = |target: &&TargetFacts| {
        target.target.name.eq_ignore_ascii_case(wanted) || target.target.id.eq_ignore_ascii_case(wanted)
    };
    match site.targets.iter().find(is_it) {
        Some(target) => Ok(Chosen { target, reason: "Declared by spec.masterTargetRef.".to_owned() }),
        None => {
            let names: Vec<_> = site.targets.iter().map(|target| target.target.name.as_str()).collect();
            Err(Refusal::missing(
                "spec.masterTargetRef",
                "appliance or master target of the machine's fabric",
                wanted,
                &names,
            ))
        }
    }
}

fn site<'a>(machine: &Machine<'a>) -> Result<&'a SiteFacts, Refusal> {
    machine.facts.fabric.known()?;
    Ok(machine.facts.site.known()?)
}

/// One of the targets that members of the machine's group use or are decided to, the same for every member.
fn group_target(machine: &Machine<'_>) -> Option<String> {
    let members = machine.facts.group.value().filter(|members| !members.is_empty())?;
    let own = machine.status.target.as_ref().map(|target| target.appliance_id.clone());
    members.iter().filter_map(|member| member.target_id.clone()).chain(own).min()
}

/// How much speaks against a target.
fn problems(machine: &Machine<'_>, item: &Replication, target: &TargetFacts, datastore: Option<&str>) -> usize {
    let of = &target.target;
    let classic = item.generation == Some(Generation::Classic);
    let own = machine.facts.disk_count().and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    let server = machine.facts.fabric.value().and_then(|fabric| fabric.configuration_server.as_ref());
    let reaches = datastore.map_or(!of.datastores.is_empty(), |name| of.datastores.iter().any(|has| has == name));
    [
        !matches!(target::health(of, item.generation, server, machine.now), Finding::Ok(_)),
        classic && of.os.is_some() && item.os.is_some() && of.os != item.os,
        !reaches,
        target::occupied(target).saturating_add(own) > target.disk_limit,
        classic && matches!(target::best_volume(of), Err(Refusal::Refused { .. })),
    ]
    .into_iter()
    .filter(|problem| *problem)
    .count()
}

/// The target that the machine replicates through.
///
/// # Errors
/// Why it cannot be told.
pub(in crate::core) fn in_use<'a>(machine: &Machine<'a>) -> Result<Chosen<'a>, Refusal> {
    let item = machine.facts.replication.known()?;
    if item.direction != Some(Direction::ToVMware) {
        return Err(Refusal::Unknown("The machine does not replicate to VMware.".to_owned()));
    }
    let recorded = || machine.status.target.as_ref().map(|target| target.appliance_id.clone());
    let named = match item.generation {
        Some(Generation::Classic) => item.master_target_id.clone(),
        Some(Generation::Modernized) | None => item.appliance_id.clone(),
    };
    let Some(id) = named.or_else(recorded) else {
        return Err(Refusal::Unknown("The vault does not name what the machine replicates through.".to_owned()));
    };
    let target = site(machine)?.targets.iter().find(|target| target.target.id.eq_ignore_ascii_case(&id));
    target.map(|target| Chosen { target, reason: "The machine replicates through it.".to_owned() }).ok_or_else(|| {
        Refusal::refused(
            format!("The machine replicates through {id}, which its fabric no longer lists."),
            "Register that appliance or master target again.",
        )
    })
}
