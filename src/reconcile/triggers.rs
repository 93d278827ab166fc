//! What wakes a controller besides its own objects: inventories, and objects of other kinds.

use std::{collections::HashMap, sync::Arc};

use futures::{Stream, StreamExt, stream};
use kube::ResourceExt;
use tokio::sync::{broadcast, mpsc};

use super::{context::Context, plan::concerns};
use crate::{
    api::{FailbackPlan, FailbackPlanStatus, Issue, MasterTarget, ReplicatedItem},
    inventory::{Key, Wake},
    kube_io::feed::Change,
};

/// Wake-ups of the inventories, for as many listeners as there are.
pub(super) struct Wakes(broadcast::Sender<Wake>);

impl Wakes {
    pub(super) fn new(mut woken: mpsc::UnboundedReceiver<Wake>) -> Self {
        let (sender, _) = broadcast::channel(16_384);
        let out = sender.clone();
        tokio::spawn(async move {
            while let Some(wake) = woken.recv().await {
                if out.send(wake).is_err() {
                    return;
                }
            }
        });
        Self(sender)
    }

    pub(super) fn of(
        &self,
        pick: impl Fn(Wake) -> Vec<Key> + Send + 'static,
    ) -> impl Stream<Item = (String, String)> + Send + 'static {
        let receiver = self.0.subscribe();
        stream::unfold((receiver, pick), |(mut receiver, pick)| async move {
            loop {
                match receiver.recv().await {
                    Ok(wake) => {
                        let keys: Vec<_> = pick(wake).into_iter().map(|key| (key.namespace, key.name)).collect();
                        return Some((stream::iter(keys), (receiver, pick)));
                    }
                    // What was missed is found by the regular recheck.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .flatten()
    }
}

/// Names of objects that what is told concerns.
pub(super) fn from<T: Send + 'static>(
    told: mpsc::UnboundedReceiver<T>,
    map: impl Fn(T) -> Vec<(String, String)> + Send + 'static,
) -> impl Stream<Item = (String, String)> + Send + 'static {
    stream::unfold((told, map), |(mut told, map)| async move {
        let news = told.recv().await?;
        let names = map(news);
        Some((stream::iter(names), (told, map)))
    })
    .flatten()
}

/// Names of objects that a change of another kind concerns.
pub(super) fn refs<K>(
    changes: mpsc::UnboundedReceiver<Change<K>>,
    map: impl Fn(&K) -> Vec<(String, String)> + Send + 'static,
) -> impl Stream<Item = (String, String)> + Send + 'static
where
    K: Send + 'static,
{
    stream::unfold((changes, map), |(mut changes, map)| async move {
        let (Change::Applied(object) | Change::Deleted(object)) = changes.recv().await?;
        let names = map(&object);
        Some((stream::iter(names), (changes, map)))
    })
    .flatten()
}

/// UID and generation of an object: they change with what is declared.
type Declared = (Option<String>, Option<i64>);

/// The same, when what is declared changed, or the object is gone; not when its status was written.
pub(super) fn declared<K>(
    changes: mpsc::UnboundedReceiver<Change<K>>,
    map: impl Fn(&K) -> Vec<(String, String)> + Send + 'static,
) -> impl Stream<Item = (String, String)> + Send + 'static
where
    K: ResourceExt + Send + 'static,
{
    let seen: HashMap<(Option<String>, String), Declared> = HashMap::new();
    stream::unfold((changes, map, seen), |(mut changes, map, mut seen)| async move {
        let change = changes.recv().await?;
        let (Change::Applied(object) | Change::Deleted(object)) = &change;
        let key = (object.namespace(), object.name_any());
        let before = match &change {
            Change::Applied(object) => {
                let now = (object.uid(), object.meta().generation);
                seen.insert(key, now.clone()).filter(|before| *before == now)
            }
            Change::Deleted(_) => {
                seen.remove(&key);
                None
            }
        };
        let names = if before.is_some() { Vec::new() } else { map(object) };
        Some((stream::iter(names), (changes, map, seen)))
    })
    .flatten()
}

pub(super) fn plans_of_item(context: Arc<Context>) -> impl Fn(&ReplicatedItem) -> Vec<(String, String)> + Send {
    move |item| {
        let empty = FailbackPlanStatus::default();
        let namespace = item.namespace().unwrap_or_default();
        let claimed = item.status.as_ref().and_then(|status| status.claim.as_ref()).map(|claim| claim.plan.clone());
        context
            .stores
            .plans
            .state()
            .into_iter()
            .filter(|plan| {
                let status = plan.status.as_ref().unwrap_or(&empty);
                let ours = plan.namespace().as_deref() == Some(namespace.as_str())
                    && (claimed.as_deref() == Some(plan.name_any().as_str()) || concerns(&plan.spec, status, item));
                // A label that was taken away, or came, changes what an approval is for.
                let finds = || {
                    plan.namespace().as_deref() == Some(namespace.as_str())
                        && status.started_at.is_none()
                        && plan.spec.finds_by_label()
                };
                // What this machine lets go of may be what another plan waits for.
                ours || finds() || waits_for_others(status)
            })
            .map(|plan| (plan.namespace().unwrap_or_default(), plan.name_any()))
            .collect()
    }
}

/// The plans that wait for something shared: a master target may take more disks, or fewer, than before.
pub(super) fn plans_in_line(context: Arc<Context>) -> impl Fn(&MasterTarget) -> Vec<(String, String)> + Send {
    move |_| {
        let plans = context.stores.plans.state();
        let waiting = plans.iter().filter(|plan| plan.status.as_ref().is_some_and(waits_for_others));
        waiting.map(|plan| (plan.namespace().unwrap_or_default(), plan.name_any())).collect()
    }
}

/// Whether a plan waits for something that plans share.
fn waits_for_others(status: &FailbackPlanStatus) -> bool {
    let shared =
        |issue: &Issue| matches!(issue.reason.as_str(), "MasterTargetFull" | "VaultBusy" | "HostBusy" | "ItemClaimed");
    status.completed_at.is_none() && status.issues.iter().any(shared)
}

pub(super) fn approvals_of_plan(context: Arc<Context>) -> impl Fn(&FailbackPlan) -> Vec<(String, String)> + Send {
    move |plan| {
        let namespace = plan.namespace().unwrap_or_default();
        context
            .stores
            .approvals
            .state()
            .into_iter()
            .filter(|approval| approval.namespace().as_deref() == Some(namespace.as_str()))
            .filter(|approval| approval.spec.plan_ref.name == plan.name_any())
            .map(|approval| (namespace.clone(), approval.name_any()))
            .collect()
    }
}

/// The machines of a target's vault: those that name it, and those that may choose it.
pub(super) fn users_of_target(context: Arc<Context>) -> impl Fn(&MasterTarget) -> Vec<(String, String)> + Send {
    move |target| {
        let namespace = target.namespace().unwrap_or_default();
        let name = target.name_any();
        let is_named =
            |item: &ReplicatedItem| item.spec.master_target_ref.as_ref().map(|reference| reference.name == name);
        context
            .stores
            .items
            .state()
            .into_iter()
            .filter(|item| item.namespace().as_deref() == Some(namespace.as_str()))
            .filter(|item| is_named(item).unwrap_or(item.spec.vault_ref == target.spec.vault_ref))
            .map(|item| (namespace.clone(), item.name_any()))
            .collect()
    }
}

pub(super) fn targets_of_wake(context: Arc<Context>) -> impl Fn(Wake) -> Vec<Key> + Send {
    let naming = move |namespace: &str, named: &dyn Fn(&MasterTarget) -> bool| -> Vec<Key> {
        context
            .stores
            .targets
            .state()
            .into_iter()
            .filter(|target| target.namespace().as_deref() == Some(namespace) && named(target))
            .map(|target| Key { namespace: namespace.to_owned(), name: target.name_any() })
            .collect()
    };
    move |wake| match wake {
        Wake::Target(key) => vec![key],
        Wake::Vault(vault) => naming(&vault.namespace, &|target| target.spec.vault_ref.name == vault.name),
        Wake::VCenterOpened(vcenter) => naming(&vcenter.namespace, &|target| {
            target.spec.vcenter_ref.as_ref().is_none_or(|reference| reference.name == vcenter.name)
        }),
        Wake::Item(_) | Wake::VCenter(_) | Wake::VaultOpened(_) => vec![],
    }
}

pub(super) fn items_of_wake(context: Arc<Context>) -> impl Fn(Wake) -> Vec<Key> + Send {
    let naming = move |namespace: &str, named: &dyn Fn(&ReplicatedItem) -> bool| -> Vec<Key> {
        context
            .stores
            .items
            .state()
            .into_iter()
            .filter(|item| item.namespace().as_deref() == Some(namespace) && named(item))
            .map(|item| Key { namespace: namespace.to_owned(), name: item.name_any() })
            .collect()
    };
    move |wake| match wake {
        Wake::Item(key) => vec![key],
        Wake::VaultOpened(vault) => naming(&vault.namespace, &|item| item.spec.vault_ref.name == vault.name),
        Wake::VCenterOpened(vcenter) => naming(&vcenter.namespace, &|item| item.spec.vcenter_ref.name == vcenter.name),
        Wake::Target(_) | Wake::Vault(_) | Wake::VCenter(_) => vec![],
    }
}
