//! What vaults and vCenters have in common: credentials from Secrets, and how a connection stands.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope, api::core::v1::Secret as KubeSecret, apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Resource, runtime::controller::Action};
use serde::{Serialize, de::DeserializeOwned};

use super::{Error, context::Context};
use crate::{
    core::decide::{RESYNC, connection::LinkState, events},
    inventory::{Key, Link},
    kube_io::write::in_time,
    ports::Secret,
};

/// Why a pass goes without a credential.
#[derive(Debug)]
pub(super) enum NoSecret {
    /// It is positively not there, or must not be read: the sentence names field, Secret and key.
    Missing(String),
    /// The API server did not say. The pass is tried again, and what is told of the connection stays.
    Unread(Box<kube::Error>),
}

/// How often a missing or rejected secret is read again.
const SECRET: Duration = Duration::from_secs(30);

pub(super) fn link_state(link: &Link) -> LinkState {
    match link {
        Link::Connecting => LinkState::Connecting,
        Link::Up { .. } => LinkState::Up,
        Link::Down(failure) => LinkState::Down(failure.clone()),
    }
}

/// Records how the connection stands, and tells when that changed.
pub(super) async fn record<K, S>(
    context: &Context,
    key: &Key,
    object: &K,
    link: &LinkState,
    (before, after): (&S, &S),
    conditions: impl Fn(&S) -> &[Condition],
) -> Result<Action, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: PartialEq + Serialize,
{
    if context.write_status(key, object, before, after).await? {
        context.events.publish(object.object_ref(&()), events::of_connection(conditions(before), conditions(after)));
    }
    let healthy = matches!(link, LinkState::Up | LinkState::Connecting);
    Ok(Action::requeue(context.clock.wall(if healthy { RESYNC } else { SECRET })))
}

/// One key of a Secret.
pub(super) async fn secret_value(
    context: &Context,
    namespace: &str,
    name: &str,
    key: &str,
    field: &str,
) -> Result<Secret, NoSecret> {
    let read = in_time(context.api::<KubeSecret>(namespace).get_opt(name)).await;
    let secret = read.map_err(|error| {
        let kube::Error::Api(status) = &error else { return NoSecret::Unread(Box::new(error)) };
        if status.code != 403 {
            return NoSecret::Unread(Box::new(error));
        }
        NoSecret::Missing(format!(
            "{field}: the controller must not read Secret \"{name}\": {}. Name this namespace in the chart's secretNamespaces, which gives it the Role for that.",
            status.message.trim_end_matches('.')
        ))
    })?;
    let missing = |what: String| NoSecret::Missing(format!("{field}: {what}"));
    let secret = secret.ok_or_else(|| missing(format!("there is no Secret \"{name}\" in this namespace.")))?;
    let value = secret
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .ok_or_else(|| missing(format!("Secret \"{name}\" has no key \"{key}\".")))?;
    let text = std::str::from_utf8(&value.0)
        .map_err(|_| missing(format!("key \"{key}\" of Secret \"{name}\" is not text.")))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}
