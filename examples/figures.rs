//! The figures of the README: `cargo run --release --example figures`.
//!
//! Starts the release binary's controller as a process of its own beside a simulated site and an embedded API server,
//! and reads what it uses from `/proc`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that fails says where")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use failback::{
    api::{DesiredPhase, FailbackPlan, ReplicatedItem},
    core::conditions,
    rehearsal::{Rehearsal, Setup, documents},
};
use kube::Api;
use serde_json::{Value, json};

const SCENARIO: &str = include_str!("scenarios/one-machine.yaml");
const MANIFESTS: [&str; 3] = [
    include_str!("one-machine/connections.yaml"),
    include_str!("one-machine/machine.yaml"),
    include_str!("one-machine/plan.yaml"),
];

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let binary = build();
    println!("controller alone, release: {:.1} MB", std::fs::metadata(&binary).unwrap().len() as f64 / 1e6);
    one_machine().await;
    at_rest(&binary, 100).await;
}

/// The controller without simulators, as it is in an image.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let alone = target.join("controller-alone");
    let began = Instant::now();
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--no-default-features", "--features", "operator"])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &alone)
        .status()
        .unwrap();
    assert!(built.success());
    println!("release build of the controller alone: {:.0} s", began.elapsed().as_secs_f64());
    alone.join("release/failback")
}

fn manifests() -> Vec<Value> {
    MANIFESTS.iter().flat_map(|text| documents(text).unwrap()).collect()
}

/// One machine at speed 600: the whole way, and how soon the first call comes.
async fn one_machine() {
    let rehearsal = Rehearsal::start(&Setup::new(SCENARIO, 600.0)).await.unwrap();
    let (stop, controller) = rehearsal.controller().await.unwrap();
    let began = Instant::now();
    rehearsal.apply(manifests()).await.unwrap();
    let mut first = None;
    let plans: Api<FailbackPlan> = Api::default_namespaced(rehearsal.client().await.unwrap());
    loop {
        if first.is_none() && !rehearsal.site.calls().is_empty() {
            first = Some(began.elapsed());
        }
        let status = plans.get("web").await.unwrap().status.unwrap_or_default();
        if conditions::is_true(&status.conditions, "Ready") && status.phase == DesiredPhase::Protected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("one machine at speed 600, home and protected again: {:.1} s", began.elapsed().as_secs_f64());
    println!("from apply to the first mutating call: {:.2} s", first.unwrap().as_secs_f64());
    stop.cancel();
    controller.await.unwrap();
    rehearsal.end().await;
}

/// Many observed machines, real speed, nothing to do.
async fn at_rest(binary: &Path, count: usize) {
    let scenario = SCENARIO.replace("  - name: web-01", &format!("  - name: web\n    count: {count}"));
    let rehearsal = Rehearsal::start(&Setup::new(scenario, 1.0)).await.unwrap();
    let names = machine_names(&rehearsal);
    assert_eq!(names.len(), count);
    let mut objects = manifests();
    let item = objects.iter().find(|object| object["kind"] == "ReplicatedItem").unwrap().clone();
    objects.retain(|object| object["kind"] != "ReplicatedItem");
    for name in &names {
        let mut item = item.clone();
        item["metadata"]["name"] = json!(name);
        item["spec"]["machine"] = json!(name);
        objects.push(item);
    }
    let plan = objects.iter_mut().find(|object| object["kind"] == "FailbackPlan").unwrap();
    plan["spec"]["desiredPhase"] = json!("Assessed");
    plan["spec"]["waves"][0]["items"] = json!(names);
    rehearsal.apply(objects).await.unwrap();
    let kubeconfig = std::env::temp_dir().join(format!("failback-figures-{}.kubeconfig", rehearsal.api_address.port()));
    std::fs::write(&kubeconfig, rehearsal.kubeconfig()).unwrap();
    let mut controller = Process(start(binary, &kubeconfig));

    let items: Api<ReplicatedItem> = Api::default_namespaced(rehearsal.client().await.unwrap());
    let began = Instant::now();
    loop {
        let seen = items.list(&Default::default()).await.unwrap();
        let placed = seen.iter().filter(|item| {
            item.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, "PreflightPassed"))
        });
        if placed.count() == count {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "not all machines were observed within a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{count} machines observed {:.1} s after the controller's start", began.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = cpu_seconds(controller.0.id());
    let span = Duration::from_secs(120);
    tokio::time::sleep(span).await;
    let used = cpu_seconds(controller.0.id()) - before;
    println!(
        "at rest with {count} machines: {:.2} % of a core, {:.0} MB resident",
        100.0 * used / span.as_secs_f64(),
        resident_bytes(controller.0.id()) / 1e6
    );
    controller.0.kill().unwrap();
    controller.0.wait().unwrap();
    std::fs::remove_file(kubeconfig).unwrap();
    rehearsal.end().await;
}

fn machine_names(rehearsal: &Rehearsal) -> Vec<String> {
    let world = rehearsal.site.snapshot();
    let machines = world["machines"].as_array().unwrap();
    machines.iter().map(|machine| machine["name"].as_str().unwrap().to_owned()).collect()
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone, or gone now.
        drop(self.0.kill());
    }
}

fn start(binary: &Path, kubeconfig: &Path) -> Child {
    Command::new(binary)
        .args([
            "controller",
            "--listen",
            "127.0.0.1:0",
            "--log",
            "warn",
            "--lease-namespace",
            "default",
            "--kubeconfig",
        ])
        .arg(kubeconfig)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// User and system time, from /proc/PID/stat in ticks of 10 ms.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_bytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}
