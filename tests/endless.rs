//! Answers that never end are given up: each client reads no more than it can use, and says how much that is.
#![cfg(feature = "operator")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use failback::{
    api::{HttpProbe, Probe},
    azure::{AzureConfig, AzureShared, AzureVault, Cloud, Credential, HttpOptions, Secret},
    core::probes::ProbeSeen,
    ports::{Clock, NoMeter, Prober as _, SiteRecovery as _, VirtualCenter as _},
    probe::NetworkProber,
    vcenter::{Trust, VCenterClient, VCenterConfig},
};
#[cfg(feature = "otlp")]
use failback::{
    observability::traces::Traces,
    ports::{Remote, trace},
};
use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span
    }
}

/// Answers whatever is asked without end; a token is granted where that is asked for, unless that is to be endless too.
async fn endless(grants: bool) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, grants, Arc::clone(&count)));
        }
    });
    (url, sent)
}

async fn answer(mut connection: TcpStream, grants: bool, sent: Arc<AtomicU64>) {
    let mut asked = vec![0; 16 << 10];
    let read = connection.read(&mut asked).await.unwrap_or_default();
    asked.truncate(read);
    if grants && String::from_utf8_lossy(&asked).contains("/token") {
        let body = r#"{"access_token":"t","expires_in":3600}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        drop(connection.write_all(answer.as_bytes()).await);
        return;
    }
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    if connection.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    // Until the other side hangs up.
    while connection.write_all(chunk.as_bytes()).await.is_ok() {
        sent.fetch_add(0x10000, Ordering::SeqCst);
    }
}

fn vault(url: &str) -> AzureVault {
    let shared = AzureShared::new(Arc::new(Wall), Arc::new(NoMeter), &HttpOptions::default()).unwrap();
    let config = AzureConfig {
        cloud: Cloud::Custom { authority: url.to_owned(), management: url.to_owned(), audience: None },
        subscription: "s".to_owned(),
        resource_group: "g".to_owned(),
        vault: "v".to_owned(),
        credential: Credential::ClientSecret {
            tenant: "t".to_owned(),
            client_id: "c".to_owned(),
            secret: Secret::new("secret"),
        },
    };
    AzureVault::new(config, &shared).unwrap()
}

#[tokio::test]
async fn azure_and_its_token_endpoint() {
    // What is on the way to us when we hang up was sent too.
    for (grants, limit, least, most) in [(true, "16 MiB", 16 << 20, 32 << 20), (false, "64 KiB", 64 << 10, 16 << 20)] {
        let (url, sent) = endless(grants).await;
        let failure = vault(&url).items().await.unwrap_err();
        assert!(failure.message.contains(&format!("larger than {limit}")), "{failure}");
        let sent = sent.load(Ordering::SeqCst);
        assert!((least..most).contains(&sent), "{sent} bytes were taken");
    }
}

#[tokio::test]
async fn vcenter() {
    let (url, sent) = endless(false).await;
    let config = VCenterConfig {
        server: url,
        user: "user".to_owned(),
        password: Secret::new("password"),
        trust: Trust::Thumbprint("AB".repeat(32)),
    };
    let client = VCenterClient::new(config, Arc::new(Wall), Arc::new(NoMeter)).unwrap();
    let failure = client.about().await.unwrap_err();
    assert!(failure.message.contains("longer than 32 MiB"), "{failure}");
    let sent = sent.load(Ordering::SeqCst) >> 20;
    assert!((32..64).contains(&sent), "{sent} MiB were taken");
}

/// A probe searches the beginning of a page, so that its length does not matter.
#[tokio::test]
async fn a_machine_that_came_home() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (url, sent) = endless(false).await;
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let http: HttpProbe =
        serde_json::from_value(serde_json::json!({ "host": "127.0.0.1", "port": port, "bodyMatch": "ready" })).unwrap();
    let probe: Probe = serde_json::from_value(serde_json::json!({ "name": "page", "http": http })).unwrap();
    let seen = NetworkProber { allow_loopback: true }.look(&probe, None).await;
    assert!(matches!(&seen, ProbeSeen::Bad(why) if why.contains("does not match")), "{seen:?}");
    assert!(sent.load(Ordering::SeqCst) < 16 << 20, "only its beginning was read");
}

/// A collector of traces is believed by its status.
#[cfg(feature = "otlp")]
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_traces() {
    use tracing_subscriber::layer::SubscriberExt as _;
    drop(rustls::crypto::ring::default_provider().install_default());
    let (url, sent) = endless(false).await;
    let traces = Traces::new(&url.parse().unwrap(), "failback", "pod-1").unwrap();
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, || drop(trace::call(Remote::Arm, "GET x", 1)));
    traces.flush().await;
    let sent = sent.load(Ordering::SeqCst);
    assert!((1..16 << 20).contains(&sent), "{sent} bytes were taken");
}
