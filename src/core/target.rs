//! The rules about an appliance or a master target, whoever asks: a MasterTarget for itself, a machine for its way home.
//! Each is a predicate over what is known, with the one sentence that tells it.

use std::{cmp::Reverse, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::TargetFacts,
    join::listed,
    observed::{
        Component, ConfigurationServer, Datastore, Generation, Health, HealthError, OnPremisesVm, ReprotectTarget,
        RetentionVolume, VirtualDisk, VirtualMachine,
    },
    refusal::Refusal,
};

/// Heartbeats of healthy components were 3 to 6 minutes old in recordings; health counts more than this.
const FRESH: SignedDuration = SignedDuration::from_mins(15);

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It holds; what was seen.
    Ok(String),
    /// It does not hold.
    Bad {
        /// What was seen.
        saw: String,
        /// What to do.
        remedy: String,
    },
    /// It cannot be told.
    Unknown {
        /// Why.
        why: String,
        /// What to do.
        remedy: String,
    },
}

impl Finding {
    fn ok(saw: impl Into<String>) -> Self {
        Self::Ok(saw.into())
    }

    fn bad(saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Bad { saw: saw.into(), remedy: remedy.into() }
    }

    fn unknown(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Unknown { why: why.into(), remedy: remedy.into() }
    }
}

/// A refusal without a remedy of its own comes from what the vault does not tell.
impl From<Refusal> for Finding {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(why) => Self::unknown(why, "See the RecoveryVault's conditions."),
            Refusal::Refused { why, remedy } => Self::Bad { saw: why, remedy },
        }
    }
}

/// The component itself: without errors, heard of lately, and no newer than its configuration server (classic).
pub fn health(
    target: &ReprotectTarget,
    generation: Option<Generation>,
    server: Option<&ConfigurationServer>,
    now: Timestamp,
) -> Finding {
    let name = format!("\"{}\"", target.name);
    // A classic master target reports its errors, not always a word for its health.
    let silent = generation == Some(Generation::Classic) && matches!(target.health, Health::Unclear(_));
    let health = if silent { &Health::Normal } else { &target.health };
    if let Err(ill) = well(&name, health, &target.health_errors, target.heartbeat, now) {
        return ill;
    }
    match server {
        Some(server) if is_newer(&target.version, &server.version) == Some(true) => Finding::bad(
            format!(
                "{name} has version {}, newer than {} of configuration server \"{}\".",
                target.version, server.version, server.name
            ),
            "Update the configuration server first.",
        ),
        Some(_) | None => Finding::ok(format!("{name} is healthy, and its heartbeats arrive.")),
    }
}

/// Modernized: every part of the appliance.
pub fn parts(target: &ReprotectTarget, now: Timestamp) -> Finding {
    let name = &target.name;
    if target.components.is_empty() {
        return Finding::unknown(format!("The vault lists no components of appliance \"{name}\"."), MEND);
    }
    let judged = target.components.iter().map(|Component { kind, health, health_errors, heartbeat, .. }| {
        well(&format!("The {kind} of \"{name}\""), health, health_errors, *heartbeat, now)
    });
    match judged.collect::<Result<(), Finding>>() {
        Ok(()) => Finding::ok(format!("All {} parts of \"{name}\" are healthy.", target.components.len())),
        Err(ill) => ill,
    }
}

const MEND: &str = "Look at its health in the portal, at its VM and services, and at its connection to Azure.";

