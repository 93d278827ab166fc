//! The datastore that a machine comes home to. The call names it by its display name, in either location.

use std::sync::Arc;

use crate::{
    api::DecidedLocation,
    core::{
        facts::{Machine, SiteFacts, TargetFacts},
        observed::Datastore,
        refusal::Refusal,
    },
};

/// The datastore that is asked for: declared, else the original VM's.
pub(super) fn wanted(machine: &Machine<'_>, location: DecidedLocation) -> Option<String> {
    machine.spec.datastore.clone().or_else(|| match location {
        DecidedLocation::Original => original(machine),
        DecidedLocation::Alternate => None,
    })
}

/// The first datastore of the original VM, as vCenter or else the vault has it.
fn original(machine: &Machine<'_>) -> Option<String> {
    let of_item = || machine.facts.replication.value().and_then(|item| item.datastores.first().cloned());
    machine.facts.home_datastores.first().cloned().or_else(of_item)
}

/// The declared datastore, else the original VM's, else for a new VM the roomiest that the target reaches.
pub(super) fn choose(
    machine: &Machine<'_>,
    location: DecidedLocation,
    target: &TargetFacts,
) -> Result<String, Refusal> {
    let site = machine.facts.site.known()?;
    if let Some(wanted) = &machine.spec.datastore {
        return declared(machine, location, site, wanted);
    }
    match location {
        DecidedLocation::Original => original(machine).ok_or_else(|| {
            Refusal::refused(
                "spec.datastore: the original VM's datastore is not known.",
                "Name the datastore that its disks lie in.",
            )
        }),
        DecidedLocation::Alternate => roomiest(machine, site, target),
    }
}

fn declared(
    machine: &Machine<'_>,
    location: DecidedLocation,
    site: &SiteFacts,
    wanted: &str,
) -> Result<String, Refusal> {
    let names: Vec<_> = site.datastores.iter().map(|datastore| datastore.name.as_str()).collect();
    if !names.contains(&wanted) {
        return Err(Refusal::missing("spec.datastore", "datastore in vCenter", wanted, &names));
    }
    let home = &machine.facts.home_datastores;
    if location == DecidedLocation::Original && !home.is_empty() && !home.iter().any(|name| name == wanted) {
        return Err(Refusal::refused(
            format!(
                "spec.datastore: the machine returns onto its original VM, which lies in {}, not in \"{wanted}\".",
                home.join(", ")
            ),
            "Remove spec.datastore.",
        ));
    }
    Ok(wanted.to_owned())
}

fn roomiest(machine: &Machine<'_>, site: &SiteFacts, target: &TargetFacts) -> Result<String, Refusal> {
    let before = machine.facts.replication.value().and_then(|item| item.datastores.first());
    let rank = |datastore: &&Arc<Datastore>| {
        let vmfs = datastore.kind.as_deref() == Some("VMFS");
        (vmfs, before == Some(&datastore.name), datastore.free_bytes, std::cmp::Reverse(datastore.name.clone()))
    };
    let reachable = site.datastores.iter().filter(|datastore| reaches(target, datastore));
    reachable.max_by_key(rank).map(|datastore| datastore.name.clone()).ok_or_else(|| {
        Refusal::refused(
            format!("spec.datastore: \"{}\" can write to no datastore for a new VM.", target.target.name),
            "Give its vCenter account write access, share storage with its host, or wait for its discovery.",
        )
    })
}

/// Whether the target lists the datastore, and its host does not deny it.
fn reaches(target: &TargetFacts, datastore: &Datastore) -> bool {
    let denied = target.machine().and_then(|vm| vm.host.as_deref()).and_then(|host| datastore.writable_on(host));
    target.target.datastores.contains(&datastore.name) && denied != Some(false)
}
