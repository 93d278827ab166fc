//! The steps, in the order in which they were recorded.

mod applying;
mod deleting;
mod kinds;
mod reading;
mod watching;
mod writing;

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};

use crate::common;
use crate::common::http::{Call, delete, get, post, send};
use crate::common::normal::Normal;

pub(crate) const GROUP: &str = "/apis/demo.example.io/v1alpha1";
pub(crate) const PLANS: &str = "/apis/demo.example.io/v1alpha1/namespaces/conf/failbackplans";
pub(crate) const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/failbackplans.demo.example.io";

pub(crate) struct Suite {
    pub(crate) client: Client,
    answers: BTreeMap<String, (u16, Value)>,
    normal: Normal,
}

impl Suite {
    /// Runs all steps; the answers by step name.
    pub(crate) async fn run(client: Client) -> BTreeMap<String, (u16, Value)> {
        let mut suite = Suite { client, answers: BTreeMap::new(), normal: Normal::new() };
        suite.prepare().await;
        suite.writing().await;
        suite.applying().await;
        suite.deleting().await;
        suite.reading().await;
        suite.watching().await;
        suite.kinds().await;
        suite.answers
    }

    pub(crate) fn note(&mut self, name: &str, code: u16, body: Value) {
        assert!(self.answers.insert(name.to_owned(), (code, body)).is_none(), "{name} twice");
    }

    pub(crate) async fn send(&self, call: Call) -> (u16, Value) {
        send(&self.client, call).await
    }

    /// A step whose whole answer is compared; returns the answer.
    pub(crate) async fn step(&mut self, name: &str, call: Call) -> Value {
        let (code, body) = self.send(call).await;
        let normal = self.normal.value(&body);
        self.note(name, code, normal);
        body
    }

    /// A step of which only what `keep` returns is compared.
    pub(crate) async fn step_of(&mut self, name: &str, call: Call, keep: impl Fn(&Value) -> Value) {
        let (code, body) = self.send(call).await;
        let kept = keep(&self.normal.value(&body));
        self.note(name, code, kept);
    }

    async fn prepare(&mut self) {
        self.send(post("/api/v1/namespaces", json!({"metadata": {"name": "conf"}}))).await;
        self.step("ns.get", get("/api/v1/namespaces/conf")).await;
        self.step_of(
            "crd.create",
            post(CRDS, common::json("crd.json")),
            |b| json!({"kind": b["kind"], "gen": b["metadata"]["generation"]}),
        )
        .await;
        for _ in 0..60 {
            let (_, crd) = self.send(get(CRD)).await;
            let conditions = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let served = self.send(get(PLANS)).await.0 == 200;
            if served && conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.step_of(
            "crd.established",
            get(CRD),
            |b| json!({"status": b["status"], "names": b["spec"]["names"], "conv": b["spec"]["conversion"]}),
        )
        .await;
    }

    /// Deletes everything that `prefix` names.
    pub(crate) async fn delete_named(&self, prefix: &str) {
        let (_, list) = self.send(get(PLANS)).await;
        for name in names(&list).as_array().unwrap().iter().filter_map(Value::as_str).filter(|n| n.starts_with(prefix))
        {
            self.send(delete(format!("{PLANS}/{name}"))).await;
        }
    }
}

/// A plan with `spec` and more metadata.
pub(crate) fn plan_with(name: &str, spec: Value, meta: Value) -> Value {
    let mut plan = json!({"apiVersion": "demo.example.io/v1alpha1", "kind": "FailbackPlan", "metadata": {"name": name}, "spec": spec});
    for (key, value) in meta.as_object().unwrap() {
        plan["metadata"][key] = value.clone();
    }
    plan
}

pub(crate) fn plan_of(name: &str, spec: Value) -> Value {
    plan_with(name, spec, json!({}))
}

pub(crate) fn plan(name: &str) -> Value {
    plan_of(name, json!({"site": "paris"}))
}

pub(crate) fn item(name: &str) -> String {
    format!("{PLANS}/{name}")
}

/// The names of a list's items, or the whole answer when it is no list.
pub(crate) fn names(body: &Value) -> Value {
    match body.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().map(|i| i["metadata"]["name"].clone()).collect(),
        None => body.clone(),
    }
}

/// Some fields of an answer.
pub(crate) fn some(fields: &'static [&'static str]) -> impl Fn(&Value) -> Value {
    move |body| fields.iter().map(|f| ((*f).to_owned(), body.get(f).cloned().unwrap_or_default())).collect()
}

/// Some fields of an answer's metadata.
pub(crate) fn some_meta(fields: &'static [&'static str]) -> impl Fn(&Value) -> Value {
    move |body| some(fields)(&body["metadata"])
}

pub(crate) fn code_only(body: &Value) -> Value {
    body["code"].clone()
}
