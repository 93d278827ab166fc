//! An embedded API server with a plan and machines as a controller would have left them, and the program itself.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use failback::api::crds;
use serde_json::{Value, json};
use sim_apiserver::{ApiServer, Options};
use tokio::net::TcpListener;

/// The clock of the program: it stands at the beginning.
const CLOCK: &str = "2026-03-01T12:00:00Z@0.000000001";

pub(crate) struct Stage {
    pub(crate) api: ApiServer,
    address: SocketAddr,
    folder: PathBuf,
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Stage {
    /// A server with our definitions, as `change` leaves them.
    pub(crate) async fn with_definitions(change: impl Fn(&mut Value)) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let api = ApiServer::new(Options::default()).unwrap();
        for crd in crds() {
            let mut crd = serde_json::to_value(crd).unwrap();
            change(&mut crd);
            api.apply(crd).await.unwrap();
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = api.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
        let folder = std::env::temp_dir().join(format!("kubectl-failback-{}", address.port()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kubeconfig"), ApiServer::kubeconfig(address)).unwrap();
        Self { api, address, folder }
    }

    /// A plan of two waves, half-way: one machine synchronises, one waits, one is not there.
    pub(crate) async fn half_way() -> Self {
        let stage = Self::with_definitions(|_| {}).await;
        stage.apply(plan("FailedBack")).await;
        let uid = stage.get("failbackplans", "web").await["metadata"]["uid"].clone();
        stage.apply(item("db-01", &synchronising(&uid))).await;
        stage.apply(item("web-01", &waiting(&uid))).await;
        stage.status_of_plan(&plan_status(1)).await;
        stage
    }

    pub(crate) async fn apply(&self, object: Value) {
        let (name, kind) = (object["metadata"]["name"].clone(), object["kind"].clone());
        let status = object.get("status").cloned();
        self.api.apply(object).await.unwrap();
        if let Some(status) = status {
            let plural = format!("{}s", kind.as_str().unwrap().to_lowercase());
            self.patch_status(&plural, name.as_str().unwrap(), &status).await;
        }
    }

    pub(crate) async fn status_of_plan(&self, status: &Value) {
        self.patch_status("failbackplans", "web", status).await;
    }

    async fn client(&self) -> kube::Client {
        let url = format!("http://{}", self.address).parse().unwrap();
        kube::Client::try_from(kube::Config::new(url)).unwrap()
    }

    pub(crate) async fn patch_status(&self, plural: &str, name: &str, status: &Value) {
        let body = serde_json::to_vec(&json!({ "status": status })).unwrap();
        let uri = format!("/apis/failback.dev/v1alpha1/namespaces/default/{plural}/{name}/status");
        let request = http::Request::patch(uri).header("content-type", "application/merge-patch+json").body(body);
        self.client().await.request::<Value>(request.unwrap()).await.unwrap();
    }

    pub(crate) async fn get(&self, plural: &str, name: &str) -> Value {
        let uri = format!("/apis/failback.dev/v1alpha1/namespaces/default/{plural}/{name}");
        let uri = uri.trim_end_matches('/');
        self.client().await.request(http::Request::get(uri).body(Vec::new()).unwrap()).await.unwrap()
    }

    pub(crate) async fn delete_plan(&self) {
        let uri = "/apis/failback.dev/v1alpha1/namespaces/default/failbackplans/web";
        let request = http::Request::delete(uri).body(Vec::new()).unwrap();
        self.client().await.request::<Value>(request).await.unwrap();
    }

    pub(crate) async fn list(&self, plural: &str) -> Vec<Value> {
        let listed = self.get(plural, "").await;
        listed["items"].as_array().unwrap().clone()
    }

    /// A file beside the kubeconfig.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failback"));
        command
            .arg0("/usr/local/bin/kubectl-failback")
            .args(args)
            .env_clear()
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("FAILBACK_CLOCK", format!("{}={CLOCK}", jiff::Timestamp::now()))
            .stdin(Stdio::null());
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args)).await
    }

    /// With something typed.
    pub(crate) async fn typed(&self, args: &[&str], text: &str) -> Ran {
        let input = std::fs::File::open(self.file("typed", text)).unwrap();
        let mut command = self.command(args);
        command.stdin(input);
        ran(command).await
    }

    /// The operator's own binary, under its own name.
    pub(crate) async fn run_as_subcommand(&self, args: &[&str]) -> Ran {
        let mut all = vec!["kubectl"];
        all.extend(args);
        let mut command = self.command(&all);
        command.arg0("failback");
        ran(command).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

async fn ran(mut command: Command) -> Ran {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn plan(desired: &str) -> Value {
    json!({
        "apiVersion": "failback.dev/v1alpha1",
        "kind": "FailbackPlan",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "desiredPhase": desired,
            "waves": [
                { "name": "data", "items": ["db-01"], "maxConcurrent": 1 },
                { "name": "front", "items": ["web-01", "web-02"] },
            ],
            "approvals": [{ "step": "FailBack", "count": 1 }],
        },
    })
}

pub(crate) fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-03-01T11:00:00Z",
    })
}

