//! Vendors' own clients, from PyPI and unmodified, drive the site: Microsoft's SDK for Site Recovery and VMware's for vSphere.
//!
//! They are installed once into a virtual environment below the target directory. Without Python or a package index the tests are skipped, and say so.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sim_site::{Options, Scenario, SelfSigned, Site};
use tokio::process::Command;

/// Exactly these versions are known to agree with the site.
const PACKAGES: &[&str] = &["azure-mgmt-recoveryservicessiterecovery==2.0.0", "pyvmomi==9.1.1.0"];

/// Makes the virtual environment, or tells why there is none.
async fn python() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("site-vendors");
    std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    // Tests run as processes side by side: one installs, the others wait.
    let lock = std::fs::File::create(home.join("lock")).map_err(|error| error.to_string())?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let marker = home.join("installed");
    let python = home.join("venv/bin/python");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home.join("venv"))).await?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES))
        .await?;
    std::fs::write(&marker, wanted).map_err(|error| error.to_string())?;
    drop(lock);
    Ok(python)
}

async fn run(command: &mut Command) -> Result<String, String> {
    let output = tokio::time::timeout(Duration::from_secs(300), command.kill_on_drop(true).output())
        .await
        .map_err(|_| "it took too long".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// Runs a script of ours against a site that serves TLS.
async fn drive(scenario: &str, speed: f64, script: &str, arguments: &[&str]) {
    let python = match python().await {
        Ok(python) => python,
        Err(reason) => return common::skipped(&format!("the vendors' packages cannot be installed: {reason}")),
    };
    let tls = SelfSigned::new(&[]).unwrap();
    let pem = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("site-{}.pem", std::process::id()));
    std::fs::write(&pem, &tls.pem).unwrap();
    let site = Site::new(Scenario::from_yaml(scenario).unwrap(), Options::at_speed(speed)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move { site.serve_tls(listener, tls.config, std::future::pending()).await });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let result = run(Command::new(python).arg(script).arg(port.to_string()).arg(&pem).args(arguments)).await;
    serving.abort();
    std::fs::remove_file(&pem).unwrap();
    match result {
        Ok(text) => {
            assert!(text.trim_end().ends_with("OK"), "{text}");
            println!("{text}");
        }
        Err(text) => panic!("{text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_sdk_goes_through_the_cycle_of_both_generations() {
    drive(include_str!("../../../examples/scenarios/mixed-site.yaml"), 6_000.0, "site_recovery_sdk.py", &["cycle"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_sdk_pages_through_five_thousand_items() {
    drive(include_str!("../../../examples/scenarios/large.yaml"), 1.0, "site_recovery_sdk.py", &["list"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vmwares_sdk_works_with_the_vcenter() {
    drive(include_str!("../../../examples/scenarios/mixed-site.yaml"), 60.0, "vsphere_sdk.py", &[]).await;
}
