//! What a plan would do from where its machines stand, before anything runs: each call in its order, what would stop it
//! now, and how long it would take.

mod time;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

pub use self::time::{Overrun, PathPart, PlanEstimate};
use super::{
    action::Verb,
    conditions,
    estimate::{self, Measured, Step, StepEstimate, Timed},
    names,
    schedule::{
        load::{self, Load},
        window,
    },
    text::cut,
    undo::Undo,
    waiting::remedy,
};
use crate::api::{
    Blocker, CallCount, Cancelled, CheckResult, DesiredPhase, FailbackPlan, FailbackPlanSpec, FailbackPlanStatus, Hook,
    HookScope, ItemPhase, LocationStatus, PlanPreview, RecoveryPointStatus, ReplicatedItemStatus, TargetStatus, Wave,
};

/// Everything that a preview depends on.
#[derive(Clone, Copy, Debug)]
pub struct PreviewInput<'a> {
    /// UID of the plan; empty for one that is not applied yet, to which every claim is another plan's.
    pub uid: &'a str,
    /// What is declared.
    pub spec: &'a FailbackPlanSpec,
    /// The status of every item; items without an object are missing here.
    pub items: &'a BTreeMap<String, ReplicatedItemStatus>,
    /// What the selector of each wave finds, by the wave's name.
    pub found: &'a Found,
    /// What all plans have in use; `None` where that is not known.
    pub load: Option<&'a Load>,
    /// What was measured on machines of the namespace, of this plan or not.
    pub measured: &'a Measured,
    /// The failbacks that the plan undid because probes failed.
    pub cancelled: &'a [Cancelled],
    /// The time.
    pub now: Timestamp,
}

/// Machines found by label, by the name of the wave.
pub type Found = BTreeMap<String, Vec<String>>;

/// What the selectors of a plan find among machines with these labels; once it has started, what they had found then.
pub fn found(plan: &FailbackPlan, labels: &BTreeMap<String, BTreeMap<String, String>>) -> Found {
    found_among(&plan.spec, plan.status.as_ref(), labels)
}

/// The same of a plan in its parts.
pub fn found_among<'a>(
    spec: &FailbackPlanSpec,
    status: Option<&FailbackPlanStatus>,
    labels: impl IntoIterator<Item = (&'a String, &'a BTreeMap<String, String>)> + Clone,
) -> Found {
    let status = status.filter(|status| status.started_at.is_some());
    let frozen = |name: &str| Some(names::unfold(status?.waves.iter().find(|wave| wave.name == name)?.items.as_ref()?));
    let of = |wave: &Wave| {
        let selector = wave.selector.as_ref()?;
        let among = || labels.clone().into_iter().filter(|(_, labels)| selector.finds(labels));
        let finds = || among().map(|(name, _)| name.clone()).collect();
        Some((wave.name.clone(), frozen(&wave.name).unwrap_or_else(finds)))
    };
    spec.waves.iter().filter_map(of).collect()
}

/// Each wave with its machines, less those skipped: one that two waves name belongs to the first.
pub fn members<'a>(spec: &'a FailbackPlanSpec, found: &'a Found) -> Vec<(&'a Wave, Vec<&'a str>)> {
    let mut seen: BTreeSet<&str> = spec.skip.iter().map(String::as_str).collect();
    let mut of = |wave: &'a Wave| {
        let found = found.get(&wave.name).into_iter().flatten();
        let named = wave.items.iter().chain(found).map(String::as_str);
        named.filter(|name| seen.insert(*name)).collect()
    };
    spec.waves.iter().map(|wave| (wave, of(wave))).collect()
}

/// What a plan would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// How far the plan goes.
    pub desired_phase: DesiredPhase,
    /// Its waves, in their order.
    pub waves: Vec<WavePreview>,
    /// Its hooks that have a step ahead, in the order in which they are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookPreview>,
    /// The time that it takes.
    pub estimate: PlanEstimate,
}

