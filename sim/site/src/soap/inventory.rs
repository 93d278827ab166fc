//! The inventory tree: which managed objects there are, what lies in what.

use super::value::MoRef;
use crate::world::{VCenter, VmKey, World};

pub(crate) const ROOT: &str = "group-d1";
pub(crate) const DATACENTER: &str = "datacenter-2";
pub(crate) const VM_FOLDER: &str = "group-v3";
pub(crate) const HOST_FOLDER: &str = "group-h4";
pub(crate) const DATASTORE_FOLDER: &str = "group-s5";
pub(crate) const NETWORK_FOLDER: &str = "group-n6";

/// One vCenter of the world, seen through its inventory.
#[derive(Clone, Copy)]
pub(crate) struct Inventory<'a> {
    pub(crate) world: &'a World,
    pub(crate) index: usize,
    pub(crate) vcenter: &'a VCenter,
}

/// What a reference leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    RootFolder,
    Datacenter,
    VmFolder,
    HostFolder,
    DatastoreFolder,
    NetworkFolder,
    Cluster(usize),
    ClusterPool(usize),
    /// The compute resource of a standalone host.
    Standalone(usize),
    StandalonePool(usize),
    Host(usize),
    Datastore(usize),
    Network(usize),
    Vm(u32),
    Task(u32),
    Snapshot(u32, u32),
}

pub(crate) fn host_ref(index: usize) -> MoRef {
    MoRef::new("HostSystem", format!("host-{}", index + 10))
}

pub(crate) fn datastore_ref(index: usize) -> MoRef {
    MoRef::new("Datastore", format!("datastore-{}", index + 50))
}

pub(crate) fn network_ref(index: usize) -> MoRef {
    MoRef::new("Network", format!("network-{}", index + 900))
}

pub(crate) fn vm_ref(id: u32) -> MoRef {
    MoRef::new("VirtualMachine", format!("vm-{id}"))
}

pub(crate) fn task_ref(id: u32) -> MoRef {
    MoRef::new("Task", format!("task-{id}"))
}

pub(crate) fn folder(id: &str) -> MoRef {
    MoRef::new("Folder", id)
}

pub(crate) fn datacenter() -> MoRef {
    MoRef::new("Datacenter", DATACENTER)
}

fn number(id: &str, prefix: &str) -> Option<usize> {
    id.strip_prefix(prefix)?.parse().ok()
}

impl<'a> Inventory<'a> {
    pub(crate) fn new(world: &'a World, index: usize) -> Option<Inventory<'a>> {
        world.vcenters.get(index).map(|vcenter| Inventory { world, index, vcenter })
    }

    pub(crate) fn key(&self, vm: u32) -> VmKey {
        VmKey { vcenter: self.index, vm }
    }

    /// What a reference leads to; `None` when it is gone or never was.
    pub(crate) fn find(&self, reference: &MoRef) -> Option<Object> {
        let id = reference.id.as_str();
        let object = match id {
            ROOT => Object::RootFolder,
            DATACENTER => Object::Datacenter,
            VM_FOLDER => Object::VmFolder,
            HOST_FOLDER => Object::HostFolder,
            DATASTORE_FOLDER => Object::DatastoreFolder,
            NETWORK_FOLDER => Object::NetworkFolder,
            _ => self.numbered(id)?,
        };
        (self.kind(object) == reference.kind).then_some(object)
    }

    fn numbered(&self, id: &str) -> Option<Object> {
        let vcenter = self.vcenter;
        let below = |number: usize, base: usize, len: usize| number.checked_sub(base).filter(|index| *index < len);
        if let Some(number) = number(id, "vm-") {
            let id = u32::try_from(number).ok()?;
            return vcenter.vms.contains_key(&id).then_some(Object::Vm(id));
        }
        if let Some(number) = number(id, "host-") {
            return below(number, 10, vcenter.hosts.len()).map(Object::Host);
        }
        if let Some(number) = number(id, "datastore-") {
            return below(number, 50, vcenter.datastores.len()).map(Object::Datastore);
        }
        if let Some(number) = number(id, "network-") {
            return below(number, 900, vcenter.networks.len()).map(Object::Network);
        }
        if let Some(number) = number(id, "domain-c") {
            return below(number, 100, vcenter.clusters.len()).map(Object::Cluster);
        }
        if let Some(number) = number(id, "domain-s") {
            return below(number, 200, vcenter.hosts.len())
                .filter(|host| self.is_standalone(*host))
                .map(Object::Standalone);
        }
        if let Some(number) = number(id, "resgroup-") {
            return match number {
                300..400 => below(number, 300, vcenter.clusters.len()).map(Object::ClusterPool),
                _ => below(number, 400, vcenter.hosts.len())
                    .filter(|host| self.is_standalone(*host))
                    .map(Object::StandalonePool),
            };
        }
        if let Some(number) = number(id, "task-") {
            let id = u32::try_from(number).ok()?;
            return vcenter.tasks.contains_key(&id).then_some(Object::Task(id));
        }
        let (vm, snapshot) = id.strip_prefix("snapshot-")?.split_once('-')?;
        let (vm, snapshot) = (vm.parse().ok()?, snapshot.parse().ok()?);
        vcenter
            .vms
            .get(&vm)?
            .snapshots
            .iter()
            .any(|known| known.id == snapshot)
            .then_some(Object::Snapshot(vm, snapshot))
    }

    pub(crate) fn is_standalone(&self, host: usize) -> bool {
        self.vcenter.hosts.get(host).is_some_and(|host| host.cluster.is_none())
    }

    pub(crate) fn kind(&self, object: Object) -> &'static str {
        match object {
            Object::RootFolder
            | Object::VmFolder
            | Object::HostFolder
            | Object::DatastoreFolder
            | Object::NetworkFolder => "Folder",
            Object::Datacenter => "Datacenter",
            Object::Cluster(_) => "ClusterComputeResource",
            Object::Standalone(_) => "ComputeResource",
            Object::ClusterPool(_) | Object::StandalonePool(_) => "ResourcePool",
            Object::Host(_) => "HostSystem",
            Object::Datastore(_) => "Datastore",
            Object::Network(_) => "Network",
            Object::Vm(_) => "VirtualMachine",
            Object::Task(_) => "Task",
            Object::Snapshot(..) => "VirtualMachineSnapshot",
        }
    }

