//! The controllers: what wakes each kind, how many run side by side, and how they end.

use std::{fmt::Debug, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use kube::{
    Client, Resource, ResourceExt,
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Error, approval,
    context::{Context, Settings, Stores, key_of},
    counts, hooks, item, join, master_target, plan,
    probes::Board,
    triggers::{
        Wakes, approvals_of_plan, declared, from, items_of_wake, plans_in_line, plans_of_item, refs, targets_of_wake,
        users_of_target,
    },
    turns::Turns,
    vault, vcenter,
};
use crate::{
    api::{
        ABANDON_ANNOTATION, FailbackApproval, FailbackPlan, MasterTarget, REQUESTED_BY_ANNOTATION, RecoveryVault,
        ReplicatedItem, VCenter,
    },
    inventory::{Key, Registry, Wake},
    kube_io::{
        coverage::Coverage,
        feed::{Change, Feed, Fingerprint, fingerprint, trigger},
        jobs::JobWatch,
        report::Events,
        write::WriteError,
    },
    ports::{Connect, Leadership, Prober, SharedClock, Tally, trace},
};

/// What the controllers run with.
pub struct Controllers {
    /// The API server.
    pub client: Client,
    /// Settings.
    pub settings: Settings,
    /// Adapters.
    pub connect: Arc<dyn Connect>,
    /// Looks at machines that came home.
    pub prober: Arc<dyn Prober>,
    /// The time.
    pub clock: SharedClock,
    /// Whether this process may act.
    pub leadership: Arc<dyn Leadership>,
    /// Counters.
    pub tally: Arc<dyn Tally>,
    /// Is called once all watches have listed what there is.
    pub on_ready: Box<dyn FnOnce() + Send>,
}

/// Runs all controllers until `stop`; then lets the passes at hand end, and logs out everywhere.
pub async fn run(controllers: Controllers, stop: CancellationToken) {
    let Controllers { client, settings, connect, prober, clock, leadership, tally, on_ready } = controllers;
    let coverage = Coverage::new(Arc::clone(&tally));
    let mut vaults = Feed::<RecoveryVault>::new(&client, &settings.namespaces, Arc::clone(&clock), &coverage);
    let mut vcenters = Feed::<VCenter>::new(&client, &settings.namespaces, Arc::clone(&clock), &coverage);
    let mut targets = Feed::<MasterTarget>::new(&client, &settings.namespaces, Arc::clone(&clock), &coverage);
    let mut items = Feed::<ReplicatedItem>::new(&client, &settings.namespaces, Arc::clone(&clock), &coverage);
    let mut plans = Feed::<FailbackPlan>::new(&client, &settings.namespaces, Arc::clone(&clock), &coverage);
    let mut approvals = Feed::<FailbackApproval>::new(&client, &settings.namespaces, Arc::clone(&clock), &coverage);

    let (wake, woken) = mpsc::unbounded_channel();
    let (jobs, told) = JobWatch::new(client.clone());
    let jobs = Arc::new(jobs);
    let probes = Board::new(prober, Arc::clone(&jobs), Arc::clone(&clock), Arc::clone(&leadership), wake.clone());
    let registry = Registry::new(connect, Arc::clone(&clock), wake.clone());
    let events = Events::new(client.clone(), &settings.instance);
    let stores = Stores {
        vaults: vaults.store(),
        vcenters: vcenters.store(),
        targets: targets.store(),
        items: items.store(),
        plans: plans.store(),
        approvals: approvals.store(),
        coverage: coverage.clone(),
        probes,
        turns: Turns::of(settings.concurrency),
        jobs: hooks::Jobs::new(jobs),
    };
    let context = Arc::new(Context::new(client, clock, registry, leadership, events, stores, tally));
    let wakes = Wakes::new(woken);

    let mut running: Vec<BoxFuture<'static, ()>> = Vec::new();
    let start = Start { context: &context, stop: &stop };
    let most = settings.concurrency.max(1);
    running.push(start.controller(
        "RecoveryVault",
        trigger(vaults.listen(), |object| own_changes(object, &[])),
        context.stores.vaults.clone(),
        wakes.of(|wake| match wake {
            Wake::Vault(key) => vec![key],
            Wake::Item(_) | Wake::Target(_) | Wake::VCenter(_) | Wake::VaultOpened(_) | Wake::VCenterOpened(_) => {
                vec![]
            }
        }),
        most,
        vault::reconcile,
    ));
    running.push(start.controller(
        "VCenter",
        trigger(vcenters.listen(), |object| own_changes(object, &[])),
        context.stores.vcenters.clone(),
        wakes.of(|wake| match wake {
            Wake::VCenter(key) => vec![key],
            Wake::Item(_) | Wake::Target(_) | Wake::Vault(_) | Wake::VaultOpened(_) | Wake::VCenterOpened(_) => vec![],
        }),
        most,
        vcenter::reconcile,
    ));
    running.push(start.controller(
        "MasterTarget",
        trigger(targets.listen(), |object| own_changes(object, &[])),
        context.stores.targets.clone(),
        wakes.of(targets_of_wake(Arc::clone(&context))),
        most,
        master_target::reconcile,
    ));
    running.push(start.controller(
        "ReplicatedItem",
        trigger(items.listen(), |object: &ReplicatedItem| {
            let claim = object.status.as_ref().and_then(|status| status.claim.as_ref());
            let abandon = object.annotations().get(ABANDON_ANNOTATION);
            own_changes(object, &[&serde_json::to_string(&claim).unwrap_or_default(), &abandon])
        }),
        context.stores.items.clone(),
        stream::select(
            wakes.of(items_of_wake(Arc::clone(&context))),
            declared(targets.listen(), users_of_target(Arc::clone(&context))),
        ),
        UNBOUNDED,
        item::reconcile,
    ));
    running.push(start.controller(
        "FailbackPlan",
        trigger(plans.listen(), |object: &FailbackPlan| {
            let annotations = object.annotations();
            own_changes(object, &[&annotations.get(ABANDON_ANNOTATION), &annotations.get(REQUESTED_BY_ANNOTATION)])
        }),
        context.stores.plans.clone(),
        stream::select(
            stream::select(
                refs(items.listen(), plans_of_item(Arc::clone(&context))),
                stream::select(
                    declared(targets.listen(), plans_in_line(Arc::clone(&context))),
                    from(told, hooks::plans_of_jobs(Arc::clone(&context))),
                ),
            ),
            refs(approvals.listen(), |approval: &FailbackApproval| {
                vec![(approval.namespace().unwrap_or_default(), approval.spec.plan_ref.name.clone())]
            }),
        ),
        most,
        plan::reconcile,
    ));
    running.push(start.controller(
        "FailbackApproval",
        trigger(approvals.listen(), |object| own_changes(object, &[])),
        context.stores.approvals.clone(),
        refs(plans.listen(), approvals_of_plan(Arc::clone(&context))),
        most,
        approval::reconcile,
    ));
    running.push(
        forget(Arc::clone(&context), vaults.listen(), vcenters.listen(), targets.listen(), items.listen())
            .take_until_stopped(stop.clone()),
    );
    running
        .push(forget_failures(Arc::clone(&context), "FailbackPlan", plans.listen()).take_until_stopped(stop.clone()));
    running.push(
        forget_failures(Arc::clone(&context), "FailbackApproval", approvals.listen()).take_until_stopped(stop.clone()),
    );
    running.push(join::follow(Arc::clone(&context), items.listen(), wake).take_until_stopped(stop.clone()));

    running.push(count(Arc::clone(&context)).take_until_stopped(stop.clone()));
    running.push({
        let (context, stop) = (Arc::clone(&context), stop.clone());
        async move {
            stop.cancelled().await;
            context.stores.turns.close();
        }
        .boxed()
    });

    let watches = [
        vaults.run().boxed(),
        vcenters.run().boxed(),
        targets.run().boxed(),
        items.run().boxed(),
        plans.run().boxed(),
        approvals.run().boxed(),
    ];
    // Each watches for ever. One that ends all the same leaves a cache that nobody would see grow old.
    let mut watches = tokio::spawn(async { futures::future::select_all(watches).await.1 });
    // A plan that is judged before its machines were listed would find none: no pass before everything is known.
    let work = async {
        if stop.run_until_cancelled(coverage.wait_until_settled()).await.is_some() {
            join::list(&context);
            on_ready();
            futures::future::join_all(running).await;
        }
    };
    tokio::select! {
        () = work => watches.abort(),
        ended = &mut watches => tracing::error!(?ended, "a watch ended, so that nothing can be decided any more"),
    }
    context.registry.close().await;
}

/// What wakes an object's own controller: everything that a person changes, nothing that this controller writes.
fn own_changes<K: Resource<DynamicType = ()>>(object: &K, more: &[&dyn Fingerprint]) -> Option<u64> {
    let meta = object.meta();
    let mut parts: Vec<&dyn Fingerprint> = vec![&meta.generation, &meta.uid, &meta.finalizers];
    let deleting = meta.deletion_timestamp.is_some();
    parts.push(&deleting);
    parts.extend(more);
    fingerprint(&parts)
}

/// Items are limited by [`super::turns`], not by the controller.
const UNBOUNDED: u16 = 0;
/// How soon an object is looked at again in a namespace of which not everything was listed yet.
const UNCOVERED: Duration = Duration::from_secs(5);

struct Start<'a> {
    context: &'a Arc<Context>,
    stop: &'a CancellationToken,
}

