//! The rules about an appliance or a master target, whoever asks: each a predicate over what is known of it.

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::TargetFacts,
    join::listed,
    observed::{
        ConfigurationServer, Datastore, Health, HealthError, OnPremisesVm, ReprotectTarget, RetentionVolume,
        VirtualMachine,
    },
};

/// Heartbeats of healthy components were 3 to 6 minutes old in recordings; health counts more than this.
pub const FRESH: SignedDuration = SignedDuration::from_mins(15);

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

/// Healthy in all its parts, heard of lately, and no newer than its configuration server (classic).
pub fn health(target: &ReprotectTarget, server: Option<&ConfigurationServer>, now: Timestamp) -> Finding {
    let name = &target.name;
    if target.health != Health::Normal {
        return unhealthy(&format!("\"{name}\""), &target.health, &target.health_errors);
    }
    if let Some(part) = target.components.iter().find(|part| part.health != Health::Normal) {
        return unhealthy(&format!("The {} of \"{name}\"", part.kind), &part.health, &part.health_errors);
    }
    let parts = target.components.iter().map(|part| (part.kind, part.heartbeat));
    for (part, heartbeat) in std::iter::once(("component itself", target.heartbeat)).chain(parts) {
        match heartbeat {
            None => {
                return Finding::unknown(
                    format!("The vault reports no heartbeat of \"{name}\" ({part})."),
                    "Look at the component in the portal; a new one reports within minutes.",
                );
            }
            Some(beat) if beat + FRESH < now => {
                return Finding::bad(
                    format!("The last heartbeat of \"{name}\" ({part}) came at {beat}, more than 15 minutes ago."),
                    "See that its VM runs, its services are started, and that it reaches Azure.",
                );
            }
            Some(_) => {}
        }
    }
    if let Some(server) = server
        && is_newer(&target.version, &server.version) == Some(true)
    {
        return Finding::bad(
            format!(
                "\"{name}\" has version {}, newer than {} of configuration server \"{}\".",
                target.version, server.version, server.name
            ),
            "Update the configuration server first.",
        );
    }
    Finding::ok(format!("\"{name}\" is healthy in all its parts, and heartbeats arrive."))
}

fn unhealthy(what: &str, health: &Health, errors: &[HealthError]) -> Finding {
    let Some(error) = errors.first() else {
        let saw = format!("The health of {} is {health}.", lower_the(what));
        let remedy = "Look at the component's health in the portal.";
        return match health {
            Health::Unclear(_) => Finding::unknown(saw, remedy),
            Health::Normal | Health::Warning | Health::Critical => Finding::bad(saw, remedy),
        };
    };
    let saw = format!("{what} is {health}: {} (code {}).", error.message.trim_end_matches('.'), error.code);
    let remedy = if error.action.is_empty() { "Look at its health in the portal." } else { error.action.as_str() };
    Finding::bad(saw, remedy)
}

fn lower_the(what: &str) -> String {
    what.strip_prefix("The ").map_or_else(|| what.to_owned(), |rest| format!("the {rest}"))
}

/// Compares dotted versions number by number; `None` when one is not such a version.
pub(super) fn is_newer(version: &str, than: &str) -> Option<bool> {
    let numbers = |text: &str| text.trim().split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    Some(numbers(version)? > numbers(than)?)
}

/// Its VM has no snapshots: attaching and detaching disks fails with them.
pub fn snapshots(facts: &TargetFacts) -> Finding {
    let vm = match machine(facts) {
        Ok(vm) => vm,
        Err(unknown) => return unknown,
    };
    match vm.snapshots {
        Some(0) => Finding::ok(format!("VM \"{}\" has no snapshots.", vm.name)),
        Some(count) => Finding::bad(
            format!("VM \"{}\" has {count} snapshot{}.", vm.name, if count == 1 { "" } else { "s" }),
            "Delete them, and exclude the VM from snapshot-based backups.",
        ),
        None => Finding::unknown(
            format!("The snapshots of VM \"{}\" cannot be read.", vm.name),
            "Grant the vCenter account Read-only on this VM.",
        ),
    }
}

