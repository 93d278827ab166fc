//! What to do about one machine.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    Next, RESYNC, SOON,
    item_action::action,
    item_attempts::{attempts, earlier_attempt},
    item_conditions,
};
use crate::{
    api::{
        CheckStatus, Claim, Identity, ItemPhase, OperationOutcome, OperationRecord, ProbeStatus,
        Progress as ProgressStatus, ReplicatedItemSpec, ReplicatedItemStatus,
    },
    core::{
        action::Verb,
        checks::{self, CheckOutcome},
        conditions,
        facts::{HomeIdentity, ItemFacts, learned},
        guard::{Guarded, Precondition},
        journal::{self, Progress},
        observed::{AzureVm, Replication, RunsIn, Scenario},
        probes,
        stage::{Stage, verb_of_job},
        waiting::{HELD_REASONS, WaitingOn},
    },
};

/// The oldest reading that a call may be decided on.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Everything that a decision about a machine depends on.
#[derive(Clone, Debug)]
pub struct ItemInput<'a> {
    /// What is declared.
    pub spec: &'a ReplicatedItemSpec,
    /// What was recorded: claims to verify.
    pub status: &'a ReplicatedItemStatus,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// What was observed.
    pub facts: &'a ItemFacts,
    /// The time.
    pub now: Timestamp,
}

/// What is decided: the status to record, and one thing to do.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemDecision {
    /// The complete status to record. Its claim is the input's: another hand writes that.
    pub status: ReplicatedItemStatus,
    /// What to do after that.
    pub next: Next,
}

impl ItemDecision {
    /// Whether the machine should be read often: it moves, or is about to.
    pub fn in_motion(&self) -> bool {
        match &self.next {
            Next::Act(..) | Next::Again => true,
            Next::Done => false,
            Next::Wait(on, _) => match on {
                WaitingOn::Plan | WaitingOn::Held { .. } | WaitingOn::UnsupportedProvider(_) => false,
                WaitingOn::Observation(_)
                | WaitingOn::Transition(_)
                | WaitingOn::Checks { .. }
                | WaitingOn::Input { .. }
                | WaitingOn::Job { .. }
                | WaitingOn::JobSuspended { .. }
                | WaitingOn::AnotherOperation(_)
                | WaitingOn::Settling(_)
                | WaitingOn::Synchronisation { .. }
                | WaitingOn::Soak { .. }
                | WaitingOn::Retry { .. }
                | WaitingOn::Outcome(_)
                | WaitingOn::OperationFailed { .. }
                | WaitingOn::OperationOutcomeUnknown { .. }
                | WaitingOn::ExternalChange(_) => true,
            },
        }
    }
}

/// Decides.
pub fn decide(input: &ItemInput<'_>) -> ItemDecision {
    let ItemInput { status, facts, now, .. } = *input;
    let item = facts.replication.value();
    let stage = item.map_or(Stage::Unknown, Stage::of);
    let looked = journal::look(status.operation.as_ref(), &status.history, facts, stage, now);
    let (record, open, mut next) = match looked {
        Progress::Record(record) => (Some(*record), None, Next::Again),
        Progress::Open(verb, on) => match unknown_outcome(status, &on, now) {
            Some(record) => (Some(record), None, Next::Again),
            None => (None, Some(verb), Next::Wait(on, SOON)),
        },
        Progress::Idle => match idle(input, item, stage, &checks::run(facts, stage, None, now)) {
            Idle::Adopt(record) => (Some(record), None, Next::Again),
            Idle::Next(next) => (None, None, next),
        },
    };

    if matches!(next, Next::Act(..)) && status.phase != stage.phase() {
        // The resting point is recorded before it is left, so that each phase shows and each condition has its time.
        next = Next::Again;
    }
    let begun = record.as_ref().filter(|record| journal::is_open(record)).and_then(|record| Verb::parse(&record.verb));
    let running = open.or(begun);
    let phase = phase_to_show(status, stage, running, &next);
    let shown = stage_to_show(stage, running);
    let checks = checks::run(facts, shown, running, now);
    let (operation, history) = journal_lists(status, record);
    let mut after = ReplicatedItemStatus {
        observed_generation: input.generation,
        phase,
        runs_in: item.and_then(Replication::runs_in).map(|place| match place {
            RunsIn::Azure => "Azure".to_owned(),
            RunsIn::VMware => "VMware".to_owned(),
        }),
        conditions: Vec::new(),
        checks: check_rows(&status.checks, &checks, now),
        probes: probe_rows(status, facts, now),
        claim: status.claim.clone(),
        operation,
        history,
        progress: progress(item, stage, &next),
        identity: identity(facts, &status.identity),
        target: super::item_action::target(input.spec, facts).ok().or_else(|| status.target.clone()),
        generation: item.and_then(|item| item.generation).map(|generation| format!("{generation:?}")),
        location: status.location.clone(),
        recovery_point: status.recovery_point.clone(),
        disks: item.and_then(|item| i32::try_from(item.disks.len()).ok()).filter(|disks| *disks > 0).or(status.disks),
        group: item.and_then(|item| item.group.clone()),
    };
    let drafts = item_conditions::drafts(input, shown, &checks, &next);
    // Since when something is so was learned of the machine that the object named then.
    let same =
        item.is_none_or(|item| status.identity.item_id.as_ref().is_none_or(|id| id.eq_ignore_ascii_case(&item.id)));
    let before = if same { status.conditions.as_slice() } else { &[] };
    after.conditions = conditions::merge(before, drafts, input.generation, now);
    ItemDecision { status: after, next }
}

