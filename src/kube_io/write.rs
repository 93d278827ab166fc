//! Writes to the API server: status by server-side apply, finalizers, and what went wrong.

use std::{fmt::Debug, future::Future, time::Duration};

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tracing::{Instrument, Span};

use crate::ports::{FailureClass, trace};

/// Field manager of the status of each kind.
pub const MANAGER: &str = "failback";
/// Field manager of a plan's claims on items.
pub const CLAIMS: &str = "failback-claims";

/// A write that did not go through.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object is no longer as it was read: look again.
    #[error("the object changed meanwhile")]
    Conflict,
    /// The object is gone.
    #[error("the object is gone")]
    Gone,
    /// The controller may not write this.
    #[error("the controller may not write this: give it the chart's roles")]
    Forbidden(#[source] Box<kube::Error>),
    /// Anything else.
    #[error("the API server refused or did not answer a write")]
    Kube(#[source] Box<kube::Error>),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        match code {
            409 => Self::Conflict,
            404 => Self::Gone,
            403 => Self::Forbidden(Box::new(error)),
            _ => Self::Kube(Box::new(error)),
        }
    }
}

/// Applies the complete status, as it must look when the object is still at the version that was read.
///
/// # Errors
/// [`WriteError::Conflict`] when it is not.
pub async fn apply_status<K>(api: &Api<K>, object: &K, manager: &str, status: &impl Serialize) -> Result<K, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "resourceVersion": object.resource_version() },
        "status": status,
    });
    let (params, patch) = (PatchParams::apply(manager).force(), Patch::Apply(&body));
    let name = object.name_any();
    let what = format_args!("PATCH {}/status", K::plural(&())).to_string();
    Ok(traced(&what, object, api.patch_status(&name, &params, &patch)).await?)
}

/// Takes a field out of the status, whoever owns it, if the object is still at the version that was read.
///
/// # Errors
/// [`WriteError::Conflict`] when it is not.
pub async fn clear_status<K>(api: &Api<K>, object: &K, manager: &str, field: &str) -> Result<K, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let body = json!({
        "metadata": { "resourceVersion": object.resource_version() },
        "status": { field: null },
    });
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let (name, patch) = (object.name_any(), Patch::Merge(&body));
    let what = format!("PATCH {}/status", K::plural(&()));
    Ok(traced(&what, object, api.patch_status(&name, &params, &patch)).await?)
}

/// Adds or removes our finalizer, if the object is still at the version that was read.
///
/// # Errors
/// [`WriteError::Conflict`] when it is not; [`WriteError::Gone`] when it went meanwhile.
pub async fn hold<K>(api: &Api<K>, object: &K, finalizer: &str, wanted: bool) -> Result<Option<K>, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let has = object.finalizers().iter().any(|name| name == finalizer);
    if has == wanted {
        return Ok(None);
    }
    let mut finalizers: Vec<String> = object.finalizers().iter().filter(|name| *name != finalizer).cloned().collect();
    if wanted {
        finalizers.push(finalizer.to_owned());
    }
    let body = json!({
        "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version() }
    });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let (name, patch) = (object.name_any(), Patch::Merge(&body));
    let what = format!("PATCH {}", K::plural(&()));
    Ok(Some(traced(&what, object, api.patch(&name, &params, &patch)).await?))
}

/// How long the API server is waited for. On a connection that is half open an answer never comes: whoever waits without
/// an end holds a machine, or keeps a process from ending.
const LONGEST: Duration = Duration::from_secs(10);

/// A call that is given up after ten seconds; whether a write took effect is then seen at the next look.
pub async fn in_time<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    tokio::time::timeout(LONGEST, call).await.unwrap_or_else(|late| Err(kube::Error::Service(late.into())))
}

/// A write within a span.
async fn traced<K: ResourceExt, T>(
    what: &str,
    object: &K,
    write: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    in_span(trace::write(what, &namespace, &object.name_any()), write).await
}

/// The same with a span that is there.
pub(super) async fn in_span<T>(
    span: Span,
    write: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    let written = in_time(write).instrument(span.clone()).await;
    match &written {
        Ok(_) => trace::ended(&span, "ok", None),
        Err(error) => {
            let status = if let kube::Error::Api(status) = error { status.code } else { 0 };
            trace::answered(&span, status);
            trace::ended(&span, "failed", Some(class(status)));
        }
    }
    written
}

/// The class of the API server's refusal; 0 is none.
const fn class(status: u16) -> FailureClass {
    match status {
        401 => FailureClass::Unauthenticated,
        403 => FailureClass::Denied,
        404 => FailureClass::NotFound,
        409 => FailureClass::Conflict,
        400 | 422 => FailureClass::Invalid,
        _ => FailureClass::Transient,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::api::ReplicatedItem;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_never_answered_is_given_up() {
        let silent = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, Infallible>>()
        });
        let api: Api<ReplicatedItem> = Api::namespaced(kube::Client::new(silent, "default"), "default");
        let item: ReplicatedItem = serde_json::from_value(json!({
            "metadata": { "name": "web-01", "namespace": "default", "resourceVersion": "1" },
            "spec": { "vaultRef": { "name": "v" }, "vcenterRef": { "name": "c" }, "machine": "web-01" }
        }))
        .unwrap();
        let status = json!({});
        let written = apply_status(&api, &item, MANAGER, &status);
        let written = tokio::time::timeout(LONGEST * 2, written).await.expect("it ends by itself");
        assert!(matches!(written, Err(WriteError::Kube(_))), "{written:?}");
    }
}
