//! A small HTTP client and a running site, for the tests.

#![allow(dead_code, reason = "each test uses its own part")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use serde_json::Value;
use sim_site::{Options, Scenario, Site};

/// Says that a test is skipped, and why. With FAILBACK_REQUIRE_TOOLS=1 it fails instead, so that a skip cannot go unnoticed.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("FAILBACK_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "must not be skipped: {why}");
    eprintln!("SKIPPED: {why}");
}

/// A site that serves on an ephemeral port until it is dropped.
pub(crate) struct Running {
    pub(crate) site: Site,
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn start(yaml: &str, speed: f64) -> Running {
    start_with(yaml, Options::at_speed(speed)).await
}

pub(crate) async fn start_with(yaml: &str, options: Options) -> Running {
    serve(Site::new(Scenario::from_yaml(yaml).unwrap(), options).unwrap()).await
}

pub(crate) async fn serve(site: Site) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = site.clone();
    let task = tokio::spawn(async move { serving.serve(listener, std::future::pending()).await.unwrap() });
    Running { site, address, task }
}

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }
}

pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Reply, String> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    driver.abort();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
}

pub(crate) const API: &str = "api-version=2025-08-01";

/// Each provider has its own API versions.
fn version_of(path: &str) -> &'static str {
    [
        ("/locks", "api-version=2020-05-01"),
        ("Microsoft.Compute", "api-version=2024-03-01"),
        ("Microsoft.OffAzure", "api-version=2023-06-06"),
    ]
    .iter()
    .find_map(|(part, version)| path.contains(part).then_some(*version))
    .unwrap_or(API)
}

/// An ARM client of a running site.
pub(crate) struct Arm<'a> {
    pub(crate) running: &'a Running,
    pub(crate) token: String,
    pub(crate) base: String,
    pub(crate) vault: String,
}

impl<'a> Arm<'a> {
    pub(crate) async fn login(running: &'a Running) -> Arm<'a> {
        let azure = sim_site::scenario::Azure::default();
        Arm::login_as(running, &azure).await
    }

    pub(crate) async fn login_as(running: &'a Running, azure: &sim_site::scenario::Azure) -> Arm<'a> {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default",
            azure.client_id, azure.client_secret
        );
        let path = format!("/{}/oauth2/v2.0/token", azure.tenant);
        let reply =
            send(running.address, "POST", &path, &[("content-type", "application/x-www-form-urlencoded")], form)
                .await
                .unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let token = reply.json()["access_token"].as_str().unwrap().to_owned();
        let group = format!("/subscriptions/{}/resourceGroups/{}", azure.subscription, azure.resource_group);
        let vault = format!("{group}/providers/Microsoft.RecoveryServices/vaults/{}", azure.vault);
        Arm { running, token, base: group, vault }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let path = if path.contains("api-version") {
            path.to_owned()
        } else {
            format!("{path}{}{}", if path.contains('?') { '&' } else { '?' }, version_of(path))
        };
        let bearer = format!("Bearer {}", self.token);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        send(
            self.running.address,
            method,
            &path,
            &[("authorization", &bearer), ("content-type", "application/json")],
            body,
        )
        .await
        .unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self.call("GET", path, None).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// The full item of a machine.
    pub(crate) async fn item(&self, name: &str) -> Value {
        let id = self.item_id(name);
        self.get(&id).await
    }

    pub(crate) fn item_id(&self, name: &str) -> String {
        let snapshot = self.running.site.snapshot();
        let machine =
            snapshot["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == name).unwrap().clone();
        machine["itemId"].as_str().unwrap().to_owned()
    }

    /// Calls a verb, expects 202 and tells the job's id.
    pub(crate) async fn verb(&self, name: &str, verb: &str, body: Option<Value>) -> String {
        let reply = self.call("POST", &format!("{}/{verb}", self.item_id(name)), body).await;
        assert_eq!(reply.status, 202, "{verb}: {}", reply.text());
        assert!(reply.body.is_empty());
        reply.header("x-ms-request-id").rsplit('/').next().unwrap().to_owned()
    }

    /// Jumps until a job is over and tells its properties.
    pub(crate) async fn finish(&self, job: &str) -> Value {
        for _ in 0..400 {
            let job = self.get(&format!("{}/replicationJobs/{job}", self.vault)).await;
            let state = job["properties"]["state"].as_str().unwrap().to_owned();
            if !matches!(state.as_str(), "InProgress" | "NotStarted") {
                return job["properties"].clone();
            }
            self.running.site.advance(SignedDuration::from_secs(30));
        }
        panic!("the job does not end");
    }

    /// Jumps until an item's state is this one; tells the simulated minutes that it took.
    pub(crate) async fn until(&self, name: &str, state: &str) -> i64 {
        let start = self.running.site.now();
        for _ in 0..400 {
            if self.item(name).await["properties"]["protectionState"] == state {
                return self.running.site.now().duration_since(start).as_mins();
            }
            self.running.site.advance(SignedDuration::from_secs(30));
        }
        panic!("{name} does not reach {state}");
    }

    pub(crate) fn machine(&self, name: &str) -> Value {
        let snapshot = self.running.site.snapshot();
        snapshot["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == name).unwrap().clone()
    }
}

/// A vCenter client of a running site.
pub(crate) struct Vim<'a> {
    pub(crate) running: &'a Running,
    pub(crate) cookie: String,
}

pub(crate) fn envelope(body: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"#
    )
}

impl<'a> Vim<'a> {
    pub(crate) async fn login(running: &'a Running) -> Vim<'a> {
        let mut vim = Vim { running, cookie: String::new() };
        let reply = vim
            .raw(r#"<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName>administrator@vsphere.local</userName><password>simulated-password</password></Login>"#)
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        vim.cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
        vim
    }

    pub(crate) async fn raw(&self, call: &str) -> Reply {
        let headers = [
            ("content-type", "text/xml; charset=utf-8"),
            ("soapaction", "\"urn:vim25/6.5\""),
            ("cookie", self.cookie.as_str()),
        ];
        send(self.running.address, "POST", "/sdk", &headers, envelope(call)).await.unwrap()
    }

    pub(crate) async fn call(&self, call: &str) -> String {
        let reply = self.raw(call).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    }
}

/// What lies between two marks.
pub(crate) fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    let start = text.find(from)? + from.len();
    let end = text[start..].find(to)? + start;
    Some(&text[start..end])
}

/// Waits until something holds, in wall time.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never holds");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
