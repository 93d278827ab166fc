//! A replicated item as site recovery shows it.

use jiff::Timestamp;

use super::Scenario;

/// Which generation of site recovery protects a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generation {
    /// Configuration server, process server, master target (`InMageAzureV2` / `InMage`).
    Classic,
    /// Replication appliance (`InMageRcm` / `InMageRcmFailback`).
    Modernized,
}

/// Which way the data flows, from the item's provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// On-premises → Azure (`InMageRcm`, `InMageAzureV2`).
    ToAzure,
    /// Azure → on-premises (`InMageRcmFailback`, `InMage`).
    ToVMware,
}

/// `activeLocation`: relative to the current replication direction, so it means nothing alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActiveLocation {
    /// The side that the data flows from.
    Primary,
    /// The side that the data flows to.
    Recovery,
}

/// Where the workload runs, by the location oracle (protocol reference §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunsIn {
    /// In Azure.
    Azure,
    /// At home.
    VMware,
}

/// The operating system family of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OsFamily {
    /// Windows.
    Windows,
    /// Linux.
    Linux,
}

/// What a replicated item permits, from `allowedOperations`; other words are kept as [`Self::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Reprotect, in VMware traffic (`SwitchProtection`).
    SwitchProtection,
    /// Planned failover: modernized failback.
    PlannedFailover,
    /// Unplanned failover: forward, and classic failback.
    UnplannedFailover,
    /// Commit of a failover in either direction.
    Commit,
    /// Undo a planned failover that was not committed.
    CancelFailover,
    /// Any other word.
    Other(String),
}

impl From<&str> for Operation {
    fn from(word: &str) -> Self {
        match word {
            "SwitchProtection" => Self::SwitchProtection,
            "PlannedFailover" => Self::PlannedFailover,
            "UnplannedFailover" => Self::UnplannedFailover,
            "Commit" => Self::Commit,
            "CancelFailover" => Self::CancelFailover,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SwitchProtection => "SwitchProtection",
            Self::PlannedFailover => "PlannedFailover",
            Self::UnplannedFailover => "UnplannedFailover",
            Self::Commit => "Commit",
            Self::CancelFailover => "CancelFailover",
            Self::Other(word) => word,
        })
    }
}

/// `replicationHealth` and component health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// `Normal`, or `Healthy` of a component.
    Normal,
    /// Works, with a warning.
    Warning,
    /// Does not work.
    Critical,
    /// `None`, missing, or a word that nobody has documented.
    Unclear(String),
}

impl Default for Health {
    fn default() -> Self {
        Self::Unclear(String::new())
    }
}

impl From<&str> for Health {
    fn from(word: &str) -> Self {
        match word {
            "Normal" | "Healthy" => Self::Normal,
            "Warning" => Self::Warning,
            "Critical" => Self::Critical,
            other => Self::Unclear(other.to_owned()),
        }
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
            Self::Unclear(word) if word.is_empty() => "not reported",
            Self::Unclear(word) => word,
        })
    }
}

/// A health error of an item, an appliance or a job, in site recovery's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthError {
    /// The vendor's code, as text (`95226`, `InMageRcm…`).
    pub code: String,
    /// What happened.
    pub message: String,
    /// Possible causes, may be empty.
    pub causes: String,
    /// What the vendor recommends, may be empty.
    pub action: String,
    /// `Error`, `Warning`, …
    pub level: String,
}

impl HealthError {
    /// What happened, with the code by which the vendor's documents find it, for the middle of a sentence.
    pub fn in_a_line(&self) -> String {
        format!("{} (code {})", self.message.trim_end_matches('.'), self.code)
    }
}

/// `lastPlannedFailoverStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedFailoverStatus {
    /// The failback job ended well.
    Succeeded,
    /// It failed; the service reverts it by itself.
    Failed,
    /// It was cancelled and reverted.
    Cancelled,
    /// `Unknown` or a new word.
    Other(String),
}

