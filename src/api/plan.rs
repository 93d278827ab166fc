//! `FailbackPlan`: which machines come home, how far, under which gates.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{approval::ApprovalStep, preview::PlanPreview};

/// How far a plan goes. Raising it, step by step, is the first gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DesiredPhase {
    /// Observe and show readiness; change nothing.
    #[default]
    Assessed,
    /// Replicate from Azure to VMware.
    Reprotected,
    /// Run at home; the copy in Azure is stopped and kept.
    FailedBack,
    /// The failback is final; the copy in Azure is deleted.
    Committed,
    /// Replicate to Azure again.
    Protected,
}

impl DesiredPhase {
    /// All phases, in their order.
    pub const ALL: [Self; 5] = [Self::Assessed, Self::Reprotected, Self::FailedBack, Self::Committed, Self::Protected];

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assessed => "Assessed",
            Self::Reprotected => "Reprotected",
            Self::FailedBack => "FailedBack",
            Self::Committed => "Committed",
            Self::Protected => "Protected",
        }
    }
}

/// Machines that go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// Name of the wave, unique in the plan.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Names of ReplicatedItems of this namespace.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub items: Vec<String>,
    /// How many machines of the wave may be between two resting points at the same time.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrent: i32,
}

const fn default_concurrency() -> i32 {
    10
}

/// A step that needs a person's consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Which step.
    pub step: ApprovalStep,
    /// How many different people must approve it.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1, max = 10))]
    pub count: i32,
}

const fn default_count() -> i32 {
    1
}

/// When a failback may be committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitSpec {
    /// For how long verification must hold without a break before the commit, in seconds.
    #[serde(default = "default_soak")]
    #[schemars(range(min = 0, max = 604_800))]
    pub soak_seconds: i32,
}

impl Default for CommitSpec {
    fn default() -> Self {
        Self { soak_seconds: default_soak() }
    }
}

const fn default_soak() -> i32 {
    60
}

/// What happens when a plan is deleted half-way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// A plan with a failback that runs or is not committed stays, and says so.
    #[default]
    Hold,
    /// The plan goes at once; machines stay where they are.
    Abandon,
}

/// Brings machines home. One plan is one bounded execution; a second failback is a new plan.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "failback.dev",
    version = "v1alpha1",
    kind = "FailbackPlan",
    namespaced,
    status = "FailbackPlanStatus",
    shortname = "fbp",
    category = "failback",
    category = "dr",
    derive = "PartialEq",
    doc = "Which machines come home from Azure to VMware, how far, and under which gates.",
    selectable = "spec.desiredPhase",
    printcolumn(name = "Desired", type_ = "string", json_path = ".spec.desiredPhase"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Done", type_ = "string", json_path = ".status.summary.done"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "ETA", type_ = "string", json_path = ".status.estimatedCompletion"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startedAt) || {'Assessed': 0, 'Reprotected': 1, 'FailedBack': 2, 'Committed': 3, 'Protected': 4}[self.spec.desiredPhase] >= {'Assessed': 0, 'Reprotected': 1, 'FailedBack': 2, 'Committed': 3, 'Protected': 4}[oldSelf.spec.desiredPhase]")
        .message("desiredPhase only advances once the plan has started"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startedAt) || oldSelf.spec.waves.all(o, self.spec.waves.exists(n, n.name == o.name && n.items == o.items))")
        .message("once the plan has started, waves and their items stay; name a machine in skip to leave it out")
)]
#[serde(rename_all = "camelCase")]
pub struct FailbackPlanSpec {
    /// How far to go.
    #[serde(default)]
    pub desired_phase: DesiredPhase,
    /// Machines, in waves. A wave starts when all machines of the waves before it are verified at home.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub waves: Vec<Wave>,
    /// Items that are left where they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub skip: Vec<String>,
    /// Start nothing new; what runs in Azure ends by itself.
    #[serde(default)]
    pub suspend: bool,
    /// Steps that need FailbackApproval objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["step".into()]))]
    pub approvals: Vec<Approval>,
    /// When a failback may be committed.
    #[serde(default)]
    pub commit: CommitSpec,
    /// Change it to try failed items again. Any text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub retry_token: String,
    /// What happens when the plan is deleted half-way.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

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
}

/// What stands in the way, aggregated over machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// The check's name, or a condition's reason.
    pub reason: String,
    /// How many machines have it.
    pub count: i32,
    /// Some of them, at most five.
    pub items: Vec<String>,
    /// The first machine's message.
    pub message: String,
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
    /// Hash of the part of the spec that an approval is for; a FailbackApproval quotes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_hash: Option<String>,
    /// When the plan first let a machine act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When all machines had reached Protected. A completed plan does nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// When the machines that move, and those that follow them, should be where the plan wants them; people's consent
    /// not counted. Absent where a part of it is not known.
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
