//! The step that follows when nothing of ours runs, and what stands in its way.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    Next, RESYNC, SOON,
    item::ItemInput,
    item_action::action,
    item_attempts::{attempts, earlier_attempt},
    item_record::identity,
};
use crate::{
    api::{Claim, OperationOutcome, OperationRecord, ReplicatedItemStatus},
    core::{
        action::Verb,
        checks::{self, CheckOutcome},
        conditions,
        facts::{HomeIdentity, ItemFacts},
        found::{self, STATUS_LOST},
        guard::{Guarded, Precondition},
        journal,
        observed::{AzurePower, AzureVm, Generation, Job, JobState, Operation, Replication, Scenario},
        probes,
        stage::{Stage, verb_of_job},
        waiting::{HELD_REASONS, WaitingOn},
    },
};

/// The oldest reading that a call may be decided on.
const FRESH: SignedDuration = SignedDuration::from_mins(10);
/// How long the machine in Azure may take to run again after its failback was undone.
const RESTART: SignedDuration = SignedDuration::from_mins(15);
/// How long Azure may take to delete the machine that was committed, before a person is asked.
const DELETED: SignedDuration = SignedDuration::from_mins(30);

/// What follows when no operation is open.
pub(super) enum Idle {
    Adopt(OperationRecord),
    Next(Next),
}

/// What follows when no operation is open.
pub(super) fn idle(input: &ItemInput<'_>, item: Option<&Replication>, stage: Stage) -> Idle {
    let facts = input.facts;
    let checks = &checks::run(&input.machine(stage, None));
    let wait = |on| Idle::Next(Next::Wait(on, RESYNC));
    let Some(item) = item else {
        let why = facts.replication.known().err().unwrap_or("not seen yet");
        return wait(WaitingOn::Observation(why.to_owned()));
    };
    if stage == Stage::Unknown {
        return wait(WaitingOn::UnsupportedProvider(item.instance_type.clone()));
    }
    if let Some(found) = foreign_operation(input, item, stage) {
        return found;
    }
    if stage == Stage::InTransition {
        // A migration that was completed leaves nothing to wait for.
        let failing = failing(checks, Verb::Reprotect);
        let on = if failing.is_empty() {
            WaitingOn::Transition(item.protection_state.clone())
        } else {
            WaitingOn::Checks { step: Verb::Reprotect, failing }
        };
        return wait(on);
    }
    let Some(claim) = &input.status.claim else { return wait(WaitingOn::Plan) };
    if let Some(on) = commit_unsettled(input, stage).or_else(|| cancel_unsettled(input, stage)) {
        return Idle::Next(Next::Wait(on, SOON));
    }
    if let Some(why) = &claim.cancel {
        match stage {
            Stage::FailedBack => return Idle::Next(cancel(input, item, claim, checks)),
            Stage::ReadyToFailBack => return wait(WaitingOn::Cancelled(why.clone())),
            Stage::FailedOver
            | Stage::SyncingToVMware
            | Stage::HomeCommitted
            | Stage::SyncingToAzure
            | Stage::ProtectedToAzure
            | Stage::InTransition
            | Stage::Unknown => {}
        }
    }
    if item.failback_incomplete() {
        // What is allowed may show one by one.
        let shows = |at: Timestamp| input.facts.replication.at().is_some_and(|seen| seen >= at + journal::SETTLE);
        return match ended(input.status, Verb::FailBack) {
            Some(at) if !shows(at) => Idle::Next(Next::Wait(WaitingOn::Settling(Verb::FailBack), SOON)),
            Some(_) | None => wait(WaitingOn::FailbackIncomplete(incomplete(input))),
        };
    }
    if stage.reached().is_some_and(|reached| reached >= claim.up_to) {
        return match held(claim, stage, checks) {
            // A hook may follow the last step as well.
            Some(on) if stage != Stage::ProtectedToAzure || on.is_of_hook() => wait(on),
            Some(_) | None => Idle::Next(Next::Done),
        };
    }
    match stage.next_verb() {
        // All data is there, and yet the failover is not offered: its checks say why.
        None if item.protection_state == "Protected" && stage == Stage::SyncingToVMware => {
            wait(WaitingOn::Checks { step: Verb::FailBack, failing: failing(checks, Verb::FailBack) })
        }
        None => wait(WaitingOn::Synchronisation { progress: synchronisation(item) }),
        Some(verb) => Idle::Next(step(input, item, stage, claim, verb, checks)),
    }
}