/// A disk under replication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicatedDisk {
    /// `diskId` as the provider gives it.
    pub id: String,
    /// `diskName`, for people.
    pub name: String,
    /// Size in bytes, where given.
    pub capacity_bytes: Option<u64>,
    /// In the direction to VMware: the UUID of the virtual disk in vCenter, lower case.
    pub vmdk_uuid: Option<String>,
}

/// How far initial replication or resynchronisation has come. Small disks report nothing at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicationProgress {
    /// 0–100.
    pub percent: Option<u8>,
    /// Bytes compared so far.
    pub processed_bytes: Option<u64>,
    /// Bytes sent so far.
    pub transferred_bytes: Option<u64>,
}

/// The job that `currentScenario` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentScenario {
    /// The scenario's name.
    pub name: String,
    /// Last segment of the job's ARM id.
    pub job_id: Option<String>,
    /// When it began.
    pub started: Option<Timestamp>,
}

/// A recovery point of an item (`recoveryPoints`, or `consistencyPoints` of the classic provider).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryPointSeen {
    /// ARM id.
    pub id: String,
    /// When it was made.
    pub time: Timestamp,
    /// Application-consistent; else crash-consistent.
    pub app_consistent: bool,
    /// A point that all members of the consistency group share.
    pub group: bool,
}

/// A replicated item as site recovery shows it. From a LIST many fields are empty; `complete` tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replication {
    /// The ARM id; it stays the same over the whole journey.
    pub id: String,
    /// Last segment of the id. Not always the machine's name.
    pub name: String,
    /// The machine's name on-premises.
    pub friendly_name: String,
    /// Whether this came from a GET (complete) rather than from a LIST (a summary).
    pub complete: bool,
    /// `None` when the provider is neither of the two VMware generations.
    pub generation: Option<Generation>,
    /// `None` when the provider is unknown.
    pub direction: Option<Direction>,
    /// The provider's own word, `providerSpecificDetails.instanceType`.
    pub instance_type: String,
    /// Relative to the direction.
    pub active_location: Option<ActiveLocation>,
    /// An open set of words; compared for `Protected` only.
    pub protection_state: String,
    /// The vendor's description of that state.
    pub protection_state_description: String,
    /// What the item permits now.
    pub allowed: Vec<Operation>,
    /// Health of the replication.
    pub health: Health,
    /// What is wrong.
    pub health_errors: Vec<HealthError>,
    /// A job that runs on the item; `None` when idle.
    pub scenario: Option<CurrentScenario>,
    /// `isAgentRegistrationSuccessfulAfterFailover`: `None` before any failover and where the provider omits it.
    pub agent_registered: Option<bool>,
    /// The mobility agent's last heartbeat.
    pub agent_heartbeat: Option<Timestamp>,
    /// Outcome and start of the last planned failover.
    pub last_planned_failover: Option<(PlannedFailoverStatus, Option<Timestamp>)>,
    /// When the last failover to Azure succeeded.
    pub last_failover: Option<Timestamp>,
    /// Initial replication's or resynchronisation's progress.
    pub progress: ReplicationProgress,
    /// OS family.
    pub os: Option<OsFamily>,
    /// ARM id of the failed-over Azure VM, where the provider names it or it can be derived.
    pub azure_vm_id: Option<String>,
    /// UUIDs (lower case) in vCenter: `instanceUuid` from the discovery machine's id, forward direction only.
    pub instance_uuid: Option<String>,
    /// Whether the appliance's last discovery missed the VM at home (`discoveredVmDetails.isDeleted`); `None` where the
    /// provider does not tell.
    pub home_deleted: Option<bool>,
    /// Name of the vCenter as site recovery knows it (last segment of its id).
    pub vcenter_name: Option<String>,
    /// Whether that id was named by the vault; a derived one may lack the suffix that site recovery adds on a clash of
    /// names, so that its absence says nothing.
    pub azure_vm_id_named: bool,
    /// Name of the VM at home.
    pub target_vm_name: Option<String>,
    /// Datastore names: the source VM's (forward) or the target (towards VMware).
    pub datastores: Vec<String>,
    /// Disks.
    pub disks: Vec<ReplicatedDisk>,
    /// The cache storage account in the Azure region.
    pub log_storage_account_id: Option<String>,
    /// The forward policy that was in use before, for protecting again.
    pub last_used_policy_id: Option<String>,
    /// The policy in use.
    pub policy_id: Option<String>,
    /// Process server (forward) or reprotect agent (towards VMware): an appliance's id.
    pub appliance_id: Option<String>,
    /// Run-as account for the push installation (forward).
    pub run_as_account_id: Option<String>,
    /// Multi-VM consistency group.
    pub group: Option<String>,
    /// The OS as the provider words it (`osName`), such as `Microsoft Windows Server 2008 R2 (64-bit)`.
    pub os_name: Option<String>,
    /// Protected as a physical server (`discoveryType`); `None` where the provider does not tell.
    pub physical: Option<bool>,
    /// Its master target while it replicates towards VMware (classic).
    pub master_target_id: Option<String>,
    /// The configuration server's own id of the machine (classic).
    pub infrastructure_vm_id: Option<String>,
    /// Its process server (classic).
    pub process_server_id: Option<String>,
    /// Seconds that the newest recovery point lies behind, where the provider tells.
    pub rpo_seconds: Option<u64>,
    /// ARM id of the fabric that holds the item.
    pub fabric_id: String,
}

