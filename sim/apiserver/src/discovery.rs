//! Discovery: which groups, versions and resources there are, in the plain and the aggregated form.
//!
//! Rules: <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::object::Object;
use crate::resource::{Resource, api_version};

type Groups<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Arc<Resource>>>>;

fn groups(resources: &[Arc<Resource>]) -> Groups<'_> {
    let mut groups = Groups::new();
    for resource in resources {
        groups.entry(&resource.group).or_default().entry(&resource.version).or_default().push(resource);
    }
    groups
}

/// Newest first: GA before beta before alpha, then by number ("Version priority").
fn by_priority<'a>(versions: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let rank = |version: &str| {
        let digits = |s: &str| s.parse::<u32>().unwrap_or(0);
        let rest = version.strip_prefix('v').unwrap_or(version);
        let (stage, major, minor) = match (rest.split_once("beta"), rest.split_once("alpha")) {
            (Some((major, minor)), _) => (1, digits(major), digits(minor)),
            (None, Some((major, minor))) => (0, digits(major), digits(minor)),
            (None, None) => (2, digits(rest), 0),
        };
        (stage, major, minor)
    };
    let mut versions: Vec<&str> = versions.collect();
    versions.sort_by_key(|v| std::cmp::Reverse(rank(v)));
    versions
}

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
pub(crate) fn group_list(resources: &[Arc<Resource>]) -> Value {
    let groups = groups(resources);
    let named = groups.iter().filter(|(group, _)| !group.is_empty());
    let listed: Vec<Value> = named.map(|(group, versions)| api_group(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
}

/// `/apis/GROUP`.
pub(crate) fn group(resources: &[Arc<Resource>], name: &str) -> Option<Value> {
    let groups = groups(resources);
    let mut group = api_group(name, groups.get(name)?);
    group.put("/kind", "APIGroup");
    group.put("/apiVersion", "v1");
    Some(group)
}

fn api_group(name: &str, versions: &BTreeMap<&str, Vec<&Arc<Resource>>>) -> Value {
    let entry = |version: &str| json!({"groupVersion": api_version(name, version), "version": version});
    let versions: Vec<Value> = by_priority(versions.keys().copied()).into_iter().map(entry).collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub(crate) fn resource_list(resources: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let groups = groups(resources);
    let mut listed = Vec::new();
    for resource in groups.get(group)?.get(version)? {
        let mut entry = json!({
            "name": resource.plural(), "singularName": resource.names.singular, "namespaced": resource.namespaced,
            "kind": resource.kind(), "verbs": resource.verbs(), "storageVersionHash": storage_hash(resource),
        });
        add_names(resource, &mut entry);
        listed.push(entry);
        if resource.status {
            listed.push(json!({
                "name": format!("{}/status", resource.plural()), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.kind(), "verbs": ["get", "patch", "update"],
            }));
        }
        if resource.has_tokens() {
            listed.push(json!({
                "name": format!("{}/token", resource.plural()), "singularName": "", "namespaced": true,
                "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest", "verbs": ["create"],
            }));
        }
    }
    let version = api_version(group, version);
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}))
}

fn add_names(resource: &Resource, entry: &mut Value) {
    if !resource.names.short_names.is_empty() {
        entry.put("/shortNames", json!(resource.names.short_names));
    }
    if !resource.names.categories.is_empty() {
        entry.put("/categories", json!(resource.names.categories));
    }
}

/// An opaque value that differs between storage versions.
fn storage_hash(resource: &Resource) -> String {
    use base64::Engine;
    let text =
        resource.head.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    base64::engine::general_purpose::STANDARD.encode(text.to_be_bytes())
}

/// `/api` and `/apis` as `APIGroupDiscoveryList` of `apidiscovery.k8s.io/VERSION`.
pub(crate) fn aggregated(resources: &[Arc<Resource>], core: bool, version: &str) -> Value {
    let groups = groups(resources);
    let items: Vec<Value> = groups
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let of = |v: &str| {
                let resources = versions.get(v).map(Vec::as_slice).unwrap_or_default();
                let resources: Vec<Value> = resources.iter().map(|r| aggregated_resource(r)).collect();
                json!({"version": v, "freshness": "Current", "resources": resources})
            };
            let listed: Vec<Value> = by_priority(versions.keys().copied()).into_iter().map(of).collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": listed})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {},
        "items": items,
    })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind()});
    let mut entry = json!({
        "resource": resource.plural(), "responseKind": kind, "singularResource": resource.names.singular,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "verbs": resource.verbs(),
    });
    add_names(resource, &mut entry);
    if resource.status {
        entry.put(
            "/subresources",
            json!([{"subresource": "status", "responseKind": kind, "verbs": ["get", "patch", "update"]}]),
        );
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_priority() {
        let order = by_priority(["v1alpha1", "v2", "v1beta2", "v10", "v1", "v1beta1"].into_iter());
        assert_eq!(order, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1"]);
    }
}
