//! How long what is left takes: from bytes and from what was measured, and said to be unknown where neither is there.
//!
//! A rate is never a constant. Only for the jobs of a fixed kind does a figure of the vendor's one public recording
//! stand in until the same step of another machine was measured, and it is called [`EstimateBasis::Typical`] then.

pub mod progress;
pub mod schedule;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::{action::Verb, conditions, journal};
use crate::api::{DesiredPhase, EstimateBasis, ItemPhase, ReplicatedItemStatus, Transfer};

/// A part of a machine's way that takes time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Step {
    /// The job that turns replication round.
    Reprotect,
    /// Synchronisation to VMware.
    SyncToVMware,
    /// The failback job.
    FailBack,
    /// Verification that must hold before a commit.
    Soak,
    /// The commit job.
    Commit,
    /// The job that turns replication round again.
    Protect,
    /// Synchronisation to Azure.
    SyncToAzure,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 7] = [
        Self::Reprotect,
        Self::SyncToVMware,
        Self::FailBack,
        Self::Soak,
        Self::Commit,
        Self::Protect,
        Self::SyncToAzure,
    ];

    /// The word in `progress.step` and `timings`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reprotect => "Reprotect",
            Self::SyncToVMware => "SyncToVMware",
            Self::FailBack => "FailBack",
            Self::Soak => "Soak",
            Self::Commit => "Commit",
            Self::Protect => "Protect",
            Self::SyncToAzure => "SyncToAzure",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }

    /// The call that begins it, if one does.
    pub const fn verb(self) -> Option<Verb> {
        match self {
            Self::Reprotect => Some(Verb::Reprotect),
            Self::FailBack => Some(Verb::FailBack),
            Self::Commit => Some(Verb::Commit),
            Self::Protect => Some(Verb::Protect),
            Self::SyncToVMware | Self::Soak | Self::SyncToAzure => None,
        }
    }

    /// The phase of a plan that needs it.
    const fn leads_to(self) -> DesiredPhase {
        match self {
            Self::Reprotect | Self::SyncToVMware => DesiredPhase::Reprotected,
            Self::FailBack => DesiredPhase::FailedBack,
            Self::Soak | Self::Commit => DesiredPhase::Committed,
            Self::Protect | Self::SyncToAzure => DesiredPhase::Protected,
        }
    }

    /// What the vendor's recording shows: a Windows machine of 40 GB (protocol reference §3.1; the commit §3.2). The
    /// failback of the classic generation was not timed there.
    fn typical(self, generation: Option<&str>) -> Option<SignedDuration> {
        match self {
            Self::Reprotect | Self::Protect => Some(SignedDuration::from_mins(12)),
            Self::FailBack if generation != Some("Classic") => Some(SignedDuration::from_mins(21)),
            Self::Commit => Some(SignedDuration::from_mins(2)),
            Self::FailBack | Self::SyncToVMware | Self::Soak | Self::SyncToAzure => None,
        }
    }
}

/// A duration with what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timed {
    /// Seconds.
    pub seconds: i64,
    /// What it rests on.
    pub basis: EstimateBasis,
}

/// One step that is left, with its duration or the reason why none is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEstimate {
    /// The step.
    pub step: Step,
    /// It is under way: only what is left of it counts.
    pub running: bool,
    /// How long, or why that is not known.
    pub time: Result<Timed, String>,
}

/// What was measured on machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    seconds: BTreeMap<Step, Vec<i64>>,
    /// By step, and whether only changes were sent: to compare is another speed than to send.
    rates: BTreeMap<(Step, bool), Vec<i64>>,
}

impl Measured {
    /// Collects what these machines measured.
    pub fn of<'a>(statuses: impl IntoIterator<Item = &'a ReplicatedItemStatus>) -> Self {
        let mut measured = Self::default();
        for status in statuses {
            let mut add_rate = |step, rate| measured.rates.entry((step, only_changes(status))).or_default().push(rate);
            for timing in &status.timings {
                let Some(step) = Step::parse(&timing.verb) else { continue };
                if let Some(rate) = timing.bytes.and_then(|bytes| bytes.checked_div(timing.seconds)).filter(|r| *r > 0)
                {
                    add_rate(step, rate);
                }
                measured.seconds.entry(step).or_default().push(timing.seconds);
            }
            if let Some(progress) = &status.progress
                && let (Some(step), Some(rate)) = (Step::parse(&progress.step), progress.bytes_per_second)
            {
                add_rate(step, rate);
            }
        }
        measured
    }
}

