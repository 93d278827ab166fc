//! Properties of VMs and of tasks.

use super::devices::devices;
use super::inventory::{Inventory, VM_FOLDER, datastore_ref, folder, host_ref, network_ref, task_ref, vm_ref};
use super::properties::status;
use super::value::{MoRef, Val};
use crate::scenario::Os;
use crate::world::{Snapshot, TaskFault, TaskState, TaskWork, Vm};

/// Property names that the vendor's documents list but that this vCenter leaves unset.
const UNSET_OF_VMS: &[&str] = &[
    "capability",
    "layout",
    "layoutEx",
    "storage",
    "environmentBrowser",
    "parentVApp",
    "resourceConfig",
    "rootSnapshot",
    "snapshot",
    "config",
    "network",
    "reservedOverhead",
    "messageBus",
];

impl Inventory<'_> {
    fn vm_runtime(&self, vm: &Vm) -> Val {
        let connected = self.vcenter.hosts.get(vm.host).is_some_and(|host| host.connected);
        let state = if vm.without_config {
            "inaccessible"
        } else if connected {
            "connected"
        } else {
            "disconnected"
        };
        Val::Data(
            "VirtualMachineRuntimeInfo",
            vec![
                ("host", Val::Ref(host_ref(vm.host))),
                ("connectionState", Val::Enum("VirtualMachineConnectionState", state.to_owned())),
                (
                    "powerState",
                    Val::Enum(
                        "VirtualMachinePowerState",
                        if vm.powered_on { "poweredOn" } else { "poweredOff" }.to_owned(),
                    ),
                ),
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
                    (
                        "ipAddress",
                        Val::List("string", vec![Val::text(vm.ip.clone()), Val::text("fe80::250:56ff:fe00:1")]),
                    ),
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
                (
                    "toolsStatus",
                    Val::Enum(
                        "VirtualMachineToolsStatus",
                        if vm.tools { "toolsOk" } else { "toolsNotRunning" }.to_owned(),
                    ),
                ),
                ("toolsVersionStatus", Val::text("guestToolsCurrent")),
                ("toolsVersionStatus2", Val::text("guestToolsCurrent")),
                ("toolsRunningStatus", Val::text(if vm.tools { "guestToolsRunning" } else { "guestToolsNotRunning" })),
                ("toolsVersion", Val::text("12352")),
                ("guestId", running(guest_id(vm.os))),
                (
                    "guestFamily",
                    running(match vm.os {
                        Os::Windows => "windowsGuest",
                        Os::Linux => "linuxGuest",
                    }),
                ),
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
        let option = |key: &str, value: &str| {
            Val::Data("OptionValue", vec![("key", Val::text(key)), ("value", Val::text(value))])
        };
        let datastore =
            self.vcenter.datastores.get(vm.datastore).map(|datastore| datastore.name.as_str()).unwrap_or_default();
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
                (
                    "files",
                    Val::Data(
                        "VirtualMachineFileInfo",
                        vec![("vmPathName", Val::Text(format!("[{datastore}] {0}/{0}.vmx", vm.name)))],
                    ),
                ),
                (
                    "hardware",
                    Val::Data(
                        "VirtualHardware",
                        vec![
                            ("numCPU", Val::Int(i32::from(vm.cpus))),
                            ("numCoresPerSocket", Val::Int(1)),
                            ("memoryMB", Val::Int((vm.memory >> 20) as i32)),
                            ("device", devices(self, vm)),
                        ],
                    ),
                ),
                (
                    "extraConfig",
                    Val::List(
                        "OptionValue",
                        vec![
                            option("disk.EnableUUID", if vm.disk_enable_uuid { "TRUE" } else { "FALSE" }),
                            option("guestinfo.role", "simulated"),
                        ],
                    ),
                ),
            ],
        )
    }

    pub(super) fn of_vm(&self, id: u32, vm: &Vm, name: &str) -> Option<Val> {
        let datastores: std::collections::BTreeSet<usize> =
            std::iter::once(vm.datastore).chain(vm.disks.iter().map(|disk| disk.datastore)).collect();
        match name {
            "name" => Some(Val::text(vm.name.clone())),
            "parent" => Some(Val::Ref(folder(VM_FOLDER))),
            "runtime" => Some(self.vm_runtime(vm)),
            "guest" => Some(self.vm_guest(vm)),
            "guestHeartbeatStatus" => {
                Some(Val::Enum("ManagedEntityStatus", if vm.tools { "green" } else { "gray" }.to_owned()))
            }
            "overallStatus" => Some(status(true)),
            "resourcePool" => Some(if vm.template { Val::Unset } else { Val::Ref(self.pool_of(vm.host)) }),
            "datastore" => Some(Val::refs(datastores.into_iter().map(datastore_ref).collect())),
            // A VM whose files cannot be read has no config at all.
            "config" if !vm.without_config => Some(self.vm_config(vm)),
            "network" if !vm.without_config => Some(Val::refs(vec![network_ref(0)])),
            "snapshot" if !vm.snapshots.is_empty() => Some(snapshots(id, &vm.snapshots)),
            "rootSnapshot" => {
                Some(Val::refs(vm.snapshots.first().map(|snapshot| snapshot_ref(id, snapshot)).into_iter().collect()))
            }
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
                                (
                                    "toolsStatus",
                                    Val::Enum(
                                        "VirtualMachineToolsStatus",
                                        if vm.tools { "toolsOk" } else { "toolsNotRunning" }.to_owned(),
                                    ),
                                ),
                                (
                                    "toolsRunningStatus",
                                    Val::text(if vm.tools { "guestToolsRunning" } else { "guestToolsNotRunning" }),
                                ),
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
                    (
                        "quickStats",
                        Val::Data(
                            "VirtualMachineQuickStats",
                            vec![
                                ("overallCpuUsage", Val::Int(if vm.powered_on { 120 } else { 0 })),
                                ("hostMemoryUsage", Val::Int(if vm.powered_on { (vm.memory >> 20) as i32 } else { 0 })),
                            ],
                        ),
                    ),
                    ("overallStatus", status(true)),
                ],
            )),
            _ if UNSET_OF_VMS.contains(&name) => Some(Val::Unset),
            _ => None,
        }
    }

    pub(super) fn of_task(&self, id: u32, name: &str) -> Option<Val> {
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
                TaskFault::NoDiskSpace { datastore } => (
                    Val::Data("NoDiskSpace", vec![("datastore", Val::text(datastore.clone()))]),
                    format!("Insufficient disk space on datastore '{datastore}'."),
                ),
                TaskFault::HostNotConnected => (
                    Val::Data("HostNotConnected", Vec::new()),
                    "Unable to communicate with the remote host, since it is disconnected.".to_owned(),
                ),
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
                (
                    "state",
                    Val::Enum("VirtualMachinePowerState", if powered { "poweredOn" } else { "poweredOff" }.to_owned()),
                ),
                ("quiesced", Val::Bool(false)),
                ("childSnapshotList", Val::List("VirtualMachineSnapshotTree", tree(vm, rest, powered))),
            ],
        )]
    }
    let current = all.last().map_or(Val::Unset, |snapshot| Val::Ref(snapshot_ref(vm, snapshot)));
    Val::Data(
        "VirtualMachineSnapshotInfo",
        vec![
            ("currentSnapshot", current),
            ("rootSnapshotList", Val::List("VirtualMachineSnapshotTree", tree(vm, all, false))),
        ],
    )
}
