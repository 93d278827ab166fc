//! The events of a change of status: on transitions only, derived from what was and what is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{CheckResult, CheckStatus, OperationOutcome, OperationRecord, ReplicatedItemStatus},
    core::{action::Verb, conditions, found::STATUS_LOST, stage::is_legal},
};

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// Whether it is of type Warning.
    pub warning: bool,
    /// `reason`.
    pub reason: &'static str,
    /// `action`: what was done, in a word.
    pub action: &'static str,
    /// `note`.
    pub note: String,
}

impl EventDraft {
    /// An event of type Normal.
    pub fn normal(reason: &'static str, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: false, reason, action, note: note.into() }
    }

    /// An event of type Warning.
    pub fn warning(reason: &'static str, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, reason, action, note: note.into() }
    }
}

/// What a machine's change of status tells.
pub fn of_item(before: &ReplicatedItemStatus, after: &ReplicatedItemStatus) -> Vec<EventDraft> {
    let mut events = Vec::new();
    if !is_legal(before.phase, after.phase) {
        let note = format!("The machine went from {:?} to {:?} without this operator.", before.phase, after.phase);
        events.push(EventDraft::warning("ExternalChangeDetected", "Observe", note));
    }
    if before.operation != after.operation
        && let Some(record) = &after.operation
    {
        events.extend(of_operation(before.operation.as_ref(), record));
    }
    for (kind, reason) in STEPS {
        if !conditions::is_true(&before.conditions, kind)
            && let Some(now) = conditions::find(&after.conditions, kind).filter(|c| c.status == "True")
            && now.reason == "Reached"
        {
            events.push(EventDraft::normal("StepSucceeded", reason, now.message.clone()));
        }
    }
    let stalled = conditions::find(&after.conditions, "Stalled");
    let was = conditions::find(&before.conditions, "Stalled");
    if let Some(now) = stalled
        && was.is_none_or(|was| was.reason != now.reason)
    {
        let reason = if now.reason == STATUS_LOST { STATUS_LOST } else { "StepFailed" };
        events.push(EventDraft::warning(reason, "Stall", now.message.clone()));
    }
    events.extend(of_checks(before, after));
    if !conditions::is_true(&before.conditions, "PreflightPassed")
        && let Some(now) = conditions::find(&after.conditions, "PreflightPassed").filter(|c| c.reason == "AllPassed")
    {
        events.push(EventDraft::normal("PreflightPassed", "Check", now.message.clone()));
    }
    events
}

/// What a change of a connection tells: that it failed, with its reason, and that it works again.
pub fn of_connection(before: &[Condition], after: &[Condition]) -> Vec<EventDraft> {
    let was = conditions::find(before, "Ready");
    let Some(now) = conditions::find(after, "Ready") else { return Vec::new() };
    if was.is_some_and(|was| was.reason == now.reason) {
        return Vec::new();
    }
    match now.reason.as_str() {
        "Connected" => vec![EventDraft::normal("Connected", "Connect", "Connected.")],
        "Connecting" => Vec::new(),
        "CredentialsRejected" => vec![EventDraft::warning("CredentialsRejected", "Connect", now.message.clone())],
        "Throttled" => vec![EventDraft::warning("Throttled", "Connect", now.message.clone())],
        _ => vec![EventDraft::warning("ConnectionFailed", "Connect", now.message.clone())],
    }
}

/// What a change of an approval's validity tells.
pub fn of_approval(before: &[Condition], after: &[Condition]) -> Vec<EventDraft> {
    let was = conditions::find(before, "Valid").map(|condition| condition.reason.as_str());
    let Some(now) = conditions::find(after, "Valid").filter(|now| was != Some(now.reason.as_str())) else {
        return Vec::new();
    };
    match now.reason.as_str() {
        "Valid" => vec![EventDraft::normal("ApprovalGranted", "Approve", now.message.clone())],
        "Expired" => vec![EventDraft::warning("ApprovalExpired", "Approve", now.message.clone())],
        _ => vec![EventDraft::warning("ApprovalInvalid", "Approve", now.message.clone())],
    }
}

const STEPS: [(&str, &str); 5] = [
    ("Reprotected", "Reprotect"),
    ("FailedBack", "FailBack"),
    ("Verified", "Verify"),
    ("Committed", "Commit"),
    ("Protected", "Protect"),
];

fn of_operation(before: Option<&OperationRecord>, record: &OperationRecord) -> Vec<EventDraft> {
    let action = Verb::parse(&record.verb).map_or("Operation", Verb::as_str);
    let same = before.filter(|before| before.key == record.key);
    if same.is_some_and(|before| before.outcome == record.outcome && before.job_id == record.job_id) {
        return Vec::new();
    }
    let job = record.job_id.as_deref().unwrap_or("not named");
    match record.outcome {
        OperationOutcome::Intended if record.verb == Verb::Commit.as_str() => vec![EventDraft::normal(
            "PointOfNoReturn",
            action,
            "All checks passed freshly; the commit is being called, which deletes the machine in Azure.",
        )],
        OperationOutcome::Intended => Vec::new(),
        OperationOutcome::Submitted if record.adopted => {
            vec![EventDraft::normal(
                "OperationAdopted",
                action,
                format!("{action}: job {job} was found and is followed."),
            )]
        }
        OperationOutcome::Submitted => {
            vec![EventDraft::normal(
                "OperationSubmitted",
                action,
                format!("{action}: job {job}, attempt {}.", record.attempt),
            )]
        }
        OperationOutcome::Succeeded => Vec::new(),
        OperationOutcome::Failed if record.agent_missing => {
            vec![EventDraft::normal("AgentNotRegistered", action, record.message.clone())]
        }
        OperationOutcome::Failed => vec![EventDraft::warning("StepFailed", action, record.message.clone())],
        OperationOutcome::NotMade => {
            vec![EventDraft::warning("OperationNotMade", action, format!("{action}: {}", record.message))]
        }
    }
}

fn of_checks(before: &ReplicatedItemStatus, after: &ReplicatedItemStatus) -> Vec<EventDraft> {
    let result = |status: &ReplicatedItemStatus, name: &str| {
        status.checks.iter().find(|check| check.name == name).map(|check| check.result)
    };
    let waived = |name: &str| before.checks.iter().any(|check| check.name == name && check.waived.is_some());
    let failed = |check: &&CheckStatus| {
        check.result == CheckResult::Failed && result(before, &check.name) == Some(CheckResult::Passed)
    };
    let failures = after.checks.iter().filter(failed).map(|check| {
        let note = format!("{}: {} {}", check.name, check.message, check.remedy);
        EventDraft::warning("PreflightFailed", "Check", note)
    });
    let waivers = after.checks.iter().filter_map(|check| {
        let reason = check.waived.as_ref().filter(|_| !waived(&check.name))?;
        let note = format!("{} does not hold, and is waived: {reason} ({})", check.name, check.message);
        Some(EventDraft::warning("CheckWaived", "Waive", note))
    });
    failures.chain(waivers).collect()
}
