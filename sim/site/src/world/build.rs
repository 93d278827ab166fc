//! From a scenario to the world at its start.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::servers::add_fabric;
use super::{
    AzurePower, AzureVm, Copying, Datastore, Fabric, Host, Machine, PlannedFailover, Queue, Reverse, Role, Snapshot,
    Stage, VCenter, Vm, VmDisk, VmKey, World, stable_id,
};
use crate::asr;
use crate::clock::before;
use crate::fault::{Armed, Faults};
use crate::scenario::{self, Generation, Os, Scenario, StartState};

pub(super) fn build(scenario: Scenario, seed: u64, start: Timestamp) -> World {
    let mut world = World {
        azure: scenario.azure.clone(),
        durations: scenario.durations.clone(),
        unknowns: scenario.unknowns.clone(),
        seed,
        counter: 0,
        start,
        now: start,
        queue: Queue::default(),
        vcenters: scenario.vcenters.iter().map(|vcenter| build_vcenter(vcenter, start)).collect(),
        fabrics: Vec::new(),
        vaults: vec![scenario.azure.vault.clone()],
        machines: Vec::new(),
        by_item: BTreeMap::new(),
        jobs: BTreeMap::new(),
        job_order: Vec::new(),
        policies: Vec::new(),
        mappings: Vec::new(),
        plans: Vec::new(),
        compute_operations: BTreeMap::new(),
        events: Vec::new(),
        locks: scenario.azure.locks.clone(),
        calls: Vec::new(),
        faults: Faults::default(),
        token_epoch: 0,
        revision: 1,
    };
    for fabric in &scenario.fabrics {
        add_fabric(&mut world, fabric, start);
    }
    for machine in scenario.machines {
        add_machine(&mut world, machine);
    }
    asr::add_policies(&mut world);
    for plan in &scenario.plans {
        asr::add_plan(&mut world, plan);
    }
    for fault in scenario.faults {
        world.faults.armed.push(Armed { fault, seen: 0, struck: 0, frozen: None });
    }
    for index in 0..world.machines.len() {
        world.watch_copies(index);
    }
    world
}

fn build_vcenter(spec: &scenario::VCenter, start: Timestamp) -> VCenter {
    let mut clusters: Vec<String> = Vec::new();
    for cluster in spec.hosts.iter().filter_map(|host| host.cluster.as_ref()) {
        if !clusters.contains(cluster) {
            clusters.push(cluster.clone());
        }
    }
    let hosts = spec
        .hosts
        .iter()
        .map(|host| Host {
            name: host.name.clone(),
            cluster: host.cluster.as_ref().and_then(|name| clusters.iter().position(|cluster| cluster == name)),
            version: host.version.clone(),
            memory: host.memory.0,
            cores: host.cores,
            maintenance: host.maintenance,
            connected: host.connected,
            uuid: stable_id("host", &host.name),
            changed: 1,
        })
        .collect();
    let datastores = spec
        .datastores
        .iter()
        .map(|datastore| Datastore {
            name: datastore.name.clone(),
            kind: datastore.kind,
            capacity: datastore.capacity.0,
            free: datastore.free.0,
            hosts: if datastore.hosts.is_empty() {
                (0..spec.hosts.len()).collect()
            } else {
                datastore
                    .hosts
                    .iter()
                    .filter_map(|name| spec.hosts.iter().position(|host| &host.name == name))
                    .collect()
            },
            read_only: datastore.read_only,
            accessible: datastore.accessible,
            uuid: stable_id("datastore", &format!("{}/{}", spec.name, datastore.name)),
            changed: 1,
        })
        .collect();
    let mut vcenter = VCenter {
        name: spec.name.clone(),
        user: spec.user.clone(),
        password: spec.password.clone(),
        instance_uuid: spec.instance_uuid.clone().unwrap_or_else(|| stable_id("vcenter", &spec.name)),
        version: spec.version.clone(),
        datacenter: spec.datacenter.clone(),
        connected: spec.connected,
        denied: spec.denied_properties.clone(),
        session_idle_seconds: spec.session_idle_seconds,
        clusters,
        hosts,
        datastores,
        networks: spec.networks.clone(),
        vms: BTreeMap::new(),
        next_vm: 1001,
        tasks: BTreeMap::new(),
        next_task: 1,
        revision: 1,
        session_epoch: 0,
    };
    for vm in &spec.vms {
        add_bystander(&mut vcenter, vm, start);
    }
    vcenter
}

