//! Checks on the location and the datastore that a machine comes home to.

use super::{Check, OVERVIEW, REPROTECT, Verdict, View, judged};
use crate::{
    api::DecidedLocation,
    core::{action::Verb, estimate, observed::Generation, target},
};

pub(super) const LOCATION_POSSIBLE: Check = Check {
    name: "LocationPossible",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Reprotect],
    // There is nothing to call with.
    waivable: false,
    early: false,
    holds_when: "It is decided whether the machine returns onto its original VM or into a new one, and what spec.location demands is possible.",
    rule: |view| match &view.placement.location {
        Ok(location) => Verdict::passed(location.reason.clone()),
        Err(refusal) => refusal.clone().into(),
    },
};

pub(super) const DATASTORE_REACHABLE: Check = Check {
    name: "DatastoreReachable",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "The host of the master target (or appliance) can write to the datastore: the one that the original VM's disks lie in, or the one chosen for a new VM.",
    rule: |view| judged(reachable(view)),
};

fn reachable(view: &View<'_>) -> Result<Verdict, Verdict> {
    let decided = view.location()?;
    let chosen = view.target()?;
    let wanted = view.placement.datastore.as_ref().map_err(|refusal| Verdict::from(refusal.clone()))?;
    let home = match decided {
        DecidedLocation::Original => view.facts.home_datastores.as_slice(),
        DecidedLocation::Alternate => &[],
    };
    let needed: Vec<&String> = std::iter::once(wanted).chain(home.iter().filter(|name| *name != wanted)).collect();
    let (name, reaches) = (&chosen.target.name, &chosen.target.datastores);
    if let Some(out) = needed.iter().find(|store| !reaches.contains(store)) {
        let list = if reaches.is_empty() { "none".to_owned() } else { reaches.join(", ") };
        return Ok(Verdict::failed(
            format!("\"{name}\" cannot write to datastore \"{out}\"; it reaches {list}."),
            "Share the datastore with its host, or choose another target. A read-only vCenter account, or a discovery that has not run, leaves the list empty.",
        ));
    }
    let host = chosen.machine().and_then(|vm| vm.host.as_deref());
    let known = view.site()?.datastores.as_slice();
    if let Some(out) = needed.iter().find(|store| target::reaches(host, store, known) == Some(false)) {
        return Ok(Verdict::failed(
            format!("The host of \"{name}\" does not mount datastore \"{out}\" for writing."),
            "Mount it there, or choose another target.",
        ));
    }
    let stores: Vec<_> = needed.iter().map(|store| store.as_str()).collect();
    Ok(Verdict::passed(format!("\"{name}\" can write to {}.", stores.join(", "))))
}

pub(super) const DATASTORE_IS_VMFS: Check = Check {
    name: "DatastoreIsVmfs",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "Alternate location: the chosen datastore is VMFS. vSAN and raw devices do not work there. The modernized documents name any datastore that the appliance's vCenter shows: waive the check to use one.",
    rule: |view| judged(is_vmfs(view)),
};

fn is_vmfs(view: &View<'_>) -> Result<Verdict, Verdict> {
    if view.location()? == DecidedLocation::Original {
        return Err(Verdict::Irrelevant);
    }
    let datastore = view.datastore()?;
    Ok(match datastore.kind.as_deref() {
        Some(kind) if kind.eq_ignore_ascii_case("VMFS") => {
            Verdict::passed(format!("Datastore \"{}\" is VMFS.", datastore.name))
        }
        Some(kind) => Verdict::failed(
            format!("Datastore \"{}\" is {kind}; a new VM is made on VMFS only.", datastore.name),
            "Name a VMFS datastore in spec.datastore.",
        ),
        None => Verdict::unknown(
            format!("vCenter does not show the type of datastore \"{}\".", datastore.name),
            "Give the account of the VCenter the System.Read privilege on it.",
        ),
    })
}

pub(super) const DATASTORE_HAS_SPACE: Check = Check {
    name: "DatastoreHasSpace",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "Free space covers the machine's disks (alternate location), and a tenth of them for the snapshot from which a failback can be undone (modernized).",
    rule: |view| judged(has_space(view)),
};

fn has_space(view: &View<'_>) -> Result<Verdict, Verdict> {
    let modernized = view.item()?.generation == Some(Generation::Modernized);
    let alternate = view.location()? == DecidedLocation::Alternate;
    if !modernized && !alternate {
        return Err(Verdict::Irrelevant);
    }
    let datastore = view.datastore()?;
    let Some(bytes) = view.facts.disk_bytes() else {
        return Err(Verdict::unknown("The size of the machine's disks is not known.", "Wait for the item to be read."));
    };
    let Some(free) = datastore.free_bytes else {
        return Err(Verdict::unknown(
            format!("vCenter does not show the free space of datastore \"{}\".", datastore.name),
            "Give the account of the VCenter the Datastore.Browse privilege on it.",
        ));
    };
    let disks = if alternate { bytes } else { 0 };
    let snapshot = if modernized { bytes / 10 } else { 0 };
    let needed = disks.saturating_add(snapshot);
    let size = |bytes: u64| estimate::size(i64::try_from(bytes).unwrap_or(i64::MAX));
    let saw = format!("Datastore \"{}\" has {} free; {} are needed.", datastore.name, size(free), size(needed));
    Ok(if free >= needed {
        Verdict::passed(saw)
    } else {
        Verdict::failed(saw, "Free space, or name another datastore in spec.datastore.")
    })
}