/// A hook that is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookPreview {
    /// Its name.
    pub name: String,
    /// When, such as `Before FailBack`.
    pub runs: String,
    /// How many Jobs: one for the plan, or one for each wave or machine that has the step ahead.
    pub jobs: usize,
}

/// A wave with its machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WavePreview {
    /// Name of the wave.
    pub name: String,
    /// How many of its machines are on their way at a time.
    pub max_concurrent: i32,
    /// Its machines, less those skipped.
    pub machines: Vec<MachinePreview>,
}

/// What would be done for a machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachinePreview {
    /// Name of the ReplicatedItem.
    pub item: String,
    /// Where it stands.
    pub phase: ItemPhase,
    /// Where it comes home, with the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationStatus>,
    /// Through which master target or appliance, into which datastore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
    /// Which state comes home, and what is lost by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPointStatus>,
    /// The calls that would be made, in their order.
    pub calls: Vec<Call>,
    /// What would stop it now.
    pub blockers: Vec<Blocker>,
    /// How long each step takes.
    pub steps: Vec<StepTime>,
}

/// A call to Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The step.
    pub verb: &'static str,
    /// The last word of the call's path.
    pub path: &'static str,
}

/// A step's duration, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepTime {
    /// The step.
    pub step: Step,
    /// It is under way; the time is what is left of it.
    pub running: bool,
    /// Seconds, and what they rest on.
    #[serde(flatten)]
    pub time: Option<Timed>,
    /// Why there is no time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unknown: String,
}

/// Looks ahead.
pub fn preview(input: &PreviewInput<'_>) -> Preview {
    beginning(input, input.now)
}

/// Looks ahead from a time at which the plan begins, while its machines stay as they are.
fn beginning(input: &PreviewInput<'_>, begins: Timestamp) -> Preview {
    let waves: Vec<WavePreview> = members(input.spec, input.found)
        .into_iter()
        .map(|(wave, items)| WavePreview {
            name: wave.name.clone(),
            max_concurrent: wave.max_concurrent,
            machines: items.into_iter().map(|item| machine(input, item)).collect(),
        })
        .collect();
    let hooks: Vec<_> = input.spec.hooks.iter().filter_map(|hook| of_hook(hook, &waves)).collect();
    let then = PreviewInput { now: begins, ..*input };
    let estimate = PlanEstimate { hooks: hooks.iter().map(|hook| hook.jobs).sum(), ..time::estimate(&then, &waves) };
    Preview { desired_phase: input.spec.desired_phase, waves, hooks, estimate }
}

fn of_hook(hook: &Hook, waves: &[WavePreview]) -> Option<HookPreview> {
    let ahead = |machine: &MachinePreview| machine.calls.iter().any(|call| call.verb == hook.step.as_str());
    let machines = |wave: &WavePreview| {
        let its = |machine: &&MachinePreview| hook.is_for_item(&wave.name, &machine.item) && ahead(machine);
        wave.machines.iter().filter(its).count()
    };
    let counts: Vec<usize> = waves.iter().map(machines).filter(|count| *count > 0).collect();
    let jobs = match hook.scope {
        HookScope::Plan => usize::from(!counts.is_empty()),
        HookScope::Wave => counts.len(),
        HookScope::Item => counts.iter().sum(),
    };
    let runs = format!("{} {}", hook.when.as_str(), hook.step.as_str());
    (jobs > 0).then(|| HookPreview { name: hook.name.clone(), runs, jobs })
}

