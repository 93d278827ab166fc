//! `failback sim`: the simulated site alone.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use sim_site::{Fault, Options, Scenario, SelfSigned, Site};
use tokio::net::TcpListener;

use super::{Failed, clock::WallClock, controller::stop_signal};
use crate::ports::Clock;

/// Flags.
#[derive(Clone, Debug, Args)]
pub(super) struct Flags {
    /// Where to listen, on loopback.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Serve TLS with a certificate made at the start; its thumbprint is printed.
    #[arg(long)]
    tls: bool,
    /// What the site holds, as YAML.
    #[arg(long)]
    scenario: PathBuf,
    /// Simulated seconds in one second; 0 stops the clock, to be advanced through /_world.
    #[arg(long, default_value_t = 1.0, value_parser = speed, allow_negative_numbers = true)]
    speed: f64,
    /// Seed of the ids that it makes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults to begin with, as a YAML list; more can be sent to /_world/faults.
    #[arg(long)]
    faults: Option<PathBuf>,
    /// Which logs are written to standard error.
    #[arg(long, env = "FAILBACK_LOG", default_value = "warn")]
    log: String,
}

/// Time does not run backward.
fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed >= 0.0 => Ok(speed),
        Ok(_) => Err("must be a number that is not negative".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) async fn run(flags: Flags) -> Result<(), Failed> {
    crate::observability::logging::init(crate::config::LogFormat::Text, &flags.log, None)?;
    if !flags.listen.ip().is_loopback() {
        return Err(Failed::because(format!(
            "--listen {}: the simulated site has well-known passwords and serves loopback only",
            flags.listen
        )));
    }
    let wrong = |flag: &str, path: &Path, error: &dyn std::fmt::Display| {
        Failed::because(format!("{flag} {}: {error}", path.display()))
    };
    let path = &flags.scenario;
    let text = std::fs::read_to_string(path).map_err(|error| wrong("--scenario", path, &error))?;
    let scenario = Scenario::from_yaml(&text).map_err(|error| wrong("--scenario", path, &error))?;
    let mut faults: Vec<Fault> = Vec::new();
    if let Some(path) = &flags.faults {
        let text = std::fs::read_to_string(path).map_err(|error| wrong("--faults", path, &error))?;
        faults = serde_yaml::from_str(&text).map_err(|error| wrong("--faults", path, &error))?;
    }
    let started = WallClock.now();
    let site = Site::new(scenario, Options::at_speed(flags.speed).with_seed(flags.seed).with_origin(started))?;
    for (index, fault) in faults.into_iter().enumerate() {
        site.try_inject(fault).map_err(|error| Failed::because(format!("--faults: entry {}: {error}", index + 1)))?;
    }
    let listener = TcpListener::bind(flags.listen).await?;
    let address = listener.local_addr()?;
    println!("clock {started}={started}@{}", flags.speed);
    if flags.tls {
        let certificate = SelfSigned::new(&[])?;
        println!("thumbprint {}", certificate.thumbprint);
        println!("site https://{address}");
        site.serve_tls(listener, certificate.config, stop_signal()).await?;
    } else {
        println!("site http://{address}");
        site.serve(listener, stop_signal()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::speed;

    #[test]
    fn time_does_not_run_backward() {
        assert_eq!((speed("0"), speed("2.5")), (Ok(0.0), Ok(2.5)));
        for text in ["-1", "NaN", "inf", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
