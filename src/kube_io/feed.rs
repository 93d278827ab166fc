//! One watch per kind, shared: a store that everybody reads, and a trigger for each who wants to know.

use std::{fmt::Debug, future::Future, hash::Hash, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        PredicateConfig, WatchStreamExt, reflector,
        reflector::Store,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

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
    api: Api<K>,
    writer: reflector::store::Writer<K>,
    store: Store<K>,
    listeners: Vec<mpsc::UnboundedSender<Change<K>>>,
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// A feed that is not watched yet.
    pub fn new(api: Api<K>) -> Self {
        let (store, writer) = reflector::store();
        Self { api, writer, store, listeners: Vec::new() }
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

    /// Watches until dropped. A failing watch has a backoff of its own and slows nobody else.
    pub fn run(self) -> impl Future<Output = ()> + Send + 'static {
        let Self { api, writer, listeners, .. } = self;
        // Load balancers cut idle connections at 240 s.
        let config = watcher::Config::default().timeout(200);
        let events = watcher::watcher(api, config)
            .modify(|object| object.managed_fields_mut().clear())
            .default_backoff()
            .reflect(writer);
        async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let change = match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => Change::Applied(object),
                    Ok(Event::Delete(object)) => Change::Deleted(object),
                    Ok(Event::Init | Event::InitDone) => continue,
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
