//! Structural schemas: the typed form of `openAPIV3Schema`.
//!
//! Rules: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>. The
//! built-in kinds are described by the same type, so that pruning, apply and OpenAPI know one kind of schema only.

pub(crate) mod defaulting;
pub(crate) mod pruning;
pub(crate) mod structural;
pub(crate) mod validation;

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One node of a schema; the fields are those of `JSONSchemaProps`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Schema {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) additional_properties: Option<Additional>,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) required: Vec<String>,
    pub(crate) nullable: bool,
    pub(crate) default: Option<Value>,
    #[serde(rename = "enum")]
    pub(crate) allowed: Option<Vec<Value>>,
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub(crate) preserve: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(crate) int_or_string: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub(crate) embedded: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(crate) list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(crate) list_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub(crate) map_type: Option<String>,
    #[serde(rename = "x-kubernetes-validations")]
    pub(crate) rules: Vec<Value>,
    #[serde(rename = "$ref")]
    pub(crate) reference: Option<String>,
    pub(crate) unique_items: bool,
    pub(crate) description: Option<String>,
}

/// `JSONSchemaPropsOrBool`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Additional {
    /// Anything, or nothing.
    Allowed(bool),
    /// Whatever matches.
    Of(Box<Schema>),
}

/// A regular expression, compiled once.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) source: String,
    /// `None` when it is not a valid expression; the CRD is refused then.
    pub(crate) regex: Option<Regex>,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        let source = String::deserialize(deserializer)?;
        let regex = Regex::new(&source).ok();
        Ok(Pattern { source, regex })
    }
}

impl Schema {
    /// The schema for the values of keys that `properties` does not name.
    pub(crate) fn values(&self) -> Option<&Schema> {
        match &self.additional_properties {
            Some(Additional::Of(schema)) => Some(schema),
            Some(Additional::Allowed(_)) | None => None,
        }
    }

    /// The schema of the field `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or_else(|| self.values())
    }

    /// Whether fields that are not in the schema are kept.
    pub(crate) fn keeps_unknown(&self) -> bool {
        self.preserve || matches!(self.additional_properties, Some(Additional::Allowed(true)))
    }

    /// Whether this is a list whose items are told apart by keys.
    pub(crate) fn is_map_list(&self) -> bool {
        self.list_type.as_deref() == Some("map")
    }

    /// The item of the old list with the same keys; only map lists have one.
    pub(crate) fn old_item<'a>(&self, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
        let same = |o: &&Value| self.list_keys.iter().all(|key| o.get(key) == item.get(key));
        old.filter(|_| self.is_map_list())?.as_array()?.iter().find(same)
    }

    /// Whether this is a list of distinct items.
    pub(crate) fn is_set(&self) -> bool {
        self.list_type.as_deref() == Some("set")
    }
}

/// `path.field`, or only `field` at the root: how validation errors name fields.
pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
