//! How a remote call can fail, in the few classes that a decision may depend on.

use std::time::Duration;

/// The class of a failed call. Decisions match on this and never on an error's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// Worth another try soon: a timeout of a read, 5xx, a connection that was refused (nothing was sent).
    Transient,
    /// The other side asks for a pause of this length.
    Throttled {
        /// How long the other side wants to be left alone.
        retry_after: Duration,
    },
    /// Something changed under our feet, or another operation is running (409, 412).
    Conflict,
    /// Positively not there. A 403 or a timeout is never this.
    NotFound,
    /// Who we are was rejected: a wrong password, secret or token. Retrying can lock the account.
    Unauthenticated,
    /// Who we are is known, and may not do this.
    Denied,
    /// The request, or the answer, makes no sense to the other party; the same call would fail again.
    Invalid,
    /// A mutating request was sent and no answer came: it may or may not have taken effect. Look, never resend.
    Lost,
}

impl FailureClass {
    /// The label used in metrics: a closed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Lost => "lost",
        }
    }
}

/// The system that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// Microsoft Entra (the token endpoint) or the instance metadata service.
    Entra,
    /// Azure Resource Manager: site recovery and compute.
    Arm,
    /// vCenter's SOAP endpoint.
    VCenter,
    /// The Kubernetes API server.
    Kubernetes,
}

impl Remote {
    /// The label used in metrics: a closed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Arm => "arm",
            Self::VCenter => "vcenter",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// A failed call, as far as the core and a person need to know it.
///
/// `message` is shown in conditions and events: it quotes what the other side said and never holds a secret, a
/// token or a signed URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure this is.
    pub class: FailureClass,
    /// Who failed.
    pub remote: Remote,
    /// The other side's own code, where it gave one: `AuthorizationFailed`, `AADSTS7000215`, `InvalidLogin`,
    /// or one of the [`codes`] of our own.
    pub code: Option<String>,
    /// A sentence for a person.
    pub message: String,
    /// The other side's id of the request, to quote in a support case.
    pub request_id: Option<String>,
}

/// Codes that adapters give where the other side has none.
pub mod codes {
    /// The server's certificate is not trusted; the message shows its SHA-256 thumbprint.
    pub const CERTIFICATE_UNTRUSTED: &str = "CertificateUntrusted";
    /// The answer was not what this API speaks (HTML from a proxy, a cut body).
    pub const UNREADABLE_ANSWER: &str = "UnreadableAnswer";
    /// The host cannot be reached at all.
    pub const UNREACHABLE: &str = "Unreachable";
    /// The ServiceAccount that stands for a namespace is not there.
    pub const SERVICE_ACCOUNT_NOT_FOUND: &str = "ServiceAccountNotFound";
    /// The controller may not ask for that ServiceAccount's token.
    pub const TOKEN_REQUEST_DENIED: &str = "TokenRequestDenied";
    /// The API server gave no such token for any other reason.
    pub const TOKEN_REQUEST_FAILED: &str = "TokenRequestFailed";
    /// The controller lends its own identity to nobody.
    pub const SHARED_IDENTITY_OFF: &str = "SharedIdentityOff";
    /// Entra's own code for a token whose subject no federated credential has; its siblings are told in the same way.
    pub const NO_FEDERATED_CREDENTIAL: &str = "AADSTS700213";
    /// All that lead to a reason of their own.
    pub const ALL: [&str; 8] = [
        CERTIFICATE_UNTRUSTED,
        UNREADABLE_ANSWER,
        UNREACHABLE,
        SERVICE_ACCOUNT_NOT_FOUND,
        TOKEN_REQUEST_DENIED,
        TOKEN_REQUEST_FAILED,
        SHARED_IDENTITY_OFF,
        NO_FEDERATED_CREDENTIAL,
    ];
}

impl Failure {
    /// A failure without a code or request id.
    pub fn new(remote: Remote, class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, remote, code: None, message: message.into(), request_id: None }
    }

    /// The same failure with the other side's code.
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Entra knows the identity, and none of its federated credentials fits the token: not the token itself, nor its
    /// issuer, its audience, its subject. Nothing that could be guessed was wrong, so that trying again locks nothing.
    pub fn is_unmatched_federation(&self) -> bool {
        matches!(
            self.code.as_deref(),
            Some("AADSTS70021" | "AADSTS700211" | "AADSTS700212" | codes::NO_FEDERATED_CREDENTIAL)
        )
    }

    /// Whether the code is this one.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}