fn only_changes(status: &ReplicatedItemStatus) -> bool {
    status.location.as_ref().is_some_and(|location| location.transfer == Transfer::Changes)
}

fn median(values: Option<&Vec<i64>>) -> Option<i64> {
    let mut sorted = values?.clone();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// The steps that are left from where a machine stands; the first one may be under way.
///
/// # Errors
/// A sentence, where it cannot be told where the machine stands.
pub fn remaining(status: &ReplicatedItemStatus, desired: DesiredPhase) -> Result<Vec<(Step, bool)>, String> {
    let synchronising = !status.operation.as_ref().is_some_and(journal::is_open);
    let (from, running) = match status.phase {
        ItemPhase::Unknown => return Err("Where the machine stands has not been observed.".to_owned()),
        ItemPhase::Cancelling => return Err("Its failback is being undone.".to_owned()),
        ItemPhase::FailedOver => (Step::Reprotect, false),
        ItemPhase::Reprotecting if synchronising => (Step::SyncToVMware, true),
        ItemPhase::Reprotecting => (Step::Reprotect, true),
        ItemPhase::Reprotected => (Step::FailBack, false),
        ItemPhase::FailingBack => (Step::FailBack, true),
        ItemPhase::FailedBack => (Step::Soak, false),
        ItemPhase::Committing => (Step::Commit, true),
        ItemPhase::Committed => (Step::Protect, false),
        ItemPhase::Protecting if synchronising => (Step::SyncToAzure, true),
        ItemPhase::Protecting => (Step::Protect, true),
        ItemPhase::Protected => return Ok(Vec::new()),
    };
    let steps = Step::ALL.into_iter().filter(|step| *step >= from && step.leads_to() <= desired);
    Ok(steps.map(|step| (step, running && step == from)).collect())
}

/// What is left for a machine, each step with its duration where that is known.
///
/// # Errors
/// As [`remaining`].
pub fn machine(
    status: &ReplicatedItemStatus,
    desired: DesiredPhase,
    soak_seconds: i32,
    measured: &Measured,
    now: Timestamp,
) -> Result<Vec<StepEstimate>, String> {
    let steps = remaining(status, desired)?;
    let ahead = Ahead { status, measured, now };
    let estimate = |(step, running)| {
        let time = match step {
            Step::Soak => Ok(ahead.soak(soak_seconds)),
            Step::SyncToVMware | Step::SyncToAzure => ahead.synchronisation(step, running),
            Step::Reprotect | Step::FailBack | Step::Commit | Step::Protect => ahead.job(step, running),
        };
        StepEstimate { step, running, time }
    };
    let soaks = |step: &StepEstimate| step.step != Step::Soak || step.time.as_ref().is_ok_and(|time| time.seconds > 0);
    Ok(steps.into_iter().map(estimate).filter(soaks).collect())
}

/// What the durations of a machine's steps follow from.
#[derive(Clone, Copy)]
struct Ahead<'a> {
    status: &'a ReplicatedItemStatus,
    measured: &'a Measured,
    now: Timestamp,
}

