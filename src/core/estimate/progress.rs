//! How far the step at hand of one machine has come, and how long its last steps took.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Step, settled};
use crate::{
    api::{EstimateBasis, OperationOutcome, OperationRecord, Progress, ReplicatedItemStatus, StepTiming},
    core::{decide::Next, observed::Replication, stage::Stage, waiting::WaitingOn},
};

/// How many timings are kept.
const KEPT: usize = 10;

/// How far the step at hand has come. `status` is what was recorded before, `operation` what will be.
pub fn progress(
    status: &ReplicatedItemStatus,
    operation: Option<&OperationRecord>,
    item: Option<&Replication>,
    stage: Stage,
    next: &Next,
    now: Timestamp,
) -> Option<Progress> {
    if let Next::Wait(WaitingOn::Job { task, .. }, _) = next {
        let text = if task.is_empty() { "job runs".to_owned() } else { task.clone() };
        return Some(of_job(text, operation, status.generation.as_deref(), now));
    }
    let step = match stage {
        Stage::SyncingToVMware => Step::SyncToVMware,
        Stage::SyncingToAzure => Step::SyncToAzure,
        // Nothing is seen of it just now: it may go on.
        Stage::InTransition | Stage::Unknown => return status.progress.clone().filter(synchronises),
        Stage::FailedOver
        | Stage::ReadyToFailBack
        | Stage::FailedBack
        | Stage::HomeCommitted
        | Stage::ProtectedToAzure => return None,
    };
    let before = status.progress.as_ref().filter(|before| before.step == step.as_str());
    Some(of_synchronisation(step, before, status, item?, now))
}

fn synchronises(progress: &Progress) -> bool {
    [Step::SyncToVMware, Step::SyncToAzure].into_iter().any(|step| progress.step == step.as_str())
}

fn of_job(text: String, operation: Option<&OperationRecord>, generation: Option<&str>, now: Timestamp) -> Progress {
    let Some(record) = operation else { return Progress { text, ..Progress::default() } };
    let typical = Step::parse(&record.verb).and_then(|step| step.typical(generation));
    let ends = typical.map(|typical| record.intended_at.0 + typical).filter(|ends| *ends > now);
    Progress {
        text,
        step: record.verb.clone(),
        since: Some(record.intended_at.clone()),
        estimate_basis: ends.is_some().then_some(EstimateBasis::Typical),
        estimated_completion: ends.map(|ends| settled(None, ends, now)),
        ..Progress::default()
    }
}

fn of_synchronisation(
    step: Step,
    before: Option<&Progress>,
    status: &ReplicatedItemStatus,
    item: &Replication,
    now: Timestamp,
) -> Progress {
    let percent = item.progress.percent.map(i32::from);
    let declared = status.location.as_ref().and_then(|location| location.bytes);
    let total = i64::try_from(item.total_bytes()).ok().filter(|bytes| *bytes > 0).or(declared);
    let done = item.progress.processed_bytes.and_then(|bytes| i64::try_from(bytes).ok());
    let done = done.or_else(|| Some(total? / 100 * i64::from(percent?)));
    let mut after = Progress {
        text: percent.map_or_else(|| "synchronising".to_owned(), |percent| format!("{percent}%")),
        percent,
        step: step.as_str().to_owned(),
        since: before.and_then(|before| before.since.clone()).or(Some(Time(now))),
        bytes_done: done,
        bytes_total: total,
        bytes_at_start: before.map_or(done, |before| before.bytes_at_start.or(done)),
        percent_at_start: before.map_or(percent, |before| before.percent_at_start.or(percent)),
        ..Progress::default()
    };
    let Some(before) = before else { return after };
    if !moved(before, &after) {
        after.bytes_done = before.bytes_done;
        after.bytes_per_second = before.bytes_per_second;
        after.estimated_completion = before.estimated_completion.clone().filter(|at| at.0 > now);
        after.estimate_basis = before.estimate_basis.filter(|_| after.estimated_completion.is_some());
        return after;
    }
    let elapsed = after.since.as_ref().map_or(SignedDuration::ZERO, |since| since.0.duration_until(now));
    after.bytes_per_second = rate(&after, elapsed);
    if let Some(left) = left(&after, elapsed) {
        after.estimated_completion = Some(settled(before.estimated_completion.as_ref(), now + left, now));
        after.estimate_basis = Some(EstimateBasis::Measured);
    }
    after
}

