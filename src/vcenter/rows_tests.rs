use super::*;
use crate::{core::observed::VirtualDisk, vcenter::xml};

fn object(kind: &str, id: &str, properties: &str) -> Object {
    let text = format!("<objects xmlns:xsi=\"x\"><obj type=\"{kind}\">{id}</obj>{properties}</objects>");
    Object::read(xml::parse(text.as_bytes()).unwrap()).unwrap()
}

fn set(name: &str, value: &str) -> String {
    format!("<propSet><name>{name}</name><val>{value}</val></propSet>")
}

fn missing(path: &str) -> String {
    format!("<missingSet><path>{path}</path><fault><fault xsi:type=\"NoPermission\"/></fault></missingSet>")
}

fn vm(properties: &[String]) -> VirtualMachine {
    VirtualMachine::complete(&object("VirtualMachine", "vm-62", &properties.concat()))
}

const DISKS: &str = "\
<VirtualDevice xsi:type=\"ParaVirtualSCSIController\"><key>1000</key></VirtualDevice>\
<VirtualDevice xsi:type=\"VirtualLsiLogicSASController\"><key>1001</key></VirtualDevice>\
<VirtualDevice xsi:type=\"VirtualDisk\"><key>2000</key><controllerKey>1001</controllerKey><deviceInfo><label>Hard disk 1</label></deviceInfo>\
<backing xsi:type=\"VirtualDiskFlatVer2BackingInfo\"><fileName>[ds] a/a.vmdk</fileName><datastore type=\"Datastore\">datastore-59</datastore>\
<uuid>6000C298-3A27-1A5C-5B9B-5A2D8BD6B8AB</uuid></backing><capacityInKB>1</capacityInKB><capacityInBytes>17179869184</capacityInBytes></VirtualDevice>\
<VirtualDevice xsi:type=\"VirtualDisk\"><controllerKey>1000</controllerKey><deviceInfo><label>Hard disk 2</label></deviceInfo>\
<backing xsi:type=\"VirtualDiskRawDiskMappingVer1BackingInfo\"><datastore type=\"Datastore\">datastore-60</datastore><uuid/></backing>\
<capacityInKB>2048</capacityInKB></VirtualDevice>\
<VirtualDevice xsi:type=\"VirtualDisk\"><backing xsi:type=\"VirtualDiskSparseVer2BackingInfo\"><parent><uuid>x</uuid></parent></backing></VirtualDevice>";

fn everything() -> Vec<String> {
    vec![
        set("name", "tier%2fweb 100%25"),
        set("runtime.connectionState", "connected"),
        set("runtime.powerState", "poweredOff"),
        set("runtime.host", "host-21"),
        set("config.uuid", "4202C8EA-1111-2222-3333-444444444444"),
        set("config.instanceUuid", "5002C8EA-1111-2222-3333-444444444444"),
        set("config.template", "false"),
        set("config.hardware.device", DISKS),
        set(
            "config.extraConfig",
            "<OptionValue><key>disk.enableUUID</key><value>TRUE</value></OptionValue><OptionValue><key>x</key></OptionValue>",
        ),
        set("guest.toolsRunningStatus", "guestToolsNotRunning"),
        set("guest.ipAddress", "10.1.2.3"),
        set(
            "snapshot",
            "<rootSnapshotList><childSnapshotList><childSnapshotList/></childSnapshotList><childSnapshotList/></rootSnapshotList>\
             <rootSnapshotList/>",
        ),
        set(
            "datastore",
            "<ManagedObjectReference type=\"Datastore\">datastore-59</ManagedObjectReference>\
             <ManagedObjectReference type=\"Datastore\">datastore-60</ManagedObjectReference>",
        ),
    ]
}

