//! Virtual hardware: controllers, disks with their backings and delta parents, the network card.

use super::inventory::{Inventory, datastore_ref, network_ref};
use super::value::Val;
use crate::scenario::DiskKind;
use crate::world::Vm;

fn description(label: String, summary: &str) -> Val {
    Val::Data("Description", vec![("label", Val::Text(label)), ("summary", Val::text(summary))])
}

/// The devices of a VM.
pub(crate) fn devices(inventory: &Inventory<'_>, vm: &Vm) -> Val {
    let mut all: Vec<Val> =
        (0..vm.disks.len().div_ceil(DISKS_OF_CONTROLLER).max(1)).map(|bus| controller(vm, bus)).collect();
    all.extend((0..vm.disks.len()).filter_map(|number| disk(inventory, vm, number)));
    all.push(card(inventory, vm));
    Val::List("VirtualDevice", all)
}

/// A SCSI controller has 16 units, one of them its own.
const DISKS_OF_CONTROLLER: usize = 15;

fn controller(vm: &Vm, bus: usize) -> Val {
    let (kind, label) = match vm.controller.to_ascii_lowercase().as_str() {
        "pvscsi" => ("ParaVirtualSCSIController", "VMware paravirtual SCSI"),
        "lsilogic" => ("VirtualLsiLogicController", "LSI Logic"),
        _ => ("VirtualLsiLogicSASController", "LSI Logic SAS"),
    };
    let first = bus * DISKS_OF_CONTROLLER;
    let attached = vm.disks.iter().enumerate().skip(first).take(DISKS_OF_CONTROLLER).filter(|(_, disk)| !disk.detached);
    let disks = attached.map(|(number, _)| Val::Int(2000 + number as i32)).collect();
    Val::Data(
        kind,
        vec![
            ("key", Val::Int(1000 + bus as i32)),
            ("deviceInfo", description(format!("SCSI controller {bus}"), label)),
            ("controllerKey", Val::Int(100)),
            ("unitNumber", Val::Int(3)),
            ("busNumber", Val::Int(bus as i32)),
            ("device", Val::List("int", disks)),
            ("hotAddRemove", Val::Bool(true)),
            ("sharedBus", Val::Enum("VirtualSCSISharing", "noSharing".to_owned())),
            ("scsiCtlrUnitNumber", Val::Int(7)),
        ],
    )
}

fn disk(inventory: &Inventory<'_>, vm: &Vm, number: usize) -> Option<Val> {
    let known = vm.disks.get(number).filter(|disk| !disk.detached)?;
    let (bus, place) = (number / DISKS_OF_CONTROLLER, number % DISKS_OF_CONTROLLER);
    // Unit 7 is the controller's own.
    let unit = if place < 7 { place } else { place + 1 };
    Some(Val::Data(
        "VirtualDisk",
        vec![
            ("key", Val::Int(2000 + number as i32)),
            ("deviceInfo", description(format!("Hard disk {}", number + 1), &format!("{} KB", known.size / 1024))),
            ("backing", backing(inventory, vm, number, vm.snapshots.len())),
            ("controllerKey", Val::Int(1000 + bus as i32)),
            ("unitNumber", Val::Int(unit as i32)),
            ("capacityInKB", Val::Long((known.size / 1024) as i64)),
            ("capacityInBytes", Val::Long(known.size as i64)),
        ],
    ))
}

/// The backing of a disk; each snapshot puts a delta on top, whose parent is the one below.
fn backing(inventory: &Inventory<'_>, vm: &Vm, number: usize, depth: usize) -> Val {
    let Some(disk) = vm.disks.get(number) else { return Val::Unset };
    let datastore =
        inventory.vcenter.datastores.get(disk.datastore).map(|datastore| datastore.name.as_str()).unwrap_or_default();
    let base = if number == 0 { vm.name.clone() } else { format!("{}_{number}", vm.name) };
    // What is attached to it for somebody else stays in that VM's folder.
    let folder = if disk.foreign { format!("attached-to-{}", vm.name) } else { vm.name.clone() };
    let file = if depth == 0 {
        format!("[{datastore}] {folder}/{base}.vmdk")
    } else {
        format!("[{datastore}] {folder}/{base}-{depth:06}.vmdk")
    };
    let uuid = disk.uuid.clone();
    let reference = Val::Ref(datastore_ref(disk.datastore));
    let mode = match disk.kind {
        DiskKind::Vmdk => None,
        DiskKind::RdmPhysical => Some("physicalMode"),
        DiskKind::RdmVirtual => Some("virtualMode"),
    };
    if let Some(mode) = mode {
        return Val::Data(
            "VirtualDiskRawDiskMappingVer1BackingInfo",
            vec![
                ("fileName", Val::Text(file)),
                ("datastore", reference),
                ("lunUuid", Val::Text(uuid.replace('-', ""))),
                ("deviceName", Val::Text(format!("vml.02000000{}", uuid.replace('-', "")))),
                ("compatibilityMode", Val::text(mode)),
                ("diskMode", Val::text("persistent")),
                ("uuid", Val::Text(uuid)),
            ],
        );
    }
    let parent = if depth > 0 { backing(inventory, vm, number, depth - 1) } else { Val::Unset };
    Val::Data(
        "VirtualDiskFlatVer2BackingInfo",
        vec![
            ("fileName", Val::Text(file)),
            ("datastore", reference),
            ("diskMode", Val::text("persistent")),
            ("split", Val::Bool(false)),
            ("writeThrough", Val::Bool(false)),
            ("thinProvisioned", Val::Bool(true)),
            ("uuid", Val::Text(uuid)),
            ("parent", parent),
        ],
    )
}

fn card(inventory: &Inventory<'_>, vm: &Vm) -> Val {
    let network = inventory.vcenter.networks.first().cloned().unwrap_or_default();
    Val::Data(
        "VirtualVmxnet3",
        vec![
            ("key", Val::Int(4000)),
            ("deviceInfo", description("Network adapter 1".to_owned(), &network)),
            (
                "backing",
                Val::Data(
                    "VirtualEthernetCardNetworkBackingInfo",
                    vec![("deviceName", Val::Text(network)), ("network", Val::Ref(network_ref(0)))],
                ),
            ),
            (
                "connectable",
                Val::Data(
                    "VirtualDeviceConnectInfo",
                    vec![
                        ("startConnected", Val::Bool(true)),
                        ("allowGuestControl", Val::Bool(true)),
                        ("connected", Val::Bool(vm.powered_on)),
                        ("status", Val::text(if vm.powered_on { "ok" } else { "untried" })),
                    ],
                ),
            ),
            ("controllerKey", Val::Int(100)),
            ("unitNumber", Val::Int(7)),
            ("addressType", Val::text("assigned")),
            ("macAddress", Val::Text(vm.mac.clone())),
            ("wakeOnLanEnabled", Val::Bool(true)),
        ],
    )
}
