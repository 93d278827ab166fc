//! What all plans share: a master target's disks, a vault's calls, a host's power-ons. Counted from the machines
//! themselves, so that nothing need be remembered.
//!
//! A slot is taken from the claim that lets a machine take its step until that step has ended, and given back while
//! checks forbid the step or a value for it is missing; a slot for disks by the whole wave, from its first step until
//! each of its machines is committed. A wave is failed back only once all of its machines replicate: two waves that had
//! each begun with half of the disks would wait for each other for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{CheckResult, CheckStatus, Claim, DesiredPhase, ItemPhase, MOST_DISKS, ReplicatedItemStatus},
    core::{action::Verb, conditions, journal},
};

/// Disks that one master target carries: the vendor's limit for the Linux master target, which holds for both
/// generations where nothing else is declared.
pub const DISKS_PER_TARGET: u32 = MOST_DISKS.unsigned_abs();
/// Calls that are in flight in one vault at a time, and jobs begun by them. Site recovery queues more than it works
/// on, and a queued job only delays what is decided next.
pub const CALLS_PER_VAULT: u32 = 20;
/// Machines that are powered on at a time on one host: more start slower than one after the other.
pub const STARTS_PER_HOST: u32 = 8;

/// What a machine is held by while its master target has too few disks left.
pub const MASTER_TARGET_FULL: &str = "MasterTargetFull";
/// What a machine is held by while its master target, or that of another one of its wave, is not known.
pub const WAITING_FOR_OBSERVATION: &str = "WaitingForObservation";
/// The reason of the condition `PreflightPassed` of a machine that lacks a value for its next call.
pub const INPUT_MISSING: &str = "InputMissing";
const QUARANTINED: &str = "Quarantined";

/// The limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in flight per vault.
    pub calls_per_vault: u32,
    /// Power-ons per host.
    pub starts_per_host: u32,
    /// Disks per master target, for those of which nothing else is declared.
    pub disks_per_target: u32,
    /// Disks of the master targets that say less, by the id of their agent.
    pub disks_of_target: BTreeMap<String, u32>,
    /// Disks that are attached there for machines that nobody declared.
    pub undeclared: BTreeMap<String, u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_per_vault: CALLS_PER_VAULT,
            starts_per_host: STARTS_PER_HOST,
            disks_per_target: DISKS_PER_TARGET,
            disks_of_target: BTreeMap::new(),
            undeclared: BTreeMap::new(),
        }
    }
}

impl Limits {
    /// The limits with what is known of single master targets: id, the disks that it may carry, and those that it
    /// carries for machines that nobody declared. Of what two say of the same one the worse holds.
    pub fn declared(targets: impl IntoIterator<Item = (String, u32, u32)>) -> Self {
        let mut limits = Self::default();
        for (id, disks, undeclared) in targets {
            let taken = limits.undeclared.entry(id.clone()).or_default();
            *taken = undeclared.max(*taken);
            let limit = limits.disks_of_target.entry(id).or_insert(disks);
            *limit = disks.min(*limit);
        }
        limits
    }

    /// The disks that a master target carries.
    pub fn disks(&self, target: &str) -> u32 {
        self.disks_of_target.get(target).copied().unwrap_or(self.disks_per_target)
    }
}

/// A machine of any plan, or of none.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// The vault, unique among all namespaces.
    pub vault: &'a str,
    /// Its status.
    pub status: &'a ReplicatedItemStatus,
    /// Its claim: the recorded one, or the newer one that is on its way into the record.
    pub claim: Option<&'a Claim>,
}

/// What is in use, and what is spoken for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    limits: Limits,
    disks: BTreeMap<String, u32>,
    calls: BTreeMap<String, u32>,
    starts: BTreeMap<String, u32>,
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// The master target, vault or host.
    pub of: String,
    /// How much of it there is.
    pub limit: u32,
    /// How much was asked for.
    pub asked: u32,
}

