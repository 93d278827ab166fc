//! What is awaited after a restart, a failover of the lease, or a change of a connection: the first reading.
//!
//! What is recorded is then as true as it was a moment ago. Were it told Unknown until the first reading, each restart
//! would move every `lastTransitionTime`, repeat events, and begin the soak before a commit anew. So such a status is
//! left as it is, for a minute and while readings come, and nothing is done by it meanwhile. Where nobody looked for longer
//! before, it is told at once: what was verified then is verified anew.

use std::time::Duration;

use super::context::{Context, key_of};
use crate::{
    api::{MasterTarget, ReplicatedItem},
    inventory::{Key, LATE, patience},
    kube_io::feed::lookup,
};

/// How soon is looked again in any case; who is waited for wakes when it was read.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// Whether the recorded status of a machine stands until this process has looked at it for the first time.
pub(super) fn awaits_item(context: &Context, key: &Key, item: &ReplicatedItem) -> bool {
    !was_vacant(context) && is_unread(context, key, item)
}

/// Whether a machine of this plan is yet to be looked at: its record is not to be decided on, neither to go on with others
/// nor to undo a failback.
pub(super) fn awaits_machine_of(context: &Context, plan_uid: &str) -> bool {
    let claimed = |item: &ReplicatedItem| {
        item.status.as_ref().and_then(|status| status.claim.as_ref()).is_some_and(|claim| claim.plan_uid == plan_uid)
    };
    let unread = |item: &ReplicatedItem| key_of(item).is_ok_and(|key| is_unread(context, &key, item));
    context.stores.items.state().iter().any(|item| claimed(item) && unread(item))
}

fn is_unread(context: &Context, key: &Key, item: &ReplicatedItem) -> bool {
    let beside = |name: &str| Key { namespace: key.namespace.clone(), name: name.to_owned() };
    let (vault, vcenter) = (beside(&item.spec.vault_ref.name), beside(&item.spec.vcenter_ref.name));
    let vault = match context.registry.vault(&vault) {
        Some(inventory) => inventory.awaits(key),
        None => context.vault_object(&vault.namespace, &vault.name).is_some() && is_starting(context),
    };
    vault || awaits_vcenter(context, &vcenter) || context.stores.probes.awaits(key)
}

/// The same of a master target, which may be looked for in any vCenter of its namespace.
pub(super) fn awaits_target(context: &Context, key: &Key, target: &MasterTarget) -> bool {
    if was_vacant(context) {
        return false;
    }
    let vault = Key { namespace: key.namespace.clone(), name: target.spec.vault_ref.name.clone() };
    let vault = match context.registry.vault(&vault) {
        Some(inventory) => inventory.is_opening(),
        None => context.vault_object(&vault.namespace, &vault.name).is_some() && is_starting(context),
    };
    let vcenters = context.stores.vcenters.state();
    let here = vcenters.iter().filter(|vcenter| vcenter.metadata.namespace.as_ref() == Some(&key.namespace));
    let mut names = here.filter_map(|vcenter| vcenter.metadata.name.clone());
    vault || names.any(|name| awaits_vcenter(context, &Key { namespace: key.namespace.clone(), name }))
}

fn awaits_vcenter(context: &Context, vcenter: &Key) -> bool {
    match context.registry.vcenter(vcenter) {
        Some(inventory) => inventory.awaits(),
        None => {
            let declared = lookup(&context.stores.vcenters, &vcenter.namespace, &vcenter.name);
            declared.is_some() && is_starting(context)
        }
    }
}

/// Whether what is recorded says nothing of the time before this process: it matters until all was read once.
fn was_vacant(context: &Context) -> bool {
    context.leadership.was_vacant()
        && context.began.elapsed() < context.clock.wall(LATE).max(patience(context.clock.as_ref()))
}

/// Whether connections may be about to open: their passes read Secrets first.
fn is_starting(context: &Context) -> bool {
    context.began.elapsed() < patience(context.clock.as_ref())
}
