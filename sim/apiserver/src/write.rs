//! Create and update: `k8s.io/apiserver/pkg/registry/generic/registry/store.go` and the strategies of each kind.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission;
use crate::apply::fieldset::FieldSet;
use crate::apply::ownership::{self, Writer};
use crate::call::{Call, User};
use crate::crd;
use crate::error::{Cause, Failure, Outcome};
use crate::event;
use crate::object::{Object, name_suffix, new_uid, now};
use crate::resource::Resource;
use crate::state::Shared;
use crate::store::Key;

/// An object after a write.
pub(crate) struct Written {
    /// As the resource shows it.
    pub(crate) object: Value,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

/// Metadata that only the server writes.
const SERVERS: [&str; 9] = [
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "namespace",
    "selfLink",
    "generateName",
    "resourceVersion",
];

/// What the writer of a call may not own at its endpoint.
pub(crate) fn writer<'a>(call: &'a Call, api_version: &'a str) -> Writer<'a> {
    let reset = if call.subresource == "status" {
        FieldSet::of(&[&["spec"], &["metadata"]])
    } else if call.resource.status {
        FieldSet::of(&[&["status"]])
    } else {
        FieldSet::default()
    };
    Writer { manager: &call.manager, api_version, subresource: &call.subresource, reset }
}

/// What a new object of the kind looks like before anything is set.
pub(crate) fn empty(resource: &Resource) -> Value {
    let mut empty = resource.empty.clone();
    empty.put("/apiVersion", resource.api_version());
    empty.put("/kind", resource.kind());
    empty.put("/metadata", json!({}));
    empty
}

impl Shared {
    /// POST.
    pub(crate) fn create(&self, call: &Call, body: Value) -> Outcome<Written> {
        let mut decoded = admission::decode(call, body)?;
        let mut more = name_object(call, &mut decoded.object)?;
        if call.resource.only_create {
            let object = self.review(call, decoded.object);
            return Ok(Written { object, created: true, warnings: decoded.warnings });
        }
        if decoded.object.has("/metadata/resourceVersion") {
            return Err(Failure::internal("resourceVersion should not be set on objects to be created"));
        }
        decoded.object.meta_mut().remove("managedFields");
        let api_version = call.resource.api_version();
        ownership::update(
            &call.resource.schema,
            &empty(&call.resource),
            &mut decoded.object,
            &writer(call, &api_version),
        );
        if decoded.wrong_kind {
            more.clear();
        }
        let object = self.store_new(call, decoded.object, more)?;
        Ok(Written { object, created: true, warnings: decoded.warnings })
    }

    /// The second half of a creation: an apply of a new object joins here.
    pub(crate) fn store_new(&self, call: &Call, mut object: Value, more: Vec<Cause>) -> Outcome<Value> {
        let resource = &call.resource;
        prepare_new(resource, &mut object);
        let name = object.text("/metadata/name").to_owned();
        let key = Key::new(call.namespace(), &name);
        if resource.namespaced {
            self.check_namespace(resource, call.namespace())?;
        }
        if resource.is_event() {
            event::check_namespace(resource, &object, call.namespace())?;
            event::check_new_event(resource, &object)?;
        }
        if !name.is_empty() && self.store.get(&resource.shelf, &key).is_some() {
            return Err(Failure::already_exists(resource, &name));
        }
        admission::validate(call, &object, None, more)?;
        if resource.is_crd() {
            crd::establish(&mut object, &self.registry);
        }
        if call.dry_run {
            return Ok(object);
        }
        self.before_write(resource, &object);
        let stored = self
            .store
            .write(&resource.shelf, &key, None, self.draft(resource, object), false)
            .map_err(|_| Failure::already_exists(resource, &name))
            .inspect_err(|_| self.write_failed(resource, &name))?;
        let object = self.load(resource, &stored);
        self.changed();
        Ok(object)
    }

