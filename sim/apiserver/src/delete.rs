//! Deletion: finalizers, preconditions, and what namespaces and CRDs take with them.
//!
//! Rules: `registry/generic/registry/store.go` (Delete), `namespace/deletion` and `apiextensions/…/finalizer`. The
//! controllers that a cluster runs for the latter two are here, and act at once; so does the garbage collector, in so far
//! as it lets go of what is deleted in the foreground or orphans its dependents. Dependents themselves stay as they are.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::call::Call;
use crate::crd;
use crate::error::{Failure, Outcome};
use crate::object::{Object, now};
use crate::resource::Resource;
use crate::selector::Selector;
use crate::state::Shared;
use crate::store::{Key, Stored};
use crate::write::internal_call;

/// The NamespaceLifecycle admission plugin protects these.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// The finalizers that the garbage collector removes.
const COLLECTED: [&str; 2] = ["foregroundDeletion", "orphan"];

impl Shared {
    /// DELETE of one object; `options` are DeleteOptions or null.
    pub(crate) fn delete(&self, call: &Call, options: &Value) -> Outcome<Value> {
        let resource = &call.resource;
        let key = Key::new(call.namespace(), call.name());
        loop {
            let stored =
                self.store.get(&resource.shelf, &key).ok_or_else(|| Failure::not_found(resource, call.name()))?;
            let old = self.load(resource, &stored);
            check_preconditions(resource, &old, options)?;
            if resource.is_namespace() && IMMORTAL.contains(&call.name()) {
                let why = format!("namespaces \"{}\" is forbidden: this namespace may not be deleted", call.name());
                return Err(Failure::new(403, "Forbidden", why).with(resource.details(call.name())));
            }
            let finalizers = wanted_finalizers(call, &old, options);
            let stays = !finalizers.is_empty();
            let dry_run = call.dry_run || options.list("/dryRun").contains(&json!("All"));
            if stays && (dry_run || old.has("/metadata/deletionTimestamp")) {
                return Ok(old);
            }
            if dry_run {
                return Ok(success(resource, &old));
            }
            let mut new = old;
            if stays {
                mark_deleted(resource, &mut new, finalizers);
            }
            let draft = self.draft(resource, new);
            let Ok(stored) = self.store.write(&resource.shelf, &key, Some(stored.version), draft, !stays) else {
                continue;
            };
            let object = self.load(resource, &stored);
            if !stays {
                self.after_delete(resource, &object);
                return Ok(success(resource, &object));
            }
            self.changed();
            if resource.is_namespace() {
                self.empty_namespace(call.name());
            } else if resource.is_crd() {
                self.empty_crd(&object);
            }
            if object.list("/metadata/finalizers").iter().any(is_collected) {
                self.finish(&resource.shelf, &key, |object| keep_finalizers(object, |f| !is_collected(f)));
            }
            return Ok(object);
        }
    }

    /// DELETE of a collection: the answer is the list of what was selected.
    pub(crate) fn delete_collection(&self, call: &Call, options: &Value) -> Outcome<(Vec<Arc<Stored>>, u64)> {
        let resource = &call.resource;
        let selector = Selector::parse(call.query.get("labelSelector"), call.query.get("fieldSelector"), resource)?;
        let (objects, version) = self.store.list(&resource.shelf, call.namespace.as_deref());
        let selected: Vec<Arc<Stored>> = objects.into_iter().filter(|o| selector.matches(o)).collect();
        for stored in &selected {
            let mut one = internal_call(resource, &stored.key);
            one.dry_run = call.dry_run;
            match self.delete(&one, options) {
                Err(failure) if failure.code != 404 => return Err(failure),
                Ok(_) | Err(_) => {}
            }
        }
        Ok((selected, version))
    }

    /// A CRD changes what is served: before it is stored, so that who sees it established finds its resources.
    pub(crate) fn before_write(&self, resource: &Resource, object: &Value) {
        if resource.is_crd() {
            self.registry.set(object.text("/metadata/name"), crd::resources(object));
        }
    }