fn add_bystander(vcenter: &mut VCenter, spec: &scenario::Vm, start: Timestamp) {
    let like = scenario::Machine {
        name: spec.name.clone(),
        os: spec.os,
        disks: spec.disks.clone(),
        host: spec.host.clone(),
        datastore: spec.datastore.clone(),
        snapshots: spec.snapshots.clone(),
        uuid: spec.uuid.clone(),
        ..scenario::Machine::default()
    };
    let id = add_vm(vcenter, &like, None, spec.powered_on, start);
    vcenter.change_vm(id, |vm| {
        vm.template = spec.template;
        vm.without_config = spec.without_config;
        vm.controller = spec.controller.clone();
        vm.disk_enable_uuid = spec.disk_enable_uuid;
    });
}

pub(super) fn os_name(spec: &scenario::Machine) -> String {
    spec.os_name.clone().unwrap_or_else(|| {
        match spec.os {
            Os::Windows => "Microsoft Windows Server 2019 (64-bit)",
            Os::Linux => "Ubuntu Linux (64-bit)",
        }
        .to_owned()
    })
}

/// Puts a VM into vCenter's inventory and tells its number.
pub(super) fn add_vm(
    vcenter: &mut VCenter,
    spec: &scenario::Machine,
    machine: Option<usize>,
    powered_on: bool,
    now: Timestamp,
) -> u32 {
    let id = vcenter.next_vm;
    vcenter.next_vm += 1;
    let host = spec.host.as_ref().and_then(|name| vcenter.host_named(name)).unwrap_or(0);
    let datastore = spec.datastore.as_ref().and_then(|name| vcenter.datastore_named(name)).unwrap_or(0);
    let seed = stable_id("mac", &format!("{}/{}/{id}", vcenter.name, spec.name));
    let octet = |at: usize| seed.get(at..at + 2).unwrap_or("00").to_ascii_lowercase();
    let disks = spec
        .disks
        .iter()
        .filter(|disk| !disk.added_in_azure)
        .enumerate()
        .map(|(number, disk)| VmDisk {
            size: disk.size.0,
            kind: disk.kind,
            datastore: disk.datastore.as_ref().and_then(|name| vcenter.datastore_named(name)).unwrap_or(datastore),
            uuid: disk_uuid(&spec.name, number),
        })
        .collect();
    let snapshots = spec
        .snapshots
        .iter()
        .enumerate()
        .map(|(number, name)| Snapshot {
            id: number as u32 + 1,
            name: name.clone(),
            made: before(now, SignedDuration::from_hours(24)),
        })
        .collect();
    let changed = vcenter.next_revision();
    let vm = Vm {
        name: spec.name.clone(),
        uuid: spec.uuid.clone().unwrap_or_else(|| stable_id("bios", &spec.name)),
        instance_uuid: spec.instance_uuid.clone().unwrap_or_else(|| stable_id("instance", &spec.name)),
        os: spec.os,
        os_name: os_name(spec),
        host,
        datastore,
        powered_on,
        tools: powered_on,
        tools_start: true,
        ip: spec.ip.clone().unwrap_or_else(|| address("10.10", id)),
        mac: format!("00:50:56:{}:{}:{}", octet(0), octet(2), octet(4)),
        template: false,
        disks,
        snapshots,
        controller: "lsisas".to_owned(),
        disk_enable_uuid: true,
        without_config: false,
        memory: spec.memory.0,
        cpus: spec.cpus,
        boots: 1,
        machine,
        changed,
    };
    vcenter.vms.insert(id, vm);
    id
}

/// The disk's UUID as vSphere writes it; ASR quotes the same one (recorded: 6000C29b-…).
pub(crate) fn disk_uuid(machine: &str, number: usize) -> String {
    let id = stable_id("disk", &format!("{machine}/{number}"));
    format!("6000C29{}", id.get(7..).unwrap_or_default())
}

