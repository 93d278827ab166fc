//! Validation of ObjectMeta: names, labels, annotations, finalizers and owners.
//!
//! Rules: `apimachinery/pkg/api/validation/objectmeta.go` and `util/validation`; label values made from object names are
//! where controllers trip over them.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::error::Cause;
use crate::object::Object;

const SUBDOMAIN_HELP: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NAME_HELP: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_HELP: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const MAX_ANNOTATIONS: usize = 256 * 1024;

// A test compiles both; one that does not compile accepts nothing.
static SUBDOMAIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok());
static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$").ok());

fn matches(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|r| r.is_match(text))
}

/// `IsDNS1123Subdomain`.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && matches(&SUBDOMAIN, name)
}

/// Adds what is wrong with the metadata of `object`; the name counts only when it is new.
pub(crate) fn check(object: &Value, new: bool, causes: &mut Vec<Cause>) {
    let name = object.text("/metadata/name");
    if new && !name.is_empty() && !is_subdomain(name) {
        let why = if name.len() > 253 { "must be no more than 253 bytes" } else { SUBDOMAIN_HELP };
        causes.push(Cause::invalid("metadata.name", format_args!("\"{name}\": {why}")));
    }
    let map = |pointer: &str| object.pointer(pointer).and_then(Value::as_object);
    for (key, value) in map("/metadata/labels").into_iter().flatten() {
        qualified("metadata.labels", key, causes);
        let value = value.as_str().unwrap_or_default();
        if value.len() > 63 {
            let message = format!("\"{value}\": must be no more than 63 bytes");
            causes.push(Cause::invalid("metadata.labels", message));
        } else if !value.is_empty() && !matches(&NAME, value) {
            causes.push(Cause::invalid("metadata.labels", format_args!("\"{value}\": {VALUE_HELP}")));
        }
    }
    let annotations = map("/metadata/annotations");
    for key in annotations.into_iter().flat_map(Map::keys) {
        qualified("metadata.annotations", &key.to_lowercase(), causes);
    }
    let size = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if annotations.into_iter().flatten().map(size).sum::<usize>() > MAX_ANNOTATIONS {
        let message = format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes");
        causes.push(Cause::new("FieldValueTooLong", "metadata.annotations", message));
    }
    for finalizer in object.list("/metadata/finalizers") {
        qualified("metadata.finalizers", finalizer.as_str().unwrap_or_default(), causes);
    }
    check_owners(object, causes);
}

fn check_owners(object: &Value, causes: &mut Vec<Cause>) {
    let owners = object.list("/metadata/ownerReferences");
    for (index, owner) in owners.iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.text(&format!("/{field}")).is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(Cause::invalid(path, "\"\": must not be empty"));
            }
        }
    }
    let controllers: Vec<&str> =
        owners.iter().filter(|o| o.get("controller") == Some(&Value::Bool(true))).map(|o| o.text("/name")).collect();
    if let [first, second, ..] = controllers.as_slice() {
        let message = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        causes.push(Cause::invalid("metadata.ownerReferences", message));
    }
}

/// `IsQualifiedName`: a name, optionally behind a subdomain and a slash.
fn qualified(field: &str, key: &str, causes: &mut Vec<Cause>) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let why = match prefix {
        Some("") => "prefix part must be non-empty".to_owned(),
        Some(prefix) if !is_subdomain(prefix) => format!("prefix part {SUBDOMAIN_HELP}"),
        Some(_) | None if name.is_empty() => "name part must be non-empty".to_owned(),
        Some(_) | None if name.len() > 63 => "name part must be no more than 63 bytes".to_owned(),
        Some(_) | None if !matches(&NAME, name) => NAME_HELP.to_owned(),
        Some(_) | None => return,
    };
    causes.push(Cause::invalid(field, format_args!("\"{key}\": {why}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(meta: Value) -> Vec<String> {
        let mut causes = Vec::new();
        check(&json!({ "metadata": meta }), true, &mut causes);
        causes.into_iter().map(|c| c.field).collect()
    }

    #[test]
    fn metadata_is_checked() {
        assert!(SUBDOMAIN.is_some() && NAME.is_some());
        let good = json!({
            "name": "a.b-c", "labels": {"x.io/y": "Z_1", "plain": ""}, "annotations": {"X.io/Y": "any thing"},
            "finalizers": ["x.io/hold"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true}],
        });
        assert_eq!(fields(good), Vec::<String>::new());
        assert_eq!(fields(json!({"name": "A"})), ["metadata.name"]);
        assert_eq!(fields(json!({"labels": {"a": "x".repeat(64), "b": "-", "/c": "", "d e": ""}})).len(), 4);
        assert_eq!(fields(json!({"annotations": {"a": "x".repeat(300_000)}})), ["metadata.annotations"]);
        assert_eq!(fields(json!({"finalizers": ["x.io/"]})), ["metadata.finalizers"]);
        let owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true});
        assert_eq!(fields(json!({"ownerReferences": [owner, owner]})), ["metadata.ownerReferences"]);
        assert_eq!(fields(json!({"ownerReferences": [{"kind": "K"}]})).len(), 3);
    }
}
