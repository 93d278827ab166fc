//! The write-ahead journal of one item: what is concluded from an operation record and from what Azure shows now.
//!
//! Site recovery's verbs have no idempotency key. So an intent is written before each call; whatever happened after
//! that (a crash, a lost answer, a job that somebody started in the portal) is found out by looking, and a call is
//! repeated only when Azure shows positively that none was started.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    action::Verb,
    facts::ItemFacts,
    failure::{Failure, FailureClass},
    observed::{Details, Fact, Generation, Job, JobState, Replication},
    stage::Stage,
    waiting::WaitingOn,
};
use crate::api::{Claim, OperationOutcome, OperationRecord, ReplicatedItemStatus};

/// The most that may pass between an intent and its call.
pub const LATEST: Duration = Duration::from_secs(45);
/// How long the answer of a call is waited for before it is given up.
pub const ANSWER: Duration = Duration::from_secs(60);
/// Azure's lists may lag behind a call by this long: only a look later than this shows that nothing was started.
pub const SETTLE: SignedDuration = SignedDuration::from_mins(2);
/// A job's start, by Azure's clock, may lie this much before our intent, by our clock.
pub(super) const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How long the effect of a job that succeeded may take to show on the item.
const EFFECT: SignedDuration = SignedDuration::from_mins(15);
/// How long the errors of a job that failed may be refused before it counts as failed without them.
const EXPLANATION: SignedDuration = SignedDuration::from_mins(10);
/// How long the fate of a call is looked for before a person is asked.
const SEARCH: SignedDuration = SignedDuration::from_mins(30);
/// The longest that a job may run before a person is asked. Azure ends its own jobs long before.
const JOB_DEADLINE: SignedDuration = SignedDuration::from_hours(48);

/// What is concluded.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// No operation is open: go on.
    Idle,
    /// The record changes; write it, then look again.
    Record(Box<OperationRecord>),
    /// The operation is open: wait.
    Open(Verb, WaitingOn),
}

/// Whether a record may still have an effect that is not known.
pub const fn is_open(record: &OperationRecord) -> bool {
    matches!(record.outcome, OperationOutcome::Intended | OperationOutcome::Submitted)
}

/// Whether a record is of a call of this verb that ended so.
pub fn ended_as(record: &OperationRecord, verb: Verb, outcome: OperationOutcome) -> bool {
    record.verb == verb.as_str() && record.outcome == outcome
}

/// Whether a record is about this job.
pub fn knows<'a>(mut records: impl Iterator<Item = &'a OperationRecord>, job: &Job) -> bool {
    records.any(|record| record.job_id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(&job.id)))
}

/// The attempts of a step under a plan and retry token, newest first.
pub fn attempts<'a>(
    status: &'a ReplicatedItemStatus,
    plan_uid: &'a str,
    retry_token: &'a str,
    verb: Verb,
) -> impl Iterator<Item = &'a OperationRecord> {
    status.operation.iter().chain(&status.history).filter(move |record| {
        record.verb == verb.as_str() && record.plan_uid == plan_uid && record.retry_token == retry_token
    })
}

/// Whether the last failback under a plan and retry token was undone by this operator, as it was asked to.
pub fn was_undone(status: &ReplicatedItemStatus, plan_uid: &str, retry_token: &str) -> bool {
    let ended = |verb| {
        let done = |record: &&OperationRecord| record.outcome == OperationOutcome::Succeeded;
        attempts(status, plan_uid, retry_token, verb).find(done)?.ended_at.as_ref().map(|time| time.0)
    };
    ended(Verb::FailBack).zip(ended(Verb::Cancel)).is_some_and(|(made, undone)| undone >= made)
}

/// A new intent, following the record before it.
pub fn intend(verb: Verb, claim: &Claim, last: Option<&OperationRecord>, now: Timestamp) -> OperationRecord {
    let again = last.filter(|last| {
        last.verb == verb.as_str() && last.plan_uid == claim.plan_uid && last.retry_token == claim.retry_token
    });
    let attempt = again.map_or(1, |last| last.attempt + 1);
    OperationRecord {
        key: format!("{}/{}/{}/{attempt}", claim.plan_uid, verb, claim.retry_token),
        verb: verb.as_str().to_owned(),
        attempt,
        intended_at: Time(now),
        outcome: OperationOutcome::Intended,
        job_id: None,
        adopted: false,
        foreign: false,
        plan_uid: claim.plan_uid.clone(),
        retry_token: claim.retry_token.clone(),
        item_id: String::new(),
        unknown_under: None,
        agent_missing: false,
        ended_at: None,
        message: String::new(),
    }
}

