//! The only place that makes mutating calls: intent, consent, compare, call, record. Each at most once.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{ResourceExt, api::ListParams, core::DeserializeGuard};
use tracing::{Instrument, Span};

use super::{Error, context::Context, gather, item::record};
use crate::{
    api::{
        FailbackApproval, FailbackPlan, OperationOutcome, OperationRecord, REQUESTED_BY_ANNOTATION, ReplicatedItem,
        ReplicatedItemStatus,
    },
    core::{
        action::Verb,
        checks,
        decide::{
            item::push_record,
            plan::{PlanInput, permits, spec_hash},
        },
        estimate::Measured,
        facts::Machine,
        found,
        guard::{Fresh, Guarded},
        jobs::JobsSeen,
        journal::{self, LATEST},
        observed::{Fact, Job, OnPremisesVm, Replication},
        preview,
        schedule::load::Load,
        stage::Stage,
    },
    inventory::{Key, VaultInventory},
    kube_io::write::{WriteError, in_time},
    ports::{Failure, FailureClass, Listing, Permit, Remote, SiteRecovery, trace},
};

const TOO_LATE: &str = "It took too long from the intent to the call; another process may have looked by now.";

/// Carries out one guarded action, within a span that says what became of it.
pub(super) async fn act(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    status: ReplicatedItemStatus,
    guarded: Guarded,
    intent: OperationRecord,
) -> Result<(), Error> {
    // The turn may have come late: what is concluded from the intent's age counts from its writing.
    let intent = OperationRecord { intended_at: Time(context.clock.now()), ..intent };
    let span = trace::operation(guarded.action.verb().as_str(), &key.namespace, &key.name, intent.attempt);
    carry_out(context, key, item, status, guarded, intent).instrument(span).await
}

/// Carries out one guarded action.
///
/// The intent is written under the version of the item that was decided on: if anything changed since (the claim, or
/// another process's intent), the write is refused and nothing is called.
async fn carry_out(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    status: ReplicatedItemStatus,
    guarded: Guarded,
    intent: OperationRecord,
) -> Result<(), Error> {
    let (operation, history) = push_record(&status, intent.clone());
    let intended = ReplicatedItemStatus { operation, history, ..status };
    let began = Instant::now();
    let Some(written) = record(context, item, intended).await? else { return Ok(()) };

    let verb = guarded.action.verb();
    let compared =
        tokio::time::timeout(LATEST.saturating_sub(began.elapsed()), compare(context, key, item, &guarded, &intent));
    let result = match compared.await {
        Ok(Ok(())) => call(context, key, item, &guarded, &|| permitted(context, began)).await,
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(refused(TOO_LATE)),
    };
    let outcome = match &result {
        Ok(_) => "submitted",
        Err(failure) => failure.class.label(),
    };
    tracing::info!(item = %key.name, namespace = %key.namespace, %verb, attempt = intent.attempt, outcome, job = result.as_ref().ok().and_then(Option::as_deref), error = result.as_ref().err().map(tracing::field::display), "mutating call");
    context.tally.operated(verb.as_str(), outcome);
    let span = Span::current();
    trace::ended(&span, outcome, result.as_ref().err().map(|failure| failure.class));
    if let Ok(Some(job)) = &result {
        span.record("job.id", job.as_str());
    }

    let concluded = journal::after_call(&intent, &result, context.clock.now());
    let stored = conclude(context, key, written, concluded).await;
    if let Ok(vault) = vault_of(context, key, item) {
        vault.refresh();
    }
    stored
}

fn vault_of(context: &Context, key: &Key, item: &ReplicatedItem) -> Result<Arc<VaultInventory>, Failure> {
    let vault = Key { namespace: key.namespace.clone(), name: item.spec.vault_ref.name.clone() };
    context.registry.vault(&vault).ok_or_else(|| refused("The vault is not connected."))
}

/// A reason of ours not to call.
fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Remote::Kubernetes, FailureClass::Conflict, message)
}

/// Whether the call may leave now: what was compared is not too old, and no other process can lead.
fn permitted(context: &Context, began: Instant) -> Result<(), Failure> {
    if !context.leadership.is_valid_now() {
        return Err(refused("This process no longer holds the lease."));
    }
    if began.elapsed() < LATEST { Ok(()) } else { Err(refused(TOO_LATE)) }
}

