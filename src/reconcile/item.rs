//! A machine: gather, decide, record, and at most one call.

use std::{sync::Arc, time::Duration};

use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    Error, act,
    context::{Context, key_of},
    counts, gather, opening,
    plan::hand_out,
    probes,
};
use crate::{
    api::{ABANDON_ANNOTATION, FINALIZER, FailbackPlan, ReplicatedItem, ReplicatedItemStatus},
    core::{
        decide::{
            Next, events, forgets,
            item::{ItemDecision, ItemInput, decide, held_by_call},
        },
        journal,
    },
    inventory::Key,
    kube_io::{
        feed::lookup,
        write::{MANAGER, apply_status, hold, in_time},
    },
};

pub(super) async fn reconcile(item: Arc<ReplicatedItem>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(item.as_ref())?;
    let Some(look) = context.stores.turns.look().await else { return Ok(Action::await_change()) };
    let before = item.status.clone().unwrap_or_default();
    // Asked before the look too: what is read in between is not in it. Probes begin only with it.
    let awaits = opening::awaits_item(&context, &key, &item);
    let facts = gather::facts(&context, &key, &item);
    let decision = decide(&ItemInput {
        spec: &item.spec,
        status: &before,
        generation: item.metadata.generation,
        facts: &facts,
        leading_since: context.leading_since,
        now: context.clock.now(),
    });
    watch(&context, &key, &item, &decision);
    context.stores.probes.watch(&key, probes::subject(&item, &facts), &probes::passed_before(&item));
    let awaits = awaits || opening::awaits_item(&context, &key, &item);
    let awaited = awaits && would_forget(&item, &before, &decision);

    let api = context.api::<ReplicatedItem>(&key.namespace);
    if item.metadata.deletion_timestamp.is_some() {
        return let_go(&context, &key, &item, decision, awaited).await;
    }
    if orphaned(&context, &key, &before).await {
        hand_out(&context, &key, &item, None).await?;
        // The object comes back through the watch, without the claim.
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    // Held while something may have an effect that only this object's journal knows of.
    let wanted = before.claim.is_some() || before.operation.as_ref().is_some_and(journal::is_open);
    if hold(&api, item.as_ref(), FINALIZER, wanted).await?.is_some() {
        // The object comes back through the watch; the claim is acted on then.
        return Ok(Action::requeue(Duration::from_millis(50)));
    }
    if awaited {
        return Ok(Action::requeue(opening::AGAIN));
    }
    match decision.next {
        Next::Act(guarded, intent) => {
            drop(look);
            let of = |name: &str| Key { namespace: key.namespace.clone(), name: name.to_owned() };
            let (vault, vcenter) = (of(&item.spec.vault_ref.name), of(&item.spec.vcenter_ref.name));
            let Some(_turn) = context.stores.turns.step(vault, vcenter).await else {
                return Ok(Action::await_change());
            };
            act::act(&context, &key, &item, decision.status, *guarded, *intent).await?;
            Ok(Action::requeue(Duration::from_millis(50)))
        }
        Next::Again => {
            record(&context, &item, decision.status).await?;
            Ok(Action::requeue(Duration::from_millis(20)))
        }
        Next::Wait(_, recheck) => {
            record(&context, &item, decision.status).await?;
            Ok(Action::requeue(context.clock.wall(recheck)))
        }
        Next::Done => {
            record(&context, &item, decision.status).await?;
            Ok(Action::requeue(context.clock.wall(crate::core::decide::RESYNC)))
        }
    }
}

/// Whether the decision knows less of the machine, as it is declared now, than what is recorded.
fn would_forget(item: &ReplicatedItem, before: &ReplicatedItemStatus, decision: &ItemDecision) -> bool {
    let after = &decision.status;
    before.observed_generation == item.metadata.generation
        && forgets((&before.conditions, &before.checks), (&after.conditions, &after.checks))
}

/// Whether the plan that has claimed the item is positively gone: not in the cache, nor on the server.
async fn orphaned(context: &Context, key: &Key, status: &ReplicatedItemStatus) -> bool {
    let Some(claim) = &status.claim else { return false };
    let is_it = |plan: &FailbackPlan| plan.uid().as_deref() == Some(claim.plan_uid.as_str());
    if lookup(&context.stores.plans, &key.namespace, &claim.plan).is_some_and(|plan| is_it(&plan)) {
        return false;
    }
    let found = in_time(context.api::<FailbackPlan>(&key.namespace).get_opt(&claim.plan)).await;
    found.is_ok_and(|plan| plan.is_none_or(|plan| !is_it(&plan)))
}

/// Tells the vault's inventory what is of interest.
fn watch(context: &Context, key: &Key, item: &ReplicatedItem, decision: &ItemDecision) {
    let vault = Key { namespace: key.namespace.clone(), name: item.spec.vault_ref.name.clone() };
    if let Some(vault) = context.registry.vault(&vault) {
        let open = decision.status.operation.as_ref().filter(|record| journal::is_open(record));
        vault.follow(key, open.and_then(|record| record.job_id.as_deref()));
        let azure_vm = decision.status.identity.azure_vm_id.as_deref();
        vault.watch(key, &item.spec.machine, azure_vm, decision.in_motion());
    }
}

/// Writes the status, if it differs, and tells what changed.
pub(super) async fn record(
    context: &Context,
    item: &ReplicatedItem,
    after: ReplicatedItemStatus,
) -> Result<Option<ReplicatedItem>, Error> {
    let before = item.status.clone().unwrap_or_default();
    if before == after {
        return Ok(None);
    }
    let api = context.api::<ReplicatedItem>(&key_of(item)?.namespace);
    // The claim has another owner.
    let ours = ReplicatedItemStatus { claim: None, ..after.clone() };
    let written = apply_status(&api, item, MANAGER, &ours).await?;
    counts::transition(context.tally.as_ref(), &before, &after);
    context.events.publish(item.object_ref(&()), events::of_item(&before, &after));
    Ok(Some(written))
}

/// A deleted item stays only while the fate of a call is open: its journal is the only memory of it. With the
/// annotation `failback.dev/abandon: <UID of the item>` it goes at once.
async fn let_go(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    decision: ItemDecision,
    awaited: bool,
) -> Result<Action, Error> {
    let open = decision.status.operation.as_ref().is_some_and(journal::is_open);
    let abandoned = item.annotations().get(ABANDON_ANNOTATION) == item.metadata.uid.as_ref();
    if open && !abandoned {
        if awaited {
            return Ok(Action::requeue(opening::AGAIN));
        }
        let vault = context.vault_object(&key.namespace, &item.spec.vault_ref.name);
        let uid = item.metadata.uid.as_deref().unwrap_or_default();
        record(context, item, held_by_call(decision.status, &key.name, uid, vault.is_some())).await?;
        return Ok(Action::requeue(context.clock.wall(crate::core::decide::SOON)));
    }
    context.registry.unwatch(key);
    hold(&context.api::<ReplicatedItem>(&key.namespace), item, FINALIZER, false).await?;
    Ok(Action::await_change())
}
