//! One store per kind, shared, fed by a watch for each namespace or by one for all: everybody reads it, and there is a
//! trigger for each who wants to know.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt::Debug,
    future::Future,
    hash::Hash,
    sync::Arc,
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
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
use tokio::sync::mpsc;

use super::{
    coverage::{Coverage, Scope},
    malformed::Malformed,
};
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
    client: Client,
    scopes: Vec<Scope>,
    coverage: Coverage,
    odd: Malformed,
    writer: reflector::store::Writer<K>,
    store: Store<K>,
    listeners: Vec<mpsc::UnboundedSender<Change<K>>>,
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
    /// A feed that is not watched yet, of some namespaces or, with none, of all.
    pub fn new(client: &Client, namespaces: &[String], clock: SharedClock, coverage: &Coverage) -> Self {
        let scopes = match namespaces {
            [] => vec![None],
            named => named.iter().cloned().map(Some).collect(),
        };
        let kind = Self::kind();
        scopes.iter().for_each(|scope| coverage.expect(kind, scope));
        let (store, writer) = reflector::store();
        let odd = Malformed::new(client.clone(), ApiResource::erase::<K>(&()), clock);
        let coverage = coverage.clone();
        Self { client: client.clone(), scopes, coverage, odd, writer, store, listeners: Vec::new() }
    }

    /// The kind's name; all of ours are constants.
    fn kind() -> &'static str {
        match K::kind(&()) {
            Cow::Borrowed(kind) => kind,
            Cow::Owned(_) => "Other",
        }
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

    /// Watches until dropped. A failing watch has a backoff of its own and slows nobody else; an object that cannot be
    /// read is told so in its own status, and is not there for anybody else.
    pub fn run(self) -> impl Future<Output = ()> + Send + 'static {
        let Self { client, scopes, coverage, odd, mut writer, store, listeners } = self;
        let mut events = stream::select_all(scopes.into_iter().map(|scope| watched(&client, scope)));
        async move {
            // The store is there from the start; who must not see half of it asks the coverage.
            writer.apply_watcher_event(&Event::Init);
            writer.apply_watcher_event(&Event::InitDone);
            let mut listing = Listing::default();
            while let Some((scope, event)) = events.next().await {
                note(Self::kind(), &coverage, &scope, &event);
                for change in listing.changes(&scope, event, &store, &odd) {
                    writer.apply_watcher_event(&match &change {
                        Change::Applied(object) => Event::Apply(object.clone()),
                        Change::Deleted(object) => Event::Delete(object.clone()),
                    });
                    for listener in &listeners {
                        if listener.send(change.clone()).is_err() {
                            tracing::debug!(kind = Self::kind(), "nobody listens any more");
                        }
                    }
                }
                if listing.ended {
                    coverage.seen(Self::kind(), &scope, true);
                }
            }
        }
    }
}

type Watched<K> = BoxStream<'static, (Scope, watcher::Result<Event<DeserializeGuard<K>>>)>;

/// The events of one place.
fn watched<K>(client: &Client, scope: Scope) -> Watched<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = match &scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    // Load balancers cut idle connections at 240 s.
    let config = watcher::Config::default().timeout(200);
    watcher::watcher(api, config).default_backoff().map(move |event| (scope.clone(), event)).boxed()
}

/// What an event says of the watch itself.
fn note<K>(kind: &'static str, coverage: &Coverage, scope: &Scope, event: &watcher::Result<Event<K>>) {
    let Err(error) = event else {
        // A list that begins has told nothing yet.
        if !matches!(event, Ok(Event::Init)) {
            coverage.seen(kind, scope, false);
        }
        return;
    };
    let place = scope.as_deref().unwrap_or("all namespaces");
    let news = coverage.failed(kind, scope, status(error) == Some(403));
    match status(error) {
        // Not again for each try.
        Some(_) if !news => tracing::debug!(kind, place, %error, "a watch still fails"),
        Some(403) => tracing::error!(
            kind,
            place,
            %error,
            "the controller may not list or watch this kind here, so nothing here is worked on: give it the chart's Role, or take the namespace out of watchNamespaces"
        ),
        Some(404) => tracing::error!(
            kind,
            place,
            "the CustomResourceDefinition is missing: apply the files of crds/, or the output of `failback crds`"
        ),
        Some(_) | None => tracing::warn!(kind, place, %error, "a watch failed; it is tried again"),
    }
}

/// The API server's own answer to a list or a watch that failed.
fn status(error: &watcher::Error) -> Option<u16> {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    if let WatchError(status) = error {
        return Some(status.code);
    }
    if let InitialListFailed(kube::Error::Api(status))
    | WatchStartFailed(kube::Error::Api(status))
    | WatchFailed(kube::Error::Api(status)) = error
    {
        return Some(status.code);
    }
    None
}

/// What a list that is under way has told so far, by place. What is in the store and not in a finished list is gone.
#[derive(Default)]
struct Listing {
    told: HashMap<Scope, HashSet<(String, String)>>,
    /// The last event ended a list.
    ended: bool,
}

impl Listing {
    /// What an event changes for everybody else. An object that cannot be read, and could before, is gone for them.
    fn changes<K>(
        &mut self,
        scope: &Scope,
        event: watcher::Result<Event<DeserializeGuard<K>>>,
        store: &Store<K>,
        odd: &Malformed,
    ) -> Vec<Change<K>>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        self.ended = false;
        match event {
            Ok(Event::Init) => {
                self.told.insert(scope.clone(), HashSet::new());
                Vec::new()
            }
            Ok(Event::InitApply(DeserializeGuard(object))) => {
                if let (Ok(object), Some(told)) = (&object, self.told.get_mut(scope)) {
                    told.insert(id(object.meta()));
                }
                applied(object, store, odd).into_iter().collect()
            }
            Ok(Event::InitDone) => {
                self.ended = true;
                let told = self.told.remove(scope).unwrap_or_default();
                let inside = |object: &K| scope.is_none() || object.meta().namespace == *scope;
                let gone =
                    store.state().into_iter().filter(|object| inside(object) && !told.contains(&id(object.meta())));
                gone.map(|object| Change::Deleted(object.as_ref().clone())).collect()
            }
            Ok(Event::Apply(DeserializeGuard(object))) => applied(object, store, odd).into_iter().collect(),
            Ok(Event::Delete(DeserializeGuard(Ok(object)))) => {
                odd.gone(object.meta().uid.as_deref().unwrap_or_default());
                vec![Change::Deleted(object)]
            }
            Ok(Event::Delete(DeserializeGuard(Err(invalid)))) => {
                odd.gone(invalid.metadata.uid.as_deref().unwrap_or_default());
                before(store, &invalid).into_iter().collect()
            }
            Err(_) => Vec::new(),
        }
    }
}

fn id(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn applied<K>(object: Result<K, InvalidObject>, store: &Store<K>, odd: &Malformed) -> Option<Change<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match object {
        Ok(mut object) => {
            odd.mended(object.meta());
            object.managed_fields_mut().clear();
            Some(Change::Applied(object))
        }
        Err(invalid) => {
            odd.tell(&invalid);
            before(store, &invalid)
        }
    }
}

/// An object that cannot be read any more, as it was when it could.
fn before<K>(store: &Store<K>, invalid: &InvalidObject) -> Option<Change<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (name, namespace) = (invalid.metadata.name.as_ref()?, invalid.metadata.namespace.as_ref()?);
    lookup(store, namespace, name).map(|before| Change::Deleted(before.as_ref().clone()))
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
