//! The machine on both sides, and what vCenter has around it.

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
        /// Its managed disks, the OS disk first; `None` when the answer did not list them.
        disks: Option<Vec<AzureDisk>>,
    },
}

impl AzureVm {
    /// The name in its ARM id: the last segment.
    pub fn name_of(id: &str) -> &str {
        id.rsplit('/').next().unwrap_or(id)
    }
}

/// A managed disk of an Azure VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureDisk {
    /// Name of the disk.
    pub name: String,
    /// Size in bytes.
    pub capacity_bytes: Option<u64>,
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
    /// Name of the folder that its file lies in, whatever the datastore: a VM's own disks share one.
    pub folder: Option<String>,
    /// Type of its controller, such as `VirtualLsiLogicSASController` or `ParaVirtualSCSIController`.
    pub controller: Option<String>,
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
    /// The hosts that mount it; `None` when the account may not read that.
    pub mounts: Option<Vec<Mount>>,
}

/// A datastore's mount on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Managed object id of the host.
    pub host: String,
    /// Mounted `readWrite`.
    pub writable: bool,
    /// Mounted and reachable from that host.
    pub usable: bool,
}

impl Datastore {
    /// Whether this host can write to it; `None` when that cannot be told.
    pub fn writable_on(&self, host: &str) -> Option<bool> {
        let mounts = self.mounts.as_ref()?;
        Some(mounts.iter().any(|mount| mount.host == host && mount.writable && mount.usable))
    }
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
    /// Name of its cluster; `None` for a standalone host.
    pub cluster: Option<String>,
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
