//! What is not in the recordings: faults, restarts, the state file, compaction, namespaces and CRDs that are deleted with
//! objects held by finalizers, access reviews.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is how it fails"
)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::http::{APPLY, Call, JSON, JSON_PATCH, MERGE, Watch, delete, get, patch, post, put, send};
use serde_json::{Value, json};
use sim_apiserver::{ApiServer, Effect, Fault, Match, Options};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PLANS: &str = "/apis/demo.example.io/v1alpha1/namespaces/default/failbackplans";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/failbackplans.demo.example.io";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

fn plan(name: &str, meta: Value) -> Value {
    let mut plan = json!({"apiVersion": "demo.example.io/v1alpha1", "kind": "FailbackPlan", "metadata": meta, "spec": {"site": "x"}});
    plan["metadata"]["name"] = name.into();
    plan
}

async fn with_crd() -> (ApiServer, kube::Client) {
    let server = common::server();
    server.apply(common::json("crd.json")).await.unwrap();
    let client = common::in_process_client(&server, "test");
    (server, client)
}

fn inject(server: &ApiServer, verb: &str, effect: Effect) {
    let on = Match { verb: Some(verb.to_owned()), resource: Some("configmaps".to_owned()), ..Match::default() };
    server.faults().inject(Fault { on, effect, times: Some(1) });
}

#[tokio::test]
async fn faults_strike_once_and_only_what_they_match() {
    let server = common::server();
    let client = common::in_process_client(&server, "test");
    for code in [409, 410, 429, 500, 503] {
        inject(&server, "create", Effect::Refuse(code));
        assert_eq!(send(&client, get(MAPS)).await.0, 200);
        let (got, status) = send(&client, post(MAPS, map("a"))).await;
        assert_eq!((got, &status["kind"]), (code, &json!("Status")));
        assert_eq!(server.faults().pending(), 0);
    }
    inject(&server, "create", Effect::Latency(Duration::from_millis(50)));
    let start = Instant::now();
    assert_eq!(send(&client, post(MAPS, map("slow"))).await.0, 201);
    assert!(start.elapsed() >= Duration::from_millis(50));
    // A lost answer means that it was done, a lost connection that it was not.
    for (name, effect, done) in [("lost", Effect::LoseAnswer, 200), ("cut", Effect::Disconnect, 404)] {
        inject(&server, "create", effect);
        let request =
            http::Request::post(MAPS).body(kube::client::Body::from(map(name).to_string().into_bytes())).unwrap();
        assert!(client.send(request).await.is_err());
        assert_eq!(send(&client, get(format!("{MAPS}/{name}"))).await.0, done);
    }
}

#[tokio::test]
async fn watches_end_break_and_expire_on_request() {
    let server = common::server();
    let client = common::in_process_client(&server, "test");
    let path = format!("{MAPS}?watch=1");
    let watch = Watch::open(&client, &path, JSON).await;
    send(&client, post(MAPS, map("a"))).await;
    server.faults().expire_watches();
    let events = watch.events().await;
    assert_eq!(events.last().unwrap()["object"]["code"], 410);
    let watch = Watch::open(&client, &path, JSON).await;
    server.faults().end_watches();
    assert_eq!(watch.events().await.len(), 1);
    let watch = Watch::open(&client, &path, JSON).await;
    server.faults().break_watches();
    assert_eq!(watch.events().await.len(), 1);
}

