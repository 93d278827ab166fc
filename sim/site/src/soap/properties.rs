//! Properties of inventory objects, each computed when somebody asks for it.

use super::devices::devices;
use super::inventory::{
    DATASTORE_FOLDER, HOST_FOLDER, Inventory, NETWORK_FOLDER, Object, ROOT, VM_FOLDER, datacenter, datastore_ref, folder, host_ref, network_ref, task_ref, vm_ref,
};
use super::value::{MoRef, Val};
use crate::scenario::{DatastoreKind, Os};
use crate::world::{Datastore, Host, Snapshot, TaskFault, TaskState, TaskWork, Vm};

/// What a property came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Property {
    Value(Val),
    /// The type has no such property.
    Invalid,
}

/// Property names that the vendor's documents list but that this vCenter leaves unset.
const UNSET_OF_ENTITIES: &[&str] = &[
    "customValue", "configIssue", "effectiveRole", "permission", "disabledMethod", "declaredAlarmState", "triggeredAlarmState", "alarmActionsEnabled", "tag", "value",
    "availableField", "configStatus", "recentTask",
];
const UNSET_OF_VMS: &[&str] = &[
    "capability", "layout", "layoutEx", "storage", "environmentBrowser", "parentVApp", "resourceConfig", "rootSnapshot", "snapshot", "config", "network",
    "reservedOverhead", "messageBus",
];
const UNSET_OF_HOSTS: &[&str] = &["capability", "licensableResource", "configManager", "remediationState", "precheckRemediationResult", "datastoreBrowser", "systemResources", "answerFileValidationState", "complianceCheckState"];
const UNSET_OF_DATASTORES: &[&str] = &["browser", "capability", "iormConfiguration"];

fn status(good: bool) -> Val {
    Val::Enum("ManagedEntityStatus", if good { "green" } else { "red" }.to_owned())
}

