//! `VCenter`: a connection to one vCenter. It never acts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::Reference;

/// A vCenter that machines come home to.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "failback.dev",
    version = "v1alpha1",
    kind = "VCenter",
    namespaced,
    status = "VCenterStatus",
    shortname = "vc",
    category = "failback",
    category = "dr",
    derive = "PartialEq",
    doc = "A connection to one vCenter.",
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.server"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "VMs", type_ = "integer", json_path = ".status.virtualMachines"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.caBundle) && has(self.thumbprint))")
    .message("set caBundle or thumbprint, not both"))]
pub struct VCenterSpec {
    /// Host name or address, with an optional port, of the vCenter. A plain `http://` URL is taken for loopback only.
    #[schemars(length(min = 1, max = 512))]
    pub server: String,
    /// Secret of this namespace with the keys `username` and `password`.
    pub credentials_ref: Reference,
    /// PEM certificates that sign the server's certificate. Without it and without a thumbprint the system's
    /// roots are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub ca_bundle: Option<String>,
    /// SHA-256 thumbprint of the server's own certificate, 64 hexadecimal digits, colons allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 95), regex(pattern = r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"))]
    pub thumbprint: Option<String>,
}

/// What was seen of the vCenter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VCenterStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `CredentialsValid`, `Reachable`, `PermissionsSufficient`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// `about.instanceUuid`: this, not the host name, is the vCenter's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uuid: Option<String>,
    /// `about.version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many VMs the account can see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_machines: Option<i64>,
}
