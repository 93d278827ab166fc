//! Answers without what differs between two runs: uids, versions, times, ages, and the order of causes.

use regex::Regex;
use serde_json::{Map, Value};

const TIMES: [&str; 6] =
    ["creationTimestamp", "deletionTimestamp", "time", "lastTransitionTime", "firstTimestamp", "lastTimestamp"];

pub(crate) struct Normal {
    uid: Regex,
    age: Regex,
    version: Regex,
}

impl Normal {
    pub(crate) fn new() -> Normal {
        Normal {
            uid: Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap(),
            age: Regex::new(r"^\d+[smhd](\d+[smh])?$").unwrap(),
            version: Regex::new(r"ResourceVersion in record \(\d+\)").unwrap(),
        }
    }

    pub(crate) fn value(&self, value: &Value) -> Value {
        let mut value = self.walk(value);
        sort_causes(&mut value);
        value
    }

    fn walk(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => Value::Object(fields.iter().map(|(k, v)| (k.clone(), self.field(k, v))).collect()),
            Value::Array(items) => Value::Array(items.iter().map(|v| self.walk(v)).collect()),
            Value::String(text) => {
                let text = self.uid.replace_all(text, "<uid>");
                let text = self.version.replace_all(&text, "ResourceVersion in record (<rv>)");
                self.age.replace(&text, "<age>").into_owned().into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn field(&self, name: &str, value: &Value) -> Value {
        match name {
            "uid" => "<uid>".into(),
            "resourceVersion" if !matches!(value.as_str(), Some("" | "0")) => "<rv>".into(),
            "continue" => "<continue>".into(),
            "hash" | "storageVersionHash" => "<hash>".into(),
            _ if TIMES.contains(&name) && value.as_str().is_some_and(|t| !t.is_empty()) => "<time>".into(),
            "managedFields" => {
                let mut entries: Vec<Value> = value.as_array().into_iter().flatten().map(|e| self.walk(e)).collect();
                entries.sort_by_key(Value::to_string);
                Value::Array(entries)
            }
            _ => self.walk(value),
        }
    }
}

/// Go walks maps in random order, so causes (and the message made of them) come in any order.
fn sort_causes(status: &mut Value) {
    let Some(causes) = status.pointer_mut("/details/causes").and_then(Value::as_array_mut) else { return };
    causes.sort_by_key(Value::to_string);
    let text = |c: &Value, k: &str| c[k].as_str().unwrap_or_default().to_owned();
    let mut lines: Vec<String> =
        causes.iter().map(|c| format!("{}: {}", text(c, "field"), text(c, "message"))).collect();
    lines.dedup();
    let message = text(status, "message");
    if lines.iter().all(|line| message.contains(line.as_str())) {
        let start = message.split(" is invalid: ").next().unwrap_or_default();
        let fields: &mut Map<String, Value> = status.as_object_mut().unwrap();
        fields.insert("message".to_owned(), format!("{start} is invalid: {}", lines.join(", ")).into());
    }
}

/// The pointers at which two values differ.
pub(crate) fn differences(a: &Value, b: &Value, path: &str, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let mut keys: Vec<&String> = x.keys().chain(y.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let null = Value::Null;
                let (u, v) = (x.get(key).unwrap_or(&null), y.get(key).unwrap_or(&null));
                differences(u, v, &format!("{path}/{key}"), out);
                if x.contains_key(key) != y.contains_key(key) && u == v {
                    out.push(format!("{path}/{key}: null or absent"));
                }
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (index, (u, v)) in x.iter().zip(y).enumerate() {
                differences(u, v, &format!("{path}/{index}"), out);
            }
        }
        (a, b) if a != b => out.push(format!("{path}: real {a}, here {b}")),
        _ => {}
    }
}
