//! Replicated machines and recovery plans.

use serde::{Deserialize, Serialize};

use super::{Health, Size, Span};

/// The generation of Azure Site Recovery for VMware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Generation {
    /// Replication appliance; providers InMageRcm and InMageRcmFailback.
    #[default]
    Modernized,
    /// Configuration server; providers InMageAzureV2 and InMage.
    Classic,
}

/// OS family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Os {
    /// Windows.
    #[default]
    Windows,
    /// Linux.
    Linux,
}

impl Os {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Os::Windows => "Windows",
            Os::Linux => "Linux",
        }
    }
}

/// How a disk is backed in vSphere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DiskKind {
    /// A VMDK.
    #[default]
    Vmdk,
    /// A raw device mapping in physical compatibility mode.
    RdmPhysical,
    /// A raw device mapping in virtual compatibility mode.
    RdmVirtual,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Disk {
    /// Size.
    pub size: Size,
    /// How it is backed.
    pub kind: DiskKind,
    /// Datastore. Default: the VM's.
    pub datastore: Option<String>,
    /// The disk was added in Azure after the failover: it is not replicated back.
    pub added_in_azure: bool,
    /// It is not attached to the original VM any more.
    pub detached: bool,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk { size: Size::gb(40), kind: DiskKind::Vmdk, datastore: None, added_in_azure: false, detached: false }
    }
}

/// Where in its cycle a machine is at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartState {
    /// Runs on-premises and is not replicated: there is no item until a client enables replication.
    Unprotected,
    /// Runs on-premises and replicates to Azure.
    Protected,
    /// Failed over to Azure, commit pending.
    FailedOver,
    /// Failed over to Azure and committed.
    #[default]
    FailedOverCommitted,
    /// Runs in Azure and replicates back.
    Reprotected,
    /// Failed back, commit pending.
    FailedBack,
    /// Failed back and committed: at home, unprotected.
    FailedBackCommitted,
    /// Migration was completed: failback is over for good.
    Migrated,
}

/// How the mobility agent behaves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentRegistration {
    /// It registers so long after each boot.
    pub delay: Span,
    /// It never registers.
    pub never: bool,
    /// At the start it has already registered.
    pub registered: bool,
}

impl Default for AgentRegistration {
    fn default() -> AgentRegistration {
        AgentRegistration { delay: Span::minutes(8), never: false, registered: true }
    }
}

/// A replicated machine, or `count` of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Machine {
    /// Friendly name: the VM's name.
    pub name: String,
    /// Make so many of them, named `{name}-0001` and on.
    pub count: usize,
    /// Name of the replicated item. Default: the machine's name.
    pub item: Option<String>,
    /// Fabric. Default: the first.
    pub fabric: Option<String>,
    /// OS family.
    pub os: Os,
    /// The OS as vCenter words it. Default: by family.
    pub os_name: Option<String>,
    /// Disks, the OS disk first.
    pub disks: Vec<Disk>,
    /// How much of the disks changes in a day.
    pub change_per_day: Size,
    /// Bytes per second that the replication of this machine moves. Default: `durations.bandwidthPerSecond`.
    pub bandwidth_per_second: Option<Size>,
    /// Where in its cycle it is.
    pub state: StartState,
    /// How long ago it got there.
    pub since: Span,
    /// The original VM still exists in vCenter. Without it, reprotect makes a new VM (alternate location).
    pub original_vm: bool,
    /// The original VM was left running at failover (the site was unreachable); reprotect turns it off.
    pub original_vm_running: bool,
    /// Replicated as a physical server: there never was a VM.
    pub physical: bool,
    /// ESXi host of the original VM. Default: the first.
    pub host: Option<String>,
    /// Datastore of the original VM. Default: the first.
    pub datastore: Option<String>,
    /// Snapshots of the original VM, oldest first: its disks become delta disks.
    pub snapshots: Vec<String>,
    /// The mobility agent.
    pub agent: AgentRegistration,
    /// Multi-VM consistency group.
    pub group: Option<String>,
    /// CPU count.
    pub cpus: u16,
    /// Memory.
    pub memory: Size,
    /// On-premises IPv4 address. Default: derived.
    pub ip: Option<String>,
    /// Name of the Azure VM. Default: the machine's name.
    pub azure_vm: Option<String>,
    /// The Azure VM was renamed with a GUID suffix because of a clash (recorded once).
    pub azure_vm_renamed: bool,
    /// The Azure VM exists. False: somebody deleted it.
    pub azure_vm_exists: bool,
    /// The Azure VM runs.
    pub azure_vm_running: bool,
    /// Azure starts the VM again when a failback is cancelled. False: the cancel succeeds, and it stays deallocated (as
    /// for want of quota).
    pub azure_vm_starts: bool,
    /// The resource group that the Azure VM was moved to. Absent: it stayed in its own.
    pub azure_vm_moved_to: Option<String>,
    /// BIOS UUID of the original VM. Default: derived from the name.
    pub uuid: Option<String>,
    /// Instance UUID of the original VM. Default: derived from the name.
    pub instance_uuid: Option<String>,
    /// Known to the configuration server (classic). False: a health error says so, and the item has no `infrastructureVmId`.
    pub known_to_configuration_server: bool,
    /// Health of its replication.
    pub replication_health: Health,
    /// It has recovery points. Without one a failback is not offered.
    pub recovery_points: bool,
    /// The Azure VM runs although the machine was failed back.
    pub azure_vm_left_running: bool,
    /// The on-premises VM is powered on. Default: where the machine runs on-premises.
    pub on_prem_running: Option<bool>,
    /// VMware Tools run in the on-premises VM when it is on.
    pub tools: bool,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            name: String::new(),
            count: 1,
            item: None,
            fabric: None,
            os: Os::Windows,
            os_name: None,
            disks: vec![Disk::default()],
            change_per_day: Size::gb(4),
            bandwidth_per_second: None,
            state: StartState::FailedOverCommitted,
            since: Span::minutes(180),
            original_vm: true,
            original_vm_running: false,
            physical: false,
            host: None,
            datastore: None,
            snapshots: Vec::new(),
            agent: AgentRegistration::default(),
            group: None,
            cpus: 4,
            memory: Size::gb(8),
            ip: None,
            azure_vm: None,
            azure_vm_renamed: false,
            azure_vm_exists: true,
            azure_vm_running: true,
            azure_vm_starts: true,
            azure_vm_moved_to: None,
            uuid: None,
            instance_uuid: None,
            known_to_configuration_server: true,
            replication_health: Health::Normal,
            recovery_points: true,
            azure_vm_left_running: false,
            on_prem_running: None,
            tools: true,
        }
    }
}

/// A recovery plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Plan {
    /// Name.
    pub name: String,
    /// Its boot groups, in order.
    pub groups: Vec<PlanGroup>,
}

/// A boot group of a recovery plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlanGroup {
    /// Names of machines.
    pub machines: Vec<String>,
    /// A manual action before the group: the plan's job waits for `resume`.
    pub manual_action: Option<String>,
}
