//! What earlier attempts of a step mean for a new one: repeated later, left to a person, or not repeated at all.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{Claim, OperationOutcome, OperationRecord, ReplicatedItemStatus},
    core::{
        action::Verb,
        backoff, journal,
        observed::{Fact, Replication},
        waiting::WaitingOn,
    },
};

/// So many failed jobs of a Reprotect or Protect end its being tried again by itself. A failover and a commit never
/// are.
const MOST_FAILURES: usize = 5;
/// So many calls in a row that were not made end their being tried again: what refuses each of them for the better part
/// of an hour (with the waits below, 51 minutes) does not go away by itself, and a machine that waits for ever never
/// fails its plan. Counted are calls, not minutes: none is attempted without a fresh reading of the vault, so that an
/// outage of Azure uses up a few, however long it lasts, and a change of the leader one.
const MOST_REFUSALS: i32 = 10;
/// Wait before the second attempt after a failed job.
const AFTER_FAILURE: Duration = Duration::from_secs(120);
/// Wait after a call that was refused, or not made.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(900);
/// Wait after an attempt for which the agent had not registered yet; and while the vault says so too.
const AFTER_AGENT: SignedDuration = SignedDuration::from_mins(5);
const WHILE_DENIED: SignedDuration = SignedDuration::from_mins(15);
/// So long an agent may take before that counts as a failure: twice what the vendor's documents say.
const AGENT_PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// The attempts of a step under the same plan and retry token, newest first.
pub(super) fn attempts<'a>(
    status: &'a ReplicatedItemStatus,
    claim: &'a Claim,
    verb: Verb,
) -> impl Iterator<Item = &'a OperationRecord> {
    journal::attempts(status, &claim.plan_uid, &claim.retry_token, verb)
}

/// What the earlier attempts of a step mean for a new one.
pub(super) fn earlier_attempt(
    status: &ReplicatedItemStatus,
    claim: &Claim,
    verb: Verb,
    replication: &Fact<Replication>,
    now: Timestamp,
) -> Option<WaitingOn> {
    if verb == Verb::Commit
        && let Some(failed) = attempts(status, claim, Verb::FailBack).next()
        && failed.outcome == OperationOutcome::Failed
    {
        // What a failover that failed has left at home is not made final without a person's word.
        return Some(WaitingOn::OperationFailed { verb: Verb::FailBack, message: failed.message.clone() });
    }
    let with = |outcome| attempts(status, claim, verb).filter(move |record| record.outcome == outcome);
    if let Some(done) = with(OperationOutcome::Succeeded).next() {
        // A completed step is not repeated. Either this reading is older than the step's end, or somebody undid it.
        let ended = done.ended_at.as_ref().map_or(now, |time| time.0);
        if replication.at().is_none_or(|at| at < ended + journal::SETTLE) {
            return Some(WaitingOn::Settling(verb));
        }
        if verb == Verb::FailBack && journal::was_undone(status, &claim.plan_uid, &claim.retry_token) {
            return Some(WaitingOn::Cancelled("it was undone on request.".to_owned()));
        }
        return Some(WaitingOn::ExternalChange(format!(
            "{verb} succeeded at {ended:.0}, and the machine is back where it was before it."
        )));
    }
    let last = attempts(status, claim, verb).next()?;
    let ended = last.ended_at.as_ref().map_or(now, |time| time.0);
    let patience_ends = agent_patience_ends(attempts(status, claim, verb));
    let is_waiting = |record: &OperationRecord| {
        record.agent_missing && record.ended_at.as_ref().is_some_and(|time| Some(time.0) < patience_ends)
    };
    let denied = replication.value().is_some_and(|item| item.agent_registered == Some(false));
    let for_agent = if denied { WHILE_DENIED } else { AFTER_AGENT };
    if is_waiting(last) {
        let at = ended + for_agent;
        let message =
            format!("The mobility agent has not registered yet, which takes up to 15 minutes. {}", last.message);
        return (at > now).then_some(WaitingOn::Retry { verb, at, message });
    }
    let failures = with(OperationOutcome::Failed).filter(|record| !is_waiting(record)).count();
    let retry = |times, first| {
        let wait = backoff::jittered(backoff::exponential(times, first, LONGEST), &last.key);
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_mins(15));
        let at = ended + if last.agent_missing { wait.max(for_agent) } else { wait };
        (at > now).then(|| WaitingOn::Retry { verb, at, message: last.message.clone() })
    };
    let refused = refused_in_a_row(last, attempts(status, claim, verb));
    match last.outcome {
        OperationOutcome::NotMade if refused >= MOST_REFUSALS => {
            let message = format!("its call was not made in {refused} attempts in a row. The last: {}", last.message);
            Some(WaitingOn::OperationFailed { verb, message })
        }
        OperationOutcome::NotMade => retry(u32::try_from(refused).unwrap_or(1), AFTER_REFUSAL),
        OperationOutcome::Failed if matches!(verb, Verb::Reprotect | Verb::Protect) && failures < MOST_FAILURES => {
            retry(u32::try_from(failures).unwrap_or(1), AFTER_FAILURE)
        }
        OperationOutcome::Failed => Some(WaitingOn::OperationFailed { verb, message: last.message.clone() }),
        OperationOutcome::Intended | OperationOutcome::Submitted | OperationOutcome::Succeeded => None,
    }
}

/// How many attempts were not made since the last one that was. Those leave no history: their number tells.
fn refused_in_a_row<'a>(last: &OperationRecord, mut attempts: impl Iterator<Item = &'a OperationRecord>) -> i32 {
    let made = attempts.find(|record| record.outcome != OperationOutcome::NotMade);
    last.attempt - made.map_or(0, |made| made.attempt)
}

/// Until when attempts that fail only because the agent has not registered yet are no failures: counted from the first.
fn agent_patience_ends<'a>(attempts: impl Iterator<Item = &'a OperationRecord>) -> Option<Timestamp> {
    let first = attempts.filter(|record| record.agent_missing).last()?;
    Some(first.ended_at.as_ref()?.0 + AGENT_PATIENCE)
}
