//! The definitions under `crds/` on an API server: each rule lets the good through and names what is wrong with the bad,
//! and every example applies.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde::Deserialize as _;
use serde_json::{Value, json};
use sim_apiserver::{ApiServer, Options};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All objects of a YAML file.
fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let parsed = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    parsed.filter(|document| !document.is_null()).collect()
}

/// A server with our definitions, and a client of it.
struct Cluster {
    server: ApiServer,
    client: Client,
}

impl Cluster {
    async fn start() -> Self {
        let server = ApiServer::new(Options::default()).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(at("crds")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 6, "{files:?}");
        for definition in files.iter().flat_map(|file| documents(file)) {
            server.apply(definition).await.unwrap();
        }
        let client = Client::new(server.service("test"), "default");
        Self { server, client }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let plural =
            if kind == "FailbackApproval" { "failbackapprovals".to_owned() } else { kind.to_lowercase() + "s" };
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("failback.dev", "v1alpha1", kind), &plural);
        Api::namespaced_with(self.client.clone(), "default", &resource)
    }

    /// Brings `x` of a kind to this spec. The error is the server's message.
    async fn apply(&self, kind: &str, spec: &Value) -> Result<(), String> {
        let object = json!({
            "apiVersion": "failback.dev/v1alpha1", "kind": kind, "metadata": { "name": "x" }, "spec": spec,
        });
        let params = PatchParams::apply("person").force();
        match self.api(kind).patch("x", &params, &Patch::Apply(object)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status.message),
            Err(other) => panic!("{other}"),
        }
    }

    async fn status(&self, kind: &str, status: Value) {
        let params = PatchParams { field_manager: Some("failback".to_owned()), ..PatchParams::default() };
        self.api(kind).patch_status("x", &params, &Patch::Merge(json!({ "status": status }))).await.unwrap();
    }

    async fn delete(&self, kind: &str) {
        self.api(kind).delete("x", &kube::api::DeleteParams::default()).await.unwrap();
    }

    /// What a rule says of a spec.
    async fn refuses(&self, kind: &str, spec: &Value, field: &str, message: &str) {
        let said = self.apply(kind, spec).await.expect_err(message);
        assert_eq!(said, format!("{kind}.failback.dev \"x\" is invalid: {field}: {message}"));
    }
}

/// The same object with one field set, by its path, or taken away.
fn with(spec: &Value, path: &str, value: Value) -> Value {
    let mut changed = spec.clone();
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(field);
    } else {
        parent.insert(field.to_owned(), value);
    }
    changed
}

fn plan() -> Value {
    json!({ "desiredPhase": "Reprotected", "waves": [{ "name": "one", "items": ["a", "b"] }] })
}

const STARTED: &str = "2026-03-01T12:00:00Z";

