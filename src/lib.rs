//! Failback.
pub mod api;
#[cfg(feature = "operator")]
pub mod azure;
pub mod core;
#[cfg(feature = "operator")]
pub mod ports;
#[cfg(feature = "operator")]
pub mod vcenter;
