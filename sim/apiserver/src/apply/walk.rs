//! How a schema shapes values for apply: what merges field by field or item by item, and what is one leaf.
//!
//! Rules: "Merge strategy" of the server-side apply documentation: `x-kubernetes-list-type`, `-list-map-keys`,
//! `-map-type`; what has no schema is deduced from the value, with lists atomic.

use serde_json::{Map, Value};

use super::fieldset::Step;
use crate::schema::Schema;

/// How a value takes part in a merge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One unit: a scalar.
    Scalar,
    Map,
    AtomicMap,
    MapList,
    SetList,
    AtomicList,
    /// Without schema and without a value to deduce from.
    Unknown,
}

/// The schema at a place; `None` where there is none and shapes are deduced.
pub(crate) type At<'a> = Option<&'a Schema>;

/// The schema of a field, as far as there is one.
pub(crate) enum Child<'a> {
    /// Named in `properties`.
    Declared(At<'a>),
    /// A key of a map, or a field kept without schema.
    Value(At<'a>),
    /// Not allowed here.
    Undeclared,
}

impl<'a> Child<'a> {
    pub(crate) fn at(&self) -> At<'a> {
        match self {
            Child::Declared(at) | Child::Value(at) => *at,
            Child::Undeclared => None,
        }
    }
}

/// The field `name` below `at`.
pub(crate) fn child<'a>(at: At<'a>, name: &str) -> Child<'a> {
    let Some(schema) = at else { return Child::Value(None) };
    if let Some(declared) = schema.properties.get(name) {
        return Child::Declared(typed(declared));
    }
    match schema.values() {
        Some(values) => Child::Value(typed(values)),
        None if schema.keeps_unknown() => Child::Value(None),
        None => Child::Undeclared,
    }
}

/// The items below `at`.
pub(crate) fn items(at: At<'_>) -> At<'_> {
    at.and_then(|s| s.items.as_deref()).and_then(typed)
}

/// A schema that says nothing but "keep everything" is none.
fn typed(schema: &Schema) -> At<'_> {
    let silent = schema.kind.is_none() && !schema.int_or_string && schema.properties.is_empty();
    if silent { None } else { Some(schema) }
}

/// The shape of `value` at `at`.
pub(crate) fn shape(at: At<'_>, value: Option<&Value>) -> Shape {
    match at.map(|s| (s, s.kind.as_deref())) {
        Some((schema, Some("object"))) => {
            if schema.map_type.as_deref() == Some("atomic") {
                Shape::AtomicMap
            } else {
                Shape::Map
            }
        }
        Some((schema, Some("array"))) => {
            if schema.is_map_list() {
                Shape::MapList
            } else if schema.is_set() {
                Shape::SetList
            } else {
                Shape::AtomicList
            }
        }
        Some(_) => Shape::Scalar,
        None => match value {
            None | Some(Value::Null) => Shape::Unknown,
            Some(Value::Object(_)) => Shape::Map,
            Some(Value::Array(_)) => Shape::AtomicList,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => Shape::Scalar,
        },
    }
}

/// The fields of `value` if it is an object that has any.
pub(crate) fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object).filter(|m| !m.is_empty())
}

/// The items of `value` if it is a list that has any.
pub(crate) fn list(value: Option<&Value>) -> Option<&Vec<Value>> {
    value.and_then(Value::as_array).filter(|l| !l.is_empty())
}

/// The step that identifies `item` in the list at `at`, or which key it lacks.
pub(crate) fn item_step(at: At<'_>, shape: Shape, item: &Value) -> Result<Step, String> {
    if shape == Shape::SetList {
        return Ok(Step::Item(item.to_string()));
    }
    if !item.is_object() {
        return Err("associative list with keys may not have non-map elements".to_owned());
    }
    let mut keys = Map::new();
    for key in at.map(|s| s.list_keys.as_slice()).unwrap_or_default() {
        let default = || items(at).and_then(|s| s.properties.get(key)).and_then(|s| s.default.as_ref());
        if let Some(value) = item.get(key).or_else(default) {
            keys.insert(key.clone(), value.clone());
        }
    }
    if keys.is_empty() {
        return Err("associative list with keys has an element that omits all key fields".to_owned());
    }
    Ok(Step::Key(Value::Object(keys).to_string()))
}

/// The items of a list with their steps; items that cannot be identified are left out.
pub(crate) fn identified<'a>(at: At<'_>, shape: Shape, value: Option<&'a Value>) -> Vec<(Step, &'a Value)> {
    let items = list(value).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| Some((item_step(at, shape, item).ok()?, item))).collect()
}
