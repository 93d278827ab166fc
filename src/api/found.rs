//! What a plan notes of a machine that it finds where no record says that the plan brought it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::approval::ApprovalStep;

/// A machine that was found past a step, or with a failback undone, and no record says that its plan did that: its
/// status was lost, or somebody else did it. The next step that cannot be taken back needs explicit approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The step that waits: Commit, or FailBack.
    pub step: ApprovalStep,
    /// When the plan noticed.
    pub at: Time,
    /// The plan's retry token then: another one releases the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retry_token: String,
    /// The approvals of that step that stood then, each by a digest of its spec: only others count. A
    /// full list says that there were more, and then no approval counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub approvals: Vec<String>,
    /// By what a person let the machine go on. Absent as long as nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
}

impl Found {
    /// So many approvals are remembered.
    pub const MOST_APPROVALS: usize = 32;
}
