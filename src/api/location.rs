//! Where a machine comes home and from which point, as decided from facts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::item::RecoveryPointChoice;

/// Which location was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DecidedLocation {
    /// Onto the original VM.
    Original,
    /// As a new VM.
    Alternate,
}

/// What is transferred first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Transfer {
    /// Only what changed since the failover.
    Changes,
    /// All data, then what changed meanwhile.
    Full,
}

/// Where the machine comes home, decided from facts before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocationStatus {
    /// Which.
    pub decided: DecidedLocation,
    /// Why, with names.
    pub reason: String,
    /// What it means.
    pub transfer: Transfer,
    /// Size of the machine's disks in bytes: all of it is sent for a full transfer, and compared for changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Estimated seconds of the first transfer, where a rate is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_seconds: Option<i64>,
}

/// The recovery point that a failback uses, or used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPointStatus {
    /// Which was asked for.
    pub choice: RecoveryPointChoice,
    /// ARM id, where one is named in the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When the point was made. Absent when the service makes it during the failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Seconds of changes that are lost by going back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_seconds: Option<i64>,
    /// The same in a sentence.
    pub message: String,
}