/// Reads again, uncached, what the action depends on, and then the consent to it: whoever withdraws it while Azure and
/// vCenter are read is heard.
async fn compare(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    guarded: &Guarded,
    intent: &OperationRecord,
) -> Result<(), Failure> {
    let port = vault_of(context, key, item)?.port();
    let fresh_item = port.item(&guarded.expect.item_id).await.map_err(not_sent)?;
    let azure_vm = match &guarded.expect.azure_vm_id {
        Some(id) => Some(port.azure_vm(id).await.map_err(not_sent)?),
        None => None,
    };
    let home_vm = match &guarded.expect.home_vm {
        Some((moref, _)) => {
            let vcenter = Key { namespace: key.namespace.clone(), name: item.spec.vcenter_ref.name.clone() };
            let vcenter = context.registry.vcenter(&vcenter).ok_or_else(|| refused("vCenter is not connected."))?;
            Some(vcenter.port().vm(moref).await.map_err(not_sent)?)
        }
        None => None,
    };
    let last = last_look(port.as_ref(), guarded, &fresh_item).await?;
    let fresh = Fresh { item: fresh_item, azure_vm, home_vm };
    guarded.check(&fresh).map_err(refused)?;
    recheck(context, key, item, guarded.action.verb(), &fresh, last).map_err(refused)?;
    consent(context, key, intent, guarded.action.verb()).await.map_err(refused)
}

/// What is read besides item and machines.
struct LastLook {
    /// Before a commit, where the machine in Azure is known.
    locks: Option<Vec<String>>,
    /// The item's own mark that it is busy may lag behind the list of jobs.
    jobs: Vec<Job>,
}

async fn last_look(port: &dyn SiteRecovery, guarded: &Guarded, item: &Replication) -> Result<LastLook, Failure> {
    let deleted = guarded.expect.azure_vm_id.as_ref().filter(|_| guarded.action.verb() == Verb::Commit);
    let locks = match deleted {
        Some(id) => Some(whole("Locks on the Azure VM", port.locks(id).await.map_err(not_sent)?)?),
        None => None,
    };
    let jobs = whole("Jobs of the vault", port.jobs().await.map_err(not_sent)?)?;
    Ok(LastLook { locks, jobs: jobs.into_iter().filter(|job| job.concerns(item)).collect() })
}

/// What may forbid the call: a lock that would leave the copy in Azure, a job that nobody knows of. One that cannot be
/// read is no reason to go on.
fn whole<T>(these: &str, listing: Listing<T>) -> Result<Vec<T>, Failure> {
    listing.whole(these).map_err(|why| Failure::new(Remote::Arm, FailureClass::Conflict, why))
}

/// The intent, the plan and its approvals as they are now, not as the caches have them: the intent is on record, the plan
/// still there and still wanting this step.
async fn consent(context: &Context, key: &Key, intent: &OperationRecord, verb: Verb) -> Result<(), String> {
    let item = context.api::<ReplicatedItem>(&key.namespace).get(&key.name).await;
    let status = item.map_err(|error| format!("The item cannot be read: {error}"))?.status.unwrap_or_default();
    if status.operation.as_ref().is_none_or(|record| record.key != intent.key) {
        return Err("The intent is no longer on record: the item's status was lost or replaced.".to_owned());
    }
    let claim = status.claim.as_ref().ok_or("No plan has claimed the item.")?;
    if claim.plan_uid != intent.plan_uid || !verb.is_wanted_by(claim) {
        return Err("The claim was changed: it does not lead to this step any more.".to_owned());
    }
    let unreadable = |error: kube::Error| format!("Plan \"{}\" cannot be read: {error}", claim.plan);
    let plan = context.api::<FailbackPlan>(&key.namespace).get(&claim.plan).await.map_err(unreadable)?;
    if plan.uid().as_deref() != Some(claim.plan_uid.as_str()) {
        return Err(format!("Plan \"{}\" is another one now.", claim.plan));
    }
    let approvals =
        context.api::<DeserializeGuard<FailbackApproval>>(&key.namespace).list(&ListParams::default()).await;
    let approvals: Vec<_> = approvals
        .map_err(|error| format!("The approvals cannot be read: {error}"))?
        .into_iter()
        // One that cannot be read is told so in its own status, and counts for nothing.
        .filter_map(|approval| approval.0.ok())
        .filter(|approval| approval.metadata.deletion_timestamp.is_none())
        .map(|approval| approval.spec)
        .filter(|approval| approval.plan_ref.name == claim.plan)
        .collect();
    // The plan has started: its machines are those that it lists, whatever labels say now.
    let found = preview::found(&plan, &BTreeMap::new());
    let input = PlanInput {
        name: &claim.plan,
        uid: &claim.plan_uid,
        generation: plan.metadata.generation,
        spec: &plan.spec,
        spec_hash: &spec_hash(&plan.spec, &found),
        status: &plan.status.clone().unwrap_or_default(),
        deleting: plan.metadata.deletion_timestamp.is_some(),
        abandon: None,
        requester: plan.annotations().get(REQUESTED_BY_ANNOTATION).map(String::as_str),
        items: &BTreeMap::from([(key.name.clone(), status.clone())]),
        declared: &BTreeMap::new(),
        load: &Load::default(),
        measured: &Measured::default(),
        jobs: &JobsSeen::NotYet,
        approvals: &approvals,
        now: context.clock.now(),
    };
    permits(&input, &key.name, verb)
}

