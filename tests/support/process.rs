//! The real binary in a process of its own, and the kubeconfig that it is given.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "each of the tests that include this uses a part of it, and processes run on the wall's clock"
)]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A kubeconfig in a file that goes with this.
pub(crate) struct Kubeconfig(PathBuf);

impl Kubeconfig {
    /// For the server at this port, which no other test has meanwhile.
    pub(crate) fn of(port: u16, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("failback-test-{port}.kubeconfig"));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// The controller in a process of its own.
pub(crate) struct Controller(Child);

impl Controller {
    /// The real binary, with a lease of so many seconds: the sooner another may take over after a kill.
    pub(crate) fn on(kubeconfig: &Kubeconfig, clock: &str, name: &str, lease_seconds: u16) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_failback"))
            .args(["controller", "--listen", "127.0.0.1:0", "--log", "off", "--instance", name])
            .args(["--lease-namespace", "default", "--lease-seconds", &lease_seconds.to_string()])
            .args(["--clock", clock, "--kubeconfig"])
            .arg(kubeconfig.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Whether it runs; one that lost its lease has ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// SIGTERM, as a kubelet sends it.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The code with which it ended by itself within this time.
    pub(crate) async fn code(&mut self, within: Duration) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < within {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }
}

impl Drop for Controller {
    /// SIGKILL: nothing is said goodbye to.
    fn drop(&mut self) {
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}
