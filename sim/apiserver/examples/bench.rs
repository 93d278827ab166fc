//! Measures the server; the figures are for comparison with those of a real one.
//!
//! ```sh
//! cargo run --release -p sim-apiserver --example bench
//! ```
//!
//! Over HTTP the server is a process of its own, whose memory is reported. It fails beyond the bounds below.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use sim_apiserver::{ApiServer, Options};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const PLANS: &str = "/apis/demo.example.io/v1alpha1/namespaces/default/failbackplans";
const CRD: &str = include_str!("../tests/fixtures/crd.json");

/// Creates in a second, from one client.
const LEAST_CREATES: f64 = 1_500.0;
/// From a write to its event.
const LONGEST_MEDIAN: Duration = Duration::from_millis(2);
/// MB with 10,000 objects, which is to stay below it.
const MOST_MEMORY: u64 = 300;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match std::env::args().nth(1).as_deref() {
        Some("serve") => runtime.block_on(serve()),
        _ => runtime.block_on(measure()),
    }
}

async fn serve() -> Outcome<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    Ok(ApiServer::new(Options::default())?.serve(listener, std::future::pending()).await?)
}

/// The server's process, killed at the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill() {
            eprintln!("the server does not end: {error}");
        }
    }
}

impl Server {
    fn memory(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).ok_or("no value")?.parse()?;
        Ok(kib / 1024)
    }
}

async fn measure() -> Outcome<()> {
    let start = Instant::now();
    let mut child = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let server = Server(child);
    let mut addr = String::new();
    BufReader::new(stdout).read_line(&mut addr)?;
    let mut config = kube::Config::new(format!("http://{}", addr.trim()).parse()?);
    config.default_retry = false;
    let client = Client::try_from(config)?;
    send(&client, "GET", "/readyz", None).await?;
    println!("start until ready     {:>9.1?}", start.elapsed());
    send(&client, "POST", CRDS, Some(serde_json::from_str(CRD)?)).await?;
    println!("memory idle           {:>6} MB", server.memory()?);
    let http = rates("HTTP", &client).await?;
    let memory = server.memory()?;
    println!("memory, 10,000 objects{memory:>6} MB");

    let embedded = ApiServer::new(Options::default())?;
    embedded.apply(serde_json::from_str(CRD)?).await?;
    let in_process = rates("in-process", &Client::new(embedded.service("bench"), "default")).await?;

    let mut beyond = [http, in_process].concat();
    if memory >= MOST_MEMORY {
        beyond.push(format!("{memory} MB with 10,000 objects, not below {MOST_MEMORY}"));
    }
    if beyond.is_empty() { Ok(()) } else { Err(beyond.join("; ").into()) }
}

/// Creates 10,000 objects, and measures while there are still few; what is beyond the bounds.
async fn rates(name: &str, client: &Client) -> Outcome<Vec<String>> {
    let mut beyond = Vec::new();
    let median = latency(name, client).await?;
    if median >= LONGEST_MEDIAN {
        beyond.push(format!("{name}: {median:.2?} from write to event, not below {LONGEST_MEDIAN:?}"));
    }
    for (clients, count) in [(1, 3_000), (8, 6_800)] {
        let start = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for worker in 0..clients {
            let client = client.clone();
            running.spawn(async move {
                for n in 0..count / clients {
                    create(&client, &format!("c{clients}-{worker}-{n}")).await?;
                }
                Outcome::Ok(())
            });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        println!("{name}: creates/s, {clients} client(s) {rate:>8.0}");
        if clients == 1 && rate < LEAST_CREATES {
            beyond.push(format!("{name}: {rate:.0} creates/s, not {LEAST_CREATES}"));
        }
    }
    let start = Instant::now();
    let bytes = send(client, "GET", PLANS, None).await?.len();
    println!("{name}: list of 10,000 ({} MB) {:>9.1?}", bytes >> 20, start.elapsed());
    Ok(beyond)
}

/// From sending a create to reading its event from a watch; the median.
async fn latency(name: &str, client: &Client) -> Outcome<Duration> {
    let request = Request::get(format!("{PLANS}?watch=1&resourceVersion=0")).body(Body::empty())?;
    let mut events = client.send(request).await?.into_body().into_data_stream();
    let mut times = Vec::new();
    for n in 0..200 {
        let start = Instant::now();
        let name = format!("w{n}");
        let (created, event) = tokio::join!(create(client, &name), events.next());
        created?;
        event.ok_or("the watch ended")??;
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!("{name}: write to event  p50 {:.2?}, p99 {:.2?}", at(50), at(99));
    Ok(at(50))
}

async fn create(client: &Client, name: &str) -> Outcome<()> {
    let plan = json!({
        "apiVersion": "demo.example.io/v1alpha1", "kind": "FailbackPlan", "metadata": {"name": name},
        "spec": {"site": "paris", "parallelism": 3, "vms": [{"name": "a", "disks": ["d1", "d2"]}, {"name": "b"}]},
    });
    send(client, "POST", PLANS, Some(plan)).await.map(|_| ())
}

async fn send(client: &Client, method: &str, path: &str, body: Option<Value>) -> Outcome<bytes::Bytes> {
    let body = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = client.send(request.body(Body::from(body))?).await?;
    if !response.status().is_success() {
        return Err(format!("{method} {path}: {}", response.status()).into());
    }
    Ok(response.into_body().collect().await?.to_bytes())
}
