//! From a vCenter object's properties to the row that decisions are made from.
//!
//! Every property is optional: an account may not read it, and a VM whose files cannot be reached has no `config`.

use super::{
    devices,
    properties::{self, Object, Told},
    xml::Element,
};
use crate::core::observed::{Datastore, Host, Mount, Power, Tools, VirtualMachine};

/// Something of the inventory that is followed.
pub(super) trait Row: Default {
    /// Properties without which the row must not be read as complete.
    const WANTED: &'static properties::Wanted;

    /// An empty row of this object.
    fn of(moref: &str) -> Self;

    /// Takes over what is said of one property. `false`: it is none of those that were asked for.
    fn tell(&mut self, path: &str, told: Told<'_>) -> bool;

    /// The row of an object with all its properties.
    fn complete(object: &Object) -> Self {
        let mut row = Self::of(&object.reference.id);
        for path in Self::WANTED.paths {
            row.tell(path, object.told(path));
        }
        row
    }

    /// Takes over an update. `false`: it cannot be understood without reading the whole object again.
    fn update(&mut self, object: &Object) -> bool {
        let values = object.values.iter().map(|(path, value)| (path, value.as_ref().map_or(Told::Unset, Told::Value)));
        let missing = object.missing.iter().map(|path| (path, Told::Unreadable));
        values.chain(missing).all(|(path, told)| path != CONNECTION && self.tell(path, told))
    }
}

/// When it changes, what else is known changes its meaning: an unreachable VM shows no snapshots, whatever it has.
const CONNECTION: &str = "runtime.connectionState";

impl Row for VirtualMachine {
    const WANTED: &'static properties::Wanted = &properties::VM;

    fn of(moref: &str) -> Self {
        Self { moref: moref.to_owned(), ..Self::default() }
    }

    fn tell(&mut self, path: &str, told: Told<'_>) -> bool {
        match path {
            "name" => self.name = told.text().map(|name| unescape(&name)).unwrap_or_default(),
            CONNECTION => self.connection = told.text(),
            "runtime.powerState" => self.power = told.text().and_then(|word| power(&word)),
            "runtime.host" => self.host = told.text(),
            "config.uuid" => self.bios_uuid = told.text().map(|uuid| uuid.to_lowercase()),
            "config.instanceUuid" => self.instance_uuid = told.text().map(|uuid| uuid.to_lowercase()),
            "config.template" => self.template = told.value().and_then(Element::boolean).unwrap_or(false),
            "config.hardware.device" => self.disks = told.value().map(devices::disks).unwrap_or_default(),
            "config.extraConfig" => self.disk_enable_uuid = told.value().map(disk_enable_uuid),
            "guest.toolsRunningStatus" => self.tools = told.text().and_then(|word| tools(&word)),
            "guest.ipAddress" => self.ip_address = told.text(),
            "snapshot" => self.snapshots = count_of_snapshots(self.connection.as_deref(), told),
            "datastore" => self.datastores = told.references(),
            _ => return false,
        }
        // A VM always has a name, devices and a list of datastores. Without a word of them the empty values above
        // mean nothing, so the row says that they were not read.
        let always_there = matches!(path, "name" | "config.hardware.device" | "datastore" | "config.template");
        note(&mut self.unreadable, path, told, always_there);
        true
    }
}

/// A VM without snapshots has no `snapshot` property; nor has one that cannot be reached.
fn count_of_snapshots(connection: Option<&str>, told: Told<'_>) -> Option<u32> {
    match told {
        Told::Value(info) => Some(info.all("rootSnapshotList").map(snapshots_in).fold(0, u32::saturating_add)),
        Told::Unset if connection == Some("connected") => Some(0),
        Told::Unset | Told::Unreadable => None,
    }
}

fn snapshots_in(tree: &Element) -> u32 {
    tree.all("childSnapshotList").map(snapshots_in).fold(1, u32::saturating_add)
}

impl Row for Host {
    const WANTED: &'static properties::Wanted = &properties::HOST;

    fn of(moref: &str) -> Self {
        Self { moref: moref.to_owned(), ..Self::default() }
    }