fn machine(input: &PreviewInput<'_>, name: &str) -> MachinePreview {
    let Some(status) = input.items.get(name) else {
        let message = format!("There is no ReplicatedItem \"{name}\" in this namespace.");
        let blockers = vec![blocker(name, "ItemNotFound", &message, "Apply it, or take it out of the plan.")];
        return MachinePreview { blockers, ..empty(name) };
    };
    let theirs = status.claim.as_ref().is_some_and(|claim| claim.plan_uid != input.uid);
    let undo = Undo { uid: input.uid, spec: input.spec, cancelled: input.cancelled };
    if let Some(why) = undo.why(name, Some(status)).filter(|_| !theirs) {
        let remedy = remedy("Cancelled").unwrap_or_default();
        let message = format!("Its failback is undone, or not made: {why}");
        let blockers = vec![blocker(name, "Cancelled", &message, remedy)];
        return MachinePreview { phase: status.phase, location: status.location.clone(), blockers, ..empty(name) };
    }
    let desired = input.spec.desired_phase;
    let soak = input.spec.commit.soak();
    let steps = estimate::machine(status, desired, soak, input.measured, input.now);
    let mut blockers = blockers(input, name, status);
    if let Err(why) = &steps
        && blockers.is_empty()
        && desired > DesiredPhase::Assessed
    {
        blockers.push(blocker(name, "NotObserved", why, "See the item's conditions."));
    }
    let steps = steps.unwrap_or_default();
    MachinePreview {
        phase: status.phase,
        location: status.location.clone(),
        target: status.target.clone(),
        recovery_point: status.recovery_point.clone(),
        calls: calls(&steps, status.generation.as_deref()),
        blockers,
        steps: steps.into_iter().map(step_time).collect(),
        ..empty(name)
    }
}

fn empty(name: &str) -> MachinePreview {
    MachinePreview {
        item: name.to_owned(),
        phase: ItemPhase::Unknown,
        location: None,
        target: None,
        recovery_point: None,
        calls: Vec::new(),
        blockers: Vec::new(),
        steps: Vec::new(),
    }
}

fn step_time(estimate: StepEstimate) -> StepTime {
    let StepEstimate { step, running, time } = estimate;
    StepTime { step, running, time: time.as_ref().ok().copied(), unknown: time.err().unwrap_or_default() }
}

/// The calls of steps that are not under way yet.
fn calls(steps: &[StepEstimate], generation: Option<&str>) -> Vec<Call> {
    let verbs = steps.iter().filter(|step| !step.running).filter_map(|step| step.step.verb());
    verbs.map(|verb| Call { verb: verb.as_str(), path: path(verb, generation) }).collect()
}

/// The vendor's word for a call, as `azure` sends it.
fn path(verb: Verb, generation: Option<&str>) -> &'static str {
    match (verb, generation) {
        (Verb::Reprotect | Verb::Protect, _) => "reProtect",
        (Verb::FailBack, Some("Classic")) => "unplannedFailover",
        (Verb::FailBack, Some("Modernized")) => "plannedFailover",
        (Verb::FailBack, _) => "plannedFailover or unplannedFailover",
        (Verb::Commit, _) => "failoverCommit",
        (Verb::Cancel, _) => "failoverCancel",
    }
}

/// What would stop a machine now: of the checks only those of its next call, since a later one's cannot pass yet. The
/// plan's waivers reach the machine only with its claim, which a dry run does not give.
fn blockers(input: &PreviewInput<'_>, name: &str, status: &ReplicatedItemStatus) -> Vec<Blocker> {
    if let Some(claim) = status.claim.as_ref().filter(|claim| claim.plan_uid != input.uid) {
        let message = format!("Plan \"{}\" has claimed it.", claim.plan);
        return vec![blocker(name, "ItemClaimed", &message, "Wait for that plan to end, or delete it.")];
    }
    let next = next_verb(status);
    let mut found: Vec<Blocker> = status
        .checks
        .iter()
        .filter(|check| check.result != CheckResult::Passed && check.waived.is_none())
        .filter(|check| !input.spec.waivers.iter().any(|waiver| waiver.check == check.name && waiver.is_for(name)))
        .filter(|check| {
            next.is_some_and(|verb| check.gates.is_empty() || check.gates.iter().any(|g| g == verb.as_str()))
        })
        .map(|check| blocker(name, &check.name, &check.message, &check.remedy))
        .collect();
    if let Some(lacking) = load::lacks_input(status) {
        found.push(blocker(name, "WaitingForInput", lacking, ""));
    }
    if let Some(stalled) = conditions::find(&status.conditions, "Stalled").filter(|stalled| stalled.status == "True") {
        found.push(blocker(name, &stalled.reason, &stalled.message, ""));
    }
    found
}

