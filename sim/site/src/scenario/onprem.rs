//! The on-premises side: vCenters and what they hold.

use serde::{Deserialize, Serialize};

use super::{Disk, Os, Size};

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
    /// `discoveryStatus` as ASR words it (classic). Default: `unknowns.discoveryStatus`.
    pub discovery: Option<String>,
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
            discovery: None,
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