impl Inventory<'_> {
    /// A top-level property.
    pub(crate) fn property(&self, object: Object, name: &str) -> Property {
        let value = match object {
            Object::RootFolder | Object::VmFolder | Object::HostFolder | Object::DatastoreFolder | Object::NetworkFolder => self.of_folder(object, name),
            Object::Datacenter => self.of_datacenter(name),
            Object::Cluster(_) | Object::Standalone(_) => self.of_compute(object, name),
            Object::ClusterPool(_) | Object::StandalonePool(_) => self.of_pool(object, name),
            Object::Host(index) => self.vcenter.hosts.get(index).and_then(|host| self.of_host(index, host, name)),
            Object::Datastore(index) => self.vcenter.datastores.get(index).and_then(|datastore| self.of_datastore(index, datastore, name)),
            Object::Network(index) => self.of_network(index, name),
            Object::Vm(id) => self.vcenter.vms.get(&id).and_then(|vm| self.of_vm(id, vm, name)),
            Object::Task(id) => self.of_task(id, name),
            Object::Snapshot(vm, _) => (name == "vm").then(|| Val::Ref(vm_ref(vm))),
        };
        match value {
            Some(value) => Property::Value(value),
            None if UNSET_OF_ENTITIES.contains(&name) && !matches!(object, Object::Task(_)) => Property::Value(Val::Unset),
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
        let mounted = (0..vcenter.datastores.len()).filter(|datastore| hosts.iter().any(|host| vcenter.mounts(*datastore, *host)));
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
        let vms = self.vcenter.vms.iter().filter(|(_, vm)| hosts.contains(&vm.host) && !vm.template).map(|(id, _)| vm_ref(*id));
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
                ("connectionState", Val::Enum("HostSystemConnectionState", if host.connected { "connected" } else { "notResponding" }.to_owned())),
                ("powerState", Val::Enum("HostSystemPowerState", if host.connected { "poweredOn" } else { "unknown" }.to_owned())),
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
        let datastores = (0..vcenter.datastores.len()).filter(|datastore| vcenter.mounts(*datastore, index)).map(datastore_ref);
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
                    ("systemInfo", Val::Data("HostSystemInfo", vec![("vendor", Val::text("Simulated")), ("model", Val::text("Simulated host")), ("uuid", Val::text(host.uuid.clone()))])),
                    ("cpuInfo", Val::Data("HostCpuInfo", vec![("numCpuPackages", Val::Short(2)), ("numCpuCores", Val::Short(host.cores as i16)), ("numCpuThreads", Val::Short(host.cores as i16 * 2)), ("hz", Val::Long(2_400_000_000))])),
                    ("memorySize", Val::Long(host.memory as i64)),
                ],
            )),
            "config" => Some(Val::Data("HostConfigInfo", vec![("host", Val::Ref(host_ref(index))), ("product", self.product(&host.version))])),
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
                        Val::Data("HostConfigSummary", vec![("name", Val::text(host.name.clone())), ("port", Val::Int(443)), ("product", self.product(&host.version)), ("vmotionEnabled", Val::Bool(true))]),
                    ),
                    ("quickStats", Val::Data("HostListSummaryQuickStats", vec![("overallCpuUsage", Val::Int(1200)), ("overallMemoryUsage", Val::Int((used >> 20) as i32)), ("uptime", Val::Int(864_000))])),
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
                    vec![("name", Val::text(datastore.name.clone())), ("url", Val::Text(url)), ("freeSpace", Val::Long(datastore.free as i64)), ("maxFileSize", Val::Long(70_368_744_177_664))],
                ),
                DatastoreKind::Nfs => Val::Data("NasDatastoreInfo", vec![("name", Val::text(datastore.name.clone())), ("url", Val::Text(url)), ("freeSpace", Val::Long(datastore.free as i64)), ("maxFileSize", Val::Long(70_368_744_177_664))]),
                DatastoreKind::Vsan => Val::Data("VsanDatastoreInfo", vec![("name", Val::text(datastore.name.clone())), ("url", Val::Text(url)), ("freeSpace", Val::Long(datastore.free as i64)), ("maxFileSize", Val::Long(70_368_744_177_664))]),
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
                            ("accessible", Val::Bool(datastore.accessible && self.vcenter.hosts.get(*host).is_some_and(|host| host.connected))),
                        ];
                        Val::Data("DatastoreHostMount", vec![("key", Val::Ref(host_ref(*host))), ("mountInfo", Val::Data("HostMountInfo", mount))])
                    })
                    .collect(),
            )),
            "vm" => Some(Val::refs(self.vcenter.vms.iter().filter(|(_, vm)| vm.datastore == index || vm.disks.iter().any(|disk| disk.datastore == index)).map(|(id, _)| vm_ref(*id)).collect())),
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
            "summary" => Some(Val::Data("NetworkSummary", vec![("network", Val::Ref(network_ref(index))), ("name", Val::text(title.clone())), ("accessible", Val::Bool(true)), ("ipPoolName", Val::text(""))])),
            "overallStatus" => Some(status(true)),
            _ => None,
        }
    }

    fn vm_runtime(&self, vm: &Vm) -> Val {
        let connected = self.vcenter.hosts.get(vm.host).is_some_and(|host| host.connected);
        let state = if vm.without_config { "inaccessible" } else if connected { "connected" } else { "disconnected" };
        Val::Data(
            "VirtualMachineRuntimeInfo",
            vec![
                ("host", Val::Ref(host_ref(vm.host))),
                ("connectionState", Val::Enum("VirtualMachineConnectionState", state.to_owned())),
                ("powerState", Val::Enum("VirtualMachinePowerState", if vm.powered_on { "poweredOn" } else { "poweredOff" }.to_owned())),
                ("toolsInstallerMounted", Val::Bool(false)),
                ("numMksConnections", Val::Int(0)),
            ],
        )
    }

    fn vm_guest(&self, vm: &Vm) -> Val {
        let network = self.vcenter.networks.first().cloned().unwrap_or_default();
        let running = |text: &str| if vm.tools { Val::text(text) } else { Val::Unset };
        let net = if vm.tools {
            vec![Val::Data(
                "GuestNicInfo",
                vec![
                    ("network", Val::Text(network)),
                    ("ipAddress", Val::List("string", vec![Val::text(vm.ip.clone()), Val::text("fe80::250:56ff:fe00:1")])),
                    ("macAddress", Val::Text(vm.mac.clone())),
                    ("connected", Val::Bool(true)),
                    ("deviceConfigId", Val::Int(4000)),
                ],
            )]
        } else {
            Vec::new()
        };
        Val::Data(
            "GuestInfo",
            vec![
                ("toolsStatus", Val::Enum("VirtualMachineToolsStatus", if vm.tools { "toolsOk" } else { "toolsNotRunning" }.to_owned())),
                ("toolsVersionStatus", Val::text("guestToolsCurrent")),
                ("toolsVersionStatus2", Val::text("guestToolsCurrent")),
                ("toolsRunningStatus", Val::text(if vm.tools { "guestToolsRunning" } else { "guestToolsNotRunning" })),
                ("toolsVersion", Val::text("12352")),
                ("guestId", running(guest_id(vm.os))),
                ("guestFamily", running(match vm.os { Os::Windows => "windowsGuest", Os::Linux => "linuxGuest" })),
                ("guestFullName", running(&vm.os_name)),
                ("hostName", running(&vm.name)),
                ("ipAddress", running(&vm.ip)),
                ("net", Val::List("GuestNicInfo", net)),
                ("guestState", Val::text(if vm.tools { "running" } else { "notRunning" })),
                ("guestOperationsReady", Val::Bool(vm.tools)),
            ],
        )
    }

    fn vm_config(&self, vm: &Vm) -> Val {
        let option = |key: &str, value: &str| Val::Data("OptionValue", vec![("key", Val::text(key)), ("value", Val::text(value))]);
        let datastore = self.vcenter.datastores.get(vm.datastore).map(|datastore| datastore.name.as_str()).unwrap_or_default();
        Val::Data(
            "VirtualMachineConfigInfo",
            vec![
                ("changeVersion", Val::Text(format!("{}", vm.boots))),
                ("modified", Val::Time(self.world.start)),
                ("name", Val::text(vm.name.clone())),
                ("guestFullName", Val::text(vm.os_name.clone())),
                ("version", Val::text("vmx-19")),
                ("uuid", Val::text(vm.uuid.clone())),
                ("instanceUuid", Val::text(vm.instance_uuid.clone())),
                ("template", Val::Bool(vm.template)),
                ("guestId", Val::text(guest_id(vm.os))),
                ("alternateGuestName", Val::text("")),
                ("files", Val::Data("VirtualMachineFileInfo", vec![("vmPathName", Val::Text(format!("[{datastore}] {0}/{0}.vmx", vm.name)))])),
                (
                    "hardware",
                    Val::Data(
                        "VirtualHardware",
                        vec![("numCPU", Val::Int(i32::from(vm.cpus))), ("numCoresPerSocket", Val::Int(1)), ("memoryMB", Val::Int((vm.memory >> 20) as i32)), ("device", devices(self, vm))],
                    ),
                ),
                (
                    "extraConfig",
                    Val::List("OptionValue", vec![option("disk.EnableUUID", if vm.disk_enable_uuid { "TRUE" } else { "FALSE" }), option("guestinfo.role", "simulated")]),
                ),
            ],
        )
    }

    fn of_vm(&self, id: u32, vm: &Vm, name: &str) -> Option<Val> {
        let datastores: std::collections::BTreeSet<usize> = std::iter::once(vm.datastore).chain(vm.disks.iter().map(|disk| disk.datastore)).collect();
        match name {
            "name" => Some(Val::text(vm.name.clone())),
            "parent" => Some(Val::Ref(folder(VM_FOLDER))),
            "runtime" => Some(self.vm_runtime(vm)),
            "guest" => Some(self.vm_guest(vm)),
            "guestHeartbeatStatus" => Some(Val::Enum("ManagedEntityStatus", if vm.tools { "green" } else { "gray" }.to_owned())),
            "overallStatus" => Some(status(true)),
            "resourcePool" => Some(if vm.template { Val::Unset } else { Val::Ref(self.pool_of(vm.host)) }),
            "datastore" => Some(Val::refs(datastores.into_iter().map(datastore_ref).collect())),
            // A VM whose files cannot be read has no config at all.
            "config" if !vm.without_config => Some(self.vm_config(vm)),
            "network" if !vm.without_config => Some(Val::refs(vec![network_ref(0)])),
            "snapshot" if !vm.snapshots.is_empty() => Some(snapshots(id, &vm.snapshots)),
            "rootSnapshot" => Some(Val::refs(vm.snapshots.first().map(|snapshot| snapshot_ref(id, snapshot)).into_iter().collect())),
            "summary" => Some(Val::Data(
                "VirtualMachineSummary",
                vec![
                    ("vm", Val::Ref(vm_ref(id))),
                    ("runtime", self.vm_runtime(vm)),
                    (
                        "guest",
                        Val::Data(
                            "VirtualMachineGuestSummary",
                            vec![
                                ("toolsStatus", Val::Enum("VirtualMachineToolsStatus", if vm.tools { "toolsOk" } else { "toolsNotRunning" }.to_owned())),
                                ("toolsRunningStatus", Val::text(if vm.tools { "guestToolsRunning" } else { "guestToolsNotRunning" })),
                                ("hostName", if vm.tools { Val::text(vm.name.clone()) } else { Val::Unset }),
                                ("ipAddress", if vm.tools { Val::text(vm.ip.clone()) } else { Val::Unset }),
                            ],
                        ),
                    ),
                    (
                        "config",
                        Val::Data(
                            "VirtualMachineConfigSummary",
                            vec![
                                ("name", Val::text(vm.name.clone())),
                                ("template", Val::Bool(vm.template)),
                                ("memorySizeMB", Val::Int((vm.memory >> 20) as i32)),
                                ("numCpu", Val::Int(i32::from(vm.cpus))),
                                ("numEthernetCards", Val::Int(1)),
                                ("numVirtualDisks", Val::Int(vm.disks.len() as i32)),
                                ("uuid", Val::text(vm.uuid.clone())),
                                ("instanceUuid", Val::text(vm.instance_uuid.clone())),
                                ("guestId", Val::text(guest_id(vm.os))),
                                ("guestFullName", Val::text(vm.os_name.clone())),
                            ],
                        ),
                    ),
                    ("quickStats", Val::Data("VirtualMachineQuickStats", vec![("overallCpuUsage", Val::Int(if vm.powered_on { 120 } else { 0 })), ("hostMemoryUsage", Val::Int(if vm.powered_on { (vm.memory >> 20) as i32 } else { 0 }))])),
                    ("overallStatus", status(true)),
                ],
            )),
            _ if UNSET_OF_VMS.contains(&name) => Some(Val::Unset),
            _ => None,
        }
    }

    fn of_task(&self, id: u32, name: &str) -> Option<Val> {
        let task = self.vcenter.tasks.get(&id)?;
        let state = match task.state {
            TaskState::Running => "running",
            TaskState::Success => "success",
            TaskState::Error => "error",
        };
        let (method, description) = match task.work {
            TaskWork::PowerOn => ("PowerOnVM_Task", "VirtualMachine.powerOn"),
            TaskWork::PowerOff => ("PowerOffVM_Task", "VirtualMachine.powerOff"),
            TaskWork::RemoveSnapshot(_) => ("RemoveSnapshot_Task", "vm.Snapshot.remove"),
            TaskWork::RemoveAllSnapshots => ("RemoveAllSnapshots_Task", "VirtualMachine.removeAllSnapshots"),
        };
        let error = task.fault.as_ref().map_or(Val::Unset, |fault| {
            let (fault, message) = match fault {
                TaskFault::InvalidPowerState { requested, existing } => (
                    Val::Data(
                        "InvalidPowerState",
                        vec![
                            ("requestedState", Val::Enum("VirtualMachinePowerState", requested.clone())),
                            ("existingState", Val::Enum("VirtualMachinePowerState", existing.clone())),
                        ],
                    ),
                    format!("The attempted operation cannot be performed in the current state ({existing})."),
                ),
                TaskFault::NoDiskSpace { datastore } => (Val::Data("NoDiskSpace", vec![("datastore", Val::text(datastore.clone()))]), format!("Insufficient disk space on datastore '{datastore}'.")),
                TaskFault::HostNotConnected => (Val::Data("HostNotConnected", Vec::new()), "Unable to communicate with the remote host, since it is disconnected.".to_owned()),
            };
            Val::Data("LocalizedMethodFault", vec![("fault", fault), ("localizedMessage", Val::Text(message))])
        });
        let entity = self.vcenter.vms.get(&task.vm).map(|vm| vm.name.clone());
        match name {
            "info" => Some(Val::Data(
                "TaskInfo",
                vec![
                    ("key", Val::Text(format!("task-{id}"))),
                    ("task", Val::Ref(task_ref(id))),
                    ("name", Val::text(method)),
                    ("descriptionId", Val::text(description)),
                    ("entity", Val::Ref(vm_ref(task.vm))),
                    ("entityName", Val::optional(entity)),
                    ("state", Val::Enum("TaskInfoState", state.to_owned())),
                    ("cancelled", Val::Bool(false)),
                    ("cancelable", Val::Bool(false)),
                    ("error", error),
                    ("reason", Val::Data("TaskReasonUser", vec![("userName", Val::text(self.vcenter.user.clone()))])),
                    ("queueTime", Val::Time(task.queued)),
                    ("startTime", Val::Time(task.queued)),
                    ("completeTime", task.completed.map_or(Val::Unset, Val::Time)),
                    ("eventChainId", Val::Int(id as i32)),
                ],
            )),
            "customValue" | "value" | "availableField" => Some(Val::Unset),
            _ => None,
        }
    }
}