/// A record for a job that somebody else started: the same step that the plan would have taken.
pub fn adopt(verb: Verb, job: &Job, claim: &Claim, last: Option<&OperationRecord>, now: Timestamp) -> OperationRecord {
    OperationRecord {
        outcome: OperationOutcome::Submitted,
        job_id: Some(job.id.clone()),
        adopted: true,
        foreign: true,
        intended_at: Time(job.started.unwrap_or(now)),
        ..intend(verb, claim, last, now)
    }
}

/// The record after the call was made, or was not.
pub fn after_call(
    record: &OperationRecord,
    result: &Result<Option<String>, Failure>,
    now: Timestamp,
) -> OperationRecord {
    let mut next = record.clone();
    match result {
        Ok(job_id) => {
            next.outcome = OperationOutcome::Submitted;
            next.job_id = job_id.clone();
            next.message = String::new();
        }
        Err(failure) => {
            next.message = clipped(&failure.message);
            match failure.class {
                // It may have taken effect: the intent stays open, and its fate is looked for.
                FailureClass::Lost => {}
                FailureClass::Transient
                | FailureClass::Throttled { .. }
                | FailureClass::Conflict
                | FailureClass::Unauthenticated => {
                    next.outcome = OperationOutcome::NotMade;
                    next.ended_at = Some(Time(now));
                }
                FailureClass::NotFound | FailureClass::Denied | FailureClass::Invalid => {
                    next.outcome = OperationOutcome::Failed;
                    next.ended_at = Some(Time(now));
                }
            }
        }
    }
    next
}

/// Concludes from the record and from what is seen now.
///
/// `leading_since` is when this process began to act, by its own clock: an intent from before was dated by another one,
/// which may be slow, and what its process sent last may have left a moment before.
pub fn look(
    record: Option<&OperationRecord>,
    history: &[OperationRecord],
    facts: &ItemFacts,
    stage: Stage,
    leading_since: Timestamp,
    now: Timestamp,
) -> Progress {
    let Some(record) = record.filter(|record| is_open(record)) else { return Progress::Idle };
    let Some(verb) = Verb::parse(&record.verb) else {
        let mut unreadable = record.clone();
        unreadable.outcome = OperationOutcome::Failed;
        unreadable.message = format!("The journal names an unknown verb \"{}\".", record.verb);
        return Progress::Record(Box::new(unreadable));
    };
    if let Some(item) = facts.replication.value()
        && !record.item_id.is_empty()
        && !item.id.eq_ignore_ascii_case(&record.item_id)
    {
        // Whatever this other item shows says nothing about that call.
        let message = format!("It was called for the item {}, and the object names {} now.", record.item_id, item.id);
        return Progress::Open(verb, WaitingOn::OperationOutcomeUnknown { verb, message });
    }
    let settled = settled_at(record.intended_at.0, leading_since);
    let when = When {
        now,
        settled: facts.replication.at().min(facts.jobs.at()).is_some_and(|seen| seen >= settled),
        overdue: record.intended_at.0.max(leading_since) + SEARCH < now,
    };
    match &record.job_id {
        Some(job_id) => follow_job(record, verb, job_id, facts, stage, &when),
        None => find_job(record, verb, history, facts, stage, &when),
    }
}

/// How late it is in the life of a call.
struct When {
    now: Timestamp,
    /// What is seen is so much younger than the call that it shows whatever came of it.
    settled: bool,
    /// It has been looked for for so long that a person is asked.
    overdue: bool,
}

/// From when on a look shows whatever came of a call.
///
/// It left by [`LATEST`] after its intent, or before this process began to lead; whoever has no answer gave it up
/// [`ANSWER`] later; and what it did shows [`SETTLE`] after that.
pub fn settled_at(intended: Timestamp, leading_since: Timestamp) -> Timestamp {
    (intended + LATEST).max(leading_since) + ANSWER + SETTLE
}

