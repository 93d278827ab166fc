//! When a plan that is being deleted may go, and what it waits for until then.

use super::{
    PlanInput,
    gates::{self, ceiling},
    status::{hold, of_hook},
    waves::Standing,
};
use crate::{
    api::{DeletionPolicy, DesiredPhase, ItemPhase},
    core::{
        conditions::{Draft, summary},
        found::STATUS_LOST,
    },
};

/// Whether a deleted plan may go: nothing that it began is between the failback and its commit.
pub(super) fn may_go(input: &PlanInput<'_>, standings: &[Standing<'_>]) -> bool {
    input.spec.deletion_policy == DeletionPolicy::Abandon
        || input.abandon == Some(input.uid)
        || blocking(standings).is_empty()
}

/// Machines that keep a deleted plan: failing back, or failed back and not committed, under this plan.
fn blocking<'a>(standings: &[Standing<'a>]) -> Vec<&'a str> {
    standings.iter().filter(|standing| is_half_way(standing)).map(|standing| standing.name).collect()
}

/// Whether it is failing back, or failed back and not committed, under this plan.
fn is_half_way(standing: &Standing<'_>) -> bool {
    standing.ours.is_some()
        && standing.status.is_some_and(|status| {
            matches!(
                status.phase,
                ItemPhase::FailingBack | ItemPhase::FailedBack | ItemPhase::Committing | ItemPhase::Cancelling
            )
        })
}

/// What a plan that is being deleted waits for.
pub(super) fn readiness(input: &PlanInput<'_>, standings: &[Standing<'_>]) -> Vec<Draft> {
    if may_go(input, standings) {
        return summary(false, true, false, "Released", "The plan goes; its machines stay where they are.");
    }
    let blocking = some_of(&blocking(standings));
    if let Some((reason, message)) = standings.iter().filter_map(hold).find(|(reason, _)| *reason == STATUS_LOST) {
        return summary(false, false, true, reason, &message);
    }
    let halfway = standings.iter().filter(|standing| is_half_way(standing));
    let closed = gates::closed_to_commit(input);
    let abandon =
        format!("kubectl failback abandon {} (the annotation failback.dev/abandon: {})", input.name, input.uid);
    if let Some((reason, message)) = halfway.filter_map(hold).find(|(reason, _)| of_hook(reason)) {
        let also = and(&[&closed[..], &["approve the commit of the changed plan"]].concat());
        let message = format!(
            "The plan is being deleted, and waits for {blocking}. {message} Take the hook out of spec.hooks (one that holds before a step takes the verb waive on failbackplans), {also}, or let the plan go as it is with {abandon}."
        );
        return summary(false, false, true, reason, &message);
    }
    let gate = ceiling(input, DesiredPhase::FailedBack);
    if gate.held_by == "WindowClosed" {
        let message = format!(
            "The plan is being deleted, and goes once these are committed: {blocking}. {} Or let it go as it is with {abandon}.",
            gate.message
        );
        return summary(false, false, gate.message == gates::PAST, "WindowClosed", &message);
    }
    if gate.up_to >= DesiredPhase::Committed {
        let message = format!("The plan is being deleted, and goes once these are committed: {blocking}.");
        return summary(false, true, false, "CommitApproved", &message);
    }
    let run = format!("run kubectl failback approve {} --step Commit", input.name);
    let approve = gates::lacking_for_commit(input).map(|(given, wanted)| match wanted {
        1 => run,
        _ => format!("{run} ({given} of {wanted} given)"),
    });
    let message = format!(
        "The plan is being deleted, and waits for {blocking}: each was failed back and is not committed. To commit, {}; or let it go as it is with {abandon}.",
        and(&closed.into_iter().chain(approve.as_deref()).collect::<Vec<_>>())
    );
    summary(false, false, true, "DeletionBlocked", &message)
}

/// `this`, `this and that`, `this, that and another`.
fn and(all: &[&str]) -> String {
    match all.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

/// The first few names: a status has room for no list of all machines.
fn some_of(names: &[&str]) -> String {
    const MOST: usize = 20;
    const MOST_BYTES: usize = 900;
    let mut left = MOST_BYTES;
    let fits = |name: &&&str| left.checked_sub(name.len() + 2).map(|rest| left = rest).is_some();
    let first: Vec<&str> = names.iter().take(MOST).take_while(fits).copied().collect();
    let (first, more) = (first.join(", "), names.len() - first.len());
    if more == 0 { first } else { format!("{first}, and {more} more") }
}
