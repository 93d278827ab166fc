//! Refusals, as `metav1.Status` words them. The texts are those of `k8s.io/apimachinery/pkg/api/errors`, since clients
//! and people read them.

use serde_json::{Value, json};

use crate::resource::Resource;

/// What the embedding program can be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state file could not be read or written.
    #[error("state file")]
    State(#[source] std::io::Error),
    /// The state file is not what this server writes.
    #[error("state file")]
    Format(#[source] serde_json::Error),
    /// The server refused a request.
    #[error("{message}")]
    Refused {
        /// HTTP status code.
        code: u16,
        /// Machine-readable reason, such as `NotFound`.
        reason: String,
        /// The message a client would see.
        message: String,
    },
}

/// Why one field is not accepted; one entry of `details.causes`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Cause {
        Cause { reason, field: field.into(), message: message.into() }
    }

    pub(crate) fn invalid(field: impl Into<String>, message: impl std::fmt::Display) -> Cause {
        Cause::new("FieldValueInvalid", field, format!("Invalid value: {message}"))
    }

    pub(crate) fn required(field: impl Into<String>, why: &str) -> Cause {
        let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Cause::new("FieldValueRequired", field, message)
    }

    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Cause {
        Cause::new("FieldValueForbidden", field, format!("Forbidden: {why}"))
    }

    fn shown_field(&self) -> &str {
        if self.field.is_empty() { "<nil>" } else { &self.field }
    }
}

/// A refused request.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Box<Value>>,
}

/// The result of anything a request can be refused for.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Failure {
        Failure { code, reason, message: message.into(), details: None }
    }

    pub(crate) fn with(mut self, details: Value) -> Failure {
        self.details = Some(Box::new(details));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(400, "BadRequest", message)
    }

    /// The server's own errors carry no reason when they come from a plain Go `error`.
    pub(crate) fn internal(message: impl Into<String>) -> Failure {
        Failure::new(500, "", message)
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Failure {
        Failure::new(404, "NotFound", format!("{} \"{name}\" not found", resource.group_resource()))
            .with(resource.details(name))
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Failure {
        Failure::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", resource.group_resource()))
            .with(resource.details(name))
    }

    /// The optimistic lock: `registry.OptimisticLockErrorMsg`.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Failure {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        let what = resource.group_resource();
        Failure::new(409, "Conflict", format!("Operation cannot be fulfilled on {what} \"{name}\": {why}"))
            .with(resource.details(name))
    }

    pub(crate) fn unsupported_media(accepted: &str) -> Failure {
        let text = "the body of the request was in an unknown format - accepted media types include";
        Failure::new(415, "UnsupportedMediaType", format!("{text}: {accepted}"))
    }

    pub(crate) fn method_not_allowed() -> Failure {
        let text = "the server does not allow this method on the requested resource";
        Failure::new(405, "MethodNotAllowed", text).with(json!({}))
    }

    pub(crate) fn expired(message: impl Into<String>) -> Failure {
        Failure::new(410, "Expired", message)
    }

    /// 422 with its causes. A cause that validation reported twice is listed twice but worded once, as
    /// `utilerrors.Aggregate` does.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Failure {
        let mut lines: Vec<String> = Vec::new();
        for cause in &causes {
            let line = format!("{}: {}", cause.shown_field(), cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let said = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let what = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes: Vec<Value> = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.shown_field()}))
            .collect();
        let mut details = json!({"group": group, "kind": kind, "causes": causes});
        if let (Some(fields), false) = (details.as_object_mut(), name.is_empty()) {
            fields.insert("name".to_owned(), name.into());
        }
        if let (Some(fields), true) = (details.as_object_mut(), group.is_empty()) {
            fields.remove("group");
        }
        Failure::new(422, "Invalid", format!("{what} \"{name}\" is invalid: {said}")).with(details)
    }

    /// The `metav1.Status` that goes to the client.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if let Some(fields) = status.as_object_mut() {
            if !self.reason.is_empty() {
                fields.insert("reason".to_owned(), self.reason.into());
            }
            if let Some(details) = &self.details {
                fields.insert("details".to_owned(), (**details).clone());
            }
        }
        status
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error::Refused { code: failure.code, reason: failure.reason.to_owned(), message: failure.message }
    }
}
