//! No secret, token or signed URL reaches a log, a failure or a debug print.

use std::sync::{Arc, Mutex};

use failback::{
    azure::{AzureVault, Credential},
    core::action::Action,
    ports::SiteRecovery,
};
use serde_json::json;
use tracing::{Event, Level, Metadata, Subscriber, field::Visit, span};

use crate::{
    ITEM, config,
    server::{Reply, Server, ok},
    shared,
};

/// Writes down every event and span of every library.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
        if *event.metadata().level() <= Level::INFO {
            self.0.lock().unwrap().push('\n');
        }
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn nothing_secret_is_told() {
    let log = Everything::default();
    let logging = tracing::subscriber::set_default(log.clone());
    let server = Server::start().await;
    let signed = |path: &str| format!("{}/subscriptions/s1{path}/j1?api-version=1&s=SIGNATURE", server.url);
    let headers = vec![("Location", signed("/operationresults")), ("Azure-AsyncOperation", signed("/x"))];
    server.on("POST failoverCommit", [Reply::Text(202, headers, String::new())]);
    let echo = "You sent Bearer token-1 and eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.sig to https://h/p?s=SIGNATURE";
    let denied = Reply::Json(403, vec![], json!({"error": {"code": "AuthorizationFailed", "message": echo}}));
    server.on("GET i1", [denied]);
    let page = json!({"value": [], "nextLink": "https://elsewhere.example/x?s=SIGNATURE"});
    server.on("GET replicationProtectedItems", [ok(page)]);
    server.on("GET replicationJobs", [Reply::Text(200, vec![], echo.to_owned())]);
    let config = config(&server.url, &server.url);
    let printed = format!("{config:?} {:?}", Credential::clone(&config.credential));
    let vault = AzureVault::new(config, &shared().0).unwrap();
    let mut told = vec![printed, format!("{:?}", vault.submit(ITEM, &Action::Commit, &|| Ok(())).await.unwrap())];
    told.push(format!("{:?}", vault.item(ITEM).await.unwrap_err()));
    told.push(format!("{:?}", vault.items().await.unwrap_err()));
    told.push(format!("{:?}", vault.jobs().await.unwrap_err()));
    drop(logging);
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("accepted by Azure") && logged.contains("called ARM"), "the log was listened to");
    told.push(logged);
    for text in told {
        for secret in ["the-secret", "token-1", "SIGNATURE", "eyJhbGci"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
