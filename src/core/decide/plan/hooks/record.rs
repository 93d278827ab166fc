//! Records of hooks: what they are about, what their Jobs show, and what is said of them.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    super::{PlanInput, waves::Standing},
    REFUSED_AGAIN,
};
use crate::{
    api::{
        ApprovalStep, DesiredPhase, Hook, HookOutcome, HookScope, HookStatus, HookTime, OnHookFailure,
        OperationOutcome, OperationRecord,
    },
    core::{
        jobs::{self, JobEnd, JobSeen, JobsSeen},
        text::cut,
    },
};

/// How often the pods of a Job are looked at, which no watch tells of.
const PODS_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// What a hook runs for.
#[derive(Clone, Copy, Debug)]
pub(super) enum For<'a> {
    Plan,
    Wave(&'a str),
    Item(&'a str, &'a str),
}

impl<'a> For<'a> {
    pub(super) const fn wave(self) -> &'a str {
        match self {
            Self::Plan => "",
            Self::Wave(wave) | Self::Item(wave, _) => wave,
        }
    }

    pub(super) fn purpose(self) -> [&'a str; 2] {
        match self {
            Self::Plan => ["plan", ""],
            Self::Wave(wave) => ["wave", wave],
            Self::Item(_, item) => ["item", item],
        }
    }
}

impl std::fmt::Display for For<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plan => f.write_str("of the plan"),
            Self::Wave(wave) => write!(f, "of wave \"{wave}\""),
            Self::Item(_, item) => write!(f, "of {item}"),
        }
    }
}

/// The step that leads to a phase.
pub(super) fn step_to(phase: DesiredPhase) -> Option<ApprovalStep> {
    ApprovalStep::ALL.into_iter().find(|step| step.ends().1 == phase)
}

/// The step that begins at a phase.
pub(super) fn step_from(phase: DesiredPhase) -> Option<ApprovalStep> {
    ApprovalStep::ALL.into_iter().find(|step| step.ends().0 == phase)
}

/// Whether a failed run holds: under another retry token it is begun anew.
pub(super) fn holds(input: &PlanInput<'_>, hook: &Hook, row: &HookStatus) -> bool {
    hook.on_failure == OnHookFailure::Hold && row.retry_token == input.spec.retry_token
}

/// The record with what its Job shows now.
pub(super) fn observed(input: &PlanInput<'_>, hook: &Hook, row: HookStatus) -> HookStatus {
    if !matches!(row.outcome, HookOutcome::Running | HookOutcome::Refused) {
        return row;
    }
    let ended = |outcome, message: &str, row: HookStatus| HookStatus {
        outcome,
        message: short(message),
        ended_at: Some(Time(input.now)),
        ..row
    };
    let refused = |why: &str, lasting, row: HookStatus| match hook.on_failure {
        OnHookFailure::Continue if lasting => ended(HookOutcome::Failed, why, row),
        OnHookFailure::Continue | OnHookFailure::Hold => {
            HookStatus { outcome: HookOutcome::Refused, message: short(why), ..row }
        }
    };
    let (jobs, refusals) = match input.jobs {
        JobsSeen::NotYet => return row,
        JobsSeen::Unreadable(why) if row.job_uid.is_none() => return refused(why, true, row),
        JobsSeen::Unreadable(why) => return HookStatus { message: short(why), ..row },
        JobsSeen::Listed { jobs, refused } => (jobs, refused),
    };
    match jobs.get(&row.job) {
        Some(seen) if row.job_uid.as_ref().is_some_and(|uid| *uid != seen.uid) => {
            ended(HookOutcome::Failed, "Its Job was deleted, and another one has its name.", row)
        }
        Some(JobSeen { uid, end: None, waits }) => HookStatus {
            outcome: HookOutcome::Running,
            job_uid: Some(uid.clone()),
            message: short(waits.as_deref().unwrap_or_default()),
            ..row
        },
        Some(JobSeen { uid, end: Some(end), .. }) => {
            let row = HookStatus { job_uid: Some(uid.clone()), ..row };
            match end {
                JobEnd::Succeeded => ended(HookOutcome::Succeeded, "", row),
                JobEnd::Failed(why) => ended(HookOutcome::Failed, why, row),
            }
        }
        None if row.job_uid.is_some() => ended(
            HookOutcome::Failed,
            "Its Job is gone, and was not seen to end: whether it did its work is not known.",
            row,
        ),
        None => match refusals.get(&row.job) {
            Some(no) => refused(&no.why, no.lasting, row),
            None => row,
        },
    }
}

