//! Checks on the appliance or master target that a machine comes home through.

use super::{Check, MASTER_TARGET, OVERVIEW, REPROTECT, Verdict, View, judged};
use crate::core::{action::Verb, observed::Generation, placement::retention, target};

pub(super) const MASTER_TARGET_DISCOVERED: Check = Check {
    name: "MasterTargetDiscovered",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect],
    // There is nothing to call with.
    waivable: false,
    early: false,
    holds_when: "At least one master target (or reprotect agent of an appliance), the one that is declared, and the ESX hosts to fail back to, are discovered.",
    rule: |view| judged(discovered(view)),
};

fn discovered(view: &View<'_>) -> Result<Verdict, Verdict> {
    let site = view.site()?;
    view.fabric()?;
    if site.hosts.is_empty() {
        return Ok(Verdict::failed(
            "vCenter shows no ESX host.",
            "Give the account of the VCenter the System.Read privilege on the hosts.",
        ));
    }
    let chosen = view.placement.target.as_ref().map_err(|refusal| Verdict::from(refusal.clone()))?;
    Ok(Verdict::passed(format!(
        "\"{}\" of {}, and {} ESX hosts. {}",
        chosen.target.target.name,
        site.targets.len(),
        site.hosts.len(),
        chosen.reason
    )))
}

pub(super) const MASTER_TARGET_OS_MATCHES: Check = Check {
    name: "MasterTargetOsMatches",
    source: REPROTECT,
    generation: Some(Generation::Classic),
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "The master target's OS family is the machine's: Windows for Windows, Linux for Linux.",
    rule: |view| judged(os_matches(view)),
};

fn os_matches(view: &View<'_>) -> Result<Verdict, Verdict> {
    let (target, item) = (&view.target()?.target, view.item()?);
    let (Some(theirs), Some(ours)) = (target.os, item.os) else {
        return Err(Verdict::unknown(
            format!("The OS family of the machine or of master target \"{}\" is not reported.", target.name),
            "Wait for the discovery.",
        ));
    };
    Ok(if theirs == ours {
        Verdict::passed(format!("Master target \"{}\" and the machine run {ours:?}.", target.name))
    } else {
        Verdict::failed(
            format!("Master target \"{}\" runs {theirs:?}, the machine {ours:?}.", target.name),
            format!("Name a {ours:?} master target in spec.masterTargetRef; install one where there is none."),
        )
    })
}

pub(super) const MASTER_TARGET_HEALTHY: Check = Check {
    name: "MasterTargetHealthy",
    source: MASTER_TARGET,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "The master target (or reprotect agent) has no validation or health errors, a fresh heartbeat, and no newer version than its configuration server.",
    rule: |view| judged(healthy(view)),
};

fn healthy(view: &View<'_>) -> Result<Verdict, Verdict> {
    let (chosen, generation) = (&view.target()?.target, view.item()?.generation);
    Ok(target::health(chosen, generation, view.fabric()?.configuration_server.as_ref(), view.now).into())
}

pub(super) const MASTER_TARGET_NO_SNAPSHOTS: Check = Check {
    name: "MasterTargetNoSnapshots",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "The VM of the master target (or appliance) has no snapshots: with one, reprotect fails.",
    rule: |view| judged(view.target().map(|chosen| target::snapshots(chosen).into())),
};

pub(super) const MASTER_TARGET_DISK_SLOTS: Check = Check {
    name: "MasterTargetDiskSlots",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "The disks attached through the master target (or appliance), those of running plans and this machine's included, stay within 60.",
    rule: |view| judged(disk_slots(view)),
};

fn disk_slots(view: &View<'_>) -> Result<Verdict, Verdict> {
    let chosen = view.target()?;
    let Some(own) = view.facts.disk_count().and_then(|count| u32::try_from(count).ok()) else {
        return Err(Verdict::unknown("How many disks the machine has is not known.", "Wait for the item to be read."));
    };
    Ok(target::slots(chosen, own).into())
}

pub(super) const MASTER_TARGET_RETENTION: Check = Check {
    name: "MasterTargetRetention",
    source: MASTER_TARGET,
    generation: Some(Generation::Classic),
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "The master target has a retention volume with free space, not FAT, other than its OS volume.",
    rule: |view| judged(has_retention(view)),
};

fn has_retention(view: &View<'_>) -> Result<Verdict, Verdict> {
    let chosen = view.target()?;
    Ok(target::retention(&chosen.target, retention(&view.machine, chosen)?).into())
}

pub(super) const MASTER_TARGET_CONTROLLER: Check = Check {
    name: "MasterTargetController",
    source: MASTER_TARGET,
    generation: Some(Generation::Classic),
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "The disks of the master target's VM are on LSI Logic controllers, not on paravirtual ones, and its `disk.EnableUUID` is TRUE.",
    rule: |view| judged(view.target().map(|chosen| target::controller(chosen).into())),
};
