//! The world as JSON, for tests and for people.

use serde_json::{Value, json};

use crate::asr::{JobState, active_location, protection_state};
use crate::clock::Clock;
use crate::scenario::Generation;
use crate::world::{Machine, VCenter, World};

/// What `GET /_world` shows.
pub(crate) fn snapshot(world: &World, clock: &Clock) -> Value {
    let machines: Vec<Value> = (0..world.machines.len())
        .filter_map(|index| world.machines.get(index).map(|known| machine(world, index, known)))
        .collect();
    let vcenters: Vec<Value> = world.vcenters.iter().map(vcenter).collect();
    let jobs: Vec<Value> = world.job_order.iter().filter_map(|id| world.jobs.get(id)).map(|job| {
        json!({"id": job.id, "scenario": job.work.scenario().0, "target": job.target_name, "state": job.state.name(), "started": job.started, "ended": job.ended,
            "stuck": job.stuck_at.is_some(), "errors": job.errors.iter().map(|error| error.code.as_str()).collect::<Vec<_>>()})
    }).collect();
    json!({
        "clock": {"now": world.now, "origin": world.start, "speed": clock.speed},
        "machines": machines,
        "vcenters": vcenters,
        "jobs": jobs,
        "jobsRunning": world.jobs.values().filter(|job| matches!(job.state, JobState::InProgress | JobState::Suspended)).count(),
        "plans": world.plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>(),
        "locks": world.locks,
        "faults": world.faults.armed.iter().map(|armed| json!({"fault": armed.fault, "seen": armed.seen, "struck": armed.struck})).collect::<Vec<_>>(),
        "calls": world.calls,
    })
}

/// One machine.
pub(crate) fn machine(world: &World, index: usize, machine: &Machine) -> Value {
    let generation = world.fabric_of(machine).map_or(Generation::Modernized, |fabric| fabric.generation);
    let vm = world.on_prem(machine);
    let onprem = match (machine.vm, vm) {
        (Some(key), Some(vm)) => json!({
            "exists": true, "moid": format!("vm-{}", key.vm), "uuid": vm.uuid, "instanceUuid": vm.instance_uuid, "ip": vm.ip,
            "powerState": if vm.powered_on { "poweredOn" } else { "poweredOff" }, "tools": if vm.tools { "running" } else { "notRunning" },
            "vcenter": world.vcenters.get(key.vcenter).map(|vcenter| vcenter.name.as_str()),
            "host": world.vcenters.get(key.vcenter).and_then(|vcenter| vcenter.hosts.get(vm.host)).map(|host| host.name.as_str()),
            "datastore": world.vcenters.get(key.vcenter).and_then(|vcenter| vcenter.datastores.get(vm.datastore)).map(|datastore| datastore.name.as_str()),
        }),
        _ => json!({"exists": false, "powerState": Value::Null, "tools": Value::Null}),
    };
    let intervals: Vec<Value> = machine
        .both_running
        .iter()
        .map(|both| json!({"from": both.from, "until": both.until, "fromTheStart": both.from_the_start}))
        .collect();
    json!({
        "name": machine.spec.name,
        "item": machine.item,
        "itemId": world.item_id(machine),
        "removed": machine.removed,
        "generation": generation,
        "stage": machine.stage,
        "protectionState": protection_state(generation, machine, &world.unknowns).0,
        "activeLocation": active_location(generation, machine.stage, &world.unknowns),
        "instanceType": crate::asr::instance_type(generation, machine.stage),
        "allowedOperations": if machine.operation.is_some() { Vec::new() } else { world.item_allows(index) },
        "operation": machine.operation,
        "replicationHealth": machine.health,
        "alternateLocation": machine.alternate,
        "agentRegistered": machine.agent_registered,
        "azureVm": {"exists": machine.azure.exists, "name": machine.azure.name, "resourceGroup": machine.azure.resource_group,
            "powerState": if machine.azure.exists { json!(machine.azure.power.name()) } else { Value::Null }, "id": world.azure_vm_id(machine)},
        "onPremVm": onprem,
        "bothRunningEver": machine.both_running.iter().any(|both| !both.from_the_start),
        "bothRunning": intervals,
    })
}

fn vcenter(vcenter: &VCenter) -> Value {
    json!({
        "name": vcenter.name, "instanceUuid": vcenter.instance_uuid, "connected": vcenter.connected, "vms": vcenter.vms.len(),
        "hosts": vcenter.hosts.iter().map(|host| json!({"name": host.name, "connected": host.connected, "maintenance": host.maintenance})).collect::<Vec<_>>(),
        "datastores": vcenter.datastores.iter().map(|d| json!({"name": d.name, "capacity": d.capacity, "free": d.free, "accessible": d.accessible})).collect::<Vec<_>>(),
    })
}