fn follow_job(
    record: &OperationRecord,
    verb: Verb,
    job_id: &str,
    facts: &ItemFacts,
    stage: Stage,
    when: &When,
) -> Progress {
    let now = when.now;
    let overdue = |message: String| Progress::Open(verb, WaitingOn::OperationOutcomeUnknown { verb, message });
    let jobs = match &facts.jobs {
        Fact::Seen { value, .. } => value,
        Fact::Unknown(why) => return Progress::Open(verb, WaitingOn::Observation(why.clone())),
    };
    let Some(job) = jobs.iter().find(|job| job.id.eq_ignore_ascii_case(job_id)) else {
        // An older list may not show it yet, and what shows may be left by a job that failed.
        if took_effect(verb, stage, facts) && when.settled {
            return ended(record, OperationOutcome::Succeeded, String::new(), now);
        }
        if is_incomplete(verb, facts) && when.settled {
            return incomplete(record, now);
        }
        return if when.overdue {
            overdue(format!("Job {job_id} is not in the vault's list, and the item does not show its effect."))
        } else {
            Progress::Open(verb, WaitingOn::Job { verb, job_id: job_id.to_owned(), task: String::new() })
        };
    };
    // A machine is not taken for home, nor its copy in Azure for gone, on any other word than a success.
    let is_doubtful = matches!(job.state, JobState::Other(_)) && matches!(verb, Verb::FailBack | Verb::Commit);
    match job.state {
        JobState::Succeeded | JobState::Other(_) if !job.in_flight() && !is_doubtful => {
            if took_effect(verb, stage, facts) {
                ended(record, OperationOutcome::Succeeded, String::new(), now)
            } else if job.ended.unwrap_or(record.intended_at.0) + EFFECT < now {
                if is_incomplete(verb, facts) {
                    return incomplete(record, now);
                }
                overdue(format!("Job {job_id} succeeded, and the item still does not show its effect."))
            } else {
                Progress::Open(verb, WaitingOn::Settling(verb))
            }
        }
        JobState::Failed | JobState::Cancelled | JobState::Other(_) if !job.in_flight() => {
            // Which state a failed job leaves behind shows on the item only after it settled.
            if job.ended.is_some_and(|at| !seen_since(&facts.replication, at)) {
                return Progress::Open(verb, WaitingOn::Settling(verb));
            }
            if let Some(why) = unexplained(job, now) {
                return Progress::Open(
                    verb,
                    WaitingOn::Observation(format!("why job {job_id} did not succeed: {why}")),
                );
            }
            let agent_missing = matches!(verb, Verb::Reprotect | Verb::Protect) && is_agent_missing(job);
            let record = OperationRecord { agent_missing, ..record.clone() };
            ended(&record, OperationOutcome::Failed, job_message(job), now)
        }
        JobState::Suspended => Progress::Open(verb, WaitingOn::JobSuspended { verb, job_id: job_id.to_owned() }),
        JobState::NotStarted
        | JobState::InProgress
        | JobState::Succeeded
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Other(_) => {
            if record.intended_at.0 + JOB_DEADLINE < now {
                return overdue(format!("Job {job_id} has been running for more than 48 hours."));
            }
            let task = job.current_task.clone().unwrap_or_else(|| job.state_description.clone());
            Progress::Open(verb, WaitingOn::Job { verb, job_id: job_id.to_owned(), task })
        }
    }
}

/// Whether the item shows the verb's effect. A failback that did not complete shows its stage, and is none.
fn took_effect(verb: Verb, stage: Stage, facts: &ItemFacts) -> bool {
    verb.took_effect(stage) && !is_incomplete(verb, facts)
}

fn is_incomplete(verb: Verb, facts: &ItemFacts) -> bool {
    verb == Verb::FailBack && facts.replication.value().is_some_and(Replication::failback_incomplete)
}

/// Whatever its job says: it can only be undone.
fn incomplete(record: &OperationRecord, now: Timestamp) -> Progress {
    let message = "The failback did not complete: site recovery offers only to cancel it.".to_owned();
    ended(record, OperationOutcome::Failed, message, now)
}

/// What keeps the errors of a job from us that they may yet be read of: what comes next depends on them.
fn unexplained(job: &Job, now: Timestamp) -> Option<&str> {
    match &job.details {
        Details::Listed => Some("its errors have not been read."),
        Details::Refused { since, why } if now < *since + EXPLANATION => Some(why),
        Details::Refused { .. } | Details::Read => None,
    }
}

