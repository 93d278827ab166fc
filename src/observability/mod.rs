//! What the process tells of itself: logs, metrics, health.

pub mod health;
mod heartbeat;
pub mod logging;
pub mod metrics;
