//! A kube-rs Controller lives on the server: finalizer, events, status by server-side apply, streaming lists, a shared
//! reflector; in-process and over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is how it fails"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::real::RealServer;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Event as CoreEvent, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{PredicateConfig, WatchStreamExt, finalizer, predicates, reflector, watcher};
use kube::{Client, CustomResource, CustomResourceExt, Resource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

const FINALIZER: &str = "jobs.example.org/hold";

#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(group = "example.org", version = "v1", kind = "Move", plural = "moves", namespaced, status = "MoveStatus")]
struct MoveSpec {
    steps: i32,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MoveStatus {
    step: i32,
    observed_generation: Option<i64>,
}

struct Context {
    client: Client,
    recorder: Recorder,
    reconciled: AtomicUsize,
    cleaned: AtomicUsize,
}

async fn reconcile(object: Arc<Move>, context: Arc<Context>) -> Result<Action, finalizer::Error<kube::Error>> {
    context.reconciled.fetch_add(1, Ordering::SeqCst);
    let api: Api<Move> = Api::namespaced(context.client.clone(), &object.namespace().unwrap());
    finalizer(&api, FINALIZER, object, |event| async {
        match event {
            finalizer::Event::Cleanup(_) => {
                context.cleaned.fetch_add(1, Ordering::SeqCst);
                Ok(Action::await_change())
            }
            finalizer::Event::Apply(object) => step(&api, &object, &context).await,
        }
    })
    .await
}

async fn step(api: &Api<Move>, object: &Move, context: &Context) -> Result<Action, kube::Error> {
    let done = object.status.as_ref().map_or(0, |s| s.step);
    if done >= object.spec.steps {
        return Ok(Action::await_change());
    }
    let status = json!({
        "apiVersion": "example.org/v1", "kind": "Move",
        "status": {"step": done + 1, "observedGeneration": object.meta().generation},
    });
    api.patch_status(&object.name_any(), &PatchParams::apply("mover").force(), &Patch::Apply(status)).await?;
    let event = Event {
        type_: EventType::Normal,
        reason: "Stepped".to_owned(),
        note: Some(format!("step {}", done + 1)),
        action: "Step".to_owned(),
        secondary: None,
    };
    context.recorder.publish(&event, &object.object_ref(&())).await?;
    Ok(Action::requeue(Duration::from_millis(1)))
}

async fn install(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("test").force();
    crds.patch("moves.example.org", &params, &Patch::Apply(Move::crd())).await.unwrap();
    let established = await_condition(crds, "moves.example.org", conditions::is_crd_established());
    tokio::time::timeout(Duration::from_secs(5), established).await.unwrap().unwrap();
}

/// Three objects are stepped to their end, deleted, and let go.
async fn run(client: Client) {
    install(&client).await;
    let api: Api<Move> = Api::default_namespaced(client.clone());
    let context = Arc::new(Context {
        client: client.clone(),
        recorder: Recorder::new(client.clone(), Reporter { controller: "mover".into(), instance: Some("one".into()) }),
        reconciled: AtomicUsize::new(0),
        cleaned: AtomicUsize::new(0),
    });
    let (reader, writer) = reflector::store::<Move>();
    let stream = watcher(api.clone(), watcher::Config::default().streaming_lists()).default_backoff();
    let reflected = tokio::spawn(stream.reflect(writer).applied_objects().for_each(|_| async {}));
    let fail = |_: Arc<Move>, error: &_, _| {
        eprintln!("reconcile: {error}");
        Action::requeue(Duration::from_millis(50))
    };
    let controller = Controller::new(api.clone(), watcher::Config::default().streaming_lists()).run(
        reconcile,
        fail,
        context.clone(),
    );
    let controller = tokio::spawn(controller.for_each(|_| async {}));

    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &Move::new(name, MoveSpec { steps: 4 })).await.unwrap();
    }
    let done = |object: Option<&Move>| object.and_then(|o| o.status.as_ref()).is_some_and(|s| s.step == 4);
    for name in ["a", "b", "c"] {
        let waiting = await_condition(api.clone(), name, done);
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    }
    reader.wait_until_ready().await.unwrap();
    assert_eq!(reader.state().len(), 3);

    // The Recorder writes events.k8s.io; kubectl reads core/v1 by what it is about.
    let events: Api<CoreEvent> = Api::default_namespaced(client.clone());
    let about = ListParams::default().fields("involvedObject.name=a,involvedObject.kind=Move");
    let events = events.list(&about).await.unwrap().items;
    assert_eq!(events.len(), 1, "the Recorder joins equal events into one series");
    assert_eq!(events[0].message.as_deref(), Some("step 1"));
    assert_eq!(events[0].reporting_component.as_deref(), Some("mover"));

    for name in ["a", "b", "c"] {
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }
    let gone = async {
        while !api.list(&ListParams::default()).await.unwrap().items.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    assert_eq!(context.cleaned.load(Ordering::SeqCst), 3);
    controller.abort();
    reflected.abort();
}

#[tokio::test]
async fn a_controller_runs_in_process() {
    let server = common::server();
    run(common::in_process_client(&server, "mover")).await;
    let mut rules: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for request in server.record() {
        assert_eq!(request.client, "mover");
        let verbs = rules.entry((request.group, request.resource, request.subresource)).or_default();
        if !verbs.contains(&request.verb) {
            verbs.push(request.verb);
        }
    }
    let key = |g: &str, r: &str, s: &str| (g.to_owned(), r.to_owned(), s.to_owned());
    assert_eq!(rules[&key("example.org", "moves", "status")], ["patch"]);
    assert!(rules[&key("events.k8s.io", "events", "")].contains(&"create".to_owned()));
    assert!(rules[&key("example.org", "moves", "")].contains(&"watch".to_owned()));
}

#[tokio::test]
async fn a_controller_runs_over_http() {
    let server = common::server();
    let addr = common::serve(&server).await;
    run(common::http_client(addr).await).await;
}

#[tokio::test]
async fn a_controller_runs_on_a_real_server() {
    let Some(server) = RealServer::start().await else { return };
    run(server.client().await).await;
}

#[tokio::test]
async fn writes_to_status_keep_the_generation() {
    let server = common::server();
    let client = common::in_process_client(&server, "mover");
    install(&client).await;
    let api: Api<Move> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &Move::new("a", MoveSpec { steps: 0 })).await.unwrap();
    let watched = watcher(api.clone(), watcher::Config::default())
        .applied_objects()
        .predicate_filter(predicates::generation, PredicateConfig::default());
    let mut watched = std::pin::pin!(watched);
    assert_eq!(watched.next().await.unwrap().unwrap().name_any(), "a");
    // Status and label changes keep the generation, so they do not come through.
    let status = json!({"apiVersion": "example.org/v1", "kind": "Move", "status": {"step": 1}});
    let params = PatchParams::apply("mover").force();
    api.patch_status("a", &params, &Patch::Apply(status)).await.unwrap();
    let spec = json!({"spec": {"steps": 2}});
    api.patch("a", &PatchParams::default(), &Patch::Merge(spec)).await.unwrap();
    let next = watched.next().await.unwrap().unwrap();
    assert_eq!((next.spec.steps, next.meta().generation), (2, Some(2)));
}

#[tokio::test]
async fn leases_and_secrets_behave() {
    let server = common::server();
    let client = common::in_process_client(&server, "elector");
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let lease = Lease {
        metadata: ObjectMeta { name: Some("leader".into()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec { holder_identity: Some("one".into()), ..LeaseSpec::default() }),
    };
    let first = leases.create(&PostParams::default(), &lease).await.unwrap();
    let mut taken = first.clone();
    taken.spec.as_mut().unwrap().holder_identity = Some("two".into());
    leases.replace("leader", &PostParams::default(), &taken).await.unwrap();
    // The one who read before loses.
    let error = leases.replace("leader", &PostParams::default(), &first).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 409));

    let secrets: Api<Secret> = Api::default_namespaced(client);
    let secret = Secret {
        metadata: ObjectMeta { name: Some("s".into()), ..ObjectMeta::default() },
        string_data: Some([("user".to_owned(), "me".to_owned())].into()),
        ..Secret::default()
    };
    let stored = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(stored.data.unwrap()["user"].0, b"me");
    assert_eq!((stored.string_data, stored.type_.as_deref()), (None, Some("Opaque")));
}
