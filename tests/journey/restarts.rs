//! The real binary, killed in the middle of each phase and started again: it goes on, and nothing is repeated.

use std::time::Duration;

use failback::{
    api::{DesiredPhase, ItemPhase, MasterTarget, RecoveryVault, ReplicatedItem, VCenter},
    core::conditions,
    rehearsal::{Rehearsal, Setup},
};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    process::{Controller, Kubeconfig},
    stage::{SCENARIO, Stage, install_tls, manifests},
};

const SPEED: f64 = 300.0;
const WALL: Duration = Duration::from_secs(60);

/// The controller in a process of its own, on the site's clock.
fn start(rehearsal: &Rehearsal, kubeconfig: &Kubeconfig) -> Controller {
    let clock = format!("{}={}@{SPEED}", jiff::Timestamp::now(), rehearsal.site.now());
    Controller::on(kubeconfig, &clock, "one", 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_each_phase_it_goes_on_and_repeats_nothing() {
    install_tls();
    let rehearsal = Rehearsal::start(&Setup::new(SCENARIO, SPEED)).await.unwrap();
    rehearsal.apply(manifests(|_| ())).await.unwrap();
    let kubeconfig = Kubeconfig::of(rehearsal.api_address.port(), &rehearsal.kubeconfig());
    let stage = Stage::without_controller(rehearsal).await;

    let mut seen = Vec::new();
    for phase in [
        ItemPhase::FailedOver,
        ItemPhase::Reprotecting,
        ItemPhase::FailingBack,
        ItemPhase::FailedBack,
        ItemPhase::Committing,
        ItemPhase::Protecting,
    ] {
        let controller = start(&stage.rehearsal, &kubeconfig);
        stage
            .until(WALL, &format!("{phase:?}"), || async {
                let item = stage.items().get("web-01").await.unwrap();
                item.status.is_some_and(|status| status.phase >= phase)
            })
            .await;
        let status = stage.items().get("web-01").await.unwrap().status.unwrap();
        seen.push(status.phase);
        drop(controller);
        // Some simulated minutes without anybody.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let controller = start(&stage.rehearsal, &kubeconfig);
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCommit", "reProtect"], "killed at {seen:?}");
    assert!(!stage.both_ran());
    drop(controller);
    stage.end().await;
}

/// Kind, name and conditions of every object that looks outside, and how often each event was told.
async fn told(stage: &Stage) -> (Vec<(String, Value)>, Vec<(String, String, i32)>) {
    let mut conditions = Vec::new();
    let mut take = |kind: &str, status: Value| conditions.push((kind.to_owned(), status["conditions"].clone()));
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    let vcenters: Api<VCenter> = Api::default_namespaced(stage.client.clone());
    let targets: Api<MasterTarget> = Api::default_namespaced(stage.client.clone());
    let items: Api<ReplicatedItem> = stage.items();
    vaults.list(&Default::default()).await.unwrap().into_iter().for_each(|o| take("vault", json!(o.status)));
    vcenters.list(&Default::default()).await.unwrap().into_iter().for_each(|o| take("vcenter", json!(o.status)));
    targets.list(&Default::default()).await.unwrap().into_iter().for_each(|o| take("target", json!(o.status)));
    items.list(&Default::default()).await.unwrap().into_iter().for_each(|o| take("item", json!(o.status)));
    let events: Api<Event> = Api::default_namespaced(stage.client.clone());
    let events = events.list(&Default::default()).await.unwrap().into_iter();
    let mut events: Vec<_> = events
        .map(|event| {
            let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
            (event.involved_object.name.unwrap_or_default(), event.reason.unwrap_or_default(), count)
        })
        .collect();
    events.sort();
    (conditions, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_moves_no_time_and_tells_nothing_again() {
    let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let mut stage = Stage::with(SPEED, |object| {
        if object["kind"] == "ReplicatedItem" {
            let tcp = json!({ "host": "127.0.0.1", "port": port });
            let probe = json!({ "name": "https", "tcp": tcp, "intervalSeconds": 300, "successThreshold": 3 });
            object["spec"]["verification"] = json!({ "probes": [probe] });
        }
        if object["kind"] == "FailbackPlan" {
            // Verified, with the whole soak before it.
            object["spec"]["desiredPhase"] = json!("Protected");
            object["spec"]["commit"] = json!({ "policy": "Verified", "soakSeconds": 7200 });
        }
    })
    .await;
    stage
        .until(WALL, "the soak has begun", || async {
            let status = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
            let ready = conditions::find(&status.conditions, "Ready").map(|ready| ready.reason.clone());
            conditions::is_true(&status.conditions, "Verified") && ready.as_deref() == Some("WaitingForSoak")
        })
        .await;
    // The last events are on their way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = told(&stage).await;
    let gone = stage.rehearsal.api.record().len();
    for _ in 0..2 {
        stage.restart_controller().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let after = told(&stage).await;
    assert_eq!(before.1, after.1, "no event is told again");
    assert_eq!(before.0, after.0, "no condition changes");
    let writes: Vec<_> = stage.rehearsal.api.record().into_iter().skip(gone).collect();
    let writes: Vec<_> = writes.into_iter().filter(|write| write.subresource == "status").collect();
    assert!(writes.is_empty(), "{writes:?}");

    stage.plan_ready(WALL).await;
    let verified = |(_, conditions): &(String, Value)| {
        conditions.as_array().unwrap().iter().find(|c| c["type"] == "Verified").cloned()
    };
    let began = before.0.iter().find_map(verified).unwrap();
    let committed = stage.rehearsal.site.calls().into_iter().find(|call| call.verb == "failoverCommit").unwrap();
    let soaked = committed.at - began["lastTransitionTime"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let soaked = soaked.total(jiff::Unit::Second).unwrap();
    assert!((7200.0..9000.0).contains(&soaked), "the soak counts from when it began: {soaked}");
    drop(service);
    stage.end().await;
}

/// What is declared beside the way to a vault is no other vault.
#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_edited_otherwise_is_not_read_anew() {
    let stage = Stage::up_to(DesiredPhase::FailedBack, SPEED).await;
    stage.plan_ready(WALL).await;
    let verified = || async {
        let status = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
        conditions::is_true(&status.conditions, "Verified") && conditions::is_true(&status.conditions, "Ready")
    };
    stage.until(WALL, "it is verified", verified).await;
    let (before, _) = told(&stage).await;
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    let spec = json!({ "pollIntervalSeconds": 600, "configurationServerBackedUpAt": "2026-01-01T00:00:00Z" });
    vaults
        .patch("recovery-vault", &Default::default(), &kube::api::Patch::Merge(json!({ "spec": spec })))
        .await
        .unwrap();
    stage
        .until(WALL, "the vault's new generation is told", || async {
            let vault = vaults.get("recovery-vault").await.unwrap();
            vault.status.unwrap_or_default().observed_generation == vault.metadata.generation
        })
        .await;
    let status = vaults.get("recovery-vault").await.unwrap().status.unwrap();
    assert!(conditions::is_true(&status.conditions, "Ready"), "{:?}", status.conditions);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let items = |told: Vec<(String, Value)>| told.into_iter().filter(|(kind, _)| kind == "item").collect::<Vec<_>>();
    assert_eq!(items(before), items(told(&stage).await.0));
    stage.end().await;
}