impl Ahead<'_> {
    fn soak(&self, soak_seconds: i32) -> Timed {
        let Self { status, now, .. } = *self;
        let verified = conditions::find(&status.conditions, "Verified").filter(|condition| condition.status == "True");
        let held =
            verified.map_or(0, |condition| condition.last_transition_time.0.duration_until(now).as_secs().max(0));
        Timed { seconds: (i64::from(soak_seconds) - held).max(0), basis: EstimateBasis::Declared }
    }

    fn job(&self, step: Step, running: bool) -> Result<Timed, String> {
        let Self { status, measured, now } = *self;
        let word = step.as_str();
        let typical = || step.typical(status.generation.as_deref()).map(|typical| typical.as_secs());
        let whole = median(measured.seconds.get(&step))
            .map(|seconds| Timed { seconds, basis: EstimateBasis::MeasuredElsewhere })
            .or_else(|| typical().map(|seconds| Timed { seconds, basis: EstimateBasis::Typical }))
            .ok_or_else(|| format!("{word} was not measured on any machine yet"))?;
        if !running {
            return Ok(whole);
        }
        let since = status.operation.as_ref().map_or(now, |record| record.intended_at.0);
        Ok(Timed { seconds: self.left(step, whole.seconds, since.duration_until(now).as_secs().max(0)), ..whole })
    }

    /// Seconds that are left of a job that has run for so many already. Half of all jobs take longer than the median,
    /// so it goes by those that took longer than this one has so far; and never by less than a tenth of what is usual:
    /// one that is late is about to end, and nobody knows how late it will be.
    fn left(&self, step: Step, usual: i64, gone: i64) -> i64 {
        let measured = self.measured.seconds.get(&step).into_iter().flatten();
        let longer: Vec<i64> = measured.copied().filter(|seconds| *seconds > gone).collect();
        let whole = median(Some(&longer)).unwrap_or(usual);
        (whole - gone).max(usual / 10).max(1)
    }

    fn synchronisation(&self, step: Step, running: bool) -> Result<Timed, String> {
        let Self { status, measured, now } = *self;
        let progress = status.progress.as_ref().filter(|progress| running && progress.step == step.as_str());
        if let Some(progress) = progress
            && let (Some(at), Some(basis)) = (&progress.estimated_completion, progress.estimate_basis)
            && at.0 > now
        {
            return Ok(Timed { seconds: now.duration_until(at.0).as_secs(), basis });
        }
        if let Some(progress) = progress
            && let Some(since) = &progress.since
            && let Some(left) = progress::left(progress, since.0.duration_until(now))
        {
            // It takes longer than it was expected to: by how far it has come until now.
            return Ok(Timed { seconds: left.as_secs().max(1), basis: EstimateBasis::Measured });
        }
        let location = status.location.as_ref();
        let elsewhere = |seconds| Timed { seconds, basis: EstimateBasis::MeasuredElsewhere };
        let total = progress.and_then(|progress| progress.bytes_total).or(location.and_then(|location| location.bytes));
        // Towards Azure all is sent: the copy there was deleted by the commit.
        let changes = step == Step::SyncToVMware && only_changes(status);
        let rate = median(measured.rates.get(&(step, changes))).filter(|rate| *rate > 0);
        match (total, rate) {
            (Some(total), Some(rate)) => {
                let done = progress.and_then(|progress| progress.bytes_done).unwrap_or_default();
                Ok(elsewhere((total - done).max(0).checked_div(rate).unwrap_or_default()))
            }
            (_, _)
                if step == Step::SyncToVMware
                    && !running
                    && location.is_some_and(|l| l.estimated_seconds.is_some()) =>
            {
                Ok(elsewhere(location.and_then(|location| location.estimated_seconds).unwrap_or_default()))
            }
            (None, _) => Err(format!("{}: the size of the machine's disks is not known yet", step.as_str())),
            (Some(_), None) => Err(format!("{}: no transfer rate was measured yet", step.as_str())),
        }
    }
}

/// The time to record: to the minute, and the one that was recorded before unless it is off by a minute and by five
/// per cent of what is left. A world that stands still writes nothing.
pub fn settled(before: Option<&Time>, computed: Timestamp, now: Timestamp) -> Time {
    let minute = 60;
    let computed_second = computed.as_second();
    let rounded = Timestamp::from_second(computed_second + (-computed_second).rem_euclid(minute)).unwrap_or(computed);
    let tolerance = (now.duration_until(rounded).as_secs() / 20).max(minute);
    match before {
        Some(old) if old.0 > now && old.0.duration_until(rounded).abs().as_secs() < tolerance => old.clone(),
        Some(_) | None => Time(rounded),
    }
}

/// A duration for people: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
pub fn span(seconds: i64) -> String {
    let minutes = (seconds + 30) / 60;
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3_570 => format!("{minutes} min"),
        3_570..172_800 if minutes % 60 == 0 => format!("{} h", minutes / 60),
        3_570..172_800 => format!("{} h {} min", minutes / 60, minutes % 60),
        172_800.. => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A size for people, in the powers of 1024 in which vCenter and Azure show disks.
pub fn size(bytes: i64) -> String {
    let mut value = bytes.max(0);
    let mut rest = 0;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024 {
            break;
        }
        (rest, value, unit) = (value % 1024 * 10 / 1024, value / 1024, next);
    }
    if value < 10 && unit != "B" { format!("{value}.{rest} {unit}") } else { format!("{value} {unit}") }
}