impl Replication {
    /// Whether the item's `allowedOperations` name this one.
    pub fn allows(&self, operation: &Operation) -> bool {
        self.allowed.contains(operation)
    }

    /// Where the workload runs (protocol reference §3.3), `None` when the combination is unknown, or a failback did not
    /// complete. What is allowed after a failback goes before `activeLocation`, which was never recorded there.
    pub fn runs_in(&self) -> Option<RunsIn> {
        match (self.direction?, self.active_location?) {
            (Direction::ToVMware, _) if self.failback_incomplete() => None,
            (Direction::ToVMware, _) if self.came_home() => Some(RunsIn::VMware),
            (Direction::ToAzure, ActiveLocation::Primary) | (Direction::ToVMware, ActiveLocation::Recovery) => {
                Some(RunsIn::VMware)
            }
            (Direction::ToAzure, ActiveLocation::Recovery) | (Direction::ToVMware, ActiveLocation::Primary) => {
                Some(RunsIn::Azure)
            }
        }
    }

    /// Whether a failback neither ended well nor was reverted: site recovery reverts one that fails by itself, and where
    /// that fails too, the user must call the cancel (protocol reference §3.1). There is nothing to commit then.
    pub fn failback_incomplete(&self) -> bool {
        self.direction == Some(Direction::ToVMware)
            && self.allows(&Operation::CancelFailover)
            && !self.allows(&Operation::Commit)
    }

    /// Whether an item towards VMware allows, or is busy with, what follows on a failback alone.
    fn came_home(&self) -> bool {
        self.allows(&Operation::Commit)
            || self.allows(&Operation::SwitchProtection)
            || self.busy_with() == Some(Scenario::Commit)
    }

    /// Whether it is busy with a failover, or with what ends one.
    pub fn is_failing_over(&self) -> bool {
        match self.busy_with() {
            Some(Scenario::PlannedFailover | Scenario::UnplannedFailover | Scenario::Commit | Scenario::Cancel) => true,
            Some(Scenario::Reprotect | Scenario::InitialReplication | Scenario::Other(_)) | None => false,
        }
    }

    fn busy_with(&self) -> Option<Scenario> {
        self.scenario.as_ref().map(|scenario| Scenario::from(scenario.name.as_str()))
    }

    /// Whether the last planned failover is reported as one that did not come to its end.
    pub const fn failover_undone(&self) -> bool {
        matches!(
            self.last_planned_failover,
            Some((PlannedFailoverStatus::Failed | PlannedFailoverStatus::Cancelled, _))
        )
    }

    /// Sum of the disks' sizes in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.disks.iter().filter_map(|disk| disk.capacity_bytes).sum()
    }
}
