//! Traces as a collector receives them: what is in them, what never is, and that nothing depends on them.

#![cfg(all(feature = "demo", feature = "otlp"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected shall fail, and starts real processes on the wall's clock"
)]

#[path = "support/process.rs"]
mod process;

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use failback::{
    api::FailbackPlan,
    config::LogFormat,
    core::conditions,
    observability::{logging, traces::Traces},
    rehearsal::{Rehearsal, Setup, documents},
};
use kube::Api;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Any,
    trace::v1::{Span, status::StatusCode},
};
use prost::Message;

use self::process::Kubeconfig;

const WALL: Duration = Duration::from_secs(60);

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    batches: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn listen(&self) -> url::Url {
        let batches = Arc::clone(&self.batches);
        let receive = move |request: axum::extract::Request| {
            let batches = Arc::clone(&batches);
            async move {
                assert_eq!(request.uri().path(), "/v1/traces");
                assert_eq!(request.headers()["content-type"], "application/x-protobuf");
                let body = axum::body::to_bytes(request.into_body(), 16 << 20).await.unwrap();
                batches.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
                ([("content-type", "application/x-protobuf")], Vec::<u8>::new())
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(receive)).await });
        url.parse().unwrap()
    }

    fn spans(&self) -> Vec<Seen> {
        let batches = self.batches.lock().unwrap();
        let resources = batches.iter().flat_map(|batch| &batch.resource_spans);
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans.cloned().map(Seen::new).collect()
    }

    fn resource(&self) -> BTreeMap<String, String> {
        let batches = self.batches.lock().unwrap();
        attributes(&batches[0].resource_spans[0].resource.as_ref().unwrap().attributes)
    }
}

/// A span with its attributes as text.
struct Seen {
    span: Span,
    attributes: BTreeMap<String, String>,
}

impl Seen {
    fn new(span: Span) -> Self {
        let attributes = attributes(&span.attributes);
        Self { span, attributes }
    }

    fn name(&self) -> &str {
        &self.span.name
    }

    fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map(String::as_str).unwrap_or_default()
    }

    fn is_below(&self, other: &Self) -> bool {
        self.span.parent_span_id == other.span.span_id && self.span.trace_id == other.span.trace_id
    }
}