    /// PUT and PATCH: `make` turns the current object into the wanted one, again when another write came between.
    pub(crate) fn update(
        &self,
        call: &Call,
        by_apply: bool,
        make: impl Fn(&Value) -> Outcome<Value>,
    ) -> Outcome<Written> {
        let resource = &call.resource;
        let key = Key::new(call.namespace(), call.name());
        loop {
            let stored =
                self.store.get(&resource.shelf, &key).ok_or_else(|| Failure::not_found(resource, call.name()))?;
            let old = self.load(resource, &stored);
            let mut decoded = admission::decode(call, make(&old)?)?;
            let mut new = decoded.object;
            check_identity(call, &new, &old)?;
            let mut more = immutable_metadata(&new, &old);
            if !by_apply {
                let api_version = resource.api_version();
                ownership::update(&resource.schema, &old, &mut new, &writer(call, &api_version));
            }
            let mut new = prepare_update(call, new, &old);
            more.extend(immutable_fields(resource, &new, &old));
            if resource.custom {
                // Custom resources run the metadata checks twice; the causes show it.
                more.extend(more.clone());
            }
            if decoded.wrong_kind {
                more.clear();
            }
            admission::validate(call, &new, Some(&old), more)?;
            count_generation(resource, &mut new, &old);
            decoded.warnings.dedup();
            if same_but_times(&new, &old) {
                return Ok(Written { object: old, created: false, warnings: decoded.warnings });
            }
            if resource.is_crd() && call.subresource.is_empty() {
                crd::establish(&mut new, &self.registry);
            }
            if call.dry_run {
                return Ok(Written { object: new, created: false, warnings: decoded.warnings });
            }
            let gone = new.has("/metadata/deletionTimestamp") && new.list("/metadata/finalizers").is_empty();
            self.before_write(resource, &new);
            let draft = self.draft(resource, new);
            let Ok(stored) = self.store.write(&resource.shelf, &key, Some(stored.version), draft, gone) else {
                self.write_failed(resource, call.name());
                continue;
            };
            let object = self.load(resource, &stored);
            if gone {
                self.after_delete(resource, &object);
            } else {
                self.changed();
            }
            return Ok(Written { object, created: false, warnings: decoded.warnings });
        }
    }
}

/// Namespace and name of a new object; what is wrong with them.
pub(crate) fn name_object(call: &Call, object: &mut Value) -> Outcome<Vec<Cause>> {
    let namespace = object.text("/metadata/namespace");
    if call.resource.namespaced {
        if !namespace.is_empty() && namespace != call.namespace() {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if call.namespace().is_empty() {
            return Err(Failure::bad_request("an empty namespace may not be set during creation"));
        }
        object.put("/metadata/namespace", call.namespace());
    } else {
        object.meta_mut().remove("namespace");
    }
    if object.text("/metadata/name").is_empty() && !call.resource.only_create {
        let prefix = object.text("/metadata/generateName").to_owned();
        if prefix.is_empty() {
            return Ok(vec![Cause::required("metadata.name", "name or generateName is required")]);
        }
        object.put("/metadata/name", format!("{prefix}{}", name_suffix()));
    }
    Ok(Vec::new())
}

/// `rest.BeforeCreate` and the strategies' PrepareForCreate.
fn prepare_new(resource: &Resource, object: &mut Value) {
    let meta = object.meta_mut();
    for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        meta.remove(name);
    }
    meta.insert("uid".to_owned(), new_uid().into());
    meta.insert("creationTimestamp".to_owned(), now().into());
    if resource.generation {
        meta.insert("generation".to_owned(), 1.into());
    }
    if resource.status {
        object.cut("/status");
    }
    if resource.is_namespace() {
        object.put("/spec/finalizers", json!(["kubernetes"]));
        object.put("/status/phase", "Active");
    }
}

/// The object in the body is the one of the path, and not older than the stored one.
fn check_identity(call: &Call, new: &Value, old: &Value) -> Outcome<()> {
    let resource = &call.resource;
    let (name, path) = (new.text("/metadata/name"), call.name());
    if !name.is_empty() && name != path {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({path})"
        )));
    }
    let namespace = new.text("/metadata/namespace");
    if !namespace.is_empty() && namespace != call.namespace() {
        return Err(Failure::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the URL ({})",
            call.namespace()
        )));
    }
    let version = new.text("/metadata/resourceVersion");
    let unset = version.is_empty() || version == "0";
    if unset && resource.custom {
        let cause = Cause::invalid("metadata.resourceVersion", "0: must be specified for an update");
        return Err(Failure::invalid(&resource.group, resource.plural(), path, vec![cause]));
    }
    if !unset && version != old.text("/metadata/resourceVersion") {
        return Err(Failure::modified(resource, path));
    }
    Ok(())
}

