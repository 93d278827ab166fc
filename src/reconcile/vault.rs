//! A vault: keep its inventory running, and tell how the connection stands.

use std::sync::Arc;

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Error,
    connection::{NoSecret, link_state, record, secret_value},
    context::{Context, key_of},
    opening,
};
use crate::{
    api::{RecoveryVault, RecoveryVaultStatus},
    core::{
        conditions,
        decide::connection::{LinkState, drafts},
    },
    inventory::{Key, VaultView},
    ports::{Secret, VaultConnection},
};

pub(super) async fn reconcile(vault: Arc<RecoveryVault>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(vault.as_ref())?;
    let (link, view) = match client_secret(&context, &key, &vault).await {
        Err(NoSecret::Unread(error)) => return Err(Error::Unread(error)),
        Err(NoSecret::Missing(missing)) => (LinkState::NoSecret(missing), None),
        Ok(client_secret) => {
            let connection =
                VaultConnection { namespace: key.namespace.clone(), spec: vault.spec.clone(), client_secret };
            match context.registry.open_vault(&key, connection) {
                Err(failure) => (LinkState::Down(failure), None),
                Ok(inventory) => {
                    let now = context.vault_object(&key.namespace, &key.name);
                    if now.is_none_or(|now| now.uid() != vault.uid()) {
                        // It went while its Secret was read, and nobody would close it any more.
                        context.registry.close_vault(&key);
                        return Ok(Action::await_change());
                    }
                    let told = vault.status.as_ref().and_then(|status| status.observed_generation);
                    if inventory.is_opening() && told == vault.metadata.generation {
                        return Ok(Action::requeue(opening::AGAIN));
                    }
                    let view = inventory.view();
                    (link_state(&view.link), Some(view))
                }
            }
        }
    };
    let before = vault.status.clone().unwrap_or_default();
    let after = status(&vault, &before, &link, view.as_ref(), &context);
    record(&context, &key, vault.as_ref(), &link, (&before, &after), |status| &status.conditions).await
}

/// The client secret, when the credential is one.
async fn client_secret(context: &Context, key: &Key, vault: &RecoveryVault) -> Result<Option<Secret>, NoSecret> {
    match &vault.spec.credential.client_secret {
        None => Ok(None),
        Some(credential) => {
            let reference = &credential.secret_ref;
            let field = "spec.credential.clientSecret.secretRef";
            secret_value(context, &key.namespace, &reference.name, &reference.key, field).await.map(Some)
        }
    }
}

fn status(
    vault: &RecoveryVault,
    before: &RecoveryVaultStatus,
    link: &LinkState,
    view: Option<&VaultView>,
    context: &Context,
) -> RecoveryVaultStatus {
    let generation = vault.metadata.generation;
    let seen = view.and_then(|view| view.vault.as_ref());
    RecoveryVaultStatus {
        observed_generation: generation,
        conditions: conditions::merge(&before.conditions, drafts(link), generation, context.clock.now()),
        vault_id: seen.map(|vault| vault.id.clone()).or_else(|| before.vault_id.clone()),
        location: seen.map(|vault| vault.location.clone()).or_else(|| before.location.clone()),
        items: view.and_then(|view| view.items).and_then(|count| i64::try_from(count).ok()).or(before.items),
        unreadable: view.map_or_else(|| before.unreadable.clone(), |view| view.unreadable.clone()),
    }
}
