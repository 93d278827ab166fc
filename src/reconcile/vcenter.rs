//! A vCenter: keep its inventory running, and tell how the connection stands.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::{Resource, runtime::controller::Action};

use super::{
    Error,
    context::{Context, key_of},
    vault::link_state,
};
use crate::{
    api::{VCenter, VCenterStatus},
    core::{
        conditions,
        decide::{
            RESYNC,
            connection::{LinkState, drafts},
            events,
        },
    },
    inventory::{Key, VCenterView},
    ports::{Secret, VCenterConnection},
};

/// How often a missing or rejected secret is read again.
const SECRET: Duration = Duration::from_secs(30);

pub(super) async fn reconcile(vcenter: Arc<VCenter>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(vcenter.as_ref())?;
    let (link, view) = match connection(&context, &key, &vcenter).await {
        Err(missing) => (LinkState::NoSecret(missing), None),
        Ok(connection) => match context.registry.open_vcenter(&key, connection) {
            Err(failure) => (LinkState::Down(failure), None),
            Ok(inventory) => {
                let view = inventory.view();
                (link_state(&view.link), Some(view))
            }
        },
    };
    let healthy = matches!(link, LinkState::Up | LinkState::Connecting);
    let before = vcenter.status.clone().unwrap_or_default();
    let after = status(&vcenter, &before, &link, view.as_ref(), &context);
    if context.write_status(&key, vcenter.as_ref(), &before, &after).await? {
        let told = events::of_connection(&before.conditions, &after.conditions);
        context.events.publish(vcenter.object_ref(&()), told);
    }
    Ok(Action::requeue(context.clock.wall(if healthy { RESYNC } else { SECRET })))
}

async fn connection(context: &Context, key: &Key, vcenter: &VCenter) -> Result<VCenterConnection, String> {
    let name = &vcenter.spec.credentials_ref.name;
    let field = "spec.credentialsRef";
    let user = secret_value(context, &key.namespace, name, "username", field).await?;
    let password = secret_value(context, &key.namespace, name, "password", field).await?;
    Ok(VCenterConnection { spec: vcenter.spec.clone(), user: user.reveal().to_owned(), password })
}

/// One key of a Secret. The error names field, Secret and key.
pub(super) async fn secret_value(
    context: &Context,
    namespace: &str,
    name: &str,
    key: &str,
    field: &str,
) -> Result<Secret, String> {
    let secret = context.api::<KubeSecret>(namespace).get_opt(name).await.map_err(|error| {
        format!("{field}: Secret \"{name}\" cannot be read: {error}. The controller needs a Role for Secrets in this namespace.")
    })?;
    let secret = secret.ok_or_else(|| format!("{field}: there is no Secret \"{name}\" in this namespace."))?;
    let value = secret
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .ok_or_else(|| format!("{field}: Secret \"{name}\" has no key \"{key}\"."))?;
    let text = std::str::from_utf8(&value.0)
        .map_err(|_| format!("{field}: key \"{key}\" of Secret \"{name}\" is not text."))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

fn status(
    vcenter: &VCenter,
    before: &VCenterStatus,
    link: &LinkState,
    view: Option<&VCenterView>,
    context: &Context,
) -> VCenterStatus {
    let generation = vcenter.metadata.generation;
    let about = view.and_then(|view| view.about.as_ref());
    VCenterStatus {
        observed_generation: generation,
        conditions: conditions::merge(&before.conditions, drafts(link), generation, context.clock.now()),
        instance_uuid: about.map(|about| about.instance_uuid.clone()).or_else(|| before.instance_uuid.clone()),
        version: about.map(|about| about.version.clone()).or_else(|| before.version.clone()),
        virtual_machines: view
            .and_then(|view| view.virtual_machines)
            .and_then(|count| i64::try_from(count).ok())
            .or(before.virtual_machines),
    }
}
