//! The three servers of the demo, and the manifests in them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use sim_apiserver::ApiServer;
use sim_site::{Scenario, Site};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Flags, Shared};
use crate::{
    api::{DesiredPhase, crds},
    cli::{Failed, connect::Adapters},
    config::AzureDefaults,
    ports::{Clock, Leadership, NoMeter, SharedClock},
    reconcile::{Controllers, Settings, run},
};

const MANIFESTS: [&str; 3] = [
    include_str!("../../../examples/one-machine/connections.yaml"),
    include_str!("../../../examples/one-machine/machine.yaml"),
    include_str!("../../../examples/one-machine/plan.yaml"),
];
const SCENARIO: &str = include_str!("../../../examples/scenarios/one-machine.yaml");

/// The simulated site's clock, jumps included.
struct SiteClock(sim_site::Clock);

impl Clock for SiteClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn wall(&self, span: std::time::Duration) -> std::time::Duration {
        // Never so short that waiting becomes spinning.
        span.div_f64(self.0.speed.max(f64::MIN_POSITIVE)).max(std::time::Duration::from_millis(10))
    }
}

/// The only controller of a demo: nobody else could act.
struct Alone;

impl Leadership for Alone {
    fn is_valid_now(&self) -> bool {
        true
    }
}

/// Everything that runs.
pub(super) struct Place {
    client: Client,
    site: Site,
    site_url: String,
    clock: SharedClock,
    kubeconfig: PathBuf,
    servers: Vec<JoinHandle<()>>,
    controller: JoinHandle<()>,
    speed: f64,
}

impl Place {
    pub(super) async fn start(flags: &Flags, stop: &CancellationToken) -> Result<Self, Failed> {
        let (site, site_url, site_server) = start_site(flags, stop).await?;
        let (api, address, api_server) = start_apiserver(flags, stop).await?;
        let kubeconfig = write_kubeconfig(flags, address)?;
        let parsed = Kubeconfig::from_yaml(&ApiServer::kubeconfig(address))?;
        let mut config = kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        let client = Client::try_from(config)?;
        for manifest in manifests(flags, &site_url)? {
            api.apply(manifest).await.map_err(|error| Failed::because(error.to_string()))?;
        }
        let clock: SharedClock = Shared::new(SiteClock(site.clock()));
                let controllers = Controllers {
            client: client.clone(),
            settings: Settings { namespace: None, concurrency: 16, instance: "demo".to_owned() },
            connect: Shared::new(Adapters::new(AzureDefaults::default(), Shared::clone(&clock), Shared::new(NoMeter))?),
            clock: Shared::clone(&clock),
            leadership: Shared::new(Alone),
            tally: Shared::new(NoMeter),
            on_ready: Box::new(|| {}),
        };
        let controller = tokio::spawn(run(controllers, stop.clone()));
        let servers = vec![site_server, api_server];
        Ok(Self { client, site, site_url, clock, kubeconfig, servers, controller, speed: flags.speed })
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn clock(&self) -> SharedClock {
        Shared::clone(&self.clock)
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    pub(super) fn greet(&self) {
        println!("A simulated site (Azure and vCenter) is at {}; its clock runs {} times as fast.", self.site_url, self.speed);
        println!("Look at the objects from another terminal:");
        println!("  export KUBECONFIG={}", self.kubeconfig.display());
        println!("  kubectl get fbp,rpi,mt,rvault,vc");
        println!();
    }

    pub(super) fn keep_serving(&self) {
        println!();
        println!("Still serving; stop with Ctrl-C. The calls that the site received: {}/_world", self.site_url);
    }

    pub(super) async fn end(self) {
        for task in std::iter::once(self.controller).chain(self.servers) {
            if tokio::time::timeout(std::time::Duration::from_secs(5), task).await.is_err() {
                tracing::warn!("a server of the demo did not end within 5 s");
            }
        }
    }
}

async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), Failed> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| Failed::because(format!("port {port} on loopback cannot be used: {error}")))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn start_site(flags: &Flags, stop: &CancellationToken) -> Result<(Site, String, JoinHandle<()>), Failed> {
    let text = match &flags.scenario {
        Some(path) => read(path)?,
        None => SCENARIO.to_owned(),
    };
    let scenario = Scenario::from_yaml(&text)?;
    let site = Site::new(scenario, sim_site::Options::at_speed(flags.speed).with_seed(flags.seed))?;
    let (listener, address) = bind(flags.site_port).await?;
    let server = {
        let site = site.clone();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = site.serve(listener, stopped).await {
                tracing::error!(%error, "the simulated site ended");
            }
        })
    };
    Ok((site, format!("http://{address}"), server))
}

async fn start_apiserver(
    flags: &Flags,
    stop: &CancellationToken,
) -> Result<(ApiServer, SocketAddr, JoinHandle<()>), Failed> {
    let options = sim_apiserver::Options { state_file: flags.state.clone(), ..sim_apiserver::Options::default() };
    let api = ApiServer::new(options)?;
    for crd in crds() {
        api.apply(serde_json::to_value(crd)?).await?;
    }
    let (listener, address) = bind(flags.port).await?;
    let server = {
        let api = api.clone();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = api.serve(listener, stopped).await {
                tracing::error!(%error, "the API server ended");
            }
        })
    };
    Ok((api, address, server))
}

fn write_kubeconfig(flags: &Flags, address: SocketAddr) -> Result<PathBuf, Failed> {
    let path = flags
        .kubeconfig
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("failback-demo-{}.kubeconfig", address.port())));
    std::fs::write(&path, ApiServer::kubeconfig(address))
        .map_err(|error| Failed::because(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

fn read(path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path)
        .map_err(|error| Failed::because(format!("{} cannot be read: {error}", path.display())))
}

/// The manifests as they are in the examples, but pointed at the simulated site instead of the public cloud and the
/// vCenter that they name.
fn manifests(flags: &Flags, site: &str) -> Result<Vec<Value>, Failed> {
    let texts = match &flags.manifests {
        None => MANIFESTS.map(ToOwned::to_owned).to_vec(),
        Some(dir) => {
            let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
                .map_err(|error| Failed::because(format!("{} cannot be read: {error}", dir.display())))?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
                .collect();
            paths.sort();
            paths.iter().map(|path| read(path)).collect::<Result<_, _>>()?
        }
    };
    let mut objects = Vec::new();
    for text in &texts {
        for document in serde_yaml::Deserializer::from_str(text) {
            let object: Value = serde::Deserialize::deserialize(document)?;
            if !object.is_null() {
                objects.push(pointed_at(object, site, flags.desired_phase.map(Into::into)));
            }
        }
    }
    Ok(objects)
}

fn pointed_at(mut object: Value, site: &str, desired: Option<DesiredPhase>) -> Value {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return object };
    match kind.as_str() {
        "RecoveryVault" => {
            spec.insert("cloud".to_owned(), json!("Custom"));
            spec.insert("customEndpoints".to_owned(), json!({ "authority": site, "resourceManager": site }));
        }
        "VCenter" => {
            spec.insert("server".to_owned(), json!(site));
            spec.remove("caBundle");
            spec.remove("thumbprint");
        }
        "FailbackPlan" => {
            if let Some(desired) = desired {
                spec.insert("desiredPhase".to_owned(), json!(desired));
            }
        }
        _ => {}
    }
    object
}