#[test]
fn a_vm_with_everything() {
    let disk = |label: &str, uuid: Option<&str>, capacity_bytes, datastore: Option<&str>| VirtualDisk {
        label: label.into(),
        uuid: uuid.map(str::to_owned),
        capacity_bytes,
        datastore: datastore.map(str::to_owned),
        ..VirtualDisk::default()
    };
    let flat = VirtualDisk {
        controller: Some("VirtualLsiLogicSASController".into()),
        folder: Some("a".into()),
        ..disk("Hard disk 1", Some("6000c298-3a27-1a5c-5b9b-5a2d8bd6b8ab"), Some(16 << 30), Some("datastore-59"))
    };
    let mapped = VirtualDisk {
        raw_device: true,
        controller: Some("ParaVirtualSCSIController".into()),
        ..disk("Hard disk 2", None, Some(2 << 20), Some("datastore-60"))
    };
    let delta = VirtualDisk { delta: true, ..disk("", None, None, None) };
    let expected = VirtualMachine {
        moref: "vm-62".into(),
        name: "tier/web 100%".into(),
        bios_uuid: Some("4202c8ea-1111-2222-3333-444444444444".into()),
        instance_uuid: Some("5002c8ea-1111-2222-3333-444444444444".into()),
        template: false,
        power: Some(Power::Off),
        connection: Some("connected".into()),
        host: Some("host-21".into()),
        tools: Some(Tools::NotRunning),
        ip_address: Some("10.1.2.3".into()),
        snapshots: Some(5),
        datastores: vec!["datastore-59".into(), "datastore-60".into()],
        disks: vec![flat, mapped, delta],
        disk_enable_uuid: Some(true),
        unreadable: Vec::new(),
    };
    assert_eq!(vm(&everything()), expected);
}

#[test]
fn a_vm_without_config_knows_nothing_of_its_disks() {
    let row = vm(&[set("name", "orphan"), set("runtime.connectionState", "inaccessible")]);
    assert_eq!((row.bios_uuid, row.snapshots, row.disk_enable_uuid, row.power), (None, None, None, None));
    assert_eq!(row.unreadable, ["config.template", "config.hardware.device", "datastore"]);
}

#[test]
fn what_may_not_be_read_is_not_absent() {
    let mut properties = everything();
    properties.retain(|p| !["snapshot", "config.extraConfig"].iter().any(|n| p.contains(&format!("<name>{n}<"))));
    properties.extend([missing("snapshot"), missing("config.extraConfig")]);
    let row = vm(&properties);
    assert_eq!((row.snapshots, row.disk_enable_uuid), (None, None));
    assert_eq!(row.unreadable, ["config.extraConfig", "snapshot"]);
}

#[test]
fn snapshots_are_none_only_when_the_vm_can_be_reached() {
    for (connection, snapshots) in
        [("connected", Some(0)), ("disconnected", None), ("inaccessible", None), ("orphaned", None), ("", None)]
    {
        assert_eq!(vm(&[set("runtime.connectionState", connection)]).snapshots, snapshots, "{connection}");
    }
}

#[test]
fn disk_enable_uuid_in_its_spellings() {
    for (options, seen) in [
        ("", false),
        ("<OptionValue><key>disk.EnableUUID</key><value>FALSE</value></OptionValue>", false),
        ("<OptionValue><key>disk.EnableUUID</key><value>true</value></OptionValue>", true),
        ("<OptionValue><key>disk.EnableUUID</key><value>1</value></OptionValue>", true),
        ("<OptionValue><key>disk.EnableUUIDs</key><value>true</value></OptionValue>", false),
    ] {
        assert_eq!(vm(&[set("config.extraConfig", options)]).disk_enable_uuid, Some(seen), "{options}");
    }
}

#[test]
fn names_are_unescaped() {
    for (written, name) in
        [("a%2Fb%5cc%25d", "a/b\\c%d"), ("100%", "100%"), ("%2", "%2"), ("%zz%ä", "%zz%ä"), ("%252f", "%2f")]
    {
        assert_eq!(vm(&[set("name", written)]).name, name);
    }
}