/// Where no probe can be told of, as after the commit or a restart, what was seen last stays.
fn probe_rows(status: &ReplicatedItemStatus, facts: &ItemFacts, now: Timestamp) -> Vec<ProbeStatus> {
    facts.probes.value().map_or_else(|| status.probes.clone(), |seen| probes::rows(&status.probes, seen, now))
}

/// The phase of the operation that runs or is about to, else of the resting point. Where neither is known, the phase
/// that was shown before stays.
fn phase_to_show(status: &ReplicatedItemStatus, stage: Stage, running: Option<Verb>, next: &Next) -> ItemPhase {
    let about_to = || match next {
        Next::Act(guarded, _) => Some(guarded.action.verb()),
        Next::Again | Next::Wait(..) | Next::Done => None,
    };
    match (running.or_else(about_to), stage) {
        (Some(verb), _) => verb.running_phase(),
        (None, Stage::InTransition | Stage::Unknown) => status.phase,
        (None, resting) => resting.phase(),
    }
}

/// The stage that checks and conditions are about. While a call of ours runs, site recovery permits little or nothing,
/// which says nothing about the machine: until the effect shows, it is where the step began.
fn stage_to_show(stage: Stage, running: Option<Verb>) -> Stage {
    match running {
        Some(verb) if stage != Stage::Unknown && !verb.took_effect(stage) => verb.starts_from(),
        Some(_) | None => stage,
    }
}

/// What follows when no operation is open.
enum Idle {
    Adopt(OperationRecord),
    Next(Next),
}

fn idle(input: &ItemInput<'_>, item: Option<&Replication>, stage: Stage, checks: &[CheckOutcome]) -> Idle {
    let facts = input.facts;
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
        return wait(WaitingOn::Transition(item.protection_state.clone()));
    }
    let Some(claim) = &input.status.claim else { return wait(WaitingOn::Plan) };
    if let Some(on) = commit_unsettled(facts, stage) {
        return Idle::Next(Next::Wait(on, SOON));
    }
    if stage.reached().is_some_and(|reached| reached >= claim.up_to) {
        return match held(claim) {
            Some(on) if stage != Stage::ProtectedToAzure => wait(on),
            Some(_) | None => Idle::Next(Next::Done),
        };
    }
    match stage.next_verb() {
        None => wait(WaitingOn::Synchronisation { progress: synchronisation(item) }),
        Some(verb) => Idle::Next(step(input, item, stage, claim, verb, checks)),
    }
}

/// A job that this controller did not start: adopted when it is the step that the plan would take, else waited for.
fn foreign_operation(input: &ItemInput<'_>, item: &Replication, stage: Stage) -> Option<Idle> {
    let jobs = input.facts.jobs.value().map(Vec::as_slice).unwrap_or_default();
    let running = jobs.iter().find(|job| job.in_flight() && job.scenario != Scenario::InitialReplication);
    if let (Some(job), Some(claim)) = (running, &input.status.claim)
        && let Some(verb) = verb_of_job(&job.scenario, item, stage)
        && verb != Verb::Cancel
        && claim.up_to >= verb.leads_to()
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

fn held(claim: &Claim) -> Option<WaitingOn> {
    let reason = HELD_REASONS.into_iter().find(|reason| *reason == claim.held_by)?;
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
    let failing = failing(checks, verb);
    if !failing.is_empty() {
        return Next::Wait(WaitingOn::Checks { step: verb, failing }, RESYNC);
    }
    if verb == Verb::Commit
        && let Some(until_when) = soaking(input.status, claim, input.now)
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
    let action = match action(verb, input.spec, input.facts) {
        Ok(action) => action,
        Err(message) => return Next::Wait(WaitingOn::Input { step: verb, message }, RESYNC),
    };
    let Some(generation) = item.generation else {
        return Next::Wait(WaitingOn::UnsupportedProvider(item.instance_type.clone()), RESYNC);
    };
    let known = identity(input.facts, &input.status.identity);
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

/// A machine is committed, and may be protected again, only after its copy in Azure is seen gone.
fn commit_unsettled(facts: &ItemFacts, stage: Stage) -> Option<WaitingOn> {
    if stage != Stage::HomeCommitted {
        return None;
    }
    match facts.azure_vm.known() {
        Ok(AzureVm::Absent) => None,
        Ok(AzureVm::Present { .. }) => Some(WaitingOn::Settling(Verb::Commit)),
        Err(why) => Some(WaitingOn::Observation(why.to_owned())),
    }
}

/// Until when verification must hold, if that is not over.
fn soaking(status: &ReplicatedItemStatus, claim: &Claim, now: Timestamp) -> Option<Timestamp> {
    let soak = SignedDuration::from_secs(claim.soak_seconds.max(0).into());
    let verified = conditions::find(&status.conditions, "Verified").filter(|condition| condition.status == "True");
    let until = verified.map_or(now + soak, |condition| condition.last_transition_time.0 + soak);
    // Not recorded as verified yet: that comes first, in any case.
    (verified.is_none() || until > now).then_some(until)
}

/// When an outcome becomes unknown, the retry token of that moment is noted; a later one is a person's word that the
/// fate of this call was looked into. One that was set before, for another machine, is not.
fn unknown_outcome(status: &ReplicatedItemStatus, on: &WaitingOn, now: Timestamp) -> Option<OperationRecord> {
    let (record, claim) = (status.operation.as_ref()?, status.claim.as_ref()?);
    if !matches!(on, WaitingOn::OperationOutcomeUnknown { .. }) {
        return None;
    }
    match &record.unknown_under {
        None => Some(OperationRecord { unknown_under: Some(claim.retry_token.clone()), ..record.clone() }),
        Some(token) if *token != claim.retry_token => Some(given_up(record.clone(), now)),
        Some(_) => None,
    }
}

fn given_up(record: OperationRecord, now: Timestamp) -> OperationRecord {
    OperationRecord {
        outcome: OperationOutcome::NotMade,
        message: "Given up by a new retry token; its effect was never seen.".to_owned(),
        ended_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now)),
        ..record
    }
}

