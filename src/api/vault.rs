//! `RecoveryVault`: a connection to one Recovery Services vault. It never acts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::SecretReference;

/// Which Azure cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AzureCloud {
    /// The public cloud.
    #[default]
    Public,
    /// Azure US Government.
    USGovernment,
    /// Azure China (21Vianet).
    China,
    /// Endpoints named in `customEndpoints`.
    Custom,
}

/// Endpoints of a cloud that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomEndpoints {
    /// Base URL of the token endpoint, such as `https://login.microsoftonline.com`. Plain http only to loopback.
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://.+"))]
    pub authority: String,
    /// Base URL of Azure Resource Manager, such as `https://management.azure.com`. Plain http only to loopback.
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://.+"))]
    pub resource_manager: String,
}

/// A service principal with a client secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecretCredential {
    /// Entra tenant id or domain.
    #[schemars(length(min = 1, max = 256))]
    pub tenant_id: String,
    /// Application (client) id.
    #[schemars(length(min = 1, max = 256))]
    pub client_id: String,
    /// Where the client secret is.
    pub secret_ref: SecretReference,
}

/// Workload identity: the federated token that AKS, Arc or the chart projects into the controller's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentityCredential {
    /// Entra tenant id; by default that of the pod (`AZURE_TENANT_ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub tenant_id: Option<String>,
    /// Application (client) id; by default that of the pod (`AZURE_CLIENT_ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub client_id: Option<String>,
}

/// The managed identity of the machine that the controller runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedIdentityCredential {
    /// Client id of a user-assigned identity; by default the system-assigned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub client_id: Option<String>,
}

/// Name of the ServiceAccount that stands for its namespace in Azure. Fixed: who could choose it could have the
/// controller ask for the token of any other.
pub const AZURE_SERVICE_ACCOUNT: &str = "failback-azure";

/// The namespace's own identity: the token of its ServiceAccount `failback-azure`, by workload identity federation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountCredential {
    /// Entra tenant id or domain.
    #[schemars(length(min = 1, max = 256))]
    pub tenant_id: String,
    /// Application (client) id of the identity that has a federated credential for
    /// `system:serviceaccount:NAMESPACE:failback-azure`.
    #[schemars(length(min = 1, max = 256))]
    pub client_id: String,
}

/// How to sign in to Azure: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.clientSecret), has(self.serviceAccount), has(self.workloadIdentity), has(self.managedIdentity)]\
     .filter(x, x).size() == 1"
).message("set exactly one of clientSecret, serviceAccount, workloadIdentity and managedIdentity"))]
pub struct AzureCredential {
    /// A service principal with a client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientSecretCredential>,
    /// The namespace's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountCredential>,
    /// Workload identity federation, as the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentityCredential>,
    /// Managed identity of the controller's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<ManagedIdentityCredential>,
}

/// A Recovery Services vault that protects VMware machines. It is only ever read by this object; mutating calls are
/// made for items that a FailbackPlan has claimed.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "failback.dev",
    version = "v1alpha1",
    kind = "RecoveryVault",
    namespaced,
    status = "RecoveryVaultStatus",
    shortname = "rvault",
    category = "failback",
    category = "dr",
    derive = "PartialEq",
    doc = "A connection to one Azure Recovery Services vault.",
    printcolumn(name = "Vault", type_ = "string", json_path = ".spec.vaultName"),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.location"),
    printcolumn(name = "Items", type_ = "integer", json_path = ".status.items"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.cloud == 'Custom') == has(self.customEndpoints)")
    .message("customEndpoints goes with cloud: Custom, and is required there"))]
pub struct RecoveryVaultSpec {
    /// Subscription id (a GUID).
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    pub subscription_id: String,
    /// Resource group of the vault.
    #[schemars(length(min = 1, max = 90))]
    pub resource_group: String,
    /// Name of the vault.
    #[schemars(length(min = 2, max = 50))]
    pub vault_name: String,
    /// Which Azure cloud.
    #[serde(default)]
    pub cloud: AzureCloud,
    /// Endpoints, for `cloud: Custom` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_endpoints: Option<CustomEndpoints>,
    /// How to sign in.
    pub credential: AzureCredential,
    /// Seconds between two readings of the vault's item list while nothing is in motion. Machines in motion are
    /// read more often.
    #[serde(default = "default_poll_interval")]
    #[schemars(range(min = 15, max = 3600))]
    pub poll_interval_seconds: i32,
    /// When the configuration server was backed up last (classic generation): a lost one can only be restored from a
    /// backup, and with it the way home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_server_backed_up_at: Option<Time>,
}

const fn default_poll_interval() -> i32 {
    60
}

/// What was seen of the vault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryVaultStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `CredentialsValid`, `Reachable`, `PermissionsSufficient`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// ARM id of the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_id: Option<String>,
    /// Azure region of the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// How many replicated items the vault has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<i64>,
    /// Entries of the vault's lists that could not be read, at most ten, with the reason. They harm only themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub unreadable: Vec<String>,
}
