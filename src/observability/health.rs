//! `/livez`, `/readyz` and `/metrics`.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// What the process is ready for.
#[derive(Clone, Debug)]
pub struct Health {
    metrics: Arc<Metrics>,
    definitions: Arc<AtomicBool>,
    standing_by: Arc<AtomicBool>,
    watches: Arc<AtomicBool>,
}

impl Health {
    /// Not ready yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, definitions: Arc::default(), standing_by: Arc::default(), watches: Arc::default() }
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
        let routes = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, routes).with_graceful_shutdown(stop).await
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