#[tokio::test]
async fn a_vault_is_reached_in_one_way() {
    let cluster = Cluster::start().await;
    let kind = "RecoveryVault";
    let good = json!({
        "subscriptionId": "3c9f5d1e-62b7-4d0a-8e21-9a4b7d6f1c33", "resourceGroup": "rg", "vaultName": "vault",
        "credential": { "workloadIdentity": {} },
    });
    cluster.apply(kind, &good).await.unwrap();
    let secret = json!({ "tenantId": "t", "clientId": "c", "secretRef": { "name": "azure", "key": "secret" } });
    let endpoints = json!({ "authority": "https://login.example", "resourceManager": "https://arm.example" });
    let custom = with(&with(&good, "/cloud", json!("Custom")), "/customEndpoints", endpoints.clone());
    cluster.apply(kind, &with(&good, "/credential", json!({ "clientSecret": secret }))).await.unwrap();
    cluster.apply(kind, &with(&good, "/credential", json!({ "managedIdentity": {} }))).await.unwrap();
    cluster.apply(kind, &custom).await.unwrap();

    let one = "Invalid value: set exactly one of clientSecret, serviceAccount, workloadIdentity and managedIdentity";
    let account = json!({ "tenantId": "t", "clientId": "c" });
    cluster.apply(kind, &with(&good, "/credential", json!({ "serviceAccount": account }))).await.unwrap();
    for wrong in [
        json!({}),
        json!({ "workloadIdentity": {}, "clientSecret": secret }),
        json!({ "serviceAccount": account, "clientSecret": secret }),
    ] {
        cluster.delete(kind).await;
        cluster.refuses(kind, &with(&good, "/credential", wrong), "spec.credential", one).await;
        cluster.apply(kind, &good).await.unwrap();
    }
    let together = "Invalid value: customEndpoints goes with cloud: Custom, and is required there";
    cluster.delete(kind).await;
    cluster.refuses(kind, &with(&good, "/cloud", json!("Custom")), "spec", together).await;
    cluster.refuses(kind, &with(&good, "/customEndpoints", endpoints), "spec", together).await;

    let id = "Invalid value: \"mine\": spec.subscriptionId in body should match \
              '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'";
    cluster.refuses(kind, &with(&good, "/subscriptionId", json!("mine")), "spec.subscriptionId", id).await;
    let often = "Invalid value: 1: spec.pollIntervalSeconds in body should be greater than or equal to 15";
    cluster.refuses(kind, &with(&good, "/pollIntervalSeconds", json!(1)), "spec.pollIntervalSeconds", often).await;
}

#[tokio::test]
async fn a_vcenter_is_trusted_in_one_way() {
    let cluster = Cluster::start().await;
    let good = json!({ "server": "vcenter.example", "credentialsRef": { "name": "vcenter" } });
    let thumbprint = json!(["AB"; 32].join(":"));
    cluster.apply("VCenter", &good).await.unwrap();
    cluster.apply("VCenter", &with(&good, "/thumbprint", thumbprint.clone())).await.unwrap();
    cluster.apply("VCenter", &with(&good, "/caBundle", json!("PEM"))).await.unwrap();
    let both = with(&with(&good, "/caBundle", json!("PEM")), "/thumbprint", thumbprint);
    let message = "Invalid value: set caBundle or thumbprint, not both";
    cluster.refuses("VCenter", &both, "spec", message).await;
    assert!(cluster.apply("VCenter", &with(&good, "/thumbprint", json!("AB:CD"))).await.is_err());
}

#[tokio::test]
async fn an_approval_does_not_change() {
    let cluster = Cluster::start().await;
    let kind = "FailbackApproval";
    let good = json!({
        "planRef": { "name": "plan" }, "planUid": "uid", "specHash": "hash", "step": "Commit", "approver": "ann",
        "expiresAt": STARTED,
    });
    cluster.apply(kind, &good).await.unwrap();
    cluster.apply(kind, &good).await.unwrap();
    let message = "Invalid value: an approval cannot be changed; delete it and make a new one";
    for (path, value) in [
        ("/step", json!("FailBack")),
        ("/approver", json!("bob")),
        ("/specHash", json!("another")),
        ("/expiresAt", json!("2027-03-01T12:00:00Z")),
        ("/comment", json!("one more word")),
    ] {
        cluster.refuses(kind, &with(&good, path, value), "spec", message).await;
    }
    cluster.delete(kind).await;
    let said = cluster.apply(kind, &with(&good, "/step", json!("Everything"))).await.unwrap_err();
    let steps =
        r#"spec.step: Unsupported value: "Everything": supported values: "Reprotect", "FailBack", "Commit", "Protect""#;
    assert!(said.contains(steps), "{said}");
}

#[tokio::test]
async fn a_plan_only_advances_once_it_has_started() {
    let cluster = Cluster::start().await;
    let kind = "FailbackPlan";
    let to = |phase: &str| with(&plan(), "/desiredPhase", json!(phase));
    cluster.apply(kind, &to("Committed")).await.unwrap();
    cluster.apply(kind, &to("Reprotected")).await.unwrap();
    cluster.status(kind, json!({ "startedAt": STARTED })).await;
    let message = "Invalid value: desiredPhase only advances once the plan has started";
    for phase in ["Reprotected", "FailedBack", "Committed", "Protected"] {
        cluster.apply(kind, &to(phase)).await.unwrap();
        cluster.refuses(kind, &to("Assessed"), "<nil>", message).await;
    }
    // What is not given is Assessed.
    cluster.refuses(kind, &with(&plan(), "/desiredPhase", Value::Null), "<nil>", message).await;
}

