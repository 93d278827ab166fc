//! Events: `v1` and `events.k8s.io/v1` are two views of one object, stored as core/v1.
//!
//! Rules: `pkg/apis/events/v1/conversion.go`; clients such as kube's Recorder write the new kind, kubectl reads the old.

use serde_json::{Value, json};

use crate::error::{Cause, Failure, Outcome};
use crate::object::Object;
use crate::resource::Resource;

/// (core/v1, events.k8s.io/v1)
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Renames the fields to those of core/v1.
pub(crate) fn to_core(event: &mut Value) {
    rename(event, |(core, new)| (new, core));
    fill(event, "source", ["firstTimestamp", "lastTimestamp", "eventTime"]);
}

/// Renames the fields to those of events.k8s.io/v1.
pub(crate) fn from_core(event: &mut Value) {
    rename(event, |(core, new)| (core, new));
    fill(event, "deprecatedSource", ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"]);
}

fn rename(event: &mut Value, order: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let fields = event.fields_mut();
    for (from, to) in NAMES.map(order) {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

/// Fields without `omitempty` in the Go types are always there.
fn fill(event: &mut Value, source: &str, times: [&str; 3]) {
    let fields = event.fields_mut();
    fields.entry(source).or_insert_with(|| json!({}));
    for time in times {
        fields.entry(time).or_insert(Value::Null);
    }
}

/// An event is in the namespace of what it is about (`pkg/apis/core/validation/events.go`).
pub(crate) fn check_namespace(resource: &Resource, event: &Value, namespace: &str) -> Outcome<()> {
    let about = if resource.group.is_empty() { "involvedObject" } else { "regarding" };
    let of = event.text(&format!("/{about}/namespace"));
    if of == namespace || of.is_empty() && namespace == "default" {
        return Ok(());
    }
    let cause = Cause::invalid(format!("{about}.namespace"), format_args!("\"{of}\": does not match event.namespace"));
    Err(Failure::invalid(&resource.group, resource.kind(), event.text("/metadata/name"), vec![cause]))
}

/// Events of the new kind say who reports what, and when (`events/validation`).
pub(crate) fn check_new_event(resource: &Resource, event: &Value) -> Outcome<()> {
    if resource.group.is_empty() {
        return Ok(());
    }
    let mut causes = Vec::new();
    for field in ["reportingController", "reportingInstance", "action", "reason", "type"] {
        if event.text(&format!("/{field}")).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    if event.text("/eventTime").is_empty() {
        causes.push(Cause::required("eventTime", ""));
    }
    if event.text("/note").len() > 1024 {
        causes.push(Cause::invalid("message", "\"\": can have at most 1024 characters"));
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(&resource.group, resource.kind(), event.text("/metadata/name"), causes))
}
