//! Which VM a target is, who bears a machine's name, and who else belongs to its group.

use std::collections::BTreeMap;

use failback::{
    api::{ItemPhase, ReplicatedItemStatus, TargetStatus},
    core::{
        join::{Inventory, TargetMarks, listed, members, namesakes},
        nearest::nearest,
        observed::{Direction, Fact, OnPremisesVm, ReprotectTarget, VirtualMachine},
        roster::{Entry, Roster},
        stage::Stage,
    },
};

use crate::support::{claim, identity, replication, spec};

fn vm(moref: &str, name: &str, address: Option<&str>) -> VirtualMachine {
    VirtualMachine {
        moref: moref.to_owned(),
        name: name.to_owned(),
        ip_address: address.map(ToOwned::to_owned),
        ..VirtualMachine::default()
    }
}

fn classic() -> ReprotectTarget {
    ReprotectTarget {
        name: "mt01".to_owned(),
        ip_addresses: vec!["10.0.0.30".to_owned()],
        ..ReprotectTarget::default()
    }
}

/// The found VM's managed object id, `-` for none, `?` when ambiguous.
fn found(target: &ReprotectTarget, declared: Option<&str>, vms: &[VirtualMachine]) -> String {
    match TargetMarks::of(target, declared).find(vms.iter()) {
        OnPremisesVm::Found(vm) => vm.moref,
        OnPremisesVm::NotFound => "-".to_owned(),
        OnPremisesVm::Ambiguous(_) => "?".to_owned(),
    }
}

#[test]
fn a_uuid_decides_and_no_weaker_mark_does() {
    let target = ReprotectTarget { instance_uuid: Some("i".to_owned()), bios_uuid: Some("b".to_owned()), ..classic() };
    let instance = VirtualMachine { instance_uuid: Some("i".to_owned()), ..vm("vm-1", "x", None) };
    let bios = VirtualMachine { bios_uuid: Some("b".to_owned()), ..vm("vm-2", "mt01", Some("10.0.0.30")) };
    assert_eq!(found(&target, None, &[instance.clone(), bios.clone()]), "vm-1");
    assert_eq!(found(&target, None, std::slice::from_ref(&bios)), "-");
    let target = ReprotectTarget { instance_uuid: None, ..target };
    assert_eq!(found(&target, None, &[instance.clone(), bios.clone()]), "vm-2");

    let clone = VirtualMachine { moref: "vm-3".to_owned(), name: "copy".to_owned(), ..bios.clone() };
    assert_eq!(found(&target, None, &[bios.clone(), clone.clone()]), "?");
    assert_eq!(found(&target, Some("copy"), &[bios.clone(), clone.clone()]), "vm-3");
    let template = VirtualMachine { template: true, ..clone };
    assert_eq!(found(&target, None, &[bios, template]), "vm-2");
}

#[test]
fn a_bios_uuid_is_the_same_in_either_byte_order() {
    // As recorded of an appliance's fabric, and as its vCenter shows it.
    let fabric = "d96e1342-c1a3-a90c-667c-b4528a466494";
    let vcenter = "42136ed9-a3c1-0ca9-667c-b4528a466494";
    let target = ReprotectTarget { bios_uuid: Some(fabric.to_owned()), ..classic() };
    let other = "42136ed9-a3c1-0ca9-667c-b4528a466495";
    let vms = [(fabric, "vm-1"), (vcenter, "vm-2"), (other, "vm-3"), ("odd", "vm-4")]
        .map(|(uuid, moref)| VirtualMachine { bios_uuid: Some(uuid.to_owned()), ..vm(moref, "x", None) });
    assert_eq!(found(&target, None, &vms[..1]), "vm-1");
    assert_eq!(found(&target, None, &vms[1..]), "vm-2");
    assert_eq!(found(&target, None, &vms[2..]), "-");
    let marks = TargetMarks::of(&target, None);
    assert_eq!(vms.iter().map(|vm| marks.concerns(vm)).collect::<Vec<_>>(), [true, true, false, false]);
}

