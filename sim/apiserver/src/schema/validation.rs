//! Validation of values against a schema, in the words of `k8s.io/kube-openapi/pkg/validation`.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde_json::{Map, Value};

use super::{Schema, join};
use crate::error::Cause;

/// Adds what is wrong with `value` to `causes`. What has not changed from `old` is not validated again: a schema may have
/// become stricter since ("Validation ratcheting").
pub(crate) fn validate(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.nullable || old == Some(value) {
        return;
    }
    if !right_type(schema, value, path, causes) {
        return;
    }
    if let Some(allowed) = &schema.allowed
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", allowed.join(", "));
        causes.push(Cause::new("FieldValueNotSupported", path, message));
    }
    if let Some(number) = value.as_f64() {
        check_number(schema, number, &Place { value, path }, causes);
    } else if let Some(text) = value.as_str() {
        check_text(schema, text, &Place { value, path }, causes);
    } else if let Some(items) = value.as_array() {
        check_list(schema, items, old, path, causes);
    } else if let Some(fields) = value.as_object() {
        check_object(schema, fields, old, path, causes);
    }
    check_combined(schema, value, path, causes);
}

struct Place<'a> {
    value: &'a Value,
    path: &'a str,
}

impl Place<'_> {
    fn cause(&self, must: impl std::fmt::Display) -> Cause {
        Cause::invalid(self.path, format_args!("{}: {} in body {must}", self.value, self.path))
    }
}

/// The JSON type as the validator names it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether `value` is of the type `kind`; an integer is also a number, and 2.0 is also an integer.
pub(crate) fn is_type(kind: &str, value: &Value) -> bool {
    match (kind, value) {
        ("number", Value::Number(_)) => true,
        ("integer", Value::Number(n)) => !n.is_f64() || n.as_f64().is_some_and(|f| f.fract() == 0.0),
        (kind, value) => kind == type_name(value),
    }
}

fn right_type(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) -> bool {
    let (right, wanted) = if schema.int_or_string {
        (is_type("integer", value) || value.is_string(), "integer,string")
    } else {
        match schema.kind.as_deref() {
            Some(kind) => (is_type(kind, value), kind),
            None => (true, ""),
        }
    };
    if !right {
        let is = type_name(value);
        let message = format!("Invalid value: \"{is}\": {path} in body must be of type {wanted}: \"{is}\"");
        causes.push(Cause::new("FieldValueTypeInvalid", path, message));
    }
    right
}

fn check_number(schema: &Schema, number: f64, place: &Place<'_>, causes: &mut Vec<Cause>) {
    if let Some(bound) = schema.maximum {
        if schema.exclusive_maximum && number >= bound {
            causes.push(place.cause(format_args!("should be less than {bound}")));
        } else if number > bound {
            causes.push(place.cause(format_args!("should be less than or equal to {bound}")));
        }
    }
    if let Some(bound) = schema.minimum {
        if schema.exclusive_minimum && number <= bound {
            causes.push(place.cause(format_args!("should be greater than {bound}")));
        } else if number < bound {
            causes.push(place.cause(format_args!("should be greater than or equal to {bound}")));
        }
    }
    if let Some(step) = schema.multiple_of
        && (number / step).fract() != 0.0
    {
        causes.push(place.cause(format_args!("should be a multiple of {step}")));
    }
}

fn check_text(schema: &Schema, text: &str, place: &Place<'_>, causes: &mut Vec<Cause>) {
    let length = text.chars().count() as u64;
    if let Some(bound) = schema.max_length.filter(|bound| length > *bound) {
        let message = format!("Too long: may not be more than {bound} bytes");
        causes.push(Cause::new("FieldValueTooLong", place.path, message));
        return;
    }
    if let Some(bound) = schema.min_length.filter(|bound| length < *bound) {
        causes.push(place.cause(format_args!("should be at least {bound} chars long")));
        return;
    }
    if let Some(pattern) = &schema.pattern
        && !pattern.regex.as_ref().is_some_and(|r| r.is_match(text))
    {
        causes.push(place.cause(format_args!("should match '{}'", pattern.source)));
    }
    let format = schema.format.as_deref().unwrap_or_default();
    if !has_format(format, text) {
        causes.push(place.cause(format_args!("must be of type {format}: {}", place.value)));
    }
}

