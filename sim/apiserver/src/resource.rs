//! What the server knows of one resource: a built-in kind, or one version of a custom resource.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cel::Rules;
use crate::schema::Schema;

/// One served group, version and resource.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) names: Names,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespaced: bool,
    /// Whether there is a `/status` subresource.
    pub(crate) status: bool,
    /// Whether `metadata.generation` is kept.
    pub(crate) generation: bool,
    /// Defined by a CRD.
    pub(crate) custom: bool,
    /// Answered, never stored (SubjectAccessReview).
    pub(crate) only_create: bool,
    /// Fields that field selectors may use beside name and namespace, as dotted paths.
    pub(crate) selectable: Vec<String>,
    pub(crate) columns: Vec<Column>,
    pub(crate) schema: Schema,
    /// The same schema as JSON, for OpenAPI.
    pub(crate) raw_schema: Value,
    pub(crate) rules: Option<Rules>,
    /// What a new, empty object of this kind looks like: for a Go struct its fields without `omitempty`. Only fields that
    /// differ from it become owned on creation.
    pub(crate) empty: Value,
    /// Where the objects are stored; several versions, and both event groups, share one shelf.
    pub(crate) shelf: Arc<str>,
    /// Objects written under another stamp are defaulted again (or converted) when read.
    pub(crate) stamp: u64,
    /// `{"apiVersion":"…","kind":"…",`: objects are stored without it.
    pub(crate) head: String,
}

/// The names of a resource, as in `spec.names` of a CRD.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Names {
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
}

/// A printer column after Name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Column {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) json_path: String,
    /// Built-in kinds: show how many entries these pointers have.
    pub(crate) count: Vec<String>,
    /// Jobs: a computed cell.
    pub(crate) job: Option<String>,
}

impl Resource {
    /// `group/version`, or only the version in the core group.
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    pub(crate) fn kind(&self) -> &str {
        &self.names.kind
    }

    pub(crate) fn plural(&self) -> &str {
        &self.names.plural
    }

    /// `plural.group`, as `schema.GroupResource` prints it.
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural().to_owned() } else { format!("{}.{}", self.plural(), self.group) }
    }

    /// `Kind.group`.
    pub(crate) fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind().to_owned() } else { format!("{}.{}", self.kind(), self.group) }
    }

    /// `details` of a Status about one object.
    pub(crate) fn details(&self, name: &str) -> Value {
        if self.group.is_empty() {
            json!({"name": name, "kind": self.plural()})
        } else {
            json!({"name": name, "group": self.group, "kind": self.plural()})
        }
    }

    /// Whether this is the built-in resource `plural` of `group`.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural() == plural
    }

    pub(crate) fn is_crd(&self) -> bool {
        self.is("apiextensions.k8s.io", "customresourcedefinitions")
    }

    /// ServiceAccounts have a subresource that gives tokens of theirs.
    pub(crate) fn has_tokens(&self) -> bool {
        self.is("", "serviceaccounts")
    }

    pub(crate) fn is_namespace(&self) -> bool {
        self.is("", "namespaces")
    }

    /// Events of either group; they are one store under two types.
    pub(crate) fn is_event(&self) -> bool {
        !self.custom && self.plural() == "events"
    }

    /// The verbs that discovery announces.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if self.only_create {
            &["create"]
        } else if self.custom {
            &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
        } else {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
    }

    /// Puts `apiVersion` and `kind` in front of a stored object.
    pub(crate) fn dress(&self, stored: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(stored.get(1..).unwrap_or_default());
    }
}

/// `group/version`, or only the version in the core group.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// What goes in front of stored objects.
pub(crate) fn head(group: &str, version: &str, kind: &str) -> String {
    format!("{{\"apiVersion\":{},\"kind\":{},", json!(api_version(group, version)), json!(kind))
}