impl Load {
    /// Counts the machines. What machines of the `older` plans wait for is not given to a younger one, so that nothing
    /// is overtaken for ever.
    pub fn of<'a>(limits: Limits, machines: &[Machine<'a>], older: &BTreeSet<&str>) -> Self {
        let claims = || machines.iter().filter_map(|machine| machine.claim);
        let begun: BTreeSet<(&str, &str)> = claims().filter(|claim| begins(claim)).map(group).collect();
        let queued = |claim: &Claim, reason: &str| claim.held_by == reason && older.contains(claim.plan_uid.as_str());
        // A wave waits for the disks of all of its machines, whatever else each of them waits for.
        let in_line: BTreeSet<(&str, &str)> =
            claims().filter(|claim| queued(claim, MASTER_TARGET_FULL)).map(group).collect();
        let mut load = Self { disks: limits.undeclared.clone(), limits, ..Self::default() };
        for Machine { vault, status, claim } in machines {
            let claim = *claim;
            let queued = |reason| claim.is_some_and(|claim| queued(claim, reason));
            let spoken_for = claim.is_some_and(|claim| {
                begun.contains(&group(claim)) && has_disks(status, claim)
                    || in_line.contains(&group(claim)) && awaits_disks(status, claim)
            });
            if let Some(target) = target(status)
                && (attached(status, claim) || spoken_for)
            {
                *load.disks.entry(target.to_owned()).or_default() += disks(status);
            }
            if calling(status, claim) || queued("VaultBusy") {
                *load.calls.entry((*vault).to_owned()).or_default() += 1;
            }
            if let Some(host) = host(status)
                && (starting(status, claim) || queued("HostBusy"))
            {
                *load.starts.entry(host.to_owned()).or_default() += 1;
            }
        }
        load
    }

    /// The limits that it counts against.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Disks of a master target that are attached or spoken for.
    pub fn disks_in_use(&self, target: &str) -> u32 {
        self.disks.get(target).copied().unwrap_or_default()
    }

    /// Takes disks of several master targets: all of them, or none.
    ///
    /// # Errors
    /// The first master target that has too few left. They are spoken for then: who asks later does not overtake.
    pub fn take_disks(&mut self, needs: &BTreeMap<&str, u32>) -> Result<(), Full> {
        let full = needs.iter().find_map(|(target, asked)| {
            let limit = self.limits.disks(target);
            let used = self.disks.get(*target).copied().unwrap_or_default();
            (*asked > 0 && used + asked > limit).then(|| Full { of: (*target).to_owned(), limit, asked: *asked })
        });
        for (target, asked) in needs {
            *self.disks.entry((*target).to_owned()).or_default() += asked;
        }
        full.map_or(Ok(()), Err)
    }

    /// Whether a vault has room for a call.
    ///
    /// # Errors
    /// The vault's limit.
    pub fn has_call(&self, vault: &str) -> Result<(), Full> {
        room(&self.calls, vault, self.limits.calls_per_vault)
    }

    /// Whether a host has room for a power-on.
    ///
    /// # Errors
    /// The host's limit.
    pub fn has_start(&self, host: &str) -> Result<(), Full> {
        room(&self.starts, host, self.limits.starts_per_host)
    }

    /// Takes a call of a vault.
    pub fn take_call(&mut self, vault: &str) {
        *self.calls.entry(vault.to_owned()).or_default() += 1;
    }

    /// Takes a power-on of a host.
    pub fn take_start(&mut self, host: &str) {
        *self.starts.entry(host.to_owned()).or_default() += 1;
    }
}

fn room(used: &BTreeMap<String, u32>, of: &str, limit: u32) -> Result<(), Full> {
    if used.get(of).copied().unwrap_or_default() < limit {
        return Ok(());
    }
    Err(Full { of: of.to_owned(), limit, asked: 1 })
}

/// The plan's phase that a machine has reached, from its conditions.
pub fn phase_reached(status: &ReplicatedItemStatus) -> DesiredPhase {
    let is = |kind| conditions::is_true(&status.conditions, kind);
    if is("Protected") {
        DesiredPhase::Protected
    } else if is("Committed") {
        DesiredPhase::Committed
    } else if is("FailedBack") {
        DesiredPhase::FailedBack
    } else if is("Reprotected") {
        DesiredPhase::Reprotected
    } else {
        DesiredPhase::Assessed
    }
}

/// Whether a claim lets the machine take a step that it has not ended yet. One that failed holds no slot: it starts
/// anew, when a person has seen to it. Nor does one whose checks forbid the step, or that lacks a value for it: nobody
/// knows for how long.
pub fn granted(status: &ReplicatedItemStatus, claim: &Claim) -> bool {
    claim.up_to > phase_reached(status) && !conditions::is_true(&status.conditions, "Stalled") && !is_obstructed(status)
}

/// Whether a machine at rest cannot make its next call, as it was observed last: its checks forbid that, or a value is
/// missing.
pub fn is_obstructed(status: &ReplicatedItemStatus) -> bool {
    blocking(status).next().is_some() || lacks_input(status).is_some()
}

/// The step that a machine at rest takes next. One that is under way, or not seen, shows checks and values of something
/// else.
fn next_of(status: &ReplicatedItemStatus) -> Option<Verb> {
    match (status.phase, phase_reached(status)) {
        _ if status.operation.as_ref().is_some_and(journal::is_open) => None,
        (ItemPhase::FailedOver, DesiredPhase::Assessed) => Some(Verb::Reprotect),
        (ItemPhase::Reprotected, DesiredPhase::Reprotected) => Some(Verb::FailBack),
        (ItemPhase::FailedBack, DesiredPhase::FailedBack) => Some(Verb::Commit),
        (ItemPhase::Committed, DesiredPhase::Committed) => Some(Verb::Protect),
        (_, _) => None,
    }
}

