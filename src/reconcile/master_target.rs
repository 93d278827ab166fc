//! A master target: tell how it stands.

use std::sync::Arc;

use kube::runtime::controller::Action;

use super::{
    Error,
    context::{Context, key_of},
};
use crate::{
    api::MasterTarget,
    core::{
        decide::{RESYNC, target::decide},
        observed::Fact,
    },
    inventory::Key,
    kube_io::feed::lookup,
};

pub(super) async fn reconcile(target: Arc<MasterTarget>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(target.as_ref())?;
    let vault_key = Key { namespace: key.namespace.clone(), name: target.spec.vault_ref.name.clone() };
    let fabrics = match context.registry.vault(&vault_key) {
        Some(vault) => vault.view().fabrics,
        None if lookup(&context.stores.vaults, &vault_key.namespace, &vault_key.name).is_none() => {
            Fact::unknown(format!("spec.vaultRef: there is no RecoveryVault \"{}\" in this namespace.", vault_key.name))
        }
        None => Fact::unknown(format!("RecoveryVault \"{}\" is not connected.", vault_key.name)),
    };
    let before = target.status.clone().unwrap_or_default();
    let after = decide(&target.spec, &before, target.metadata.generation, &fabrics, context.clock.now());
    context.write_status(&key, target.as_ref(), &before, &after).await?;
    Ok(Action::requeue(context.clock.wall(RESYNC)))
}
