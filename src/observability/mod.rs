//! What the process tells of itself: logs, metrics, health.

mod gauges;
pub mod health;
mod heartbeat;
pub mod logging;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod traces;
