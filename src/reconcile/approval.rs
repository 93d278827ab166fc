//! An approval: whether it counts.

use std::sync::Arc;

use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    Error,
    context::{Context, key_of},
    plan::approved_hash,
};
use crate::{
    api::{FailbackApproval, FailbackApprovalStatus, REQUESTED_BY_ANNOTATION},
    core::{
        conditions::{self, Draft},
        decide::{
            RESYNC, events,
            plan::{Asked, why_invalid},
        },
    },
    kube_io::feed::lookup,
};

pub(super) async fn reconcile(approval: Arc<FailbackApproval>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(approval.as_ref())?;
    let now = context.clock.now();
    let plan_name = &approval.spec.plan_ref.name;
    let draft = match lookup(&context.stores.plans, &key.namespace, plan_name) {
        None => {
            let message = format!("spec.planRef: there is no FailbackPlan \"{plan_name}\" in this namespace.");
            Draft::new("Valid", false, "PlanNotFound", message)
        }
        Some(plan) => {
            let uid = plan.uid().unwrap_or_default();
            let requester = plan.annotations().get(REQUESTED_BY_ANNOTATION).map(String::as_str);
            let spec_hash = &approved_hash(&plan, &context.stores.items.state());
            let asked = Asked { uid: &uid, spec: &plan.spec, spec_hash, requester };
            match why_invalid(&approval.spec, &asked, now) {
                Some((reason, message)) => Draft::new("Valid", false, reason, message),
                None => {
                    let until = format!("It counts until {:.0}.", approval.spec.expires_at.0);
                    Draft::new("Valid", true, "Valid", until)
                }
            }
        }
    };
    let before = approval.status.clone().unwrap_or_default();
    let after = FailbackApprovalStatus {
        observed_generation: approval.metadata.generation,
        conditions: conditions::merge(&before.conditions, vec![draft], approval.metadata.generation, now),
    };
    if context.write_status(&key, approval.as_ref(), &before, &after).await? {
        context.events.publish(approval.object_ref(&()), events::of_approval(&before.conditions, &after.conditions));
    }
    let left = now.duration_until(approval.spec.expires_at.0);
    let wait = if left.is_positive() { left.unsigned_abs().min(RESYNC) } else { RESYNC };
    Ok(Action::requeue(context.clock.wall(wait)))
}
