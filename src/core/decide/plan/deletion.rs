//! When a plan that is being deleted may go, and what it waits for until then.

use super::{
    PlanInput, cancel,
    gates::{self, ceiling},
    status::{hold, of_hook},
    waves::Standing,
};
use crate::{
    api::{Cancelled, DeletionPolicy, DesiredPhase, ItemPhase, OperationOutcome, ReplicatedItemStatus},
    core::{
        action::Verb,
        conditions::{self, Draft, summary},
        found::STATUS_LOST,
        journal,
        text::cut,
    },
};

/// Whether a deleted plan may go: nothing that it began is between the failback and its commit.
pub(super) fn may_go(input: &PlanInput<'_>, standings: &[Standing<'_>]) -> bool {
    input.spec.deletion_policy == DeletionPolicy::Abandon
        || input.abandon == Some(input.uid)
        || !standings.iter().any(|standing| is_half_way(input.uid, standing))
}

/// Whether it is failing back, or failed back and not committed, under this plan; or its failback was undone, and it is
/// not seen running in Azure again.
fn is_half_way(uid: &str, standing: &Standing<'_>) -> bool {
    let is_between = |status: &ReplicatedItemStatus| {
        matches!(
            status.phase,
            ItemPhase::FailingBack | ItemPhase::FailedBack | ItemPhase::Committing | ItemPhase::Cancelling
        )
    };
    standing.ours.is_some() && standing.status.is_some_and(|status| is_between(status) || runs_nowhere(uid, status))
}

/// Whether this plan undid its failback, and it was seen since that it does not run in Azure again.
fn runs_nowhere(uid: &str, status: &ReplicatedItemStatus) -> bool {
    let undone = status
        .operation
        .as_ref()
        .is_some_and(|last| journal::ended_as(last, Verb::Cancel, OperationOutcome::Succeeded) && last.plan_uid == uid);
    let source = conditions::find(&status.conditions, "SourceStopped");
    let back = matches!(status.phase, ItemPhase::Reprotected | ItemPhase::Reprotecting);
    undone && back && source.is_some_and(|source| source.status != "Unknown" && source.reason != "RunsInAzure")
}

/// What a plan that is being deleted waits for.
pub(super) fn readiness(input: &PlanInput<'_>, standings: &[Standing<'_>], cancelled: &[Cancelled]) -> Vec<Draft> {
    if may_go(input, standings) {
        return summary(false, true, false, "Released", "The plan goes; its machines stay where they are.");
    }
    let halfway = standings.iter().filter(|standing| is_half_way(input.uid, standing));
    let (undone, commits): (Vec<_>, Vec<_>) = halfway.partition(|standing| {
        let nowhere = standing.status.is_some_and(|status| runs_nowhere(input.uid, status));
        nowhere || cancel::why(input, cancelled, standing.name).is_some()
    });
    if commits.is_empty() {
        return undoing(input, &undone);
    }
    // Their number alone: the message has room for the names of one kind.
    let goes_back = match undone.len() {
        0 => String::new(),
        more => format!(" Of {more} more the failback is undone."),
    };
    let mut drafts = committing(input, standings, &commits);
    drafts.iter_mut().for_each(|draft| draft.message.push_str(&goes_back));
    drafts
}

/// What a plan waits for of which every machine that is half-way goes back to Azure.
fn undoing(input: &PlanInput<'_>, undone: &[&Standing<'_>]) -> Vec<Draft> {
    let (spec, names, abandon) = (input.spec, some_of(undone), abandon(input));
    let closed = [(spec.suspend, "set spec.suspend to false"), (spec.dry_run, "set spec.dryRun to false")]
        .map(|(is, remedy)| is.then_some(remedy));
    let closed: Vec<&str> = closed.into_iter().flatten().collect();
    let keep = "To keep them at home, take them out of spec.cancel, or change spec.retryToken where probes had failed: then their commit can be approved.";
    let stalled = stalled(undone);
    match (closed.as_slice(), stalled) {
        ([], None) => {
            let message =
                format!("The plan is being deleted, and goes once the failback of these is undone: {names}. {keep}");
            summary(false, true, false, "Cancelling", &message)
        }
        (closed, stalled) => {
            let lacks = stalled.unwrap_or_else(|| format!("To undo it, {}.", and(closed)));
            let message = format!(
                "The plan is being deleted, and waits for {names}, whose failback is to be undone. {keep} Or let the plan go as it is with {abandon}. {lacks}"
            );
            summary(false, false, true, "DeletionBlocked", &message)
        }
    }
}

/// What one of these machines needs a person for, in its own words.
fn stalled(machines: &[&Standing<'_>]) -> Option<String> {
    machines.iter().find_map(|standing| {
        let shown = conditions::find(&standing.status?.conditions, "Stalled").filter(|shown| shown.status == "True")?;
        Some(cut(&format!("{}: {}", standing.name, shown.message), 400))
    })
}

fn abandon(input: &PlanInput<'_>) -> String {
    format!("kubectl failback abandon {} (the annotation failback.dev/abandon: {})", input.name, input.uid)
}

/// What a plan waits for of which machines are to be committed.
fn committing(input: &PlanInput<'_>, standings: &[Standing<'_>], halfway: &[&Standing<'_>]) -> Vec<Draft> {
    let blocking = some_of(halfway);
    if let Some((reason, message)) = standings.iter().filter_map(hold).find(|(reason, _)| *reason == STATUS_LOST) {
        return summary(false, false, true, reason, &message);
    }
    let (closed, abandon) = (gates::closed_to_commit(input), abandon(input));
    if let Some((reason, message)) = halfway.iter().copied().filter_map(hold).find(|(reason, _)| of_hook(reason)) {
        let also = and(&[&closed[..], &["approve the commit of the changed plan"]].concat());
        let message = format!(
            "The plan is being deleted, and waits for {blocking}. {message} Take the hook out of spec.hooks (one that holds before a step takes the verb waive on failbackplans), {also}, or let the plan go as it is with {abandon}."
        );
        return summary(false, false, true, reason, &message);
    }
    if let Some(stalled) = stalled(halfway) {
        let message = format!(
            "The plan is being deleted, and waits for {blocking}. To undo a failback, name its machine in spec.cancel; or let the plan go as it is with {abandon}. {stalled}"
        );
        return summary(false, false, true, "DeletionBlocked", &message);
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
        "The plan is being deleted, and waits for {blocking}: each was failed back and is not committed. To commit, {}; to undo the failback, name it in spec.cancel; or let it go as it is with {abandon}.",
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
fn some_of(machines: &[&Standing<'_>]) -> String {
    const MOST: usize = 20;
    const MOST_BYTES: usize = 900;
    let mut left = MOST_BYTES;
    let fits = |name: &&str| left.checked_sub(name.len() + 2).map(|rest| left = rest).is_some();
    let names = machines.iter().map(|machine| machine.name);
    let first: Vec<&str> = names.take(MOST).take_while(fits).collect();
    let (first, more) = (first.join(", "), machines.len() - first.len());
    if more == 0 { first } else { format!("{first}, and {more} more") }
}
