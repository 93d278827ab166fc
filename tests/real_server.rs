//! One machine comes home with its objects on an API server that is not the rehearsal's own: a real kube-apiserver where
//! there is one. It judges our definitions as any cluster would, the costs of their rules included.
//!
//! `KUBEBUILDER_ASSETS` names a directory with `kube-apiserver` and `etcd`; without it this says `SKIPPED`, or fails when
//! `FAILBACK_REQUIRE_REAL_SERVER` is 1.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

#[allow(dead_code, reason = "nothing here needs a kubeconfig")]
#[path = "../sim/apiserver/tests/common/real.rs"]
mod real;

use std::time::{Duration, Instant};

use failback::{
    api::{DesiredPhase, FailbackPlan, ReplicatedItem},
    core::conditions,
    rehearsal::{Rehearsal, Setup, documents, pointed_at_site},
};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use real::RealServer;
use serde_json::{Value, json};

const SPEED: f64 = 1200.0;
const WALL: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn the_cycle_on_a_real_server() {
    install_tls();
    let Some(server) = RealServer::start().await else { return };
    the_cycle(server.client().await).await;
}

/// The same without a real server: another embedded one, so that this file is tried everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_cycle_on_another_server() {
    install_tls();
    let server = sim_apiserver::ApiServer::new(sim_apiserver::Options::default()).unwrap();
    the_cycle(Client::new(server.service("failback"), "default")).await;
}

async fn the_cycle(client: Client) {
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/crds")).unwrap() {
        let path = file.unwrap().path();
        for definition in documents(&std::fs::read_to_string(&path).unwrap()).unwrap() {
            apply(&client, definition).await;
        }
    }
    let setup = Setup::new(include_str!("../examples/scenarios/one-machine.yaml"), SPEED);
    let rehearsal = Rehearsal::start(&setup).await.unwrap();
    let manifests = [
        include_str!("../examples/one-machine/connections.yaml"),
        include_str!("../examples/one-machine/machine.yaml"),
        include_str!("../examples/one-machine/plan.yaml"),
    ];
    for mut object in manifests.iter().flat_map(|text| documents(text).unwrap()) {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!(DesiredPhase::Protected);
        }
        apply(&client, pointed_at_site(object, &rehearsal.site_url)).await;
    }
    let (stop, controller) = rehearsal.controller_on(client.clone()).unwrap();

    let plans: Api<FailbackPlan> = Api::default_namespaced(client.clone());
    let items: Api<ReplicatedItem> = Api::default_namespaced(client);
    let began = Instant::now();
    let plan = loop {
        let plan = plans.get("web").await.unwrap();
        let status = plan.status.clone().unwrap_or_default();
        if status.observed_generation == plan.metadata.generation && conditions::is_true(&status.conditions, "Ready") {
            break status;
        }
        if began.elapsed() > WALL {
            let item = items.get("web-01").await.unwrap().status;
            panic!("the plan is not ready: {status:#?}\n{item:#?}\n{:#?}", rehearsal.site.calls());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(plan.phase, DesiredPhase::Protected);
    let item = items.get("web-01").await.unwrap().status.unwrap();
    for step in ["Reprotected", "FailedBack", "Verified", "Committed", "Protected"] {
        assert!(conditions::is_true(&item.conditions, step), "{step}: {:#?}", item.conditions);
    }
    let calls = rehearsal.site.calls();
    let called: Vec<_> = calls.iter().map(|call| (call.verb.as_str(), call.status)).collect();
    assert_eq!(
        called,
        [("reProtect", 202), ("plannedFailover", 202), ("failoverCommit", 202), ("reProtect", 202)],
        "each step once"
    );
    stop.cancel();
    controller.await.unwrap();
    let others = rehearsal.api.record().into_iter().find(|request| request.client != "jobs");
    assert_eq!(others, None, "of the rehearsal's own server nothing was used but its Jobs");
    rehearsal.end().await;
}

/// Server-side apply, once the server knows the kind: a definition is served a moment after it was accepted.
async fn apply(client: &Client, object: Value) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let kind = GroupVersionKind::try_from(object.types.as_ref().unwrap()).unwrap();
    let began = Instant::now();
    let (resource, capabilities) = loop {
        match pinned_kind(client, &kind).await {
            Ok(found) => break found,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(30), "{kind:?} is not served: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Namespaced => Api::default_namespaced_with(client.clone(), &resource),
        Scope::Cluster => Api::all_with(client.clone(), &resource),
    };
    let name = object.metadata.name.clone().unwrap();
    let params = PatchParams::apply("rehearsal").force();
    if let Err(error) = api.patch(&name, &params, &Patch::Apply(&object)).await {
        panic!("{} {name} is refused: {error}", kind.kind);
    }
}

fn install_tls() {
    // Only the first one of a process is installed.
    drop(rustls::crypto::ring::default_provider().install_default());
}
