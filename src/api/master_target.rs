//! `MasterTarget`: the component through which data comes home. It never acts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{CheckStatus, Reference};

/// Most disks that a master target takes, by the vendor's documents.
pub const MOST_DISKS: i32 = 60;

/// What a master target is: each generation of site recovery has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A replication appliance with its reprotect agent (modernized generation).
    Appliance,
    /// A master target server of a configuration server (classic generation).
    MasterTargetServer,
}

impl TargetKind {
    /// The field of the spec that names it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Appliance => "spec.appliance",
            Self::MasterTargetServer => "spec.masterTargetServer",
        }
    }

    /// What it is called in a sentence.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Appliance => "appliance",
            Self::MasterTargetServer => "master target server",
        }
    }
}

/// The reprotect agent of a replication appliance, or a classic master target server.
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
    doc = "The component of a vault through which data comes home: a replication appliance, or a classic master target server.",
    selectable = "spec.vaultRef.name",
    printcolumn(name = "Vault", type_ = "string", json_path = ".spec.vaultRef.name"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".status.kind"),
    printcolumn(name = "OS", type_ = "string", json_path = ".status.os"),
    printcolumn(name = "Disks", type_ = "string", json_path = ".status.disks.text"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.appliance) != has(self.masterTargetServer)")
    .message("set exactly one of appliance (modernized generation) and masterTargetServer (classic generation)"))]
pub struct MasterTargetSpec {
    /// The RecoveryVault that it is registered with.
    pub vault_ref: Reference,
    /// Name or id of the replication appliance, as the vault shows it (modernized generation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub appliance: Option<String>,
    /// Name or id of the master target server, as the vault shows it (classic generation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub master_target_server: Option<String>,
    /// The VCenter that its VM lives in; by default the only one of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcenter_ref: Option<Reference>,
    /// Name of its VM in vCenter, where name and address as the vault shows them do not single one out: the vault tells
    /// no UUID of a classic master target's VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub vm_name: Option<String>,
    /// Most disks to attach through it at the same time.
    #[serde(default = "most_disks")]
    #[schemars(range(min = 1, max = 60))]
    pub max_disks: i32,
}

const fn most_disks() -> i32 {
    MOST_DISKS
}

impl MasterTargetSpec {
    /// What it describes: of which kind, and its name or id. `None` for what the schema refuses.
    pub fn component(&self) -> Option<(TargetKind, &str)> {
        match (&self.appliance, &self.master_target_server) {
            (Some(name), None) => Some((TargetKind::Appliance, name)),
            (None, Some(name)) => Some((TargetKind::MasterTargetServer, name)),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// Most disks, as a count.
    pub fn disk_limit(&self) -> u32 {
        u32::try_from(self.max_disks.clamp(1, MOST_DISKS)).unwrap_or_default()
    }
}

/// Its VM in vCenter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetVm {
    /// Display name.
    pub name: String,
    /// Managed object id.
    pub moref: String,
    /// Display name of the ESX host that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A datastore that it can write to, as the vault says; the rest as vCenter says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetDatastore {
    /// Display name.
    pub name: String,
    /// `VMFS`, `NFS`, `vsan`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Free bytes. Follows changes of 1 GiB and of 1 % of the capacity at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<i64>,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<i64>,
    /// Mounted writable on the host of its VM, as vCenter says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessible: Option<bool>,
}

/// A volume that keeps the history of the disks (classic generation).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetVolume {
    /// Drive letter or mount point.
    pub name: String,
    /// Free bytes. Follows changes of 1 GiB and of 1 % of the capacity at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<i64>,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<i64>,
}

/// The disks that are attached through it, and will be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetDisks {
    /// For the DISKS column: how many are taken of how many.
    pub text: String,
    /// Disks of machines that replicate through it towards VMware.
    pub attached: i64,
    /// Disks that its VM shows beside its own and those: of machines that nobody declared.
    #[serde(default)]
    pub undeclared: i64,
    /// Disks of machines that a plan lets start through it, and that have not started.
    pub planned: i64,
    /// Most disks that may be attached.
    pub limit: i64,
}

/// What was seen of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterTargetStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Stalled`, `Healthy`, `NoSnapshots`, `CapacityAvailable`, `DatastoresAccessible`. `Ready` says whether
    /// machines can come home through it at all, `CapacityAvailable` whether one more disk can be attached now.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Every check of it with what was observed.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checks: Vec<CheckStatus>,
    /// The component's id in the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Appliance` or `MasterTargetServer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `Modernized` or `Classic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// Version of the reprotect agent, or of the master target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// OS family of the machines that it takes: `Windows` or `Linux` (classic), `Any` (an appliance).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Its VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<TargetVm>,
    /// The last heartbeat, once it is more than 15 minutes old. While there is none here, heartbeats arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Time>,
    /// Datastores that it can write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub datastores: Vec<TargetDatastore>,
    /// Retention volumes (classic generation).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub retention: Vec<TargetVolume>,
    /// The disks that are attached through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<TargetDisks>,
    /// How many items replicate through it: as the vault counts them, else as the ReplicatedItems tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_items: Option<i64>,
}
