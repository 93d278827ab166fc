//! `FailbackPlan`: which machines come home, how far, under which gates.

mod gates;
mod hooks;
mod standing;
mod wave;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use gates::{
    Approval, CancelRequest, CommitPolicy, CommitSpec, DeletionPolicy, OnItemFailure, OnProbeFailure, Waiver, Window,
};
pub use hooks::{Hook, HookOutcome, HookScope, HookStatus, HookTime, OnHookFailure};
pub use standing::{Cancelled, FailbackPlanStatus, Issue, Results, Summary, WaveStatus};
pub use wave::{LabelDemand, LabelOperator, LabelValue, Selector, Wave};

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
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startedAt) || oldSelf.spec.waves.all(o, self.spec.waves.exists(n, n.name == o.name && n.items == o.items && has(n.selector) == has(o.selector) && (!has(n.selector) || n.selector == o.selector)))")
        .message("once the plan has started, waves and their items stay; name a machine in skip to leave it out"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startedAt) || !has(oldSelf.spec.approvals) || oldSelf.spec.approvals.all(o, has(self.spec.approvals) && self.spec.approvals.exists(n, n.step == o.step && n.count >= o.count && (n.forbidRequester || !o.forbidRequester)))")
        .message("once the plan has started, it demands no fewer approvals than it did")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.waves.all(w, !has(w.dependsOn) || w.dependsOn.all(d, self.waves.exists(o, o.name == d)))")
    .message("dependsOn names a wave that the plan does not have"))]
#[x_kube(validation = Rule::new("!has(self.hooks) || self.hooks.all(h, !has(h.waves) || h.waves.all(w, self.waves.exists(o, o.name == w)))")
    .message("a hook names a wave that the plan does not have"))]
#[x_kube(validation = Rule::new("!has(self.hooks) || self.hooks.map(h, h.scope == 'Item' ? 0 : h.scope == 'Plan' ? 1 : has(h.waves) && size(h.waves) > 0 ? size(h.waves) : size(self.waves)).sum() <= 40")
    .message("hooks of scope Plan, and of scope Wave times their waves, must not exceed 40"))]
pub struct FailbackPlanSpec {
    /// How far to go.
    #[serde(default)]
    pub desired_phase: DesiredPhase,
    /// Machines, in waves. A wave starts when all machines of the waves that it depends on are verified at home, and is
    /// failed back only once each of its machines has a recovery point.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub waves: Vec<Wave>,
    /// How many machines of the plan may be between two resting points at the same time; by default as many as the
    /// waves allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8192))]
    pub max_concurrent: Option<i32>,
    /// What follows for the others when a machine fails.
    #[serde(default)]
    pub on_item_failure: OnItemFailure,
    /// With `onItemFailure` Continue or Quarantine: how many machines may fail before nothing new starts; by default
    /// any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 8192))]
    pub failure_budget: Option<i32>,
    /// Items that are left where they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub skip: Vec<String>,
    /// Start nothing new; what runs in Azure ends by itself.
    #[serde(default)]
    pub suspend: bool,
    /// Show what would be done, and do none of it. A plan that has not started claims no machine meanwhile; one that
    /// has keeps its machines where they are.
    #[serde(default)]
    pub dry_run: bool,
    /// When failbacks and commits may start; by default at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Steps that need FailbackApproval objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["step".into()]))]
    pub approvals: Vec<Approval>,
    /// When a failback may be committed.
    #[serde(default)]
    pub commit: CommitSpec,
    /// Checks that hold no machine of this plan back. Those that protect data cannot be waived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub waivers: Vec<Waiver>,
    /// Failbacks to undo, where they are not committed. A machine that was not failed back yet stays where it is: it is
    /// neither reprotected nor failed back, and its wave goes on without it. Waves that depend on its wave wait for it, until
    /// it is named in skip. A plan that is being deleted undoes them, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub cancel: Vec<CancelRequest>,
    /// Jobs that run before and after steps. Those of the same scope, step and time run one after the other, in this
    /// order. They may be changed while the plan runs: a Job that was made stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub hooks: Vec<Hook>,
    /// Change it to try failed items and hooks again. Any short text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub retry_token: String,
    /// What happens when the plan is deleted half-way.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

impl FailbackPlanSpec {
    /// Whether a wave finds machines by their labels.
    pub fn finds_by_label(&self) -> bool {
        self.waves.iter().any(|wave| wave.selector.is_some())
    }
}
