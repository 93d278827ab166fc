//! Machines that the plan finds where no record says that it brought them, and a person's word that they may go on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

use super::{
    PlanInput,
    gates::{Ceiling, consent_to},
    waves::Standing,
};
use crate::{
    api::{ApprovalStep, FailbackApprovalSpec, Found, ReplicatedItemStatus},
    core::found::{STATUS_LOST, step_in_doubt},
};

/// What is noted of a machine: kept from when it was noticed first, with an approval where there is one by now.
pub(super) fn found(input: &PlanInput<'_>, machine: &Standing<'_>) -> Option<Found> {
    let before = machine.ours.and_then(|ours| ours.found.clone());
    let mut found = if machine.unclear {
        // What cannot be told now was not explained.
        before?
    } else {
        let status = machine.status?;
        let step = step_in_doubt(status, status.unexplained.as_deref(), input.uid, machine.reached)?;
        before.filter(|found| found.step == step).unwrap_or_else(|| noticed(input, step))
    };
    found.consent = consent(input, &found);
    Some(found)
}

fn noticed(input: &PlanInput<'_>, step: ApprovalStep) -> Found {
    let stand = |approval: &&FailbackApprovalSpec| {
        approval.step == step && approval.plan_uid == input.uid && approval.expires_at.0 > input.now
    };
    Found {
        step,
        at: Time(input.now),
        retry_token: input.spec.retry_token.clone(),
        approvals: input.approvals.iter().filter(stand).map(digest).take(Found::MOST_APPROVALS).collect(),
        consent: None,
    }
}

/// A person's word: a retry token that is not the one of that moment, or enough approvals that did not stand then.
pub(super) fn consent(input: &PlanInput<'_>, found: &Found) -> Option<String> {
    if input.spec.retry_token != found.retry_token {
        return Some(format!("spec.retryToken \"{}\"", input.spec.retry_token));
    }
    if found.approvals.len() >= Found::MOST_APPROVALS {
        return None;
    }
    let consent = consent_to(input, found.step, |approval| !found.approvals.contains(&digest(approval)));
    let names = || consent.by.iter().copied().collect::<Vec<_>>().join(", ");
    consent.is_enough().then(|| format!("approval of {} by {}", found.step.as_str(), names()))
}

/// The hold of a machine for which nobody gave their word.
pub(super) fn hold(input: &PlanInput<'_>, machine: &Standing<'_>, found: &Found) -> Ceiling {
    Ceiling::new(machine.reached, STATUS_LOST, sentence(input, machine.name, machine.status, found))
}

/// What was found, since when, and both remedies.
pub(super) fn sentence(
    input: &PlanInput<'_>,
    item: &str,
    status: Option<&ReplicatedItemStatus>,
    found: &Found,
) -> String {
    let (plan, at, step) = (input.name, found.at.0, found.step.as_str());
    let shown = status.and_then(|status| status.unexplained.as_deref());
    let azure = shown.map_or_else(String::new, |what| format!(" Azure shows {what}."));
    let (what, then) = match found.step {
        ApprovalStep::Commit => (
            "failed back, and no record says that this plan did that, or what was done since",
            "the commit, which deletes the machine in Azure,",
        ),
        ApprovalStep::Reprotect | ApprovalStep::FailBack | ApprovalStep::Protect => (
            "in Azure after a failback of which this plan has no record",
            "another failback, which stops the machine in Azure,",
        ),
    };
    let undo = match found.step {
        ApprovalStep::Commit => "; to undo its failback, in spec.cancel",
        ApprovalStep::Reprotect | ApprovalStep::FailBack | ApprovalStep::Protect => "",
    };
    format!(
        "\"{item}\" was found {what}, noticed at {at:.0}: its status was lost, or somebody else did it.{azure} Nothing is repeated, and {then} needs explicit approval. What to do: (1) See which copy runs, and which has the newer data. (2) To go on, run: kubectl failback approve {plan} --step {step}, or kubectl failback retry {plan}; either is for all machines of the plan. (3) To leave this one as it is, name it in spec.skip{undo}."
    )
}

/// Which approval it is. None can be changed, so that what it says tells; the same text, applied again, is no new word.
pub fn digest(approval: &FailbackApprovalSpec) -> String {
    let text = serde_json::to_string(approval).unwrap_or_default();
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
