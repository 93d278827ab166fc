//! vCenters with their hosts, datastores and VMs, from the scenario.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Datastore, Host, Snapshot, VCenter, Vm, VmDisk, stable_id};
use crate::clock::before;
use crate::scenario::{self, Os};

pub(super) fn build_vcenter(spec: &scenario::VCenter, start: Timestamp) -> VCenter {
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
        discovery: spec.discovery.clone(),
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

pub(crate) fn add_bystander(vcenter: &mut VCenter, spec: &scenario::Vm, start: Timestamp) {
    let like = scenario::Machine {
        name: spec.name.clone(),
        os: spec.os,
        disks: spec.disks.clone(),
        host: spec.host.clone(),
        datastore: spec.datastore.clone(),
        snapshots: spec.snapshots.clone(),
        // It is not the replicated machine whose name it may bear.
        uuid: spec.uuid.clone().or_else(|| Some(stable_id("bystander", &spec.name))),
        instance_uuid: Some(stable_id("bystander instance", &spec.name)),
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

fn os_name(spec: &scenario::Machine) -> String {
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
            detached: disk.detached,
            foreign: false,
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
        tools: powered_on && spec.tools,
        tools_start: spec.tools,
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

pub(super) fn address(net: &str, number: u32) -> String {
    format!("{net}.{}.{}", (number / 200) % 250, number % 200 + 20)
}
