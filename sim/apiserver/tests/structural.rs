//! CRDs that break a rule of structural schemas are refused, and say where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is how it fails"
)]

mod common;

use common::http::{post, send};
use common::real::RealServer;
use kube::Client;
use serde_json::{Value, json};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ROOT: &str = "spec.versions[0].schema.openAPIV3Schema";

fn crd(spec: Value) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

/// The embedded server, and a real one if there is one.
async fn targets() -> Vec<(Client, Option<RealServer>)> {
    let mut targets = vec![(common::in_process_client(&common::server(), "test"), None)];
    if let Some(real) = RealServer::start().await {
        targets.push((real.client().await, Some(real)));
    }
    targets
}

async fn causes(client: &Client, crd: Value) -> (u16, Vec<(String, String)>) {
    let (code, body) = send(client, post(format!("{CRDS}?dryRun=All"), crd)).await;
    let text = |c: &Value, k: &str| c[k].as_str().unwrap().to_owned();
    let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    (code, causes.iter().map(|c| (text(c, "field"), text(c, "message"))).collect())
}

#[tokio::test]
async fn what_is_not_structural_is_refused() {
    for (client, _real) in targets().await {
        not_structural(&client).await;
    }
}

async fn not_structural(client: &Client) {
    let string = json!({"type": "string"});
    let cases = [
        (
            json!({"type": "object", "properties": {"a": {}}}),
            "properties[a].type",
            "Required value: must not be empty for specified object fields",
        ),
        (json!({"type": "array"}), "items", "Required value: must be specified"),
        (
            json!({"type": "array", "items": {}}),
            "items.type",
            "Required value: must not be empty for specified array items",
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            "additionalProperties",
            "Forbidden: additionalProperties cannot be set to false",
        ),
        (
            json!({"type": "object", "properties": {"a": string}, "additionalProperties": string}),
            "additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "array", "items": string, "uniqueItems": true}),
            "uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (json!({"$ref": "#/x", "type": "object"}), "$ref", "Forbidden: $ref is not supported"),
        (
            json!({"type": "object", "anyOf": [{"type": "string"}]}),
            "anyOf[0].type",
            "Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "string", "x-kubernetes-int-or-string": true}),
            "type",
            "Invalid value: \"string\": must be empty if x-kubernetes-int-or-string is true",
        ),
        (
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
            "x-kubernetes-list-map-keys",
            "Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": string}}}),
            "items.properties[n].default",
            "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            json!({"type": "string", "x-kubernetes-list-type": "set"}),
            "type",
            "Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
        ),
        (
            json!({"type": "integer", "default": "x"}),
            "default",
            "Invalid value: \"string\": spec.versions[0].schema.openAPIV3Schema.properties[spec].default in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": ""}]}),
            "x-kubernetes-validations[0].rule",
            "Required value: rule is not specified",
        ),
    ];
    for (spec, field, message) in cases {
        let (code, found) = causes(client, crd(spec.clone())).await;
        let expected = (format!("{ROOT}.properties[spec].{field}"), message.to_owned());
        assert_eq!(code, 422, "{spec}");
        assert!(found.contains(&expected), "{spec}: {found:#?}");
    }
    let (code, found) =
        causes(client, crd(json!({"type": "string", "x-kubernetes-validations": [{"rule": "self ++"}]}))).await;
    assert!(code == 422 && found[0].1.contains("compilation failed"), "{found:?}");
}

#[tokio::test]
async fn names_and_versions_are_checked() {
    for (client, _real) in targets().await {
        names_and_versions(&client).await;
    }
}

async fn names_and_versions(client: &Client) {
    let good = || crd(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    assert_eq!(causes(client, good()).await, (201, vec![]));
    let changed = |pointer: &str, value: Value| {
        let mut crd = good();
        *crd.pointer_mut(pointer).unwrap() = value;
        crd
    };
    let cases = [
        ("/metadata/name", json!("other.example.org"), "metadata.name"),
        ("/spec/scope", json!("Planet"), "spec.scope"),
        ("/spec/versions/0/storage", json!(false), "spec.versions"),
        ("/spec/versions/0/schema", json!({}), ROOT),
        (
            "/spec/versions/0/schema/openAPIV3Schema/type",
            json!("array"),
            "spec.versions[0].schema.openAPIV3Schema.type",
        ),
    ];
    for (pointer, value, field) in cases {
        let (code, found) = causes(client, changed(pointer, value)).await;
        assert!(code == 422 && found.iter().any(|(f, _)| f == field), "{pointer}: {code} {found:?}");
    }
}