/// A record of the plan with what its Job shows now, if the plan still has such a hook and wave.
pub(super) fn known(input: &PlanInput<'_>, row: &HookStatus) -> Option<HookStatus> {
    let hook = input.spec.hooks.iter().find(|hook| hook.name == row.name)?;
    let target = match hook.scope {
        HookScope::Plan if row.wave.is_empty() => For::Plan,
        HookScope::Wave if hook.is_for_wave(&row.wave) && input.spec.waves.iter().any(|wave| wave.name == row.wave) => {
            For::Wave(&row.wave)
        }
        HookScope::Plan | HookScope::Wave | HookScope::Item => return None,
    };
    is_of(input, hook, target, row).then(|| observed(input, hook, row.clone()))
}

/// The Job's name: another one for each purpose and retry token.
pub(super) fn job_name(input: &PlanInput<'_>, hook: &Hook, target: For<'_>, token: &str) -> String {
    let [kind, of] = target.purpose();
    let (when, step) = (hook.when.as_str(), hook.step.as_str());
    jobs::name(&hook.name, &[input.uid, &hook.name, when, step, kind, of, token])
}

/// Whether a record is of the hook as it is now: one that was moved to another step has not run there.
pub(super) fn is_of(input: &PlanInput<'_>, hook: &Hook, target: For<'_>, row: &HookStatus) -> bool {
    row.job == job_name(input, hook, target, &row.retry_token)
}

/// A record counts until the step is taken again: one of before the step until that has led where it leads, one of after
/// it until another call for the step was made. That site recovery synchronises anew, or could not be read for a moment,
/// is no such thing.
pub(super) fn still_counts(machine: &Standing<'_>, hook: &Hook, row: &HookStatus) -> bool {
    let (_, phase) = hook.step.ends();
    if machine.operating || machine.unclear {
        return true;
    }
    match hook.when {
        HookTime::Before => machine.reached < phase,
        HookTime::After => machine.status.is_none_or(|status| {
            let again = |record: &OperationRecord| {
                record.verb == hook.step.as_str()
                    && record.outcome != OperationOutcome::NotMade
                    && record.intended_at.0 > row.began_at.0
            };
            !status.operation.iter().chain(&status.history).any(again)
        }),
    }
}

pub(super) fn applies(hook: &Hook, when: HookTime, step: ApprovalStep, scope: HookScope, target: For<'_>) -> bool {
    let is_for = match target {
        For::Plan => true,
        For::Wave(wave) => hook.is_for_wave(wave),
        For::Item(wave, item) => hook.is_for_item(wave, item),
    };
    hook.when == when && hook.step == step && hook.scope == scope && is_for
}

pub(super) fn title(hook: &Hook, target: For<'_>) -> String {
    let when = match hook.when {
        HookTime::Before => "before",
        HookTime::After => "after",
    };
    format!("Hook \"{}\" {when} {} {target}", hook.name, hook.step.as_str())
}

pub(super) fn sentence(hook: &Hook, target: For<'_>, row: &HookStatus) -> String {
    let (title, job) = (title(hook, target), &row.job);
    let why = if row.message.is_empty() { String::new() } else { format!(" {}", row.message) };
    match row.outcome {
        HookOutcome::Running => format!("{title} runs as Job \"{job}\".{why}"),
        HookOutcome::Refused => format!("{title} cannot be run as Job \"{job}\":{why}"),
        HookOutcome::Succeeded => format!("{title} has run as Job \"{job}\"."),
        HookOutcome::Failed => format!("{title} failed as Job \"{job}\":{why}"),
    }
}

/// What hooks of several machines wait for.
pub(super) fn not_yet(hook: &Hook, target: For<'_>, phase: DesiredPhase, missing: &[&str]) -> String {
    let shown = missing.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let more = missing.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "Hook \"{}\" runs once all machines {target} are {}, and their own hooks have ended; not yet: {shown}{more}.",
        hook.name,
        phase.as_str()
    )
}

/// A record of the plan: its status has room for the first words, and the conditions tell more.
pub(super) fn brief(row: HookStatus) -> HookStatus {
    HookStatus { message: cut(&row.message, 80), ..row }
}

/// When to look again at Jobs of which nobody tells: those whose pods wait, and those that could not be made.
pub(in super::super) fn next_look<'r>(rows: impl Iterator<Item = &'r HookStatus>, now: Timestamp) -> Option<Timestamp> {
    rows.filter_map(|row| match row.outcome {
        HookOutcome::Refused => Some(now + REFUSED_AGAIN),
        HookOutcome::Running => Some(now + PODS_AGAIN),
        HookOutcome::Succeeded | HookOutcome::Failed => None,
    })
    .min()
}

fn short(text: &str) -> String {
    cut(text, 500)
}
