//! What the process tells of itself: logs, metrics, health.

pub mod health;
pub mod logging;
pub mod metrics;
