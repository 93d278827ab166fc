//! A missing permission is a condition, a count and a log line; the controller goes on with the rest.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use failback::{
    api::RecoveryVault,
    core::conditions,
    ports::{Standing, Tally},
    rehearsal::Variant,
};
use kube::Api;
use sim_apiserver::{Effect, Fault, Match};

use crate::stage::{SCENARIO, Stage, manifests};

const WALL: Duration = Duration::from_secs(30);

/// Remembers how passes ended.
#[derive(Default)]
struct Outcomes(Mutex<Vec<(&'static str, &'static str)>>);

impl Tally for Outcomes {
    fn reconciled(&self, kind: &'static str, outcome: &'static str) {
        self.0.lock().unwrap().push((kind, outcome));
    }
    fn operated(&self, _: &'static str, _: &'static str) {}
    fn standing(&self, _: &Standing) {}
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