/// The call that comes next, whatever the plan wants.
fn next_verb(status: &ReplicatedItemStatus) -> Option<Verb> {
    let steps = estimate::remaining(status, DesiredPhase::Protected).unwrap_or_default();
    steps.into_iter().filter(|(_, running)| !running).find_map(|(step, _)| step.verb())
}

fn blocker(item: &str, reason: &str, message: &str, remedy: &str) -> Blocker {
    Blocker { item: item.to_owned(), reason: cut(reason, 64), message: cut(message, 160), remedy: cut(remedy, 160) }
}

impl Preview {
    /// The totals, for the plan's status.
    pub fn totals(&self) -> PlanPreview {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let machines = || self.waves.iter().flat_map(|wave| &wave.machines);
        let busy = || machines().filter(|machine| !machine.steps.is_empty());
        let bytes = |machine: &MachinePreview| machine.location.as_ref().and_then(|location| location.bytes);
        let verbs = [Verb::Reprotect, Verb::FailBack, Verb::Commit, Verb::Protect].map(Verb::as_str);
        let calls = verbs.into_iter().map(|verb| CallCount {
            verb: verb.to_owned(),
            count: count(machines().flat_map(|machine| &machine.calls).filter(|call| call.verb == verb).count()),
        });
        let known = self.estimate.seconds;
        PlanPreview {
            machines: count(busy().count()),
            bytes: busy().filter_map(bytes).fold(0, i64::saturating_add),
            bytes_unknown: count(busy().filter(|machine| bytes(machine).is_none()).count()),
            calls: calls.filter(|call| call.count > 0).collect(),
            blocked: count(machines().filter(|machine| !machine.blockers.is_empty()).count()),
            blockers: machines().flat_map(|machine| machine.blockers.iter().cloned()).take(10).collect(),
            estimated_seconds: known.map(|seconds| (seconds + 59) / 60 * 60),
            estimate_basis: self.estimate.basis.filter(|_| known.is_some()),
            estimate_message: cut(&self.estimate.sentence(), 600),
        }
    }
}

/// How a plan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    /// Something moves.
    pub moving: bool,
    /// A person is waited for, or another plan: nobody knows for how long.
    pub held: bool,
}

/// What a plan's status says ahead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForStatus {
    /// When it should be done: only while something moves, and nothing that lies ahead waits for a person.
    pub completion: Option<Time>,
    /// What it would do, as it was when the plan started or was changed last.
    pub preview: Option<PlanPreview>,
    /// That the window of a plan that has started is too short for what is left.
    pub overrun: Option<Overrun>,
}

/// Looks ahead, as far as that is to be told.
///
/// Nobody knows for how long a plan waits that has not started. Counted from now, what it takes would be less at every
/// look, and each would write the status anew: it is counted from when the window opens next.
pub fn for_status(
    input: &PreviewInput<'_>,
    before: &FailbackPlanStatus,
    generation: Option<i64>,
    going: Going,
) -> ForStatus {
    let started = before.started_at.is_some();
    let kept = before.preview.clone().filter(|_| started && before.observed_generation == generation);
    let ends = going.moving && !going.held;
    let windowed = started && before.completed_at.is_none() && input.spec.window.is_some();
    if kept.is_some() && !ends && !windowed {
        return ForStatus { preview: kept, ..ForStatus::default() };
    }
    let waits = !started && !going.moving;
    let opens = input.spec.window.as_ref().filter(|_| waits).and_then(|window| window::opens_next(window, input.now));
    let ahead = beginning(input, opens.unwrap_or(input.now));
    let seconds = ahead.estimate.seconds.filter(|seconds| ends && *seconds > 0);
    let completion = seconds.map(|seconds| {
        let at = input.now + SignedDuration::from_secs(seconds);
        estimate::settled(before.estimated_completion.as_ref(), at, input.now)
    });
    let preview = kept.or_else(|| Some(ahead.totals()));
    ForStatus { completion, preview, overrun: ahead.estimate.overrun.filter(|_| windowed) }
}