/// A job that this controller did not start: adopted when it is the step that the plan would take, else waited for.
fn foreign_operation(input: &ItemInput<'_>, item: &Replication, stage: Stage) -> Option<Idle> {
    let jobs = input.facts.jobs.value().map(Vec::as_slice).unwrap_or_default();
    let running = jobs.iter().find(|job| job.occupies());
    if let (Some(job), Some(claim)) = (running, &input.status.claim)
        && let Some(verb) = verb_of_job(&job.scenario, item, stage)
        && verb.is_wanted_by(claim)
        && !journal::knows(input.status.operation.iter().chain(&input.status.history), job)
    {
        let last = attempts(input.status, claim, verb).next();
        let adopted = journal::adopt(verb, job, claim, last, input.now);
        return Some(Idle::Adopt(OperationRecord { item_id: item.id.clone(), ..adopted }));
    }
    let what = match (running, &item.scenario) {
        (Some(job), _) => format!("A job runs that this operator did not start: {:?}, {}", job.scenario, job.id),
        (None, Some(scenario)) => format!("The item is busy with {}", scenario.name),
        (None, None) => return None,
    };
    Some(Idle::Next(Next::Wait(WaitingOn::AnotherOperation(what), SOON)))
}

/// Undoes a failback that was not committed, which only the modernized generation can.
fn cancel(input: &ItemInput<'_>, item: &Replication, claim: &Claim, checks: &[CheckOutcome]) -> Next {
    if item.generation == Some(Generation::Classic) {
        let what = "The failback cannot be undone: the classic generation has no operation for that.";
        return Next::Wait(WaitingOn::CannotCancel(what.to_owned()), RESYNC);
    }
    if !item.allows(&Operation::CancelFailover) {
        let what = "The failback cannot be undone: site recovery does not offer to cancel it.";
        return Next::Wait(WaitingOn::CannotCancel(what.to_owned()), RESYNC);
    }
    match input.facts.azure_vm.known() {
        Ok(AzureVm::Present { .. }) => step(input, item, Stage::FailedBack, claim, Verb::Cancel, checks),
        Ok(AzureVm::Absent) => {
            let what = "The failback cannot be undone: the Azure VM to return to is gone.";
            Next::Wait(WaitingOn::CannotCancel(what.to_owned()), RESYNC)
        }
        Err(why) => Next::Wait(WaitingOn::Observation(why.to_owned()), SOON),
    }
}

fn held(claim: &Claim, stage: Stage, checks: &[CheckOutcome]) -> Option<WaitingOn> {
    let reason = HELD_REASONS.into_iter().find(|reason| *reason == claim.held_by)?;
    if reason == "WaitingForChecks"
        && let Some(step) = stage.next_verb()
    {
        // The plan knows the checks as they were recorded; here they are seen as they are.
        let failing = failing(checks, step);
        if !failing.is_empty() {
            return Some(WaitingOn::Checks { step, failing });
        }
    }
    Some(WaitingOn::Held { reason, message: claim.held_message.clone() })
}

/// The checks that keep a step from starting, each with what was observed.
pub(super) fn failing(checks: &[CheckOutcome], verb: Verb) -> Vec<String> {
    checks::blocking(checks, verb)
        .into_iter()
        .map(|outcome| format!("{}: {}", outcome.check.name, outcome.message.trim_end_matches('.')))
        .collect()
}