    /// The write that [`before_write`](Shared::before_write) prepared came too late: what is stored counts.
    pub(crate) fn write_failed(&self, resource: &Resource, name: &str) {
        if resource.is_crd() {
            let stored = self.store.get(&resource.shelf, &Key::new("", name));
            self.registry.set(name, stored.map(|s| crd::resources(&self.parse(&s))).unwrap_or_default());
        }
    }

    /// The last object of a dying namespace or CRD takes that with it.
    pub(crate) fn after_delete(&self, resource: &Resource, object: &Value) {
        if resource.is_crd() {
            self.registry.set(object.text("/metadata/name"), Vec::new());
            self.store.ring();
        }
        if resource.namespaced {
            self.finish_namespace(object.text("/metadata/namespace"));
        }
        if resource.custom {
            self.finish_crd(&resource.group_resource());
        }
        self.changed();
    }

    /// New objects need a namespace that exists and stays (the NamespaceLifecycle admission plugin).
    pub(crate) fn check_namespace(&self, resource: &Resource, namespace: &str) -> Outcome<()> {
        match self.store.get("/namespaces", &Key::new("", namespace)) {
            None => Err(Failure::new(404, "NotFound", format!("namespaces \"{namespace}\" not found"))
                .with(json!({"name": namespace, "kind": "namespaces"}))),
            Some(stored) if self.parse(&stored).has("/metadata/deletionTimestamp") => {
                let what = resource.group_resource();
                let why =
                    format!("unable to create new content in namespace {namespace} because it is being terminated");
                Err(Failure::new(403, "Forbidden", format!("{what} is forbidden: {why}")).with(json!({
                    "kind": resource.plural(), "group": resource.group,
                    "causes": [{
                        "reason": "NamespaceTerminating", "field": "metadata.namespace",
                        "message": format!("namespace {namespace} is being terminated"),
                    }],
                })))
            }
            Some(_) => Ok(()),
        }
    }

    fn parse(&self, stored: &Stored) -> Value {
        serde_json::from_slice(&stored.json).unwrap_or_default()
    }

    fn empty_namespace(&self, namespace: &str) {
        for (shelf, key) in self.store.in_namespace(namespace) {
            self.delete_quietly(&shelf, &key);
        }
        self.finish_namespace(namespace);
    }

    fn empty_crd(&self, object: &Value) {
        let shelf = format!("{}/{}", object.text("/spec/group"), object.text("/spec/names/plural"));
        for stored in self.store.list(&shelf, None).0 {
            self.delete_quietly(&shelf, &stored.key);
        }
        self.finish_crd(object.text("/metadata/name"));
    }

    fn delete_quietly(&self, shelf: &str, key: &Key) {
        if let Some(resource) = self.registry.on_shelf(shelf) {
            // It may have gone by itself meanwhile.
            self.delete(&internal_call(&resource, key), &Value::Null).ok();
        }
    }

    fn finish_namespace(&self, namespace: &str) {
        if self.store.in_namespace(namespace).is_empty() {
            self.finish("/namespaces", &Key::new("", namespace), |object| {
                object.put("/spec/finalizers", json!([]));
            });
        }
    }

    fn finish_crd(&self, name: &str) {
        let shelf = crd::SHELF;
        let key = Key::new("", name);
        let Some(stored) = self.store.get(shelf, &key) else { return };
        let crd = self.parse(&stored);
        let objects = format!("{}/{}", crd.text("/spec/group"), crd.text("/spec/names/plural"));
        if self.store.list(&objects, None).0.is_empty() {
            self.finish(shelf, &key, |object| keep_finalizers(object, |f| f != crd::CLEANUP));
        }
    }