    fn tell(&mut self, path: &str, told: Told<'_>) -> bool {
        match path {
            "name" => self.name = told.text().map(|name| unescape(&name)).unwrap_or_default(),
            CONNECTION => self.connection = told.text(),
            "runtime.inMaintenanceMode" => self.maintenance = told.value().and_then(Element::boolean),
            "datastore" => self.datastores = told.references(),
            // Its id until `known` puts the name in its place. A standalone host lies in a `ComputeResource` of its own.
            "parent" => {
                let parent = told.value().and_then(Element::moref);
                self.cluster = parent.filter(|p| p.kind == properties::CLUSTER.kind).map(|p| p.id);
            }
            _ => return false,
        }
        note(&mut self.unreadable, path, told, matches!(path, "name" | "datastore" | "parent"));
        true
    }
}

impl Row for Datastore {
    const WANTED: &'static properties::Wanted = &properties::DATASTORE;

    fn of(moref: &str) -> Self {
        Self { moref: moref.to_owned(), ..Self::default() }
    }

    fn tell(&mut self, path: &str, told: Told<'_>) -> bool {
        match path {
            "name" => self.name = told.text().map(|name| unescape(&name)).unwrap_or_default(),
            "summary.type" => self.kind = told.text(),
            "summary.accessible" => self.accessible = told.value().and_then(Element::boolean),
            "summary.freeSpace" => self.free_bytes = told.value().and_then(Element::number),
            "summary.capacity" => self.capacity_bytes = told.value().and_then(Element::number),
            "host" => self.mounts = told.value().map(|v| v.all("DatastoreHostMount").filter_map(mount).collect()),
            _ => return false,
        }
        true
    }
}

/// One `DatastoreHostMount`. Unset means true for `mounted` and `accessible` (vSphere API, `HostMountInfo`).
fn mount(element: &Element) -> Option<Mount> {
    let info = element.child("mountInfo")?;
    let unless_denied = |name: &str| info.child(name).and_then(Element::boolean).unwrap_or(true);
    Some(Mount {
        host: element.child("key")?.moref()?.id,
        writable: info.text_at("accessMode") == Some("readWrite"),
        usable: unless_denied("mounted") && unless_denied("accessible"),
    })
}

/// A cluster of hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    /// `None` when the account may not read it.
    pub(super) name: Option<String>,
}

impl Row for Cluster {
    const WANTED: &'static properties::Wanted = &properties::CLUSTER;

    fn of(_moref: &str) -> Self {
        Self::default()
    }

    fn tell(&mut self, path: &str, told: Told<'_>) -> bool {
        if path != "name" {
            return false;
        }
        self.name = told.text().map(|name| unescape(&name));
        true
    }
}

fn note(unreadable: &mut Vec<String>, path: &str, told: Told<'_>, always_there: bool) {
    unreadable.retain(|known| known != path);
    if matches!(told, Told::Unreadable) || (always_there && matches!(told, Told::Unset)) {
        unreadable.push(path.to_owned());
    }
}

impl<'a> Told<'a> {
    fn value(self) -> Option<&'a Element> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unset | Self::Unreadable => None,
        }
    }

    fn text(self) -> Option<String> {
        self.value().map(|v| v.text.clone()).filter(|text| !text.is_empty())
    }

    /// The ids in an `ArrayOfManagedObjectReference`.
    fn references(self) -> Vec<String> {
        let list = self.value().map(|v| v.all("ManagedObjectReference").map(|r| r.text.clone()).collect());
        list.unwrap_or_default()
    }
}

fn power(word: &str) -> Option<Power> {
    match word {
        "poweredOn" => Some(Power::On),
        "poweredOff" => Some(Power::Off),
        "suspended" => Some(Power::Suspended),
        _ => None,
    }
}

fn tools(word: &str) -> Option<Tools> {
    match word {
        "guestToolsRunning" => Some(Tools::Running),
        "guestToolsNotRunning" => Some(Tools::NotRunning),
        "guestToolsExecutingScripts" => Some(Tools::ExecutingScripts),
        _ => None,
    }
}

/// `disk.EnableUUID` in a list of options that was read. Not listed means off; vCenter keeps the case it was typed in.
fn disk_enable_uuid(options: &Element) -> bool {
    options
        .all("OptionValue")
        .filter(|o| o.text_at("key").is_some_and(|key| key.eq_ignore_ascii_case("disk.EnableUUID")))
        .any(|o| o.text_at("value").is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1"))
}

/// vCenter writes `/`, `\` and `%` in names as `%2f`, `%5c` and `%25` (`ManagedEntity.name`); site recovery shows them
/// as they are.
fn unescape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let character = match after.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("2f") => Some('/'),
            Some("5c") => Some('\\'),
            Some("25") => Some('%'),
            _ => None,
        };
        out.push(character.unwrap_or('%'));
        rest = if character.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out + rest
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
