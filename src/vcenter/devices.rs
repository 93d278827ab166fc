//! Virtual disks, from `config.hardware.device`.

use super::xml::Element;
use crate::core::observed::VirtualDisk;

/// The disks among an `ArrayOfVirtualDevice`.
pub(super) fn disks(devices: &Element) -> Vec<VirtualDisk> {
    let controller = |disk: &Element| {
        let key = disk.text_at("controllerKey")?;
        let device = devices.all("VirtualDevice").find(|d| d.text_at("key") == Some(key))?;
        Some(device.kind().to_owned()).filter(|kind| !kind.is_empty())
    };
    let of_disk = |d| VirtualDisk { controller: controller(d), ..disk(d) };
    devices.all("VirtualDevice").filter(|d| d.kind() == "VirtualDisk").map(of_disk).collect()
}

fn disk(device: &Element) -> VirtualDisk {
    let bytes = device.child("capacityInBytes").and_then(Element::number);
    // ESX 5.0 and older hosts fill this older field alone.
    let kilobytes = device.child("capacityInKB").and_then(Element::number);
    let backing = |name: &str| device.at("backing").and_then(|b| b.child(name));
    VirtualDisk {
        label: device.text_at("deviceInfo.label").unwrap_or_default().to_owned(),
        uuid: backing("uuid").map(|u| u.text.to_lowercase()).filter(|u| !u.is_empty()),
        capacity_bytes: bytes.or_else(|| kilobytes.and_then(|kb| kb.checked_mul(1024))),
        datastore: backing("datastore").map(|d| d.text.clone()).filter(|d| !d.is_empty()),
        // `VirtualDiskRawDiskMappingVer1BackingInfo` is the mapping file; `VirtualDiskRawDiskVer2BackingInfo` and
        // `VirtualDiskPartitionedRawDiskVer2BackingInfo` are devices without one.
        raw_device: device.at("backing").is_some_and(|b| b.kind().contains("RawDisk")),
        delta: backing("parent").is_some(),
        folder: backing("fileName").and_then(|file| folder(&file.text)),
        controller: None,
    }
}

/// `mt01` of `[datastore1] mt01/mt01_1.vmdk`.
fn folder(file: &str) -> Option<String> {
    let path = file.rsplit_once("] ").map_or(file, |(_, path)| path);
    path.rsplit_once('/').map(|(folder, _)| folder.to_owned())
}
