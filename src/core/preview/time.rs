//! How long a plan takes: its machines laid out in its waves, limits and window.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use super::{MachinePreview, PreviewInput, WavePreview};
use crate::{
    api::{EstimateBasis, ReplicatedItemStatus, Window},
    core::{
        action::Verb,
        estimate::{
            Step,
            schedule::{self, Leg, Never, Schedule, Terms, WaveWork, Work},
        },
        schedule::{
            load::{self, Load},
            order::{circle, depends_on},
            window::{self, Opening},
        },
    },
};

/// How long a plan takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanEstimate {
    /// Seconds from now, with the times at which the window is closed, and without those that people take to consent.
    /// Absent when a part of it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<i64>,
    /// Seconds of what is known.
    pub at_least_seconds: i64,
    /// The vaguest thing that it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<EstimateBasis>,
    /// What is not known, by machine: the first twenty.
    pub unknown: Vec<String>,
    /// How many machines have something that is not known.
    pub unknown_machines: usize,
    /// Steps that lie ahead and that people must consent to: how long that takes is not known.
    pub consent: Vec<&'static str>,
    /// Jobs of hooks that lie ahead: how long they take is not known.
    pub hooks: usize,
    /// That the window closes before everything that it is for has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrun: Option<Overrun>,
    /// The machines that each wait for the one before, up to the last to end.
    pub critical_path: Vec<PathPart>,
}

/// Machines of which not all that the window is for was called when it closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// Names of the ReplicatedItems.
    pub items: Vec<String>,
    /// How many, and what becomes of them.
    pub message: String,
}

impl Serialize for Overrun {
    /// The sentence alone: each machine's times are told beside it.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.message)
    }
}

/// The part of a machine's way that is on the critical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathPart {
    /// Name of the ReplicatedItem.
    pub item: String,
    /// Name of its wave.
    pub wave: String,
    /// When it starts, in seconds from now.
    pub starts: i64,
    /// When it is verified at home, or as far as the plan goes.
    pub verified: i64,
    /// When it ends.
    pub ends: i64,
}

pub(super) fn estimate(input: &PreviewInput<'_>, waves: &[WavePreview]) -> PlanEstimate {
    let work = laid_out(input, waves);
    let room = input.load.map(|load| room(input, load, &work)).unwrap_or_default();
    let opens = |at: i64| opens(input.spec.window.as_ref(), input.now, at);
    let limit = input.spec.max_concurrent.and_then(|most| usize::try_from(most).ok());
    let schedule = schedule::schedule(&work, &Terms { limit, room: Some(&room), opens: Some(&opens) });
    let machines = || waves.iter().flat_map(|wave| &wave.machines);
    let unknown: Vec<String> = machines()
        .filter_map(|machine| {
            let why = why(machine).map(str::to_owned).or_else(|| never(&schedule, &machine.item))?;
            Some(format!("{}: {}.", machine.item, why.trim_end_matches('.')))
        })
        .collect();
    let seconds = schedule.seconds();
    PlanEstimate {
        seconds: unknown.is_empty().then_some(seconds),
        at_least_seconds: seconds,
        basis: machines().flat_map(|machine| &machine.steps).filter_map(|step| Some(step.time?.basis)).max(),
        unknown_machines: unknown.len(),
        unknown: unknown.into_iter().take(20).collect(),
        consent: consent(input, waves),
        hooks: 0,
        overrun: overrun(input, &schedule),
        critical_path: schedule.critical.iter().filter(|run| run.ends > run.starts).map(path_part).collect(),
    }
}

fn laid_out<'a>(input: &PreviewInput<'a>, waves: &'a [WavePreview]) -> Vec<WaveWork<'a>> {
    let declared = &input.spec.waves;
    // A plan whose waves wait for each other never starts; it is laid out in the order in which they are written.
    let circular = !circle(declared).is_empty();
    let after = |position: usize| -> Vec<usize> {
        if circular {
            return (0..position).collect();
        }
        let names = depends_on(declared, position);
        declared.iter().enumerate().filter(|(_, wave)| names.contains(&wave.name.as_str())).map(|(at, _)| at).collect()
    };
    let of = |(position, wave): (usize, &'a WavePreview)| WaveWork {
        name: &wave.name,
        after: after(position),
        limit: usize::try_from(wave.max_concurrent).unwrap_or(1),
        machines: wave.machines.iter().map(|machine| work(input, machine)).collect(),
    };
    waves.iter().enumerate().map(of).collect()
}

