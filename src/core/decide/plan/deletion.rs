//! When a plan that is being deleted may go.

use super::{PlanInput, waves::Standing};
use crate::api::{DeletionPolicy, ItemPhase};

/// Whether a deleted plan may go: nothing that it began is between the failback and its commit.
pub(super) fn may_go(input: &PlanInput<'_>, standings: &[Standing<'_>]) -> bool {
    input.spec.deletion_policy == DeletionPolicy::Abandon
        || input.abandon == Some(input.uid)
        || blocking(standings).is_empty()
}

/// Machines that keep a deleted plan: failing back, or failed back and not committed, under this plan.
pub(super) fn blocking<'a>(standings: &[Standing<'a>]) -> Vec<&'a str> {
    standings.iter().filter(|standing| is_half_way(standing)).map(|standing| standing.name).collect()
}

/// Whether it is failing back, or failed back and not committed, under this plan.
pub(super) fn is_half_way(standing: &Standing<'_>) -> bool {
    standing.ours.is_some()
        && standing.status.is_some_and(|status| {
            matches!(
                status.phase,
                ItemPhase::FailingBack | ItemPhase::FailedBack | ItemPhase::Committing | ItemPhase::Cancelling
            )
        })
}