#[tokio::test]
async fn older_versions_expire_with_the_log() {
    let server = ApiServer::new(Options { watch_log: 4, ..Options::default() }).unwrap();
    let client = common::in_process_client(&server, "test");
    send(&client, post(MAPS, map("first"))).await;
    let (_, page) = send(&client, get(format!("{MAPS}?limit=1"))).await;
    let version = page["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let since = format!("{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={version}");
    let slow = Watch::open(&client, &since, JSON).await;
    for n in 0..6 {
        assert_eq!(send(&client, post(MAPS, map(&format!("m{n}")))).await.0, 201);
    }
    let (code, _) = send(&client, get(format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact"))).await;
    assert_eq!(code, 410);
    let late = Watch::open(&client, &since, JSON).await.events().await;
    assert_eq!((&late[0]["type"], &late[0]["object"]["reason"]), (&json!("ERROR"), &json!("Expired")));
    drop(slow);
}

#[tokio::test]
async fn a_page_continues_in_the_state_of_the_first() {
    let (_server, client) = with_crd().await;
    for name in ["a", "b", "c"] {
        send(&client, post(PLANS, plan(name, json!({})))).await;
    }
    let (_, first) = send(&client, get(format!("{PLANS}?limit=2"))).await;
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    send(&client, delete(format!("{PLANS}/c"))).await;
    send(&client, post(PLANS, plan("d", json!({})))).await;
    let (_, second) = send(&client, get(format!("{PLANS}?limit=2&continue={token}"))).await;
    let names: Vec<&Value> = second["items"].as_array().unwrap().iter().map(|i| &i["metadata"]["name"]).collect();
    assert_eq!(names, ["c"]);
}

#[tokio::test]
async fn a_restart_keeps_or_forgets_the_state() {
    let (server, client) = with_crd().await;
    send(&client, post(PLANS, plan("a", json!({})))).await;
    let (_, list) = send(&client, get(PLANS)).await;
    let since = format!(
        "{PLANS}?watch=1&timeoutSeconds=1&resourceVersion={}",
        list["metadata"]["resourceVersion"].as_str().unwrap()
    );
    let watch = Watch::open(&client, &since, JSON).await;
    send(&client, post(PLANS, plan("b", json!({})))).await;
    server.restart(true);
    watch.events().await;
    assert_eq!(send(&client, get(format!("{PLANS}/a"))).await.0, 200);
    assert_eq!(Watch::open(&client, &since, JSON).await.events().await[0]["object"]["code"], 410);
    server.restart(false);
    assert_eq!(send(&client, get(PLANS)).await.0, 404);
    server.apply(common::json("crd.json")).await.unwrap();
    assert_eq!(send(&client, get(PLANS)).await.1["items"], json!([]));
}

#[tokio::test]
async fn the_state_file_is_continued() {
    let path = std::env::temp_dir().join(format!("apiserver-state-{}.json", std::process::id()));
    let options = || Options { state_file: Some(path.clone()), ..Options::default() };
    let server = ApiServer::new(options()).unwrap();
    server.apply(common::json("crd.json")).await.unwrap();
    let before = server.apply(plan("a", json!({"labels": {"x": "y"}}))).await.unwrap();
    // Written on its own shortly after the change.
    for _ in 0..100 {
        if std::fs::read_to_string(&path).is_ok_and(|text| text.contains("\"x\":\"y\"")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.contains("\"x\":\"y\""));
    drop(server);
    let server = ApiServer::new(options()).unwrap();
    let client = common::in_process_client(&server, "test");
    assert_eq!(send(&client, get(format!("{PLANS}/a"))).await.1, before);
    let (_, found) = send(&client, get(format!("{PLANS}?labelSelector=x%3Dy&fieldSelector=spec.site%3Dx"))).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let next = server.apply(plan("b", json!({}))).await.unwrap();
    let version = |o: &Value| o["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(version(&next) > version(&before));
    drop((server, client));
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(ApiServer::new(options()), Err(sim_apiserver::Error::Format(_))));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_state_file_is_whole_at_any_time() {
    let path = std::env::temp_dir().join(format!("apiserver-saves-{}.json", std::process::id()));
    let options = || Options { state_file: Some(path.clone()), ..Options::default() };
    let server = ApiServer::new(options()).unwrap();
    server.save().unwrap();
    let mut running = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (server, path) = (server.clone(), path.clone());
        running.spawn(async move {
            for n in 0..15 {
                let mut map = map(&format!("m{worker}-{n}"));
                map["metadata"]["namespace"] = "default".into();
                server.apply(map).await.unwrap();
                server.save().unwrap();
                let text = std::fs::read(&path).unwrap();
                let state: Value = serde_json::from_slice(&text).unwrap();
                let saved = |o: &Value| o["object"]["metadata"]["name"] == json!(format!("m{worker}-{n}"));
                assert!(state["objects"].as_array().unwrap().iter().any(saved), "m{worker}-{n}");
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    drop(server);
    let server = ApiServer::new(options()).unwrap();
    let client = common::in_process_client(&server, "test");
    assert_eq!(send(&client, get(MAPS)).await.1["items"].as_array().unwrap().len(), 60);
    drop((server, client));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_namespace_waits_for_what_is_in_it() {
    let (_server, client) = with_crd().await;
    let namespace = "/api/v1/namespaces/n";
    let maps = format!("{namespace}/configmaps");
    let plans = "/apis/demo.example.io/v1alpha1/namespaces/n/failbackplans";
    send(&client, post("/api/v1/namespaces", json!({"metadata": {"name": "n"}}))).await;
    send(&client, post(maps.clone(), map("a"))).await;
    send(&client, post(plans, plan("p", json!({"finalizers": ["x.io/hold"]})))).await;
    let (code, deleted) = send(&client, delete(namespace)).await;
    assert_eq!((code, &deleted["status"]["phase"]), (200, &json!("Terminating")));
    assert_eq!(send(&client, get(format!("{maps}/a"))).await.0, 404);
    assert!(send(&client, get(format!("{plans}/p"))).await.1["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(send(&client, post(maps, map("late"))).await.0, 403);
    let release = json!({"metadata": {"finalizers": null}});
    send(&client, patch(format!("{plans}/p"), release, MERGE)).await;
    assert_eq!(send(&client, get(namespace)).await.0, 404);
    assert_eq!(send(&client, delete("/api/v1/namespaces/default")).await.0, 403);
}

#[tokio::test]
async fn a_crd_waits_for_its_objects() {
    let (_server, client) = with_crd().await;
    send(&client, post(PLANS, plan("free", json!({})))).await;
    send(&client, post(PLANS, plan("held", json!({"finalizers": ["x.io/hold"]})))).await;
    let (_, crd) = send(&client, delete(CRD)).await;
    let conditions = crd["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "Terminating" && c["status"] == "True"));
    assert_eq!(send(&client, get(format!("{PLANS}/free"))).await.0, 404);
    assert_eq!(send(&client, get(format!("{PLANS}/held"))).await.0, 200);
    let watch = Watch::open(&client, &format!("{PLANS}?watch=1"), JSON).await;
    let release = json!({"metadata": {"finalizers": null}});
    send(&client, patch(format!("{PLANS}/held"), release, MERGE)).await;
    // Its watches end with it.
    assert_eq!(watch.events().await.last().unwrap()["type"], "DELETED");
    assert_eq!(send(&client, get(CRD)).await.0, 404);
    assert_eq!(send(&client, get(PLANS)).await.0, 404);
}

#[tokio::test]
async fn nothing_waits_for_a_garbage_collector() {
    let (_server, client) = with_crd().await;
    let events = Watch::open(&client, &format!("{PLANS}?watch=1&timeoutSeconds=1"), JSON).await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        send(&client, post(PLANS, plan("a", json!({})))).await;
        let with_policy = || delete(format!("{PLANS}/a")).with(json!({"propagationPolicy": policy}));
        // As on a real server it is still there in the answer, and goes right after.
        let (code, deleted) = send(&client, with_policy()).await;
        assert_eq!((code, &deleted["metadata"]["finalizers"]), (200, &json!([finalizer])));
        assert_eq!(send(&client, get(format!("{PLANS}/a"))).await.0, 404);
        // What others hold stays, with their finalizers alone.
        send(&client, post(PLANS, plan("b", json!({"finalizers": ["x.io/hold"]})))).await;
        send(&client, delete(format!("{PLANS}/b?propagationPolicy={policy}"))).await;
        let (_, held) = send(&client, get(format!("{PLANS}/b"))).await;
        assert_eq!(held["metadata"]["finalizers"], json!(["x.io/hold"]));
        send(&client, patch(format!("{PLANS}/b"), json!({"metadata": {"finalizers": null}}), MERGE)).await;
        assert_eq!(send(&client, get(format!("{PLANS}/b"))).await.0, 404);
    }
    let seen: Vec<Value> = events.events().await.iter().take(3).map(|e| e["type"].clone()).collect();
    assert_eq!(seen, ["ADDED", "MODIFIED", "DELETED"]);
    send(&client, post(PLANS, plan("c", json!({})))).await;
    send(&client, delete(CRD).with(json!({"propagationPolicy": "Foreground"}))).await;
    assert_eq!(send(&client, get(CRD)).await.0, 404);
    send(&client, post("/api/v1/namespaces", json!({"metadata": {"name": "n"}}))).await;
    send(&client, delete("/api/v1/namespaces/n?propagationPolicy=Foreground")).await;
    assert_eq!(send(&client, get("/api/v1/namespaces/n")).await.0, 404);
}

#[tokio::test]
async fn objects_are_defaulted_by_the_schema_of_today() {
    let (_server, client) = with_crd().await;
    send(&client, post(PLANS, plan("a", json!({})))).await;
    let (_, mut crd) = send(&client, get(CRD)).await;
    let added = json!({"type": "string", "default": "new"});
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["extra"] = added;
    let (code, crd) = send(&client, put(CRD, crd)).await;
    assert_eq!((code, &crd["metadata"]["generation"]), (200, &json!(2)));
    let (_, plan) = send(&client, get(format!("{PLANS}/a"))).await;
    assert_eq!(plan["spec"]["extra"], "new");
    let (_, list) = send(&client, get(PLANS)).await;
    assert_eq!(list["items"][0]["spec"]["extra"], "new");
}

#[tokio::test]
async fn a_test_of_nothing_against_null_passes() {
    let server = common::server();
    let client = common::in_process_client(&server, "test");
    send(&client, post(MAPS, map("a"))).await;
    let operations = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["x.io/a"]},
    ]);
    let call = || patch(format!("{MAPS}/a"), operations.clone(), JSON_PATCH);
    let (code, object) = send(&client, call()).await;
    assert_eq!((code, &object["metadata"]["finalizers"]), (200, &json!(["x.io/a"])));
    assert_eq!(send(&client, call()).await.0, 422);
}

#[tokio::test]
async fn what_is_left_out_is_refused_clearly() {
    let (_server, client) = with_crd().await;
    let cases: [(Call, u16); 9] = [
        (post("/api/v1/configmaps", map("a")), 400),
        (get("/apis/apps/v1/deployments"), 404),
        (get("/api/v1/namespaces/default/services"), 404),
        (get("/nope"), 404),
        (post(format!("{MAPS}/a"), map("a")), 405),
        (patch(format!("{MAPS}/a"), json!({}), "text/plain"), 415),
        (Call { content_type: "application/cbor".to_owned(), ..post(MAPS, map("a")) }, 415),
        (
            patch(
                format!("{PLANS}/a?fieldManager=m"),
                json!({"apiVersion": "demo.example.io/v2", "kind": "FailbackPlan"}),
                APPLY,
            ),
            400,
        ),
        (get(format!("{MAPS}?resourceVersion=abc")), 422),
    ];
    for (call, expected) in cases {
        let shown = format!("{} {}", call.method, call.path);
        assert_eq!(send(&client, call).await.0, expected, "{shown}");
    }
    let secret = post("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}, "data": {"a": "?"}}));
    assert_eq!(send(&client, secret).await.0, 400);
    let wrong = json!({"metadata": {"name": "a"}, "data": {"n": 1}});
    let (code, status) = send(&client, post(MAPS, wrong)).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));
    let immutable = json!({"metadata": {"name": "i"}, "data": {"a": "b"}, "immutable": true});
    send(&client, post(MAPS, immutable)).await;
    assert_eq!(send(&client, patch(format!("{MAPS}/i"), json!({"data": {"a": "c"}}), MERGE)).await.0, 422);
}

#[tokio::test]
async fn access_reviews_follow_the_policy() {
    let access: sim_apiserver::AccessPolicy =
        Arc::new(|request| request.verb == "get" && request.resource == "secrets");
    let server = ApiServer::new(Options { access: Some(access), ..Options::default() }).unwrap();
    let client = common::in_process_client(&server, "test");
    for (verb, allowed) in [("get", true), ("delete", false)] {
        let attributes = json!({"verb": verb, "resource": "secrets", "namespace": "default"});
        let review = json!({"spec": {"user": "u", "resourceAttributes": attributes}});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let (code, answer) = send(&client, post(path, review)).await;
        assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(allowed)));
    }
}

#[tokio::test]
async fn the_record_names_clients_verbs_and_subresources() {
    let (server, client) = with_crd().await;
    server.clear_record();
    send(&client, post(PLANS, plan("a", json!({})))).await;
    send(&client, patch(format!("{PLANS}/a/status"), json!({"status": {"phase": "x"}}), MERGE)).await;
    send(&client, delete(PLANS)).await;
    let addr = common::serve(&server).await;
    let over_http = common::http_client(addr).await;
    send(&over_http, get(PLANS)).await;
    let seen: Vec<(String, String, String)> =
        server.record().into_iter().map(|r| (r.client, r.verb, r.subresource)).collect();
    let row = |c: &str, v: &str, s: &str| (c.to_owned(), v.to_owned(), s.to_owned());
    let expected = [
        row("test", "create", ""),
        row("test", "patch", "status"),
        row("test", "deletecollection", ""),
        row("conf", "list", ""),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn transition_rules_compare_items_of_the_same_key() {
    let server = common::server();
    let client = common::in_process_client(&server, "test");
    let rule = json!([{"rule": "self.w >= oldSelf.w", "message": "w shrinks"}]);
    let item = json!({"type": "object", "required": ["n"], "x-kubernetes-validations": rule,
        "properties": {"n": {"type": "string"}, "w": {"type": "integer"}}});
    let list =
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": item});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"l": list}}}});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {"group": "example.org", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    server.apply(crd).await.unwrap();
    let thing = |l: Value| json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"l": l}});
    let path = "/apis/example.org/v1/things";
    let (code, _) = send(&client, post(path, thing(json!([{"n": "a", "w": 1}, {"n": "b", "w": 9}])))).await;
    assert_eq!(code, 201);
    let merge = |l: Value| patch(format!("{path}/t"), json!({"spec": {"l": l}}), MERGE);
    // Reordering is no shrinking.
    assert_eq!(send(&client, merge(json!([{"n": "b", "w": 9}, {"n": "a", "w": 1}]))).await.0, 200);
    let (code, status) = send(&client, merge(json!([{"n": "b", "w": 8}, {"n": "a", "w": 1}]))).await;
    assert_eq!((code, &status["details"]["causes"][0]["field"]), (422, &json!("spec.l[0]")));
    assert_eq!(status["details"]["causes"][0]["message"], "Invalid value: w shrinks");
}

#[tokio::test]
async fn https_serves_the_same() {
    let server = common::server();
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = server.clone();
    let serving = tokio::spawn(async move {
        serving.serve_tls(listener, Arc::new(tls), async { stopped.await.unwrap_or_default() }).await
    });
    let kubeconfig = ApiServer::kubeconfig_tls(&format!("https://{addr}"), &certified.cert.pem());
    let client = common::client_of(&kubeconfig).await;
    assert_eq!(send(&client, get("/api/v1/namespaces")).await.0, 200);
    let watch = Watch::open(&client, &format!("{MAPS}?watch=1"), JSON).await;
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(watch.events().await.is_empty());
}

/// A server with a cluster-scoped `things.example.org`, whose spec has this schema.
async fn with_things(spec: &Value) -> (ApiServer, kube::Client) {
    let server = common::server();
    server.apply(things(spec)).await.unwrap();
    let client = common::in_process_client(&server, "test");
    (server, client)
}

fn things(spec: &Value) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {"group": "example.org", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    })
}

const THINGS: &str = "/apis/example.org/v1/things";

fn thing(spec: &Value) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})
}

