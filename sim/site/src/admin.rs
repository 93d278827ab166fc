//! The admin endpoint: read the world, move its time, break and mend it. It is not part of what a client of the vendors sees.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::arm;
use crate::fault::{Armed, Effect, Fault, Mend};
use crate::site::Site;
use crate::snapshot;
use crate::wire::{Answer, Request};
use crate::world::{AzurePower, Snapshot, World};

fn bad(message: impl std::fmt::Display) -> Answer {
    Answer::json(400, &json!({"error": message.to_string()}))
}

/// A path of the admin endpoint.
pub(crate) fn is_admin(path: &str) -> bool {
    path == "/_world" || path.starts_with("/_world/")
}

/// Answers below `/_world`.
pub(crate) fn answer(site: &Site, request: &Request) -> Answer {
    let path = request.path.trim_end_matches('/').to_owned();
    let rest = path.strip_prefix("/_world").unwrap_or_default().trim_start_matches('/');
    let body: Value = if request.body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(&request.body) {
            Ok(body) => body,
            Err(error) => return bad(format!("the body is not JSON: {error}")),
        }
    };
    match (request.method.as_str(), rest) {
        ("GET", "") => Answer::json(200, &site.snapshot()),
        ("GET", "calls") => Answer::json(200, &json!(site.calls())),
        ("GET", "clock") => Answer::json(
            200,
            &json!({"now": site.now(), "origin": site.lock().world.start, "speed": site.clock().speed}),
        ),
        ("GET", "save") => match site.save() {
            Ok(saved) => Answer::json(200, &saved),
            Err(error) => bad(error),
        },
        ("POST", "load") => match site.replace(body) {
            Ok(()) => Answer::json(200, &json!({"now": site.now()})),
            Err(error) => bad(error),
        },
        ("POST", "advance") => advance(site, &body),
        ("POST", "faults") => faults(site, body),
        ("DELETE", "faults") => {
            site.lock().world.faults.armed.clear();
            Answer::json(200, &json!({"faults": []}))
        }
        ("POST" | "PATCH", "mend") => match serde_json::from_value::<Mend>(body) {
            Ok(change) => {
                let done = mend(&mut site.lock().world, &change);
                site.tell();
                done.map_or_else(bad, |()| Answer::json(200, &json!({})))
            }
            Err(error) => bad(error),
        },
        ("GET", rest) => match rest.strip_prefix("machines/") {
            Some(name) => {
                let state = site.lock();
                let index = state.world.machine_named(name);
                match index.and_then(|index| {
                    state.world.machines.get(index).map(|machine| snapshot::machine(&state.world, index, machine))
                }) {
                    Some(machine) => Answer::json(200, &machine),
                    None => Answer::json(404, &json!({"error": format!("there is no machine `{name}`")})),
                }
            }
            None => Answer::json(404, &json!({"error": format!("there is no `/_world/{rest}`")})),
        },
        _ => Answer::json(
            404,
            &json!({"error": "known: GET /_world, calls, clock, machines/{name}, save; POST advance, faults, mend, load; DELETE faults"}),
        ),
    }
}

fn advance(site: &Site, body: &Value) -> Answer {
    let Some(seconds) = body.get("seconds").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0) else {
        return bad("`seconds` must be a number that is not negative");
    };
    match SignedDuration::try_from_secs_f64(seconds) {
        Ok(by) => {
            site.advance(by);
            Answer::json(200, &json!({"now": site.now()}))
        }
        Err(error) => bad(error),
    }
}

fn faults(site: &Site, body: Value) -> Answer {
    let list = if body.is_array() { body } else { json!([body]) };
    match serde_json::from_value::<Vec<Fault>>(list) {
        Ok(list) => {
            let count = list.len();
            for fault in list {
                if let Err(error) = site.try_inject(fault) {
                    return bad(error);
                }
            }
            Answer::json(200, &json!({"armed": count}))
        }
        Err(error) => bad(error),
    }
}

/// Arms a fault; a change of facts takes place at once. A fault that names something that is not in the world is refused.
pub(crate) fn inject(world: &mut World, fault: Fault) -> Result<(), String> {
    if let Some(name) = &fault.machine
        && world.machine_named(name).is_none()
    {
        return Err(format!("there is no machine `{name}`"));
    }
    match &fault.effect {
        Effect::World { change } => mend(world, change)?,
        Effect::StaleList => {
            let frozen = Some(arm::freeze(world));
            world.faults.armed.push(Armed { fault, seen: 0, struck: 0, frozen });
        }
        Effect::Latency { .. }
        | Effect::Status { .. }
        | Effect::Html { .. }
        | Effect::CutBody { .. }
        | Effect::ResetBefore
        | Effect::ResetAfter
        | Effect::SoapFault { .. }
        | Effect::JobFails { .. }
        | Effect::JobStuck { .. } => world.faults.armed.push(Armed { fault, seen: 0, struck: 0, frozen: None }),
    }
    Ok(())
}