#[test]
fn without_a_uuid_name_and_address_go_together() {
    let both = vm("vm-1", "MT01", Some("10.0.0.30"));
    let off = vm("vm-2", "mt01", None);
    let renamed = vm("vm-3", "server", Some("10.0.0.30"));
    let elsewhere = vm("vm-4", "mt01", Some("10.9.9.9"));
    let stranger = vm("vm-5", "web", Some("10.0.0.99"));
    let find = |vms: &[&VirtualMachine]| {
        let vms: Vec<_> = vms.iter().map(|vm| (*vm).clone()).collect();
        found(&classic(), None, &vms)
    };
    assert_eq!(find(&[&both, &off, &renamed, &elsewhere, &stranger]), "vm-1");
    assert_eq!(find(&[&both, &VirtualMachine { moref: "vm-9".to_owned(), ..both.clone() }]), "?");
    assert_eq!(find(&[&off, &stranger]), "vm-2");
    assert_eq!(find(&[&renamed, &stranger]), "vm-3");
    assert_eq!(find(&[&off, &renamed]), "?");
    // Its name with another address: somebody else, unless a person says that it is the one.
    assert_eq!(find(&[&elsewhere, &stranger]), "-");
    assert_eq!(found(&classic(), Some("mt01"), std::slice::from_ref(&elsewhere)), "vm-4");
    assert_eq!(found(&classic(), Some("mt01"), &[elsewhere.clone(), off.clone()]), "?");
    assert_eq!(found(&classic(), Some("mt01"), &[elsewhere, off, both]), "vm-1");
}

#[test]
fn whatever_may_become_the_target_concerns_it() {
    let marks = TargetMarks::of(&classic(), Some("declared"));
    assert!(marks.concerns(&vm("vm-1", "Declared", None)));
    assert!(marks.concerns(&vm("vm-1", "x", Some("10.0.0.30"))));
    assert!(!marks.concerns(&vm("vm-1", "mt01", Some("10.0.0.31"))));
    // Marks that nobody knows are nobody's.
    assert!(!marks.concerns(&VirtualMachine::default()));
}

#[test]
fn namesakes_are_others_of_that_name_templates_too() {
    let own = vm("vm-1", "web-01", None);
    let template = VirtualMachine { template: true, ..vm("vm-2", "WEB-01", None) };
    let vms = [own.clone(), template, vm("vm-3", "web-02", None)];
    let inventory =
        Inventory { vms: vms.into_iter().map(|vm| (vm.moref.clone(), vm)).collect(), ..Inventory::default() };
    let morefs = |own| namesakes("web-01", own, &inventory).into_iter().map(|vm| vm.moref).collect::<Vec<_>>();
    assert_eq!(morefs(Some(&own)), ["vm-2"]);
    assert_eq!(morefs(None), ["vm-1", "vm-2"]);
}

#[test]
fn members_of_a_group_are_joined_by_item_id_with_their_objects() {
    let own = replication(Stage::ReadyToFailBack);
    let mut ready = replication(Stage::ReadyToFailBack);
    ready.id = "/Items/B".to_owned();
    ready.friendly_name = "b".to_owned();
    ready.appliance_id = Some("used".to_owned());
    let mut waiting = replication(Stage::FailedOver);
    waiting.id = "/items/c".to_owned();
    waiting.appliance_id = Some("a process server".to_owned());
    assert_eq!(waiting.direction, Some(Direction::ToAzure));

    let mut status = ReplicatedItemStatus { identity: identity(), phase: ItemPhase::FailedOver, ..Default::default() };
    status.identity.item_id = Some("/ITEMS/C".to_owned());
    status.target = Some(TargetStatus { appliance_id: "Decided".to_owned(), ..TargetStatus::default() });
    let mut claim = claim(failback::api::DesiredPhase::Reprotected);
    claim.wave = "first".to_owned();
    status.claim = Some(claim);
    let mut roster = Roster::default();
    roster.apply(&("ns".to_owned(), "c".to_owned()), Some(Entry::of("ns", None, &spec(), &status)));

    let points = || Fact::unknown("not read");
    let shown = [(own.clone(), points()), (ready, points()), (waiting, points())];
    let found = members(&own.id.to_lowercase(), &shown, &roster);
    let told: Vec<_> =
        found.iter().map(|m| (m.machine.as_str(), m.ready, m.target_id.as_deref(), m.claimed.clone())).collect();
    let claimed = Some(("plan".to_owned(), "first".to_owned()));
    assert_eq!(told, [("b", true, Some("used"), None), ("web-01", false, Some("decided"), claimed)]);
}

#[test]
fn the_nearest_name_is_near() {
    let names = ["datastore1", "datastore2", "vsan"];
    assert_eq!(nearest("Datastor1", names), Some("datastore1"));
    assert_eq!(nearest("vsna", names), None);
    assert_eq!(nearest("vsam", names), Some("vsan"));
    assert_eq!(nearest("something else", names), None);
    assert_eq!(nearest("x", []), None);
}

#[test]
fn long_lists_are_cut() {
    assert_eq!(listed([]), "none");
    assert_eq!(listed(["a", "b"]), r#""a", "b""#);
    let many: BTreeMap<String, ()> = (10..20).map(|n| (n.to_string(), ())).collect();
    let text = listed(many.keys().map(String::as_str));
    assert!(text.ends_with(r#""17" and 2 more"#), "{text}");
}