/// The checks that gate the step, over what was read just now.
fn recheck(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    verb: Verb,
    fresh: &Fresh,
    last: LastLook,
) -> Result<(), String> {
    let now = context.clock.now();
    let mut facts = gather::facts(context, key, item);
    facts.replication = Fact::seen(fresh.item.clone(), now);
    if let Some(vm) = &fresh.azure_vm {
        facts.azure_vm = Fact::seen(vm.clone(), now);
    }
    if let Some(Some(vm)) = &fresh.home_vm {
        facts.on_premises = Fact::seen(OnPremisesVm::Found(Box::new(vm.clone())), now);
    }
    let status = item.status.clone().unwrap_or_default();
    let stage = Stage::of(&fresh.item);
    if let Some(job) = last.jobs.iter().find(|job| job.occupies()) {
        return Err(format!("A job runs on the item: {:?}, {}.", job.scenario, job.id));
    }
    if let Some(locks) = last.locks {
        facts.locks = Fact::seen(locks, now);
    }
    facts.jobs = Fact::seen(last.jobs, now);
    if verb == Verb::Commit
        && let Some(what) = found::unnoticed(&status, &facts, stage)
    {
        return Err(format!("Azure shows {what}: no record explains it, and nobody has looked at it yet."));
    }
    let machine = Machine { spec: &item.spec, status: &status, facts: &facts, stage, running: None, now };
    let outcomes = checks::run(&machine);
    match checks::blocking(&outcomes, verb).first() {
        None => Ok(()),
        Some(failing) => Err(format!("{}: {}", failing.check.name, failing.message)),
    }
}

/// A read that failed before the call: nothing was sent, whatever its class.
fn not_sent(failure: Failure) -> Failure {
    let class = match failure.class {
        FailureClass::Throttled { retry_after } => FailureClass::Throttled { retry_after },
        FailureClass::Transient
        | FailureClass::Conflict
        | FailureClass::NotFound
        | FailureClass::Unauthenticated
        | FailureClass::Denied
        | FailureClass::Invalid
        | FailureClass::Lost => FailureClass::Transient,
    };
    Failure { class, ..failure }
}

async fn call(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    guarded: &Guarded,
    permit: Permit<'_>,
) -> Result<Option<String>, Failure> {
    let port = vault_of(context, key, item)?.port();
    port.submit(&guarded.expect.item_id, &guarded.action, permit).await.map(|submitted| submitted.job_id)
}

/// Writes the answer. The intent is on record already: if this write is lost, the answer is found again by looking.
async fn conclude(
    context: &Context,
    key: &Key,
    mut item: ReplicatedItem,
    concluded: OperationRecord,
) -> Result<(), Error> {
    for attempt in 0..5_u32 {
        let mut status = item.status.clone().unwrap_or_default();
        let is_open =
            |record: &OperationRecord| record.key == concluded.key && record.outcome == OperationOutcome::Intended;
        if !status.operation.as_ref().is_some_and(is_open) {
            // It was written, and the answer lost; or another process has looked, and knows more.
            return Ok(());
        }
        status.operation = Some(concluded.clone());
        match record(context, &item, status).await {
            Ok(_) => return Ok(()),
            Err(Error::Write(WriteError::Gone)) => return Ok(()),
            Err(error) if attempt == 4 => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100 << attempt)).await,
        }
        let api = context.api::<ReplicatedItem>(&key.namespace);
        item = in_time(api.get(&key.name)).await.map_err(WriteError::from)?;
    }
    Ok(())
}
