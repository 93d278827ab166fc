//! What all vaults of the process share.

use std::{sync::Arc, time::Duration};

use crate::{
    azure::{
        budget::Budgets,
        http::{HttpOptions, Network, Transport},
    },
    core::failure::Failure,
    ports::{CallMeter, SharedClock},
};

/// The HTTP client, the budgets, the meter and the clock. Clones share them; made once for the process.
#[derive(Clone)]
pub struct AzureShared {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) budgets: Budgets,
    pub(crate) meter: Arc<dyn CallMeter>,
    pub(crate) clock: SharedClock,
    /// How many times as fast as the wall's time that clock runs.
    speed: f64,
    pub(crate) allow_plain_http: bool,
    pub(crate) trust_custom_endpoints: bool,
    pub(crate) metadata_service: String,
}

/// The instance metadata service, the same in every cloud.
const METADATA_SERVICE: &str = "http://169.254.169.254";

impl AzureShared {
    /// Over the network.
    pub fn new(clock: SharedClock, meter: Arc<dyn CallMeter>, options: &HttpOptions) -> Result<Self, Failure> {
        let network = Network::new(options)?;
        let shared = Self::over(network, clock, meter);
        Ok(Self { allow_plain_http: options.allow_plain_http, ..shared })
    }

    /// Over any other transport.
    pub fn over(transport: Arc<dyn Transport>, clock: SharedClock, meter: Arc<dyn CallMeter>) -> Self {
        let second = Duration::from_secs(1);
        let speed = second.as_secs_f64() / clock.wall(second).as_secs_f64().max(f64::MIN_POSITIVE);
        Self {
            transport,
            budgets: Budgets::at_speed(speed),
            meter,
            clock,
            speed,
            allow_plain_http: false,
            trust_custom_endpoints: false,
            metadata_service: METADATA_SERVICE.to_owned(),
        }
    }

    /// How many calls to ARM may be made at once, by class of calls: the least that any subscription has left.
    pub fn budgets_left(&self) -> Vec<(&'static str, f64)> {
        self.budgets.left()
    }

    /// The span of our clock in which so much time passes on the wall: what a failure tells of a wait.
    pub(crate) fn on_our_clock(&self, wall: Duration) -> Duration {
        Duration::try_from_secs_f64(wall.as_secs_f64() * self.speed).unwrap_or(Duration::MAX)
    }

    /// Another address of the instance metadata service.
    #[must_use]
    pub fn with_metadata_service(mut self, base: impl Into<String>) -> Self {
        self.metadata_service = base.into();
        self
    }

    /// Allows vaults with custom endpoints to use this pod's own identity (workload or managed identity). Whoever may
    /// write such an object then has that identity's tokens sent to an address of their choice.
    #[must_use]
    pub fn trusting_custom_endpoints(mut self) -> Self {
        self.trust_custom_endpoints = true;
        self
    }
}

impl std::fmt::Debug for AzureShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AzureShared").finish_non_exhaustive()
    }
}
