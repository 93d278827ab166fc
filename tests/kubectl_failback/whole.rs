//! A run in a simulated site makes the calls that were previewed, in their order.

use std::time::Duration;

use failback::{
    api::{FailbackPlan, ItemPhase, ReplicatedItem},
    core::{conditions, preview},
    rehearsal::{Rehearsal, Setup, documents},
};
use kube::Api;
use serde_json::{Value, json};

const SCENARIO: &str = include_str!("../../examples/scenarios/one-machine.yaml");
const MANIFESTS: [&str; 3] = [
    include_str!("../../examples/one-machine/connections.yaml"),
    include_str!("../../examples/one-machine/machine.yaml"),
    include_str!("../../examples/one-machine/plan.yaml"),
];

fn manifests(desired: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = MANIFESTS.iter().flat_map(|text| documents(text).unwrap()).collect();
    for object in objects.iter_mut().filter(|object| object["kind"] == "FailbackPlan") {
        object["spec"]["desiredPhase"] = json!(desired);
    }
    objects
}

async fn until(what: &str, check: impl AsyncFn() -> bool) {
    let began = std::time::Instant::now();
    while !check().await {
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_made_are_the_calls_previewed() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let rehearsal = Rehearsal::start(&Setup::new(SCENARIO, 1200.0)).await.unwrap();
    let client = rehearsal.client().await.unwrap();
    let (stop, controller) = rehearsal.controller().await.unwrap();
    rehearsal.apply(manifests("Assessed")).await.unwrap();
    let plans: Api<FailbackPlan> = Api::default_namespaced(client.clone());
    let items: Api<ReplicatedItem> = Api::default_namespaced(client);
    let ready = async || {
        let plan = plans.get("web").await.unwrap();
        let status = plan.status.unwrap_or_default();
        status.observed_generation == plan.metadata.generation && conditions::is_true(&status.conditions, "Ready")
    };
    until("the plan is assessed", ready).await;
    let placed = async || items.get("web-01").await.unwrap().status.unwrap().phase == ItemPhase::FailedOver;
    until("the machine is placed", placed).await;

    let plan = plans.get("web").await.unwrap();
    let mut spec = plan.spec.clone();
    spec.desired_phase = failback::api::DesiredPhase::Protected;
    let seen = items.list(&Default::default()).await.unwrap();
    let statuses =
        seen.into_iter().map(|item| (item.metadata.name.unwrap(), item.status.unwrap_or_default())).collect();
    let input = preview::PreviewInput {
        uid: plan.metadata.uid.as_deref().unwrap(),
        spec: &spec,
        items: &statuses,
        found: &Default::default(),
        load: None,
        measured: &Default::default(),
        cancelled: &[],
        now: rehearsal.clock.now(),
    };
    let ahead = preview::preview(&input);
    let previewed: Vec<&str> =
        ahead.waves.iter().flat_map(|wave| &wave.machines).flat_map(|m| &m.calls).map(|call| call.path).collect();
    assert_eq!(previewed, ["reProtect", "plannedFailover", "failoverCommit", "reProtect"]);

    rehearsal.apply(manifests("Protected")).await.unwrap();
    until("the plan is done", ready).await;
    let calls = rehearsal.site.calls();
    let made: Vec<String> = calls
        .into_iter()
        .filter(|call| call.path.contains("replicationProtectedItems"))
        .map(|call| call.verb)
        .collect();
    assert_eq!(made, previewed);

    let item = items.get("web-01").await.unwrap().status.unwrap();
    let steps: Vec<&str> = item.timings.iter().rev().map(|timing| timing.verb.as_str()).collect();
    assert_eq!(steps, ["Reprotect", "SyncToVMware", "FailBack", "Commit", "Protect", "SyncToAzure"]);
    assert!(item.timings.iter().all(|timing| timing.seconds > 0), "{:#?}", item.timings);
    let plan = plans.get("web").await.unwrap().status.unwrap();
    let promised = plan.preview.unwrap();
    assert_eq!(promised.calls.iter().map(|call| call.count).sum::<i32>(), 4, "kept as it was at the start");
    assert_eq!(plan.estimated_completion, None, "nothing moves any more");
    stop.cancel();
    controller.await.unwrap();
    rehearsal.end().await;
}
