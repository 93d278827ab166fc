//! What a plan would do, before anything runs: totals only. `kubectl failback plan` shows each machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::progress::EstimateBasis;

/// What is still to be done from where the machines stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanPreview {
    /// Machines with something left to do.
    pub machines: i32,
    /// Sum of their disks' sizes in bytes, of those whose size is known.
    pub bytes: i64,
    /// Machines whose size is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_unknown: i32,
    /// Calls to Azure that are still to be made, by step.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub calls: Vec<CallCount>,
    /// Machines that something would stop now.
    pub blocked: i32,
    /// What would stop them, of the first ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub blockers: Vec<Blocker>,
    /// Estimated seconds of the whole run, to the minute: with the times at which the window is closed, without those
    /// that people take to approve. Of a plan that waits for its start, from when its window opens next. Absent when a
    /// part of it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_seconds: Option<i64>,
    /// The vaguest thing that the estimate rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_basis: Option<EstimateBasis>,
    /// Why there is no estimate; that it overruns the window; which approvals it does not count.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub estimate_message: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_zero(value: &i32) -> bool {
    *value == 0
}

/// How often a call is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallCount {
    /// The step: Reprotect, FailBack, Commit or Protect.
    #[schemars(length(max = 32))]
    pub verb: String,
    /// How often.
    pub count: i32,
}

/// What would stop a machine now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// Name of the ReplicatedItem.
    #[schemars(length(max = 253))]
    pub item: String,
    /// Name of the check, or a reason word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What was observed.
    #[schemars(length(max = 400))]
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 400))]
    pub remedy: String,
}
