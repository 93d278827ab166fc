//! Failbacks that are to be undone: because a person asks for it, or because probes fail and the plan says so.

use super::{
    PlanInput, found,
    waves::{Resolved, Standing},
};
use crate::{
    api::{Cancelled, DesiredPhase, ItemPhase, OnProbeFailure},
    core::{conditions, text::cut, undo::Undo},
};

/// So many are remembered, in so many bytes of the status; a machine beyond that stays where it is, and is told of.
const MOST: usize = 32;
const MOST_BYTES: usize = 5 * 1024;

/// Why the failback of a machine is to be undone, or not to be made.
pub(super) fn why<'a>(input: &PlanInput<'a>, cancelled: &'a [Cancelled], item: &str) -> Option<&'a str> {
    Undo { uid: input.uid, spec: input.spec, cancelled }.why(item, input.items.get(item))
}

/// The failbacks undone because of probes: those remembered, as long as the retry token stays, and those that fail now.
pub(super) fn remembered(input: &PlanInput<'_>, waves: &[Resolved<'_>]) -> Vec<Cancelled> {
    let token = &input.spec.retry_token;
    let mut rows: Vec<Cancelled> =
        input.status.cancelled.iter().filter(|row| row.retry_token == *token).cloned().collect();
    let mut room = MOST_BYTES.saturating_sub(rows.iter().map(size).sum());
    for machine in waves.iter().flat_map(|wave| &wave.machines) {
        let Some(reason) = fails(input, machine) else { continue };
        let row = Cancelled { item: machine.name.to_owned(), retry_token: token.clone(), reason };
        if rows.len() < MOST && size(&row) <= room && rows.iter().all(|known| known.item != row.item) {
            room -= size(&row);
            rows.push(row);
        }
    }
    rows
}

/// Whether a machine has a failback to undo: one that it ended, or one that did not complete.
pub(super) fn can_be_undone(machine: &Standing<'_>) -> bool {
    let halfway = || machine.status.is_some_and(|status| status.phase == ItemPhase::FailedBack);
    machine.reached == DesiredPhase::FailedBack || machine.reached < DesiredPhase::FailedBack && halfway()
}

/// Machines whose failback would be undone as well, were there room to remember it.
pub(super) fn beyond<'a>(input: &PlanInput<'a>, waves: &[Resolved<'a>], cancelled: &[Cancelled]) -> Vec<&'a str> {
    let machines = waves.iter().flat_map(|wave| &wave.machines);
    let left =
        machines.filter(|machine| why(input, cancelled, machine.name).is_none() && fails(input, machine).is_some());
    left.map(|machine| machine.name).collect()
}

fn size(row: &Cancelled) -> usize {
    serde_json::to_string(row).map_or(MOST_BYTES, |text| text.len() + 1)
}

/// Why the failback of a machine is to be undone by itself: its probes fail, and the plan says so. `ProbesFailed` is the
/// machine's word only once as many looks in a row failed as the probe's failureThreshold says. A plan that is being deleted
/// begins nothing by itself, and undoes only what a person names.
fn fails(input: &PlanInput<'_>, machine: &Standing<'_>) -> Option<String> {
    if input.spec.commit.on_probe_failure == OnProbeFailure::Hold || input.deleting {
        return None;
    }
    let status = machine.status.filter(|_| machine.ours.is_some())?;
    let verified = conditions::find(&status.conditions, "Verified");
    let failed = verified.filter(|verified| verified.status == "False" && verified.reason == "ProbesFailed")?;
    let can_be_undone =
        machine.reached == DesiredPhase::FailedBack && status.generation.as_deref() == Some("Modernized");
    // Undoing what others did may cost more than it saves: that is a person's decision, as its commit is.
    let adopted = found::found(input, machine).is_none_or(|found| found.consent.is_some());
    (can_be_undone && adopted).then(|| cut(&format!("ProbesFailed: {}", failed.message), 100))
}
