//! A simulated site, an embedded API server and the controller, on loopback, in one process: what the demo and the
//! end-to-end tests run on. They talk over the same wires as in production.

mod jobs;
mod manifests;

pub use manifests::{documents, pointed_at_site};

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use sim_apiserver::ApiServer;
use sim_site::{Scenario, Site};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api::crds,
    cli::connect::Adapters,
    config::AzureDefaults,
    kube_io::identity::ServiceAccounts,
    ports::{Clock, Leadership, NoMeter, SharedClock, Tally},
    probe::NetworkProber,
    reconcile::{Controllers, Settings, run},
};

/// The simulated site's clock, jumps included.
struct SiteClock(sim_site::Clock);

impl Clock for SiteClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn wall(&self, span: Duration) -> Duration {
        // Never so short that waiting becomes spinning.
        span.div_f64(self.0.speed.max(f64::MIN_POSITIVE)).max(Duration::from_millis(10))
    }
}

/// The only controller of a rehearsal: nobody else could act.
struct Alone;

impl Leadership for Alone {
    fn is_valid_now(&self) -> bool {
        true
    }
}

/// Why a rehearsal could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// A port cannot be used.
    #[error("port {0} on loopback cannot be used")]
    Port(u16, #[source] std::io::Error),
    /// The site cannot be as the scenario says.
    #[error("the scenario cannot be played")]
    Scenario(#[from] sim_site::ScenarioError),
    /// The API server refused an object, or its state file.
    #[error("the API server refused what it was given")]
    ApiServer(#[from] sim_apiserver::Error),
    /// A manifest is no YAML.
    #[error("a manifest cannot be read")]
    Yaml(#[from] serde_yaml::Error),
    /// A client could not be made.
    #[error("no client for the API server")]
    Client(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// What a rehearsal starts with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The simulated site, as YAML.
    pub scenario: String,
    /// Simulated seconds in one second.
    pub speed: f64,
    /// Seed of the site.
    pub seed: u64,
    /// Port of the API server, 0 for any.
    pub port: u16,
    /// Port of the site, 0 for any.
    pub site_port: u16,
    /// Where the API server keeps its objects.
    pub state_file: Option<PathBuf>,
}

impl Setup {
    /// A scenario at a speed, on any ports.
    pub fn new(scenario: impl Into<String>, speed: f64) -> Self {
        Self { scenario: scenario.into(), speed, seed: 1, port: 0, site_port: 0, state_file: None }
    }
}

/// What a controller can be started with, and a rehearsal leaves at its defaults.
pub struct Variant {
    /// Identities for Azure.
    pub azure: AzureDefaults,
    /// The namespaces that are watched; all without.
    pub namespaces: Vec<String>,
    /// What counts.
    pub tally: Arc<dyn Tally>,
    /// Whether it may act.
    pub leadership: Arc<dyn Leadership>,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            azure: AzureDefaults::default(),
            namespaces: Vec::new(),
            tally: Arc::new(NoMeter),
            leadership: Arc::new(Alone),
        }
    }
}

/// The servers, running.
pub struct Rehearsal {
    /// The embedded API server.
    pub api: ApiServer,
    /// Its address.
    pub api_address: SocketAddr,
    /// The simulated site.
    pub site: Site,
    /// Its URL.
    pub site_url: String,
    /// The site's clock.
    pub clock: SharedClock,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

impl Rehearsal {
    /// Starts site and API server, with our definitions in it. No controller runs yet.
    ///
    /// # Errors
    /// When a port is taken or the scenario is impossible.
    pub async fn start(setup: &Setup) -> Result<Self, RehearsalError> {
        let stop = CancellationToken::new();
        let scenario = Scenario::from_yaml(&setup.scenario)?;
        let site = Site::new(scenario, sim_site::Options::at_speed(setup.speed).with_seed(setup.seed))?;
        let (listener, site_address) = bind(setup.site_port).await?;
        let site_server = {
            let (site, stopped) = (site.clone(), stop.clone().cancelled_owned());
            tokio::spawn(async move {
                if let Err(error) = site.serve(listener, stopped).await {
                    tracing::error!(%error, "the simulated site ended");
                }
            })
        };
        let options = sim_apiserver::Options { state_file: setup.state_file.clone(), ..Default::default() };
        let api = ApiServer::new(options)?;
        for crd in crds() {
            api.apply(serde_json::to_value(crd).map_err(client_error)?).await?;
        }
        let (listener, api_address) = bind(setup.port).await?;
        let api_server = {
            let (api, stopped) = (api.clone(), stop.clone().cancelled_owned());
            tokio::spawn(async move {
                if let Err(error) = api.serve(listener, stopped).await {
                    tracing::error!(%error, "the API server ended");
                }
            })
        };
        let clock: SharedClock = Arc::new(SiteClock(site.clock()));
        let site_url = format!("http://{site_address}");
        let cluster = {
            let jobs = jobs::play(Client::new(api.service("jobs"), "default"), Arc::clone(&clock));
            let stopped = stop.clone().cancelled_owned();
            tokio::spawn(async move {
                tokio::select! { () = jobs => {}, () = stopped => {} }
            })
        };
        Ok(Self { api, api_address, site, site_url, clock, stop, servers: vec![site_server, api_server, cluster] })
    }

    /// Applies manifests, pointed at the simulated site.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn apply(&self, manifests: Vec<Value>) -> Result<(), RehearsalError> {
        for manifest in manifests {
            self.api.apply(pointed_at_site(manifest, &self.site_url)).await?;
        }
        Ok(())
    }

    /// A client over HTTP.
    ///
    /// # Errors
    /// When none can be made.
    pub async fn client(&self) -> Result<Client, RehearsalError> {
        let parsed = Kubeconfig::from_yaml(&self.kubeconfig()).map_err(client_error)?;
        let mut config =
            kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.map_err(client_error)?;
        config.default_retry = false;
        Client::try_from(config).map_err(|error| client_error(error).into())
    }

    /// A kubeconfig for the API server.
    pub fn kubeconfig(&self) -> String {
        ApiServer::kubeconfig(self.api_address)
    }

    /// Starts the controller; cancel the token to stop it, then await the task.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn controller(&self) -> Result<(CancellationToken, JoinHandle<()>), RehearsalError> {
        self.controller_on(self.client().await?)
    }

    /// As [`controller`](Self::controller), but its objects are on the API server of this client, with our definitions
    /// already there. Only the site is the rehearsal's.
    ///
    /// # Errors
    /// When the adapters cannot be made.
    pub fn controller_on(&self, client: Client) -> Result<(CancellationToken, JoinHandle<()>), RehearsalError> {
        self.controller_as(client, Variant::default())
    }

    /// The same, with other settings than a rehearsal's usual ones.
    ///
    /// # Errors
    /// When the adapters cannot be made.
    pub fn controller_as(
        &self,
        client: Client,
        variant: Variant,
    ) -> Result<(CancellationToken, JoinHandle<()>), RehearsalError> {
        let Variant { azure, namespaces, tally, leadership } = variant;
        let stop = self.stop.child_token();
        let identities = Arc::new(ServiceAccounts::new(client.clone()));
        let adapters = Adapters::new(azure, identities, Arc::clone(&self.clock), Arc::new(NoMeter));
        let controllers = Controllers {
            client,
            settings: Settings { namespaces, concurrency: 16, instance: "rehearsal".to_owned() },
            connect: Arc::new(adapters.map_err(client_error)?),
            // The guests of a simulated site do not exist; what stands for them listens here.
            prober: Arc::new(NetworkProber { allow_loopback: true }),
            clock: Arc::clone(&self.clock),
            leadership,
            tally,
            on_ready: Box::new(|| {}),
        };
        let task = tokio::spawn(run(controllers, stop.clone()));
        Ok((stop, task))
    }

    /// Stops everything.
    pub async fn end(self) {
        self.stop.cancel();
        for task in self.servers {
            if tokio::time::timeout(Duration::from_secs(5), task).await.is_err() {
                tracing::warn!("a server of the rehearsal did not end within 5 s");
            }
        }
    }
}

fn client_error(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Box<dyn std::error::Error + Send + Sync> {
    error.into()
}

async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), RehearsalError> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| RehearsalError::Port(port, error))?;
    let address = listener.local_addr().map_err(|error| RehearsalError::Port(port, error))?;
    Ok((listener, address))
}
