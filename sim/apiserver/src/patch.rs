//! PATCH: JSON patch, JSON merge patch and apply; strategic merge only as far as built-in kinds need it.
//!
//! Rules: `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.

use json_patch::PatchOperation;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::admission;
use crate::apply::ownership;
use crate::call::{Call, Query};
use crate::error::{Failure, Outcome};
use crate::object::Object;
use crate::resource::Resource;
use crate::schema::{Schema, defaulting};
use crate::state::Shared;
use crate::store::Key;
use crate::write::{Written, empty, internal_call, name_object, writer};

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

impl Shared {
    pub(crate) fn patch(&self, call: &Call, body: &[u8]) -> Outcome<Written> {
        match call.content_type.as_str() {
            APPLY => {
                // Most clients send JSON, which YAML readers take for YAML except for some escapes.
                let config = serde_json::from_slice(body)
                    .or_else(|_| serde_yaml::from_slice(body))
                    .map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")))?;
                self.apply_patch(call, config)
            }
            MERGE => {
                let patch = parse(body)?;
                self.update(call, false, |old| {
                    let mut new = old.clone();
                    json_patch::merge(&mut new, &patch);
                    Ok(new)
                })
            }
            STRATEGIC if !call.resource.custom => {
                let patch = parse(body)?;
                self.update(call, false, |old| {
                    let mut new = old.clone();
                    strategic(Some(&call.resource.schema), &mut new, &patch);
                    Ok(new)
                })
            }
            JSON => {
                let patch = parse(body)?;
                let operations: Vec<PatchOperation> = serde_json::from_value(patch)
                    .map_err(|e| Failure::bad_request(format!("error decoding patch: {e}")))?;
                self.update(call, false, |old| apply_operations(old, &operations))
            }
            _ if call.resource.custom => Err(Failure::unsupported_media(&[JSON, MERGE, APPLY].join(", "))),
            _ => Err(Failure::unsupported_media(&[JSON, MERGE, STRATEGIC, APPLY].join(", "))),
        }
    }

    /// A forced apply of `object` from inside the program, through the ordinary path.
    pub(crate) fn apply(&self, object: &Value) -> Outcome<Value> {
        let (group, version) = match object.text("/apiVersion").rsplit_once('/') {
            Some((group, version)) => (group, version),
            None => ("", object.text("/apiVersion")),
        };
        let kind = object.text("/kind");
        let unknown = || Failure::bad_request(format!("no resource for {kind} in {}", object.text("/apiVersion")));
        let is = |r: &Arc<Resource>| r.group == group && r.version == version && r.kind() == kind;
        let resource = self.registry.all().into_iter().find(is).ok_or_else(unknown)?;
        let namespace = match object.text("/metadata/namespace") {
            "" if resource.namespaced => "default",
            namespace => namespace,
        };
        let mut call = internal_call(&resource, &Key::new(namespace, object.text("/metadata/name")));
        call.manager = "embedded".to_owned();
        call.query = Query::parse("fieldManager=embedded&force=true");
        Ok(self.apply_patch(&call, object.clone())?.object)
    }

    fn apply_patch(&self, call: &Call, mut config: Value) -> Outcome<Written> {
        check_apply(call, &config)?;
        let resource = &call.resource;
        let force = call.query.is_true("force");
        let key = Key::new(call.namespace(), call.name());
        let api_version = resource.api_version();
        config.put("/metadata/name", call.name());
        if self.store.get(&resource.shelf, &key).is_some() {
            let version = config.cut("/metadata/resourceVersion");
            return self.update(call, true, |old| {
                let mut new = ownership::apply(&resource.schema, old, &config, &writer(call, &api_version), force)?;
                if let Some(version) = &version {
                    new.put("/metadata/resourceVersion", version.clone());
                }
                Ok(new)
            });
        }
        if !call.subresource.is_empty() {
            return Err(Failure::not_found(resource, call.name()));
        }
        if config.has("/metadata/uid") {
            return Err(Failure::modified(resource, call.name()));
        }
        if resource.namespaced {
            config.put("/metadata/namespace", call.namespace());
        }
        let new = ownership::apply(&resource.schema, &empty(resource), &config, &writer(call, &api_version), force)?;
        let mut decoded = admission::decode(call, new)?;
        let more = name_object(call, &mut decoded.object)?;
        if decoded.object.has("/metadata/resourceVersion") {
            return Err(Failure::modified(resource, call.name()));
        }
        let object = self.store_new(call, decoded.object, more)?;
        Ok(Written { object, created: true, warnings: decoded.warnings })
    }
}

