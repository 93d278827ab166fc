//! What a machine is found at, and no record explains.
//!
//! A plan makes final only what it did itself. Where the journal does not say that it failed a machine back - because
//! the status was lost, or an old one was restored, or somebody else did it - the commit, which deletes the machine in
//! Azure, waits for a person's word. So does a failback, where Azure shows that one was made and undone before, and the
//! journal does not know why. Whatever else was done by others is adopted as it is.

use super::{
    action::Verb,
    facts::ItemFacts,
    journal::CLOCK_SKEW,
    observed::{Generation, Job, Scenario},
    stage::Stage,
};
use crate::api::{ApprovalStep, DesiredPhase, OperationOutcome, OperationRecord, ReplicatedItemStatus};

/// The reason word of the hold.
pub const STATUS_LOST: &str = "StatusLost";

/// The step that waits for a person's word, of a machine at this phase in a plan: by its records, and by what Azure
/// shows beside them.
pub fn step_in_doubt(
    status: &ReplicatedItemStatus,
    unexplained: Option<&str>,
    plan_uid: &str,
    reached: DesiredPhase,
) -> Option<ApprovalStep> {
    let made = |record: &&OperationRecord| {
        record.verb == Verb::FailBack.as_str() && record.outcome != OperationOutcome::NotMade
    };
    let last = records(status).find(made);
    let own = last.is_some_and(|record| record.plan_uid == plan_uid && !record.foreign && is_about(status, record));
    match reached {
        DesiredPhase::FailedBack if !own || unexplained.is_some() => Some(ApprovalStep::Commit),
        DesiredPhase::Reprotected if !own && unexplained.is_some() => Some(ApprovalStep::FailBack),
        DesiredPhase::Assessed
        | DesiredPhase::Reprotected
        | DesiredPhase::FailedBack
        | DesiredPhase::Committed
        | DesiredPhase::Protected => None,
    }
}

/// The last failback, undoing of one, or commit that failed, since the last reprotect, if the journal does not know of it.
/// What was seen stays when its job leaves the vault's list: time alone explains nothing.
pub fn unexplained(status: &ReplicatedItemStatus, facts: &ItemFacts, stage: Stage) -> Option<String> {
    let before = status.unexplained.clone();
    match stage {
        Stage::InTransition | Stage::Unknown => return before,
        Stage::SyncingToVMware | Stage::ReadyToFailBack | Stage::FailedBack => {}
        Stage::FailedOver | Stage::HomeCommitted | Stage::SyncingToAzure | Stage::ProtectedToAzure => return None,
    }
    let generation = facts.replication.value().and_then(|item| item.generation);
    let (Some(generation), Some(jobs)) = (generation, facts.jobs.value()) else { return before };
    let is_known = |verb, job: &Job| records(status).any(|record| explains(record, verb, job));
    let runs = jobs
        .iter()
        .filter_map(|job| Some((run(&job.scenario, generation)?, job)))
        // A commit that the journal knows of says nothing of what it followed on; elsewhere it is that of a failover.
        .filter(|(verb, job)| *verb != Verb::Commit || stage == Stage::FailedBack && !is_known(*verb, job));
    let Some((verb, job)) = runs.max_by_key(|(_, job)| job.started) else { return before };
    if verb == Verb::Reprotect || is_known(verb, job) {
        return None;
    }
    if job.in_flight() {
        return before;
    }
    let what = match verb {
        Verb::Cancel => "the undoing of a failback",
        Verb::Commit => "a commit",
        Verb::FailBack | Verb::Reprotect | Verb::Protect => "a failback",
    };
    let when = job.started.map_or_else(String::new, |at| format!(" of {at:.0}"));
    Some(format!("{what}{when}, job {}, which ended as {:?}", job.id, job.state).chars().take(512).collect())
}

/// What no record explains and was not noticed yet: looked for once more right before a commit.
pub fn unnoticed(status: &ReplicatedItemStatus, facts: &ItemFacts, stage: Stage) -> Option<String> {
    unexplained(status, facts, stage).filter(|_| status.unexplained.is_none())
}

/// What moves a machine between the places that are in doubt. In the classic generation the failover to Azure is of the
/// same kind as a failback, and a reprotect lies between them.
fn run(scenario: &Scenario, generation: Generation) -> Option<Verb> {
    let verbs = [Verb::Reprotect, Verb::FailBack, Verb::Cancel, Verb::Commit];
    verbs.into_iter().find(|verb| verb.scenario(generation) == *scenario)
}

/// Whether a record is about a job: it names it; or names none, and is of the same verb and time.
fn explains(record: &OperationRecord, verb: Verb, job: &Job) -> bool {
    if let Some(id) = &record.job_id {
        return id.eq_ignore_ascii_case(&job.id);
    }
    let since = record.intended_at.0 - CLOCK_SKEW;
    let until = record.ended_at.as_ref().map(|time| time.0 + CLOCK_SKEW);
    record.verb == verb.as_str()
        && record.outcome != OperationOutcome::NotMade
        && job.started.is_some_and(|at| at >= since && until.is_none_or(|until| at <= until))
}

/// Whether a record is about the item that the object names now.
fn is_about(status: &ReplicatedItemStatus, record: &OperationRecord) -> bool {
    let known = status.identity.item_id.as_deref().filter(|_| !record.item_id.is_empty());
    known.is_none_or(|id| id.eq_ignore_ascii_case(&record.item_id))
}

fn records(status: &ReplicatedItemStatus) -> impl Iterator<Item = &OperationRecord> {
    status.operation.iter().chain(&status.history)
}
