//! Properties of inventory objects, each computed when somebody asks for it.

use super::inventory::{
    DATASTORE_FOLDER, HOST_FOLDER, Inventory, NETWORK_FOLDER, Object, ROOT, VM_FOLDER, datacenter, datastore_ref,
    folder, host_ref, network_ref, vm_ref,
};
use super::value::Val;
use crate::scenario::DatastoreKind;
use crate::world::{Datastore, Host};

/// What a property came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Property {
    Value(Val),
    /// The type has no such property.
    Invalid,
}

/// Property names that the vendor's documents list but that this vCenter leaves unset.
const UNSET_OF_ENTITIES: &[&str] = &[
    "customValue",
    "configIssue",
    "effectiveRole",
    "permission",
    "disabledMethod",
    "declaredAlarmState",
    "triggeredAlarmState",
    "alarmActionsEnabled",
    "tag",
    "value",
    "availableField",
    "configStatus",
    "recentTask",
];
const UNSET_OF_HOSTS: &[&str] = &[
    "capability",
    "licensableResource",
    "configManager",
    "remediationState",
    "precheckRemediationResult",
    "datastoreBrowser",
    "systemResources",
    "answerFileValidationState",
    "complianceCheckState",
];
const UNSET_OF_DATASTORES: &[&str] = &["browser", "capability", "iormConfiguration"];

pub(super) fn status(good: bool) -> Val {
    Val::Enum("ManagedEntityStatus", if good { "green" } else { "red" }.to_owned())
}