fn guest_id(os: Os) -> &'static str {
    match os {
        Os::Windows => "windows2019srv_64Guest",
        Os::Linux => "ubuntu64Guest",
    }
}

fn snapshot_ref(vm: u32, snapshot: &Snapshot) -> MoRef {
    MoRef::new("VirtualMachineSnapshot", format!("snapshot-{vm}-{}", snapshot.id))
}

/// A chain: each snapshot is the child of the one before it.
fn snapshots(vm: u32, all: &[Snapshot]) -> Val {
    fn tree(vm: u32, chain: &[Snapshot], powered: bool) -> Vec<Val> {
        let Some((first, rest)) = chain.split_first() else { return Vec::new() };
        vec![Val::Data(
            "VirtualMachineSnapshotTree",
            vec![
                ("snapshot", Val::Ref(snapshot_ref(vm, first))),
                ("vm", Val::Ref(vm_ref(vm))),
                ("name", Val::text(first.name.clone())),
                ("description", Val::text("")),
                ("id", Val::Int(first.id as i32)),
                ("createTime", Val::Time(first.made)),
                ("state", Val::Enum("VirtualMachinePowerState", if powered { "poweredOn" } else { "poweredOff" }.to_owned())),
                ("quiesced", Val::Bool(false)),
                ("childSnapshotList", Val::List("VirtualMachineSnapshotTree", tree(vm, rest, powered))),
            ],
        )]
    }
    let current = all.last().map_or(Val::Unset, |snapshot| Val::Ref(snapshot_ref(vm, snapshot)));
    Val::Data("VirtualMachineSnapshotInfo", vec![("currentSnapshot", current), ("rootSnapshotList", Val::List("VirtualMachineSnapshotTree", tree(vm, all, false)))])
}