fn work<'a>(input: &PreviewInput<'a>, machine: &'a MachinePreview) -> Work<'a> {
    let legs = legs(machine);
    let status = input.items.get(&machine.item);
    let goes = status.zip(status.and_then(|status| status.claim.as_ref())).is_some_and(|(status, claim)| {
        claim.plan_uid == input.uid && claim.held_by.is_empty() && load::granted(status, claim)
    });
    let runs = machine.steps.first().is_some_and(|step| step.running && step.step != Step::Soak);
    // Its disks are attached until it is committed.
    let attached = machine.steps.iter().any(|step| step.step <= Step::Commit);
    Work {
        name: &machine.item,
        moving: !legs.is_empty() && (runs || goes),
        legs,
        disks: status.filter(|_| attached).and_then(disks),
    }
}

/// The steps that are left, from one resting point to the next: nothing lies between a commit and the protection after it.
fn legs(machine: &MachinePreview) -> Vec<Leg> {
    let step = |wanted: Step| machine.steps.iter().find(move |step| step.step == wanted);
    let seconds = |wanted: Step| step(wanted).and_then(|step| Some(step.time?.seconds.max(0))).unwrap_or_default();
    let called = |wanted: Step| step(wanted).is_some_and(|step| !step.running);
    let any = |wanted: &[Step]| wanted.iter().any(|wanted| step(*wanted).is_some());
    let replicates = any(&[Step::Reprotect, Step::SyncToVMware]).then(|| Leg {
        seconds: seconds(Step::Reprotect) + seconds(Step::SyncToVMware),
        verifies: step(Step::FailBack).is_none(),
        ..Leg::default()
    });
    let home = step(Step::FailBack).map(|_| Leg {
        seconds: seconds(Step::FailBack),
        windowed: called(Step::FailBack),
        together: called(Step::FailBack),
        verifies: true,
        ..Leg::default()
    });
    let committed = any(&[Step::Commit, Step::Protect, Step::SyncToAzure]).then(|| Leg {
        rests: seconds(Step::Soak),
        seconds: seconds(Step::Commit) + seconds(Step::Protect) + seconds(Step::SyncToAzure),
        windowed: called(Step::Commit),
        frees_disks: step(Step::Commit).map(|_| seconds(Step::Commit)),
        ..Leg::default()
    });
    [replicates, home, committed].into_iter().flatten().collect()
}

fn disks(status: &ReplicatedItemStatus) -> Option<(&str, u32)> {
    Some((load::target(status)?, load::disks(status)))
}

