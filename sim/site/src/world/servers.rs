//! Fabrics and their servers, from the scenario.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::homes::add_vm;
use super::{Fabric, Role, Server, ServerPart, VmKey, World, stable_id};
use crate::clock::before;
use crate::scenario::{self, Generation, Os};

/// What is silent has been so for this long: longer than anybody lets pass.
pub(crate) const SILENCE: SignedDuration = SignedDuration::from_hours(2);

fn classic_id(name: &str) -> String {
    let id = stable_id("server", name).to_ascii_uppercase();
    // The classic ids have four groups (recorded: 30AE6187-5869-8E44-B8AF6AA66E3ECC8F).
    match id.rsplit_once('-') {
        Some((head, tail)) => format!("{head}{tail}"),
        None => id,
    }
}

pub(super) fn add_fabric(world: &mut World, spec: &scenario::Fabric, start: Timestamp) {
    let vault = spec.vault.clone().unwrap_or_else(|| world.azure.vault.clone());
    if !world.vaults.contains(&vault) {
        world.vaults.push(vault.clone());
    }
    let vcenter_index =
        spec.vcenter.as_ref().and_then(|name| world.vcenters.iter().position(|v| &v.name == name)).unwrap_or(0);
    let internal_id = stable_id("fabric", &spec.name);
    let name = match spec.generation {
        Generation::Modernized => spec.name.clone(),
        Generation::Classic => Sha256::digest(spec.name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let container = spec.container.clone().unwrap_or_else(|| match spec.generation {
        Generation::Modernized => format!("{}replicationcontainer", spec.name),
        Generation::Classic => format!("cloud_{internal_id}"),
    });
    let servers: Vec<Server> = match spec.generation {
        Generation::Modernized => spec.appliances.iter().map(|a| appliance(world, vcenter_index, a, start)).collect(),
        Generation::Classic => classic_servers(world, vcenter_index, spec, start),
    };
    if let Some(vcenter) = world.vcenters.get_mut(vcenter_index) {
        for server in servers.iter().filter(|server| server.attached_disks > 0) {
            vcenter.attach_foreign_disks(&server.name, server.attached_disks);
        }
    }
    world.fabrics.push(Fabric {
        name,
        friendly: spec.name.clone(),
        generation: spec.generation,
        vault,
        container,
        vcenter: vcenter_index,
        internal_id,
        site: format!("{}vmwaresite", spec.name),
        servers,
        cs_ip: spec.configuration_server.ip.clone(),
        cs_version: spec.configuration_server.version.clone(),
        policy: spec.policy.clone(),
        cs_services: spec.configuration_server.services.clone(),
        cs_silent_since: (!spec.configuration_server.heartbeat).then_some(before(start, SILENCE)),
        vcenter_known_as: spec
            .vcenter_known_as
            .clone()
            .or_else(|| world.vcenters.get(vcenter_index).map(|vcenter| vcenter.instance_uuid.clone()))
            .unwrap_or_default(),
        hyper_v: spec.hyper_v,
    });
}

/// The VM that a server runs in, made unless the scenario lists it among the vCenter's.
fn server_vm(
    world: &mut World,
    vcenter: usize,
    name: &str,
    host: Option<&String>,
    os: Os,
    snapshots: &[String],
    start: Timestamp,
) -> (usize, Option<u32>) {
    let Some(vcenter) = world.vcenters.get_mut(vcenter) else { return (0, None) };
    if let Some(id) = vcenter.vm_named(name) {
        return (vcenter.vms.get(&id).map_or(0, |vm| vm.host), Some(id));
    }
    let like = scenario::Machine {
        name: name.to_owned(),
        os,
        host: host.cloned(),
        snapshots: snapshots.to_vec(),
        disks: vec![scenario::Disk { size: scenario::Size::gb(80), ..Default::default() }],
        ..scenario::Machine::default()
    };
    let id = add_vm(vcenter, &like, None, true, start);
    (vcenter.vms.get(&id).map_or(0, |vm| vm.host), Some(id))
}

fn appliance(world: &mut World, vcenter: usize, spec: &scenario::Appliance, start: Timestamp) -> Server {
    let (host, vm) = server_vm(world, vcenter, &spec.name, spec.host.as_ref(), Os::Windows, &[], start);
    let ip = vm.and_then(|id| world.vm(VmKey { vcenter, vm: id })).map(|vm| vm.ip.clone()).unwrap_or_default();
    Server {
        name: spec.name.clone(),
        id: spec.id.clone().unwrap_or_else(|| stable_id("appliance", &spec.name)),
        role: Role::Appliance,
        ip,
        health: spec.health.name().to_owned(),
        heartbeat: spec.heartbeat,
        host,
        datastores: spec.datastores.clone(),
        os: Os::Windows,
        version: "9.62.7172.1".to_owned(),
        retention: Vec::new(),
        errors: Vec::new(),
        silent_since: (!spec.heartbeat).then_some(before(start, SILENCE)),
        parts: spec.parts.iter().map(|(kind, part)| (kind.clone(), server_part(part, start))).collect(),
        discovered: spec.discovered,
        attached_disks: spec.attached_disks,
    }
}

fn server_part(spec: &scenario::Part, start: Timestamp) -> ServerPart {
    ServerPart {
        health: spec.health.name().to_owned(),
        silent_since: (!spec.heartbeat).then_some(before(start, SILENCE)),
    }
}

fn classic_servers(world: &mut World, vcenter: usize, spec: &scenario::Fabric, start: Timestamp) -> Vec<Server> {
    let cs = &spec.configuration_server;
    let silent = before(start, SILENCE);
    let mut servers = vec![Server {
        name: spec.name.clone(),
        id: cs.id.clone().unwrap_or_else(|| classic_id(&spec.name)),
        role: Role::ConfigurationServer,
        ip: cs.ip.clone(),
        health: "Normal".to_owned(),
        heartbeat: cs.available,
        host: 0,
        datastores: Some(Vec::new()),
        os: Os::Windows,
        version: cs.version.clone(),
        retention: vec![scenario::RetentionVolume {
            name: "D".to_owned(),
            capacity: scenario::Size::gb(32),
            free: scenario::Size::gb(29),
        }],
        errors: Vec::new(),
        silent_since: (!cs.available).then_some(silent),
        parts: BTreeMap::new(),
        discovered: true,
        attached_disks: 0,
    }];
    for ps in &spec.process_servers {
        servers.push(Server {
            name: ps.name.clone(),
            id: ps.id.clone().unwrap_or_else(|| classic_id(&ps.name)),
            role: Role::ProcessServer,
            ip: ps.ip.clone(),
            health: ps.health.name().to_owned(),
            heartbeat: ps.heartbeat,
            host: 0,
            datastores: Some(Vec::new()),
            os: Os::Windows,
            version: cs.version.clone(),
            retention: Vec::new(),
            errors: Vec::new(),
            silent_since: (!ps.heartbeat).then_some(silent),
            parts: BTreeMap::new(),
            discovered: true,
            attached_disks: 0,
        });
    }
    for mt in &spec.master_targets {
        let (host, vm) = server_vm(world, vcenter, &mt.name, mt.host.as_ref(), mt.os, &mt.snapshots, start);
        if let (Some(id), Some(vcenter)) = (vm, world.vcenters.get_mut(vcenter)) {
            vcenter.change_vm(id, |vm| {
                vm.ip = mt.ip.clone();
                vm.controller = mt.controller.clone();
                vm.disk_enable_uuid = mt.disk_enable_uuid;
            });
        }
        let drive = match mt.os {
            Os::Windows => "R",
            Os::Linux => "/mnt/retention",
        };
        let retention = mt.retention.clone().unwrap_or_else(|| {
            vec![scenario::RetentionVolume {
                name: drive.to_owned(),
                capacity: scenario::Size::gb(1024),
                free: scenario::Size::gb(1000),
            }]
        });
        servers.push(Server {
            name: mt.name.clone(),
            id: mt.id.clone().unwrap_or_else(|| classic_id(&mt.name)),
            role: Role::MasterTarget,
            ip: mt.ip.clone(),
            health: "Normal".to_owned(),
            heartbeat: mt.heartbeat,
            host,
            datastores: mt.datastores.clone(),
            os: mt.os,
            version: mt.version.clone().unwrap_or_else(|| cs.version.clone()),
            retention,
            errors: mt.errors.clone(),
            silent_since: (!mt.heartbeat).then_some(silent),
            parts: BTreeMap::new(),
            discovered: mt.discovered,
            attached_disks: mt.attached_disks,
        });
    }
    servers
}
