//! Failbacks that are to be undone: because a person asks for it, or because probes fail and the plan says so.

use super::{PlanInput, found, waves::Resolved};
use crate::{
    api::{Cancelled, DesiredPhase, OnProbeFailure},
    core::conditions,
};

/// So many are remembered; beyond that a machine whose probes fail stays where it is.
const MOST: usize = 32;

/// Why the failback of a machine is to be undone, or not to be made.
pub(super) fn why<'a>(input: &PlanInput<'a>, cancelled: &'a [Cancelled], item: &str) -> Option<&'a str> {
    let asked = input.spec.cancel.iter().find(|ask| ask.items.is_empty() || ask.items.iter().any(|name| name == item));
    let undone = || cancelled.iter().find(|row| row.item == item && row.retry_token == input.spec.retry_token);
    asked.map(|ask| ask.reason.as_str()).or_else(|| undone().map(|row| row.reason.as_str()))
}

/// The failbacks undone because of probes: those remembered, as long as the retry token stays, and those that fail now.
/// `ProbesFailed` is the machine's word only once as many looks in a row failed as the probe's failureThreshold says.
pub(super) fn remembered(input: &PlanInput<'_>, waves: &[Resolved<'_>]) -> Vec<Cancelled> {
    let token = &input.spec.retry_token;
    let mut rows: Vec<Cancelled> =
        input.status.cancelled.iter().filter(|row| row.retry_token == *token).cloned().collect();
    if input.spec.commit.on_probe_failure == OnProbeFailure::Hold {
        return rows;
    }
    for machine in waves.iter().flat_map(|wave| &wave.machines) {
        let Some(status) = machine.status.filter(|_| machine.ours.is_some()) else { continue };
        let verified = conditions::find(&status.conditions, "Verified");
        let failed = verified.filter(|verified| verified.status == "False" && verified.reason == "ProbesFailed");
        let can_be_undone =
            machine.reached == DesiredPhase::FailedBack && status.generation.as_deref() == Some("Modernized");
        // Undoing what others did may cost more than it saves: that is a person's decision, as its commit is.
        let adopted = found::found(input, machine).is_none_or(|found| found.consent.is_some());
        if let Some(failed) = failed
            && can_be_undone
            && adopted
            && rows.len() < MOST
            && rows.iter().all(|row| row.item != machine.name)
        {
            let reason = format!("ProbesFailed: {}", failed.message).chars().take(200).collect();
            rows.push(Cancelled { item: machine.name.to_owned(), retry_token: token.clone(), reason });
        }
    }
    rows
}
