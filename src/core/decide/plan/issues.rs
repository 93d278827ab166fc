//! What stands in the way of a plan's machines, aggregated: a row per check or reason, never one per machine.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    PlanInput, cancel,
    waves::{Resolved, Standing},
};
use crate::{
    api::{Cancelled, CheckResult, CheckStatus, Issue},
    core::{conditions, nearest::did_you_mean, preview::Overrun, text::cut},
};

const MOST_ROWS: usize = 20;
const MOST_NAMES: usize = 5;
/// Bytes of the names of a row together, where there is more than one.
const MOST_OF_NAMES: usize = 256;
/// Bytes of a message.
const MOST_TEXT: usize = 240;
/// Bytes of a reason: a check may be another release's.
const MOST_OF_REASON: usize = 64;

/// Rows under construction, by reason.
#[derive(Default)]
struct Rows(BTreeMap<String, Issue>);

impl Rows {
    fn add(&mut self, reason: &str, item: &str, message: &str) {
        let row = self.0.entry(cut(reason, MOST_OF_REASON)).or_insert_with_key(|reason| Issue {
            reason: reason.clone(),
            count: 0,
            items: Vec::new(),
            message: cut(message, MOST_TEXT),
        });
        row.count += 1;
        let taken: usize = row.items.iter().map(String::len).sum();
        if row.items.is_empty() || row.items.len() < MOST_NAMES && taken + item.len() <= MOST_OF_NAMES {
            row.items.push(item.to_owned());
        }
    }
}

/// A row of several machines at once.
fn of_names<'n>(reason: &str, names: impl IntoIterator<Item = &'n str>, message: &str) -> Option<Issue> {
    let mut rows = Rows::default();
    names.into_iter().for_each(|name| rows.add(reason, name, message));
    rows.0.into_values().next()
}

/// What stands in the way of machines that are not where the plan wants them, most frequent first.
pub(super) fn issues(
    input: &PlanInput<'_>,
    waves: &[Resolved<'_>],
    standings: &[Standing<'_>],
    cancelled: &[Cancelled],
    overrun: Option<&Overrun>,
) -> Vec<Issue> {
    let mut rows = Rows::default();
    for standing in standings {
        let Some(status) = standing.status else {
            let message = format!("There is no ReplicatedItem \"{}\" in this namespace.", standing.name);
            rows.add("ItemNotFound", standing.name, &message);
            continue;
        };
        if let Some(plan) = standing.claimed_by {
            let message = format!("Plan \"{plan}\" has claimed it; this plan waits for that one to end.");
            rows.add("ItemClaimed", standing.name, &message);
            continue;
        }
        for check in status.checks.iter().filter(|check| stands_in_the_way(check)) {
            rows.add(&check.name, standing.name, &format!("{} {}", check.message, check.remedy));
        }
        let ready = conditions::find(&status.conditions, "Ready");
        if let Some(ready) = ready.filter(|ready| ready.status != "True" && worth_a_row(&ready.reason)) {
            rows.add(&ready.reason, standing.name, &ready.message);
        }
        if standing.claim.as_ref().is_some_and(|claim| claim.held_by == "Quarantined") {
            let message = format!(
                "It failed, and is set aside. Fix the cause, then run: kubectl failback retry {} (with GitOps: set spec.retryToken to any new text).",
                input.name
            );
            rows.add("Quarantined", standing.name, &message);
        }
    }
    let mut rows: Vec<Issue> = rows
        .0
        .into_values()
        .chain(overrun.and_then(too_short))
        .chain(empty(input, waves))
        .chain(not_in_plan(input, waves))
        .chain(of_names("CancelsFull", cancel::beyond(input, waves, cancelled), CANCELS_FULL))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    rows.truncate(MOST_ROWS);
    rows
}

/// What is said of failbacks that are to be undone, and are not.
const CANCELS_FULL: &str = "Its probes fail, and the plan has no room to remember another failback that it undid: it stays failed back. Name it in spec.cancel to undo that.";

/// A warning when the window closes before all that it is for was called.
fn too_short(overrun: &Overrun) -> Option<Issue> {
    of_names("WindowTooShort", overrun.items.iter().map(String::as_str), &overrun.message)
}

/// Waves that no machine is in: nothing happens in them, and waves that depend on them do not wait.
fn empty(input: &PlanInput<'_>, waves: &[Resolved<'_>]) -> Option<Issue> {
    let empty: Vec<_> = waves.iter().filter(|wave| wave.machines.is_empty()).collect();
    let first = empty.first()?;
    let why = match &first.found {
        Some(found) if found.is_empty() && first.wave.items.is_empty() => match input.status.started_at {
            None => {
                "no ReplicatedItem of this namespace has the labels of its selector. Label them before the plan starts"
            }
            Some(_) => "none had the labels of its selector when the plan started. Bring them home with another plan",
        },
        Some(_) | None => {
            "all that it names or finds are in spec.skip or in an earlier wave. Take it out of the plan if that is meant"
        }
    };
    Some(Issue {
        reason: "WaveEmpty".to_owned(),
        count: i32::try_from(empty.len()).unwrap_or(i32::MAX),
        items: Vec::new(),
        message: cut(&format!("Wave \"{}\" has no machine: {why}.{}", first.wave.name, and_more(empty.len())), 400),
    })
}

/// Names that a person wrote beside the waves, and that mean no machine of the plan: what was asked for does not happen.
fn not_in_plan(input: &PlanInput<'_>, waves: &[Resolved<'_>]) -> Option<Issue> {
    let spec = input.spec;
    let members: BTreeSet<&str> = waves
        .iter()
        .flat_map(|wave| wave.wave.items.iter().map(String::as_str).chain(wave.found.iter().flatten().copied()))
        .collect();
    let skip = spec.skip.iter().map(|name| ("spec.skip", name));
    let waived = spec.waivers.iter().flat_map(|waiver| &waiver.items).map(|name| ("spec.waivers[].items", name));
    let cancelled = spec.cancel.iter().flat_map(|ask| &ask.items).map(|name| ("spec.cancel[].items", name));
    let hooked = spec.hooks.iter().flat_map(|hook| &hook.items).map(|name| ("spec.hooks[].items", name));
    let named = skip.chain(waived).chain(cancelled).chain(hooked);
    let strange: Vec<_> = named.filter(|(_, name)| !members.contains(name.as_str())).collect();
    let (field, name) = strange.first()?;
    let meant = did_you_mean(name, members.iter().copied());
    let message = format!("{field}: \"{name}\" is in no wave of the plan.{meant}{}", and_more(strange.len()));
    let names = strange.iter().map(|(_, name)| name.as_str());
    of_names("NotInPlan", names, &message)
}

fn and_more(count: usize) -> String {
    if count > 1 { format!(" And {} more.", count - 1) } else { String::new() }
}

/// A check that gates a step, has not passed, and is not waived.
fn stands_in_the_way(check: &CheckStatus) -> bool {
    check.result != CheckResult::Passed && check.waived.is_none() && !check.gates.is_empty()
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
            | "NotVerified"
            | "StepEnding"
            | "HookRunning"
            | "Calling"
            | "Recording"
    )
}
