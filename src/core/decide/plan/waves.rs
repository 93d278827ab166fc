//! The waves of a plan with their machines, and how those stand.

use std::collections::BTreeMap;

use super::{
    PlanInput, cancel, failures,
    hooks::{Hold, Hooks},
};
use crate::{
    api::{
        Cancelled, Claim, DesiredPhase, FailbackPlanSpec, FailbackPlanStatus, ItemPhase, ReplicatedItemStatus, Wave,
    },
    core::{
        conditions,
        found::STATUS_LOST,
        journal, names,
        preview::{self, Found},
        schedule::{
            load::{self, Limits, begins, granted, phase_reached},
            order::depends_on,
        },
    },
};

/// A machine of a plan, with what was decided for it.
#[derive(Clone, Debug)]
pub(super) struct Standing<'a> {
    pub(super) name: &'a str,
    pub(super) wave: &'a str,
    /// `None` when there is no such object.
    pub(super) status: Option<&'a ReplicatedItemStatus>,
    pub(super) vault: &'a str,
    /// The phase that it has reached.
    pub(super) reached: DesiredPhase,
    /// Where it stands cannot be told now.
    pub(super) unclear: bool,
    /// It is where the plan wants it, and was seen there.
    pub(super) arrived: bool,
    /// A person is needed.
    pub(super) stalled: bool,
    /// It waits for a person's word, and nothing failed.
    pub(super) waits_for_word: bool,
    /// It failed under the plan's retry token: a new token makes it start anew.
    pub(super) failed: bool,
    /// What is said of the hook of its that failed.
    pub(super) hook_failed: Option<String>,
    /// A call for it is open.
    pub(super) operating: bool,
    /// It is between two resting points.
    pub(super) moving: bool,
    /// Its claim lets it take a step that has not ended.
    pub(super) granted: bool,
    /// The claim of this plan that is recorded.
    pub(super) ours: Option<&'a Claim>,
    /// Another plan has it.
    pub(super) claimed_by: Option<&'a str>,
    /// What was decided.
    pub(super) claim: Option<Claim>,
}

/// A wave with its machines, less those skipped.
#[derive(Clone, Debug)]
pub(super) struct Resolved<'a> {
    pub(super) wave: &'a Wave,
    /// Its machines: named, or found by labels.
    pub(super) machines: Vec<Standing<'a>>,
    /// What the selector found, or had found when the plan started.
    pub(super) found: Option<Vec<&'a str>>,
}

/// What the selectors find, or had found when the plan started, by the wave's name.
pub(super) fn found(input: &PlanInput<'_>) -> Found {
    let labels = input.declared.iter().map(|(name, declared)| (name, &declared.labels));
    preview::found_among(input.spec, Some(input.status), labels)
}

/// Every wave with its machines. One that two waves name belongs to the first: the plan is not valid then, and nothing
/// starts.
pub(super) fn resolve<'a>(input: &PlanInput<'a>, found: &'a Found) -> Vec<Resolved<'a>> {
    let of = |(wave, names): (&'a Wave, Vec<&'a str>)| Resolved {
        wave,
        machines: names.into_iter().map(|name| standing(input, wave, name)).collect(),
        found: found.get(&wave.name).map(|names| names.iter().map(String::as_str).collect()),
    };
    preview::members(input.spec, found).into_iter().map(of).collect()
}

/// Whether a status says nothing of where its machine stands: before the first look, and while it cannot be read. Whether
/// a commit has ended is told by the machine in Azure, which is read by itself.
fn is_unclear(status: &ReplicatedItemStatus) -> bool {
    let unknown = |kind| conditions::find(&status.conditions, kind).is_none_or(|shown| shown.status == "Unknown");
    unknown("Reprotected") || unknown("Committed")
}

