//! Spans of traces: one for each pass over an object, for each operation, and for each call to another system.
//!
//! They have a target of their own, so that logs do not show them, and cost next to nothing while nobody takes them.
//! Unlike metrics they name objects. Nothing secret is an attribute: no body, no header, no query of a URL.

use std::fmt::Display;

use tracing::{Span, field::Empty, trace_span};

use super::{Failure, FailureClass, Remote};

/// The target of every span.
pub const TARGET: &str = "failback::traces";

/// A pass over an object.
pub fn pass(kind: &'static str, namespace: &str, name: &str) -> Span {
    trace_span!(target: TARGET, "pass", otel.name = %format_args!("reconcile {kind}"), kind, namespace, name, outcome = Empty, failure.class = Empty, otel.status_code = Empty)
}

/// An operation: its intent, the looks before it, its call, its record.
pub fn operation(verb: &str, namespace: &str, name: &str, attempt: i32) -> Span {
    trace_span!(target: TARGET, "operation", otel.name = %format_args!("operation {verb}"), verb, namespace, name, attempt, outcome = Empty, failure.class = Empty, job.id = Empty, otel.status_code = Empty)
}

/// A call to another system, by a name without anything signed or secret.
pub fn call(remote: Remote, what: impl Display, attempt: u32) -> Span {
    trace_span!(target: TARGET, "call", otel.name = %format_args!("{} {what}", remote.label()), otel.kind = "client", api = remote.label(), attempt, http.response.status_code = Empty, outcome = Empty, failure.class = Empty, otel.status_code = Empty)
}

/// A write to an object of the API server.
pub fn write(what: impl Display, namespace: &str, name: &str) -> Span {
    let api = Remote::Kubernetes.label();
    trace_span!(target: TARGET, "write", otel.name = %format_args!("{api} {what}"), otel.kind = "client", api, namespace, name, http.response.status_code = Empty, outcome = Empty, failure.class = Empty, otel.status_code = Empty)
}

/// The other side has answered a call.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
}

/// How it ended, for the word that metrics use.
pub fn ended(span: &Span, outcome: &str, class: Option<FailureClass>) {
    span.record("outcome", outcome);
    span.record("otel.status_code", if class.is_some() { "ERROR" } else { "OK" });
    if let Some(class) = class {
        span.record("failure.class", class.label());
    }
}

/// The same of a call with a result.
pub fn ended_as<T>(span: &Span, result: &Result<T, Failure>) {
    match result {
        Ok(_) => ended(span, "ok", None),
        Err(failure) => ended(span, "failed", Some(failure.class)),
    }
}
