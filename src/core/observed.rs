//! What was seen of Azure and vCenter: values with the time they were seen, where "not known" is a value too.
//!
//! A missing field, a 403 or a timeout never reads as "absent": it is [`Fact::Unknown`] with its reason.

use jiff::Timestamp;

/// One observation, or the reason why there is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<T> {
    /// Nothing is known, because of this.
    Unknown(String),
    /// This was seen at that time.
    Seen {
        /// What was seen.
        value: T,
        /// When it was read from the system that owns it.
        at: Timestamp,
    },
}

impl<T> Fact<T> {
    /// A fact seen at `at`.
    pub const fn seen(value: T, at: Timestamp) -> Self {
        Self::Seen { value, at }
    }

    /// An absent observation with its reason.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }

    /// The value, if one was seen.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// When it was seen.
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Seen { at, .. } => Some(*at),
            Self::Unknown(_) => None,
        }
    }

    /// The value, or why there is none.
    pub fn known(&self) -> Result<&T, &str> {
        match self {
            Self::Seen { value, .. } => Ok(value),
            Self::Unknown(why) => Err(why),
        }
    }

    /// The same observation of a part of the value.
    pub fn map<U>(&self, part: impl FnOnce(&T) -> U) -> Fact<U> {
        match self {
            Self::Seen { value, at } => Fact::Seen { value: part(value), at: *at },
            Self::Unknown(why) => Fact::Unknown(why.clone()),
        }
    }
}

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

/// A replicated item as site recovery shows it. From a LIST many fields are empty; `complete` tells.
#[derive(Clone, Debug, PartialEq)]
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
    /// Name of the vCenter as site recovery knows it (last segment of its id).
    pub vcenter_name: Option<String>,
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
    /// ARM id of the fabric that holds the item.
    pub fabric_id: String,
}

impl Replication {
    /// Whether the item's `allowedOperations` name this one.
    pub fn allows(&self, operation: &Operation) -> bool {
        self.allowed.contains(operation)
    }

    /// Where the workload runs (protocol reference §3.3), `None` when the combination is unknown.
    pub const fn runs_in(&self) -> Option<RunsIn> {
        match (self.direction, self.active_location) {
            (Some(Direction::ToAzure), Some(ActiveLocation::Primary))
            | (Some(Direction::ToVMware), Some(ActiveLocation::Recovery)) => Some(RunsIn::VMware),
            (Some(Direction::ToAzure), Some(ActiveLocation::Recovery))
            | (Some(Direction::ToVMware), Some(ActiveLocation::Primary)) => Some(RunsIn::Azure),
            (None, _) | (_, None) => None,
        }
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

/// State of a site recovery job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not begun.
    NotStarted,
    /// Runs.
    InProgress,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Was cancelled.
    Cancelled,
    /// Waits for a person (`Resume`).
    Suspended,
    /// Any other word (`Cancelling`, `Other`): not an end.
    Other(String),
}

/// What a job does, from `scenarioName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Reprotect in either direction (`SwitchReplicationGroupProtection`).
    Reprotect,
    /// `PlannedFailover`.
    PlannedFailover,
    /// `UnplannedFailover`.
    UnplannedFailover,
    /// `CommitFailover`.
    Commit,
    /// `CancelFailover`.
    Cancel,
    /// `IrCompletion`: initial replication, which goes on after the reprotect job ended.
    InitialReplication,
    /// Any other scenario.
    Other(String),
}

impl From<&str> for Scenario {
    fn from(word: &str) -> Self {
        match word {
            "SwitchReplicationGroupProtection" | "ReverseReplication" | "Reprotect" => Self::Reprotect,
            "PlannedFailover" => Self::PlannedFailover,
            "UnplannedFailover" | "Failover" => Self::UnplannedFailover,
            "CommitFailover" | "Commit" => Self::Commit,
            "CancelFailover" => Self::Cancel,
            "IrCompletion" => Self::InitialReplication,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A site recovery job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Last segment of the ARM id.
    pub id: String,
    /// What it does.
    pub scenario: Scenario,
    /// How it stands.
    pub state: JobState,
    /// The vendor's own words on that.
    pub state_description: String,
    /// Id of the object it works on: an item's name or internal identifier.
    pub target_id: String,
    /// Friendly name of that object.
    pub target_name: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The task at hand, for people.
    pub current_task: Option<String>,
    /// What went wrong.
    pub errors: Vec<HealthError>,
}

impl Job {
    /// Whether it may still change something.
    pub const fn in_flight(&self) -> bool {
        match self.state {
            JobState::NotStarted | JobState::InProgress | JobState::Suspended | JobState::Other(_) => true,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => false,
        }
    }

    /// Whether it works on this item: by the item's own pointer, by id, or by the machine's name where no other item
    /// of the vault has it. In recordings the id is one of the service's own, which no item shows.
    pub fn concerns(&self, item: &Replication, name_is_unique: bool) -> bool {
        item.scenario.as_ref().and_then(|s| s.job_id.as_deref()) == Some(self.id.as_str())
            || self.target_id.eq_ignore_ascii_case(&item.name)
            || self.target_id.eq_ignore_ascii_case(&item.id)
            || (name_is_unique
                && !self.target_name.is_empty()
                && self.target_name.eq_ignore_ascii_case(&item.friendly_name))
    }
}

/// Power state of an Azure VM, from `PowerState/…` of its instance view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzurePower {
    /// Running.
    Running,
    /// Shut down, still allocated.
    Stopped,
    /// Shut down and released.
    Deallocated,
    /// On the way (`starting`, `stopping`, `deallocating`), or not reported: neither running nor stopped.
    Between(String),
}

impl AzurePower {
    /// Whether the machine is positively off.
    pub const fn is_off(&self) -> bool {
        matches!(self, Self::Stopped | Self::Deallocated)
    }
}

impl std::fmt::Display for AzurePower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Deallocated => "deallocated",
            Self::Between(word) if word.is_empty() => "without a reported power state",
            Self::Between(word) => word,
        })
    }
}

