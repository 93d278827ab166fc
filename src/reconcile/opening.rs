//! What is awaited after a restart, a failover of the lease, or a change of a connection: the first reading.
//!
//! What is recorded is then as true as it was a moment ago. Were it told Unknown until the first reading, each restart
//! would move every `lastTransitionTime`, repeat events, and begin the soak before a commit anew. So such a status is
//! left as it is, for a minute at most, and nothing is done by it meanwhile.

use std::time::Duration;

use super::context::Context;
use crate::{
    api::{MasterTarget, ReplicatedItem},
    inventory::{Key, patience},
    kube_io::feed::lookup,
};

/// How soon is looked again in any case; who is waited for wakes when it was read.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// Whether something of a machine is yet to be looked for by this process for the first time.
pub(super) fn awaits_item(context: &Context, key: &Key, item: &ReplicatedItem) -> bool {
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

/// Whether connections may be about to open: their passes read Secrets first.
fn is_starting(context: &Context) -> bool {
    context.began.elapsed() < patience(context.clock.as_ref())
}
