//! `MasterTarget`: the component through which data comes home. It never acts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::Reference;

/// The reprotect agent of a replication appliance.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "failback.dev",
    version = "v1alpha1",
    kind = "MasterTarget",
    namespaced,
    status = "MasterTargetStatus",
    shortname = "mt",
    category = "failback",
    category = "dr",
    derive = "PartialEq",
    doc = "The component of a vault through which data comes home: the reprotect agent of a replication appliance.",
    selectable = "spec.vaultRef.name",
    printcolumn(name = "Vault", type_ = "string", json_path = ".spec.vaultRef.name"),
    printcolumn(name = "Appliance", type_ = "string", json_path = ".spec.appliance"),
    printcolumn(name = "Items", type_ = "integer", json_path = ".status.protectedItems"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MasterTargetSpec {
    /// The RecoveryVault that it is registered with.
    pub vault_ref: Reference,
    /// Name or id of the replication appliance, as the vault shows it.
    #[schemars(length(min = 1, max = 256))]
    pub appliance: String,
}

/// What was seen of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterTargetStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Healthy`, `DatastoresAccessible`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The component's id in the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Version of the reprotect agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Datastores that it can write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub datastores: Vec<String>,
    /// How many items replicate through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_items: Option<i64>,
}