/// The disks that each master target has left for this plan: what its own machines hold, and its waves that have begun,
/// is its own.
fn room<'a>(input: &PreviewInput<'_>, load: &Load, work: &[WaveWork<'a>]) -> BTreeMap<&'a str, u32> {
    let mut own: BTreeMap<&str, u32> = BTreeMap::new();
    for wave in work {
        let ours = |item: &str| {
            let status = input.items.get(item)?;
            Some((status, status.claim.as_ref().filter(|claim| claim.plan_uid == input.uid)))
        };
        let begun = wave.machines.iter().filter_map(|machine| ours(machine.name)?.1).any(load::begins);
        for machine in &wave.machines {
            let Some((target, disks)) = machine.disks else { continue };
            let attached = ours(machine.name).is_some_and(|(status, claim)| load::attached(status, claim));
            *own.entry(target).or_default() += if begun || attached { disks } else { 0 };
        }
    }
    let left = |(target, own): (&'a str, u32)| {
        let others = load.disks_in_use(target).saturating_sub(own);
        (target, load.limits().disks(target).saturating_sub(others))
    };
    own.into_iter().map(left).collect()
}

/// When a call that is ready so many seconds from now may be made; never, where the window does not open any more.
fn opens(window: Option<&Window>, now: Timestamp, ready: i64) -> Option<i64> {
    let Some(window) = window else { return Some(ready) };
    let at = now.checked_add(SignedDuration::from_secs(ready)).ok()?;
    match window::look(window, at) {
        Ok(Opening::Open(_)) => Some(ready),
        Ok(Opening::Opens(opens)) => Some(now.duration_until(opens).as_secs()),
        Ok(Opening::Past) | Err(_) => None,
    }
}

fn overrun(input: &PreviewInput<'_>, schedule: &Schedule<'_>) -> Option<Overrun> {
    let window = input.spec.window.as_ref()?;
    let closes = window::closes_next(window, input.now)?;
    let end = input.now.duration_until(closes).as_secs();
    let late = schedule.runs.iter().filter(|run| run.last_call.is_some_and(|call| call >= end)).map(|run| run.item);
    let never: Vec<&str> =
        schedule.never.iter().filter(|(_, why)| *why == Never::Window).map(|(item, _)| *item).collect();
    let then = if never.is_empty() { "wait for the next one" } else { "are not: it does not open again" };
    let items: Vec<String> = late.chain(never).map(str::to_owned).collect();
    let (count, at) = (items.len(), window::told(window, closes));
    let message = format!(
        "By the estimate {count} machine(s) are not failed back and committed when the window closes at {at}, and {then}."
    );
    (count > 0).then_some(Overrun { items, message })
}

/// Steps that somebody must consent to, of those that lie ahead.
fn consent(input: &PreviewInput<'_>, waves: &[WavePreview]) -> Vec<&'static str> {
    let ahead = |verb: Verb| {
        let mut calls = waves.iter().flat_map(|wave| &wave.machines).flat_map(|machine| &machine.calls);
        calls.any(|call| call.verb == verb.as_str())
    };
    let verbs = [Verb::Reprotect, Verb::FailBack, Verb::Commit, Verb::Protect];
    let demanded = |verb: &Verb| input.spec.approvals.iter().any(|approval| approval.step.as_str() == verb.as_str());
    verbs.into_iter().filter(|verb| demanded(verb) && ahead(*verb)).map(Verb::as_str).collect()
}

fn path_part(run: &schedule::Run<'_>) -> PathPart {
    let (item, wave) = (run.item.to_owned(), run.wave.to_owned());
    PathPart { item, wave, starts: run.starts, verified: run.verified, ends: run.ends }
}

/// Why it is not known how long a machine takes.
fn why(machine: &MachinePreview) -> Option<&str> {
    // Of one that stays in Azure nobody knows whether it will come.
    let elsewhere = ["ItemNotFound", "NotObserved", "ItemClaimed", "Cancelled"];
    let not_there = || machine.blockers.iter().find(|blocker| elsewhere.contains(&blocker.reason.as_str()));
    let unknown = machine.steps.iter().find(|step| step.time.is_none());
    unknown.map(|step| step.unknown.as_str()).or_else(|| not_there().map(|blocker| blocker.message.as_str()))
}

/// Why it is not known when a machine starts.
fn never(schedule: &Schedule<'_>, item: &str) -> Option<String> {
    let (_, why) = schedule.never.iter().find(|(name, _)| *name == item)?;
    Some(match why {
        Never::Window => "the window closes before its turn, and does not open again".to_owned(),
        Never::Disks => {
            "other plans have disks attached that leave too few for its wave, until they are done".to_owned()
        }
        Never::Behind => "it comes after machines of which that is not known".to_owned(),
    })
}

impl PlanEstimate {
    /// What is to be said beside the number, or in its place.
    pub(super) fn sentence(&self) -> String {
        let unknown = match (self.unknown.first(), self.unknown_machines) {
            (None, _) => None,
            (Some(first), 1) => Some(first.clone()),
            (Some(first), many) => Some(format!("{first} And {} more.", many - 1)),
        };
        let uncounted = self.not_counted().map(|what| format!("Not counted: {what}."));
        let overrun = self.overrun.as_ref().map(|overrun| overrun.message.clone());
        let said: Vec<String> = [unknown, overrun, uncounted].into_iter().flatten().collect();
        said.join(" ")
    }

    /// What takes time that is not in the number.
    pub fn not_counted(&self) -> Option<String> {
        let people = (!self.consent.is_empty()).then(|| self.waits_for_people());
        let hooks = (self.hooks > 0).then(|| format!("{} Job(s) of hooks", self.hooks));
        let all: Vec<String> = people.into_iter().chain(hooks).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// `the time until FailBack and Commit are approved`.
    fn waits_for_people(&self) -> String {
        format!(
            "the time until {} {} approved",
            self.consent.join(" and "),
            if self.consent.len() > 1 { "are" } else { "is" }
        )
    }
}