fn check_apply(call: &Call, config: &Value) -> Outcome<()> {
    if call.query.get("fieldManager").is_empty() {
        let message = "Required value: is required for apply patch";
        return Err(Failure::new(
            422,
            "Invalid",
            format!("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: {message}"),
        )
        .with(json!({
            "group": "meta.k8s.io", "kind": "PatchOptions",
            "causes": [{"reason": "FieldValueRequired", "message": message, "field": "fieldManager"}],
        })));
    }
    if config.has("/metadata/managedFields") {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let (version, kind) = (config.text("/apiVersion"), config.text("/kind"));
    if version.is_empty() || kind.is_empty() {
        return Err(Failure::bad_request(format!("invalid object type: {version}, Kind={kind}")));
    }
    let expected = call.resource.api_version();
    if version != expected {
        return Err(Failure::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {expected}"
        )));
    }
    let name = config.text("/metadata/name");
    if !name.is_empty() && name != call.name() {
        let path = call.name();
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({path})"
        )));
    }
    Ok(())
}

fn parse(body: &[u8]) -> Outcome<Value> {
    serde_json::from_slice(body).map_err(|e| Failure::bad_request(format!("error decoding patch: {e}")))
}

/// The server uses evanphx/json-patch, where `test` of a missing path with null passes; kube's finalizer helper relies on
/// it.
fn apply_operations(old: &Value, operations: &[PatchOperation]) -> Outcome<Value> {
    let mut new = old.clone();
    for operation in operations {
        if let PatchOperation::Test(test) = operation
            && test.value.is_null()
            && new.pointer(test.path.as_str()).is_none()
        {
            continue;
        }
        json_patch::patch(&mut new, std::slice::from_ref(operation)).map_err(|e| {
            Failure::new(422, "Invalid", format!("the server rejected our request due to an error in our request: {e}"))
        })?;
    }
    Ok(new)
}

/// Strategic merge: a merge patch that merges map lists by key and adds to sets. `$patch` directives other than deletion
/// of a list item are not known.
fn strategic(schema: Option<&Schema>, target: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    for (name, change) in changes.iter().filter(|(name, _)| !name.starts_with('$')) {
        let of = schema.and_then(|s| s.field(name));
        let fields = target.fields_mut();
        if change.is_null() {
            fields.remove(name);
        } else if let (Some(items), Some(of)) = (change.as_array(), of.filter(|s| s.is_map_list() || s.is_set())) {
            merge_list(of, fields.entry(name.clone()).or_insert_with(|| json!([])), items);
        } else if change.is_object() {
            strategic(of, fields.entry(name.clone()).or_insert_with(|| json!({})), change);
        } else {
            fields.insert(name.clone(), change.clone());
        }
    }
    if let Some(schema) = schema {
        defaulting::default(schema, target);
    }
}

fn merge_list(schema: &Schema, target: &mut Value, changes: &[Value]) {
    let Some(list) = target.as_array_mut() else {
        *target = Value::Array(changes.to_vec());
        return;
    };
    for change in changes {
        let same = |item: &Value| match schema.is_set() {
            true => item == change,
            false => schema.list_keys.iter().all(|k| item.get(k) == change.get(k)),
        };
        let found = list.iter().position(same);
        if change.text("/$patch") == "delete" {
            list.retain(|item| !same(item));
        } else if let Some(item) = found.and_then(|i| list.get_mut(i)) {
            strategic(schema.items.as_deref(), item, change);
        } else {
            list.push(change.clone());
        }
    }
}
