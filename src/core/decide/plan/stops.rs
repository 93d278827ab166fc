//! What keeps a plan from starting or going on whatever its machines say, for who looks ahead before it runs.

use super::{PlanInput, gates, hooks::Hold, validity, waves};

/// What must be changed before the plan, or a wave of it, starts anything: reason and sentence. Gates that open, such as
/// approvals and windows, are none.
pub fn stops(input: &PlanInput<'_>) -> Vec<(&'static str, String)> {
    let found = waves::found(input);
    let waves = waves::resolve(input, &found);
    let machines = || waves.iter().flat_map(|wave| &wave.machines);
    let ahead = || machines().filter(|machine| !machine.arrived);
    if input.status.completed_at.is_some() && ahead().next().is_some() {
        return vec![("Completed", "The plan is complete. A second failback is a new plan.".to_owned())];
    }
    let mut stops: Vec<Hold> = Vec::new();
    if let Some(why) = validity::why_invalid(input, &waves) {
        stops.push(("InvalidSpec", why));
    } else if machines().next().is_none() {
        stops.push(("NoItems", NO_ITEMS.to_owned()));
    }
    if input.deleting && ahead().next().is_some() {
        stops.push(("PlanDeleted", "The plan is being deleted; nothing new starts.".to_owned()));
    }
    let closed = ahead().find_map(|machine| gates::closed(input, machine.reached));
    if let Some(closed) = closed.filter(|closed| closed.message == gates::PAST && stops.is_empty()) {
        stops.push((closed.held_by, closed.message));
    }
    let begins = waves.iter().filter(|wave| !wave.has_begun());
    stops.extend(begins.filter_map(|wave| wave.too_large(input, input.load.limits())));
    stops
}

/// What is said of a plan without machines.
pub(super) const NO_ITEMS: &str =
    "The plan has no machines: no object has the labels of its selectors, or all are in spec.skip.";
