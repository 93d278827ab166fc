//! A real kube-apiserver with its etcd on loopback, as envtest runs them: no cluster, no controllers.
//!
//! `KUBEBUILDER_ASSETS` names the directory of the two binaries. Without it tests say `SKIPPED`, or fail when
//! `FAILBACK_REQUIRE_REAL_SERVER` is 1.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kube::Client;

pub(crate) struct RealServer {
    processes: Vec<Child>,
    directory: PathBuf,
    url: String,
}

const TOKEN: &str = "conformance";

/// Servers so far in this process: tests of one file may run side by side.
static STARTED: AtomicU32 = AtomicU32::new(0);

impl RealServer {
    /// Starts both; says so and gives `None` when there are no binaries.
    pub(crate) async fn start() -> Option<RealServer> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let complete = |a: &PathBuf| a.join("kube-apiserver").exists() && a.join("etcd").exists();
        let Some(assets) = assets.filter(complete) else {
            let why = "KUBEBUILDER_ASSETS does not name a directory with kube-apiserver and etcd";
            let required = std::env::var("FAILBACK_REQUIRE_REAL_SERVER").is_ok_and(|required| required == "1");
            assert!(!required, "{why}");
            eprintln!("SKIPPED: {why}");
            return None;
        };
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("apiserver-real-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let [etcd_client, etcd_peer, api] = free_ports();
        let etcd = format!("http://127.0.0.1:{etcd_client}");
        let peer = format!("http://127.0.0.1:{etcd_peer}");
        let etcd_process = spawn(
            &assets.join("etcd"),
            &[
                ("--name", "t"),
                ("--data-dir", &directory.join("etcd").display().to_string()),
                ("--log-level", "warn"),
                ("--listen-client-urls", &etcd),
                ("--advertise-client-urls", &etcd),
                ("--listen-peer-urls", &peer),
                ("--initial-advertise-peer-urls", &peer),
                ("--initial-cluster", &format!("t={peer}")),
                ("--unsafe-no-fsync", "true"),
            ],
            &directory.join("etcd.log"),
        );
        let key = rcgen::KeyPair::generate().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let private = file("sa.key", &key.serialize_pem());
        let public = file("sa.pub", &key.public_key_pem());
        let tokens = file("tokens.csv", &format!("{TOKEN},admin,admin,\"system:masters\"\n"));
        let api_process = spawn(
            &assets.join("kube-apiserver"),
            &[
                ("--etcd-servers", &etcd),
                ("--bind-address", "127.0.0.1"),
                ("--advertise-address", "127.0.0.1"),
                ("--secure-port", &api.to_string()),
                ("--endpoint-reconciler-type", "none"),
                ("--cert-dir", &directory.join("certs").display().to_string()),
                ("--token-auth-file", &tokens),
                ("--service-account-issuer", "https://kubernetes.default.svc"),
                ("--service-account-key-file", &public),
                ("--service-account-signing-key-file", &private),
                ("--service-cluster-ip-range", "10.0.0.0/24"),
                ("--authorization-mode", "RBAC"),
                ("--disable-admission-plugins", "ServiceAccount"),
            ],
            &directory.join("apiserver.log"),
        );
        let server = RealServer {
            processes: vec![api_process, etcd_process],
            directory,
            url: format!("https://127.0.0.1:{api}"),
        };
        server.wait_until_ready().await;
        Some(server)
    }

    async fn wait_until_ready(&self) {
        let client = self.client().await;
        for _ in 0..600 {
            if answers(&client, "/readyz").await && answers(&client, "/api/v1/namespaces/default").await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = fs::read_to_string(self.directory.join("apiserver.log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(20).collect();
        panic!("kube-apiserver is not ready after a minute; the end of its log, backwards:\n{}", last.join("\n"));
    }

    /// For kubectl.
    pub(crate) fn kubeconfig(&self) -> String {
        let url = &self.url;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: real\nclusters: [{{name: real, cluster: {{server: \"{url}\", \
             insecure-skip-tls-verify: true}}}}]\nusers: [{{name: real, user: {{token: {TOKEN}}}}}]\ncontexts: [{{name: real, \
             context: {{cluster: real, user: real, namespace: default}}}}]\n"
        )
    }

    pub(crate) async fn client(&self) -> Client {
        let mut config = kube::Config::new(self.url.parse().unwrap());
        config.accept_invalid_certs = true;
        config.default_retry = false;
        config.auth_info.token = Some(TOKEN.to_owned().into());
        Client::try_from(config).unwrap()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        for process in &mut self.processes {
            process.kill().ok();
            process.wait().ok();
        }
        fs::remove_dir_all(&self.directory).ok();
    }
}

async fn answers(client: &Client, path: &str) -> bool {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    client.request_text(request).await.is_ok()
}

/// Ports that were free just now.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|l| l.local_addr().unwrap().port())
}

fn spawn(program: &Path, flags: &[(&str, &str)], log: &Path) -> Child {
    let log = fs::File::create(log).unwrap();
    Command::new(program)
        .args(flags.iter().map(|(name, value)| format!("{name}={value}")))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
