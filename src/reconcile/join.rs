//! What objects share: the targets' load and the consistency groups, followed object by object.

use std::sync::{Arc, MutexGuard, PoisonError};

use kube::ResourceExt;
use tokio::sync::mpsc;

use super::context::{Context, key_of};
use crate::{
    api::{MasterTarget, RecoveryVault, ReplicatedItem, TargetKind},
    core::{
        decide::target::generation,
        observed::{Fabric, ReprotectTarget},
        roster::{Entry, ItemKey, Roster, Touched},
    },
    inventory::{Key, Wake, Waker},
    kube_io::feed::{Change, lookup},
};

/// The key of an object in the roster.
pub(super) fn item_key(key: &Key) -> ItemKey {
    (key.namespace.clone(), key.name.clone())
}

impl Context {
    /// What all ReplicatedItems share.
    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The RecoveryVault of this name, as declared.
    pub(super) fn vault_object(&self, namespace: &str, name: &str) -> Option<Arc<RecoveryVault>> {
        lookup(&self.stores.vaults, namespace, name)
    }

    /// The MasterTargets of a vault.
    pub(super) fn targets_of(&self, vault: &Key) -> Vec<Arc<MasterTarget>> {
        let mut targets = self.stores.targets.state();
        targets.retain(|target| {
            target.namespace().as_deref() == Some(vault.namespace.as_str()) && target.spec.vault_ref.name == vault.name
        });
        targets.sort_by_key(|target| target.name_any());
        targets
    }
}

/// The MasterTarget that describes this component of a fabric.
pub(super) fn describes<'a>(
    objects: &'a [Arc<MasterTarget>],
    fabric: &Fabric,
    target: &ReprotectTarget,
) -> Option<&'a MasterTarget> {
    let is_it = |(kind, name): (TargetKind, &str)| {
        fabric.generation == Some(generation(kind))
            && (target.name.eq_ignore_ascii_case(name) || target.id.eq_ignore_ascii_case(name))
    };
    objects.iter().map(AsRef::as_ref).find(|object: &&MasterTarget| object.spec.component().is_some_and(is_it))
}

/// Takes in all objects that were listed. No pass may run before: it would count too few disks.
pub(super) fn list(context: &Context) {
    for item in context.stores.items.state() {
        take_in(context, &item, true);
    }
}

/// Follows the objects, and wakes who shares something with one that changed.
pub(super) async fn follow(
    context: Arc<Context>,
    mut items: mpsc::UnboundedReceiver<Change<ReplicatedItem>>,
    wake: Waker,
) {
    while let Some(change) = items.recv().await {
        let touched = match &change {
            Change::Applied(item) => take_in(&context, item, true),
            Change::Deleted(item) => take_in(&context, item, false),
        };
        for reader in readers(&context, touched) {
            if wake.send(reader).is_err() {
                return;
            }
        }
    }
}

fn take_in(context: &Context, item: &ReplicatedItem, there: bool) -> Touched {
    let Ok(key) = key_of(item) else { return Touched::default() };
    let status = item.status.clone().unwrap_or_default();
    let entry =
        there.then(|| Entry::of(&key.namespace, item.creation_timestamp().map(|made| made.0), &item.spec, &status));
    context.roster().apply(&item_key(&key), entry)
}

fn readers(context: &Context, touched: Touched) -> Vec<Wake> {
    let items = touched.items.into_iter().map(|(namespace, name)| Wake::Item(Key { namespace, name }));
    let mut readers: Vec<Wake> = items.collect();
    if touched.targets.is_empty() {
        return readers;
    }
    for target in context.stores.targets.state() {
        let id = target.status.as_ref().and_then(|status| status.id.as_ref()).map(|id| id.to_ascii_lowercase());
        if id.is_some_and(|id| touched.targets.contains(&id)) {
            readers.extend(key_of(target.as_ref()).ok().map(Wake::Target));
        }
    }
    readers
}
