//! The real binary is killed before and after every single call that changes something, one run per point, and started
//! again. Each time the machine comes home, and every verb took effect exactly once.
//!
//! `FAILBACK_LONG=1` takes every point; by default every mutating call of site recovery is taken on both sides, and of
//! the writes to our own objects every fifth. The matrix is printed (`cargo nextest run --test crash --no-capture`).

#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected shall fail, and kills real processes on the wall's clock"
)]

mod gate;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use failback::{
    api::FailbackPlan,
    core::conditions,
    rehearsal::{Rehearsal, Setup, documents, pointed_at_site},
};
use futures::{StreamExt, stream};
use kube::Api;
use serde_json::{Value, json};

use self::gate::{Gate, Point, Side};

const SPEED: f64 = 1200.0;
const WALL: Duration = Duration::from_secs(90);
/// Runs side by side: they mostly wait.
const RUNS: usize = 4;

const SCENARIO: &str = include_str!("../../examples/scenarios/one-machine.yaml");
const MANIFESTS: [&str; 3] = [
    include_str!("../../examples/one-machine/connections.yaml"),
    include_str!("../../examples/one-machine/machine.yaml"),
    include_str!("../../examples/one-machine/plan.yaml"),
];

/// Servers, gate and manifests of one run.
struct World {
    rehearsal: Rehearsal,
    gate: Gate,
    kubeconfig: PathBuf,
}

impl World {
    async fn new() -> Self {
        let rehearsal = Rehearsal::start(&Setup::new(SCENARIO, SPEED)).await.unwrap();
        let gate = Gate::before(&rehearsal).await;
        for manifest in MANIFESTS.iter().flat_map(|text| documents(text).unwrap()) {
            // The vault is reached through the gate; vCenter is only ever read, and reached directly.
            let through = if manifest["kind"] == "RecoveryVault" { &gate.site } else { &rehearsal.site_url };
            rehearsal.api.apply(pointed_at_site(manifest, through)).await.unwrap();
        }
        let kubeconfig = std::env::temp_dir().join(format!("failback-crash-{}.kubeconfig", gate.api.port()));
        std::fs::write(&kubeconfig, sim_apiserver::ApiServer::kubeconfig(gate.api)).unwrap();
        Self { rehearsal, gate, kubeconfig }
    }

    fn controller(&self) -> Controller {
        let clock = format!("{}={}@{SPEED}", jiff::Timestamp::now(), self.rehearsal.site.now());
        let child = Command::new(env!("CARGO_BIN_EXE_failback"))
            .args(["controller", "--listen", "127.0.0.1:0", "--log", "error", "--instance", "one"])
            .args(["--lease-namespace", "default", "--lease-seconds", "3", "--clock", &clock, "--kubeconfig"])
            .arg(&self.kubeconfig)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Controller(child)
    }

    /// Why the world is not as it should be at the end; `None` when it is.
    async fn until_home(&self) -> Result<(), String> {
        let plans: Api<FailbackPlan> = Api::default_namespaced(self.rehearsal.client().await.unwrap());
        let began = Instant::now();
        loop {
            let status = plans.get("web").await.unwrap().status.unwrap_or_default();
            if conditions::is_true(&status.conditions, "Ready") {
                return self.verdict();
            }
            if began.elapsed() > WALL {
                return Err(format!("not home within {WALL:?}: {:?}", status.conditions));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the site itself says of it.
    fn verdict(&self) -> Result<(), String> {
        let calls = self.rehearsal.site.calls();
        let verbs: Vec<_> = calls
            .iter()
            .filter(|call| call.path.contains("replicationProtectedItems"))
            .map(|call| call.verb.as_str())
            .collect();
        if verbs != ["reProtect", "plannedFailover", "failoverCommit", "reProtect"] {
            return Err(format!("the verbs were {verbs:?}"));
        }
        let machine = &self.rehearsal.site.snapshot()["machines"][0];
        if machine["bothRunningEver"] != json!(false) {
            return Err("both copies ran".to_owned());
        }
        Ok(())
    }

    async fn end(self) {
        std::fs::remove_file(&self.kubeconfig).unwrap();
        self.rehearsal.end().await;
    }
}

/// The controller in a process of its own.
struct Controller(Child);

impl Drop for Controller {
    /// SIGKILL: nothing is said goodbye to.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The points of an undisturbed run.
async fn points() -> Vec<Point> {
    let world = World::new().await;
    let controller = world.controller();
    world.until_home().await.unwrap();
    drop(controller);
    let points = world.gate.points();
    world.end().await;
    points
}

/// One run: killed at the point, started again, and what came of it. `Ok(false)`: the point was not met in this run,
/// since the number of status writes varies.
async fn killed_at(point: &Point, side: Side) -> Result<bool, String> {
    let world = World::new().await;
    world.gate.arm(point.clone(), side);
    let controller = world.controller();
    let met = tokio::select! {
        () = world.gate.struck() => true,
        home = world.until_home() => { home?; false }
    };
    drop(controller);
    let second = world.controller();
    let home = world.until_home().await;
    drop(second);
    world.end().await;
    home.map(|()| met)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_call_it_goes_on_and_repeats_nothing() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let all = points().await;
    let verbs = all.iter().filter(|(call, _)| call.starts_with("POST ")).count();
    assert_eq!(verbs, 4, "{all:?}");
    let long = std::env::var_os("FAILBACK_LONG").is_some();
    let taken: Vec<Point> = all
        .iter()
        .enumerate()
        .filter(|(at, (call, _))| long || call.starts_with("POST ") || at % 5 == 0)
        .map(|(_, point)| point.clone())
        .collect();
    let runs = taken.iter().flat_map(|point| [(point, Side::Before), (point, Side::After)]);
    let results: Vec<(String, Result<bool, String>)> = stream::iter(runs)
        .map(|(point, side)| async move {
            let name = format!("{side:?} {} #{}", point.0, point.1 + 1);
            (name, killed_at(point, side).await)
        })
        .buffered(RUNS)
        .collect()
        .await;
    println!("calls that change something in an undisturbed run: {}; taken: {}", all.len(), taken.len());
    let mut met = 0;
    let mut wrong: Vec<Value> = Vec::new();
    for (name, result) in &results {
        let told = match result {
            Ok(true) => {
                met += 1;
                "home, each verb once".to_owned()
            }
            Ok(false) => "not met in this run; home, each verb once".to_owned(),
            Err(why) => {
                wrong.push(json!({ "point": name, "why": why }));
                format!("WRONG: {why}")
            }
        };
        println!("{name:70} {told}");
    }
    println!("{} runs, {met} killed, {} wrong", results.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(met * 10 >= results.len() * 8, "eight of ten points are met again: {met} of {}", results.len());
}