fn standing<'a>(input: &PlanInput<'a>, wave: &'a Wave, name: &'a str) -> Standing<'a> {
    let status = input.items.get(name);
    let claim = status.and_then(|status| status.claim.as_ref());
    let ours = claim.filter(|claim| claim.plan_uid == input.uid);
    let reached = status.map_or(DesiredPhase::Assessed, phase_reached);
    // The CRD's default is -1: not observed yet.
    let observed = status.and_then(|status| status.observed_generation).is_some_and(|seen| seen >= 0);
    let stalled_by = status.and_then(|status| conditions::find(&status.conditions, "Stalled"));
    let stalled_by = stalled_by.filter(|stalled| stalled.status == "True").map(|stalled| stalled.reason.as_str());
    // A hook that failed is the plan's own word, which it takes back itself.
    let stalled_by = stalled_by.filter(|reason| *reason != "HookFailed");
    // What another plan's machine needs a person for is that plan's matter.
    let claimed_by = claim.filter(|claim| claim.plan_uid != input.uid).map(|claim| claim.plan.as_str());
    let stalled_by = stalled_by.filter(|_| claimed_by.is_none());
    let (stalled, waits_for_word) = (stalled_by.is_some(), stalled_by == Some(STATUS_LOST));
    let operating = status.and_then(|status| status.operation.as_ref()).is_some_and(journal::is_open);
    let granted = status.zip(ours).is_some_and(|(status, ours)| granted(status, ours));
    Standing {
        name,
        wave: &wave.name,
        status,
        vault: input.declared.get(name).map(|declared| declared.vault.as_str()).unwrap_or_default(),
        reached,
        unclear: status.is_some_and(is_unclear),
        arrived: observed && reached >= input.spec.desired_phase,
        stalled,
        waits_for_word,
        failed: stalled && !waits_for_word && ours.is_some_and(|ours| ours.retry_token == input.spec.retry_token),
        hook_failed: None,
        operating,
        moving: ours.is_some() && !stalled && (operating || granted),
        granted,
        ours,
        claimed_by,
        claim: None,
    }
}

impl<'a> Resolved<'a> {
    /// Machines that count for the wave: not those set aside.
    pub(super) fn counting(&self, input: &PlanInput<'_>) -> impl Iterator<Item = &Standing<'a>> {
        let quarantine = failures::sets_aside(input);
        self.machines.iter().filter(move |machine| !(quarantine && machine.failed))
    }

    /// Whether a wave that depends on this one may start: all verified at home, or as far as the plan goes when that is
    /// less.
    pub(super) fn is_settled(&self, input: &PlanInput<'_>) -> bool {
        let wanted = input.spec.desired_phase;
        self.counting(input).all(|machine| {
            machine.status.is_some()
                && if wanted < DesiredPhase::FailedBack { machine.reached >= wanted } else { is_verified(machine) }
        })
    }

    /// Its machines that have no recovery point and are not home. Those that are to stay in Azure need none.
    pub(super) fn without_recovery_point(
        &self,
        input: &PlanInput<'_>,
        cancelled: &[Cancelled],
    ) -> impl Iterator<Item = &Standing<'a>> {
        let stays = |machine: &Standing<'_>| cancel::why(input, cancelled, machine.name).is_some();
        self.counting(input).filter(move |machine| machine.reached < DesiredPhase::Reprotected && !stays(machine))
    }

    /// A machine that will come home with the wave, and of which no master target is known yet. One that was never seen in
    /// the vault is not waited for.
    pub(super) fn without_target(&self, input: &PlanInput<'_>) -> Option<&'a str> {
        let lacks = |machine: &&Standing<'a>| {
            machine.claimed_by.is_none()
                && machine.status.is_some_and(|status| {
                    status.phase == ItemPhase::FailedOver
                        && load::target(status).is_none()
                        && !load::attached(status, machine.ours)
                })
        };
        self.counting(input).find(lacks).map(|machine| machine.name)
    }

    /// Whether one of its machines was let start.
    pub(super) fn has_begun(&self) -> bool {
        self.machines.iter().filter_map(|machine| machine.ours).any(begins)
    }

    /// Disks by master target, of the machines that will be failed back and for which `counts`.
    pub(super) fn disks(
        &self,
        input: &PlanInput<'_>,
        counts: impl Fn(&Standing<'a>) -> bool,
    ) -> BTreeMap<&'a str, u32> {
        let mut needs = BTreeMap::new();
        let ahead =
            |machine: &&Standing<'a>| machine.reached < DesiredPhase::FailedBack && machine.claimed_by.is_none();
        for machine in self.counting(input).filter(ahead).filter(|machine| counts(machine)) {
            if let Some((target, status)) = machine.status.and_then(|status| Some((load::target(status)?, status))) {
                *needs.entry(target).or_default() += load::disks(status);
            }
        }
        needs
    }

