//! The claims that plans have decided on and the caches do not show yet.
//!
//! A claim is written under the item's version, which guards the item, and not what all plans share: two plans that are
//! decided at the same time would both take the last slot. So a plan is decided while the ledger is locked, and what it
//! hands out is in the ledger before the next one is. A second process is kept out by the lease.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt};

use crate::{
    api::{Claim, ReplicatedItem, ReplicatedItemStatus},
    core::schedule::load::{Limits, Load, Machine},
};

/// After so long a cache has caught up, or what was written was changed since.
const LONGEST: Duration = Duration::from_secs(30);

/// A claim on its way into the record, or its release.
struct Promise {
    plan: String,
    claim: Option<Claim>,
    /// It was written; the cache does not show it yet.
    written: bool,
    since: Instant,
}

/// The claims that the caches do not show yet, by the item's UID.
#[derive(Default)]
pub(super) struct Ledger(HashMap<String, Promise>);

impl Ledger {
    /// Forgets what the cache shows by now, and what it never will.
    pub(super) fn settle(&mut self, items: &[Arc<ReplicatedItem>], now: Instant) {
        self.0.retain(|_, promise| now.duration_since(promise.since) < LONGEST);
        for item in items {
            if let Some(uid) = item.meta().uid.as_ref()
                && self.0.get(uid).is_some_and(|promise| promise.written && promise.claim.as_ref() == recorded(item))
            {
                self.0.remove(uid);
            }
        }
    }

    /// A plan is about to write this claim.
    pub(super) fn promise(&mut self, plan: &str, item: &ReplicatedItem, claim: Option<Claim>, now: Instant) {
        if let Some(uid) = item.uid() {
            self.0.insert(uid, Promise { plan: plan.to_owned(), claim, written: false, since: now });
        }
    }

    /// It was written.
    pub(super) fn written(&mut self, item: &ReplicatedItem) {
        if let Some(promise) = item.meta().uid.as_ref().and_then(|uid| self.0.get_mut(uid)) {
            promise.written = true;
        }
    }

    /// It was not written after all.
    pub(super) fn forget(&mut self, item: &ReplicatedItem) {
        if let Some(uid) = item.meta().uid.as_ref() {
            self.0.remove(uid);
        }
    }

    /// The claim of an item as a plan must see it. What the plan itself promised and has not written is decided anew.
    pub(super) fn claim<'a>(&'a self, plan: &str, item: &'a ReplicatedItem) -> Option<&'a Claim> {
        match item.meta().uid.as_ref().and_then(|uid| self.0.get(uid)) {
            Some(promise) if promise.written || promise.plan != plan => promise.claim.as_ref(),
            Some(_) | None => recorded(item),
        }
    }

    /// What all plans have in use, as a plan must see it that comes after the `older` ones.
    pub(super) fn load(
        &self,
        plan: &str,
        items: &[Arc<ReplicatedItem>],
        limits: Limits,
        older: &BTreeSet<String>,
    ) -> Load {
        let empty = ReplicatedItemStatus::default();
        let vaults: Vec<String> = items.iter().map(|item| vault_of(item)).collect();
        let machines: Vec<Machine<'_>> = items
            .iter()
            .zip(&vaults)
            .map(|(item, vault)| Machine {
                vault,
                status: item.status.as_ref().unwrap_or(&empty),
                claim: self.claim(plan, item),
            })
            .collect();
        Load::of(limits, &machines, &older.iter().map(String::as_str).collect())
    }
}

fn recorded(item: &ReplicatedItem) -> Option<&Claim> {
    item.status.as_ref().and_then(|status| status.claim.as_ref())
}

/// An item's vault, by a name that is unique among all namespaces.
pub(super) fn vault_of(item: &ReplicatedItem) -> String {
    format!("{}/{}", item.namespace().unwrap_or_default(), item.spec.vault_ref.name)
}
