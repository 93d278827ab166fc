//! `docs/resources.md`: every field of the resources, from the definitions that the API server enforces.

use std::fmt::Write as _;

use failback::api::crds;
use serde_json::{Map, Value};

use crate::same;

const HEAD: &str = "# Resources\n\n<!-- Generated from the code: `FAILBACK_UPDATE=1 cargo nextest run --test docs` -->\n\n\
    Group `failback.dev`, version `v1alpha1`. All kinds are namespaced, and refer to objects and Secrets of their own \
    namespace\nonly. `kubectl explain` shows the same. A field that is neither required nor has a default may be left out. \
    What a status\nsays of itself in words is in [troubleshooting](troubleshooting.md).\n";

#[test]
fn the_resources_are_documented() {
    let mut text = HEAD.to_owned();
    for crd in crds() {
        let crd = serde_json::to_value(crd).unwrap();
        kind(&mut text, &crd);
    }
    same("docs/resources.md", |_| text);
}

fn kind(text: &mut String, crd: &Value) {
    let names = &crd["spec"]["names"];
    let version = &crd["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let short = word(&names["shortNames"][0]);
    writeln!(text, "\n## {}\n\n{}\n", word(&names["kind"]), prose(schema)).unwrap();
    let columns: Vec<String> = version["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| word(&c["name"]).to_uppercase())
        .collect();
    writeln!(text, "`kubectl get {short}` shows {}.", columns.join(", ")).unwrap();
    for part in ["spec", "status"] {
        let fields = &schema["properties"][part];
        writeln!(
            text,
            "\n### {}: {part}\n\n| field | type | default | bounds | meaning |\n|---|---|---|---|---|",
            word(&names["kind"])
        )
        .unwrap();
        let mut rules = Vec::new();
        rows(text, &mut rules, fields, "");
        if part == "spec" {
            rules.extend(messages(schema).map(|message| (String::new(), message)));
            told(text, &rules);
        }
    }
}

/// The rules that the API server checks beyond types and bounds.
fn told(text: &mut String, rules: &[(String, String)]) {
    if rules.is_empty() {
        return;
    }
    text.push_str("\nThe API server refuses what does not hold:\n\n");
    for (path, message) in rules {
        let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        writeln!(text, "* {place}{message}").unwrap();
    }
}

fn messages(schema: &Value) -> impl Iterator<Item = String> + '_ {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.map(|rule| rule["message"].as_str().unwrap().to_owned())
}

fn rows(text: &mut String, rules: &mut Vec<(String, String)>, schema: &Value, path: &str) {
    rules.extend(messages(schema).map(|message| (path.to_owned(), message)));
    let none = Map::new();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().unwrap_or(&none) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let default = match field.get("default") {
            Some(default) => format!("`{default}`"),
            None if required.contains(&name.as_str()) => "required".to_owned(),
            None => String::new(),
        };
        let (kind, bounds, meaning) = (of_type(field), bounds(field), prose(field));
        writeln!(text, "| `{path}` | {kind} | {default} | {bounds} | {meaning} |").unwrap();
        // What a condition consists of is Kubernetes' own.
        if name != "conditions" {
            inside(text, rules, field, &path);
        }
    }
}

/// The fields of an object, of the entries of a list, or of the values of a map.
fn inside(text: &mut String, rules: &mut Vec<(String, String)>, field: &Value, path: &str) {
    if field["items"].is_object() {
        rows(text, rules, &field["items"], &format!("{path}[]"));
    } else if field["additionalProperties"].is_object() {
        rows(text, rules, &field["additionalProperties"], &format!("{path}{{}}"));
    } else {
        rows(text, rules, field, path);
    }
}

fn of_type(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        return values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let kind = field["type"].as_str().unwrap_or("any");
    match (kind, field["format"].as_str()) {
        ("array", _) => format!("list of {}", of_type(&field["items"])),
        ("object", _) if field["additionalProperties"].is_object() => {
            format!("map to {}", of_type(&field["additionalProperties"]))
        }
        ("string", Some("date-time")) => "time".to_owned(),
        _ => kind.to_owned(),
    }
}

/// Bounds of a value, and of the entries of a list.
fn bounds(field: &Value) -> String {
    let number = |key: &str| field[key].as_f64().map(|number| format!("{number}"));
    let range = |low: &str, high: &str, what: &str| match (number(low), number(high)) {
        (Some(low), Some(high)) => Some(format!("{low} to {high}{what}")),
        (Some(low), None) => Some(format!("at least {low}{what}")),
        (None, Some(high)) => Some(format!("at most {high}{what}")),
        (None, None) => None,
    };
    let mut all: Vec<String> = [
        range("minimum", "maximum", ""),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " entries"),
        range("minProperties", "maxProperties", " keys"),
    ]
    .into_iter()
    .flatten()
    .collect();
    all.extend(field["pattern"].as_str().map(|pattern| format!("`{}`", pattern.replace('|', "\\|"))));
    let entries = &field["items"];
    if entries.is_object() {
        all.extend(Some(bounds(entries)).filter(|bounds| !bounds.is_empty()).map(|bounds| format!("each {bounds}")));
    }
    all.join("; ")
}

/// A description in one line of a table.
fn prose(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
