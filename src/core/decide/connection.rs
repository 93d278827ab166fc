//! What is to be said of a connection, to a vault or to a vCenter.

use crate::core::{
    conditions::{Draft, Truth, summary},
    failure::{Failure, FailureClass, Remote, codes},
};

/// How a connection stands.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkState {
    /// Nothing was tried yet.
    Connecting,
    /// It works.
    Up,
    /// The last try failed.
    Down(Failure),
    /// A Secret, or a key of it, is missing: nothing can be tried. The sentence names both.
    NoSecret(String),
}

/// The conditions of a connection.
pub fn drafts(link: &LinkState) -> Vec<Draft> {
    match link {
        LinkState::Connecting => {
            let message = "Connecting.";
            let mut drafts = summary(false, true, false, "Connecting", message);
            drafts.extend(three([(Truth::Unknown, "Connecting"); 3], message));
            drafts
        }
        LinkState::Up => {
            let mut drafts = summary(true, false, false, "Connected", "Connected.");
            drafts.extend(three([(Truth::True, "Connected"); 3], "The last reading succeeded."));
            drafts
        }
        LinkState::NoSecret(message) => {
            let mut drafts = summary(false, false, true, "SecretNotFound", message);
            drafts.extend(three(
                [
                    (Truth::Unknown, "SecretNotFound"),
                    (Truth::False, "SecretNotFound"),
                    (Truth::Unknown, "SecretNotFound"),
                ],
                message,
            ));
            drafts
        }
        LinkState::Down(failure) => down(failure),
    }
}

/// `Reachable`, `CredentialsValid`, `PermissionsSufficient`, with one message.
fn three(values: [(Truth, &'static str); 3], message: &str) -> Vec<Draft> {
    ["Reachable", "CredentialsValid", "PermissionsSufficient"]
        .into_iter()
        .zip(values)
        .map(|(kind, (status, reason))| Draft::new(kind, status, reason, message))
        .collect()
}

fn down(failure: &Failure) -> Vec<Draft> {
    let (reason, remedy, stalled) = explain(failure);
    let unreachable = matches!(reason, "Unreachable" | "CertificateUntrusted" | "UnreadableAnswer");
    let values = match failure.class {
        // Nobody got as far as Azure.
        _ if without_identity(failure).is_some() => {
            [(Truth::Unknown, reason), (Truth::False, reason), (Truth::Unknown, reason)]
        }
        FailureClass::Unauthenticated => [(Truth::True, reason), (Truth::False, reason), (Truth::Unknown, reason)],
        FailureClass::Denied => [(Truth::True, reason), (Truth::True, reason), (Truth::False, reason)],
        FailureClass::Transient
        | FailureClass::Throttled { .. }
        | FailureClass::Conflict
        | FailureClass::NotFound
        | FailureClass::Invalid
        | FailureClass::Lost
            if unreachable =>
        {
            [(Truth::False, reason), (Truth::Unknown, reason), (Truth::Unknown, reason)]
        }
        FailureClass::Transient
        | FailureClass::Throttled { .. }
        | FailureClass::Conflict
        | FailureClass::NotFound
        | FailureClass::Invalid
        | FailureClass::Lost => [(Truth::True, reason), (Truth::Unknown, reason), (Truth::Unknown, reason)],
    };
    let mut message = failure.message.clone();
    if let Some(id) = &failure.request_id {
        message.push_str(&format!(" (request {id})"));
    }
    let message =
        if remedy.is_empty() { message } else { format!("{}. Remedy: {remedy}", message.trim_end_matches('.')) };
    let mut drafts = summary(false, false, stalled, reason, &message);
    drafts.extend(three(values, &message));
    drafts
}

/// Reason, remedy, and whether a person is needed.
fn explain(failure: &Failure) -> (&'static str, &'static str, bool) {
    if failure.has_code(codes::CERTIFICATE_UNTRUSTED) {
        return (
            "CertificateUntrusted",
            "compare the thumbprint with the server's own, then set spec.thumbprint or spec.caBundle.",
            true,
        );
    }
    if failure.has_code(codes::UNREADABLE_ANSWER) {
        return (
            "UnreadableAnswer",
            "something between here and there answers in its place, such as a proxy; look at the quoted answer.",
            false,
        );
    }
    if let Some(told) = without_identity(failure) {
        return told;
    }
    if failure.is_unmatched_federation() {
        return (
            "FederatedCredentialMissing",
            "in Entra, give the identity a federated credential with the cluster's issuer, and the subject and audience of the token; it is tried again every minute.",
            true,
        );
    }
    match (failure.class, failure.remote) {
        (FailureClass::Unauthenticated, Remote::VCenter) => (
            "CredentialsRejected",
            "correct username and password in the Secret; the next try follows the change, or after ten minutes, so that the account is not locked.",
            true,
        ),
        (FailureClass::Unauthenticated, _) => (
            "CredentialsRejected",
            "correct tenant, client and secret; the next try follows the change, or after ten minutes.",
            true,
        ),
        (FailureClass::Denied, _) => ("PermissionDenied", "grant the missing right to this identity.", true),
        (FailureClass::NotFound, _) => (
            "NotFound",
            "check spec.subscriptionId, spec.resourceGroup and spec.vaultName; the identity may also lack the right to see it.",
            true,
        ),
        (FailureClass::Throttled { .. }, _) => ("Throttled", "", false),
        (FailureClass::Invalid, _) => ("InvalidRequest", "correct the field that the message names.", true),
        (FailureClass::Transient | FailureClass::Conflict | FailureClass::Lost, _) => {
            ("Unreachable", "check the address, name resolution, and the network from the controller's pod.", false)
        }
    }
}

/// The same, where there was nothing to present to Azure.
fn without_identity(failure: &Failure) -> Option<(&'static str, &'static str, bool)> {
    Some(match failure.code.as_deref()? {
        codes::SERVICE_ACCOUNT_NOT_FOUND => {
            ("ServiceAccountNotFound", "create it in this namespace; it is looked for again within two minutes.", true)
        }
        codes::TOKEN_REQUEST_DENIED => (
            "TokenRequestDenied",
            "name this namespace in the chart's azure.serviceAccountNamespaces, which gives the controller the Role for it.",
            true,
        ),
        codes::TOKEN_REQUEST_FAILED => ("TokenRequestFailed", "none; it is tried again.", false),
        codes::SHARED_IDENTITY_OFF => (
            "SharedIdentityOff",
            "sign in with spec.credential.serviceAccount or clientSecret; or set the chart's azure.sharedIdentity.",
            true,
        ),
        _ => return None,
    })
}
