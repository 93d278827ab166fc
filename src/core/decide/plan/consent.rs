//! The plan's word, asked once more right before a call.

use super::{PlanInput, cancel, found, gates::ceiling, names_item};
use crate::{api::ApprovalStep, core::action::Verb};

/// Whether a plan, read again right before a call, still wants a step of a machine.
///
/// # Errors
/// A sentence that says why not.
pub fn may_still(input: &PlanInput<'_>, item: &str, verb: Verb) -> Result<(), String> {
    let spec = input.spec;
    // What is half-way is ended, or undone, as a person asks.
    if input.deleting && !matches!(verb, Verb::Commit | Verb::Cancel) {
        return Err("The plan is being deleted.".to_owned());
    }
    if spec.suspend {
        return Err("The plan is suspended.".to_owned());
    }
    if spec.dry_run {
        return Err("The plan is a dry run.".to_owned());
    }
    if spec.skip.iter().any(|name| name == item) {
        return Err("The plan skips this machine.".to_owned());
    }
    if !names_item(spec, input.status, item) {
        return Err("The plan does not name this machine.".to_owned());
    }
    let undo = cancel::why(input, &input.status.cancelled, item);
    match verb {
        Verb::Cancel if undo.is_none() => Err("The plan does not ask for this failback to be undone.".to_owned()),
        Verb::Cancel => Ok(()),
        Verb::FailBack | Verb::Commit if undo.is_some() => {
            Err("The plan asks for this failback to be undone.".to_owned())
        }
        Verb::Reprotect | Verb::FailBack | Verb::Commit | Verb::Protect if spec.desired_phase < verb.leads_to() => {
            Err(format!("The plan wants {} only.", spec.desired_phase.as_str()))
        }
        Verb::Reprotect | Verb::FailBack | Verb::Commit | Verb::Protect => Ok(()),
    }
}

/// Whether a plan, read again with its approvals right before a call, still lets a machine take a step. The machine's
/// own status is among `items`.
///
/// # Errors
/// A sentence that says why not.
pub fn permits(input: &PlanInput<'_>, item: &str, verb: Verb) -> Result<(), String> {
    may_still(input, item, verb)?;
    // Undoing what is not final needs no gate beside being asked for.
    let Some((before, after)) = verb.step().map(ApprovalStep::ends) else { return Ok(()) };
    let gate = ceiling(input, before);
    if gate.up_to < after {
        return Err(gate.message);
    }
    let status = input.items.get(item);
    let doubt = status.and_then(|status| status.claim.as_ref()?.found.as_ref());
    match doubt.filter(|found| found.step.as_str() == verb.as_str()) {
        Some(doubt) if found::consent(input, doubt).is_none() => Err(found::sentence(input, item, status, doubt)),
        Some(_) | None => Ok(()),
    }
}
