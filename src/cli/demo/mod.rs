//! `failback demo`: a simulated site, an embedded API server and the controller, on loopback, in one process.

mod place;
mod report;
mod view;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use kube::{Api, api::ListParams};
use tokio_util::sync::CancellationToken;

use super::Failed;
use crate::api::{DesiredPhase, FailbackPlan};
use place::Place;

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
    /// What the simulated site holds; by default one machine.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Directory with the manifests to apply; by default those of examples/one-machine.
    #[arg(long)]
    manifests: Option<PathBuf>,
    /// How far the plans go, instead of what the manifests say.
    #[arg(long, value_enum)]
    desired_phase: Option<Phase>,
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

/// [`DesiredPhase`] on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Phase {
    Assessed,
    Reprotected,
    FailedBack,
    Committed,
    Protected,
}

impl From<Phase> for DesiredPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Assessed => Self::Assessed,
            Phase::Reprotected => Self::Reprotected,
            Phase::FailedBack => Self::FailedBack,
            Phase::Committed => Self::Committed,
            Phase::Protected => Self::Protected,
        }
    }
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|speed| speed.is_finite() && (1.0..=100_000.0).contains(speed))
        .ok_or_else(|| "a number from 1 to 100000".to_owned())
}

pub(super) async fn run(flags: Flags) -> Result<(), Failed> {
    crate::observability::logging::init(crate::config::LogFormat::Text, &flags.log)?;
    let began = Instant::now();
    let stop = CancellationToken::new();
    let place = Place::start(&flags, &stop).await?;
    place.greet();
    let plans: Api<FailbackPlan> = Api::all(place.client());
    let names: Vec<String> = plans.list(&ListParams::default()).await?.into_iter().filter_map(|p| p.metadata.name).collect();

    let deadline = Duration::from_secs(flags.timeout);
    let done = tokio::select! {
        done = view::until_ready(place.client(), place.clock()) => done,
        () = tokio::time::sleep(deadline) => Err(Failed::because(format!(
            "the plans {} are not ready after {} s; `kubectl describe fbp,rpi` tells what they wait for",
            names.join(", "),
            flags.timeout
        ))),
        () = interrupted() => Err(Failed::because("interrupted")),
    };
    if done.is_ok() {
        report::print(&place, began.elapsed()).await?;
        if flags.serve {
            place.keep_serving();
            interrupted().await;
        }
    }
    stop.cancel();
    place.end().await;
    done
}

/// Ctrl-C, or SIGTERM.
pub(super) async fn interrupted() {
    super::controller::stop_signal().await;
}

/// What the whole process is asked to keep: see [`Place`].
type Shared<T> = Arc<T>;
