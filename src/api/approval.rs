//! `FailbackApproval`: that a person approves a step of a plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{common::Reference, plan::DesiredPhase};

/// A step that can need approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalStep {
    /// Reprotect toward VMware: turns the VM at home off.
    Reprotect,
    /// Fail back: a downtime.
    FailBack,
    /// Commit: deletes the machine in Azure.
    Commit,
    /// Protect toward Azure again.
    Protect,
}

impl ApprovalStep {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reprotect => "Reprotect",
            Self::FailBack => "FailBack",
            Self::Commit => "Commit",
            Self::Protect => "Protect",
        }
    }

    /// All steps, in their order.
    pub const ALL: [Self; 4] = [Self::Reprotect, Self::FailBack, Self::Commit, Self::Protect];

    /// The phase from which the step starts, and the one that it leads to.
    pub const fn ends(self) -> (DesiredPhase, DesiredPhase) {
        match self {
            Self::Reprotect => (DesiredPhase::Assessed, DesiredPhase::Reprotected),
            Self::FailBack => (DesiredPhase::Reprotected, DesiredPhase::FailedBack),
            Self::Commit => (DesiredPhase::FailedBack, DesiredPhase::Committed),
            Self::Protect => (DesiredPhase::Committed, DesiredPhase::Protected),
        }
    }
}

/// A person's consent to one step of one plan. Immutable: withdraw it by deleting it, before the step starts.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "failback.dev",
    version = "v1alpha1",
    kind = "FailbackApproval",
    namespaced,
    status = "FailbackApprovalStatus",
    shortname = "fba",
    category = "failback",
    category = "dr",
    derive = "PartialEq",
    doc = "A person's consent to one step of one plan.",
    selectable = "spec.planRef.name",
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.planRef.name"),
    printcolumn(name = "Step", type_ = "string", json_path = ".spec.step"),
    printcolumn(name = "Approver", type_ = "string", json_path = ".spec.approver"),
    printcolumn(name = "Valid", type_ = "string", json_path = ".status.conditions[?(@.type=='Valid')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Valid')].reason"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("an approval cannot be changed; delete it and make a new one"))]
pub struct FailbackApprovalSpec {
    /// The plan, in this namespace.
    pub plan_ref: Reference,
    /// UID of the plan: a plan that was deleted and applied again needs a new approval.
    #[schemars(length(min = 1, max = 64))]
    pub plan_uid: String,
    /// The plan's `status.specHash`: what was approved is what will run, on the machines that its selectors found then.
    #[schemars(length(min = 1, max = 64))]
    pub spec_hash: String,
    /// The step.
    pub step: ApprovalStep,
    /// Who approves. The chart's admission policy holds it to the name of the requesting user.
    #[schemars(length(min = 1, max = 256))]
    pub approver: String,
    /// When the approval ends.
    pub expires_at: Time,
    /// A note for the record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub comment: String,
}

/// Whether the approval counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailbackApprovalStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Valid`: whether it counts for its plan, and if not why.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
