//! The on-premises side as a vault knows it, and the vault itself.

use jiff::Timestamp;

use super::{Generation, Health, HealthError};

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
