//! `ReplicatedItem`: one protected machine. By itself it only observes; a plan that has claimed it lets it act.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    claim::Claim,
    common::{CheckStatus, Reference},
    location::{LocationStatus, RecoveryPointStatus},
    progress::{Progress, StepTiming},
    verification::{ProbeStatus, VerificationSpec},
};

/// Which recovery point a failback uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecoveryPointChoice {
    /// The newest state: crash-consistent, and nothing that was replicated is lost.
    #[default]
    Latest,
    /// An application-consistent state.
    LatestAppConsistent,
    /// The point named by `recoveryPointId` (classic generation only).
    Custom,
}

/// Where a machine should come home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LocationChoice {
    /// Decided from what is found: onto the original VM where it still exists, else as a new VM.
    #[default]
    Auto,
    /// Onto the original VM: only changes are transferred. Refused when that VM does not exist.
    Original,
    /// As a new VM in `datastore`, on the host of the master target: all data is transferred.
    Alternate,
}

/// How the machine is protected again once it is home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReprotectionSpec {
    /// ARM id of the replication policy; by default the one that was used before the failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub policy_id: Option<String>,
    /// Name or id of the process server; by default that of the appliance that brought the machine home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub process_server: Option<String>,
    /// ARM id of the run-as account for installing the agent, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub run_as_account_id: Option<String>,
}

/// One machine that Azure Site Recovery protects. Safe to apply at any time: it observes and shows readiness, and
/// nothing is changed for it unless a FailbackPlan claims it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "failback.dev",
    version = "v1alpha1",
    kind = "ReplicatedItem",
    namespaced,
    status = "ReplicatedItemStatus",
    shortname = "rpi",
    category = "failback",
    category = "dr",
    derive = "PartialEq",
    doc = "One machine protected by Azure Site Recovery, and where it should come home.",
    selectable = "spec.vaultRef.name",
    selectable = "status.phase",
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.text"),
    printcolumn(name = "Location", type_ = "string", json_path = ".status.runsIn"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".status.claim.plan"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(oldSelf.status) || (!has(oldSelf.status.claim) && !(has(oldSelf.status.operation) && oldSelf.status.operation.outcome in ['Intended', 'Submitted'])) || (self.spec.vaultRef == oldSelf.spec.vaultRef && self.spec.vcenterRef == oldSelf.spec.vcenterRef && self.spec.machine == oldSelf.spec.machine)")
        .message("vaultRef, vcenterRef and machine cannot change while a plan has claimed this item, or while a call for it is open")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.recoveryPoint) && self.recoveryPoint == 'Custom') == has(self.recoveryPointId)")
    .message("recoveryPointId goes with recoveryPoint: Custom, and is required there"))]
pub struct ReplicatedItemSpec {
    /// The RecoveryVault that protects the machine.
    pub vault_ref: Reference,
    /// The vCenter that it comes home to: the original one.
    pub vcenter_ref: Reference,
    /// The machine: its friendly name in the vault, or the ARM id of its replicated item.
    #[schemars(length(min = 1, max = 1024))]
    pub machine: String,
    /// The MasterTarget to come home through; by default the vault's only healthy appliance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_target_ref: Option<Reference>,
    /// Display name of the datastore to come home to; by default the original VM's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub datastore: Option<String>,
    /// Where it comes home.
    #[serde(default)]
    pub location: LocationChoice,
    /// Name or id of the process server that receives the data from Azure (classic generation); by default the one
    /// that the machine uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub process_server: Option<String>,
    /// Name or number of the configuration server's account for the machine (classic generation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub run_as_account: Option<String>,
    /// The master target's retention volume, such as `R` or `/mnt/retention` (classic generation); by default the one
    /// with most free space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub retention_drive: Option<String>,
    /// ARM id of the failback policy (classic generation); by default the one beside the policy that protected the
    /// machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub failback_policy_id: Option<String>,
    /// Ids or names of disks that do not come home (classic generation).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub exclude_disks: Vec<String>,
    /// ARM id of the machine in Azure, where the vault does not name it: site recovery renames on a clash of names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub azure_vm_id: Option<String>,
    /// ARM id of the recovery point, with `recoveryPoint: Custom` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub recovery_point_id: Option<String>,
    /// ARM id of the cache storage account in the Azure VM's region; by default the one that replication to Azure
    /// used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub log_storage_account_id: Option<String>,
    /// Which recovery point the failback uses.
    #[serde(default)]
    pub recovery_point: RecoveryPointChoice,
    /// How it is protected again.
    #[serde(default)]
    pub reprotection: ReprotectionSpec,
    /// What is asked of the machine at home before the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationSpec>,
}

