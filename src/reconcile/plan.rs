//! A plan: gather its machines, decide, record, hand out claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt, runtime::controller::Action};
use serde_json::json;

use super::{
    Error,
    context::{Context, key_of},
    hooks,
    ledger::Vaults,
    master_target, opening,
};
use crate::{
    api::{
        ABANDON_ANNOTATION, Claim, FINALIZER, FailbackApprovalSpec, FailbackPlan, FailbackPlanSpec, FailbackPlanStatus,
        MasterTarget, REQUESTED_BY_ANNOTATION, ReplicatedItem, ReplicatedItemStatus, Wave,
    },
    core::{
        conditions,
        decide::{
            RESYNC,
            events::EventDraft,
            plan::{Declared, PlanDecision, PlanInput, decide, names_item, spec_hash},
        },
        estimate::Measured,
        found::STATUS_LOST,
        jobs::JobsSeen,
        observed::Fact,
        preview,
        schedule::load::Limits,
    },
    inventory::Key,
    kube_io::write::{CLAIMS, WriteError, apply_status, clear_status, hold, in_time},
};

pub(super) async fn reconcile(plan: Arc<FailbackPlan>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(plan.as_ref())?;
    let uid = plan.uid().ok_or(Error::Malformed("uid"))?;
    if opening::awaits_machine_of(&context, &uid) {
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    let before = plan.status.clone().unwrap_or_default();
    let jobs = context.stores.jobs.of_plan(&key, &plan, &uid, context.clock.now()).await;
    let (decision, objects) = decided(&context, &key, &plan, &uid, &before, &jobs);
    let PlanDecision { status, claims, mut runs, release, recheck } = decision;
    let api = context.api::<FailbackPlan>(&key.namespace);
    let claiming = claims.iter().any(|(_, claim)| claim.is_some());
    if claiming
        && plan.metadata.deletion_timestamp.is_none()
        && hold(&api, plan.as_ref(), FINALIZER, true).await?.is_some()
    {
        // Nothing is claimed by a plan that could vanish: the held plan comes back through the watch.
        return Ok(Action::requeue(Duration::from_millis(20)));
    }
    if context.write_status(&key, plan.as_ref(), &before, &status).await? {
        context.events.publish(plan.object_ref(&()), events(&before, &status));
        hooks::tell(&context, &key.namespace, &plan.object_ref(&()), &before.hooks, &status.hooks);
    }
    let (mut again, mut failed) = (false, None);
    for (name, claim) in claims {
        let Some(object) = objects.get(&name) else { continue };
        match hand_out(&context, &key, object, claim.as_ref()).await {
            Ok(()) => {
                context.ledger().written(object);
                let recorded = object.status.as_ref().and_then(|status| status.claim.as_ref());
                let rows = |claim: Option<&Claim>| claim.map(|claim| claim.hooks.clone()).unwrap_or_default();
                let (stood, stands) = (rows(recorded), rows(claim.as_ref()));
                hooks::tell(&context, &key.namespace, &object.object_ref(&()), &stood, &stands);
            }
            Err(error) => {
                // Its runs are not on record.
                runs.retain(|run| run.item.as_ref() != Some(&name));
                match error {
                    WriteError::Conflict | WriteError::Gone => again = true,
                    WriteError::Forbidden(_) => failed = Some(error),
                    WriteError::Kube(_) => {
                        // It may have been written: other plans see it until the cache would show it.
                        failed = Some(error);
                        continue;
                    }
                }
                context.ledger().forget(object);
            }
        }
    }
    again |= hooks::carry_out(&context, &key, &plan, &uid, &objects, runs).await?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let held = plan.finalizers().iter().any(|name| name == FINALIZER);
    if held && (release || status.completed_at.is_some()) && !again {
        let current = in_time(api.get_opt(&key.name)).await.map_err(WriteError::from)?;
        if let Some(current) = current.filter(|current| current.uid().as_deref() == Some(uid.as_str()))
            && hold(&api, &current, FINALIZER, false).await?.is_some()
            && release
        {
            let note = "The deleted plan let go of its machines; they stay where they are.";
            context.events.publish(plan.object_ref(&()), vec![EventDraft::normal("Released", "Delete", note)]);
        }
    }
    if again {
        return Ok(Action::requeue(Duration::from_millis(50)));
    }
    let now = context.clock.now();
    let wait =
        recheck.map_or(RESYNC, |at| now.duration_until(at).unsigned_abs().min(RESYNC) + Duration::from_millis(100));
    Ok(Action::requeue(context.clock.wall(wait)))
}

type Objects = BTreeMap<String, Arc<ReplicatedItem>>;

/// Gathers and decides in one go: what is handed out is told to the next plan before it decides.
fn decided(
    context: &Context,
    key: &Key,
    plan: &FailbackPlan,
    uid: &str,
    before: &FailbackPlanStatus,
    jobs: &JobsSeen,
) -> (PlanDecision, Objects) {
    let now = Instant::now();
    // Before the ledger is locked, which every plan waits for.
    let measured = measured(&context.stores.items.state(), &key.namespace);
    let mut ledger = context.ledger();
    let all = context.stores.items.state();
    ledger.settle(&all, now);
    let objects = objects_of(&all, key, plan, uid);
    let with_claim = |(name, item): (&String, &Arc<ReplicatedItem>)| {
        let claim = ledger.claim(uid, item).cloned();
        (name.clone(), ReplicatedItemStatus { claim, ..item.status.clone().unwrap_or_default() })
    };
    let items: BTreeMap<_, _> = objects.iter().map(with_claim).collect();
    let vaults = Vaults::of(&context.stores.vaults.state());
    let declare = |item: &ReplicatedItem| Declared { labels: item.labels().clone(), vault: vaults.of_item(item) };
    let declared = objects.iter().map(|(name, item)| (name.clone(), declare(item))).collect();
    let load = ledger.load(uid, &all, &vaults, limits(context), &older_plans(context, plan));
    let decision = decide(&PlanInput {
        name: &key.name,
        uid,
        generation: plan.metadata.generation,
        spec: &plan.spec,
        spec_hash: &approved_hash(plan, &all),
        status: before,
        deleting: plan.metadata.deletion_timestamp.is_some(),
        abandon: plan.annotations().get(ABANDON_ANNOTATION).map(String::as_str),
        requester: plan.annotations().get(REQUESTED_BY_ANNOTATION).map(String::as_str),
        items: &items,
        declared: &declared,
        load: &load,
        measured: &measured,
        jobs,
        approvals: &approvals(context, key),
        now: context.clock.now(),
    });
    for (name, claim) in &decision.claims {
        if let Some(item) = objects.get(name) {
            ledger.promise(uid, item, claim.clone(), now);
        }
    }
    (decision, objects)
}

/// What was measured on all machines of the namespace, as who asks with `kubectl failback plan` sees it too: a plan that
/// was tried with a few machines tells of the next one.
fn measured(all: &[Arc<ReplicatedItem>], namespace: &str) -> Measured {
    let here = all.iter().filter(|item| item.namespace().as_deref() == Some(namespace));
    Measured::of(here.filter_map(|item| item.status.as_ref()))
}

/// What an approval of the plan must quote, with what its selectors find among these items.
pub(super) fn approved_hash(plan: &FailbackPlan, all: &[Arc<ReplicatedItem>]) -> String {
    let by_label = plan.spec.finds_by_label();
    let ours = all.iter().filter(|item| by_label && item.namespace() == plan.namespace());
    let labels = ours.map(|item| (item.name_any(), item.labels().clone())).collect();
    spec_hash(&plan.spec, &preview::found(plan, &labels))
}

/// What all plans share, with the disks that each MasterTarget allows and carries for others. One whose status
/// does not tell yet which target it is about is looked up: no wave begins on disks that it does not allow.
fn limits(context: &Context) -> Limits {
    let targets = context.stores.targets.state();
    let of = |target: &Arc<MasterTarget>| {
        let status = target.status.as_ref().filter(|status| status.observed_generation == target.metadata.generation);
        let told = status.and_then(|status| status.id.clone());
        let id = told.or_else(|| match master_target::described(context, &key_of(target.as_ref()).ok()?, target) {
            Fact::Seen { value: Ok(described), .. } => Some(described.target.id),
            Fact::Seen { value: Err(_), .. } | Fact::Unknown(_) => None,
        })?;
        let disks = status.and_then(|status| status.disks.as_ref());
        let taken = disks.and_then(|disks| u32::try_from(disks.undeclared).ok()).unwrap_or_default();
        Some((id, target.spec.disk_limit(), taken))
    };
    Limits::declared(targets.iter().filter_map(of))
}

/// UIDs of the plans that come first where several want the same: those that started earlier, then those that were
/// made earlier.
fn older_plans(context: &Context, plan: &FailbackPlan) -> BTreeSet<String> {
    let rank = |plan: &FailbackPlan| {
        let started = plan.status.as_ref().and_then(|status| status.started_at.as_ref()).map(|time| time.0);
        let made = plan.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (started.is_none(), started, made, plan.namespace(), plan.name_any())
    };
    let own = rank(plan);
    context.stores.plans.state().iter().filter(|other| rank(other) < own).filter_map(|other| other.uid()).collect()
}

/// The items that the plan names or finds by their labels, and those that it has claimed and no longer names.
fn objects_of(all: &[Arc<ReplicatedItem>], key: &Key, plan: &FailbackPlan, uid: &str) -> Objects {
    let empty = FailbackPlanStatus::default();
    let status = plan.status.as_ref().unwrap_or(&empty);
    let concerns = |item: &ReplicatedItem| {
        let claim = item.status.as_ref().and_then(|status| status.claim.as_ref());
        concerns(&plan.spec, status, item) || claim.is_some_and(|claim| claim.plan_uid == uid)
    };
    all.iter()
        .filter(|item| item.namespace().as_deref() == Some(key.namespace.as_str()))
        .filter(|item| concerns(item))
        .map(|item| (item.name_any(), Arc::clone(item)))
        .collect()
}

/// Whether a plan names an item, or finds it by its labels.
pub(super) fn concerns(spec: &FailbackPlanSpec, status: &FailbackPlanStatus, item: &ReplicatedItem) -> bool {
    let found = |wave: &Wave| wave.selector.as_ref().is_some_and(|selector| selector.finds(item.labels()));
    names_item(spec, status, &item.name_any()) || spec.waves.iter().any(found)
}

fn approvals(context: &Context, key: &Key) -> Vec<FailbackApprovalSpec> {
    context
        .stores
        .approvals
        .state()
        .into_iter()
        .filter(|approval| approval.namespace().as_deref() == Some(key.namespace.as_str()))
        .filter(|approval| approval.spec.plan_ref.name == key.name && approval.metadata.deletion_timestamp.is_none())
        .map(|approval| approval.spec.clone())
        .collect()
}

/// The longest that a claim is on its way: shorter than the lease's margin, a third of its 15 s, so that it arrives before
/// another process counts what plans share.
const CLAIM: Duration = Duration::from_secs(4);

/// Writes or releases a claim, under the version of the item that was decided on. A process that may not act hands out
/// nothing either: another one counts by now what plans share.
pub(super) async fn hand_out(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    claim: Option<&Claim>,
) -> Result<(), WriteError> {
    if !context.leadership.is_valid_now() {
        return Err(WriteError::Conflict);
    }
    let status = claim.map_or_else(|| json!({}), |claim| json!({ "claim": claim }));
    let api = context.api::<ReplicatedItem>(&key.namespace);
    let write = async {
        let written = apply_status(&api, item, CLAIMS, &status).await?;
        // What another field manager owns too stays when ours lets go of it.
        if claim.is_none() && written.status.as_ref().is_some_and(|status| status.claim.is_some()) {
            clear_status(&api, &written, CLAIMS, "claim").await?;
        }
        Ok(())
    };
    let late = |late: tokio::time::error::Elapsed| Err(kube::Error::Service(late.into()).into());
    tokio::time::timeout(CLAIM, write).await.unwrap_or_else(late)
}

/// What a plan's change of status tells.
fn events(before: &FailbackPlanStatus, after: &FailbackPlanStatus) -> Vec<EventDraft> {
    let mut events = Vec::new();
    if before.started_at.is_none() && after.started_at.is_some() {
        events.push(EventDraft::normal("Started", "Start", "The plan lets its machines act."));
    }
    if before.completed_at.is_none() && after.completed_at.is_some() {
        events.push(EventDraft::normal("Completed", "Complete", "All machines are home and protected."));
    }
    let reason = |status: &FailbackPlanStatus| conditions::find(&status.conditions, "Ready").map(|c| c.reason.clone());
    if reason(before) != reason(after)
        && let Some(ready) = conditions::find(&after.conditions, "Ready")
    {
        match ready.reason.as_str() {
            "ApprovalRequired" => {
                events.push(EventDraft::normal("ApprovalRequired", "Approve", ready.message.clone()));
            }
            "ItemStalled" => events.push(EventDraft::warning("StepFailed", "Stall", ready.message.clone())),
            "DeletionBlocked" => {
                events.push(EventDraft::warning("DeletionBlocked", "Delete", ready.message.clone()));
            }
            STATUS_LOST => events.push(EventDraft::warning(STATUS_LOST, "Stall", ready.message.clone())),
            "PhaseReached" => events.push(EventDraft::normal("PhaseReached", "Reach", ready.message.clone())),
            _ => {}
        }
    }
    events
}