/// The formats that the server checks; it ignores the ones it does not know.
fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => is_date_time(text),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => text.parse::<jiff::SignedDuration>().is_ok(),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).is_ok(),
        _ => true,
    }
}

/// As the server's own check: days of the calendar, hours below 24, minutes and seconds below 60, and any two digits in
/// the offset. So `+99:99` passes, which no parser of RFC 3339 takes.
fn is_date_time(text: &str) -> bool {
    static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$").ok()
    });
    let text = text.to_lowercase();
    let Some((date, time)) = text.split_once('t') else { return false };
    let is_date = date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok();
    is_date && TIME.as_ref().is_some_and(|form| form.is_match(time))
}

fn check_list(schema: &Schema, items: &[Value], old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    let length = items.len() as u64;
    if let Some(bound) = schema.min_items.filter(|bound| length < *bound) {
        let value = Value::Array(items.to_vec());
        causes.push(Place { value: &value, path }.cause(format_args!("should have at least {bound} items")));
    }
    if let Some(bound) = schema.max_items.filter(|bound| length > *bound) {
        let message = format!("Too many: {length}: must have at most {bound} items");
        causes.push(Cause::new("FieldValueTooMany", path, message));
    }
    if let Some(of) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            validate(of, item, schema.old_item(item, old), &format!("{path}[{index}]"), causes);
        }
    }
    check_duplicates(schema, items, path, causes);
}

/// Sets and map lists hold each item once ("x-kubernetes-list-type").
fn check_duplicates(schema: &Schema, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = if schema.is_set() {
            item.to_string()
        } else if schema.is_map_list() {
            let key = |k: &String| item.get(k).map(|v| (k.clone(), v.clone()));
            Value::Object(schema.list_keys.iter().filter_map(key).collect()).to_string()
        } else {
            return;
        };
        if seen.contains(&identity) {
            let message = format!("Duplicate value: {identity}");
            causes.push(Cause::new("FieldValueDuplicate", format!("{path}[{index}]"), message));
        }
        seen.insert(identity);
    }
}

fn check_object(
    schema: &Schema,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let count = fields.len() as u64;
    let value = || Value::Object(fields.clone());
    if let Some(bound) = schema.min_properties.filter(|bound| count < *bound) {
        causes.push(Place { value: &value(), path }.cause(format_args!("should have at least {bound} properties")));
    }
    if let Some(bound) = schema.max_properties.filter(|bound| count > *bound) {
        let message = format!("Too many: {count}: must have at most {bound} items");
        causes.push(Cause::new("FieldValueTooMany", path, message));
    }
    for (name, child) in fields {
        if let Some(of) = schema.field(name) {
            validate(of, child, old.and_then(|o| o.get(name)), &join(path, name), causes);
        }
    }
    for name in &schema.required {
        if !fields.contains_key(name) {
            causes.push(Cause::required(join(path, name), ""));
        }
    }
}

fn check_combined(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let passes = |of: &&Schema| {
        let mut inner = Vec::new();
        validate(of, value, None, path, &mut inner);
        inner.is_empty()
    };
    let place = Place { value, path };
    if !schema.any_of.is_empty() && !schema.any_of.iter().any(|s| passes(&s)) {
        causes.push(place.cause("must validate at least one schema (anyOf)"));
    }
    if !schema.one_of.is_empty() && schema.one_of.iter().filter(passes).count() != 1 {
        causes.push(place.cause("must validate one and only one schema (oneOf)"));
    }
    if schema.not.as_deref().is_some_and(|s| passes(&s)) {
        causes.push(place.cause("must not validate the schema (not)"));
    }
    for of in &schema.all_of {
        validate(of, value, None, path, causes);
    }
}