#[tokio::test]
async fn a_plan_keeps_its_machines_once_it_has_started() {
    let cluster = Cluster::start().await;
    let kind = "FailbackPlan";
    let waves = |waves: Value| with(&plan(), "/waves", waves);
    let one = json!({ "name": "one", "items": ["a", "b"] });
    cluster.apply(kind, &waves(json!([{ "name": "zero", "items": ["z"] }]))).await.unwrap();
    cluster.apply(kind, &plan()).await.unwrap();
    cluster.status(kind, json!({ "startedAt": STARTED })).await;

    cluster.apply(kind, &waves(json!([one, { "name": "two", "items": ["c"] }]))).await.unwrap();
    cluster
        .apply(kind, &with(&waves(json!([one, { "name": "two", "items": ["c"] }])), "/skip", json!(["a"])))
        .await
        .unwrap();
    let message = "Invalid value: once the plan has started, waves and their items stay; name a machine in \
                   skip to leave it out";
    for wrong in [
        json!([one]),
        json!([{ "name": "one", "items": ["a"] }, { "name": "two", "items": ["c"] }]),
        json!([{ "name": "one", "items": ["a", "b", "d"] }, { "name": "two", "items": ["c"] }]),
        json!([{ "name": "uno", "items": ["a", "b"] }, { "name": "two", "items": ["c"] }]),
    ] {
        cluster.refuses(kind, &waves(wrong), "<nil>", message).await;
    }
}

#[tokio::test]
async fn a_plan_names_waves_and_machines_once() {
    let cluster = Cluster::start().await;
    let kind = "FailbackPlan";
    let waves = |waves: Value| with(&plan(), "/waves", waves);
    let wave = |name: &str| json!({ "name": name, "items": ["a"] });
    let few = "Invalid value: []: spec.waves in body should have at least 1 items";
    cluster.refuses(kind, &waves(json!([])), "spec.waves", few).await;
    for twice in [json!([wave("one"), wave("one")]), json!([{ "name": "one", "items": ["a", "a"] }])] {
        let said = cluster.apply(kind, &waves(twice)).await.unwrap_err();
        assert!(said.to_lowercase().contains("duplicate"), "{said}");
    }
    let none = json!([{ "name": "one", "items": ["a"], "maxConcurrent": 0 }]);
    let least = "Invalid value: 0: spec.waves[0].maxConcurrent in body should be greater than or equal to 1";
    cluster.refuses(kind, &waves(none), "spec.waves[0].maxConcurrent", least).await;
    let soak = with(&plan(), "/commit", json!({ "soakSeconds": -1 }));
    let negative = "Invalid value: -1: spec.commit.soakSeconds in body should be greater than or equal to 0";
    cluster.refuses(kind, &soak, "spec.commit.soakSeconds", negative).await;
}

