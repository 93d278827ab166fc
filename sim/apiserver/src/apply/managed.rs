//! `metadata.managedFields`: reading, writing and naming its entries.

use serde_json::{Map, Value, json};

use super::fieldset::FieldSet;
use crate::object::Object;

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) applied: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Entry {
    /// Whether two entries are of the same manager: the apiVersion counts for updates only.
    pub(crate) fn same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.applied == other.applied
            && self.subresource == other.subresource
            && (self.applied || self.api_version == other.api_version)
    }

    fn operation(&self) -> &'static str {
        if self.applied { "Apply" } else { "Update" }
    }

    /// How conflicts name this manager.
    pub(crate) fn shown(&self) -> String {
        let sub = match self.subresource.as_str() {
            "" => String::new(),
            sub => format!(" with subresource \"{sub}\""),
        };
        let using = if self.applied { String::new() } else { format!(" using {}", self.api_version) };
        format!("\"{}\"{sub}{using}", self.manager)
    }

    /// The order of managers in conflict messages: that of their JSON.
    pub(crate) fn sort_key(&self) -> String {
        let version = if self.applied { String::new() } else { format!(",\"apiVersion\":\"{}\"", self.api_version) };
        let sub = match self.subresource.as_str() {
            "" => String::new(),
            sub => format!(",\"subresource\":\"{sub}\""),
        };
        format!("{{\"manager\":\"{}\",\"operation\":\"{}\"{version}{sub}}}", self.manager, self.operation())
    }

    fn to_json(&self) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                entry.insert(name.to_owned(), value.into());
            }
        };
        put("manager", &self.manager);
        put("operation", self.operation());
        put("apiVersion", &self.api_version);
        put("time", &self.time);
        put("fieldsType", "FieldsV1");
        put("subresource", &self.subresource);
        entry.insert("fieldsV1".to_owned(), self.fields.to_json());
        Value::Object(entry)
    }
}

/// The entries of an object.
pub(crate) fn read(object: &Value) -> Vec<Entry> {
    let entry = |e: &Value| Entry {
        manager: e.text("/manager").to_owned(),
        applied: e.text("/operation") == "Apply",
        api_version: e.text("/apiVersion").to_owned(),
        subresource: e.text("/subresource").to_owned(),
        time: e.text("/time").to_owned(),
        fields: e.get("fieldsV1").map(FieldSet::from_json).unwrap_or_default(),
    };
    object.list("/metadata/managedFields").iter().map(entry).collect()
}

/// Writes the entries that own something, in the order of `sortEncodedManagedFields`.
pub(crate) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|e| !e.fields.is_empty());
    entries.sort_by(|a, b| {
        let key = |e: &Entry| {
            (e.operation(), e.time.clone(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
        };
        key(a).cmp(&key(b))
    });
    if entries.is_empty() {
        object.meta_mut().remove("managedFields");
    } else {
        let entries: Vec<Value> = entries.iter().map(Entry::to_json).collect();
        object.meta_mut().insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Whether a client asks to clear the entries: an empty list, or a list of one empty entry.
pub(crate) fn is_reset(object: &Value) -> bool {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|list| match list.as_slice() {
        [] => true,
        [one] => *one == json!({}),
        _ => false,
    })
}
