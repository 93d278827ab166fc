//! Traces over OTLP: protobuf by HTTP, in batches, from a thread of their own. A collector that is slow, or not there,
//! costs spans and nothing else.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::runtime::Handle;
use tracing_subscriber::{Layer, Registry, filter::filter_fn};
use url::Url;

use crate::ports::trace::TARGET;

/// How long the last spans may take at the end.
const FLUSH: Duration = Duration::from_secs(3);
/// How long the collector may take with a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// More of an answer is not read.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Why traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// No HTTP client.
    #[error("no HTTP client for traces")]
    Client(#[from] reqwest::Error),
    /// The exporter refuses its settings.
    #[error("the settings of the exporter of traces")]
    Exporter(#[from] ExporterBuildError),
}

/// Where spans go.
pub struct Traces(SdkTracerProvider);

/// A layer that takes spans.
pub type TracesLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl Traces {
    /// Nothing is sent yet. To be called within the runtime that will send. `endpoint` is the complete URL.
    ///
    /// # Errors
    /// When the client cannot be made, or the standard variables contradict what is built in.
    pub fn new(endpoint: &Url, service: &str, instance: &str) -> Result<Self, TracesError> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?;
        let sender = Sender { http, runtime: Handle::current(), failing: AtomicBool::new(false) };
        let exporter =
            SpanExporter::builder().with_http().with_http_client(sender).with_endpoint(endpoint.as_str()).build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attributes([version, KeyValue::new("service.instance.id", instance.to_owned())])
            .build();
        Ok(Self(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
    }

    /// Takes the spans of traces, and nothing of the logs.
    pub fn layer(&self) -> TracesLayer {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("failback"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
            .boxed()
    }

    /// Sends what is left, within three seconds.
    pub async fn flush(self) {
        let flushed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH));
        match tokio::time::timeout(FLUSH + Duration::from_secs(1), flushed).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the last spans were not delivered"),
            Ok(Err(_)) | Err(_) => tracing::debug!("the last spans were not delivered in time"),
        }
    }
}

/// Our own HTTP stack, on our own runtime: the exporter's thread has none.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(exchange(self.http.clone(), request)).await?;
        let trouble = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered HTTP {}", answer.status().as_u16())),
            Err(error) => Some(error.to_string()),
        };
        // Once each time it changes, not for each batch.
        match (trouble, self.failing.load(Ordering::Relaxed)) {
            (Some(error), false) => {
                tracing::warn!(%error, "traces cannot be delivered; spans are dropped until they can")
            }
            (None, true) => tracing::info!("traces are delivered again"),
            (Some(_), true) | (None, false) => {}
        }
        self.failing.store(!matches!(&sent, Ok(answer) if answer.status().is_success()), Ordering::Relaxed);
        sent
    }
}

async fn exchange(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = http.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.extend(answer.headers().clone());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err("the collector's answer is longer than 64 KiB".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(response.body(body.freeze())?)
}
