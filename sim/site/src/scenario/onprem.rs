//! The on-premises side: vCenters and what they hold, appliances, configuration servers.

use serde::{Deserialize, Serialize};

use super::{Disk, Generation, Os, Size};

/// A vCenter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VCenter {
    /// Its host name; also its name in ASR.
    pub name: String,
    /// Login.
    pub user: String,
    /// Password.
    pub password: String,
    /// `about.instanceUuid`. Default: derived from the name.
    pub instance_uuid: Option<String>,
    /// `about.version`.
    pub version: String,
    /// The one datacenter.
    pub datacenter: String,
    /// The ESXi hosts.
    pub hosts: Vec<Host>,
    /// The datastores.
    pub datastores: Vec<Datastore>,
    /// The networks (port groups).
    pub networks: Vec<String>,
    /// VMs that are not replicated (appliances, master targets, bystanders).
    pub vms: Vec<Vm>,
    /// Whether ASR and its appliances can reach it.
    pub connected: bool,
    /// Logins that are refused property reads: paths answered with NoPermission in `missingSet`, e.g. `config.extraConfig`.
    pub denied_properties: Vec<String>,
    /// An idle session dies after so long, in wall time.
    pub session_idle_seconds: u64,
}

impl Default for VCenter {
    fn default() -> VCenter {
        VCenter {
            name: "vcenter.example.com".to_owned(),
            user: "administrator@vsphere.local".to_owned(),
            password: "simulated-password".to_owned(),
            instance_uuid: None,
            version: "8.0.2".to_owned(),
            datacenter: "DC1".to_owned(),
            hosts: Vec::new(),
            datastores: Vec::new(),
            networks: vec!["VM Network".to_owned()],
            vms: Vec::new(),
            connected: true,
            denied_properties: Vec::new(),
            session_idle_seconds: 1800,
        }
    }
}

impl VCenter {
    /// A vCenter without hosts or datastores gets one of each.
    pub(super) fn complete(&mut self) {
        if self.hosts.is_empty() {
            self.hosts.push(Host { name: "esx01.example.com".to_owned(), ..Host::default() });
        }
        if self.datastores.is_empty() {
            self.datastores.push(Datastore { name: "datastore1".to_owned(), ..Datastore::default() });
        }
    }
}

/// An ESXi host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Host {
    /// Its host name.
    pub name: String,
    /// The cluster that it belongs to. Absent: a standalone host.
    pub cluster: Option<String>,
    /// ESXi version.
    pub version: String,
    /// Memory.
    pub memory: Size,
    /// CPU cores.
    pub cores: u16,
    /// In maintenance mode.
    pub maintenance: bool,
    /// Connected to vCenter.
    pub connected: bool,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            name: String::new(),
            cluster: None,
            version: "8.0.2".to_owned(),
            memory: Size::gb(256),
            cores: 32,
            maintenance: false,
            connected: true,
        }
    }
}

/// What a datastore is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatastoreKind {
    /// VMFS.
    #[default]
    #[serde(rename = "VMFS")]
    Vmfs,
    /// NFS.
    #[serde(rename = "NFS")]
    Nfs,
    /// vSAN.
    #[serde(rename = "vsan", alias = "vSAN", alias = "VSAN")]
    Vsan,
}

/// A datastore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Datastore {
    /// Its display name.
    pub name: String,
    /// VMFS, NFS or vSAN.
    pub kind: DatastoreKind,
    /// Capacity.
    pub capacity: Size,
    /// Free space.
    pub free: Size,
    /// Hosts that mount it. Empty: all.
    pub hosts: Vec<String>,
    /// Mounted read-only.
    pub read_only: bool,
    /// Reachable.
    pub accessible: bool,
}

impl Default for Datastore {
    fn default() -> Datastore {
        Datastore {
            name: String::new(),
            kind: DatastoreKind::Vmfs,
            capacity: Size::gb(4096),
            free: Size::gb(3072),
            hosts: Vec::new(),
            read_only: false,
            accessible: true,
        }
    }
}

/// A VM that is not replicated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Vm {
    /// Name.
    pub name: String,
    /// Windows or Linux.
    pub os: Os,
    /// Host. Default: the first.
    pub host: Option<String>,
    /// Datastore. Default: the first.
    pub datastore: Option<String>,
    /// Powered on.
    pub powered_on: bool,
    /// A template.
    pub template: bool,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Names of its snapshots, oldest first.
    pub snapshots: Vec<String>,
    /// `disk.EnableUUID`.
    pub disk_enable_uuid: bool,
    /// SCSI controller: `lsilogic`, `lsisas` or `pvscsi`.
    pub controller: String,
    /// Its BIOS UUID. Default: derived from the name.
    pub uuid: Option<String>,
    /// vCenter cannot read its configuration: the VM has no `config` at all.
    pub without_config: bool,
}

impl Default for Vm {
    fn default() -> Vm {
        Vm {
            name: String::new(),
            os: Os::Windows,
            host: None,
            datastore: None,
            powered_on: true,
            template: false,
            disks: vec![Disk::default()],
            snapshots: Vec::new(),
            disk_enable_uuid: true,
            controller: "lsisas".to_owned(),
            uuid: None,
            without_config: false,
        }
    }
}

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
        }
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
    /// Services run and heartbeats arrive.
    pub available: bool,
}

impl Default for ConfigurationServer {
    fn default() -> ConfigurationServer {
        ConfigurationServer { id: None, ip: "10.20.0.10".to_owned(), version: "9.62.0.0".to_owned(), available: true }
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
}

impl Default for ProcessServer {
    fn default() -> ProcessServer {
        ProcessServer { id: None, name: String::new(), ip: "10.20.0.20".to_owned(), health: Health::Normal }
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
    /// Retention volumes. Default: one, `R` or `/mnt/retention`.
    pub retention: Vec<RetentionVolume>,
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
            retention: Vec::new(),
            datastores: None,
            snapshots: Vec::new(),
            controller: "lsisas".to_owned(),
            disk_enable_uuid: true,
            heartbeat: true,
            errors: Vec::new(),
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
