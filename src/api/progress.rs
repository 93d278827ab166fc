//! How far a step of a machine has come, and how long steps took.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an estimate rests on, from firm to vague.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EstimateBasis {
    /// Declared in the plan, such as the soak time.
    Declared,
    /// This machine's own progress.
    Measured,
    /// The same step of other machines of the namespace.
    MeasuredElsewhere,
    /// A figure of the one public recording by the vendor. It says what is usual, and nothing about this site.
    Typical,
}

/// How far the step at hand has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// For the PROGRESS column: a percentage, or the task at hand.
    pub text: String,
    /// 0–100, where Azure gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// The step: Reprotect, SyncToVMware, FailBack, Commit, Cancel, Protect or SyncToAzure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// Since when this step is under way: the intent of its call, or when its synchronisation was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Bytes of the machine's disks that are dealt with: compared, and sent where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_done: Option<i64>,
    /// Bytes of all of the machine's disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<i64>,
    /// `bytesDone` at `since`: what was done before is no measure of the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_at_start: Option<i64>,
    /// `percent` at `since`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_at_start: Option<i32>,
    /// Measured from `since` to the last progress that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<i64>,
    /// When the step should be done, to the minute. Absent where nothing was measured, or when the time has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion: Option<Time>,
    /// What that rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_basis: Option<EstimateBasis>,
}

/// How long a step took that ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepTiming {
    /// The step: Reprotect, SyncToVMware, FailBack, Commit, Cancel, Protect or SyncToAzure.
    #[schemars(length(max = 32))]
    pub verb: String,
    /// When its call was intended, or its synchronisation was first seen.
    pub started_at: Time,
    /// When its end was seen.
    pub ended_at: Time,
    /// Seconds between the two.
    pub seconds: i64,
    /// Bytes that a synchronisation dealt with in that time, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}
