//! What ten thousand items cost: `cargo run --release -p sim-site --example scale`. Fails when a bound is not kept.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use sim_site::{Options, Scenario, Site, scenario::Azure};

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    token: &str,
    body: String,
) -> Result<Bytes, Box<dyn Error>> {
    sender.ready().await?;
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(body.into()))?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("{method} {path}: {}", response.status()).into());
    }
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Resident memory in bytes, from the kernel.
fn memory() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? * 1024)
}

fn bound<T: PartialOrd + std::fmt::Debug>(what: &str, is: T, most: T) -> Result<(), Box<dyn Error>> {
    println!("{what}: {is:?} (bound {most:?})");
    if is > most { Err(format!("{what} is over its bound").into()) } else { Ok(()) }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let site = Site::new(Scenario::from_yaml("machines: [{name: vm, count: 10000}]")?, Options::at_speed(60.0))?;
    bound("start of 10,000 items", begin.elapsed(), Duration::from_secs(2))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let stream = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
    let serving = tokio::spawn(async move { site.serve(listener, std::future::pending()).await });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let azure = Azure::default();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default",
        azure.client_id, azure.client_secret
    );
    let token: serde_json::Value = serde_json::from_slice(
        &send(&mut sender, "POST", &format!("/{}/oauth2/v2.0/token", azure.tenant), "", form).await?,
    )?;
    let token = token.get("access_token").and_then(serde_json::Value::as_str).ok_or("no token")?.to_owned();
    let vault = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.RecoveryServices/vaults/{}",
        azure.subscription, azure.resource_group, azure.vault
    );
    let mut pages: Vec<Duration> = Vec::new();
    for page in 0..100 {
        let begin = Instant::now();
        let path = format!("{vault}/replicationProtectedItems?api-version=2025-08-01&skipToken={}", page * 100);
        let body = send(&mut sender, "GET", &path, &token, String::new()).await?;
        pages.push(begin.elapsed());
        if !body.ends_with(b"}") {
            return Err("a page is cut".into());
        }
    }
    pages.sort();
    println!("list pages: median {:?}", pages.get(50).ok_or("no page")?);
    bound("slowest of 100 list pages", pages.last().copied().ok_or("no page")?, Duration::from_millis(20))?;
    bound("memory in MB", memory()? >> 20, 400)?;
    serving.abort();
    driver.abort();
    Ok(())
}
