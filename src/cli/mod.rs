//! What was typed: one file per subcommand.

pub mod clock;
pub mod connect;
mod controller;
mod crds;
#[cfg(feature = "demo")]
mod demo;
mod kubectl;
#[cfg(feature = "demo")]
mod sim;
mod traces;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Brings virtual machines that were failed over to Azure home to VMware.
#[derive(Debug, Parser)]
#[command(name = "failback", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller, in a cluster or against the current kubeconfig.
    Controller(Box<crate::config::ControllerFlags>),
    /// Print the CustomResourceDefinitions, or write them to a directory.
    Crds(crds::Flags),
    /// Bring a machine home in a simulated site, with no cluster and no cloud account.
    #[cfg(feature = "demo")]
    Demo(demo::Flags),
    /// Serve a simulated site: Azure Site Recovery and vCenter as one world.
    #[cfg(feature = "demo")]
    Sim(sim::Flags),
    /// View, approve and control plans: what `kubectl failback` runs.
    Kubectl(kubectl::Flags),
}

/// A command that failed, in a sentence for the person who typed it.
#[derive(Debug)]
pub struct Failed(String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text.push_str(&format!(": {cause_text}"));
            }
            source = cause.source();
        }
        Self(text)
    }
}

impl Failed {
    /// A failure in a sentence.
    pub(crate) fn because(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Parses the command line and runs what it says.
pub fn main() -> ExitCode {
    let command = if is_plugin() { Command::Kubectl(kubectl::Program::parse().flags) } else { Cli::parse().command };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("failback: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match command {
            Command::Controller(flags) => controller::run(*flags).await,
            Command::Crds(flags) => crds::run(&flags),
            #[cfg(feature = "demo")]
            Command::Demo(flags) => demo::run(flags).await,
            #[cfg(feature = "demo")]
            Command::Sim(flags) => sim::run(flags).await,
            Command::Kubectl(flags) => return Ok(kubectl::run(flags).await),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    // Whatever still waits on a thread must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match done {
        Ok(code) => code,
        Err(Failed(text)) => {
            eprintln!("failback: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the binary was started under the name by which kubectl finds a plugin.
fn is_plugin() -> bool {
    let started_as = std::env::args_os().next().map(std::path::PathBuf::from);
    started_as.as_deref().and_then(std::path::Path::file_stem).is_some_and(|name| name == kubectl::PROGRAM)
}