impl Inventory<'_> {
    /// A top-level property.
    pub(crate) fn property(&self, object: Object, name: &str) -> Property {
        let value = match object {
            Object::RootFolder
            | Object::VmFolder
            | Object::HostFolder
            | Object::DatastoreFolder
            | Object::NetworkFolder => self.of_folder(object, name),
            Object::Datacenter => self.of_datacenter(name),
            Object::Cluster(_) | Object::Standalone(_) => self.of_compute(object, name),
            Object::ClusterPool(_) | Object::StandalonePool(_) => self.of_pool(object, name),
            Object::Host(index) => self.vcenter.hosts.get(index).and_then(|host| self.of_host(index, host, name)),
            Object::Datastore(index) => {
                self.vcenter.datastores.get(index).and_then(|datastore| self.of_datastore(index, datastore, name))
            }
            Object::Network(index) => self.of_network(index, name),
            Object::Vm(id) => self.vcenter.vms.get(&id).and_then(|vm| self.of_vm(id, vm, name)),
            Object::Task(id) => self.of_task(id, name),
            Object::Snapshot(vm, _) => (name == "vm").then(|| Val::Ref(vm_ref(vm))),
        };
        match value {
            Some(value) => Property::Value(value),
            None if UNSET_OF_ENTITIES.contains(&name) && !matches!(object, Object::Task(_)) => {
                Property::Value(Val::Unset)
            }
            None => Property::Invalid,
        }
    }

    fn of_folder(&self, object: Object, name: &str) -> Option<Val> {
        let title = [
            (Object::RootFolder, "Datacenters"),
            (Object::VmFolder, "vm"),
            (Object::HostFolder, "host"),
            (Object::DatastoreFolder, "datastore"),
            (Object::NetworkFolder, "network"),
        ]
        .iter()
        .find(|(folder, _)| *folder == object)?
        .1;
        let parent = (object != Object::RootFolder).then(datacenter);
        match name {
            "name" => Some(Val::text(title)),
            "parent" => Some(parent.map_or(Val::Unset, Val::Ref)),
            "childEntity" => Some(Val::refs(self.children(object))),
            "childType" => Some(Val::List("string", vec![Val::text("Folder")])),
            "overallStatus" => Some(status(true)),
            _ => None,
        }
    }

    fn of_datacenter(&self, name: &str) -> Option<Val> {
        let vcenter = self.vcenter;
        match name {
            "name" => Some(Val::text(vcenter.datacenter.clone())),
            "parent" => Some(Val::Ref(folder(ROOT))),
            "vmFolder" => Some(Val::Ref(folder(VM_FOLDER))),
            "hostFolder" => Some(Val::Ref(folder(HOST_FOLDER))),
            "datastoreFolder" => Some(Val::Ref(folder(DATASTORE_FOLDER))),
            "networkFolder" => Some(Val::Ref(folder(NETWORK_FOLDER))),
            "datastore" => Some(Val::refs((0..vcenter.datastores.len()).map(datastore_ref).collect())),
            "network" => Some(Val::refs((0..vcenter.networks.len()).map(network_ref).collect())),
            "overallStatus" => Some(status(true)),
            "configuration" => Some(Val::Unset),
            _ => None,
        }
    }

    fn hosts_of(&self, object: Object) -> Vec<usize> {
        let hosts = self.vcenter.hosts.iter().enumerate();
        if let Object::Cluster(cluster) | Object::ClusterPool(cluster) = object {
            return hosts.filter(|(_, host)| host.cluster == Some(cluster)).map(|(index, _)| index).collect();
        }
        if let Object::Standalone(host) | Object::StandalonePool(host) = object { vec![host] } else { Vec::new() }
    }

    fn of_compute(&self, object: Object, name: &str) -> Option<Val> {
        let vcenter = self.vcenter;
        let hosts = self.hosts_of(object);
        let title = if let Object::Cluster(cluster) = object {
            vcenter.clusters.get(cluster).cloned()
        } else {
            hosts.first().and_then(|host| vcenter.hosts.get(*host)).map(|host| host.name.clone())
        };
        let mounted = (0..vcenter.datastores.len())
            .filter(|datastore| hosts.iter().any(|host| vcenter.mounts(*datastore, *host)));
        match name {
            "name" => Some(Val::optional(title)),
            "parent" => Some(Val::Ref(folder(HOST_FOLDER))),
            "host" => Some(Val::refs(hosts.into_iter().map(host_ref).collect())),
            "datastore" => Some(Val::refs(mounted.map(datastore_ref).collect())),
            "network" => Some(Val::refs((0..vcenter.networks.len()).map(network_ref).collect())),
            "resourcePool" => Some(hosts.first().map_or(Val::Unset, |host| Val::Ref(self.pool_of(*host)))),
            "overallStatus" => Some(status(true)),
            "summary" | "configuration" | "configurationEx" | "environmentBrowser" => Some(Val::Unset),
            _ => None,
        }
    }

    fn of_pool(&self, object: Object, name: &str) -> Option<Val> {
        let hosts = self.hosts_of(object);
        let owner = hosts.first().map(|host| self.compute_of(*host));
        let vms = self
            .vcenter
            .vms
            .iter()
            .filter(|(_, vm)| hosts.contains(&vm.host) && !vm.template)
            .map(|(id, _)| vm_ref(*id));
        match name {
            "name" => Some(Val::text("Resources")),
            "parent" | "owner" => Some(owner.map_or(Val::Unset, Val::Ref)),
            "resourcePool" => Some(Val::refs(Vec::new())),
            "vm" => Some(Val::refs(vms.collect())),
            "overallStatus" => Some(status(true)),
            "config" | "runtime" | "summary" | "childConfiguration" => Some(Val::Unset),
            _ => None,
        }
    }

    fn host_runtime(&self, host: &Host) -> Val {
        Val::Data(
            "HostRuntimeInfo",
            vec![
                (
                    "connectionState",
                    Val::Enum(
                        "HostSystemConnectionState",
                        if host.connected { "connected" } else { "notResponding" }.to_owned(),
                    ),
                ),
                (
                    "powerState",
                    Val::Enum("HostSystemPowerState", if host.connected { "poweredOn" } else { "unknown" }.to_owned()),
                ),
                ("inMaintenanceMode", Val::Bool(host.maintenance)),
            ],
        )
    }

    fn product(&self, version: &str) -> Val {
        Val::Data(
            "AboutInfo",
            vec![
                ("name", Val::text("VMware ESXi")),
                ("fullName", Val::Text(format!("VMware ESXi {version} build-22380479"))),
                ("vendor", Val::text("VMware, Inc.")),
                ("version", Val::text(version)),
                ("build", Val::text("22380479")),
                ("localeVersion", Val::text("INTL")),
                ("localeBuild", Val::text("000")),
                ("osType", Val::text("vmnix-x86")),
                ("productLineId", Val::text("embeddedEsx")),
                ("apiType", Val::text("HostAgent")),
                ("apiVersion", Val::Text(format!("{version}.0"))),
            ],
        )
    }

    fn of_host(&self, index: usize, host: &Host, name: &str) -> Option<Val> {
        let vcenter = self.vcenter;
        let datastores =
            (0..vcenter.datastores.len()).filter(|datastore| vcenter.mounts(*datastore, index)).map(datastore_ref);
        let vms = || vcenter.vms.iter().filter(move |(_, vm)| vm.host == index);
        let used: u64 = vms().filter(|(_, vm)| vm.powered_on).map(|(_, vm)| vm.memory).sum();
        match name {
            "name" => Some(Val::text(host.name.clone())),
            "parent" => Some(Val::Ref(self.compute_of(index))),
            "runtime" => Some(self.host_runtime(host)),
            "overallStatus" => Some(status(host.connected)),
            "datastore" => Some(Val::refs(datastores.collect())),
            "vm" => Some(Val::refs(vms().map(|(id, _)| vm_ref(*id)).collect())),
            "network" => Some(Val::refs((0..vcenter.networks.len()).map(network_ref).collect())),
            "hardware" => Some(Val::Data(
                "HostHardwareInfo",
                vec![
                    (
                        "systemInfo",
                        Val::Data(
                            "HostSystemInfo",
                            vec![
                                ("vendor", Val::text("Simulated")),
                                ("model", Val::text("Simulated host")),
                                ("uuid", Val::text(host.uuid.clone())),
                            ],
                        ),
                    ),
                    (
                        "cpuInfo",
                        Val::Data(
                            "HostCpuInfo",
                            vec![
                                ("numCpuPackages", Val::Short(2)),
                                ("numCpuCores", Val::Short(host.cores as i16)),
                                ("numCpuThreads", Val::Short(host.cores as i16 * 2)),
                                ("hz", Val::Long(2_400_000_000)),
                            ],
                        ),
                    ),
                    ("memorySize", Val::Long(host.memory as i64)),
                ],
            )),
            "config" => Some(Val::Data(
                "HostConfigInfo",
                vec![("host", Val::Ref(host_ref(index))), ("product", self.product(&host.version))],
            )),
            "summary" => Some(Val::Data(
                "HostListSummary",
                vec![
                    ("host", Val::Ref(host_ref(index))),
                    (
                        "hardware",
                        Val::Data(
                            "HostHardwareSummary",
                            vec![
                                ("vendor", Val::text("Simulated")),
                                ("model", Val::text("Simulated host")),
                                ("uuid", Val::text(host.uuid.clone())),
                                ("memorySize", Val::Long(host.memory as i64)),
                                ("cpuModel", Val::text("Simulated CPU")),
                                ("cpuMhz", Val::Int(2400)),
                                ("numCpuPkgs", Val::Short(2)),
                                ("numCpuCores", Val::Short(host.cores as i16)),
                                ("numCpuThreads", Val::Short(host.cores as i16 * 2)),
                                ("numNics", Val::Int(2)),
                                ("numHBAs", Val::Int(2)),
                            ],
                        ),
                    ),
                    ("runtime", self.host_runtime(host)),
                    (
                        "config",
                        Val::Data(
                            "HostConfigSummary",
                            vec![
                                ("name", Val::text(host.name.clone())),
                                ("port", Val::Int(443)),
                                ("product", self.product(&host.version)),
                                ("vmotionEnabled", Val::Bool(true)),
                            ],
                        ),
                    ),
                    (
                        "quickStats",
                        Val::Data(
                            "HostListSummaryQuickStats",
                            vec![
                                ("overallCpuUsage", Val::Int(1200)),
                                ("overallMemoryUsage", Val::Int((used >> 20) as i32)),
                                ("uptime", Val::Int(864_000)),
                            ],
                        ),
                    ),
                    ("overallStatus", status(host.connected)),
                    ("rebootRequired", Val::Bool(false)),
                ],
            )),
            _ if UNSET_OF_HOSTS.contains(&name) => Some(Val::Unset),
            _ => None,
        }
    }

    fn of_datastore(&self, index: usize, datastore: &Datastore, name: &str) -> Option<Val> {
        let url = format!("ds:///vmfs/volumes/{}/", datastore.uuid);
        let kind = match datastore.kind {
            DatastoreKind::Vmfs => "VMFS",
            DatastoreKind::Nfs => "NFS",
            DatastoreKind::Vsan => "vsan",
        };
        match name {
            "name" => Some(Val::text(datastore.name.clone())),
            "parent" => Some(Val::Ref(folder(DATASTORE_FOLDER))),
            "overallStatus" => Some(status(datastore.accessible)),
            "summary" => Some(Val::Data(
                "DatastoreSummary",
                vec![
                    ("datastore", Val::Ref(datastore_ref(index))),
                    ("name", Val::text(datastore.name.clone())),
                    ("url", Val::Text(url)),
                    ("capacity", Val::Long(datastore.capacity as i64)),
                    ("freeSpace", Val::Long(datastore.free as i64)),
                    ("uncommitted", Val::Long(0)),
                    ("accessible", Val::Bool(datastore.accessible)),
                    ("multipleHostAccess", Val::Bool(datastore.hosts.len() > 1)),
                    ("type", Val::text(kind)),
                    ("maintenanceMode", Val::text("normal")),
                ],
            )),
            "info" => Some(match datastore.kind {
                DatastoreKind::Vmfs => Val::Data(
                    "VmfsDatastoreInfo",
                    vec![
                        ("name", Val::text(datastore.name.clone())),
                        ("url", Val::Text(url)),
                        ("freeSpace", Val::Long(datastore.free as i64)),
                        ("maxFileSize", Val::Long(70_368_744_177_664)),
                    ],
                ),
                DatastoreKind::Nfs => Val::Data(
                    "NasDatastoreInfo",
                    vec![
                        ("name", Val::text(datastore.name.clone())),
                        ("url", Val::Text(url)),
                        ("freeSpace", Val::Long(datastore.free as i64)),
                        ("maxFileSize", Val::Long(70_368_744_177_664)),
                    ],
                ),
                DatastoreKind::Vsan => Val::Data(
                    "VsanDatastoreInfo",
                    vec![
                        ("name", Val::text(datastore.name.clone())),
                        ("url", Val::Text(url)),
                        ("freeSpace", Val::Long(datastore.free as i64)),
                        ("maxFileSize", Val::Long(70_368_744_177_664)),
                    ],
                ),
            }),
            "host" => Some(Val::List(
                "DatastoreHostMount",
                datastore
                    .hosts
                    .iter()
                    .map(|host| {
                        let mount = vec![
                            ("path", Val::Text(format!("/vmfs/volumes/{}", datastore.uuid))),
                            ("accessMode", Val::text(if datastore.read_only { "readOnly" } else { "readWrite" })),
                            ("mounted", Val::Bool(true)),
                            (
                                "accessible",
                                Val::Bool(
                                    datastore.accessible
                                        && self.vcenter.hosts.get(*host).is_some_and(|host| host.connected),
                                ),
                            ),
                        ];
                        Val::Data(
                            "DatastoreHostMount",
                            vec![("key", Val::Ref(host_ref(*host))), ("mountInfo", Val::Data("HostMountInfo", mount))],
                        )
                    })
                    .collect(),
            )),
            "vm" => Some(Val::refs(
                self.vcenter
                    .vms
                    .iter()
                    .filter(|(_, vm)| vm.datastore == index || vm.disks.iter().any(|disk| disk.datastore == index))
                    .map(|(id, _)| vm_ref(*id))
                    .collect(),
            )),
            _ if UNSET_OF_DATASTORES.contains(&name) => Some(Val::Unset),
            _ => None,
        }
    }

    fn of_network(&self, index: usize, name: &str) -> Option<Val> {
        let title = self.vcenter.networks.get(index)?;
        match name {
            "name" => Some(Val::text(title.clone())),
            "parent" => Some(Val::Ref(folder(NETWORK_FOLDER))),
            "host" => Some(Val::refs((0..self.vcenter.hosts.len()).map(host_ref).collect())),
            "vm" => Some(if index == 0 { Val::refs(self.vms()) } else { Val::refs(Vec::new()) }),
            "summary" => Some(Val::Data(
                "NetworkSummary",
                vec![
                    ("network", Val::Ref(network_ref(index))),
                    ("name", Val::text(title.clone())),
                    ("accessible", Val::Bool(true)),
                    ("ipPoolName", Val::text("")),
                ],
            )),
            "overallStatus" => Some(status(true)),
            _ => None,
        }
    }
}