#[tokio::test]
async fn a_wave_names_machines_or_finds_them_and_waits_for_others() {
    let cluster = Cluster::start().await;
    let kind = "FailbackPlan";
    let waves = |waves: Value| with(&plan(), "/waves", waves);
    let tier = |value: &str| json!({ "matchLabels": { "tier": value } });
    let demand = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] });
    for good in [
        json!([{ "name": "one", "selector": tier("web") }]),
        json!([{ "name": "one", "items": ["a"], "selector": demand("In", json!(["web"])) }]),
        json!([{ "name": "one", "selector": demand("Exists", json!([])) }]),
        json!([{ "name": "one", "items": ["a"] }, { "name": "two", "items": ["b"], "dependsOn": [] }]),
        json!([{ "name": "one", "items": ["a"] }, { "name": "two", "items": ["b"], "dependsOn": ["one"] }]),
    ] {
        cluster.apply(kind, &waves(good)).await.unwrap();
    }
    let refused = [
        (json!([{ "name": "one" }]), "name machines in items, or find them with selector"),
        (json!([{ "name": "one", "items": [] }]), "name machines in items, or find them with selector"),
        (json!([{ "name": "one", "selector": {} }]), "name at least one label"),
        (json!([{ "name": "one", "selector": demand("In", json!([])) }]), "values go with the operators In and NotIn"),
        (json!([{ "name": "one", "selector": demand("Exists", json!(["x"])) }]), "values go with the operators"),
        (json!([{ "name": "one", "items": ["a"], "dependsOn": ["one"] }]), "a wave cannot depend on itself"),
        (
            json!([{ "name": "one", "items": ["a"], "dependsOn": ["two"] }]),
            "dependsOn names a wave that the plan does not have",
        ),
    ];
    for (wrong, message) in refused {
        let said = cluster.apply(kind, &waves(wrong)).await.expect_err(message);
        assert!(said.contains(message), "{said}");
    }
    cluster.apply(kind, &waves(json!([{ "name": "one", "selector": tier("web") }]))).await.unwrap();
    cluster.status(kind, json!({ "startedAt": STARTED })).await;
    let stay = "waves and their items stay";
    for wrong in [json!([{ "name": "one", "selector": tier("db") }]), json!([{ "name": "one", "items": ["a"] }])] {
        let said = cluster.apply(kind, &waves(wrong)).await.expect_err(stay);
        assert!(said.contains(stay), "{said}");
    }
}

#[tokio::test]
async fn a_started_plan_demands_no_fewer_approvals() {
    let cluster = Cluster::start().await;
    let kind = "FailbackPlan";
    let demands = |approvals: Value| with(&plan(), "/approvals", approvals);
    let two = json!([{ "step": "Commit", "count": 2, "forbidRequester": true }]);
    cluster.apply(kind, &plan()).await.unwrap();
    cluster.apply(kind, &demands(two)).await.unwrap();
    cluster.status(kind, json!({ "startedAt": STARTED })).await;
    let message = "Invalid value: once the plan has started, it demands no fewer approvals than it did";
    for weaker in [
        json!([]),
        json!([{ "step": "Commit", "count": 1, "forbidRequester": true }]),
        json!([{ "step": "Commit", "count": 2 }]),
        json!([{ "step": "FailBack", "count": 2, "forbidRequester": true }]),
    ] {
        cluster.refuses(kind, &demands(weaker), "<nil>", message).await;
    }
    cluster.refuses(kind, &plan(), "<nil>", message).await;
    let more = json!([{ "step": "Commit", "count": 3, "forbidRequester": true }, { "step": "FailBack" }]);
    cluster.apply(kind, &demands(more)).await.unwrap();
}

#[tokio::test]
async fn a_window_has_one_form() {
    let cluster = Cluster::start().await;
    let kind = "FailbackPlan";
    let window = |window: Value| with(&plan(), "/window", window);
    let (start, end) = ("2026-03-01T20:00:00Z", "2026-03-02T02:00:00Z");
    cluster.apply(kind, &window(json!({ "start": start, "end": end }))).await.unwrap();
    cluster.apply(kind, &window(json!({ "cron": "0 22 * * *", "durationMinutes": 60 }))).await.unwrap();
    let message = "give start and end, or cron and durationMinutes";
    for wrong in [
        json!({ "timeZone": "UTC" }),
        json!({ "start": start }),
        json!({ "cron": "0 22 * * *" }),
        json!({ "start": start, "end": end, "cron": "0 22 * * *", "durationMinutes": 60 }),
    ] {
        let said = cluster.apply(kind, &window(wrong)).await.expect_err(message);
        assert!(said.contains(message), "{said}");
    }
    for asked in [json!([{ "items": ["a"] }]), json!([{ "reason": "" }])] {
        assert!(cluster.apply(kind, &with(&plan(), "/cancel", asked)).await.is_err(), "a cancel says why");
    }
}

