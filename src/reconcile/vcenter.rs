//! A vCenter: keep its inventory running, and tell how the connection stands.

use std::sync::Arc;

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Error,
    connection::{NoSecret, link_state, record, secret_value},
    context::{Context, key_of},
    opening,
};
use crate::{
    api::{VCenter, VCenterStatus},
    core::{
        conditions,
        decide::connection::{LinkState, drafts},
    },
    inventory::{Key, VCenterView},
    kube_io::feed::lookup,
    ports::VCenterConnection,
};

pub(super) async fn reconcile(vcenter: Arc<VCenter>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(vcenter.as_ref())?;
    let (link, view) = match connection(&context, &key, &vcenter).await {
        Err(NoSecret::Unread(error)) => return Err(Error::Unread(error)),
        Err(NoSecret::Missing(missing)) => (LinkState::NoSecret(missing), None),
        Ok(connection) => match context.registry.open_vcenter(&key, connection) {
            Err(failure) => (LinkState::Down(failure), None),
            Ok(inventory) => {
                let now = lookup(&context.stores.vcenters, &key.namespace, &key.name);
                if now.is_none_or(|now| now.uid() != vcenter.uid()) {
                    // It went while its Secret was read, and nobody would close it any more.
                    context.registry.close_vcenter(&key);
                    return Ok(Action::await_change());
                }
                let told = vcenter.status.as_ref().and_then(|status| status.observed_generation);
                if inventory.is_opening() && told == vcenter.metadata.generation {
                    return Ok(Action::requeue(opening::AGAIN));
                }
                let view = inventory.view();
                (link_state(&view.link), Some(view))
            }
        },
    };
    let before = vcenter.status.clone().unwrap_or_default();
    let after = status(&vcenter, &before, &link, view.as_ref(), &context);
    record(&context, &key, vcenter.as_ref(), &link, (&before, &after), |status| &status.conditions).await
}

async fn connection(context: &Context, key: &Key, vcenter: &VCenter) -> Result<VCenterConnection, NoSecret> {
    let name = &vcenter.spec.credentials_ref.name;
    let field = "spec.credentialsRef";
    let user = secret_value(context, &key.namespace, name, "username", field).await?;
    let password = secret_value(context, &key.namespace, name, "password", field).await?;
    Ok(VCenterConnection { spec: vcenter.spec.clone(), user: user.reveal().to_owned(), password })
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