/// `ValidateObjectMetaUpdate`.
fn immutable_metadata(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let uid = new.text("/metadata/uid");
    if !uid.is_empty() && uid != old.text("/metadata/uid") {
        causes.push(Cause::invalid("metadata.uid", format_args!("\"{uid}\": field is immutable")));
    }
    if old.has("/metadata/deletionTimestamp") {
        let had = old.list("/metadata/finalizers");
        let added: Vec<String> =
            new.list("/metadata/finalizers").iter().filter(|f| !had.contains(f)).map(Value::to_string).collect();
        if !added.is_empty() {
            let why = "no new finalizers can be added if the object is being deleted, found new finalizers";
            causes.push(Cause::forbidden("metadata.finalizers", &format!("{why} []string{{{}}}", added.join(", "))));
        }
    }
    causes
}

/// Fields of built-in kinds that do not change after creation.
fn immutable_fields(resource: &Resource, new: &Value, old: &Value) -> Vec<Cause> {
    let fields: &[&str] = match (resource.group.as_str(), resource.plural()) {
        ("", "secrets") => &["type"],
        ("batch", "jobs") => &["spec.completions", "spec.selector", "spec.template", "spec.completionMode"],
        ("apiextensions.k8s.io", _) => &["spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"],
        _ => &[],
    };
    let changed = |field: &&&str| {
        let pointer = format!("/{}", field.replace('.', "/"));
        new.pointer(&pointer) != old.pointer(&pointer)
    };
    let frozen = old.pointer("/immutable") == Some(&Value::Bool(true))
        && ["data", "binaryData", "immutable"].iter().any(|f| new.get(f) != old.get(f));
    let mut causes: Vec<Cause> = fields
        .iter()
        .filter(changed)
        .map(|field| {
            let value = new.pointer(&format!("/{}", field.replace('.', "/"))).cloned().unwrap_or_default();
            Cause::invalid(*field, format_args!("{value}: field is immutable"))
        })
        .collect();
    if frozen {
        causes.push(Cause::forbidden("data", "field is immutable when `immutable` is set"));
    }
    causes
}

/// `rest.BeforeUpdate` and the strategies' PrepareForUpdate: each endpoint writes its part only.
fn prepare_update(call: &Call, new: Value, old: &Value) -> Value {
    let mut result = if call.subresource == "status" {
        let mut result = old.clone();
        result.copy_from("/status", &new);
        result.copy_from("/metadata/managedFields", &new);
        result
    } else {
        let mut result = new;
        if call.resource.status {
            result.copy_from("/status", old);
        }
        if call.resource.is_namespace() {
            result.copy_from("/spec/finalizers", old);
        }
        result
    };
    let meta = result.meta_mut();
    meta.insert("name".to_owned(), call.name().into());
    for name in SERVERS {
        match old.pointer(&format!("/metadata/{name}")) {
            Some(value) => meta.insert(name.to_owned(), value.clone()),
            None => meta.remove(name),
        };
    }
    result
}

/// The generation counts changes of everything but metadata and status.
fn count_generation(resource: &Resource, new: &mut Value, old: &Value) {
    let part = |object: &Value| {
        let mut part = object.clone();
        part.cut("/metadata");
        if resource.status {
            part.cut("/status");
        }
        part
    };
    if resource.generation && part(new) != part(old) {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(1);
        new.put("/metadata/generation", generation + 1);
    }
}

/// A write that changes nothing but times in managedFields is not stored
/// (`managedfields/…/equality.go: ignoreManagedFieldsTimestampsTransformer`).
fn same_but_times(new: &Value, old: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        let entries = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            entry.cut("/time");
        }
        object
    };
    timeless(new) == timeless(old)
}

/// A resource handle for writes that the server makes itself.
pub(crate) fn internal_call(resource: &Arc<Resource>, key: &Key) -> Call {
    Call {
        resource: resource.clone(),
        verb: "update",
        namespace: Some(key.namespace.to_string()).filter(|n| !n.is_empty()),
        name: Some(key.name.to_string()),
        subresource: String::new(),
        query: crate::call::Query::default(),
        form: crate::call::Form::Full,
        strictness: crate::call::Strictness::Ignore,
        dry_run: false,
        manager: "kube-apiserver".to_owned(),
        user: User::default(),
        content_type: String::new(),
    }
}
