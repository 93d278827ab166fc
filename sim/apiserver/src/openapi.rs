//! OpenAPI v3 documents: what kubectl needs for `explain`, for `apply` and to know whether the server validates fields.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::object::Object;
use crate::resource::{Resource, api_version};

fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3`.
pub(crate) fn index(resources: &[Arc<Resource>]) -> Value {
    let paths: BTreeSet<String> = resources.iter().map(|r| document_path(&r.group, &r.version)).collect();
    let entries: Map<String, Value> = paths
        .into_iter()
        .map(|path| {
            let url = format!("/openapi/v3/{path}");
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": entries})
}

/// `/openapi/v3/apis/GROUP/VERSION`.
pub(crate) fn document(resources: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in resources.iter().filter(|r| r.group == group && r.version == version) {
        let name = schema_name(resource);
        let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind()});
        let mut schema = resource.raw_schema.clone();
        schema.put("/x-kubernetes-group-version-kind", json!([kind]));
        schemas.insert(name.clone(), schema);
        add_paths(resource, &name, &kind, &mut paths);
    }
    if schemas.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

/// `io.example.group.v1.Kind`.
fn schema_name(resource: &Resource) -> String {
    let group: Vec<&str> = resource.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), resource.version, resource.kind()).trim_start_matches('.').to_owned()
}

fn add_paths(resource: &Resource, schema: &str, kind: &Value, paths: &mut Map<String, Value>) {
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let version = api_version(&resource.group, &resource.version);
    let collection = format!("{root}/{version}{namespace}/{}", resource.plural());
    let content = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
    let operation = |action: &str, parameters: &[&str]| {
        let parameter =
            |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        json!({
            "operationId": format!("{action}{}", resource.kind()),
            "parameters": parameters.iter().map(parameter).collect::<Vec<_>>(),
            "responses": {"200": {"description": "OK", "content": content}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
        })
    };
    // kubectl asks the server to validate fields when it finds this parameter here.
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let create = operation("post", &write);
    if resource.only_create {
        paths.insert(collection, json!({"post": create}));
        return;
    }
    let patch = operation("patch", &["dryRun", "fieldManager", "fieldValidation", "force"]);
    let item = json!({
        "get": operation("get", &[]), "put": operation("put", &write), "patch": patch,
        "delete": operation("delete", &["dryRun"]),
    });
    if resource.status {
        paths.insert(format!("{collection}/{{name}}/status"), item.clone());
    }
    paths.insert(format!("{collection}/{{name}}"), item);
    paths.insert(collection, json!({"get": operation("list", &[]), "post": create}));
}
