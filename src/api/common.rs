//! What several resources share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names another object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Name of the object, in the namespace of this one.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Names a key of a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret, in the namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum CheckResult {
    /// The rule holds.
    Passed,
    /// The rule does not hold: the steps that it gates do not start.
    Failed,
    /// It cannot be told; this blocks just as Failed does.
    Unknown,
}

/// One check with what was observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckStatus {
    /// The check's stable name, such as `AzureVmPresent`.
    #[schemars(length(max = 64))]
    pub name: String,
    /// How it came out.
    pub result: CheckResult,
    /// What was observed.
    pub message: String,
    /// What to do about it. Empty when it passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Why the plan waives it: it is shown, and gates nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub waived: Option<String>,
    /// The steps that do not start unless it passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub gates: Vec<String>,
    /// When this result was first observed; it stays while result and message stay.
    pub observed_at: Time,
}
