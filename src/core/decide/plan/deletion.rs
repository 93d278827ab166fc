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
    let half_way = |standing: &&Standing<'_>| {
        standing.ours.is_some()
            && standing.status.is_some_and(|status| {
                matches!(
                    status.phase,
                    ItemPhase::FailingBack | ItemPhase::FailedBack | ItemPhase::Committing | ItemPhase::Cancelling
                )
            })
    };
    standings.iter().filter(half_way).map(|standing| standing.name).collect()
}