/// The operation, and the last ten before it. Calls that were not made leave no history.
fn journal_lists(
    status: &ReplicatedItemStatus,
    record: Option<OperationRecord>,
) -> (Option<OperationRecord>, Vec<OperationRecord>) {
    let Some(record) = record else { return (status.operation.clone(), status.history.clone()) };
    push_record(status, record)
}

/// Makes `record` the operation at hand and moves a different one before it to the history.
pub fn push_record(
    status: &ReplicatedItemStatus,
    record: OperationRecord,
) -> (Option<OperationRecord>, Vec<OperationRecord>) {
    let mut history = status.history.clone();
    if let Some(before) = status.operation.as_ref().filter(|before| before.key != record.key)
        && before.outcome != OperationOutcome::NotMade
    {
        history.insert(0, before.clone());
        history.truncate(10);
    }
    (Some(record), history)
}

fn check_rows(before: &[CheckStatus], outcomes: &[CheckOutcome], now: Timestamp) -> Vec<CheckStatus> {
    outcomes
        .iter()
        .map(|outcome| {
            let row = CheckStatus {
                name: outcome.check.name.to_owned(),
                result: outcome.result,
                message: outcome.message.clone(),
                remedy: outcome.remedy.clone(),
                waived: None,
                gates: outcome.check.gates.iter().map(|verb| verb.as_str().to_owned()).collect(),
                observed_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
            };
            match before.iter().find(|old| old.name == row.name) {
                Some(old) if old.result == row.result && old.message == row.message => {
                    CheckStatus { observed_at: old.observed_at.clone(), ..row }
                }
                Some(_) | None => row,
            }
        })
        .collect()
}

/// What is known of who the machine is: what is seen now wins, what was learned before stays.
pub(super) fn identity(facts: &ItemFacts, known: &Identity) -> Identity {
    let item = facts.replication.value();
    let vm = facts.home_vm();
    let known = learned(item, known);
    Identity {
        item_id: item.map(|item| item.id.clone()).or(known.item_id),
        azure_vm_id: item.and_then(|item| item.azure_vm_id.clone()).or(known.azure_vm_id),
        // What the VM was found by stays; it only tells what was not known yet.
        instance_uuid: item
            .and_then(|item| item.instance_uuid.clone())
            .or(known.instance_uuid)
            .or_else(|| vm.and_then(|vm| vm.instance_uuid.clone())),
        bios_uuid: known.bios_uuid.or_else(|| vm.and_then(|vm| vm.bios_uuid.clone())),
        moref: vm.map(|vm| vm.moref.clone()).or(known.moref),
    }
}

fn synchronisation(item: &Replication) -> String {
    match item.progress.percent {
        Some(percent) => format!("{percent}%"),
        None if item.protection_state_description.is_empty() => item.protection_state.clone(),
        None => item.protection_state_description.clone(),
    }
}

fn progress(item: Option<&Replication>, stage: Stage, next: &Next) -> Option<ProgressStatus> {
    if let Next::Wait(WaitingOn::Job { task, .. }, _) = next {
        let text = if task.is_empty() { "job runs".to_owned() } else { task.clone() };
        return Some(ProgressStatus { text, percent: None });
    }
    if !matches!(stage, Stage::SyncingToVMware | Stage::SyncingToAzure) {
        return None;
    }
    let percent = item?.progress.percent?;
    Some(ProgressStatus { text: format!("{percent}%"), percent: Some(percent.into()) })
}

/// The wait until a time, a moment longer so that it has come.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    let wait = now.duration_until(at).unsigned_abs();
    if at <= now { Duration::from_secs(1) } else { wait + Duration::from_millis(100) }
}
