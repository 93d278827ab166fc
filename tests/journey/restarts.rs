//! The real binary, killed in the middle of each phase and started again: it goes on, and nothing is repeated.

use std::time::Duration;

use failback::{
    api::ItemPhase,
    rehearsal::{Rehearsal, Setup},
};

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