fn attributes(pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    let text = |value: Option<&Any>| match value {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        text(pair.value.as_ref().and_then(|value| value.value.as_ref()))
    };
    pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn install_tls() {
    // Tests share a process under `cargo test`; only the first one installs it.
    drop(rustls::crypto::ring::default_provider().install_default());
}

async fn rehearsal() -> Rehearsal {
    install_tls();
    let scenario = include_str!("../examples/scenarios/one-machine.yaml");
    let rehearsal = Rehearsal::start(&Setup::new(scenario, 1200.0)).await.unwrap();
    let files = [
        include_str!("../examples/one-machine/connections.yaml"),
        include_str!("../examples/one-machine/machine.yaml"),
        include_str!("../examples/one-machine/plan.yaml"),
    ];
    for file in files {
        rehearsal.apply(documents(file).unwrap()).await.unwrap();
    }
    rehearsal
}

async fn until_home(rehearsal: &Rehearsal) {
    let plans: Api<FailbackPlan> = Api::default_namespaced(rehearsal.client().await.unwrap());
    let began = Instant::now();
    loop {
        let status = plans.get("web").await.unwrap().status.unwrap_or_default();
        if conditions::is_true(&status.conditions, "Ready") {
            return;
        }
        assert!(began.elapsed() < WALL, "not home within {WALL:?}: {:?}", status.summary);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_sees_each_pass_with_its_operation_and_its_calls() {
    install_tls();
    let collector = Collector::default();
    let traces = Traces::new(&collector.listen().await, "failback", "pod-1").unwrap();
    logging::init(LogFormat::Text, "off", Some(traces.layer())).unwrap();
    let rehearsal = rehearsal().await;
    let (stop, controller) = rehearsal.controller().await.unwrap();
    until_home(&rehearsal).await;
    stop.cancel();
    controller.await.unwrap();
    traces.flush().await;
    let jobs: Vec<String> = {
        let items: Api<failback::api::ReplicatedItem> = Api::default_namespaced(rehearsal.client().await.unwrap());
        let status = items.get("web-01").await.unwrap().status.unwrap();
        status.history.iter().chain(&status.operation).filter_map(|record| record.job_id.clone()).collect()
    };
    rehearsal.end().await;

    let resource = collector.resource();
    assert_eq!((resource["service.name"].as_str(), resource["service.instance.id"].as_str()), ("failback", "pod-1"));
    let spans = collector.spans();
    let failback = spans.iter().find(|span| span.name() == "operation FailBack").expect("a failback");
    assert_eq!(
        ["verb", "namespace", "name", "attempt", "outcome"].map(|key| failback.get(key)),
        ["FailBack", "default", "web-01", "1", "submitted"]
    );
    assert!(jobs.contains(&failback.get("job.id").to_owned()), "{} of {jobs:?}", failback.get("job.id"));

    let pass = spans.iter().find(|span| failback.is_below(span)).expect("its pass");
    assert_eq!(pass.name(), "reconcile ReplicatedItem");
    assert_eq!(
        ["kind", "namespace", "name", "outcome"].map(|key| pass.get(key)),
        ["ReplicatedItem", "default", "web-01", "ok"]
    );
    let below: Vec<_> = spans.iter().filter(|span| span.is_below(failback)).collect();
    let call = below.iter().find(|span| span.name().ends_with("/plannedFailover")).expect("its call");
    assert!(call.name().starts_with("arm POST "), "{}", call.name());
    assert_eq!(
        ["api", "attempt", "http.response.status_code", "outcome"].map(|key| call.get(key)),
        ["arm", "1", "202", "ok"]
    );
    assert!(below.iter().any(|span| span.name().starts_with("arm GET ")), "the looks before it");
    let commit = spans.iter().find(|span| span.name() == "operation Commit").expect("a commit");
    let at_home = |span: &&Seen| span.is_below(commit) && span.name().starts_with("vcenter Retrieve");
    assert!(spans.iter().any(|span| at_home(&span)), "before a commit the machine at home is read");
    let writes = below.iter().filter(|span| span.name() == "kubernetes PATCH replicateditems/status");
    assert_eq!(writes.count(), 2, "intent and answer");
    assert!(spans.iter().any(|span| span.name() == "kubernetes POST events"));
    let token = spans.iter().find(|span| span.name() == "entra token").expect("a token");
    assert_eq!(token.get("http.response.status_code"), "200");
    // What went wrong on the way is told as such.
    for span in spans.iter().filter(|span| span.span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Error)) {
        assert!(!span.get("failure.class").is_empty(), "{}: {:?}", span.name(), span.attributes);
    }
    nothing_secret(&spans);
}

fn nothing_secret(spans: &[Seen]) {
    for span in spans {
        let all = format!("{} {:?} {:?}", span.name(), span.attributes, span.span.events);
        for secret in
            ["simulated-secret", "simulated-password", "Bearer", "eyJ", "?", "api-version", "vmware_soap_session"]
        {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
    }
}

/// The controller in a process of its own, with these variables; its log.
async fn run(variables: &[(&str, &str)]) -> (Duration, String) {
    let rehearsal = rehearsal().await;
    let port = rehearsal.api_address.port();
    let kubeconfig = Kubeconfig::of(port, &rehearsal.kubeconfig());
    let log = std::env::temp_dir().join(format!("failback-traces-{port}.log"));
    let clock = format!("{}={}@1200", jiff::Timestamp::now(), rehearsal.site.now());
    let mut child = Command::new(env!("CARGO_BIN_EXE_failback"))
        .args(["controller", "--listen", "127.0.0.1:0", "--lease-namespace", "default", "--clock", &clock])
        .arg("--kubeconfig")
        .arg(kubeconfig.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    until_home(&rehearsal).await;
    let stopped = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    let took = stopped.elapsed();
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(status.success(), "{told}");
    std::fs::remove_file(log).unwrap();
    rehearsal.end().await;
    (took, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_variable_turns_them_on_and_the_last_ones_are_sent_at_the_end() {
    let collector = Collector::default();
    let url = collector.listen().await;
    let base = url.as_str().trim_end_matches("/v1/traces").to_owned();
    let (_, told) = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &base), ("OTEL_SERVICE_NAME", "failback-lab")]).await;
    assert_eq!(collector.resource()["service.name"], "failback-lab");
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.name() == "operation Protect"));
    assert!(!told.contains("failback::traces"), "spans are not logged: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_harms_nothing() {
    // Nothing listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (took, told) = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{free}"))]).await;
    assert!(took < Duration::from_secs(8), "the end is not held up: {took:?}");
    assert_eq!(told.matches("traces cannot be delivered").count(), 1, "told once: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            kept.push(connection);
        }
    });
    let (took, _) = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))]).await;
    assert!(took < Duration::from_secs(10), "the end is not held up: {took:?}");
    silent.abort();
}

#[test]
fn an_endpoint_that_is_no_url_is_named() {
    let told = Command::new(env!("CARGO_BIN_EXE_failback"))
        .args(["controller", "--otlp-endpoint", "collector:4318"])
        .output()
        .unwrap();
    assert!(!told.status.success());
    let error = String::from_utf8(told.stderr).unwrap();
    assert!(error.contains("collector:4318") && error.contains("http://collector:4318"), "{error}");
}
