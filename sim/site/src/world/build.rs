//! From a scenario to the world at its start.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::homes::{add_vm, address, build_vcenter, disk_uuid};
use super::servers::add_fabric;
use super::{
    AzurePower, AzureVm, Copying, Fabric, Machine, PlannedFailover, Queue, Reverse, Role, Stage, VmKey, World,
    stable_id,
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
    let on = spec.on_prem_running.unwrap_or(!stage.runs_in_azure() || spec.original_vm_running);
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
    let running = if stage.runs_in_azure() { spec.azure_vm_running } else { spec.azure_vm_left_running };
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
        health: spec.replication_health.name().to_owned(),
        added_in_azure: spec.disks.iter().filter(|disk| disk.added_in_azure).map(|disk| disk.size.0).collect(),
        both_running: Vec::new(),
        alternate: false,
        discovered_as: (!spec.physical)
            .then(|| spec.instance_uuid.clone().unwrap_or_else(|| stable_id("instance", &spec.name))),
        has_points: spec.recovery_points,
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
        vcenter.change_vm(id, |vm| {
            for (number, disk) in vm.disks.iter_mut().enumerate() {
                disk.uuid = disk_uuid(&fresh, number);
                disk.detached = false;
            }
        });
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
