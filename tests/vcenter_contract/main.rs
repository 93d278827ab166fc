//! What the vCenter client must do with any vCenter, shown with two that were written independently: VMware's own
//! simulator, and the simulated site. Where those two differ is listed in `tests/vcsim/README.md`.

#![cfg(feature = "demo")]
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

mod contract;
mod hand;
mod simulated;
mod vcsim;

use std::{any::Any, sync::Arc, time::Duration};

use failback::{
    ports::{Clock, NoMeter},
    vcenter::{Trust, VCenterClient, VCenterConfig},
};
use jiff::Timestamp;

/// A vCenter to test with.
pub struct Site {
    /// Host and port.
    pub server: String,
    /// How to trust it.
    pub trust: Trust,
    pub user: String,
    pub password: String,
    /// Ends it when dropped.
    pub running: Box<dyn Any>,
}

/// The wall's time, or one that runs this many times as fast.
struct Faster(u32);

impl Clock for Faster {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span / self.0
    }
}

impl Site {
    pub fn client(&self) -> VCenterClient {
        self.client_with(&self.password, self.trust.clone(), 1)
    }

    pub fn client_with(&self, password: &str, trust: Trust, speed: u32) -> VCenterClient {
        let config = VCenterConfig {
            server: self.server.clone(),
            user: self.user.clone(),
            password: failback::ports::Secret::new(password),
            trust,
        };
        VCenterClient::new(config, Arc::new(Faster(speed)), Arc::new(NoMeter)).unwrap()
    }
}