/// What is said of a value that the next call of a machine at rest needs, and that is neither declared nor known. Its
/// condition tells that whatever its claim lets it do.
pub fn lacks_input(status: &ReplicatedItemStatus) -> Option<&str> {
    next_of(status)?;
    let preflight = conditions::find(&status.conditions, "PreflightPassed")?;
    (preflight.status == "False" && preflight.reason == INPUT_MISSING).then_some(preflight.message.as_str())
}

/// The checks that keep a machine at rest from its next call, as they were observed last.
pub fn blocking(status: &ReplicatedItemStatus) -> impl Iterator<Item = &CheckStatus> {
    let next = next_of(status);
    status.checks.iter().filter(move |check| {
        let gates = next.is_some_and(|verb| check.gates.iter().any(|gate| gate == verb.as_str()));
        gates && check.result != CheckResult::Passed && check.waived.is_none()
    })
}

/// Whether a claim shows that its wave has begun.
pub fn begins(claim: &Claim) -> bool {
    claim.up_to >= DesiredPhase::Reprotected
}

fn group(claim: &Claim) -> (&str, &str) {
    (claim.plan_uid.as_str(), claim.wave.as_str())
}

/// How many disks a machine has. Where that was not observed it has at least one.
pub fn disks(status: &ReplicatedItemStatus) -> u32 {
    status.disks.and_then(|disks| u32::try_from(disks).ok()).unwrap_or(1)
}

/// The id of the master target's agent.
pub fn target(status: &ReplicatedItemStatus) -> Option<&str> {
    status.target.as_ref().map(|target| target.appliance_id.as_str()).filter(|id| !id.is_empty())
}

/// The host that it comes home to.
pub fn host(status: &ReplicatedItemStatus) -> Option<&str> {
    status.target.as_ref().and_then(|target| target.host.as_deref())
}

fn open(status: &ReplicatedItemStatus, verb: Verb) -> bool {
    status.operation.as_ref().is_some_and(|record| journal::is_open(record) && record.verb == verb.as_str())
}

/// Whether a machine in this phase has its disks attached to the master target. It has until it is committed: until
/// then its failback can be undone, and it replicates through the same one again.
pub const fn is_attached(phase: ItemPhase) -> bool {
    matches!(
        phase,
        ItemPhase::Reprotecting
            | ItemPhase::Reprotected
            | ItemPhase::FailingBack
            | ItemPhase::FailedBack
            | ItemPhase::Cancelling
            | ItemPhase::Committing
    )
}

/// Whether its disks are attached to the master target, or are about to be.
pub fn attached(status: &ReplicatedItemStatus, claim: Option<&Claim>) -> bool {
    let about_to =
        claim.is_some_and(|claim| granted(status, claim) && phase_reached(status) < DesiredPhase::FailedBack);
    is_attached(status.phase) || open(status, Verb::Reprotect) || about_to
}

/// Whether a machine will attach its disks yet, once it may.
fn awaits_disks(status: &ReplicatedItemStatus, claim: &Claim) -> bool {
    phase_reached(status) < DesiredPhase::FailedBack && claim.held_by != QUARANTINED
}

/// Whether a machine of a wave that has begun is one of those whose disks the wave took then.
fn has_disks(status: &ReplicatedItemStatus, claim: &Claim) -> bool {
    phase_reached(status) < DesiredPhase::FailedBack && !lacks_disks(claim)
}

/// Whether a claim shows that a machine has no share in the disks of its wave, also once that has begun: it was set aside
/// or not known when the wave took them.
pub fn lacks_disks(claim: &Claim) -> bool {
    [MASTER_TARGET_FULL, "WaveTooLarge", WAITING_FOR_OBSERVATION, QUARANTINED].contains(&claim.held_by.as_str())
}

/// Whether a call for it is in flight, or about to be made.
fn calling(status: &ReplicatedItemStatus, claim: Option<&Claim>) -> bool {
    let on_its_way = matches!(
        status.phase,
        ItemPhase::Reprotecting
            | ItemPhase::FailingBack
            | ItemPhase::Cancelling
            | ItemPhase::Committing
            | ItemPhase::Protecting
    );
    status.operation.as_ref().is_some_and(journal::is_open)
        || claim.is_some_and(|claim| granted(status, claim)) && !on_its_way && !waits_for_retry(status)
}

/// Whether its call was refused, or the job failed, and it waits before the next attempt: for minutes, and as long as half
/// an hour for its agent. Others use the vault meanwhile.
fn waits_for_retry(status: &ReplicatedItemStatus) -> bool {
    conditions::find(&status.conditions, "Ready").is_some_and(|ready| ready.reason == "WaitingForRetry")
}

/// Whether it is being powered on at home, or is about to be.
fn starting(status: &ReplicatedItemStatus, claim: Option<&Claim>) -> bool {
    let about_to = claim.is_some_and(|claim| {
        granted(status, claim)
            && claim.up_to >= DesiredPhase::FailedBack
            && phase_reached(status) == DesiredPhase::Reprotected
    });
    status.phase == ItemPhase::FailingBack || open(status, Verb::FailBack) || about_to
}
