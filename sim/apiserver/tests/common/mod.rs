//! What the tests share: a server over HTTP, and the resources of the recordings.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod http;
pub(crate) mod normal;
pub(crate) mod real;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use sim_apiserver::{ApiServer, Options};
use tokio::net::TcpListener;

/// A file next to the tests.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A JSON file next to the tests.
pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

pub(crate) fn server() -> ApiServer {
    ApiServer::new(Options::default()).unwrap()
}

/// Serves on a free port of loopback until the runtime ends.
pub(crate) async fn serve(server: &ApiServer) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = server.clone();
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    addr
}

/// A kube client over HTTP.
pub(crate) async fn http_client(addr: SocketAddr) -> kube::Client {
    client_of(&ApiServer::kubeconfig(addr)).await
}

pub(crate) async fn client_of(kubeconfig: &str) -> kube::Client {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    // Tests look at the first answer.
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

/// A kube client in the same process.
pub(crate) fn in_process_client(server: &ApiServer, name: &str) -> kube::Client {
    kube::Client::new(server.service(name), "default")
}
