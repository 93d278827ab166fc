//! What the process tells of itself: logs, metrics, health.

pub mod logging;