    pub(crate) fn cluster_ref(&self, cluster: usize) -> MoRef {
        MoRef::new("ClusterComputeResource", format!("domain-c{}", cluster + 100))
    }

    pub(crate) fn standalone_ref(&self, host: usize) -> MoRef {
        MoRef::new("ComputeResource", format!("domain-s{}", host + 200))
    }

    /// The compute resource that a host belongs to.
    pub(crate) fn compute_of(&self, host: usize) -> MoRef {
        match self.vcenter.hosts.get(host).and_then(|host| host.cluster) {
            Some(cluster) => self.cluster_ref(cluster),
            None => self.standalone_ref(host),
        }
    }

    pub(crate) fn pool_of(&self, host: usize) -> MoRef {
        match self.vcenter.hosts.get(host).and_then(|host| host.cluster) {
            Some(cluster) => MoRef::new("ResourcePool", format!("resgroup-{}", cluster + 300)),
            None => MoRef::new("ResourcePool", format!("resgroup-{}", host + 400)),
        }
    }

    pub(crate) fn computes(&self) -> Vec<MoRef> {
        let clusters = (0..self.vcenter.clusters.len()).map(|cluster| self.cluster_ref(cluster));
        let standalone = (0..self.vcenter.hosts.len())
            .filter(|host| self.is_standalone(*host))
            .map(|host| self.standalone_ref(host));
        clusters.chain(standalone).collect()
    }

    pub(crate) fn vms(&self) -> Vec<MoRef> {
        self.vcenter.vms.keys().map(|id| vm_ref(*id)).collect()
    }

    /// What a container holds directly, for container views and inventory paths.
    pub(crate) fn children(&self, object: Object) -> Vec<MoRef> {
        let vcenter = self.vcenter;
        match object {
            Object::RootFolder => vec![datacenter()],
            Object::Datacenter => {
                vec![folder(VM_FOLDER), folder(HOST_FOLDER), folder(DATASTORE_FOLDER), folder(NETWORK_FOLDER)]
            }
            Object::VmFolder => self.vms(),
            Object::HostFolder => self.computes(),
            Object::DatastoreFolder => (0..vcenter.datastores.len()).map(datastore_ref).collect(),
            Object::NetworkFolder => (0..vcenter.networks.len()).map(network_ref).collect(),
            Object::Cluster(cluster) => {
                let hosts = vcenter
                    .hosts
                    .iter()
                    .enumerate()
                    .filter(|(_, host)| host.cluster == Some(cluster))
                    .map(|(index, _)| host_ref(index));
                std::iter::once(MoRef::new("ResourcePool", format!("resgroup-{}", cluster + 300)))
                    .chain(hosts)
                    .collect()
            }
            Object::Standalone(host) => vec![self.pool_of(host), host_ref(host)],
            Object::ClusterPool(_)
            | Object::StandalonePool(_)
            | Object::Host(_)
            | Object::Datastore(_)
            | Object::Network(_)
            | Object::Vm(_)
            | Object::Task(_)
            | Object::Snapshot(..) => Vec::new(),
        }
    }

    /// Everything in a container view, in the order of the tree.
    pub(crate) fn view(&self, container: &MoRef, kinds: &[String], recursive: bool) -> Vec<MoRef> {
        let mut found = Vec::new();
        let mut open = vec![container.clone()];
        let mut first = true;
        while let Some(reference) = open.pop() {
            if !first && (kinds.is_empty() || kinds.iter().any(|kind| is_a(&reference.kind, kind))) {
                found.push(reference.clone());
            }
            // Leaves need no walk: thousands of VMs are cheap.
            let leaf = matches!(
                reference.kind.as_str(),
                "VirtualMachine" | "HostSystem" | "Datastore" | "Network" | "ResourcePool"
            );
            if (first || recursive)
                && !leaf
                && let Some(object) = self.find(&reference)
            {
                let mut children = self.children(object);
                children.reverse();
                open.extend(children);
            }
            first = false;
        }
        found
    }
}

/// Whether a type is of another type or of one of its bases.
pub(crate) fn is_a(kind: &str, wanted: &str) -> bool {
    if kind == wanted || wanted == "ManagedObject" {
        return true;
    }
    let entity = matches!(
        kind,
        "Folder"
            | "Datacenter"
            | "ClusterComputeResource"
            | "ComputeResource"
            | "ResourcePool"
            | "HostSystem"
            | "Datastore"
            | "Network"
            | "VirtualMachine"
    );
    match wanted {
        "ManagedEntity" | "ExtensibleManagedObject" => entity,
        "ComputeResource" => kind == "ClusterComputeResource",
        _ => false,
    }
}
