//! One watch per kind, shared: a store that everybody reads, and a trigger for each who wants to know.

use std::{fmt::Debug, future::Future, hash::Hash, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, DeserializeGuard, NamespaceResourceScope, error_boundary::InvalidObject},
    runtime::{
        PredicateConfig, WatchStreamExt, reflector,
        reflector::Store,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::malformed::Malformed;
use crate::ports::SharedClock;

/// What happened to an object.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// It is new, or changed, or was listed.
    Applied(K),
    /// It is gone.
    Deleted(K),
}

/// A watched kind.
pub struct Feed<K: Resource<DynamicType = ()> + Clone + 'static> {
    api: Api<DeserializeGuard<K>>,
    odd: Malformed,
    writer: reflector::store::Writer<K>,
    store: Store<K>,
    listeners: Vec<mpsc::UnboundedSender<Change<K>>>,
    listed: watch::Sender<bool>,
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    /// A feed that is not watched yet, of one namespace or of all.
    pub fn new(client: &Client, namespace: Option<&str>, clock: SharedClock) -> Self {
        let api = match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let (store, writer) = reflector::store();
        let odd = Malformed::new(client.clone(), ApiResource::erase::<K>(&()), clock);
        Self { api, odd, writer, store, listeners: Vec::new(), listed: watch::Sender::new(false) }
    }

    /// The shared store.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Every change from now on.
    pub fn listen(&mut self) -> mpsc::UnboundedReceiver<Change<K>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.push(sender);
        receiver
    }

    /// Becomes true once everything was listed. The store's own signal wakes only one who waits, and that is the
    /// controller.
    pub fn listed(&self) -> watch::Receiver<bool> {
        self.listed.subscribe()
    }

    /// Watches until dropped. A failing watch has a backoff of its own and slows nobody else; an object that cannot be
    /// read is told so in its own status, and is not there for anybody else.
    pub fn run(self) -> impl Future<Output = ()> + Send + 'static {
        let Self { api, mut odd, writer, store, listeners, listed } = self;
        // Load balancers cut idle connections at 240 s.
        let config = watcher::Config::default().timeout(200);
        let events = watcher::watcher(api, config)
            .default_backoff()
            .filter_map(move |event| futures::future::ready(readable(event, &store, &mut odd)))
            .modify(|object| object.managed_fields_mut().clear())
            .reflect(writer);
        async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let change = match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => Change::Applied(object),
                    Ok(Event::Delete(object)) => Change::Deleted(object),
                    Ok(Event::Init) => continue,
                    Ok(Event::InitDone) => {
                        listed.send_replace(true);
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(kind = %K::kind(&()), %error, "a watch failed; it is tried again");
                        continue;
                    }
                };
                for listener in &listeners {
                    if listener.send(change.clone()).is_err() {
                        tracing::debug!(kind = %K::kind(&()), "nobody listens any more");
                    }
                }
            }
        }
    }
}

/// The event without objects that cannot be read. One that was readable before is gone for everybody.
fn readable<K>(
    event: watcher::Result<Event<DeserializeGuard<K>>>,
    store: &Store<K>,
    odd: &mut Malformed,
) -> Option<watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    if let Ok(Event::InitApply(DeserializeGuard(Ok(object))) | Event::Apply(DeserializeGuard(Ok(object)))) = &event {
        odd.mended(object.meta());
    }
    let mut refuse = |invalid: InvalidObject| {
        odd.tell(&invalid);
        let (name, namespace) = (invalid.metadata.name?, invalid.metadata.namespace?);
        let before = lookup(store, &namespace, &name)?;
        Some(Ok(Event::Delete(before.as_ref().clone())))
    };
    match event {
        Ok(Event::Init) => Some(Ok(Event::Init)),
        Ok(Event::InitDone) => Some(Ok(Event::InitDone)),
        Ok(Event::InitApply(DeserializeGuard(Ok(object)))) => Some(Ok(Event::InitApply(object))),
        Ok(Event::Apply(DeserializeGuard(Ok(object)))) => Some(Ok(Event::Apply(object))),
        Ok(Event::Delete(DeserializeGuard(Ok(object)))) => Some(Ok(Event::Delete(object))),
        Ok(
            Event::InitApply(DeserializeGuard(Err(invalid)))
            | Event::Apply(DeserializeGuard(Err(invalid)))
            | Event::Delete(DeserializeGuard(Err(invalid))),
        ) => refuse(invalid),
        Err(error) => Some(Err(error)),
    }
}

/// A controller's trigger from a feed: objects that are there, and changed in what the controller is for. Its own
/// status writes must not be among that.
pub fn trigger<K>(
    changes: mpsc::UnboundedReceiver<Change<K>>,
    interesting: impl Fn(&K) -> Option<u64> + Send + 'static,
) -> impl futures::Stream<Item = Result<K, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    futures::stream::unfold(changes, |mut changes| async move {
        loop {
            match changes.recv().await? {
                Change::Applied(object) => return Some((Ok(object), changes)),
                Change::Deleted(_) => {}
            }
        }
    })
    .predicate_filter(interesting, PredicateConfig::default())
}

/// Hashes what is interesting of an object.
pub fn fingerprint(parts: &[&dyn Fingerprint]) -> Option<u64> {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    for part in parts {
        part.feed(&mut hasher);
    }
    Some(hasher.finish())
}

/// Something that can be hashed behind a reference.
pub trait Fingerprint {
    /// Hashes it.
    fn feed(&self, hasher: &mut dyn std::hash::Hasher);
}

impl<T: Hash> Fingerprint for T {
    fn feed(&self, mut hasher: &mut dyn std::hash::Hasher) {
        self.hash(&mut hasher);
    }
}

/// A shared object of a store, by namespace and name.
pub fn lookup<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&reflector::ObjectRef::new(name).within(namespace))
}
