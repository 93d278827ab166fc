//! Failbacks that are to be undone, or not to be made: because a person asks for that, because probes failed, or because
//! they were undone and nobody has said since to try again.

use super::{journal, schedule::load::phase_reached};
use crate::api::{Cancelled, DesiredPhase, FailbackPlanSpec, ItemPhase, ReplicatedItemStatus};

/// What is said of a failback that was undone on request, once the request is taken back.
const NOT_AGAIN: &str = "it was undone, and spec.retryToken is the one of that failback.";

/// What a plan says of failbacks to undo.
#[derive(Clone, Copy, Debug)]
pub struct Undo<'a> {
    /// UID of the plan.
    pub uid: &'a str,
    /// What is declared.
    pub spec: &'a FailbackPlanSpec,
    /// The failbacks that it undid because probes failed.
    pub cancelled: &'a [Cancelled],
}

impl<'a> Undo<'a> {
    /// Why the failback of a machine is to be undone, or not to be made. What is committed cannot be undone.
    pub fn why(&self, item: &str, status: Option<&ReplicatedItemStatus>) -> Option<&'a str> {
        let reached = status.map(phase_reached);
        if reached.is_some_and(|reached| reached > DesiredPhase::FailedBack) {
            return None;
        }
        let token = &self.spec.retry_token;
        let failed = || self.cancelled.iter().find(|row| row.item == item && row.retry_token == *token);
        // One that others failed back since is not ours to undo, whether that came to its end or not.
        let stays = || {
            let undone = |status: &ReplicatedItemStatus| {
                journal::was_undone(status, self.uid, token) && status.phase != ItemPhase::FailedBack
            };
            status.is_some_and(undone) && reached == Some(DesiredPhase::Reprotected)
        };
        asked(self.spec, item)
            .or_else(|| failed().map(|row| row.reason.as_str()))
            .or_else(|| stays().then_some(NOT_AGAIN))
    }
}

/// Why a person wants the failback of a machine undone, or not made.
pub fn asked<'a>(spec: &'a FailbackPlanSpec, item: &str) -> Option<&'a str> {
    let ask = spec.cancel.iter().find(|ask| ask.items.is_empty() || ask.items.iter().any(|name| name == item))?;
    Some(&ask.reason)
}