/// Where a machine stands on its journey. For display: the conditions carry the meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ItemPhase {
    /// Not seen yet, or what is seen cannot be placed.
    #[default]
    Unknown,
    /// Runs in Azure; the copy at home is stale.
    FailedOver,
    /// Reprotect runs, or its first synchronisation.
    Reprotecting,
    /// Runs in Azure and replicates to VMware; ready to fail back.
    Reprotected,
    /// The failback runs.
    FailingBack,
    /// Runs at home; the copy in Azure is stopped and can still be returned to.
    FailedBack,
    /// The failback is being undone.
    Cancelling,
    /// The commit runs.
    Committing,
    /// Home for good, not protected yet.
    Committed,
    /// Reprotect toward Azure runs, or its first synchronisation.
    Protecting,
    /// Runs at home and replicates to Azure.
    Protected,
}

/// How an operation ended, or stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OperationOutcome {
    /// The intent is written; the call may or may not have been made.
    Intended,
    /// Azure accepted the call, or a job that someone else started was adopted.
    Submitted,
    /// Done.
    Succeeded,
    /// Azure refused the call, or the job failed.
    Failed,
    /// The call was not made after all: its precondition no longer held.
    NotMade,
}

/// One mutating operation: the journal entry that is written before the call and completed after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationRecord {
    /// Unique key of this operation: plan UID, verb, retry token and attempt.
    pub key: String,
    /// The verb: Reprotect, FailBack, Commit, Cancel or Protect.
    pub verb: String,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// When the intent was written, before the call.
    pub intended_at: Time,
    /// How it stands.
    pub outcome: OperationOutcome,
    /// The job's id in the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// True when the job was found rather than started: after a restart, or begun in the portal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// True when somebody else began the job, and the plan only followed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// The plan under which it was begun.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plan_uid: String,
    /// The plan's retry token at that time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retry_token: String,
    /// ARM id of the replicated item that it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item_id: String,
    /// The plan's retry token when the outcome became unknown: only another one settles it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_under: Option<String>,
    /// True when it failed because the mobility agent had not registered yet, which takes up to 15 minutes after a boot:
    /// that is waited for, and is no failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_missing: bool,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// What Azure said, where it said something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Who the machine is, on both sides. Kept, since site recovery shows some of it in one direction only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// ARM id of the replicated item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// ARM id of the machine in Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_vm_id: Option<String>,
    /// Instance UUID of the VM in vCenter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uuid: Option<String>,
    /// BIOS UUID of the VM in vCenter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios_uuid: Option<String>,
    /// Managed object id of the VM in vCenter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moref: Option<String>,
}

/// Where the machine comes home to, as decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Name of the appliance.
    pub appliance: String,
    /// Id of the appliance's reprotect agent.
    pub appliance_id: String,
    /// Display name of the datastore.
    pub datastore: String,
    /// Name of the ESX host that an alternate location's VM is made on, or that the original VM is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Name of the process server that receives the data (classic generation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_server: Option<String>,
    /// Why this one: declared, or chosen and from which.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What was seen of the machine, and what is done for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicatedItemStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the machine stands.
    #[serde(default)]
    pub phase: ItemPhase,
    /// `Azure` or `VMware`: where the workload runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_in: Option<String>,
    /// `Ready`, `Reconciling`, `Stalled`, `PreflightPassed`, `Reprotected`, `FailedBack`, `Verified`, `Committed`,
    /// `Protected`, `SourceStopped`, `ReplicationHealthy`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Every check with what was observed.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checks: Vec<CheckStatus>,
    /// Every probe with what it saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub probes: Vec<ProbeStatus>,
    /// Which plan lets it act. Written by the plan's reconciler alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = StructMerge::Atomic)]
    pub claim: Option<Claim>,
    /// The operation at hand, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationRecord>,
    /// The last ten operations before that, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<OperationRecord>,
    /// A failback, or the undoing of one, that Azure shows and the journal does not know of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub unexplained: Option<String>,
    /// How far the step at hand has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How long its last steps took, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub timings: Vec<StepTiming>,
    /// Who the machine is.
    #[serde(default)]
    pub identity: Identity,
    /// Through what and into which datastore it comes home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
    /// `Modernized` or `Classic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// Where it comes home, and what that means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationStatus>,
    /// The recovery point that the failback uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPointStatus>,
    /// How many disks it has: they count against the master target's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<i32>,
    /// Its multi-VM consistency group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}