#[tokio::test]
async fn what_has_not_changed_is_not_validated_again() {
    let spec = |max: u32, rule: &str| {
        json!({"type": "object", "properties": {
            "a": {"type": "integer", "maximum": max, "x-kubernetes-validations": [{"rule": rule}]},
            "b": {"type": "string"},
        }})
    };
    let (server, client) = with_things(&spec(100, "self > 0")).await;
    assert_eq!(send(&client, post(THINGS, thing(&json!({"a": 50, "b": "x"})))).await.0, 201);
    server.apply(things(&spec(10, "self < 20"))).await.unwrap();
    let merge = |spec: Value| patch(format!("{THINGS}/t"), json!({ "spec": spec }), MERGE);
    assert_eq!(send(&client, merge(json!({"b": "y"}))).await.0, 200);
    let (code, status) = send(&client, merge(json!({"a": 51}))).await;
    assert_eq!((code, status["details"]["causes"].as_array().unwrap().len()), (422, 2));
    assert_eq!(send(&client, merge(json!({"a": 5}))).await.0, 200);
}

#[tokio::test]
async fn rules_name_fields_as_kubernetes_escapes_them() {
    let integer = json!({"type": "integer"});
    let rule = "(!has(self.my_field) || self.my_field > 1) && (!has(self.a__dash__b) || self.a__dash__b > 1) && \
                (!has(self.a__underscores__b) || self.a__underscores__b > 1) && self.plain != 'x.my_field'";
    let spec = json!({
        "type": "object",
        "x-kubernetes-validations": [{"rule": rule, "message": "too small"}],
        "properties": {"my_field": integer, "a-b": integer, "a__b": integer, "plain": {"type": "string", "default": ""}},
    });
    let (_server, client) = with_things(&spec).await;
    for field in ["my_field", "a-b", "a__b"] {
        for (value, expected) in [(1, 422), (2, 201)] {
            let (code, status) =
                send(&client, post(format!("{THINGS}?dryRun=All"), thing(&json!({field: value})))).await;
            assert_eq!(code, expected, "{field} {status}");
        }
    }
    let (code, _) = send(&client, post(THINGS, thing(&json!({"plain": "x.my_field"})))).await;
    assert_eq!(code, 422);
}

