//! A missing permission is a condition, a count and a log line; the controller goes on with the rest.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use failback::{
    api::RecoveryVault,
    core::conditions,
    ports::{Remote, Standing, Tally},
    rehearsal::Variant,
};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use sim_apiserver::{Effect, Fault, Match};

use crate::stage::{SCENARIO, Stage, manifests};

const WALL: Duration = Duration::from_secs(30);

/// Remembers how passes ended.
#[derive(Default)]
struct Outcomes(Mutex<Vec<(&'static str, &'static str)>>, Mutex<Standing>);

impl Tally for Outcomes {
    fn reconciled(&self, kind: &'static str, outcome: &'static str) {
        self.0.lock().unwrap().push((kind, outcome));
    }
    fn operated(&self, _: &'static str, _: &'static str) {}
    fn standing(&self, standing: &Standing) {
        *self.1.lock().unwrap() = standing.clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_must_not_be_written_is_counted_and_holds_up_nobody_else() {
    let outcomes = Arc::new(Outcomes::default());
    let stage = Stage::without(SCENARIO, 600.0, manifests(|_| ())).await;
    let on = Match {
        verb: Some("patch".to_owned()),
        resource: Some("recoveryvaults".to_owned()),
        subresource: Some("status".to_owned()),
        ..Match::default()
    };
    stage.rehearsal.api.faults().inject(Fault { on, effect: Effect::Refuse(403), times: None });
    let tally = Arc::clone(&outcomes) as Arc<dyn Tally>;
    let stage = stage.begin(Variant { tally, ..Variant::default() });
    stage.plan_ready(Duration::from_secs(60)).await;
    assert!(outcomes.0.lock().unwrap().contains(&("RecoveryVault", "forbidden")));

    stage.rehearsal.api.faults().clear();
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    stage
        .until(WALL * 5, "the vault's status is written once it may be", || async {
            let status = vaults.get("recovery-vault").await.unwrap().status.unwrap_or_default();
            conditions::is_true(&status.conditions, "Ready")
        })
        .await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_must_not_be_written_hold_up_nothing() {
    let stage = Stage::without(SCENARIO, 1200.0, manifests(|_| ())).await;
    let on = Match { resource: Some("events".to_owned()), ..Match::default() };
    stage.rehearsal.api.faults().inject(Fault { on, effect: Effect::Refuse(403), times: None });
    let stage = stage.begin(Variant::default());
    stage.plan_ready(Duration::from_secs(60)).await;
    assert_eq!(stage.verbs().len(), 4);
    stage.end().await;
}

fn on_secrets(effect: Effect) -> Fault {
    let on = Match { verb: Some("get".to_owned()), resource: Some("secrets".to_owned()), ..Match::default() };
    Fault { on, effect, times: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_read_for_a_moment_is_not_missing() {
    let stage = Stage::without(SCENARIO, 1200.0, manifests(|_| ())).await.begin(Variant::default());
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    let conditions = async || vaults.get("recovery-vault").await.unwrap().status.unwrap_or_default().conditions;
    stage.until(WALL, "the vault is ready", async || conditions::is_true(&conditions().await, "Ready")).await;
    let before = conditions().await;
    stage.rehearsal.api.faults().inject(on_secrets(Effect::Refuse(500)));
    stage.rehearsal.api.clear_record();
    let tried = || stage.rehearsal.api.record().iter().filter(|request| request.resource == "secrets").count();
    stage.until(WALL, "its Secret is read again", async || tried() > 3).await;
    assert_eq!(conditions().await, before, "nothing is told of the vault");
    let events: Api<Event> = Api::default_namespaced(stage.client.clone());
    let events = events.list(&Default::default()).await.unwrap();
    assert!(events.iter().all(|event| event.reason.as_deref() != Some("ConnectionFailed")), "{events:?}");

    stage.rehearsal.api.faults().clear();
    stage.rehearsal.api.faults().inject(on_secrets(Effect::Refuse(403)));
    let told = || async {
        let ready = conditions::find(&conditions().await, "Ready").cloned()?;
        (ready.reason == "SecretNotFound").then_some(ready)
    };
    let ready = stage.condition(WALL, "the missing right is told", told).await;
    assert!(ready.message.contains("secretNamespaces"), "{}", ready.message);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_goes_while_its_secret_is_read_is_not_read_for_ever() {
    let outcomes = Arc::new(Outcomes::default());
    let mut objects = manifests(|_| ());
    objects.retain(|object| matches!(object["kind"].as_str(), Some("RecoveryVault" | "Secret")));
    let stage = Stage::without(SCENARIO, 600.0, objects).await;
    stage.rehearsal.api.faults().inject(on_secrets(Effect::Latency(Duration::from_secs(2))));
    stage.rehearsal.api.clear_record();
    let tally = Arc::clone(&outcomes) as Arc<dyn Tally>;
    let stage = stage.begin(Variant { tally, ..Variant::default() });
    let reads = || stage.rehearsal.api.record().iter().any(|request| request.resource == "secrets");
    stage.until(WALL, "its Secret is being read", async || reads()).await;
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    vaults.delete("recovery-vault", &Default::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let readings = outcomes.1.lock().unwrap().readings.clone();
    assert!(readings.iter().all(|reading| reading.remote != Remote::Arm), "{readings:?}");
    stage.end().await;
}
