//! Replication fabrics: appliances of the modernized generation, servers of the classic one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::scenario::{Generation, Os, RetentionVolume};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fabric {
    /// The ARM name.
    pub(crate) name: String,
    pub(crate) friendly: String,
    pub(crate) generation: Generation,
    pub(crate) vault: String,
    pub(crate) container: String,
    pub(crate) vcenter: usize,
    pub(crate) internal_id: String,
    /// Modernized: the OffAzure site.
    pub(crate) site: String,
    pub(crate) servers: Vec<Server>,
    pub(crate) cs_ip: String,
    pub(crate) cs_version: String,
    pub(crate) policy: String,
    /// `csServiceStatus` of a configuration server whose heartbeats arrive.
    pub(crate) cs_services: String,
    /// When the configuration server's own heartbeats stopped.
    pub(crate) cs_silent_since: Option<Timestamp>,
    /// Instance UUID by which ASR knows the vCenter.
    pub(crate) vcenter_known_as: String,
    pub(crate) hyper_v: bool,
}

/// An appliance, process server or master target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) ip: String,
    pub(crate) health: String,
    pub(crate) heartbeat: bool,
    pub(crate) host: usize,
    /// Absent: whatever its host mounts.
    pub(crate) datastores: Option<Vec<String>>,
    pub(crate) os: Os,
    pub(crate) version: String,
    pub(crate) retention: Vec<RetentionVolume>,
    pub(crate) errors: Vec<String>,
    /// When its heartbeats stopped.
    pub(crate) silent_since: Option<Timestamp>,
    /// Components of an appliance that differ from the rest of it.
    pub(crate) parts: BTreeMap<String, ServerPart>,
    /// It is listed among those that a reprotect can name.
    pub(crate) discovered: bool,
    /// Disks that others have attached to its VM.
    pub(crate) attached_disks: usize,
}

/// A component of an appliance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerPart {
    pub(crate) health: String,
    pub(crate) silent_since: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    Appliance,
    ConfigurationServer,
    ProcessServer,
    MasterTarget,
}
