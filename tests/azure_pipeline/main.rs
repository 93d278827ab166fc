//! The Azure adapter against a server that answers by script: each rule that the fault trials taught has a test.
#![cfg(feature = "operator")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod credentials;
mod reads;
mod secrets;
mod server;
mod writes;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use failback::{
    azure::{AzureConfig, AzureShared, AzureVault, Cloud, Credential, HttpOptions, Secret},
    ports::{CallMeter, Clock, Remote, SharedClock},
};
use jiff::Timestamp;

use crate::server::Server;

pub(crate) const ITEM: &str = "/Subscriptions/s1/resourceGroups/g1/providers/Microsoft.RecoveryServices/vaults/v1\
                               /replicationFabrics/f/replicationProtectionContainers/c/replicationProtectedItems/i1";

pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span
    }
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) calls: Mutex<Vec<(Remote, u16)>>,
    pub(crate) throttled: Mutex<usize>,
}

impl CallMeter for Meter {
    fn called(&self, remote: Remote, code: u16, _: Duration) {
        self.calls.lock().unwrap().push((remote, code));
    }

    fn throttled(&self, _: Remote) {
        *self.throttled.lock().unwrap() += 1;
    }
}

/// A clock that runs sixty times as fast as the wall's.
pub(crate) struct FastClock;

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span / 60
    }
}

pub(crate) fn shared() -> (AzureShared, Arc<Meter>) {
    shared_on(Arc::new(WallClock))
}

pub(crate) fn shared_on(clock: SharedClock) -> (AzureShared, Arc<Meter>) {
    let meter = Arc::new(Meter::default());
    let options = HttpOptions { request_timeout: Duration::from_millis(700), ..HttpOptions::default() };
    (AzureShared::new(clock, Arc::clone(&meter) as Arc<dyn CallMeter>, &options).unwrap(), meter)
}

pub(crate) fn config(authority: &str, management: &str) -> AzureConfig {
    AzureConfig {
        cloud: Cloud::Custom { authority: authority.to_owned(), management: management.to_owned(), audience: None },
        subscription: "s1".to_owned(),
        resource_group: "g1".to_owned(),
        vault: "v1".to_owned(),
        credential: Credential::ClientSecret {
            tenant: "t1".to_owned(),
            client_id: "c1".to_owned(),
            secret: Secret::new("the-secret"),
        },
    }
}

pub(crate) fn vault_at(server: &Server) -> AzureVault {
    AzureVault::new(config(&server.url, &server.url), &shared().0).unwrap()
}

/// An address where nobody listens.
pub(crate) async fn dead_end() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