#[tokio::test]
async fn a_hook_says_what_it_runs_for() {
    let cluster = Cluster::start().await;
    let kind = "FailbackPlan";
    let good = json!({ "name": "dns", "when": "After", "step": "FailBack", "jobTemplate": { "spec": { "any": { "field": [1] } } } });
    let hooks = |hooks: Value| with(&plan(), "/hooks", hooks);
    cluster.apply(kind, &hooks(json!([good]))).await.unwrap();
    let stored = cluster.api(kind).get("x").await.unwrap();
    let hook = &stored.data["spec"]["hooks"][0];
    assert_eq!(hook["jobTemplate"]["spec"]["any"]["field"][0], 1, "what the definition does not know is kept");
    assert_eq!(
        (&hook["scope"], &hook["onFailure"], &hook["timeoutSeconds"]),
        (&json!("Plan"), &json!("Hold"), &json!(600))
    );
    let wave = with(&good, "/scope", json!("Wave"));
    let item = with(&good, "/scope", json!("Item"));
    let narrow = with(&with(&item, "/items", json!(["a"])), "/waves", json!(["one"]));
    cluster.apply(kind, &hooks(json!([narrow]))).await.unwrap();

    for (wrong, part) in [
        (with(&good, "/waves", json!(["one"])), "waves goes with scope Wave or Item"),
        (with(&wave, "/items", json!(["a"])), "items goes with scope Item"),
        (with(&wave, "/waves", json!(["two"])), "a hook names a wave that the plan does not have"),
        (with(&good, "/name", json!("Not a label")), "spec.hooks[0].name in body should match"),
        (with(&good, "/step", json!("Cancel")), "Unsupported value: \"Cancel\""),
        (with(&good, "/timeoutSeconds", json!(5)), "should be greater than or equal to 10"),
        (with(&good, "/jobTemplate", json!({})), "spec.hooks[0].jobTemplate.spec: Required value"),
    ] {
        let said = cluster.apply(kind, &hooks(json!([wrong]))).await.expect_err(part);
        assert!(said.contains(part), "{said}");
    }
    let said = cluster.apply(kind, &hooks(json!([good, good]))).await.expect_err("a name twice");
    assert!(said.contains("dns"), "{said}");
    let waves: Vec<Value> = (0..32).map(|number| json!({ "name": format!("w{number}"), "items": ["a"] })).collect();
    let named = |number: usize| with(&wave, "/name", json!(format!("h{number}")));
    let many = |count: usize| with(&hooks(json!((0..count).map(named).collect::<Vec<_>>())), "/waves", json!(waves));
    cluster.apply(kind, &many(1)).await.unwrap();
    let said = cluster.apply(kind, &many(2)).await.expect_err("too many rows");
    assert!(said.contains("hooks of scope Plan, and of scope Wave times their waves, must not exceed 40"), "{said}");
    let of_four = (0..10).map(|number| with(&named(number), "/waves", json!(["w0", "w1", "w2", "w3"])));
    cluster.apply(kind, &with(&many(1), "/hooks", of_four.collect())).await.unwrap();
}

#[tokio::test]
async fn a_job_as_a_probe_says_how_long_it_may_take() {
    let cluster = Cluster::start().await;
    let kind = "ReplicatedItem";
    let item = |probe: Value| json!({ "vaultRef": { "name": "v" }, "vcenterRef": { "name": "c" }, "machine": "web-01", "verification": { "probes": [probe] } });
    let job = json!({ "name": "smoke", "timeoutSeconds": 600, "job": { "jobTemplate": { "spec": {} } } });
    cluster.apply(kind, &item(job.clone())).await.unwrap();
    let long = "timeoutSeconds is at most 60; of a job it is at least 10, and at most 3600";
    for (wrong, part) in [
        (with(&job, "/timeoutSeconds", json!(5)), long),
        (with(&job, "/timeoutSeconds", Value::Null), long),
        (json!({ "name": "tcp", "tcp": { "port": 1 }, "timeoutSeconds": 61 }), long),
        (with(&job, "/timeoutSeconds", json!(3601)), "should be less than or equal to 3600"),
        (with(&job, "/tcp", json!({ "port": 1 })), "a probe has exactly one of guestIp, tcp, http and job"),
    ] {
        cluster.delete(kind).await;
        let said = cluster.apply(kind, &item(wrong)).await.expect_err(part);
        assert!(said.contains(part), "{said}");
        cluster.apply(kind, &item(job.clone())).await.unwrap();
    }
}