/// The failed-over machine in Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureVm {
    /// A definite 404: deleted, or moved to another resource group.
    Absent,
    /// It exists.
    Present {
        /// Its ARM id.
        id: String,
        /// Whether it runs.
        power: AzurePower,
    },
}

/// Power state in vCenter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Power {
    /// `poweredOn`.
    On,
    /// `poweredOff`.
    Off,
    /// `suspended`.
    Suspended,
}

/// `guest.toolsRunningStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tools {
    /// `guestToolsRunning`.
    Running,
    /// `guestToolsNotRunning`.
    NotRunning,
    /// `guestToolsExecutingScripts`.
    ExecutingScripts,
}

/// A virtual disk of a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualDisk {
    /// Label, such as `Hard disk 1`.
    pub label: String,
    /// UUID of the backing, lower case.
    pub uuid: Option<String>,
    /// Size in bytes.
    pub capacity_bytes: Option<u64>,
    /// Managed object id of the backing's datastore.
    pub datastore: Option<String>,
    /// Raw device mapping.
    pub raw_device: bool,
    /// A delta disk: it has a parent, i.e. the VM has a snapshot.
    pub delta: bool,
}

/// A VM in vCenter. Every property is optional there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualMachine {
    /// Managed object id, `vm-62`.
    pub moref: String,
    /// Its name; never an identity.
    pub name: String,
    /// `config.uuid`, lower case.
    pub bios_uuid: Option<String>,
    /// `config.instanceUuid`, lower case.
    pub instance_uuid: Option<String>,
    /// A template cannot be failed back to.
    pub template: bool,
    /// Power state.
    pub power: Option<Power>,
    /// `runtime.connectionState`, `connected` when all is well.
    pub connection: Option<String>,
    /// Managed object id of its host.
    pub host: Option<String>,
    /// Tools state.
    pub tools: Option<Tools>,
    /// `guest.ipAddress`.
    pub ip_address: Option<String>,
    /// Number of snapshots at all levels; `None` when it could not be read.
    pub snapshots: Option<u32>,
    /// Managed object ids of its datastores.
    pub datastores: Vec<String>,
    /// Disks.
    pub disks: Vec<VirtualDisk>,
    /// `disk.EnableUUID` of `extraConfig`.
    pub disk_enable_uuid: Option<bool>,
    /// Properties that this account may not read.
    pub unreadable: Vec<String>,
}

/// A datastore in vCenter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datastore {
    /// Managed object id.
    pub moref: String,
    /// Display name, which site recovery uses.
    pub name: String,
    /// `VMFS`, `NFS`, `vsan`, …
    pub kind: Option<String>,
    /// Reachable by at least one host.
    pub accessible: Option<bool>,
    /// Free bytes.
    pub free_bytes: Option<u64>,
    /// Size in bytes.
    pub capacity_bytes: Option<u64>,
}

/// An ESX host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Managed object id.
    pub moref: String,
    /// Display name.
    pub name: String,
    /// `runtime.connectionState`.
    pub connection: Option<String>,
    /// In maintenance mode.
    pub maintenance: Option<bool>,
    /// Managed object ids of the datastores that it mounts.
    pub datastores: Vec<String>,
    /// Properties that this account may not read.
    pub unreadable: Vec<String>,
}

/// Who a vCenter is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VCenterAbout {
    /// `about.instanceUuid`.
    pub instance_uuid: String,
    /// `about.version`.
    pub version: String,
    /// `about.fullName`.
    pub full_name: String,
}

/// The machine at home, as found in vCenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnPremisesVm {
    /// The whole inventory was read and no VM has this identity.
    NotFound,
    /// More than one VM has it: never guessed. Their names.
    Ambiguous(Vec<String>),
    /// Exactly one.
    Found(Box<VirtualMachine>),
}

/// A modernized appliance's reprotect agent, or a classic master target.
#[derive(Clone, Debug, PartialEq)]
pub struct ReprotectTarget {
    /// The component's id; all components of one appliance share it.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Health.
    pub health: Health,
    /// What is wrong.
    pub health_errors: Vec<HealthError>,
    /// Last heartbeat.
    pub heartbeat: Option<Timestamp>,
    /// Version.
    pub version: String,
    /// Names of the datastores that it can write to. Empty: read-only vCenter account, or discovery has not run.
    pub datastores: Vec<String>,
    /// How many items it protects.
    pub protected_items: Option<u32>,
    /// BIOS UUID of its VM, lower case.
    pub bios_uuid: Option<String>,
    /// Instance UUID of its VM, lower case (from its discovery machine's id).
    pub instance_uuid: Option<String>,
    /// Name of its vCenter as site recovery knows it.
    pub vcenter_name: Option<String>,
}

/// A process server: the part of an appliance (or a classic server) that receives data.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessServer {
    /// The component's id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Health.
    pub health: Health,
    /// Last heartbeat.
    pub heartbeat: Option<Timestamp>,
}

/// A fabric: the on-premises side as a vault knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fabric {
    /// ARM id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// `None` when it is not a VMware fabric.
    pub generation: Option<Generation>,
    /// Health of the fabric.
    pub health: Health,
    /// Reprotect agents or master targets.
    pub targets: Vec<ReprotectTarget>,
    /// Process servers.
    pub process_servers: Vec<ProcessServer>,
}

/// Who a vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// ARM id.
    pub id: String,
    /// Azure region.
    pub location: String,
}
