//! The vCenter client against a scripted SOAP server: sessions, refusals, broken connections, certificates.

#![cfg(feature = "operator")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected shall fail"
)]

mod following;
mod scripted;
mod sessions;
mod trust;

use std::{sync::Arc, time::Duration};

use failback::{
    ports::{CallMeter, Clock, NoMeter},
    vcenter::{Trust, VCenterClient, VCenterConfig},
};
use jiff::Timestamp;

/// The wall's time, or one that runs this many times as fast.
pub struct Faster(pub u32);

impl Clock for Faster {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span / self.0
    }
}

pub fn client(server: &str, trust: Trust, speed: u32) -> VCenterClient {
    metered(server, trust, speed, Arc::new(NoMeter))
}

pub fn metered(server: &str, trust: Trust, speed: u32, meter: Arc<dyn CallMeter>) -> VCenterClient {
    let config = VCenterConfig {
        server: server.to_owned(),
        user: "svc-failback@vsphere.local".into(),
        password: failback::ports::Secret::new("p&ss<word>"),
        trust,
    };
    VCenterClient::new(config, Arc::new(Faster(speed)), meter).unwrap()
}

/// A client of a scripted server without TLS.
pub fn plain(server: &scripted::Scripted) -> VCenterClient {
    client(&format!("http://{}", server.address), Trust::System, 1)
}