#[test]
fn words_that_nobody_knows_are_no_fact() {
    let row = vm(&[set("runtime.powerState", "hibernating"), set("guest.toolsRunningStatus", "guestToolsConfused")]);
    assert_eq!((row.power, row.tools), (None, None));
}

#[test]
fn hosts_and_datastores() {
    let properties = set("name", "esx1.example.com")
        + &set("runtime.connectionState", "connected")
        + &set("runtime.inMaintenanceMode", "true")
        + "<propSet><name>parent</name><val type=\"ClusterComputeResource\">domain-c7</val></propSet>"
        + &missing("datastore");
    let host = Host::complete(&object("HostSystem", "host-21", &properties));
    let expected = Host {
        moref: "host-21".into(),
        name: "esx1.example.com".into(),
        connection: Some("connected".into()),
        maintenance: Some(true),
        datastores: Vec::new(),
        cluster: Some("domain-c7".into()),
        unreadable: vec!["datastore".into()],
    };
    assert_eq!(host, expected);
    let standalone = "<propSet><name>parent</name><val type=\"ComputeResource\">domain-s7</val></propSet>";
    assert_eq!(Host::complete(&object("HostSystem", "host-22", standalone)).cluster, None);
    let properties = set("name", "ds")
        + &set("summary.type", "VMFS")
        + &set("summary.accessible", "1")
        + &set("summary.freeSpace", "5")
        + &set("summary.capacity", "x")
        + &set("host", MOUNTS);
    let datastore = Datastore::complete(&object("Datastore", "datastore-1", &properties));
    let expected = Datastore {
        moref: "datastore-1".into(),
        name: "ds".into(),
        kind: Some("VMFS".into()),
        accessible: Some(true),
        free_bytes: Some(5),
        capacity_bytes: None,
        mounts: Some(vec![
            mount("host-21", true, true),
            mount("host-22", false, true),
            mount("host-23", true, false),
            mount("host-24", true, false),
        ]),
    };
    assert_eq!(datastore, expected);
    assert_eq!(datastore.writable_on("host-21"), Some(true));
    assert_eq!(datastore.writable_on("host-22"), Some(false), "read-only");
    assert_eq!(datastore.writable_on("host-99"), Some(false));
    let withheld = Datastore::complete(&object("Datastore", "datastore-1", &missing("host")));
    assert_eq!(withheld.writable_on("host-21"), None, "not to be read is not unmounted");
}

const MOUNTS: &str = "\
<DatastoreHostMount><key type=\"HostSystem\">host-21</key><mountInfo><accessMode>readWrite</accessMode></mountInfo></DatastoreHostMount>\
<DatastoreHostMount><key type=\"HostSystem\">host-22</key><mountInfo><accessMode>readOnly</accessMode>\
<mounted>true</mounted><accessible>true</accessible></mountInfo></DatastoreHostMount>\
<DatastoreHostMount><key type=\"HostSystem\">host-23</key><mountInfo><accessMode>readWrite</accessMode><mounted>false</mounted></mountInfo></DatastoreHostMount>\
<DatastoreHostMount><key type=\"HostSystem\">host-24</key><mountInfo><accessMode>readWrite</accessMode><accessible>false</accessible></mountInfo></DatastoreHostMount>";

fn mount(host: &str, writable: bool, usable: bool) -> Mount {
    Mount { host: host.into(), writable, usable }
}

#[test]
fn a_readable_property_leaves_the_list_of_unreadable_ones() {
    let mut row = vm(&[missing("config.hardware.device")]);
    assert!(row.unreadable.contains(&"config.hardware.device".to_owned()));
    let update = object("VirtualMachine", "vm-62", &set("config.hardware.device", DISKS));
    assert!(row.update(&update));
    assert_eq!(row.disks.len(), 3);
    assert!(!row.unreadable.contains(&"config.hardware.device".to_owned()));
}