    /// What people call a master target: the name beside its id, as one of the wave's machines has it.
    pub(super) fn target_name<'s>(&'s self, id: &'s str) -> &'s str {
        let mut targets = self.machines.iter().filter_map(|machine| machine.status?.target.as_ref());
        let named = targets.find(|target| target.appliance_id == id && !target.appliance.is_empty());
        named.map_or(id, |target| target.appliance.as_str())
    }

    /// Why the wave never begins: a master target carries fewer disks than the wave has for it.
    pub(super) fn too_large(&self, input: &PlanInput<'_>, limits: &Limits) -> Option<Hold> {
        let all = self.disks(input, |_| true);
        let (target, disks) = all.iter().find(|(target, disks)| **disks > limits.disks(target))?;
        let (limit, wave, target) = (limits.disks(target), &self.wave.name, self.target_name(target));
        let message = format!(
            "Wave \"{wave}\" has {disks} disks for the master target \"{target}\", which carries {limit}: split the wave, or send some of its machines through another one with spec.masterTargetRef."
        );
        Some(("WaveTooLarge", message))
    }
}

/// Whether the machine runs at home, and is the right one, and answers.
pub(super) fn is_verified(machine: &Standing<'_>) -> bool {
    machine.reached >= DesiredPhase::FailedBack
        && machine.status.is_some_and(|status| conditions::is_true(&status.conditions, "Verified"))
}

/// The waves that a wave waits for.
pub(super) fn unsettled<'a>(
    input: &PlanInput<'_>,
    waves: &[Resolved<'a>],
    hooks: &Hooks<'_, '_>,
    index: usize,
) -> Vec<&'a str> {
    let named = depends_on(&input.spec.waves, index);
    waves
        .iter()
        .filter(|wave| named.contains(&wave.wave.name.as_str()) && (!wave.is_settled(input) || hooks.pending(wave)))
        .map(|wave| wave.wave.name.as_str())
        .collect()
}

/// Says which machines that others wait for do not go on by themselves. Only these: it is told in the claims of all that
/// wait, which would be written anew for each machine that comes one step on.
pub(super) fn stuck<'s, 'a: 's>(
    input: &PlanInput<'_>,
    cancelled: &[Cancelled],
    of: usize,
    missing: impl Iterator<Item = &'s Standing<'a>>,
) -> String {
    let stays = |machine: &Standing<'_>| cancel::why(input, cancelled, machine.name).is_some();
    let rests = |machine: &&Standing<'_>| {
        machine.stalled
            || machine.claimed_by.is_some()
            || machine.status.is_none_or(load::is_obstructed)
            || stays(machine)
    };
    let machines: Vec<_> = missing.filter(rests).collect();
    let first = machines.iter().take(3).map(|machine| machine.name).collect::<Vec<_>>().join(", ");
    let end = if machines.len() > 3 { ", ..." } else { "." };
    let skip = match machines.iter().find(|machine| stays(machine)) {
        None => String::new(),
        // Only a person knows whether what depends on it can run at home without it.
        Some(stays) => format!(
            " The failback of {} is undone, or not made: name what stays in Azure in spec.skip, to go on without it.",
            stays.name
        ),
    };
    match machines.len() {
        0 => String::new(),
        all => format!(" {all} of {of} cannot go on: {first}{end}{skip}"),
    }
}

/// Whether a plan is about a machine: names it, or had found it when it started.
pub fn names_item(spec: &FailbackPlanSpec, status: &FailbackPlanStatus, item: &str) -> bool {
    let named = |items: &[String]| items.iter().any(|name| name == item);
    let listed = |items: &[String]| names::contains(items, item);
    let found = |wave: &Wave| {
        wave.selector.is_some()
            && status.waves.iter().any(|of| of.name == wave.name && of.items.as_deref().is_some_and(listed))
    };
    spec.waves.iter().any(|wave| named(&wave.items) || found(wave))
}