/// No error, a good word for its health, and a fresh heartbeat; else what is wrong. `what` may begin a sentence.
fn well(
    what: &str,
    health: &Health,
    errors: &[HealthError],
    heartbeat: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Finding> {
    if let Some(error) = errors.first() {
        let saw = match health {
            Health::Warning | Health::Critical => format!("{what} is {health}: {}.", error.in_a_line()),
            Health::Normal | Health::Unclear(_) => format!("{what} reports: {}.", error.in_a_line()),
        };
        return Err(Finding::bad(saw, if error.action.is_empty() { MEND } else { error.action.as_str() }));
    }
    let saw = || format!("The health of {} is {health}.", lower_the(what));
    match (health, heartbeat) {
        (Health::Warning | Health::Critical, _) => Err(Finding::bad(saw(), MEND)),
        (Health::Unclear(_), _) => Err(Finding::unknown(saw(), MEND)),
        (Health::Normal, None) => {
            Err(Finding::unknown(format!("The vault shows no heartbeat of {}.", lower_the(what)), MEND))
        }
        (Health::Normal, Some(beat)) if !is_fresh(beat, now) => {
            Err(Finding::bad(format!("{what} sent its last heartbeat at {beat:.0}, more than 15 minutes ago."), MEND))
        }
        (Health::Normal, Some(_)) => Ok(()),
    }
}

/// Whether a heartbeat is recent.
pub(super) fn is_fresh(heartbeat: Timestamp, now: Timestamp) -> bool {
    heartbeat + FRESH >= now
}

fn lower_the(what: &str) -> String {
    what.strip_prefix("The ").map_or_else(|| what.to_owned(), |rest| format!("the {rest}"))
}

/// Compares dotted versions number by number; `None` when one is not such a version.
fn is_newer(version: &str, than: &str) -> Option<bool> {
    let numbers = |text: &str| text.trim().split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    Some(numbers(version)? > numbers(than)?)
}

/// Its VM has no snapshots: attaching and detaching disks fails with them.
pub fn snapshots(facts: &TargetFacts) -> Finding {
    let vm = match machine(facts) {
        Ok(vm) => vm,
        Err(unknown) => return unknown,
    };
    let (name, moref) = (&vm.name, &vm.moref);
    match vm.snapshots {
        Some(0) => Finding::ok(format!("VM \"{name}\" ({moref}) has no snapshots.")),
        Some(count) => Finding::bad(
            format!("VM \"{name}\" ({moref}) has {count} snapshot{}.", if count == 1 { "" } else { "s" }),
            "Delete them in vCenter, and exclude the VM from snapshot-based backups.",
        ),
        None => Finding::unknown(format!("The snapshots of VM \"{name}\" ({moref}) cannot be read."), GRANT),
    }
}

const GRANT: &str = "Give the account of the VCenter the System.Read privilege on that VM.";

/// Classic: disks hang on LSI Logic, not on PVSCSI, and `disk.EnableUUID` is TRUE.
pub fn controller(facts: &TargetFacts) -> Finding {
    let vm = match machine(facts) {
        Ok(vm) => vm,
        Err(unknown) => return unknown,
    };
    let (name, moref) = (&vm.name, &vm.moref);
    let kinds: Vec<&str> = vm.disks.iter().filter_map(|disk| disk.controller.as_deref()).collect();
    if let Some(other) = kinds.iter().find(|kind| !kind.contains("LsiLogic")) {
        return Finding::bad(
            format!("A disk of VM \"{name}\" ({moref}) hangs on a {other}."),
            "Change the controller's type to LSI Logic while the VM is off.",
        );
    }
    match vm.disk_enable_uuid {
        Some(false) => Finding::bad(
            format!("disk.EnableUUID of VM \"{name}\" ({moref}) is not TRUE."),
            "Set disk.EnableUUID = TRUE in the VM's configuration parameters while it is off.",
        ),
        Some(true) if !kinds.is_empty() && kinds.len() == vm.disks.len() => Finding::ok(format!(
            "The disks of VM \"{name}\" ({moref}) hang on LSI Logic, and its disk.EnableUUID is TRUE."
        )),
        Some(true) | None => Finding::unknown(
            format!("Disk controllers or disk.EnableUUID of VM \"{name}\" ({moref}) cannot be read."),
            GRANT,
        ),
    }
}

/// Disks that are attached through it, or will be before those of the machine that asks.
pub fn occupied(facts: &TargetFacts) -> u32 {
    facts.disks_attached.saturating_add(undeclared(facts)).saturating_add(facts.disks_planned)
}

/// Disks that its VM shows beside its own, beyond those of machines that are known: somebody brings machines home that
/// nobody declared. Its own disks are the first one, and those that lie in the same folder.
pub fn undeclared(facts: &TargetFacts) -> u32 {
    let disks = facts.machine().map_or(&[][..], |vm| vm.disks.as_slice());
    let Some((first, others)) = disks.split_first() else { return 0 };
    let is_own = |disk: &&VirtualDisk| disk.folder.is_some() && disk.folder == first.folder;
    let shown = u32::try_from(others.iter().filter(|disk| !is_own(disk)).count()).unwrap_or(u32::MAX);
    shown.saturating_sub(facts.disks_attached.saturating_add(facts.disks_own))
}

/// Room for so many disks more, under the limit of what is attached at the same time.
pub fn slots(facts: &TargetFacts, more: u32) -> Finding {
    let (name, taken, limit) = (&facts.target.name, occupied(facts), facts.disk_limit);
    let others = match undeclared(facts) {
        0 => String::new(),
        count => format!(", {count} of them by machines that nobody declared"),
    };
    let saw = format!("{taken} of {limit} disks are taken on \"{name}\"{others}");
    let them = if more == 1 { "1 more fits" } else { &format!("{more} more fit") };
    if taken.saturating_add(more) <= limit {
        return Finding::ok(format!("{saw}, and {them}."));
    }
    let them = if more == 1 { "1 more does not fit" } else { &format!("{more} more do not fit") };
    Finding::bad(
        format!("{saw}: {them}."),
        "Wait until machines that come home through it are committed, or use another one.",
    )
}

/// Classic: the volume that keeps the history when none is declared. The one with most free space, the OS volume last.
///
/// # Errors
/// Why there is none.
pub fn best_volume(target: &ReprotectTarget) -> Result<&RetentionVolume, Refusal> {
    let name = &target.name;
    let Some(volumes) = &target.retention else {
        return Err(Refusal::Unknown(format!("The vault does not list the volumes of \"{name}\".")));
    };
    let rank =
        |volume: &&RetentionVolume| (!is_os_volume(&volume.name), volume.free_bytes, Reverse(volume.name.clone()));
    volumes
        .iter()
        .max_by_key(rank)
        .ok_or_else(|| Refusal::refused(format!("\"{name}\" has no retention volume."), ADD_VOLUME))
}

const ADD_VOLUME: &str =
    "Add a volume of its own for retention (not FAT, not the OS volume); it shows after up to 15 minutes.";

/// Classic: whether a volume can keep the history: not the OS volume, and with free space. The configuration server
/// lists none with FAT.
pub fn retention(target: &ReprotectTarget, volume: &RetentionVolume) -> Finding {
    let (name, volume, free) = (&target.name, &volume.name, volume.free_bytes);
    if is_os_volume(volume) {
        return Finding::bad(format!("\"{volume}\" is the OS volume of \"{name}\"."), ADD_VOLUME);
    }
    match free {
        Some(0) => Finding::bad(
            format!("Retention volume \"{volume}\" of \"{name}\" is full."),
            "Free space on it, or add a volume.",
        ),
        Some(_) => Finding::ok(format!("Retention volume \"{volume}\" of \"{name}\" has free space.")),
        None => Finding::unknown(
            format!("The free space of retention volume \"{volume}\" of \"{name}\" is not reported."),
            "Wait for the discovery, which takes up to 15 minutes.",
        ),
    }
}

/// `C`, `C:\` and `/` are where an operating system is.
fn is_os_volume(name: &str) -> bool {
    let name = name.trim();
    name == "/" || name.trim_end_matches(['\\', '/', ':']).eq_ignore_ascii_case("c")
}

/// It can write to a datastore, by the vault's word and by vCenter's. `known` are the datastores in vCenter; `None` when
/// they could not be read.
pub fn datastores(facts: &TargetFacts, known: Option<&[Arc<Datastore>]>) -> Finding {
    let target = &facts.target;
    if target.datastores.is_empty() {
        return Finding::bad(
            format!("The vault shows no datastore that \"{}\" reaches.", target.name),
            "Give its vCenter account write access (a read-only one leaves this empty), mount shared storage on its host, then refresh discovery.",
        );
    }
    let names = || target.datastores.iter().map(String::as_str);
    let Some(known) = known else {
        return Finding::ok(format!("The vault says that it reaches {}.", listed(names())));
    };
    let host = facts.machine().and_then(|vm| vm.host.as_deref());
    let lost: Vec<&str> = names().filter(|name| reaches(host, name, known) == Some(false)).collect();
    if lost.len() == target.datastores.len() {
        return Finding::bad(
            format!("The host of \"{}\" can write to none of its datastores: {}.", target.name, listed(lost)),
            "Mount them writable on that host, or move the VM to a host that has them.",
        );
    }
    let usable = listed(names().filter(|name| !lost.contains(name)));
    if lost.is_empty() {
        return Finding::ok(format!("Reaches {usable}."));
    }
    Finding::ok(format!("Reaches {usable}; its host cannot write to {}.", listed(lost)))
}

/// Whether a datastore of this name can be written to from the host. `None` when that cannot be told; several may bear
/// the name, in different data centers.
pub fn reaches(host: Option<&str>, name: &str, known: &[Arc<Datastore>]) -> Option<bool> {
    let mut told = known.iter().filter(|datastore| datastore.name == name).map(|datastore| match host {
        Some(host) => datastore.writable_on(host).or(datastore.accessible.filter(|accessible| !accessible)),
        None => datastore.accessible.filter(|accessible| !accessible),
    });
    let first = told.next()?;
    told.fold(first, |before, next| match (before, next) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (None, _) | (_, None) => None,
        (Some(false), Some(false)) => Some(false),
    })
}

/// Its VM, or what to say when it is not known.
pub(super) fn machine(facts: &TargetFacts) -> Result<&VirtualMachine, Finding> {
    let name = &facts.target.name;
    match facts.vm.known() {
        Ok(OnPremisesVm::Found(vm)) => Ok(vm),
        Ok(OnPremisesVm::NotFound) => Err(Finding::unknown(
            format!("The VM of \"{name}\" was not found in vCenter."),
            "See that the vCenter account can read it; a MasterTarget can name the VCenter in spec.vcenterRef and the VM in spec.vmName.",
        )),
        Ok(OnPremisesVm::Ambiguous(names)) => Err(Finding::unknown(
            format!("Several VMs in vCenter may be that of \"{name}\": {}.", names.join(", ")),
            "Name the one that is meant in spec.vmName of its MasterTarget.",
        )),
        Err(why) => Err(Finding::unknown(why, "See the VCenter object's conditions.")),
    }
}
