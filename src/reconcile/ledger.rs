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
    api::{Claim, RecoveryVault, ReplicatedItem, ReplicatedItemStatus},
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
        vaults: &Vaults,
        limits: Limits,
        older: &BTreeSet<String>,
    ) -> Load {
        let empty = ReplicatedItemStatus::default();
        let vaults: Vec<String> = items.iter().map(|item| vaults.of_item(item)).collect();
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

/// What the RecoveryVaults stand for. Two namespaces may declare the same vault, which has its limit of calls once.
#[derive(Debug, Default)]
pub(super) struct Vaults(HashMap<String, String>);

impl Vaults {
    pub(super) fn of(declared: &[Arc<RecoveryVault>]) -> Self {
        let by_name = |vault: &Arc<RecoveryVault>| {
            let spec = &vault.spec;
            // Azure compares them without regard to case.
            let id = format!("{}/{}/{}", spec.subscription_id, spec.resource_group, spec.vault_name).to_lowercase();
            (format!("{}/{}", vault.namespace().unwrap_or_default(), vault.name_any()), id)
        };
        Self(declared.iter().map(by_name).collect())
    }

    /// An item's vault, by a name that is unique among all namespaces; that of the object, where there is none.
    pub(super) fn of_item(&self, item: &ReplicatedItem) -> String {
        let name = format!("{}/{}", item.namespace().unwrap_or_default(), item.spec.vault_ref.name);
        self.0.get(&name).cloned().unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::schedule::load::CALLS_PER_VAULT;

    fn object<K: serde::de::DeserializeOwned>(namespace: &str, name: &str, spec: Value, status: Value) -> Arc<K> {
        let metadata = json!({ "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}") });
        Arc::new(serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).unwrap())
    }

    fn vault(namespace: &str, group: &str) -> Arc<RecoveryVault> {
        let spec = json!({
            "subscriptionId": "aaaaaaaa-0000-4000-8000-000000000000", "resourceGroup": group, "vaultName": "vault",
            "credential": { "managedIdentity": {} },
        });
        object(namespace, "main", spec, Value::Null)
    }

    #[test]
    fn one_vault_that_two_namespaces_declare_has_its_calls_once() {
        let items: Vec<Arc<ReplicatedItem>> = (0..CALLS_PER_VAULT)
            .map(|number| {
                let namespace = if number % 2 == 0 { "one" } else { "two" };
                let spec = json!({
                    "vaultRef": { "name": "main" }, "vcenterRef": { "name": "c" }, "machine": format!("m-{number}"),
                });
                let status = json!({
                    "phase": "FailedOver", "conditions": [], "checks": [],
                    "claim": { "plan": "p", "planUid": "uid", "upTo": "Reprotected", "wave": "w", "soakSeconds": 0 },
                });
                object(namespace, &format!("m-{number}"), spec, status)
            })
            .collect();
        let has_room = |declared: &[Arc<RecoveryVault>]| {
            let vaults = Vaults::of(declared);
            let load = Ledger::default().load("uid", &items, &vaults, Limits::default(), &BTreeSet::new());
            load.has_call(&vaults.of_item(&items[0])).is_ok()
        };
        assert!(!has_room(&[vault("one", "Site"), vault("two", "site")]));
        assert!(has_room(&[vault("one", "site"), vault("two", "other")]));
        assert!(has_room(&[]), "without the objects nothing tells that it is the same");
    }
}
