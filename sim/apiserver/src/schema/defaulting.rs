//! Defaulting, on requests and when an object is read whose schema has changed since.
//!
//! Rules: "Defaulting" and "Defaulting and Nullable": a null for a field that is not nullable counts as absent; without a
//! default it is dropped.

use serde_json::Value;

use super::Schema;

/// Fills in defaults and drops the nulls that the schema does not allow.
pub(crate) fn default(schema: &Schema, value: &mut Value) {
    fill(schema, value);
    drop_nulls(schema, value);
}

fn fill(schema: &Schema, value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        for (name, of) in &schema.properties {
            let Some(default) = &of.default else { continue };
            if fields.get(name).is_none_or(|v| v.is_null() && !of.nullable) {
                fields.insert(name.clone(), default.clone());
            }
        }
        for (name, child) in fields.iter_mut() {
            if let Some(of) = schema.field(name) {
                replace_null(of, child);
                fill(of, child);
            }
        }
    } else if let (Some(items), Some(of)) = (value.as_array_mut(), &schema.items) {
        for item in items {
            replace_null(of, item);
            fill(of, item);
        }
    }
}

fn replace_null(schema: &Schema, value: &mut Value) {
    if let (true, false, Some(default)) = (value.is_null(), schema.nullable, &schema.default) {
        *value = default.clone();
    }
}

fn drop_nulls(schema: &Schema, value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, child| {
            let Some(of) = schema.field(name) else { return true };
            if child.is_null() && !of.nullable {
                return false;
            }
            drop_nulls(of, child);
            true
        });
    } else if let (Some(items), Some(of)) = (value.as_array_mut(), &schema.items) {
        for item in items {
            drop_nulls(of, item);
        }
    }
}
