//! Replication fabrics: appliances of the modernized generation, servers of the classic one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Generation, Os, Size};

/// A replication fabric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fabric {
    /// Name. A classic fabric's ARM name is a hash, as in the recordings; this is its friendly name.
    pub name: String,
    /// modernized or classic.
    pub generation: Generation,
    /// The vault that it lies in. Default: `azure.vault`.
    pub vault: Option<String>,
    /// Name of its protection container. Default: derived.
    pub container: Option<String>,
    /// The vCenter it protects. Default: the first.
    pub vcenter: Option<String>,
    /// Modernized: the replication appliances. Default: one.
    pub appliances: Vec<Appliance>,
    /// Classic: the configuration server.
    pub configuration_server: ConfigurationServer,
    /// Classic: process servers beside the configuration server's own.
    pub process_servers: Vec<ProcessServer>,
    /// Classic: master targets beside the configuration server's own, which has no datastores. Default: one for Windows and one for Linux.
    pub master_targets: Vec<MasterTarget>,
    /// Name of the forward replication policy.
    pub policy: String,
    /// Instance UUID by which ASR knows the vCenter. Default: the vCenter's own. Another one: the machines were protected from another vCenter.
    pub vcenter_known_as: Option<String>,
    /// A Hyper-V site instead: its items are of HyperVReplicaAzure and never come back to VMware.
    pub hyper_v: bool,
}

impl Default for Fabric {
    fn default() -> Fabric {
        Fabric {
            name: "onprem-fabric".to_owned(),
            generation: Generation::Modernized,
            vault: None,
            container: None,
            vcenter: None,
            appliances: Vec::new(),
            configuration_server: ConfigurationServer::default(),
            process_servers: Vec::new(),
            master_targets: Vec::new(),
            policy: "24-hour-retention".to_owned(),
            vcenter_known_as: None,
            hyper_v: false,
        }
    }
}

/// Health as ASR words it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Fine.
    #[default]
    Normal,
    /// Degraded.
    Warning,
    /// Broken.
    Critical,
}

impl Health {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Health::Normal => "Normal",
            Health::Warning => "Warning",
            Health::Critical => "Critical",
        }
    }
}

/// A replication appliance of the modernized generation: proxy, process server, push installer, replication agent, reprotect agent, MARS agent and DRA in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Appliance {
    /// Its id in ASR. Default: derived from the name.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// The ESXi host that its VM runs on. Default: the vCenter's first.
    pub host: Option<String>,
    /// Datastores that its reprotect agent sees. Default: all that its host mounts; an empty list in the answer means that nothing was discovered.
    pub datastores: Option<Vec<String>>,
    /// Health of all its components.
    pub health: Health,
    /// Heartbeats arrive.
    pub heartbeat: bool,
    /// Components that differ from the others: `processServer`, `rcmProxy`, `pushInstaller`, `replicationAgent`, `reprotectAgent`, `marsAgent`, `dra`.
    pub parts: BTreeMap<String, Part>,
    /// Its reprotect agent is listed. False: it was not discovered.
    pub discovered: bool,
    /// Disks that others have attached to its VM.
    pub attached_disks: usize,
}

impl Default for Appliance {
    fn default() -> Appliance {
        Appliance {
            id: None,
            name: "appliance01".to_owned(),
            host: None,
            datastores: None,
            health: Health::Normal,
            heartbeat: true,
            parts: BTreeMap::new(),
            discovered: true,
            attached_disks: 0,
        }
    }
}

/// One component of an appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Part {
    /// Its health.
    pub health: Health,
    /// Its heartbeats arrive.
    pub heartbeat: bool,
}

impl Default for Part {
    fn default() -> Part {
        Part { health: Health::Normal, heartbeat: true }
    }
}

/// The configuration server of the classic generation. It is a process server too, and a master target without datastores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConfigurationServer {
    /// Its id in ASR. Default: derived from the name.
    pub id: Option<String>,
    /// IPv4 address.
    pub ip: String,
    /// Agent version.
    pub version: String,
    /// Services run and heartbeats arrive, of its process server and master target too.
    pub available: bool,
    /// `csServiceStatus`.
    pub services: String,
    /// Its own heartbeats arrive.
    pub heartbeat: bool,
}

impl Default for ConfigurationServer {
    fn default() -> ConfigurationServer {
        ConfigurationServer {
            id: None,
            ip: "10.20.0.10".to_owned(),
            version: "9.62.0.0".to_owned(),
            available: true,
            services: "Running".to_owned(),
            heartbeat: true,
        }
    }
}

/// A process server of the classic generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProcessServer {
    /// Its id in ASR. Default: derived from the name.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// IPv4 address.
    pub ip: String,
    /// Health.
    pub health: Health,
    /// Heartbeats arrive.
    pub heartbeat: bool,
}

impl Default for ProcessServer {
    fn default() -> ProcessServer {
        ProcessServer {
            id: None,
            name: String::new(),
            ip: "10.20.0.20".to_owned(),
            health: Health::Normal,
            heartbeat: true,
        }
    }
}

/// A master target of the classic generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MasterTarget {
    /// Its id in ASR. Default: derived from the name.
    pub id: Option<String>,
    /// Name; also the name of its VM in vCenter.
    pub name: String,
    /// OS family.
    pub os: Os,
    /// IPv4 address.
    pub ip: String,
    /// The ESXi host that its VM runs on. Default: the vCenter's first.
    pub host: Option<String>,
    /// Agent version. Default: the configuration server's.
    pub version: Option<String>,
    /// Retention volumes that the service lists. Default: one, `R` or `/mnt/retention`. It lists none that is FAT.
    pub retention: Option<Vec<RetentionVolume>>,
    /// Datastores that it sees. Default: all that its host mounts.
    pub datastores: Option<Vec<String>>,
    /// Snapshots of its VM, which make reprotect fail.
    pub snapshots: Vec<String>,
    /// SCSI controller of its VM.
    pub controller: String,
    /// `disk.EnableUUID` of its VM.
    pub disk_enable_uuid: bool,
    /// Heartbeats arrive.
    pub heartbeat: bool,
    /// Texts of health errors.
    pub errors: Vec<String>,
    /// It is listed. False: it was not discovered.
    pub discovered: bool,
    /// Disks that others have attached to its VM.
    pub attached_disks: usize,
}

impl Default for MasterTarget {
    fn default() -> MasterTarget {
        MasterTarget {
            id: None,
            name: String::new(),
            os: Os::Windows,
            ip: "10.20.0.30".to_owned(),
            host: None,
            version: None,
            retention: None,
            datastores: None,
            snapshots: Vec::new(),
            controller: "lsisas".to_owned(),
            disk_enable_uuid: true,
            heartbeat: true,
            errors: Vec::new(),
            discovered: true,
            attached_disks: 0,
        }
    }
}

/// A retention volume of a master target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionVolume {
    /// Drive letter or mount point.
    pub name: String,
    /// Capacity.
    #[serde(default = "retention_size")]
    pub capacity: Size,
    /// Free space.
    #[serde(default = "retention_size")]
    pub free: Size,
}

fn retention_size() -> Size {
    Size::gb(1024)
}
