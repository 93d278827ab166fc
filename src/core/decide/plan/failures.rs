//! What a failed machine means for the others.

use super::{PlanInput, waves::Resolved};
use crate::api::OnItemFailure;

/// Whether machines that failed are set aside.
pub(super) fn sets_aside(input: &PlanInput<'_>) -> bool {
    input.spec.on_item_failure == OnItemFailure::Quarantine
}

/// Why nothing new starts, if what failed forbids it.
pub(super) fn stops(input: &PlanInput<'_>, waves: &[Resolved<'_>]) -> Option<String> {
    let failed: Vec<&str> = waves
        .iter()
        .flat_map(|wave| &wave.machines)
        .filter(|machine| machine.failed)
        .map(|machine| machine.name)
        .collect();
    let first = failed.first()?;
    match (input.spec.on_item_failure, input.spec.failure_budget) {
        (OnItemFailure::Stop, _) => Some(format!(
            "{first} needs a person, so nothing new starts in this plan. See why: kubectl describe replicateditem {first}. Resolve that, or name it in spec.skip."
        )),
        (OnItemFailure::Continue | OnItemFailure::Quarantine, Some(budget))
            if i32::try_from(failed.len()).unwrap_or(i32::MAX) > budget =>
        {
            Some(format!(
                "More machines need a person than spec.failureBudget {budget} allows, {first} among them, so nothing new starts. Resolve them, or name them in spec.skip."
            ))
        }
        (OnItemFailure::Continue | OnItemFailure::Quarantine, _) => None,
    }
}