/// The step that leads on, unless something stands in its way.
fn step(
    input: &ItemInput<'_>,
    item: &Replication,
    stage: Stage,
    claim: &Claim,
    verb: Verb,
    checks: &[CheckOutcome],
) -> Next {
    if let Some(on) = earlier_attempt(input.status, claim, verb, &input.facts.replication, input.now) {
        let recheck = if let WaitingOn::Retry { at, .. } = &on { until(*at, input.now) } else { RESYNC };
        return Next::Wait(on, recheck);
    }
    if let Some(on) = unexplained(input, stage, claim, verb) {
        return Next::Wait(on, RESYNC);
    }
    let failing = failing(checks, verb);
    if !failing.is_empty() {
        return Next::Wait(WaitingOn::Checks { step: verb, failing }, RESYNC);
    }
    if verb == Verb::Commit
        && let Some(until_when) = soaking(input, claim)
    {
        return Next::Wait(WaitingOn::Soak { until: until_when }, until(until_when, input.now));
    }
    if !item.complete {
        return Next::Wait(WaitingOn::Observation("only the item's summary was read so far.".to_owned()), SOON);
    }
    if let Err(why) = input.facts.jobs.known() {
        // A job may run that only the list of jobs tells of.
        return Next::Wait(WaitingOn::Observation(why.to_owned()), SOON);
    }
    let oldest = [input.facts.replication.at(), input.facts.jobs.at(), input.facts.azure_vm.at()].into_iter().min();
    if oldest.flatten().is_none_or(|at| at + FRESH < input.now) {
        // A machine at rest is read rarely; one that is about to move is read at once, and often.
        return Next::Wait(WaitingOn::Observation("it is being read anew before the call.".to_owned()), SOON);
    }
    let action = match action(verb, &input.machine(stage, None)) {
        Ok(action) => action,
        Err(refusal) => return Next::Wait(WaitingOn::Input { step: verb, message: refusal.sentence() }, RESYNC),
    };
    let Some(generation) = item.generation else {
        return Next::Wait(WaitingOn::UnsupportedProvider(item.instance_type.clone()), RESYNC);
    };
    let known = identity(&input.machine(stage, None), input.status.location.as_ref());
    // By what was known before this pass: a match must not vouch for itself.
    let home = HomeIdentity::of(Some(item), &input.status.identity);
    let expect = Precondition {
        item_id: item.id.clone(),
        generation,
        stage,
        azure_vm_id: known.azure_vm_id,
        home_vm: (verb == Verb::Commit).then(|| input.facts.home_vm().map(|vm| (vm.moref.clone(), home))).flatten(),
    };
    let intent = journal::intend(verb, claim, attempts(input.status, claim, verb).next(), input.now);
    let record = OperationRecord { item_id: item.id.clone(), ..intent };
    Next::Act(Box::new(Guarded { action, expect }), Box::new(record))
}

/// What the plan has not noticed yet, or nobody gave their word for: the step is not taken on an older claim.
fn unexplained(input: &ItemInput<'_>, stage: Stage, claim: &Claim, verb: Verb) -> Option<WaitingOn> {
    let seen = found::unexplained(input.status, input.facts, stage);
    let (from, _) = verb.step()?.ends();
    let step = found::step_in_doubt(input.status, seen.as_deref(), &claim.plan_uid, from)?;
    let noticed = claim.found.as_ref().filter(|found| found.step == step);
    noticed.is_none_or(|found| found.consent.is_none()).then(|| {
        let message =
            format!("No record explains what {verb} would follow on; plan \"{}\" is to look at it.", claim.plan);
        WaitingOn::Held { reason: STATUS_LOST, message }
    })
}

/// A machine is committed, and may be protected again, only after its copy in Azure is seen gone.
fn commit_unsettled(input: &ItemInput<'_>, stage: Stage) -> Option<WaitingOn> {
    if stage != Stage::HomeCommitted {
        return None;
    }
    match input.facts.azure_vm.known() {
        Ok(AzureVm::Absent) => None,
        Ok(AzureVm::Present { id, .. }) => match committed_at(input.status, input.facts) {
            Some(since) if since + DELETED < input.now => {
                Some(WaitingOn::AzureVmRemains { vm: AzureVm::name_of(id).to_owned(), since })
            }
            Some(_) | None => Some(WaitingOn::Settling(Verb::Commit)),
        },
        Err(why) => Some(WaitingOn::Observation(why.to_owned())),
    }
}

