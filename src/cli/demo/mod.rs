//! `failback demo`: a simulated site, an embedded API server and the controller, on loopback, in one process.

mod consent;
mod report;
mod view;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use super::{Failed, controller::stop_signal, kubectl::desired_phase};
use crate::{
    api::DesiredPhase,
    ports::SharedClock,
    rehearsal::{Rehearsal, Setup, documents},
};

const MANIFESTS: [&str; 3] = [
    include_str!("../../../examples/three-tier/connections.yaml"),
    include_str!("../../../examples/three-tier/machines.yaml"),
    include_str!("../../../examples/three-tier/plan.yaml"),
];
const SCENARIO: &str = include_str!("../../../examples/scenarios/three-tier.yaml");

/// Flags.
#[derive(Clone, Debug, Args)]
pub(super) struct Flags {
    /// Keep everything running after the plan has ended, for kubectl.
    #[arg(long)]
    serve: bool,
    /// Simulated seconds in one second.
    #[arg(long, default_value_t = 600.0, value_parser = speed)]
    speed: f64,
    /// Seed of the simulated site.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the simulated site holds; by default six machines of a three-tier application.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Directory with the manifests to apply; by default those of examples/three-tier.
    #[arg(long)]
    manifests: Option<PathBuf>,
    /// How far the plans go, instead of what the manifests say: Assessed, Reprotected, FailedBack, Committed or
    /// Protected.
    #[arg(long, value_parser = desired_phase)]
    desired_phase: Option<DesiredPhase>,
    /// Give the approvals that plans ask for, after showing how a person does; by default only for the demo's own plan.
    #[arg(long)]
    approve: Option<bool>,
    /// Port of the embedded API server; by default any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the simulated site; by default any.
    #[arg(long, default_value_t = 0)]
    site_port: u16,
    /// Where to write the kubeconfig; by default a file in the directory for temporary files.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Keep the objects in this file: a later run with the same file goes on with them.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Which logs are written to standard error, such as `info` or `failback=debug`.
    #[arg(long, env = "FAILBACK_LOG", default_value = "warn")]
    log: String,
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|speed| speed.is_finite() && (1.0..=100_000.0).contains(speed))
        .ok_or_else(|| "a number from 1 to 100000".to_owned())
}

pub(super) async fn run(flags: Flags) -> Result<(), Failed> {
    crate::observability::logging::init(crate::config::LogFormat::Text, &flags.log, None)?;
    let began = Instant::now();
    let rehearsal = Rehearsal::start(&setup(&flags)?).await?;
    let kubeconfig = write_kubeconfig(&flags, &rehearsal)?;
    let (stop, controller) = rehearsal.controller().await?;
    greet(&flags, &rehearsal, &kubeconfig);
    rehearsal.apply(manifests(&flags)?).await?;

    let gives = flags.approve.unwrap_or(flags.manifests.is_none());
    let client = rehearsal.client().await?;
    let consent = consent::Consent::new(client.clone(), SharedClock::clone(&rehearsal.clock), gives);
    let done = tokio::select! {
        done = view::until_ready(client, &rehearsal.clock, consent) => done,
        () = tokio::time::sleep(Duration::from_secs(flags.timeout)), if !flags.serve => Err(Failed::because(format!(
            "the plan is not ready after {} s; `kubectl describe fbp,rpi` tells what it waits for",
            flags.timeout
        ))),
        () = stop_signal() => Err(Failed::because("interrupted")),
    };
    if done.is_ok() {
        report::print(&rehearsal, began.elapsed()).await?;
        if flags.serve {
            println!();
            println!("Still serving; stop with Ctrl-C. What the site received: {}/_world", rehearsal.site_url);
            stop_signal().await;
        }
    }
    stop.cancel();
    if tokio::time::timeout(Duration::from_secs(5), controller).await.is_err() {
        tracing::warn!("the controller did not end within 5 s");
    }
    rehearsal.end().await;
    done
}

fn setup(flags: &Flags) -> Result<Setup, Failed> {
    let scenario = flags.scenario.as_deref().map_or_else(|| Ok(SCENARIO.to_owned()), read)?;
    Ok(Setup {
        seed: flags.seed,
        port: flags.port,
        site_port: flags.site_port,
        state_file: flags.state.clone(),
        ..Setup::new(scenario, flags.speed)
    })
}

fn greet(flags: &Flags, rehearsal: &Rehearsal, kubeconfig: &Path) {
    println!("A simulated site (Azure and vCenter) is at {}.", rehearsal.site_url);
    println!("Its clock runs {} times as fast as yours.", flags.speed);
    println!("Look at the objects from another terminal:");
    println!("  export KUBECONFIG={}", kubeconfig.display());
    println!("  kubectl get fbp,rpi,mt,rvault,vc");
    println!();
}

fn write_kubeconfig(flags: &Flags, rehearsal: &Rehearsal) -> Result<PathBuf, Failed> {
    let name = format!("failback-demo-{}.kubeconfig", rehearsal.api_address.port());
    let path = flags.kubeconfig.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    std::fs::write(&path, rehearsal.kubeconfig())
        .map_err(|error| Failed::because(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

fn read(path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path)
        .map_err(|error| Failed::because(format!("{} cannot be read: {error}", path.display())))
}

/// The manifests to apply, with the desired phase of the command line.
fn manifests(flags: &Flags) -> Result<Vec<Value>, Failed> {
    let texts = match &flags.manifests {
        None => MANIFESTS.map(ToOwned::to_owned).to_vec(),
        Some(dir) => {
            let entries = std::fs::read_dir(dir)
                .map_err(|error| Failed::because(format!("{} cannot be read: {error}", dir.display())))?;
            let mut paths: Vec<PathBuf> = entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
                .collect();
            paths.sort();
            paths.iter().map(|path| read(path)).collect::<Result<_, _>>()?
        }
    };
    let mut objects = Vec::new();
    for text in &texts {
        objects.extend(documents(text)?);
    }
    if let Some(desired) = flags.desired_phase {
        for object in objects.iter_mut().filter(|object| object.get("kind") == Some(&json!("FailbackPlan"))) {
            if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
                spec.insert("desiredPhase".to_owned(), json!(desired));
            }
        }
    }
    Ok(objects)
}
