//! What runs before and after steps: Jobs of the user's own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{approval::ApprovalStep, job::JobTemplate};

/// On which side of a step a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum HookTime {
    /// Before the step starts, once nothing else holds it.
    Before,
    /// After the step has led where it leads, and before what comes next.
    After,
}

impl HookTime {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "Before",
            Self::After => "After",
        }
    }
}

/// How often a hook runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookScope {
    /// Once: before the plan's first machine takes the step, or after its last has.
    #[default]
    Plan,
    /// Once for each wave.
    Wave,
    /// Once for each machine.
    Item,
}

impl HookScope {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "Plan",
            Self::Wave => "Wave",
            Self::Item => "Item",
        }
    }
}

/// What follows when a hook fails, ends by its timeout, or cannot be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnHookFailure {
    /// What it runs before or after waits, until the hook succeeds under another `retryToken` or is taken out.
    #[default]
    Hold,
    /// It is told, and everything goes on.
    Continue,
}

/// A Job that runs before or after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.scope != 'Plan' || !has(self.waves)")
    .message("waves goes with scope Wave or Item: a hook of scope Plan runs once for all of them"))]
#[x_kube(validation = Rule::new("self.scope == 'Item' || !has(self.items)")
    .message("items goes with scope Item"))]
pub struct Hook {
    /// Name of the hook, unique in the plan: lower-case letters, digits and dashes.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// Before or after the step.
    pub when: HookTime,
    /// Which step.
    pub step: ApprovalStep,
    /// How often it runs.
    #[serde(default)]
    pub scope: HookScope,
    /// The waves that it runs for, with scope Wave or Item; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub waves: Vec<String>,
    /// The machines that it runs for, with scope Item; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub items: Vec<String>,
    /// The Job to run. Each of its containers gets the facts of what it runs for as environment variables
    /// `FAILBACK_…`.
    #[x_kube(merge_strategy = StructMerge::Atomic)]
    pub job_template: JobTemplate,
    /// After so many seconds it has failed: the Job's `activeDeadlineSeconds`.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 10, max = 86_400))]
    pub timeout_seconds: i32,
    /// What follows when it fails.
    #[serde(default)]
    pub on_failure: OnHookFailure,
}

const fn ten_minutes() -> i32 {
    600
}

/// How a run of a hook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HookOutcome {
    /// Its Job is being made, or runs.
    Running,
    /// No Job could be made. It is tried again every minute.
    Refused,
    /// Its Job is complete.
    Succeeded,
    /// Its Job failed, or is gone without having been seen to end.
    Failed,
}

/// The last run of a hook: written before its Job is made, and kept so that it is not repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookStatus {
    /// Name of the hook.
    #[schemars(length(max = 40))]
    pub name: String,
    /// The wave that it ran for, with scope Wave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub wave: String,
    /// How it stands.
    pub outcome: HookOutcome,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// UID of the Job, once it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// The plan's retry token under which it ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub retry_token: String,
    /// What it waits for, or why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 500))]
    pub message: String,
    /// When it began.
    pub began_at: Time,
    /// When its end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}

impl Hook {
    /// Whether a hook of scope Wave or Item runs for this wave.
    pub fn is_for_wave(&self, wave: &str) -> bool {
        self.waves.is_empty() || self.waves.iter().any(|name| name == wave)
    }

    /// Whether a hook of scope Item runs for this machine.
    pub fn is_for_item(&self, wave: &str, item: &str) -> bool {
        self.is_for_wave(wave) && (self.items.is_empty() || self.items.iter().any(|name| name == item))
    }
}
