//! Speaks for a namespace: the token of its ServiceAccount, by the API server's TokenRequest.
//!
//! The name of the ServiceAccount is fixed and its namespace is that of the object that asks, so that nobody gets a token
//! of anybody else's.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};

use crate::{
    api::AZURE_SERVICE_ACCOUNT,
    core::failure::codes,
    kube_io::write::in_span,
    ports::{Failure, FailureClass, NamespaceIdentity, Remote, Secret, trace},
};

/// The least that the API server gives. It is presented once, right away.
const LIFETIME_SECONDS: i64 = 600;
/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ServiceAccounts of a cluster.
pub struct ServiceAccounts(Client);

impl ServiceAccounts {
    /// Nothing is sent yet.
    pub const fn new(client: Client) -> Self {
        Self(client)
    }
}

impl std::fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccounts").finish_non_exhaustive()
    }
}

#[async_trait]
impl NamespaceIdentity for ServiceAccounts {
    async fn assertion(&self, namespace: &str, audience: &str) -> Result<Secret, Failure> {
        let api: Api<ServiceAccount> = Api::namespaced(self.0.clone(), namespace);
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(LIFETIME_SECONDS),
            bound_object_ref: None,
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let params = PostParams::default();
        let span = trace::write("POST serviceaccounts/token", namespace, AZURE_SERVICE_ACCOUNT);
        let asked = in_span(span, api.create_token_request(AZURE_SERVICE_ACCOUNT, &params, &request));
        let asked = tokio::time::timeout(PATIENCE, asked);
        match asked.await {
            Ok(Ok(given)) => {
                let token = given.status.map(|status| status.token).filter(|token| !token.is_empty());
                token.map(Secret::new).ok_or_else(|| refused(namespace, "the answer holds no token", None))
            }
            Ok(Err(error)) => Err(refused(namespace, &error.to_string(), code(&error))),
            Err(_) => Err(refused(namespace, "no answer within 10 s", None)),
        }
    }
}

const fn code(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error { Some(status.code) } else { None }
}

fn refused(namespace: &str, why: &str, status: Option<u16>) -> Failure {
    let account = format!("ServiceAccount \"{AZURE_SERVICE_ACCOUNT}\" of namespace \"{namespace}\"");
    let (class, code, message) = match status {
        Some(404) => (
            FailureClass::NotFound,
            codes::SERVICE_ACCOUNT_NOT_FOUND,
            format!("spec.credential.serviceAccount: there is no {account}"),
        ),
        Some(403) => (
            FailureClass::Denied,
            codes::TOKEN_REQUEST_DENIED,
            format!("spec.credential.serviceAccount: the controller may not ask for a token of {account}: {why}"),
        ),
        Some(_) | None => (
            FailureClass::Transient,
            codes::TOKEN_REQUEST_FAILED,
            format!("the API server gave no token of {account}: {why}"),
        ),
    };
    Failure::new(Remote::Kubernetes, class, message).with_code(code)
}