#[tokio::test]
async fn a_rule_that_cannot_be_evaluated_says_so() {
    let rule = json!([{"rule": "self.a > 1", "message": "a is small"}]);
    let spec = json!({"type": "object", "x-kubernetes-validations": rule, "properties": {"a": {"type": "integer"}}});
    let (_server, client) = with_things(&spec).await;
    let (code, status) = send(&client, post(THINGS, thing(&json!({})))).await;
    let message = &status["details"]["causes"][0]["message"];
    assert_eq!((code, message), (422, &json!("Invalid value: \"object\": no such key: a evaluating rule: a is small")));
}

#[tokio::test]
async fn a_service_account_gives_tokens_of_its_own() {
    use base64::Engine;
    let server = common::server();
    let client = common::in_process_client(&server, "test");
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    let wanted = |seconds: i64| json!({"spec": {"audiences": ["api://a"], "expirationSeconds": seconds}});
    let ask = |name: &str, seconds: i64| post(format!("{accounts}/{name}/token"), wanted(seconds));
    assert_eq!(send(&client, ask("robot", 600)).await.0, 404, "nobody of that name");
    send(&client, post(accounts, account)).await;
    assert_eq!(send(&client, ask("robot", 599)).await.0, 422);
    let (code, given) = send(&client, ask("robot", 600)).await;
    assert_eq!((code, &given["kind"]), (201, &json!("TokenRequest")));
    let claims = given["status"]["token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["sub"], "system:serviceaccount:default:robot");
    assert_eq!(claims["aud"], json!(["api://a"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    let asked = server.record().pop().unwrap();
    assert_eq!((asked.verb.as_str(), asked.subresource.as_str()), ("create", "token"));
    // Nothing else has tokens, and nothing else can be done with them.
    assert_eq!(send(&client, get(format!("{accounts}/robot/token"))).await.0, 405);
    assert_eq!(send(&client, post(format!("{MAPS}/robot/token"), wanted(600))).await.0, 404);
    let (_, listed) = send(&client, get("/api/v1")).await;
    assert!(listed["resources"].as_array().unwrap().iter().any(|entry| entry["name"] == "serviceaccounts/token"));
}

#[tokio::test]
async fn a_crd_may_restrict_names() {
    let server = common::server();
    let client = common::in_process_client(&server, "test");
    let mut crd = things(&json!({"type": "object"}));
    let root = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    root["properties"]["metadata"] =
        json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}});
    root["x-kubernetes-validations"] = json!([{"rule": "self.metadata.name != 'no'", "message": "not no"}]);
    server.apply(crd).await.unwrap();
    for (name, expected) in [("yes", 201), ("long", 422), ("no", 422)] {
        let mut thing = thing(&json!({}));
        thing["metadata"]["name"] = name.into();
        assert_eq!(send(&client, post(THINGS, thing)).await.0, expected, "{name}");
    }
}