/// Changes the world's facts.
pub(crate) fn mend(world: &mut World, change: &Mend) -> Result<(), String> {
    if let Some(name) = &change.machine {
        let index = world.machine_named(name).ok_or_else(|| format!("there is no machine `{name}`"))?;
        mend_machine(world, index, change);
    }
    let vcenter = match &change.vcenter {
        None => 0,
        Some(name) => world
            .vcenters
            .iter()
            .position(|vcenter| &vcenter.name == name)
            .ok_or_else(|| format!("there is no vCenter `{name}`"))?,
    };
    mend_vcenter(world, vcenter, change)?;
    if let Some(name) = &change.component {
        let now = world.now;
        let mut found = false;
        for server in
            world.fabrics.iter_mut().flat_map(|fabric| &mut fabric.servers).filter(|server| &server.name == name)
        {
            found = true;
            if let Some(health) = &change.component_health {
                server.health = health.clone();
            }
            if let Some(heartbeat) = change.component_heartbeat {
                server.heartbeat = heartbeat;
                server.silent_since = (!heartbeat).then_some(now);
            }
        }
        if !found {
            return Err(format!("there is no component `{name}`"));
        }
    }
    if let Some(name) = &change.add_lock {
        world.locks.push(crate::scenario::ResourceLock {
            name: name.clone(),
            level: "CanNotDelete".to_owned(),
            vm: None,
        });
    }
    if let Some(name) = &change.remove_lock {
        world.locks.retain(|lock| &lock.name != name);
    }
    if change.expire_tokens == Some(true) {
        world.token_epoch += 1;
    }
    if let Some(secret) = &change.client_secret {
        world.azure.client_secret = secret.clone();
    }
    if change.release_jobs == Some(true) {
        let stuck: Vec<String> =
            world.jobs.values().filter(|job| job.stuck_at.is_some()).map(|job| job.id.clone()).collect();
        for id in stuck {
            world.release_job(&id);
        }
    }
    if change.clear_faults == Some(true) {
        world.faults.armed.clear();
    }
    world.revision += 1;
    Ok(())
}

fn mend_machine(world: &mut World, index: usize, change: &Mend) {
    if let Some(machine) = world.machines.get_mut(index) {
        if let Some(never) = change.agent_never {
            machine.agent_never = never;
            if never {
                machine.agent_registered = false;
            }
        }
        if let Some(exists) = change.azure_vm_exists {
            machine.azure.exists = exists;
        }
        if let Some(group) = &change.azure_vm_moved_to {
            machine.azure.resource_group = group.clone();
        }
        if let Some(health) = &change.replication_health {
            machine.health = health.clone();
        }
        if let Some(bytes) = change.disk_added_in_azure {
            machine.added_in_azure.push(bytes);
        }
    }
    if change.agent_never == Some(false) {
        let boot = world.machines.get(index).map(|machine| {
            if machine.stage.runs_in_azure() {
                machine.azure.boots
            } else {
                world.on_prem(machine).map_or(0, |vm| vm.boots)
            }
        });
        world.agent_boots(index, boot.unwrap_or(0));
    }
    if let Some(running) = change.azure_vm_running {
        world.set_azure_power(index, if running { AzurePower::Running } else { AzurePower::Deallocated });
    }
    if let Some(key) = world.machines.get(index).and_then(|machine| machine.vm) {
        if change.on_prem_exists == Some(false) {
            world.delete_vm(key);
        }
        match change.on_prem_running {
            Some(true) => world.power_on(key),
            Some(false) => world.power_off(key),
            None => {}
        }
        if let (Some(tools), Some(vcenter)) = (change.tools_running, world.vcenters.get_mut(key.vcenter)) {
            vcenter.change_vm(key.vm, |vm| {
                vm.tools = tools && vm.powered_on;
                vm.tools_start = tools;
            });
        }
    }
    // Last, because a boot above makes the agent unknown.
    if let (Some(registered), Some(machine)) = (change.agent_registered, world.machines.get_mut(index)) {
        machine.agent_registered = registered;
    }
    world.watch_copies(index);
}

fn mend_vcenter(world: &mut World, index: usize, change: &Mend) -> Result<(), String> {
    let now = world.now;
    let Some(vcenter) = world.vcenters.get_mut(index) else { return Ok(()) };
    if let Some(connected) = change.vcenter_connected {
        vcenter.connected = connected;
    }
    if change.kill_sessions == Some(true) {
        vcenter.session_epoch += 1;
        vcenter.next_revision();
    }
    if let Some(name) = &change.host {
        let host = vcenter.host_named(name).ok_or_else(|| format!("there is no host `{name}`"))?;
        let revision = vcenter.next_revision();
        let mut lost_or_found = false;
        if let Some(host) = vcenter.hosts.get_mut(host) {
            lost_or_found = change.host_connected.is_some_and(|connected| connected != host.connected);
            host.connected = change.host_connected.unwrap_or(host.connected);
            host.maintenance = change.host_maintenance.unwrap_or(host.maintenance);
            host.changed = revision;
        }
        // Its VMs show it in their `runtime.connectionState`.
        if lost_or_found {
            vcenter.vms.values_mut().filter(|vm| vm.host == host).for_each(|vm| vm.changed = revision);
        }
    }
    if let Some(name) = &change.datastore {
        let datastore = vcenter.datastore_named(name).ok_or_else(|| format!("there is no datastore `{name}`"))?;
        let revision = vcenter.next_revision();
        if let Some(datastore) = vcenter.datastores.get_mut(datastore) {
            datastore.free = change.datastore_free.unwrap_or(datastore.free).min(datastore.capacity);
            datastore.accessible = change.datastore_accessible.unwrap_or(datastore.accessible);
            datastore.changed = revision;
        }
    }
    if let Some(name) = &change.vm {
        let vm = vcenter.vm_named(name).ok_or_else(|| format!("there is no VM `{name}`"))?;
        if let Some(names) = &change.vm_snapshots {
            vcenter.change_vm(vm, |vm| {
                vm.snapshots = names
                    .iter()
                    .enumerate()
                    .map(|(number, name)| Snapshot { id: number as u32 + 1, name: name.clone(), made: now })
                    .collect();
            });
        }
    }
    Ok(())
}
