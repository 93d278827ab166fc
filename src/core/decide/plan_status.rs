//! The status of a plan: counts and aggregates, never a row per machine.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{Ceiling, PlanInput, Standing, blocking_deletion, may_go, phase_reached, spec_hash, unapproved};
use crate::{
    api::{CheckResult, DesiredPhase, FailbackPlanStatus, Issue, Summary, WaveStatus},
    core::{
        conditions::{self, Draft, Truth, summary},
        preview::{self, PreviewInput},
    },
};

/// The times of a run.
pub(super) struct Times {
    pub(super) started_at: Option<Time>,
    pub(super) completed_at: Option<Time>,
}

pub(super) fn status(
    input: &PlanInput<'_>,
    standings: &[Standing<'_>],
    ceiling: &Ceiling,
    times: Times,
) -> FailbackPlanStatus {
    let issues = issues(standings);
    let counts = counts(standings);
    let drafts = drafts(input, standings, ceiling, &counts, &issues, times.completed_at.is_some());
    let ahead = PreviewInput { uid: input.uid, spec: input.spec, items: input.items, now: input.now };
    let (estimated_completion, preview) =
        preview::for_status(&ahead, input.status, input.generation, counts.moving > 0);
    FailbackPlanStatus {
        observed_generation: input.generation,
        phase: lowest(standings),
        conditions: conditions::merge(&input.status.conditions, drafts, input.generation, input.now),
        waves: input
            .spec
            .waves
            .iter()
            .map(|wave| {
                let of_wave: Vec<_> = standings.iter().filter(|standing| standing.wave == wave.name).cloned().collect();
                let Summary { total, reached, moving, stalled, .. } = self::counts(&of_wave);
                WaveStatus { name: wave.name.clone(), total, reached, moving, stalled }
            })
            .collect(),
        summary: counts,
        issues,
        spec_hash: Some(spec_hash(input.spec)),
        started_at: times.started_at,
        completed_at: times.completed_at,
        retry_token: input.spec.retry_token.clone(),
        estimated_completion,
        preview,
    }
}

/// The phase that all machines have reached.
fn lowest(standings: &[Standing<'_>]) -> DesiredPhase {
    let reached = standings.iter().map(|standing| standing.status.map_or(DesiredPhase::Assessed, phase_reached));
    reached.min().unwrap_or_default()
}

fn counts(standings: &[Standing<'_>]) -> Summary {
    let count = |test: &dyn Fn(&Standing<'_>) -> bool| {
        i32::try_from(standings.iter().filter(|standing| test(standing)).count()).unwrap_or(i32::MAX)
    };
    let total = count(&|_| true);
    let reached = count(&|s| s.reached);
    Summary {
        done: format!("{reached}/{total}"),
        total,
        reached,
        moving: count(&|s| s.moving && !s.reached),
        waiting: count(&|s| !s.moving && !s.reached && !s.stalled),
        stalled: count(&|s| s.stalled),
    }
}

/// What stands in the way of machines that are not where the plan wants them, most frequent first.
fn issues(standings: &[Standing<'_>]) -> Vec<Issue> {
    let mut rows: BTreeMap<String, Issue> = BTreeMap::new();
    let mut add = |reason: &str, item: &str, message: &str| {
        let row = rows.entry(reason.to_owned()).or_insert_with(|| Issue {
            reason: reason.to_owned(),
            count: 0,
            items: Vec::new(),
            message: message.chars().take(600).collect(),
        });
        row.count += 1;
        if row.items.len() < 5 {
            row.items.push(item.to_owned());
        }
    };
    for standing in standings {
        let Some(status) = standing.status else {
            let message = format!("There is no ReplicatedItem \"{}\" in this namespace.", standing.name);
            add("ItemNotFound", standing.name, &message);
            continue;
        };
        if let Some(plan) = standing.claimed_by {
            let message = format!("Plan \"{plan}\" has claimed it; this plan waits for that one to end.");
            add("ItemClaimed", standing.name, &message);
            continue;
        }
        for check in status.checks.iter().filter(|check| check.result != CheckResult::Passed) {
            add(&check.name, standing.name, &format!("{} {}", check.message, check.remedy));
        }
        let ready = conditions::find(&status.conditions, "Ready");
        if let Some(ready) = ready.filter(|ready| ready.status != "True" && worth_a_row(&ready.reason)) {
            add(&ready.reason, standing.name, &ready.message);
        }
    }
    let mut rows: Vec<Issue> = rows.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    rows.truncate(20);
    rows
}

/// Reasons of machines on their ordinary way are no issues, and checks have rows of their own.
fn worth_a_row(reason: &str) -> bool {
    !matches!(
        reason,
        "WaitingForJob"
            | "WaitingForSynchronisation"
            | "WaitingForSettling"
            | "WaitingForSoak"
            | "WaitingForChecks"
            | "Calling"
            | "Recording"
    )
}

fn drafts(
    input: &PlanInput<'_>,
    standings: &[Standing<'_>],
    ceiling: &Ceiling,
    counts: &Summary,
    issues: &[Issue],
    completed: bool,
) -> Vec<Draft> {
    let mut drafts = readiness(input, standings, ceiling, counts, issues, completed);
    for (kind, done) in [
        ("PreflightPassed", "All checks that gate each machine's next step passed."),
        ("Reprotected", "All machines replicate to VMware, or are home."),
        ("FailedBack", "All machines run at home."),
        ("Verified", "All machines are verified at home."),
        ("Committed", "All machines are committed; no copy is left in Azure."),
        ("Protected", "All machines run at home and replicate to Azure."),
    ] {
        drafts.push(of_all(kind, done, standings));
    }
    drafts.push(match unapproved(input, lowest(standings)) {
        Some((_, message)) => Draft::new("Approved", false, "ApprovalRequired", message),
        None => Draft::new("Approved", true, "NothingToApprove", "No step up to the desired phase lacks an approval."),
    });
    drafts.push(if input.spec.suspend {
        Draft::new("Suspended", true, "Requested", "spec.suspend is true; nothing new starts.")
    } else {
        Draft::new("Suspended", false, "NotRequested", "The plan is not suspended.")
    });
    drafts
}

fn readiness(
    input: &PlanInput<'_>,
    standings: &[Standing<'_>],
    ceiling: &Ceiling,
    counts: &Summary,
    issues: &[Issue],
    completed: bool,
) -> Vec<Draft> {
    let desired = input.spec.desired_phase.as_str();
    if input.deleting && may_go(input, standings) {
        return summary(false, true, false, "Released", "The plan goes; its machines stay where they are.");
    }
    if input.deleting {
        let blocking = blocking_deletion(input, standings);
        if super::plan::ceiling(input, DesiredPhase::FailedBack).up_to >= DesiredPhase::Committed {
            let message =
                format!("The plan is being deleted, and goes once these are committed: {}.", blocking.join(", "));
            return summary(false, true, false, "CommitApproved", &message);
        }
        let message = format!(
            "The plan is being deleted, and waits for {}: each was failed back and is not committed. Commit with a FailbackApproval of step Commit, or let it go as it is with the annotation failback.dev/abandon: {}.",
            blocking.join(", "),
            input.uid
        );
        return summary(false, false, true, "DeletionBlocked", &message);
    }
    if completed {
        return summary(true, false, false, "Completed", "The plan is complete. A second failback is a new plan.");
    }
    if standings.is_empty() {
        return summary(false, false, true, "NoItems", "The plan has no machines left: all of them are in spec.skip.");
    }
    if counts.reached == counts.total {
        let message = format!("All {} machine(s) are {desired}.", counts.total);
        return summary(true, false, false, "PhaseReached", &message);
    }
    let stalled = standings.iter().find(|standing| standing.stalled);
    if let Some(stalled) = stalled {
        let why = stalled
            .status
            .and_then(|status| conditions::find(&status.conditions, "Stalled"))
            .map_or_else(String::new, |condition| format!("{}: {}", condition.reason, condition.message));
        let message = format!("{} of {} need a person. {}: {why}", counts.stalled, counts.total, stalled.name);
        return summary(false, false, counts.moving == 0, "ItemStalled", &message);
    }
    if !ceiling.held_by.is_empty() && counts.moving == 0 {
        return summary(false, false, false, ceiling.held_by, &ceiling.message);
    }
    let missing = issues.iter().find(|issue| issue.reason == "ItemNotFound" || issue.reason == "ItemClaimed");
    if let Some(issue) = missing.filter(|_| counts.moving == 0) {
        let reason = if issue.reason == "ItemNotFound" { "ItemNotFound" } else { "ItemClaimed" };
        return summary(false, false, false, reason, &format!("{} ({})", issue.message, issue.items.join(", ")));
    }
    let waiting = standings.iter().find_map(|standing| {
        let ready = conditions::find(&standing.status?.conditions, "Ready").filter(|ready| ready.status != "True")?;
        Some(format!(" {}: {}", standing.name, ready.message))
    });
    let message =
        format!("{} of {} machine(s) are {desired}.{}", counts.reached, counts.total, waiting.unwrap_or_default());
    summary(false, true, false, "Progressing", &message)
}

/// True when it is True of every machine; False names how many are missing.
fn of_all(kind: &'static str, done: &str, standings: &[Standing<'_>]) -> Draft {
    let is =
        |standing: &&Standing<'_>| standing.status.is_some_and(|status| conditions::is_true(&status.conditions, kind));
    let there = standings.iter().filter(is).count();
    if standings.is_empty() {
        return Draft::new(kind, Truth::Unknown, "NoItems", "The plan has no machines.");
    }
    if there == standings.len() {
        return Draft::new(kind, true, "AllItems", done);
    }
    let seen = standings.iter().any(|s| s.status.is_some_and(|status| !status.conditions.is_empty()));
    if !seen {
        return Draft::new(kind, Truth::Unknown, "NotObserved", "No machine of the plan has been observed yet.");
    }
    Draft::new(kind, false, "SomeItems", format!("{there} of {} machine(s).", standings.len()))
}
