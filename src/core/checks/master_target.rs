//! Checks on the appliance or master target that a machine comes home through.

use super::{Check, MASTER_TARGET, OVERVIEW, REPROTECT, Verdict, View, judged};
use crate::core::{
    action::Verb,
    observed::{Generation, Health},
    placement::{heartbeat_is_fresh, newest_health_error, retention},
    target::{is_newer, is_os_volume},
};

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
    const MEND: &str = "Look at its health errors in the portal, and at its services.";
    let target = &view.target()?.target;
    let classic = view.item()?.generation == Some(Generation::Classic);
    if let Some(error) = newest_health_error(&target.health_errors) {
        let advice = target.health_errors.first().map(|error| error.action.clone()).filter(|text| !text.is_empty());
        return Ok(Verdict::failed(
            format!("\"{}\" reports: {error}.", target.name),
            advice.unwrap_or(MEND.to_owned()),
        ));
    }
    match &target.health {
        Health::Normal => {}
        // A classic master target reports its errors, not always a word for its health.
        Health::Unclear(_) if classic => {}
        Health::Unclear(_) => {
            return Err(Verdict::unknown(format!("The health of \"{}\" is {}.", target.name, target.health), MEND));
        }
        Health::Warning | Health::Critical => {
            return Ok(Verdict::failed(format!("The health of \"{}\" is {}.", target.name, target.health), MEND));
        }
    }
    match (target.heartbeat, heartbeat_is_fresh(target.heartbeat, view.now)) {
        (Some(beat), Some(false)) => {
            return Ok(Verdict::failed(format!("\"{}\" sent its last heartbeat at {beat:.0}.", target.name), MEND));
        }
        (None, _) | (_, None) => {
            return Err(Verdict::unknown(format!("The vault shows no heartbeat of \"{}\".", target.name), MEND));
        }
        (Some(_), Some(true)) => {}
    }
    let server = view.fabric()?.configuration_server.as_ref().map(|server| server.version.as_str()).unwrap_or_default();
    if is_newer(&target.version, server) == Some(true) {
        return Ok(Verdict::failed(
            format!("\"{}\" has version {}, its configuration server {server}.", target.name, target.version),
            "Update the configuration server first.",
        ));
    }
    Ok(Verdict::passed(format!("\"{}\" is healthy, version {}.", target.name, target.version)))
}

pub(super) const MASTER_TARGET_NO_SNAPSHOTS: Check = Check {
    name: "MasterTargetNoSnapshots",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "The VM of the master target (or appliance) has no snapshots: with one, reprotect fails.",
    rule: |view| judged(no_snapshots(view)),
};

fn no_snapshots(view: &View<'_>) -> Result<Verdict, Verdict> {
    let vm = view.target_vm()?;
    Ok(match vm.snapshots {
        Some(0) => Verdict::passed(format!("VM {} ({}) has no snapshots.", vm.name, vm.moref)),
        Some(count) => Verdict::failed(
            format!("VM {} ({}) has {count} snapshots.", vm.name, vm.moref),
            "Delete them in vCenter, and keep backup software from making new ones.",
        ),
        None => Verdict::unknown(
            format!("vCenter does not show whether VM {} ({}) has snapshots.", vm.name, vm.moref),
            "Give the account of the VCenter the System.Read privilege on that VM.",
        ),
    })
}

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
    let target = view.target()?;
    let Some(own) = view.facts.disk_count().and_then(|count| u32::try_from(count).ok()) else {
        return Err(Verdict::unknown("How many disks the machine has is not known.", "Wait for the item to be read."));
    };
    // What is attached already shows on its VM too, and some of that may be nobody's whom we know.
    let shown = target.machine().and_then(|vm| u32::try_from(vm.disks.len()).ok()).unwrap_or_default();
    let (others, limit) = (target.disks_attached.max(shown), target.disk_limit);
    let saw = format!(
        "{others} disks attached or planned and {own} of this one, of {limit} that \"{}\" takes.",
        target.target.name
    );
    Ok(if others.saturating_add(own) <= limit {
        Verdict::passed(saw)
    } else {
        Verdict::failed(saw, "Wait until machines have come home, or choose another target.")
    })
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

/// The configuration server lists only volumes that can serve: none with FAT among them.
fn has_retention(view: &View<'_>) -> Result<Verdict, Verdict> {
    let target = view.target()?;
    let volume = retention(&view.machine, target)?;
    if is_os_volume(&volume.name) {
        return Ok(Verdict::failed(
            format!("{} is the OS volume of \"{}\".", volume.name, target.target.name),
            "Add a volume of its own for retention, and name it in spec.retentionDrive.",
        ));
    }
    match volume.free_bytes {
        Some(0) => Ok(Verdict::failed(
            format!("Retention volume {} of \"{}\" is full.", volume.name, target.target.name),
            "Free space on it.",
        )),
        Some(free) => Ok(Verdict::passed(format!("Retention volume {} has {} free.", volume.name, size(free)))),
        None => Err(Verdict::unknown(
            format!("The free space of retention volume {} is not reported.", volume.name),
            "Wait for the discovery, which takes up to 15 minutes.",
        )),
    }
}

pub(super) const MASTER_TARGET_CONTROLLER: Check = Check {
    name: "MasterTargetController",
    source: MASTER_TARGET,
    generation: Some(Generation::Classic),
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "The disks of the master target's VM are on LSI Logic controllers, not on paravirtual ones, and its `disk.EnableUUID` is TRUE.",
    rule: |view| judged(controller(view)),
};

fn controller(view: &View<'_>) -> Result<Verdict, Verdict> {
    let vm = view.target_vm()?;
    let controllers: Vec<_> = vm.disks.iter().filter_map(|disk| disk.controller.as_deref()).collect();
    if let Some(other) = controllers.iter().find(|kind| !kind.contains("LsiLogic")) {
        return Ok(Verdict::failed(
            format!("A disk of VM {} ({}) is on a {other}.", vm.name, vm.moref),
            "Change it to LSI Logic.",
        ));
    }
    match vm.disk_enable_uuid {
        Some(false) => Ok(Verdict::failed(
            format!("disk.EnableUUID of VM {} ({}) is not TRUE.", vm.name, vm.moref),
            "Set it in the VM's advanced configuration while the VM is off.",
        )),
        Some(true) if !controllers.is_empty() => {
            Ok(Verdict::passed(format!("VM {} uses LSI Logic, and disk.EnableUUID is TRUE.", vm.name)))
        }
        Some(true) | None => Err(Verdict::unknown(
            format!("vCenter does not show the controllers or disk.EnableUUID of VM {} ({}).", vm.name, vm.moref),
            "Give the account of the VCenter the System.Read privilege on that VM.",
        )),
    }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    format!("{} GiB", bytes >> 30)
}
