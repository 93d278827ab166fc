//! Pruning: fields that the schema does not name are dropped (and reported, for `fieldValidation`).
//!
//! Rule: "Field pruning" and "Field validation" of the custom resource documentation.

use serde_json::Value;

use super::{Schema, join};

/// Drops unknown fields below `value` and adds their paths to `unknown`.
pub(crate) fn prune(schema: &Schema, value: &mut Value, unknown: &mut Vec<String>) {
    walk(schema, value, "", true, unknown);
}

/// As [`prune`], for an object that carries `apiVersion`, `kind` and `metadata`, below the path `path`.
fn walk(schema: &Schema, value: &mut Value, path: &str, resource: bool, unknown: &mut Vec<String>) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, child| {
            if resource && matches!(name.as_str(), "apiVersion" | "kind") {
                return true;
            }
            let here = join(path, name);
            match schema.field(name) {
                Some(of) => {
                    walk(of, child, &here, of.embedded, unknown);
                    true
                }
                None if schema.keeps_unknown() || resource && name == "metadata" => true,
                None => {
                    unknown.push(here);
                    false
                }
            }
        });
    } else if let (Some(items), Some(of)) = (value.as_array_mut(), &schema.items) {
        for (index, item) in items.iter_mut().enumerate() {
            walk(of, item, &format!("{path}[{index}]"), of.embedded, unknown);
        }
    }
}
