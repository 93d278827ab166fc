//! From a template to the Job that is sent.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Environment, OWNER_LABEL};
use crate::api::JobTemplate;

/// The largest template, as JSON.
pub const MOST_BYTES: usize = 32 << 10;

/// A Job to be made.
#[derive(Clone, Copy, Debug)]
pub struct JobOrder<'a> {
    /// Its name.
    pub name: &'a str,
    /// The namespace of its owner.
    pub namespace: &'a str,
    /// The template.
    pub template: &'a JobTemplate,
    /// `apiVersion`, `kind`, name and UID of the plan or machine that it runs for.
    pub owner: [&'a str; 4],
    /// Labels besides the owner's.
    pub labels: &'a [(&'static str, String)],
    /// What its containers are told.
    pub environment: &'a Environment,
    /// After so many seconds it has failed.
    pub timeout_seconds: i32,
    /// It must be there for so long after its end, so that the end is seen.
    pub least_ttl: i64,
    /// It goes so long after its end, where the template does not say.
    pub ttl: Option<i64>,
}

/// The name of a Job: readable, and the same for the same purpose, so that a second attempt to make it finds the first.
pub fn name(readable: &str, purpose: &[&str]) -> String {
    let digest = Sha256::digest(purpose.join("\n").as_bytes());
    let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let readable: String = readable.chars().take(40).collect();
    format!("{}-{hash}", readable.trim_end_matches('-'))
}

/// The UID in the label of a Job.
pub fn label_of_owner(labels: &std::collections::BTreeMap<String, String>) -> Option<&str> {
    labels.get(OWNER_LABEL).map(String::as_str)
}

/// What is wrong with a template before anything is sent: field and remedy.
pub fn unfit(template: &JobTemplate) -> Option<String> {
    let size = serde_json::to_string(template).map_or(usize::MAX, |text| text.len());
    if size > MOST_BYTES {
        return Some(format!(
            "jobTemplate has {size} bytes; at most {MOST_BYTES} are kept. Move scripts into an image or a ConfigMap."
        ));
    }
    let containers = template.spec.get("template").and_then(|pod| pod.pointer("/spec/containers")?.as_array());
    if containers.is_none_or(Vec::is_empty) {
        return Some(
            "jobTemplate.spec.template.spec.containers: name at least one container. The template is written as that of a CronJob."
                .to_owned(),
        );
    }
    None
}

/// The Job: the template, made ours. What the template says stays, but for the timeout and variables of the same name.
pub fn body(order: &JobOrder<'_>) -> Value {
    let [api_version, kind, name, uid] = order.owner;
    let metadata = order.template.metadata.clone().unwrap_or_default();
    let mut labels = metadata.labels;
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "failback".to_owned());
    labels.insert(OWNER_LABEL.to_owned(), uid.to_owned());
    labels.extend(order.labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let mut spec = order.template.spec.clone();
    spec.insert("activeDeadlineSeconds".to_owned(), json!(order.timeout_seconds));
    spec.entry("backoffLimit").or_insert(json!(0));
    let ttl = spec.get("ttlSecondsAfterFinished").and_then(Value::as_i64).or(order.ttl);
    if let Some(ttl) = ttl {
        spec.insert("ttlSecondsAfterFinished".to_owned(), json!(ttl.max(order.least_ttl)));
    }
    if let Some(pod) = spec.get_mut("template").and_then(|template| template.get_mut("spec")?.as_object_mut()) {
        pod.entry("restartPolicy").or_insert(json!("Never"));
        for list in ["initContainers", "containers"] {
            let containers = pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            containers.filter_map(Value::as_object_mut).for_each(|container| tell(container, order.environment));
        }
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": order.name,
            "namespace": order.namespace,
            "labels": labels,
            "annotations": metadata.annotations,
            "ownerReferences": [{
                "apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true,
            }],
        },
        "spec": spec,
    })
}

/// Ours come first, so that the template's own variables and arguments can refer to them as `$(FAILBACK_…)`.
fn tell(container: &mut Map<String, Value>, environment: &Environment) {
    let own = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
    let taken = |entry: &Value| environment.iter().any(|(name, _)| entry.get("name").is_some_and(|own| own == name));
    let ours = environment.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    let all: Vec<Value> = ours.chain(own.into_iter().filter(|entry| !taken(entry))).collect();
    container.insert("env".to_owned(), Value::Array(all));
}