/// Whether it came on by as much as is worth a write: a per cent.
fn moved(before: &Progress, after: &Progress) -> bool {
    let worth = after.bytes_total.map_or(1, |total| (total / 100).max(1));
    let by = after.bytes_done.unwrap_or_default() - before.bytes_done.unwrap_or_default();
    before.percent != after.percent || before.bytes_done.is_some() != after.bytes_done.is_some() || by.abs() >= worth
}

/// Bytes a second, to three digits.
fn rate(progress: &Progress, elapsed: SignedDuration) -> Option<i64> {
    let rate = (progress.bytes_done? - progress.bytes_at_start?).checked_div(elapsed.as_secs())?;
    let unit = 10_i64.pow(rate.checked_ilog10()?.saturating_sub(2));
    Some(rate / unit * unit)
}

/// What is left at the rate that was measured: by bytes, else by per cent.
pub(super) fn left(progress: &Progress, elapsed: SignedDuration) -> Option<SignedDuration> {
    let by_bytes = || {
        let rate = progress.bytes_per_second.filter(|rate| *rate > 0)?;
        (progress.bytes_total? - progress.bytes_done?).max(0).checked_div(rate)
    };
    let by_percent = || {
        let (percent, gained) = (progress.percent?, progress.percent? - progress.percent_at_start?);
        (elapsed.as_secs() * i64::from(100 - percent)).checked_div(i64::from(gained)).filter(|_| gained > 0)
    };
    by_bytes().or_else(by_percent).map(SignedDuration::from_secs)
}

/// The timings to keep, newest first: those before, and the step that ended now.
pub fn timings(
    status: &ReplicatedItemStatus,
    operation: Option<&OperationRecord>,
    stage: Stage,
    now: Timestamp,
) -> Vec<StepTiming> {
    let mut timings = status.timings.clone();
    for ended in [ended_synchronisation(status, stage, now), operation.and_then(ended_operation)].into_iter().flatten()
    {
        let known = timings.iter().any(|old| old.verb == ended.verb && old.started_at == ended.started_at);
        if !known {
            timings.insert(0, ended);
        }
    }
    timings.truncate(KEPT);
    timings
}

fn ended_operation(record: &OperationRecord) -> Option<StepTiming> {
    let ended_at = record.ended_at.clone().filter(|_| record.outcome == OperationOutcome::Succeeded)?;
    let seconds = record.intended_at.0.duration_until(ended_at.0).as_secs();
    Some(StepTiming {
        verb: record.verb.clone(),
        started_at: record.intended_at.clone(),
        ended_at,
        seconds,
        bytes: None,
    })
}

fn ended_synchronisation(status: &ReplicatedItemStatus, stage: Stage, now: Timestamp) -> Option<StepTiming> {
    let progress = status.progress.as_ref()?;
    let ends = match Step::parse(&progress.step)? {
        Step::SyncToVMware => Stage::ReadyToFailBack,
        Step::SyncToAzure => Stage::ProtectedToAzure,
        Step::Reprotect | Step::FailBack | Step::Soak | Step::Commit | Step::Protect => return None,
    };
    let since = progress.since.clone().filter(|_| stage == ends)?;
    let seconds = since.0.duration_until(now).as_secs();
    let bytes = progress.bytes_total.zip(progress.bytes_at_start).map(|(total, start)| (total - start).max(0));
    Some(StepTiming { verb: progress.step.clone(), started_at: since, ended_at: Time(now), seconds, bytes })
}
