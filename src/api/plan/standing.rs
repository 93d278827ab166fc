//! Where a plan stands: counts and aggregates, never a row per machine.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DesiredPhase, HookStatus};
use crate::api::preview::PlanPreview;

/// Counts of machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// For the DONE column: `38/40`.
    pub done: String,
    /// Machines in the plan, less those skipped.
    pub total: i32,
    /// Machines that are where the plan wants them.
    pub reached: i32,
    /// Machines on their way.
    pub moving: i32,
    /// Machines that wait for something.
    pub waiting: i32,
    /// Machines that need a person.
    pub stalled: i32,
}

/// One wave's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaveStatus {
    /// Name of the wave.
    pub name: String,
    /// Machines in it, less those skipped.
    pub total: i32,
    /// Machines that are where the plan wants them.
    pub reached: i32,
    /// Machines on their way.
    pub moving: i32,
    /// Machines that need a person.
    pub stalled: i32,
    /// Machines that are verified at home.
    #[serde(default)]
    pub verified: i32,
    /// What the wave's selector found when the plan started: the wave's machines for good. Names, and ranges of names
    /// that differ only in their number, such as `web-{001..120}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub items: Option<Vec<String>>,
}

/// What stands in the way, aggregated over machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// The check's name, or a condition's reason.
    pub reason: String,
    /// How many machines have it.
    pub count: i32,
    /// Some of them, at most five; fewer where their names are long.
    pub items: Vec<String>,
    /// The first machine's message.
    pub message: String,
}

/// A failback that the plan undid because probes failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancelled {
    /// Name of the ReplicatedItem.
    pub item: String,
    /// The plan's retry token at that time: the machine is failed back again under another one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retry_token: String,
    /// Why, in at most 100 bytes.
    pub reason: String,
}

/// What a run has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// When all of these machines were verified at home, for the first time.
    pub verified_at: Time,
    /// Seconds from the start of the plan until then: the recovery time.
    pub rto_seconds: i64,
    /// The largest loss of data by going back to an earlier recovery point, in seconds, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_seconds: Option<i64>,
    /// How many machines that is about: all of the plan but those that were set aside or stayed in Azure then. It is
    /// measured anew once more of them have come home.
    #[serde(default)]
    pub machines: i32,
}

/// Where the plan stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailbackPlanStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The phase that all machines have reached.
    #[serde(default)]
    pub phase: DesiredPhase,
    /// `Ready`, `Reconciling`, `Stalled`, `PreflightPassed`, `Reprotected`, `FailedBack`, `Verified`, `Committed`,
    /// `Protected`, `Approved`, `Suspended`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Counts of machines.
    #[serde(default)]
    pub summary: Summary,
    /// Counts per wave.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub waves: Vec<WaveStatus>,
    /// What stands in the way, at most twenty rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub issues: Vec<Issue>,
    /// Hash of what an approval is for: that part of the spec, and the machines that its selectors find, or had found
    /// when the plan started. A FailbackApproval quotes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_hash: Option<String>,
    /// When the plan first let a machine act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When all machines had reached Protected. A completed plan does nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// What the run has measured, once all machines were verified at home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
    /// Failbacks that were undone because probes failed, at most 32 in 5 KiB; they are not repeated under the same retry token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub cancelled: Vec<Cancelled>,
    /// The last run of each hook of scope Plan or Wave. Those of scope Item are in the claim of their machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40))]
    pub hooks: Vec<HookStatus>,
    /// When the last machine should be where the plan wants it, if nothing new happens: by what was measured, the
    /// waves, the limits of the plan, the master targets' disks and the window. Absent while nothing moves, where a part
    /// of it is not known, and as long as something that lies ahead waits for a person (an approval, a machine that
    /// failed, spec.suspend) or for another plan: how long that takes nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion: Option<Time>,
    /// What is still to be done, and what would stop it now. Once the plan has started, as it was then, or when
    /// the plan was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PlanPreview>,
    /// The retry token that was acted on last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retry_token: String,
}
