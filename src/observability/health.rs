//! `/livez`, `/readyz` and `/metrics`.
//!
//! Alive means that the runtime still runs its tasks. Ready means that the definitions are there and, for the replica
//! that leads, that its watches have listed what there is: a standby is ready to take over.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{heartbeat::Heartbeat, metrics::Metrics};

/// How long the runtime may fail to run a trivial task.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the process is ready for.
#[derive(Clone, Debug)]
pub struct Health {
    metrics: Arc<Metrics>,
    definitions: Arc<AtomicBool>,
    standing_by: Arc<AtomicBool>,
    watches: Arc<AtomicBool>,
    heartbeat: Arc<Heartbeat>,
}

impl Health {
    /// Not ready yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            definitions: Arc::default(),
            standing_by: Arc::default(),
            watches: Arc::default(),
            heartbeat: Arc::new(Heartbeat::new(PATIENCE)),
        }
    }

    /// The CustomResourceDefinitions are there.
    pub fn definitions_ready(&self) {
        self.definitions.store(true, Ordering::Release);
        // Without the lease a replica is ready to take over; it watches nothing until it does.
        self.standing_by.store(true, Ordering::Release);
    }

    /// This process leads from now on: ready again once its watches have listed what there is.
    pub fn leading(&self) {
        self.standing_by.store(false, Ordering::Release);
    }

    /// All watches have listed what there is.
    pub fn watches_ready(&self) {
        self.watches.store(true, Ordering::Release);
    }

    fn missing(&self) -> Option<&'static str> {
        if !self.definitions.load(Ordering::Acquire) {
            return Some("the CustomResourceDefinitions are missing, or the API server cannot be reached");
        }
        let watching = self.watches.load(Ordering::Acquire) || self.standing_by.load(Ordering::Acquire);
        (!watching).then_some("the watches have not listed everything yet")
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let heart = Arc::clone(&self.heartbeat);
        // A task of its own, like those that do the work: when tasks are not run any more, neither is this.
        let _beating = AbortOnDropHandle::new(tokio::spawn(async move { heart.keep_beating().await }));
        let routes = Router::new()
            .route("/livez", get(alive))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, routes).with_graceful_shutdown(stop).await
    }
}

async fn alive(State(health): State<Health>) -> impl IntoResponse {
    if health.heartbeat.is_alive() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "the runtime does not run its tasks any more\n")
    }
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    match health.missing() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {what}\n")),
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(axum::http::header::CONTENT_TYPE, kind)], health.metrics.text())
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn get(address: &str, path: &str) -> (u16, String) {
        // Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://{address}{path}")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    #[tokio::test]
    async fn the_endpoints_tell_how_it_stands_and_stop_when_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let metrics = Arc::new(Metrics::new());
        let health = Health::new(Arc::clone(&metrics));
        let stop = CancellationToken::new();
        let server = tokio::spawn(health.clone().serve(listener, stop.clone().cancelled_owned()));

        assert_eq!(get(&address, "/livez").await, (200, "ok\n".into()));
        let (status, text) = get(&address, "/readyz").await;
        assert_eq!(status, 503);
        assert!(text.contains("CustomResourceDefinitions"), "{text}");
        health.definitions_ready();
        assert_eq!(get(&address, "/readyz").await.0, 200, "a standby is ready");
        health.leading();
        assert_eq!(get(&address, "/readyz").await.0, 503);
        health.watches_ready();
        assert_eq!(get(&address, "/readyz").await, (200, "ok\n".into()));

        metrics.set_leader(true);
        let (status, text) = get(&address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("failback_leader 1\n") && text.ends_with("# EOF\n"), "{text}");
        assert_eq!(get(&address, "/other").await.0, 404);
        stop.cancel();
        server.await.unwrap().unwrap();
    }
}