    /// Lets go of a dying object: removes it when nothing else holds it.
    fn finish(&self, shelf: &str, key: &Key, release: impl Fn(&mut Value)) {
        let Some(resource) = self.registry.on_shelf(shelf) else { return };
        while let Some(stored) = self.store.get(shelf, key) {
            let mut object = self.load(&resource, &stored);
            if !object.has("/metadata/deletionTimestamp") {
                return;
            }
            release(&mut object);
            let gone = object.list("/metadata/finalizers").is_empty();
            if !gone && object == self.load(&resource, &stored) {
                return;
            }
            let draft = self.draft(&resource, object);
            if let Ok(stored) = self.store.write(&resource.shelf, key, Some(stored.version), draft, gone) {
                let object = self.load(&resource, &stored);
                return if gone { self.after_delete(&resource, &object) } else { self.changed() };
            }
        }
    }
}

fn check_preconditions(resource: &Resource, old: &Value, options: &Value) -> Outcome<()> {
    for (field, shown, advice) in
        [("uid", "UID", "deleted and then recreated"), ("resourceVersion", "ResourceVersion", "modified")]
    {
        let wanted = options.text(&format!("/preconditions/{field}"));
        let is = old.text(&format!("/metadata/{field}"));
        if !wanted.is_empty() && wanted != is {
            let (what, name) = (resource.group_kind(), old.text("/metadata/name"));
            return Err(Failure::new(
                409,
                "Conflict",
                format!(
                    "Operation cannot be fulfilled on {what} \"{name}\": the {shown} in the precondition ({wanted}) does \
                     not match the {shown} in record ({is}). The object might have been {advice}"
                ),
            )
            .with(json!({"name": name, "group": resource.group, "kind": resource.kind()})));
        }
    }
    Ok(())
}

/// The finalizers that a deletion leaves on the object.
fn wanted_finalizers(call: &Call, old: &Value, options: &Value) -> Vec<Value> {
    let mut finalizers = old.list("/metadata/finalizers").to_vec();
    let policy = match options.text("/propagationPolicy") {
        "" => call.query.get("propagationPolicy"),
        policy => policy,
    };
    let [foreground, orphan] = COLLECTED;
    let collected = match policy {
        "Foreground" => Some(foreground),
        "Orphan" => Some(orphan),
        _ => None,
    };
    let cleanup = call.resource.is_crd().then_some(crd::CLEANUP);
    for added in collected.into_iter().chain(cleanup).map(Value::from) {
        if !finalizers.contains(&added) {
            finalizers.push(added);
        }
    }
    // A namespace is held by `spec.finalizers`; the list here only says that it stays for now.
    if call.resource.is_namespace() && finalizers.is_empty() && !old.has("/metadata/deletionTimestamp") {
        finalizers.extend(old.list("/spec/finalizers").iter().cloned());
    }
    finalizers
}

fn is_collected(finalizer: &Value) -> bool {
    COLLECTED.iter().any(|collected| finalizer == collected)
}

fn keep_finalizers(object: &mut Value, keep: impl Fn(&Value) -> bool) {
    let kept: Vec<Value> = object.list("/metadata/finalizers").iter().filter(|f| keep(f)).cloned().collect();
    object.put("/metadata/finalizers", kept);
}

fn mark_deleted(resource: &Resource, object: &mut Value, finalizers: Vec<Value>) {
    object.put("/metadata/deletionTimestamp", now());
    if resource.is_namespace() {
        object.put("/status/phase", "Terminating");
    } else {
        object.put("/metadata/finalizers", finalizers);
        object.put("/metadata/deletionGracePeriodSeconds", 0);
    }
    if resource.is_crd() {
        crd::terminating(object);
    }
    if let Some(generation) = object.pointer("/metadata/generation").and_then(Value::as_i64) {
        object.put("/metadata/generation", generation + 1);
    }
}

fn success(resource: &Resource, object: &Value) -> Value {
    let mut details = resource.details(object.text("/metadata/name"));
    details.put("/uid", object.text("/metadata/uid"));
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
