//! CustomResourceDefinitions: the resources they define, their defaults and their conditions.
//!
//! Rules: `apiextensions-apiserver/pkg/apiserver` (establishing, naming and finalizing controllers).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::builtin;
use crate::cel::Rules;
use crate::object::{Object, now};
use crate::registry::Registry;
use crate::resource::{Column, Names, Resource, head};
use crate::schema::Schema;

/// Where CRDs are stored.
pub(crate) const SHELF: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// Set while a CRD waits for its objects to go.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// `SetDefaults_CustomResourceDefinitionSpec`.
pub(crate) fn set_defaults(crd: &mut Value) {
    let kind = crd.text("/spec/names/kind").to_owned();
    if crd.text("/spec/names/singular").is_empty() {
        crd.put("/spec/names/singular", kind.to_lowercase());
    }
    if crd.text("/spec/names/listKind").is_empty() {
        crd.put("/spec/names/listKind", format!("{kind}List"));
    }
    if !crd.has("/spec/conversion") {
        crd.put("/spec/conversion", json!({"strategy": "None"}));
    }
    for version in crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut).into_iter().flatten() {
        for flag in ["served", "storage"] {
            if !version.has(&format!("/{flag}")) {
                version.put(&format!("/{flag}"), false);
            }
        }
    }
}

/// What the naming and establishing controllers write, at once instead of shortly after.
pub(crate) fn establish(crd: &mut Value, registry: &Registry) {
    let name = crd.text("/metadata/name").to_owned();
    let (group, plural, kind) = (crd.text("/spec/group"), crd.text("/spec/names/plural"), crd.text("/spec/names/kind"));
    let taken = registry.taken(&name, group, plural, kind);
    let mut conditions = crd.list("/status/conditions").to_vec();
    match &taken {
        None => {
            set_condition(&mut conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found");
            let message = "the initial names have been accepted";
            set_condition(&mut conditions, "Established", "True", "InitialNamesAccepted", message);
            let names = crd.pointer("/spec/names").cloned().unwrap_or_default();
            crd.put("/status/acceptedNames", names);
        }
        Some(other) => {
            let message = format!("the names are already in use by {other}");
            set_condition(&mut conditions, "NamesAccepted", "False", "PluralConflict", &message);
            set_condition(&mut conditions, "Established", "False", "NotAccepted", "not all names are accepted");
            crd.put("/status/acceptedNames", json!({"plural": "", "kind": ""}));
        }
    }
    crd.put("/status/conditions", conditions);
    let mut stored = crd.list("/status/storedVersions").to_vec();
    for version in crd.list("/spec/versions") {
        let name = version.get("name").cloned().unwrap_or_default();
        if version.get("storage") == Some(&Value::Bool(true)) && !stored.contains(&name) {
            stored.push(name);
        }
    }
    crd.put("/status/storedVersions", stored);
}

/// Marks a CRD whose objects are being deleted.
pub(crate) fn terminating(crd: &mut Value) {
    let mut conditions = crd.list("/status/conditions").to_vec();
    let message = "CustomResource deletion is in progress";
    set_condition(&mut conditions, "Terminating", "True", "InstanceDeletionInProgress", message);
    crd.put("/status/conditions", conditions);
}

fn set_condition(conditions: &mut Vec<Value>, kind: &str, status: &str, reason: &str, message: &str) {
    let same = |c: &Value| c.get("type") == Some(&Value::from(kind));
    let since = match conditions.iter().find(|c| same(c) && c.text("/status") == status) {
        Some(unchanged) => unchanged.text("/lastTransitionTime").to_owned(),
        None => now(),
    };
    let condition = json!({
        "type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
    });
    match conditions.iter_mut().find(|c| same(c)) {
        Some(slot) => *slot = condition,
        None => conditions.push(condition),
    }
}

/// The resources of an established CRD, one for each served version.
pub(crate) fn resources(crd: &Value) -> Vec<Arc<Resource>> {
    let established = |c: &Value| c.text("/type") == "Established" && c.text("/status") == "True";
    if !crd.list("/status/conditions").iter().any(established) {
        return Vec::new();
    }
    let served = |v: &&Value| v.get("served") == Some(&Value::Bool(true));
    crd.list("/spec/versions").iter().filter(served).map(|v| Arc::new(resource(crd, v))).collect()
}

fn resource(crd: &Value, version: &Value) -> Resource {
    let names = crd.pointer("/spec/names").map(Names::deserialize).and_then(Result::ok).unwrap_or_default();
    let (group, version_name) = (crd.text("/spec/group").to_owned(), version.text("/name").to_owned());
    let raw = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_else(|| json!({"type": "object"}));
    let rules = Schema::deserialize(&raw).ok().and_then(|schema| Rules::compile(&schema, &raw));
    let mut raw_schema = raw;
    builtin::with_type_meta(&mut raw_schema, builtin::metadata_schema());
    let columns: Vec<Column> =
        version.get("additionalPrinterColumns").map(Vec::deserialize).and_then(Result::ok).unwrap_or_default();
    Resource {
        schema: Schema::deserialize(&raw_schema).unwrap_or_default(),
        raw_schema,
        rules,
        head: head(&group, &version_name, &names.kind),
        namespaced: crd.text("/spec/scope") == "Namespaced",
        status: version.has("/subresources/status"),
        generation: true,
        custom: true,
        only_create: false,
        selectable: version
            .list("/selectableFields")
            .iter()
            .map(|f| f.text("/jsonPath").trim_start_matches('.').to_owned())
            .collect(),
        columns: if columns.is_empty() { age_only() } else { columns },
        empty: json!({}),
        shelf: format!("{group}/{}", names.plural).into(),
        stamp: crd.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or_default(),
        names,
        group,
        version: version_name,
    }
}

/// A CRD without `additionalPrinterColumns` shows the age.
fn age_only() -> Vec<Column> {
    vec![Column {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        json_path: ".metadata.creationTimestamp".to_owned(),
        ..Column::default()
    }]
}