/// A failback is undone once the machine is seen running in Azure again: that the job of the cancel succeeded is not
/// enough, since Azure may have refused to start it.
fn cancel_unsettled(input: &ItemInput<'_>, stage: Stage) -> Option<WaitingOn> {
    let undone = |record: &&OperationRecord| journal::ended_as(record, Verb::Cancel, OperationOutcome::Succeeded);
    let last = input.status.operation.as_ref().filter(undone)?;
    if !matches!(stage, Stage::ReadyToFailBack | Stage::SyncingToVMware) {
        return None;
    }
    let what = match input.facts.azure_vm.known() {
        Ok(AzureVm::Present { power: AzurePower::Running, .. }) => return None,
        Err(why) => return Some(WaitingOn::Observation(why.to_owned())),
        Ok(AzureVm::Present { id, power, .. }) => {
            format!("Azure VM {} is {power}", AzureVm::name_of(id))
        }
        Ok(AzureVm::Absent) => "The Azure VM is not in its resource group".to_owned(),
    };
    if last.ended_at.as_ref().is_some_and(|ended| ended.0 + RESTART >= input.now) {
        return Some(WaitingOn::Settling(Verb::Cancel));
    }
    Some(WaitingOn::NotRunningInAzure(format!("{what}, although the failback was undone: the machine runs nowhere.")))
}

/// What is known of a failback that did not complete.
fn incomplete(input: &ItemInput<'_>) -> String {
    let failed = |record: &&OperationRecord| journal::ended_as(record, Verb::FailBack, OperationOutcome::Failed);
    let why = input.status.operation.as_ref().filter(failed).map(|record| format!(" {}", record.message));
    format!("The failback did not complete, and was not reverted.{}", why.unwrap_or_default())
}

/// When the last commit ended: by the journal, or where somebody else made it by the vault's jobs. Where nothing tells
/// any more, not before the machine came home.
fn committed_at(status: &ReplicatedItemStatus, facts: &ItemFacts) -> Option<Timestamp> {
    let by_job = |job: &&Job| job.scenario == Scenario::Commit && job.state == JobState::Succeeded;
    let listed = facts.jobs.value().into_iter().flatten().filter(by_job).filter_map(|job| job.ended).max();
    let home = || conditions::find(&status.conditions, "FailedBack").filter(|it| it.status == "True");
    ended(status, Verb::Commit).max(listed).or_else(|| home().map(|it| it.last_transition_time.0))
}

/// When a verb ended last, by the journal.
fn ended(status: &ReplicatedItemStatus, verb: Verb) -> Option<Timestamp> {
    let records = status.operation.iter().chain(&status.history).filter(|record| record.verb == verb.as_str());
    records.filter_map(|record| record.ended_at.as_ref()).map(|time| time.0).max()
}

/// Until when verification must hold, if that is not over.
fn soaking(input: &ItemInput<'_>, claim: &Claim) -> Option<Timestamp> {
    let probes = input.facts.probes.value().map(Vec::as_slice).unwrap_or_default();
    match probes::soaks_until(&input.status.conditions, probes, claim.soak_seconds) {
        Some(until) => (until > input.now).then_some(until),
        // Not recorded as verified yet: that comes first, in any case.
        None => Some(input.now + SignedDuration::from_secs(claim.soak_seconds.max(0).into())),
    }
}

fn synchronisation(item: &Replication) -> String {
    match item.progress.percent {
        Some(percent) => format!("{percent}%"),
        None if item.protection_state_description.is_empty() => item.protection_state.clone(),
        None => item.protection_state_description.clone(),
    }
}

/// The wait until a time, a moment longer so that it has come.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    let wait = now.duration_until(at).unsigned_abs();
    if at <= now { Duration::from_secs(1) } else { wait + Duration::from_millis(100) }
}
