//! Objects that do not parse: they are told so in their own status, and harm nobody else.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, error_boundary::InvalidObject},
};
use serde_json::{Value, json};

use crate::ports::SharedClock;

/// A field manager of its own: what the others wrote, the journal above all, stays theirs and stays there.
const MANAGER: &str = "failback-malformed";

/// Tells malformed objects of one kind.
pub(super) struct Malformed {
    client: Client,
    resource: ApiResource,
    clock: SharedClock,
    /// UID and generation of what was told already: our own write must not tell it again.
    told: HashMap<String, Option<i64>>,
}

impl Malformed {
    pub(super) fn new(client: Client, resource: ApiResource, clock: SharedClock) -> Self {
        Self { client, resource, clock, told: HashMap::new() }
    }

    /// Writes the conditions in the background, once for each generation.
    pub(super) fn tell(&mut self, invalid: &InvalidObject) {
        let meta = &invalid.metadata;
        let (Some(name), Some(namespace), Some(uid)) = (&meta.name, &meta.namespace, &meta.uid) else { return };
        if self.told.get(uid) == Some(&meta.generation) {
            return;
        }
        self.told.insert(uid.clone(), meta.generation);
        tracing::warn!(kind = %self.resource.kind, %name, %namespace, error = %invalid.error, "an object cannot be read");
        let message = format!(
            "The object cannot be read: {}. Remedy: apply it again as the CustomResourceDefinition of this version says.",
            invalid.error
        );
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": "Malformed", "message": message,
                "lastTransitionTime": Time(self.clock.now()), "observedGeneration": meta.generation
            })
        };
        let body = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": { "name": name },
            "status": {
                "observedGeneration": meta.generation,
                "conditions": [condition("Ready", "False"), condition("Stalled", "True")],
            }
        });
        self.write(name, namespace, body);
    }

    /// The object can be read again: what was told is taken back.
    pub(super) fn mended(&mut self, meta: &ObjectMeta) {
        let (Some(name), Some(namespace), Some(uid)) = (&meta.name, &meta.namespace, &meta.uid) else { return };
        if self.told.remove(uid).is_none() {
            return;
        }
        let body = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": { "name": name },
            "status": {}
        });
        self.write(name, namespace, body);
    }

    fn write(&self, name: &str, namespace: &str, body: Value) {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &self.resource);
        let name = name.to_owned();
        tokio::spawn(async move {
            let params = PatchParams::apply(MANAGER).force();
            if let Err(error) = api.patch_status(&name, &params, &Patch::Apply(&body)).await {
                tracing::warn!(%error, %name, "a malformed object could not be told so");
            }
        });
    }
}
