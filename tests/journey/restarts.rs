//! The real binary, killed in the middle of each phase and started again: it goes on, and nothing is repeated.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use failback::{
    api::ItemPhase,
    rehearsal::{Rehearsal, Setup},
};

use crate::stage::{SCENARIO, Stage, install_tls, manifests};

const SPEED: f64 = 300.0;
const WALL: Duration = Duration::from_secs(60);

/// A controller in a process of its own, on the site's clock.
struct Controller(Child);

impl Controller {
    fn start(rehearsal: &Rehearsal, kubeconfig: &Path) -> Self {
        let clock = format!("{}={}@{SPEED}", jiff::Timestamp::now(), rehearsal.site.now());
        let child = Command::new(env!("CARGO_BIN_EXE_failback"))
            .args(["controller", "--listen", "127.0.0.1:0", "--log", "warn", "--instance", "one"])
            .args(["--lease-namespace", "default", "--lease-seconds", "3", "--clock", &clock, "--kubeconfig"])
            .arg(kubeconfig)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL: nothing is said goodbye to.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // A test that failed leaves no process behind; killing one that is gone is no matter.
        drop(self.0.kill());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_each_phase_it_goes_on_and_repeats_nothing() {
    install_tls();
    let rehearsal = Rehearsal::start(&Setup::new(SCENARIO, SPEED)).await.unwrap();
    rehearsal.apply(manifests(|_| ())).await.unwrap();
    let kubeconfig =
        std::env::temp_dir().join(format!("failback-restarts-{}.kubeconfig", rehearsal.api_address.port()));
    std::fs::write(&kubeconfig, rehearsal.kubeconfig()).unwrap();
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
        let controller = Controller::start(&stage.rehearsal, &kubeconfig);
        stage
            .until(WALL, &format!("{phase:?}"), || async {
                let item = stage.items().get("web-01").await.unwrap();
                item.status.is_some_and(|status| status.phase >= phase)
            })
            .await;
        let status = stage.items().get("web-01").await.unwrap().status.unwrap();
        seen.push(status.phase);
        controller.kill();
        // Some simulated minutes without anybody.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let controller = Controller::start(&stage.rehearsal, &kubeconfig);
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCommit", "reProtect"], "killed at {seen:?}");
    assert!(!stage.both_ran());
    controller.kill();
    std::fs::remove_file(kubeconfig).unwrap();
    stage.end().await;
}