/// What the controller says of the plan at a generation.
pub(crate) fn plan_status(generation: i64) -> Value {
    json!({
        "observedGeneration": generation,
        "phase": "Assessed",
        "conditions": [
            condition("Ready", "False", "Progressing", "0 of 3 machine(s) are FailedBack."),
            condition("Reconciling", "True", "Progressing", "0 of 3 machine(s) are FailedBack."),
        ],
        "summary": { "done": "0/3", "total": 3, "reached": 0, "moving": 1, "waiting": 2, "stalled": 0 },
        "waves": [
            { "name": "data", "total": 1, "reached": 0, "moving": 1, "stalled": 0 },
            { "name": "front", "total": 2, "reached": 0, "moving": 0, "stalled": 0 },
        ],
        "specHash": "0123456789abcdef",
        "startedAt": "2026-03-01T11:00:00Z",
        "estimatedCompletion": "2026-03-01T14:30:00Z",
    })
}

pub(crate) fn item(name: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "failback.dev/v1alpha1",
        "kind": "ReplicatedItem",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "machine": name, "vaultRef": { "name": "vault" }, "vcenterRef": { "name": "vcenter" } },
        "status": status,
    })
}

/// A machine in Azure that nothing holds.
pub(crate) fn free(name: &str, disks: i32) -> Value {
    let status = json!({
        "observedGeneration": 1, "phase": "FailedOver", "runsIn": "Azure", "generation": "Modernized", "checks": [],
        "disks": disks,
        "conditions": [condition("Ready", "True", "Observed", "The machine runs in Azure.")],
        "target": { "appliance": "appliance-1", "applianceId": "a-1", "datastore": "ds-1", "host": "esx-1" },
    });
    item(name, &status)
}

fn claim(uid: &Value, wave: &str, up_to: &str) -> Value {
    json!({ "plan": "web", "planUid": uid, "upTo": up_to, "wave": wave, "soakSeconds": 60 })
}

/// A claim that a gate holds back.
fn held(uid: &Value, wave: &str) -> Value {
    let mut claim = claim(uid, wave, "Assessed");
    claim["heldBy"] = json!("WaveNotStarted");
    claim["heldMessage"] = json!("An earlier wave is not verified at home yet.");
    claim
}

fn synchronising(uid: &Value) -> Value {
    json!({
        "observedGeneration": 1,
        "phase": "Reprotecting",
        "runsIn": "Azure",
        "generation": "Modernized",
        "claim": claim(uid, "data", "FailedBack"),
        "conditions": [condition("Ready", "False", "WaitingForSynchronisation", "Data is being synchronised: 25%.")],
        "checks": [],
        "location": {
            "decided": "Original", "reason": "The original VM is there.", "transfer": "Changes", "bytes": 80_000_000_000_i64,
        },
        "target": { "appliance": "appliance-1", "applianceId": "a-1", "datastore": "ds-1", "host": "esx-1" },
        "recoveryPoint": { "choice": "Latest", "message": "The newest state.", "lossSeconds": 0 },
        "progress": {
            "text": "25%", "percent": 25, "step": "SyncToVMware", "since": "2026-03-01T11:30:00Z",
            "bytesDone": 20_000_000_000_i64, "bytesTotal": 80_000_000_000_i64, "bytesPerSecond": 11_100_000,
            "estimatedCompletion": "2026-03-01T13:30:00Z", "estimateBasis": "Measured",
        },
        "timings": [{
            "verb": "Reprotect", "startedAt": "2026-03-01T11:00:00Z", "endedAt": "2026-03-01T11:15:00Z", "seconds": 900,
        }],
    })
}

fn waiting(uid: &Value) -> Value {
    json!({
        "observedGeneration": 1,
        "phase": "FailedOver",
        "runsIn": "Azure",
        "generation": "Modernized",
        "claim": held(uid, "front"),
        "conditions": [condition("Ready", "False", "WaveNotStarted", "An earlier wave is not verified at home yet.")],
        "checks": [{
            "name": "ApplianceHealthy", "result": "Failed", "message": "appliance-1 sent no heartbeat for 20 min.",
            "remedy": "Start the appliance.", "gates": ["Reprotect"], "observedAt": "2026-03-01T11:00:00Z",
        }, {
            "name": "OnPremisesVmRunning", "result": "Failed", "message": "It is off.", "remedy": "", "gates": ["Commit"],
            "observedAt": "2026-03-01T11:00:00Z",
        }],
        "location": {
            "decided": "Alternate", "reason": "The original VM is gone.", "transfer": "Full", "bytes": 40_000_000_000_i64,
        },
    })
}
