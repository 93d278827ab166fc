//! The on-premises side as a vault knows it, and the vault itself.

use jiff::Timestamp;

use super::{Fact, Generation, Health, HealthError, OsFamily};

/// A modernized appliance's reprotect agent, or a classic master target.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// OS family (classic; an appliance takes both).
    pub os: Option<OsFamily>,
    /// Its addresses.
    pub ip_addresses: Vec<String>,
    /// Retention volumes (classic). `None` when the vault lists none of them at all.
    pub retention: Option<Vec<RetentionVolume>>,
    /// Every part of the appliance (modernized), the reprotect agent included.
    pub components: Vec<Component>,
}

/// A volume of a classic master target that keeps the history of its disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionVolume {
    /// Drive letter (`R`) or mount point.
    pub name: String,
    /// Size in bytes.
    pub capacity_bytes: Option<u64>,
    /// Free bytes.
    pub free_bytes: Option<u64>,
}

/// A part of an appliance.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// What it is, in the vendor's words: `process server`, `proxy`, `reprotect agent`, …
    pub kind: &'static str,
    /// Display name.
    pub name: String,
    /// Health.
    pub health: Health,
    /// What is wrong.
    pub health_errors: Vec<HealthError>,
    /// Last heartbeat.
    pub heartbeat: Option<Timestamp>,
}

/// The configuration server of the classic generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationServer {
    /// Host name.
    pub name: String,
    /// Its address; a restored one must have the same.
    pub ip_address: Option<String>,
    /// `csServiceStatus` as reported, such as `Running`.
    pub service_status: String,
    /// Last heartbeat.
    pub heartbeat: Option<Timestamp>,
    /// Version of its agent.
    pub version: String,
}

/// A vCenter as site recovery knows it: `replicationvCenters` (classic), `VMwareSites/…/vcenters` (modernized).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownVCenter {
    /// Last segment of its id, by which items and appliances name it.
    pub name: String,
    /// Friendly name or FQDN.
    pub address: String,
    /// Its other address, where one is given.
    pub ip_address: Option<String>,
    /// `infrastructureId`, by which classic items name it.
    pub infrastructure_id: Option<String>,
    /// `about.instanceUuid`, lower case, where site recovery tells it.
    pub instance_uuid: Option<String>,
    /// `discoveryStatus`: an open set of words.
    pub discovery: Option<String>,
    /// Last heartbeat.
    pub heartbeat: Option<Timestamp>,
    /// What is wrong, in the vendor's words.
    pub health_errors: Vec<HealthError>,
}

/// An account that a configuration server knows, for pushing agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunAsAccount {
    /// Its number (classic) or ARM id.
    pub id: String,
    /// Display name.
    pub name: String,
}

/// A replication policy of the vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// ARM id.
    pub id: String,
    /// Display name; a classic forward policy `x` has a failback policy `x-failback` beside it.
    pub name: String,
    /// The provider it is for (`InMage`, `InMageAzureV2`, …).
    pub instance_type: String,
}

/// A process server: the part of an appliance (or a classic server) that receives data.
#[derive(Clone, Debug, Default, PartialEq)]
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// The configuration server (classic).
    pub configuration_server: Option<ConfigurationServer>,
    /// The vCenters that it knows; why there are none is told.
    pub vcenters: Fact<Vec<KnownVCenter>>,
    /// Accounts that it knows (classic).
    pub run_as_accounts: Vec<RunAsAccount>,
}

/// Who a vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// ARM id.
    pub id: String,
    /// Azure region.
    pub location: String,
}
