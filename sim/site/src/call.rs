//! The record of every mutating call that was received: what the tests of a client judge it by.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A mutating call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Simulated time of its arrival.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// The verb: `reProtect`, `failoverCommit`, `start`, or the SOAP method.
    pub verb: String,
    /// The body: JSON as it came, SOAP as its arguments. Of one beyond 64 KiB only the length is kept.
    pub body: Value,
    /// Status of the answer; 0 when none was sent.
    pub status: u16,
    /// The replicated machine or the VM that it was about.
    pub target: Option<String>,
    /// The world changed, or a job that changes it was started.
    pub effect: bool,
}