fn address(net: &str, number: u32) -> String {
    format!("{net}.{}.{}", (number / 200) % 250, number % 200 + 20)
}

fn add_machine(world: &mut World, spec: scenario::Machine) {
    let index = world.machines.len();
    let fabric_index =
        spec.fabric.as_ref().and_then(|name| world.fabrics.iter().position(|f| &f.friendly == name)).unwrap_or(0);
    let Some(fabric) = world.fabrics.get(fabric_index).cloned() else { return };
    let since = before(world.now, spec.since.0);
    let stage = match spec.state {
        StartState::Protected | StartState::Unprotected => Stage::ForwardProtected,
        StartState::FailedOver => Stage::FailedOver,
        StartState::FailedOverCommitted => Stage::FailedOverCommitted,
        StartState::Reprotected => Stage::ReverseProtected,
        StartState::FailedBack => Stage::FailedBack,
        StartState::FailedBackCommitted => Stage::FailedBackCommitted,
        StartState::Migrated => Stage::Migrated,
    };
    let needs_vm = spec.original_vm || (!stage.runs_in_azure() && !spec.physical) || stage.is_reverse();
    let on = !stage.runs_in_azure() || spec.original_vm_running;
    let now = world.now;
    let vm = if needs_vm {
        world
            .vcenters
            .get_mut(fabric.vcenter)
            .map(|vcenter| VmKey { vcenter: fabric.vcenter, vm: add_vm(vcenter, &spec, Some(index), on, now) })
    } else {
        None
    };
    let item = spec.item.clone().unwrap_or_else(|| spec.name.clone());
    let machine = new_machine(world, spec, item, fabric_index, &fabric, stage, since, vm);
    world.by_item.insert(World::item_key(fabric_index, &machine.item), index);
    world.machines.push(machine);
}