/// The manifests of a page, as a reader would copy them.
#[tokio::test]
async fn the_examples_of_the_page_on_hooks_apply() {
    let cluster = Cluster::start().await;
    let page = std::fs::read_to_string(at("docs/hooks.md")).unwrap();
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let mut object: Value = serde_yaml::from_str(block).unwrap();
        object["metadata"]["namespace"] = json!("default");
        cluster.server.apply(object).await.unwrap();
    }
}

#[tokio::test]
async fn an_item_stays_the_same_machine_while_something_depends_on_it() {
    let cluster = Cluster::start().await;
    let kind = "ReplicatedItem";
    let good = json!({ "vaultRef": { "name": "v" }, "vcenterRef": { "name": "c" }, "machine": "web-01" });
    let another = with(&good, "/machine", json!("web-02"));
    cluster.apply(kind, &another).await.unwrap();
    cluster.apply(kind, &good).await.unwrap();
    let message = "Invalid value: vaultRef, vcenterRef and machine cannot change while a plan has claimed this \
                   item, or while a call for it is open";
    let claim = json!({ "plan": "plan", "planUid": "uid", "upTo": "Protected" });
    let operation = |outcome: &str| json!({ "key": "k", "verb": "FailBack", "attempt": 1, "intendedAt": STARTED, "outcome": outcome });
    for status in [json!({ "claim": claim }), json!({ "claim": null, "operation": operation("Submitted") })] {
        cluster.status(kind, status).await;
        cluster.refuses(kind, &another, "<nil>", message).await;
        cluster.refuses(kind, &with(&good, "/vaultRef/name", json!("other")), "<nil>", message).await;
        cluster.refuses(kind, &with(&good, "/vcenterRef/name", json!("other")), "<nil>", message).await;
        // How it comes home may still be said.
        cluster.apply(kind, &with(&good, "/datastore", json!("datastore1"))).await.unwrap();
    }
    cluster.status(kind, json!({ "operation": operation("Succeeded") })).await;
    cluster.apply(kind, &another).await.unwrap();
}

#[tokio::test]
async fn what_is_not_said_is_filled_in() {
    let cluster = Cluster::start().await;
    cluster.apply("FailbackPlan", &plan()).await.unwrap();
    let plan = cluster.api("FailbackPlan").get("x").await.unwrap();
    assert_eq!(plan.data["spec"]["suspend"], false);
    assert_eq!(plan.data["spec"]["deletionPolicy"], "Hold");
    assert_eq!(plan.data["spec"]["commit"]["soakSeconds"], 60);
    assert_eq!(plan.data["spec"]["waves"][0]["maxConcurrent"], 10);
}

fn yaml_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_under(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            found.push(path);
        }
    }
}

/// Scenarios are the simulated site's own; objects of other products are theirs to judge.
#[tokio::test]
async fn every_example_applies() {
    let cluster = Cluster::start().await;
    let mut files = Vec::new();
    yaml_under(&at("examples"), &mut files);
    files.retain(|file| !file.starts_with(at("examples/scenarios")));
    files.sort();
    let mut kinds = BTreeSet::new();
    for (file, object) in files.iter().flat_map(|file| documents(file).into_iter().map(move |object| (file, object))) {
        let version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if version == "v1" || version.starts_with("failback.dev/") {
            if let Some(namespace) = object["metadata"]["namespace"].as_str() {
                let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
                cluster.server.apply(namespace).await.unwrap();
            }
            cluster.server.apply(object).await.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            kinds.insert(kind);
        }
    }
    for kind in ["RecoveryVault", "VCenter", "MasterTarget", "ReplicatedItem", "FailbackPlan", "Secret"] {
        assert!(kinds.contains(kind), "no example of {kind}: {kinds:?}");
    }
}

