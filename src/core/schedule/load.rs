//! What all plans share: a master target's disks, a vault's calls, a host's power-ons. Counted from the machines
//! themselves, so that nothing need be remembered.
//!
//! A slot is taken from the claim that lets a machine take its step until that step has ended; a slot for disks by the
//! whole wave, from its first step until each of its machines is home. A wave is failed back only once all of its
//! machines replicate: two waves that had each begun with half of the disks would wait for each other for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{Claim, DesiredPhase, ItemPhase, MOST_DISKS, ReplicatedItemStatus},
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
        let begun: BTreeSet<(&str, &str)> =
            machines.iter().filter_map(|machine| machine.claim).filter(|claim| begins(claim)).map(group).collect();
        let mut load = Self { disks: limits.undeclared.clone(), limits, ..Self::default() };
        for Machine { vault, status, claim } in machines {
            let claim = *claim;
            let queued = |reason| claim.is_some_and(|c| c.held_by == reason && older.contains(c.plan_uid.as_str()));
            let reserved = claim.is_some_and(|claim| begun.contains(&group(claim)) && awaits_disks(status, claim));
            if let Some(target) = target(status)
                && (attached(status, claim) || reserved || queued("MasterTargetFull"))
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
/// anew, when a person has seen to it.
pub fn granted(status: &ReplicatedItemStatus, claim: &Claim) -> bool {
    claim.up_to > phase_reached(status) && !conditions::is_true(&status.conditions, "Stalled")
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

/// Whether its disks are attached to the master target, or are about to be.
pub fn attached(status: &ReplicatedItemStatus, claim: Option<&Claim>) -> bool {
    let replicates = matches!(
        status.phase,
        ItemPhase::Reprotecting | ItemPhase::Reprotected | ItemPhase::FailingBack | ItemPhase::Cancelling
    );
    let about_to =
        claim.is_some_and(|claim| granted(status, claim) && phase_reached(status) < DesiredPhase::FailedBack);
    replicates || open(status, Verb::Reprotect) || about_to
}

/// Whether a machine of a wave that has begun will attach its disks yet.
fn awaits_disks(status: &ReplicatedItemStatus, claim: &Claim) -> bool {
    phase_reached(status) < DesiredPhase::FailedBack && claim.held_by != "Quarantined"
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
        || claim.is_some_and(|claim| granted(status, claim)) && !on_its_way
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
