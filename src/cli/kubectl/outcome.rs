//! How a command ends: exit codes, and errors in words that say what to do.

use kube::Error;

/// It could not be done.
pub(super) const FAILED: u8 = 1;
/// What was typed cannot be meant.
pub(super) const USAGE: u8 = 2;
/// No such object.
pub(super) const NOT_FOUND: u8 = 3;
/// The right for it is missing, or a policy refuses it.
pub(super) const FORBIDDEN: u8 = 4;
/// The plan would be stopped, or needs a person.
pub(super) const BLOCKED: u8 = 5;

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) code: u8,
    pub(super) text: String,
}

impl Stop {
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { code: FAILED, text: text.into() }
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: USAGE, text: text.into() }
    }

    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self { code: NOT_FOUND, text: text.into() }
    }
}

/// What was asked of the API server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) verb: &'static str,
    /// Plural name with its group.
    pub(super) resource: &'static str,
    pub(super) namespace: &'a str,
    /// Empty for a list.
    pub(super) name: &'a str,
    /// The role of the chart that allows it.
    pub(super) role: &'static str,
}

impl Asked<'_> {
    /// The same in words.
    pub(super) fn refused(&self, error: &Error) -> Stop {
        let Error::Api(answer) = error else {
            let text = format!("the API server cannot be reached: {}", chain(error));
            return Stop::failed(format!("{text}. See --kubeconfig and --context."));
        };
        let Self { verb, resource, namespace, name, role } = *self;
        match answer.code {
            401 => Stop { code: FORBIDDEN, text: "the API server does not know you: sign in again.".to_owned() },
            // A policy says itself what it wants; the authorizer says "cannot".
            403 if answer.message.contains("denied the request")
                || answer.message.contains("ValidatingAdmissionPolicy") =>
            {
                Stop { code: FORBIDDEN, text: format!("a policy of the cluster refuses it: {}", answer.message) }
            }
            403 => Stop {
                code: FORBIDDEN,
                text: format!(
                    "you lack the right to {verb} {resource} in namespace \"{namespace}\". Ask for the role {role} of failback's chart, or one that allows it. The server says: {}",
                    answer.message
                ),
            },
            404 if name.is_empty() || answer.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                Stop::not_found(format!(
                    "the cluster does not know {resource}. Install failback's definitions: failback crds | kubectl apply --server-side -f -"
                ))
            }
            404 => Stop::not_found(format!(
                "there is no {resource} \"{name}\" in namespace \"{namespace}\". See what is there with kubectl get {}, or name another namespace with -n.",
                resource.split('.').next().unwrap_or(resource)
            )),
            409 => Stop::failed(format!("{name} was changed by somebody else at the same moment, twice. Try again.")),
            _ => Stop::failed(format!("the API server refuses it: {}", answer.message)),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        source = cause.source();
    }
    text
}