impl Start<'_> {
    fn controller<K, F>(
        &self,
        kind: &'static str,
        changes: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
        store: Store<K>,
        also: impl Stream<Item = (String, String)> + Send + 'static,
        concurrency: u16,
        reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Clone + Send + Sync + 'static,
    ) -> BoxFuture<'static, ()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        F: Future<Output = Result<Action, Error>> + Send + 'static,
    {
        let pass = move |object: Arc<K>, context: Arc<Context>| {
            let reconcile = reconcile.clone();
            async move {
                let key = key_of(object.as_ref())?;
                if !context.stores.coverage.covers(&key.namespace) {
                    return Ok(Action::requeue(UNCOVERED));
                }
                let span = trace::pass(kind, &key.namespace, &key.name);
                // A panic would end the controller for every object of this kind.
                let pass = AssertUnwindSafe(reconcile(object, Arc::clone(&context))).catch_unwind();
                let caught = pass.instrument(span.clone()).await;
                let result = caught.unwrap_or_else(|panic| Err(Error::Panicked(panic_text(panic.as_ref()))));
                let outcome = result.as_ref().map_or_else(Error::label, |_| "ok");
                trace::ended(&span, outcome, result.as_ref().err().and_then(Error::class));
                context.tally.reconciled(kind, outcome);
                if result.is_ok() {
                    context.succeeded(kind, &key);
                }
                result
            }
        };
        let on_error = move |object: Arc<K>, error: &Error, context: Arc<Context>| {
            let key = key_of(object.as_ref()).unwrap_or_else(|_| Key { namespace: String::new(), name: String::new() });
            let wait = context.after_error(kind, key.clone(), error);
            match error {
                Error::Write(WriteError::Forbidden(_)) => {
                    tracing::warn!(kind, name = %key.name, namespace = %key.namespace, error = error as &dyn std::error::Error, "a permission is missing");
                }
                Error::Write(_) | Error::Unread(_) => {
                    tracing::debug!(kind, name = %key.name, namespace = %key.namespace, error = error as &dyn std::error::Error, "looking again")
                }
                Error::Malformed(_) | Error::Panicked(_) => {
                    tracing::error!(kind, name = %key.name, namespace = %key.namespace, error = error as &dyn std::error::Error, "a pass failed");
                }
            }
            Action::requeue(wait)
        };
        let also = also.map(|(namespace, name)| ObjectRef::<K>::new(&name).within(&namespace));
        Controller::for_stream(changes, store)
            .with_config(Config::default().concurrency(concurrency))
            .reconcile_on(also)
            .graceful_shutdown_on(self.stop.clone().cancelled_owned())
            .run(pass, on_error, Arc::clone(self.context))
            .for_each(|_| futures::future::ready(()))
            .boxed()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// How often the machines are counted.
const COUNT: Duration = Duration::from_secs(10);
/// How often at most, beside a clock that runs fast: a count looks at every machine.
const COUNT_AT_MOST: Duration = Duration::from_millis(100);

/// Gauges are counted from the caches, so that a restart does not reset them.
async fn count(context: Arc<Context>) {
    loop {
        context.tally.standing(&counts::standing(&context));
        tokio::time::sleep(context.clock.wall(COUNT).max(COUNT_AT_MOST)).await;
    }
}

/// Objects that are gone need no inventory any more.
async fn forget(
    context: Arc<Context>,
    mut vaults: mpsc::UnboundedReceiver<Change<RecoveryVault>>,
    mut vcenters: mpsc::UnboundedReceiver<Change<VCenter>>,
    mut targets: mpsc::UnboundedReceiver<Change<MasterTarget>>,
    mut items: mpsc::UnboundedReceiver<Change<ReplicatedItem>>,
) {
    loop {
        let gone = tokio::select! {
            Some(change) = vaults.recv() => deleted(change).map(|key| {
                context.succeeded("RecoveryVault", &key);
                context.registry.close_vault(&key);
            }),
            Some(change) = vcenters.recv() => deleted(change).map(|key| {
                context.succeeded("VCenter", &key);
                context.registry.close_vcenter(&key);
            }),
            Some(change) = targets.recv() => {
                deleted(change).map(|key| {
                    context.succeeded("MasterTarget", &key);
                    context.registry.unwatch_vcenters(&Wake::Target(key));
                })
            }
            Some(change) = items.recv() => deleted(change).map(|key| {
                context.succeeded("ReplicatedItem", &key);
                context.stores.probes.forget(&key);
                context.registry.unwatch(&key);
            }),
            else => return,
        };
        if gone.is_some() {
            tracing::debug!("an object is gone, and so is its inventory");
        }
    }
}

/// How often the passes of an object failed is nothing that outlives it.
async fn forget_failures<K: ResourceExt>(
    context: Arc<Context>,
    kind: &'static str,
    mut changes: mpsc::UnboundedReceiver<Change<K>>,
) {
    while let Some(change) = changes.recv().await {
        if let Some(key) = deleted(change) {
            context.succeeded(kind, &key);
        }
    }
}

fn deleted<K: ResourceExt>(change: Change<K>) -> Option<Key> {
    match change {
        Change::Deleted(object) => key_of(&object).ok(),
        Change::Applied(_) => None,
    }
}

trait TakeUntilStopped: Future<Output = ()> + Send + Sized + 'static {
    fn take_until_stopped(self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            tokio::select! { () = self => {}, () = stop.cancelled() => {} }
        }
        .boxed()
    }
}

impl<F: Future<Output = ()> + Send + 'static> TakeUntilStopped for F {}
