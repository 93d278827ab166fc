//! How a call to vCenter can fail, and what class of failure each is to the rest of the program.

use std::time::Duration;

use super::{tls::Refusal, xml::MoRef};
use crate::core::failure::codes;
use crate::ports::{Failure, FailureClass, Remote};

/// A SOAP fault with the vim25 fault inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The fault's type: `NotAuthenticated`, `InvalidLogin`, …; `SoapFault` when it carries no typed detail.
    pub(super) kind: String,
    /// `faultstring`.
    pub(super) message: String,
    /// The object that the fault is about, where it names one.
    pub(super) object: Option<MoRef>,
    /// The privilege that is missing, in `NoPermission`.
    pub(super) privilege: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum VimError {
    #[error("fault {}", .0.kind)]
    Fault(Box<Fault>),
    /// No connection: nothing was sent.
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("its certificate is not trusted")]
    Untrusted(Box<Refusal>),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke after the request had been sent, or in the middle of the answer.
    #[error("the connection broke: {0}")]
    Cut(String),
    /// An answer that is not SOAP, by its status.
    #[error("HTTP {status}{hint}")]
    Status { status: u16, retry_after: Option<Duration>, hint: String },
    #[error("unreadable answer: {0}")]
    Unreadable(String),
    /// [`super::VCenterClient`] was closed.
    #[error("closed")]
    Closed,
}

impl VimError {
    pub(super) fn is_fault(&self, kind: &str) -> bool {
        matches!(self, Self::Fault(fault) if fault.kind == kind)
    }

    /// The session is gone; a new login makes the same call work.
    pub(super) fn session_lost(&self) -> bool {
        self.is_fault("NotAuthenticated")
    }

    /// The credentials were refused. Asking again counts towards locking the account.
    pub(super) fn login_refused(&self) -> bool {
        // `PasswordExpired` extends `InvalidLogin` since vSphere 6.7.
        self.is_fault("InvalidLogin") || self.is_fault("PasswordExpired")
    }

    /// vCenter says positively that this very object does not exist.
    pub(super) fn says_gone(&self, object: &MoRef) -> bool {
        matches!(self, Self::Fault(fault) if fault.kind == "ManagedObjectNotFound"
            && fault.object.as_ref().is_some_and(|o| o.id == object.id))
    }

    /// The class of failure that it is to the rest of the program.
    pub(super) fn class(&self) -> FailureClass {
        self.clone().into_failure("").class
    }

    /// What this is to the rest of the program. `server` is the name that the user gave.
    pub(super) fn into_failure(self, server: &str) -> Failure {
        let failure = |class, message| Failure::new(Remote::VCenter, class, message);
        match self {
            Self::Fault(fault) => fault.into_failure(server),
            Self::Unreachable(why) => {
                failure(FailureClass::Transient, format!("cannot connect to vCenter {server}: {why}"))
                    .with_code(codes::UNREACHABLE)
            }
            Self::Untrusted(refusal) => failure(
                FailureClass::Invalid,
                format!("vCenter {server} presents a certificate that is not trusted: {refusal}"),
            )
            .with_code(codes::CERTIFICATE_UNTRUSTED),
            Self::TimedOut(limit) => failure(
                FailureClass::Transient,
                format!("vCenter {server} did not answer within {} s", limit.as_secs()),
            ),
            Self::Cut(why) => failure(
                FailureClass::Transient,
                format!("the connection to vCenter {server} broke during a call: {why}"),
            )
            .with_code(codes::UNREADABLE_ANSWER),
            Self::Status { status, retry_after, hint } => failure(
                class_of_status(status, retry_after),
                format!("{server} answered HTTP {status} instead of SOAP{hint}"),
            )
            .with_code(codes::UNREADABLE_ANSWER),
            Self::Unreadable(why) => {
                failure(FailureClass::Invalid, format!("the answer of {server} is not what a vCenter says: {why}"))
                    .with_code(codes::UNREADABLE_ANSWER)
            }
            Self::Closed => {
                failure(FailureClass::Transient, format!("the connection to vCenter {server} was closed by us"))
            }
        }
    }
}

/// 503 is what an overloaded vCenter, and the proxy before a starting one, answer.
fn class_of_status(status: u16, retry_after: Option<Duration>) -> FailureClass {
    match (status, retry_after) {
        (429 | 503, Some(retry_after)) => FailureClass::Throttled { retry_after },
        (408 | 429 | 500.., _) => FailureClass::Transient,
        _ => FailureClass::Invalid,
    }
}

impl Fault {
    fn class(&self) -> FailureClass {
        match self.kind.as_str() {
            "InvalidLogin" | "PasswordExpired" => FailureClass::Unauthenticated,
            "NoPermission" | "RestrictedByAdministrator" => FailureClass::Denied,
            "ManagedObjectNotFound" => FailureClass::NotFound,
            "ConcurrentAccess" | "TaskInProgress" | "InvalidState" => FailureClass::Conflict,
            "InvalidProperty" | "InvalidArgument" | "InvalidRequest" | "InvalidType" | "MethodNotFound"
            | "NotImplemented" | "NotSupported" => FailureClass::Invalid,
            // A session that is refused right after a login means load balancing without affinity, or a restart.
            // Everything else (`HostCommunication`, `SystemError`, `RuntimeFault`, faults of later versions) is
            // vCenter's own trouble.
            _ => FailureClass::Transient,
        }
    }

    fn into_failure(self, server: &str) -> Failure {
        let class = self.class();
        let Self { kind, message, object, privilege } = self;
        let about = object.map(|o| format!(" on {} {}", o.kind, o.id)).unwrap_or_default();
        let said = if message.is_empty() { kind.clone() } else { format!("{kind}: {message}") };
        let text = match class {
            FailureClass::Unauthenticated => format!(
                "vCenter {server} refused the user name or the password ({said}). Not tried again for 3 minutes, or until \
                 the credentials change, because further attempts can lock the account"
            ),
            FailureClass::Denied => {
                let which = privilege.map(|p| format!("; it lacks the privilege {p}")).unwrap_or_default();
                format!("vCenter {server} does not permit this to the account{which}{about} ({said})")
            }
            FailureClass::Transient
            | FailureClass::Throttled { .. }
            | FailureClass::Conflict
            | FailureClass::NotFound
            | FailureClass::Invalid
            | FailureClass::Lost => format!("vCenter {server} answered a fault{about} ({said})"),
        };
        Failure::new(Remote::VCenter, class, text).with_code(kind)
    }
}
