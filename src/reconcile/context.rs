//! What every pass has at hand.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{Api, Client, Resource, ResourceExt, core::NamespaceResourceScope, runtime::reflector::Store};
use serde::{Serialize, de::DeserializeOwned};

use super::{Error, hooks::Jobs, ledger::Ledger, probes::Board, turns::Turns};
use crate::{
    api::{FailbackApproval, FailbackPlan, MasterTarget, RecoveryVault, ReplicatedItem, VCenter},
    core::{backoff, roster::Roster},
    inventory::{Key, Registry},
    kube_io::{
        coverage::Coverage,
        report::Events,
        write::{MANAGER, WriteError, apply_status},
    },
    ports::{Leadership, SharedClock, Tally},
};

/// What a controller is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces that are watched; all without.
    pub namespaces: Vec<String>,
    /// How many objects of a kind are worked on at the same time.
    pub concurrency: u16,
    /// Name of this process in events and in the lease.
    pub instance: String,
}

/// What passes share: the stores, what probes saw, the users' Jobs, and the places for work.
pub struct Stores {
    pub(super) vaults: Store<RecoveryVault>,
    pub(super) vcenters: Store<VCenter>,
    pub(super) targets: Store<MasterTarget>,
    pub(super) items: Store<ReplicatedItem>,
    pub(super) plans: Store<FailbackPlan>,
    pub(super) approvals: Store<FailbackApproval>,
    /// How far they see.
    pub(super) coverage: Coverage,
    pub(super) probes: Board,
    pub(super) turns: Turns,
    pub(super) jobs: Jobs,
}

/// What every pass has at hand.
pub struct Context {
    pub(super) client: Client,
    pub(super) clock: SharedClock,
    pub(super) registry: Registry,
    pub(super) leadership: Arc<dyn Leadership>,
    /// Controllers run only while their process leads, so that it is when they began.
    pub(super) leading_since: Timestamp,
    /// The same by the wall's clock.
    pub(super) began: Instant,
    pub(super) events: Events,
    pub(super) stores: Stores,
    pub(super) tally: Arc<dyn Tally>,
    pub(super) roster: Mutex<Roster>,
    failures: Mutex<HashMap<(&'static str, Key), u32>>,
    ledger: Mutex<Ledger>,
}

impl Context {
    /// Puts it together.
    pub fn new(
        client: Client,
        clock: SharedClock,
        registry: Registry,
        leadership: Arc<dyn Leadership>,
        events: Events,
        stores: Stores,
        tally: Arc<dyn Tally>,
    ) -> Self {
        Self {
            leading_since: clock.now(),
            began: Instant::now(),
            client,
            clock,
            registry,
            leadership,
            events,
            stores,
            tally,
            failures: Mutex::default(),
            ledger: Mutex::default(),
            roster: Mutex::default(),
        }
    }

    pub(super) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Writes a status, if it differs from what was read. True when it did.
    pub(super) async fn write_status<K, S>(&self, key: &Key, object: &K, before: &S, after: &S) -> Result<bool, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
        S: PartialEq + Serialize,
    {
        if before == after {
            return Ok(false);
        }
        apply_status(&self.api::<K>(&key.namespace), object, MANAGER, after).await?;
        Ok(true)
    }

    /// How long to wait after a failed pass, by how many failed in a row.
    pub(super) fn after_error(&self, kind: &'static str, key: Key, error: &Error) -> Duration {
        match error {
            // The newer object is on its way through the watch.
            Error::Write(WriteError::Conflict) => Duration::from_millis(100),
            Error::Write(WriteError::Gone) => Duration::from_secs(300),
            Error::Write(WriteError::Forbidden(_) | WriteError::Kube(_))
            | Error::Unread(_)
            | Error::Malformed(_)
            | Error::Panicked(_) => {
                let seed = key.name.clone();
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                let count = failures.entry((kind, key)).or_insert(0);
                *count += 1;
                backoff::jittered(backoff::exponential(*count, Duration::from_secs(1), Duration::from_secs(120)), &seed)
            }
        }
    }

    /// The claims that the caches do not show yet. Held while a plan is decided, and never across a wait.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass succeeded, or its object is gone: nothing is left to count.
    pub(super) fn succeeded(&self, kind: &'static str, key: &Key) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, key.clone()));
    }
}

/// Namespace and name of a namespaced object.
pub(super) fn key_of(object: &impl ResourceExt) -> Result<Key, Error> {
    Ok(Key { namespace: object.namespace().ok_or(Error::Malformed("namespace"))?, name: object.name_any() })
}
