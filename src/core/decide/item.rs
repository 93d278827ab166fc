//! What to do about one machine.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Next, SOON, item_conditions,
    item_record::{check_rows, identity, location, probe_rows},
    item_step::{Idle, idle},
};
use crate::{
    api::{ABANDON_ANNOTATION, ItemPhase, OperationOutcome, OperationRecord, ReplicatedItemSpec, ReplicatedItemStatus},
    core::{
        action::Verb,
        checks, conditions,
        estimate::progress,
        facts::{ItemFacts, Machine, is_about},
        found,
        journal::{self, Progress},
        observed::{Replication, RunsIn},
        placement, points,
        stage::Stage,
        text::cut,
        waiting::WaitingOn,
    },
};

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
    /// When the deciding process began to lead.
    pub leading_since: Timestamp,
    /// The time.
    pub now: Timestamp,
}

impl<'a> ItemInput<'a> {
    /// The machine at a stage, while a call of ours is open.
    pub(super) const fn machine(&self, stage: Stage, running: Option<Verb>) -> Machine<'a> {
        let Self { spec, status, facts, now, .. } = *self;
        Machine { spec, status, facts, stage, running, now }
    }
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
                WaitingOn::Plan | WaitingOn::Cancelled(_) | WaitingOn::UnsupportedProvider(_) => false,
                // What is seen of the machine decides when these end.
                WaitingOn::Held { reason, .. } => {
                    matches!(
                        *reason,
                        "NotVerified"
                            | "WaitingForSoak"
                            | "StepEnding"
                            | "HookRunning"
                            | "WaitingForChecks"
                            | "WaitingForInput"
                    )
                }
                WaitingOn::Observation(_)
                | WaitingOn::Transition(_)
                | WaitingOn::Checks { .. }
                | WaitingOn::Input { .. }
                | WaitingOn::Job { .. }
                | WaitingOn::JobSuspended { .. }
                | WaitingOn::AnotherOperation(_)
                | WaitingOn::Settling(_)
                | WaitingOn::AzureVmRemains { .. }
                | WaitingOn::Synchronisation { .. }
                | WaitingOn::Soak { .. }
                | WaitingOn::Retry { .. }
                | WaitingOn::Outcome(_)
                | WaitingOn::OperationFailed { .. }
                | WaitingOn::OperationOutcomeUnknown { .. }
                | WaitingOn::ExternalChange(_)
                | WaitingOn::CannotCancel(_)
                | WaitingOn::FailbackIncomplete(_)
                | WaitingOn::NotRunningInAzure(_) => true,
            },
        }
    }
}

/// Decides.
pub fn decide(input: &ItemInput<'_>) -> ItemDecision {
    let ItemInput { status, facts, leading_since, now, .. } = *input;
    let item = facts.replication.value();
    let stage = item.map_or(Stage::Unknown, Stage::of);
    let looked = journal::look(status.operation.as_ref(), &status.history, facts, stage, leading_since, now);
    let (record, open, mut next) = match looked {
        Progress::Record(record) => (Some(*record), None, Next::Again),
        Progress::Open(verb, on) => match unknown_outcome(status, &on, now) {
            Some(record) => (Some(record), None, Next::Again),
            None => (None, Some(verb), Next::Wait(on, SOON)),
        },
        Progress::Idle => match idle(input, item, stage) {
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
    let machine = input.machine(shown, running);
    let checks = checks::run(&machine);
    let placement = placement::choose(&machine);
    let location = location(&machine, &placement);
    let (operation, history) = journal_lists(status, record);
    let progress = progress::progress(status, operation.as_ref(), item, stage, &next, now);
    let timings = progress::timings(status, operation.as_ref(), stage, now);
    let mut after = ReplicatedItemStatus {
        observed_generation: input.generation,
        phase,
        runs_in: item.and_then(Replication::runs_in).map(|place| match place {
            RunsIn::Azure => "Azure".to_owned(),
            RunsIn::VMware => "VMware".to_owned(),
        }),
        conditions: Vec::new(),
        checks: check_rows(&status.checks, &checks, now),
        probes: probe_rows(&machine),
        claim: status.claim.clone(),
        operation,
        history,
        unexplained: found::unexplained(status, facts, stage),
        progress,
        timings,
        identity: identity(&machine, location.as_ref()),
        target: placement::status(&machine, &placement).ok().or_else(|| status.target.clone()),
        generation: item.and_then(|item| item.generation).map(|generation| format!("{generation:?}")),
        location,
        recovery_point: points::standing(&machine),
        disks: item.and_then(|item| i32::try_from(item.disks.len()).ok()).filter(|disks| *disks > 0).or(status.disks),
        group: item.and_then(|item| item.group.clone()),
    };
    let drafts = item_conditions::drafts(&machine, &checks, &next);
    // Since when something is so was learned of the machine that the object named then.
    let before = if is_about(&status.identity, facts) { status.conditions.as_slice() } else { &[] };
    after.conditions = conditions::merge(before, drafts, input.generation, now);
    ItemDecision { status: after, next }
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

/// The status of a deleted machine that stays because the fate of a call is open: it tells the way out.
pub fn held_by_call(status: ReplicatedItemStatus, name: &str, uid: &str, vault_is_there: bool) -> ReplicatedItemStatus {
    let stays = if vault_is_there {
        "It is deleted, and stays until the fate of its call is known, which its journal alone remembers."
    } else {
        "It is deleted, and its RecoveryVault is gone: nothing can tell what becomes of its call. Apply the RecoveryVault again, or look at the machine in the portal yourself."
    };
    let way = format!(
        "To let it go at once: kubectl failback abandon --item {name}, or kubectl annotate replicateditem {name} {ABANDON_ANNOTATION}={uid}. The call is then followed by nobody: what it does in Azure goes on, and is not repeated, undone or told."
    );
    let mut status = status;
    for condition in &mut status.conditions {
        if matches!(condition.type_.as_str(), "Ready" | "Reconciling" | "Stalled") {
            condition.message = cut(&format!("{} {stays} {way}", condition.message), 4000);
        }
    }
    status
}

fn given_up(record: OperationRecord, now: Timestamp) -> OperationRecord {
    OperationRecord {
        outcome: OperationOutcome::NotMade,
        message: "Given up by a new retry token; its effect was never seen.".to_owned(),
        ended_at: Some(Time(now)),
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
