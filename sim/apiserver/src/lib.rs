//! An embedded Kubernetes API server: any CustomResourceDefinition and the core kinds that controllers need, without a
//! cluster, for demos and tests.
//!
//! [`ApiServer::service`] is a tower service for `kube::Client::new`; [`ApiServer::serve`] serves the same over HTTP to
//! kubectl. What it does is what a real kube-apiserver does, as far as the conformance suite in `tests/` compares them;
//! what it leaves out (most protobuf bodies, RBAC, admission policies, pods) it refuses with a clear answer.
//!
//! The way of a request: [`service`](ApiService) takes it apart into a call, `admission` decodes, defaults and validates
//! its object, `apply` keeps track of who owns which field, `store` keeps it and logs the change, `watch` tells.

mod admission;
mod answer;
mod apply;
mod builtin;
mod call;
mod cel;
mod crd;
mod delete;
mod discovery;
mod error;
mod event;
mod faults;
mod jsonpath;
mod metadata;
mod object;
mod openapi;
mod options;
mod patch;
mod persist;
mod protobuf;
mod read;
mod record;
mod registry;
mod resource;
mod review;
mod schema;
mod selector;
mod serve;
mod service;
mod state;
mod store;
mod table;
mod token;
mod watch;
mod write;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use crate::error::Error;
pub use crate::faults::{Effect, Fault, Faults, Match};
pub use crate::options::{AccessPolicy, AccessRequest, Options};
pub use crate::record::RequestRecord;
pub use crate::service::{ApiService, ResponseBody};

use crate::persist::StateFile;
use crate::record::Record;
use crate::registry::Registry;
use crate::state::Shared;
use crate::store::Store;

const DEFAULT_WATCH_LOG: usize = 8192;
const WATCH_LOG_BYTES: usize = 64 << 20;
const DEFAULT_RECORD_LIMIT: usize = 100_000;

/// A Kubernetes API server. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
    state_file: Option<Arc<Saved>>,
}

/// Saves once more when the last handle goes.
struct Saved {
    file: Arc<StateFile>,
    shared: Arc<Shared>,
}

impl Drop for Saved {
    fn drop(&mut self) {
        self.file.close(&self.shared);
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("version", &self.shared.store.version()).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// A server with the namespaces that every cluster has, or with the objects of the state file.
    pub fn new(options: Options) -> Result<ApiServer, Error> {
        let or = |given: usize, default: usize| if given == 0 { default } else { given };
        // One waiting message says all: something changed since the last save.
        let (dirty, changes) = mpsc::sync_channel(1);
        let shared = Arc::new(Shared {
            store: Store::new(or(options.watch_log, DEFAULT_WATCH_LOG), WATCH_LOG_BYTES),
            registry: Registry::default(),
            record: Record::new(or(options.record_limit, DEFAULT_RECORD_LIMIT)),
            faults: Faults::default(),
            access: options.access,
            dirty: options.state_file.is_some().then_some(dirty),
        });
        let loaded = match &options.state_file {
            Some(path) => persist::load(&shared, path)?,
            None => false,
        };
        if !loaded {
            shared.create_namespaces();
        }
        let state_file = match options.state_file {
            None => None,
            Some(path) => {
                let file = Arc::new(StateFile::new(path));
                persist::save_on_change(Arc::downgrade(&shared), file.clone(), changes).map_err(Error::State)?;
                Some(Arc::new(Saved { file, shared: shared.clone() }))
            }
        };
        Ok(ApiServer { shared, state_file })
    }

    /// A tower service, for `kube::Client::new(server.service("controller"), "default")`. `client` names the caller in
    /// the [record](ApiServer::record), and as field manager when a request does not name one.
    pub fn service(&self, client: &str) -> ApiService {
        ApiService { shared: self.shared.clone(), client: Some(client.into()) }
    }

    /// Serves HTTP until `shutdown` resolves; then all connections are cut.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let service = ApiService { shared: self.shared.clone(), client: None };
        serve::serve(service, listener, None, shutdown).await
    }

    /// As [`serve`](ApiServer::serve), over TLS.
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let service = ApiService { shared: self.shared.clone(), client: None };
        serve::serve(service, listener, Some(tls), shutdown).await
    }

    /// A kubeconfig (YAML) for `http://{addr}`, with the namespace `default`.
    pub fn kubeconfig(addr: SocketAddr) -> String {
        kubeconfig_of(&format!("server: \"http://{addr}\""))
    }

    /// A kubeconfig (YAML) for a server behind [`serve_tls`](ApiServer::serve_tls): its URL, and the certificate (PEM) of
    /// the authority that signed its own, or its own if that is self-signed.
    pub fn kubeconfig_tls(url: &str, ca_pem: &str) -> String {
        let authority = STANDARD.encode(ca_pem);
        kubeconfig_of(&format!("server: \"{url}\"\n    certificate-authority-data: {authority}"))
    }

    /// The requests so far, oldest first.
    pub fn record(&self) -> Vec<RequestRecord> {
        self.shared.record.all()
    }

    /// Forgets the requests so far.
    pub fn clear_record(&self) {
        self.shared.record.clear();
    }

    /// Faults for controller tests.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Expires all older versions: open watches go on, but a watch or a list from an earlier version gets 410.
    pub fn compact(&self) {
        self.shared.store.compact();
    }

    /// What a restart looks like to clients: all watches break and older versions are expired. Without its state the
    /// server is as new, custom resources are gone, and versions start over.
    pub fn restart(&self, keep_state: bool) {
        if keep_state {
            self.shared.store.compact();
        } else {
            self.shared.registry.clear();
            self.shared.store.clear();
            self.shared.create_namespaces();
        }
        self.shared.faults.break_watches();
    }

    /// Writes the state file now. Without one this does nothing.
    pub fn save(&self) -> Result<(), Error> {
        match &self.state_file {
            Some(saved) => saved.file.save(&self.shared),
            None => Ok(()),
        }
    }

    /// Creates the object, or brings it to this state by a forced server-side apply, as the manager `embedded`.
    pub async fn apply(&self, object: Value) -> Result<Value, Error> {
        self.shared.apply(&object).map_err(Error::from)
    }
}

fn kubeconfig_of(cluster: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: embedded\nclusters:\n- name: embedded\n  cluster:\n    {cluster}\n\
         users:\n- name: embedded\n  user: {{}}\ncontexts:\n- name: embedded\n  context:\n    cluster: embedded\n    \
         user: embedded\n    namespace: default\n"
    )
}

impl Shared {
    fn create_namespaces(&self) {
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            // Cannot fail on an empty store.
            self.apply(&namespace).ok();
        }
    }
}
