//! The built-in kinds, read from `builtin.yaml`.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::object::Object;
use crate::resource::{Column, Names, Resource, head};
use crate::schema::Schema;

const TEXT: &str = include_str!("builtin.yaml");

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    metadata: Value,
    kinds: Vec<Kind>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(flatten)]
    names: Names,
    #[serde(default)]
    group: String,
    version: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    status: bool,
    #[serde(default)]
    generation: bool,
    #[serde(default)]
    r#virtual: bool,
    #[serde(default)]
    empty: Value,
    #[serde(default)]
    selectable: Vec<String>,
    #[serde(default)]
    columns: Vec<Column>,
    properties: Value,
}

struct Builtin {
    metadata: Value,
    resources: Vec<Arc<Resource>>,
}

// A test reads the document strictly; here a broken one would leave the server without kinds.
static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| {
    let document: Document = serde_yaml::from_str(TEXT).unwrap_or_default();
    let resources = document.kinds.into_iter().map(|kind| Arc::new(kind.resource(&document.metadata))).collect();
    Builtin { metadata: document.metadata, resources }
});

/// The schema of `metadata`, which all kinds share.
pub(crate) fn metadata_schema() -> &'static Value {
    &BUILTIN.metadata
}

/// All built-in resources.
pub(crate) fn resources() -> &'static [Arc<Resource>] {
    &BUILTIN.resources
}

impl Kind {
    fn resource(mut self, metadata: &Value) -> Resource {
        let mut raw_schema = json!({"type": "object", "properties": self.properties});
        with_type_meta(&mut raw_schema, metadata);
        self.names.singular = self.names.kind.to_lowercase();
        self.names.list_kind = format!("{}List", self.names.kind);
        let events = self.names.plural == "events";
        let shelf = if events { "events".to_owned() } else { format!("{}/{}", self.group, self.names.plural) };
        Resource {
            schema: Schema::deserialize(&raw_schema).unwrap_or_default(),
            raw_schema,
            head: head(&self.group, &self.version, &self.names.kind),
            names: self.names,
            stamp: u64::from(events && !self.group.is_empty()),
            group: self.group,
            version: self.version,
            namespaced: self.namespaced,
            status: self.status,
            generation: self.generation,
            custom: false,
            only_create: self.r#virtual,
            selectable: self.selectable,
            columns: self.columns,
            rules: None,
            empty: if self.empty.is_null() { json!({}) } else { self.empty },
            shelf: shelf.into(),
        }
    }
}

/// Adds `apiVersion`, `kind` and `metadata` to a schema; what that says of the name stays.
pub(crate) fn with_type_meta(schema: &mut Value, metadata: &Value) {
    if let Some(schema) = schema.as_object_mut() {
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
            properties.insert("kind".to_owned(), json!({"type": "string"}));
            let mut metadata = metadata.clone();
            for field in ["name", "generateName"] {
                let given = properties.get("metadata").and_then(|m| m.pointer(&format!("/properties/{field}")));
                if let Some(given) = given {
                    metadata.put(&format!("/properties/{field}"), given.clone());
                }
            }
            properties.insert("metadata".to_owned(), metadata);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_complete() {
        let document: Document = serde_yaml::from_str(TEXT).unwrap();
        assert_eq!(document.kinds.len(), 13);
        for resource in resources() {
            assert!(Schema::deserialize(&resource.raw_schema).is_ok(), "{}", resource.kind());
            assert!(resource.schema.properties.contains_key("metadata"));
        }
    }
}
