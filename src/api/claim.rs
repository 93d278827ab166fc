//! A plan's word about one of its machines, in that machine's status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    found::Found,
    plan::{DesiredPhase, HookStatus},
};

/// Which plan has claimed the item, and how far it may go. Written by the plan's reconciler alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Name of the plan.
    pub plan: String,
    /// UID of the plan.
    pub plan_uid: String,
    /// How far the plan lets this item go now: its desired phase, less what a wave, an approval or a suspension holds
    /// back.
    pub up_to: DesiredPhase,
    /// Why it is less than the plan's desired phase: a reason word. Empty when it is not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held_by: String,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held_message: String,
    /// Seconds for which verification must hold before a commit.
    #[serde(default)]
    pub soak_seconds: i32,
    /// The plan's retry token, when the item was claimed or retried last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retry_token: String,
    /// The wave that the machine belongs to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wave: String,
    /// Checks that the plan waives for this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub waivers: Vec<ClaimWaiver>,
    /// Why the uncommitted failback is to be undone: set while the plan asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
    /// Set while the machine is where no record says that the plan brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// The last run of each of the plan's hooks of scope Item that was begun for this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub hooks: Vec<HookStatus>,
}

/// A check that a plan waives for a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimWaiver {
    /// Name of the check.
    #[schemars(length(min = 1, max = 64))]
    pub check: String,
    /// Why, as the plan says.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}