/// Classic: disks hang on LSI Logic, not on PVSCSI, and `disk.EnableUUID` is TRUE.
pub fn controller(facts: &TargetFacts) -> Finding {
    let vm = match machine(facts) {
        Ok(vm) => vm,
        Err(unknown) => return unknown,
    };
    let kinds: Option<Vec<&str>> = vm.disks.iter().map(|disk| disk.controller.as_deref()).collect();
    match (kinds, vm.disk_enable_uuid) {
        (Some(kinds), _) if kinds.iter().any(|kind| kind.starts_with("ParaVirtual")) => Finding::bad(
            format!("A disk of VM \"{}\" hangs on a paravirtual SCSI controller (PVSCSI).", vm.name),
            "Change the controller's type to LSI Logic while the VM is off.",
        ),
        (_, Some(false)) => Finding::bad(
            format!("disk.EnableUUID of VM \"{}\" is not TRUE.", vm.name),
            "Set disk.EnableUUID = TRUE in the VM's configuration parameters while it is off.",
        ),
        (None, _) | (_, None) => Finding::unknown(
            format!("Disk controllers or disk.EnableUUID of VM \"{}\" cannot be read.", vm.name),
            "Grant the vCenter account Read-only on this VM.",
        ),
        (Some(kinds), Some(true)) if kinds.is_empty() => Finding::unknown(
            format!("vCenter shows no disks of VM \"{}\".", vm.name),
            "Grant the vCenter account Read-only on this VM.",
        ),
        (Some(_), Some(true)) => {
            Finding::ok(format!("VM \"{}\" has no PVSCSI controller, and disk.EnableUUID is TRUE.", vm.name))
        }
    }
}

/// Room for so many disks more, under the limit of what is attached at the same time.
pub fn slots(facts: &TargetFacts, more: u32) -> Finding {
    let (name, taken, limit) = (&facts.target.name, facts.disks_attached, facts.disk_limit);
    if taken.saturating_add(more) <= limit {
        return Finding::ok(format!("{taken} of {limit} disks are taken on \"{name}\", and {more} more fit."));
    }
    Finding::bad(
        format!("{taken} of {limit} disks are taken on \"{name}\": {more} more do not fit."),
        "Wait until machines that come home through it are committed, or use another one.",
    )
}

/// Classic: a retention volume with free space, other than the OS volume.
pub fn retention(target: &ReprotectTarget) -> Finding {
    let name = &target.name;
    let remedy = "Add a volume of its own for retention (Windows: NTFS; not the OS volume), then refresh the configuration server.";
    let Some(volumes) = &target.retention else {
        return Finding::unknown(format!("The vault lists no retention volumes of \"{name}\"."), remedy);
    };
    let apart: Vec<&RetentionVolume> = volumes.iter().filter(|volume| !is_os_volume(&volume.name)).collect();
    if apart.is_empty() {
        let shown = listed(volumes.iter().map(|volume| volume.name.as_str()));
        return Finding::bad(
            format!("\"{name}\" has no volume for retention but its OS volume; shown: {shown}."),
            remedy,
        );
    }
    if let Some(volume) = apart.iter().find(|volume| volume.free_bytes.is_some_and(|free| free > 0)) {
        return Finding::ok(format!("Retention volume \"{}\" of \"{name}\" has free space.", volume.name));
    }
    let shown = listed(apart.iter().map(|volume| volume.name.as_str()));
    if apart.iter().any(|volume| volume.free_bytes.is_none()) {
        return Finding::unknown(
            format!("The free space of retention volumes of \"{name}\" is not told: {shown}."),
            remedy,
        );
    }
    Finding::bad(
        format!("The retention volumes of \"{name}\" are full: {shown}."),
        "Free space there, or add a volume.",
    )
}

/// `C`, `C:\` and `/` are where an operating system is.
pub(super) fn is_os_volume(name: &str) -> bool {
    let name = name.trim();
    name == "/" || name.trim_end_matches(['\\', '/', ':']).eq_ignore_ascii_case("c")
}

/// It can write to a datastore, by the vault's word and by vCenter's. `known` are the datastores in vCenter; `None` when
/// they could not be read.
pub fn datastores(facts: &TargetFacts, known: Option<&[Datastore]>) -> Finding {
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
pub fn reaches(host: Option<&str>, name: &str, known: &[Datastore]) -> Option<bool> {
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
fn machine(facts: &TargetFacts) -> Result<&VirtualMachine, Finding> {
    let name = &facts.target.name;
    match facts.vm.known() {
        Ok(OnPremisesVm::Found(vm)) => Ok(vm),
        Ok(OnPremisesVm::NotFound) => Err(Finding::unknown(
            format!("The VM of \"{name}\" was not found in vCenter."),
            "Check spec.vcenterRef of its MasterTarget, name the VM in spec.vmName, and see that the vCenter account can read it.",
        )),
        Ok(OnPremisesVm::Ambiguous(names)) => Err(Finding::unknown(
            format!("Several VMs in vCenter may be that of \"{name}\": {}.", names.join(", ")),
            "Name the one that is meant in spec.vmName of its MasterTarget.",
        )),
        Err(why) => Err(Finding::unknown(why, "See the VCenter object's conditions.")),
    }
}