/// No job id: the process died between intent and answer, or the answer was lost.
fn find_job(
    record: &OperationRecord,
    verb: Verb,
    history: &[OperationRecord],
    facts: &ItemFacts,
    stage: Stage,
    when: &When,
) -> Progress {
    let now = when.now;
    let intended = record.intended_at.0;
    let item = facts.replication.value();
    let generation = item.and_then(|item| item.generation).unwrap_or(Generation::Modernized);
    let fits = |job: &&Job| {
        job.scenario == verb.scenario(generation)
            // One that is queued has no start yet.
            && job.started.map_or(job.in_flight(), |at| at + CLOCK_SKEW >= intended)
            && !knows(history.iter(), job)
    };
    if let Some(job) = facts.jobs.value().and_then(|jobs| jobs.iter().find(fits)) {
        // What began when the call could no longer arrive, somebody else began.
        let latest = intended + LATEST + ANSWER + CLOCK_SKEW;
        return Progress::Record(Box::new(OperationRecord {
            job_id: Some(job.id.clone()),
            adopted: true,
            foreign: job.started.unwrap_or(now) > latest,
            outcome: OperationOutcome::Submitted,
            ..record.clone()
        }));
    }
    // Older readings may show the effect of an earlier run, and not yet its job.
    if took_effect(verb, stage, facts) && when.settled {
        return ended(record, OperationOutcome::Succeeded, "Its effect shows; its job was not found.".to_owned(), now);
    }
    let nothing_runs = item.is_some_and(|item| item.complete && item.scenario.is_none());
    if nothing_runs && when.settled && is_incomplete(verb, facts) {
        return incomplete(record, now);
    }
    if nothing_runs && when.settled && stage == verb.starts_from() {
        let message = "No job was started: neither the item nor the vault's list of jobs shows one.".to_owned();
        return ended(record, OperationOutcome::NotMade, message, now);
    }
    if when.overdue {
        let message = "Neither a job nor its effect was found, and nor could it be shown that none was started.";
        return Progress::Open(verb, WaitingOn::OperationOutcomeUnknown { verb, message: message.to_owned() });
    }
    Progress::Open(verb, WaitingOn::Outcome(verb))
}

fn ended(record: &OperationRecord, outcome: OperationOutcome, message: String, now: Timestamp) -> Progress {
    Progress::Record(Box::new(OperationRecord {
        outcome,
        message: clipped(&message),
        ended_at: Some(Time(now)),
        ..record.clone()
    }))
}

fn seen_since<T>(fact: &Fact<T>, than: Timestamp) -> bool {
    fact.at().is_some_and(|at| at >= than)
}

/// Whether a reprotect failed because the agent was not there yet: by the documented code, else by the words that the
/// vendor's documents quote, since modernized codes are not published.
fn is_agent_missing(job: &Job) -> bool {
    const CANNOT_REACH_THE_AGENT: &str = "95226";
    job.errors.iter().any(|error| {
        let told = format!("{} {}", error.message, error.causes).to_lowercase();
        let about_agent = told.contains("agent") || told.contains("mobility");
        let absent = ["not installed", "not registered"].iter().any(|words| told.contains(words));
        error.code == CANNOT_REACH_THE_AGENT || about_agent && absent
    })
}

/// A job's errors in the vendor's words.
fn job_message(job: &Job) -> String {
    let Some(error) = job.errors.first() else {
        return match &job.details {
            Details::Refused { why, .. } => {
                format!("Job {} ended as {:?}, and its errors cannot be read: {why}", job.id, job.state)
            }
            Details::Listed | Details::Read => {
                format!("Job {} ended as {:?} without naming an error.", job.id, job.state)
            }
        };
    };
    let mut message = format!("Job {}: {} (code {}).", job.id, error.message.trim_end_matches('.'), error.code);
    if !error.causes.is_empty() {
        message.push_str(&format!(" Possible causes: {}", error.causes.trim()));
    }
    if !error.action.is_empty() {
        message.push_str(&format!(" Recommended: {}", error.action.trim()));
    }
    message
}

/// Status fields stay small: at most 1,000 characters.
fn clipped(message: &str) -> String {
    message.chars().take(1000).collect()
}
