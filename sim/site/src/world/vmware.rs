//! The on-premises half: vCenters with their hosts, datastores, VMs and tasks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk_uuid;
use crate::scenario::{DatastoreKind, DiskKind, Os};

/// A VM of a vCenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct VmKey {
    pub(crate) vcenter: usize,
    pub(crate) vm: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VCenter {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) instance_uuid: String,
    pub(crate) version: String,
    pub(crate) datacenter: String,
    pub(crate) connected: bool,
    /// `discoveryStatus` in ASR, where the scenario gives one.
    pub(crate) discovery: Option<String>,
    pub(crate) denied: Vec<String>,
    pub(crate) session_idle_seconds: u64,
    pub(crate) clusters: Vec<String>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) datastores: Vec<Datastore>,
    pub(crate) networks: Vec<String>,
    pub(crate) vms: BTreeMap<u32, Vm>,
    pub(crate) next_vm: u32,
    pub(crate) tasks: BTreeMap<u32, Task>,
    pub(crate) next_task: u32,
    /// Grows with each change that a property collector can see.
    pub(crate) revision: u64,
    /// Changes when every session was killed at once.
    pub(crate) session_epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) cluster: Option<usize>,
    pub(crate) version: String,
    pub(crate) memory: u64,
    pub(crate) cores: u16,
    pub(crate) maintenance: bool,
    pub(crate) connected: bool,
    pub(crate) uuid: String,
    pub(crate) changed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Datastore {
    pub(crate) name: String,
    pub(crate) kind: DatastoreKind,
    pub(crate) capacity: u64,
    pub(crate) free: u64,
    /// Indexes of the hosts that mount it.
    pub(crate) hosts: Vec<usize>,
    pub(crate) read_only: bool,
    pub(crate) accessible: bool,
    pub(crate) uuid: String,
    pub(crate) changed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VmDisk {
    pub(crate) size: u64,
    pub(crate) kind: DiskKind,
    pub(crate) datastore: usize,
    pub(crate) uuid: String,
    pub(crate) detached: bool,
    /// A disk of another VM.
    pub(crate) foreign: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) made: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vm {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) instance_uuid: String,
    pub(crate) os: Os,
    pub(crate) os_name: String,
    pub(crate) host: usize,
    pub(crate) datastore: usize,
    pub(crate) powered_on: bool,
    /// VMware Tools run.
    pub(crate) tools: bool,
    /// VMware Tools start by themselves after power on.
    pub(crate) tools_start: bool,
    pub(crate) ip: String,
    pub(crate) mac: String,
    pub(crate) template: bool,
    pub(crate) disks: Vec<VmDisk>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) controller: String,
    pub(crate) disk_enable_uuid: bool,
    pub(crate) without_config: bool,
    pub(crate) memory: u64,
    pub(crate) cpus: u16,
    pub(crate) boots: u32,
    /// The replicated machine that it is the on-premises copy of.
    pub(crate) machine: Option<usize>,
    pub(crate) changed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TaskState {
    Running,
    Success,
    Error,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum TaskWork {
    PowerOn,
    PowerOff,
    RemoveSnapshot(u32),
    RemoveAllSnapshots,
}

/// A task of vCenter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) work: TaskWork,
    pub(crate) vm: u32,
    pub(crate) state: TaskState,
    pub(crate) queued: Timestamp,
    pub(crate) completed: Option<Timestamp>,
    /// Type of the fault and its message, e.g. InvalidPowerState.
    pub(crate) fault: Option<TaskFault>,
    pub(crate) changed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum TaskFault {
    InvalidPowerState { requested: String, existing: String },
    NoDiskSpace { datastore: String },
    HostNotConnected,
}

impl Vm {
    /// The disks that are attached.
    pub(crate) fn attached(&self) -> impl Iterator<Item = &VmDisk> {
        self.disks.iter().filter(|disk| !disk.detached)
    }
}

impl VCenter {
    pub(crate) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Changes a VM and marks it as changed.
    pub(crate) fn change_vm<R>(&mut self, id: u32, change: impl FnOnce(&mut Vm) -> R) -> Option<R> {
        let revision = self.next_revision();
        let vm = self.vms.get_mut(&id)?;
        vm.changed = revision;
        Some(change(vm))
    }

    pub(crate) fn vm_named(&self, name: &str) -> Option<u32> {
        self.vms.iter().find(|(_, vm)| vm.name == name).map(|(id, _)| *id)
    }

    pub(crate) fn host_named(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    pub(crate) fn datastore_named(&self, name: &str) -> Option<usize> {
        self.datastores.iter().position(|datastore| datastore.name == name)
    }

    /// Names of the datastores that a host can write to now.
    pub(crate) fn writable_on(&self, host: usize) -> Vec<String> {
        self.datastores
            .iter()
            .filter(|datastore| datastore.hosts.contains(&host) && datastore.accessible && !datastore.read_only)
            .map(|datastore| datastore.name.clone())
            .collect()
    }

    /// Shows so many disks that others have attached to a server's VM, beside its own.
    pub(crate) fn attach_foreign_disks(&mut self, name: &str, count: usize) {
        let Some(id) = self.vm_named(name) else { return };
        self.change_vm(id, |vm| {
            vm.disks.retain(|disk| !disk.foreign);
            let datastore = vm.datastore;
            let disk = |number: usize| VmDisk {
                size: 1 << 30,
                kind: DiskKind::Vmdk,
                datastore,
                uuid: disk_uuid(&format!("attached to {name}"), number),
                detached: false,
                foreign: true,
            };
            vm.disks.extend((0..count).map(disk));
        });
    }

    pub(crate) fn mounts(&self, datastore: usize, host: usize) -> bool {
        self.datastores.get(datastore).is_some_and(|d| d.hosts.contains(&host))
    }

    /// Takes or gives back space.
    pub(crate) fn change_free(&mut self, datastore: usize, change: impl FnOnce(u64) -> u64) {
        let revision = self.next_revision();
        if let Some(datastore) = self.datastores.get_mut(datastore) {
            datastore.free = change(datastore.free).min(datastore.capacity);
            datastore.changed = revision;
        }
    }
}
