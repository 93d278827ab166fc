//! A vault: keep its inventory running, and tell how the connection stands.

use std::{sync::Arc, time::Duration};

use kube::{Resource, runtime::controller::Action};

use super::{
    Error,
    context::{Context, key_of},
    vcenter::secret_value,
};
use crate::{
    api::{RecoveryVault, RecoveryVaultStatus},
    core::{
        conditions,
        decide::{
            RESYNC,
            connection::{LinkState, drafts},
            events,
        },
    },
    inventory::{Key, Link, VaultView},
    ports::{Secret, VaultConnection},
};

/// How often a missing or rejected secret is read again.
const SECRET: Duration = Duration::from_secs(30);

pub(super) async fn reconcile(vault: Arc<RecoveryVault>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(vault.as_ref())?;
    let (link, view) = match client_secret(&context, &key, &vault).await {
        Err(missing) => (LinkState::NoSecret(missing), None),
        Ok(client_secret) => {
            let connection =
                VaultConnection { namespace: key.namespace.clone(), spec: vault.spec.clone(), client_secret };
            match context.registry.open_vault(&key, connection) {
                Err(failure) => (LinkState::Down(failure), None),
                Ok(inventory) => {
                    let view = inventory.view();
                    (link_state(&view.link), Some(view))
                }
            }
        }
    };
    let healthy = matches!(link, LinkState::Up | LinkState::Connecting);
    let before = vault.status.clone().unwrap_or_default();
    let after = status(&vault, &before, &link, view.as_ref(), &context);
    if context.write_status(&key, vault.as_ref(), &before, &after).await? {
        let told = events::of_connection(&before.conditions, &after.conditions);
        context.events.publish(vault.object_ref(&()), told);
    }
    Ok(Action::requeue(context.clock.wall(if healthy { RESYNC } else { SECRET })))
}

pub(super) fn link_state(link: &Link) -> LinkState {
    match link {
        Link::Connecting => LinkState::Connecting,
        Link::Up { .. } => LinkState::Up,
        Link::Down(failure) => LinkState::Down(failure.clone()),
    }
}

/// The client secret, when the credential is one.
async fn client_secret(context: &Context, key: &Key, vault: &RecoveryVault) -> Result<Option<Secret>, String> {
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