#[allow(clippy::too_many_arguments, reason = "the parts of one machine, each computed by the only caller")]
fn new_machine(
    world: &World,
    spec: scenario::Machine,
    item: String,
    fabric_index: usize,
    fabric: &Fabric,
    stage: Stage,
    since: Timestamp,
    vm: Option<VmKey>,
) -> Machine {
    let azure_name = spec.azure_vm.clone().unwrap_or_else(|| spec.name.clone());
    let azure_name =
        if spec.azure_vm_renamed { format!("{azure_name}-{}", stable_id("rename", &spec.name)) } else { azure_name };
    let number = world.machines.len() as u32 + 4;
    let mac = stable_id("azure-mac", &spec.name).to_ascii_uppercase();
    let mac_part = |at: usize| mac.get(at..at + 2).unwrap_or("00").to_owned();
    let policy_id = |name: &str| format!("{}/replicationPolicies/{name}", world.vault_id(&fabric.vault));
    let forward_policy = policy_id(&fabric.policy);
    let failback_policy = match fabric.generation {
        Generation::Modernized => policy_id("crashconsistency-policy-failback"),
        Generation::Classic => policy_id(&format!("{}-failback", fabric.policy)),
    };
    let server = |role: Role, os: Option<Os>| {
        fabric.servers.iter().find(|s| {
            s.role == role && os.is_none_or(|os| s.os == os) && s.datastores.as_ref().is_none_or(|d| !d.is_empty())
        })
    };
    let target = server(Role::Appliance, None)
        .or_else(|| server(Role::MasterTarget, Some(spec.os)))
        .map(|s| s.id.clone())
        .unwrap_or_default();
    let process_server = fabric.servers.first().map(|s| s.id.clone()).unwrap_or_default();
    let datastore = spec
        .datastore
        .clone()
        .or_else(|| world.vcenters.get(fabric.vcenter).and_then(|v| v.datastores.first()).map(|d| d.name.clone()));
    let reverse = if stage.is_reverse() {
        Reverse {
            target,
            process_server: process_server.clone(),
            datastore: datastore.unwrap_or_default(),
            log_storage: world.provider_id("Microsoft.Storage/storageAccounts/replicationcache"),
            policy: failback_policy.clone(),
            retention_drive: "R".to_owned(),
        }
    } else {
        Reverse::default()
    };
    let running = spec.azure_vm_running && stage.runs_in_azure();
    let (points_from, points_until) = match stage {
        Stage::FailedOver | Stage::FailedOverCommitted | Stage::Migrated => {
            (before(since, SignedDuration::from_hours(72)), Some(since))
        }
        Stage::FailedBack | Stage::FailedBackCommitted => (before(since, SignedDuration::from_hours(2)), Some(since)),
        Stage::ForwardInitial
        | Stage::ForwardPointPending
        | Stage::ForwardProtected
        | Stage::ReverseInitial
        | Stage::ReverseProtected => (since, None),
    };
    Machine {
        azure: AzureVm {
            exists: spec.azure_vm_exists && stage.has_azure_vm(),
            name: azure_name,
            resource_group: spec.azure_vm_moved_to.clone().unwrap_or_else(|| world.azure.resource_group.clone()),
            power: if running { AzurePower::Running } else { AzurePower::Deallocated },
            vm_id: stable_id("azure-vm", &spec.name),
            mac: format!("00:0D:3A:{}:{}:{}", mac_part(0), mac_part(2), mac_part(4)),
            ip: address("10.100", number),
            boots: 1,
        },
        item,
        fabric: fabric_index,
        appliance: 0,
        removed: spec.state == StartState::Unprotected,
        stage,
        epoch: 0,
        since,
        operation: None,
        vm,
        agent_registered: spec.agent.registered && !spec.agent.never,
        agent_never: spec.agent.never,
        reverse,
        policy: if stage.is_reverse() { failback_policy } else { forward_policy.clone() },
        forward_policy,
        process_server,
        internal_id: stable_id("internal", &spec.name),
        correlation: stable_id("correlation", &spec.name),
        points_from,
        points_until,
        failover_point: None,
        failover_time: (stage != Stage::ForwardProtected).then_some(since),
        planned: (stage == Stage::FailedBack || stage == Stage::FailedBackCommitted).then(|| PlannedFailover {
            started: before(since, SignedDuration::from_mins(21)),
            status: Some("Succeeded".to_owned()),
        }),
        copying: None::<Copying>,
        test_failover: "None".to_owned(),
        health: "Normal".to_owned(),
        added_in_azure: spec.disks.iter().filter(|disk| disk.added_in_azure).map(|disk| disk.size.0).collect(),
        both_running: Vec::new(),
        alternate: false,
        spec,
    }
}

impl World {
    /// Makes the VM that an alternate location recovery fills: on the host of the master target (modernized: the appliance), in the chosen datastore.
    pub(crate) fn make_alternate_vm(&mut self, index: usize, host: usize, datastore: &str) -> Option<VmKey> {
        let machine = self.machines.get(index)?;
        let vcenter_index = self.fabrics.get(machine.fabric)?.vcenter;
        let mut spec = machine.spec.clone();
        let now = self.now;
        let fresh = self.fresh_id();
        let vcenter = self.vcenters.get_mut(vcenter_index)?;
        spec.host = vcenter.hosts.get(host).map(|host| host.name.clone());
        spec.datastore = Some(datastore.to_owned());
        for disk in &mut spec.disks {
            disk.datastore = None;
            disk.kind = scenario::DiskKind::Vmdk;
        }
        spec.snapshots.clear();
        // A new VM has identities of its own; only the guest is the same.
        spec.uuid = Some(stable_id("bios", &fresh));
        spec.instance_uuid = Some(stable_id("instance", &fresh));
        let id = add_vm(vcenter, &spec, Some(index), false, now);
        let needed: u64 = spec.disks.iter().filter(|disk| !disk.added_in_azure).map(|disk| disk.size.0).sum();
        if let Some(datastore) = vcenter.datastore_named(datastore) {
            vcenter.change_free(datastore, |free| free.saturating_sub(needed));
        }
        let key = VmKey { vcenter: vcenter_index, vm: id };
        if let Some(machine) = self.machines.get_mut(index) {
            machine.vm = Some(key);
            machine.alternate = true;
        }
        Some(key)
    }
}