#[tokio::test]
async fn numbers_and_texts_out_of_bounds_are_refused_by_name() {
    let cluster = Cluster::start().await;
    let long = |letters: usize| json!("x".repeat(letters));
    let target = json!({ "vaultRef": { "name": "vault" }, "appliance": "appliance01" });
    let item = json!({ "vaultRef": { "name": "v" }, "vcenterRef": { "name": "vc" }, "machine": "web-01" });
    let probe = |changes: Value| {
        let mut probe = json!({ "name": "p", "tcp": { "port": 443 } });
        probe.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({ "probes": [probe] })
    };
    let tcp = |host: &str| probe(json!({ "tcp": { "host": host, "port": 80 } }));
    let rows = [
        ("FailbackPlan", plan(), "/maxConcurrent", json!(-1), "spec.maxConcurrent"),
        ("FailbackPlan", plan(), "/failureBudget", json!(-1), "spec.failureBudget"),
        ("FailbackPlan", plan(), "/waves/0/maxConcurrent", json!(0), "spec.waves[0].maxConcurrent"),
        ("FailbackPlan", plan(), "/waves/0/name", long(64), "spec.waves[0].name"),
        ("FailbackPlan", plan(), "/waves/0/items", json!([""]), "spec.waves[0].items[0]"),
        ("FailbackPlan", plan(), "/waves/0/items", json!([long(254)]), "spec.waves[0].items[0]"),
        ("FailbackPlan", plan(), "/waves/0/dependsOn", json!(["one"]), "a wave cannot depend on itself"),
        (
            "FailbackPlan",
            plan(),
            "/waves/0/dependsOn",
            json!(["two"]),
            "dependsOn names a wave that the plan does not have",
        ),
        ("FailbackPlan", plan(), "/commit", json!({ "soakSeconds": -1 }), "spec.commit.soakSeconds"),
        ("FailbackPlan", plan(), "/approvals", json!([{ "step": "Commit", "count": -1 }]), "spec.approvals[0].count"),
        (
            "FailbackPlan",
            plan(),
            "/window",
            json!({ "cron": "0 0 * * *", "durationMinutes": -5 }),
            "spec.window.durationMinutes",
        ),
        ("FailbackPlan", plan(), "/retryToken", long(129), "spec.retryToken"),
        ("MasterTarget", target.clone(), "/maxDisks", json!(-1), "spec.maxDisks"),
        ("MasterTarget", target, "/maxDisks", json!(61), "spec.maxDisks"),
        ("ReplicatedItem", item.clone(), "/machine", long(1025), "spec.machine"),
        ("ReplicatedItem", item.clone(), "/verification", probe(json!({ "timeoutSeconds": -1 })), "timeoutSeconds"),
        ("ReplicatedItem", item.clone(), "/verification", probe(json!({ "tcp": { "port": 0 } })), "tcp.port"),
        ("ReplicatedItem", item.clone(), "/verification", tcp("169.254.169.254"), "link-local or metadata"),
        ("ReplicatedItem", item.clone(), "/verification", tcp("::FFFF:169.254.169.254"), "link-local or metadata"),
        ("ReplicatedItem", item.clone(), "/verification", tcp("168.63.129.16"), "link-local or metadata"),
        ("ReplicatedItem", item, "/verification", tcp("fd00:ec2::254"), "link-local or metadata"),
    ];
    for (kind, good, path, value, named) in rows {
        let said = cluster.apply(kind, &with(&good, path, value)).await.expect_err(path);
        assert!(said.contains(named), "{path}: {said}");
        cluster.apply(kind, &good).await.unwrap();
        cluster.delete(kind).await;
    }
}
