use super::*;
use crate::{core::observed::Power, vcenter::xml};

fn object(kind: &str, id: &str, parts: &str) -> Object {
    let text = format!("<objectSet xmlns:xsi=\"x\"><obj type=\"{kind}\">{id}</obj>{parts}</objectSet>");
    Object::read(xml::parse(text.as_bytes()).unwrap()).unwrap()
}

fn change(name: &str, op: &str, value: Option<&str>) -> String {
    let value = value.map(|v| format!("<val>{v}</val>")).unwrap_or_default();
    format!("<changeSet><name>{name}</name><op>{op}</op>{value}</changeSet>")
}

fn assign(name: &str, value: &str) -> String {
    change(name, "assign", Some(value))
}

fn vm(id: &str, parts: &[String]) -> Object {
    object("VirtualMachine", id, &parts.concat())
}

fn known() -> Known {
    let mut known = Known::default();
    let mut touched = Touched::default();
    let snapshot = assign("snapshot", "<rootSnapshotList/>");
    let vm1 = [
        assign("name", "one"),
        assign("runtime.connectionState", "connected"),
        assign("runtime.powerState", "poweredOn"),
        snapshot,
    ];
    known.apply(Update::Enter(vm("vm-1", &vm1)), &mut touched);
    known.apply(Update::Enter(vm("vm-2", &[assign("name", "two")])), &mut touched);
    known.apply(Update::Enter(object("HostSystem", "host-1", &assign("name", "esx"))), &mut touched);
    known.apply(Update::Enter(object("Datastore", "datastore-1", &assign("name", "ds"))), &mut touched);
    known.apply(Update::Enter(object("Folder", "group-1", &assign("name", "not ours"))), &mut touched);
    assert_eq!(touched.changed.len(), 4);
    known
}

fn applied(known: &mut Known, updates: Vec<Update>) -> Touched {
    let mut touched = Touched::default();
    updates.into_iter().for_each(|update| known.apply(update, &mut touched));
    touched
}

#[test]
fn a_partial_update_gives_a_complete_row() {
    let mut known = known();
    let off = vm("vm-1", &[assign("runtime.powerState", "poweredOff"), change("snapshot", "remove", None)]);
    let touched = applied(&mut known, vec![Update::Modify(off)]);
    let messages = known.tell(&touched);
    let [VCenterChange::Changed { vms, hosts, datastores }] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((vms.len(), hosts.len(), datastores.len()), (1, 0, 0));
    assert_eq!((vms[0].name.as_str(), vms[0].power, vms[0].snapshots), ("one", Some(Power::Off), Some(0)));
}

#[test]
fn an_assignment_without_a_value_unsets() {
    let mut known = known();
    applied(&mut known, vec![Update::Modify(vm("vm-1", &[change("runtime.powerState", "assign", None)]))]);
    assert_eq!(known.vms["vm-1"].power, None);
}

#[test]
fn an_update_that_changes_no_row_is_a_sign_of_life() {
    let mut known = known();
    let same = vm("vm-1", &[assign("runtime.powerState", "poweredOn")]);
    let touched = applied(&mut known, vec![Update::Modify(same)]);
    assert!(matches!(known.tell(&touched)[..], [VCenterChange::Alive]));
}

#[test]
fn what_cannot_be_understood_is_left_alone_and_read_again() {
    for odd in [
        vm("vm-9", &[assign("name", "never seen before")]),
        vm("vm-1", &[assign("name", "half"), assign("config.hardware.device[2000].backing", "x")]),
        vm("vm-1", &[assign("name", "half"), assign("runtime.connectionState", "disconnected")]),
    ] {
        let mut known = known();
        let reference = odd.reference.clone();
        let touched = applied(&mut known, vec![Update::Modify(odd)]);
        assert_eq!(touched.unclear, [reference]);
        assert_eq!(known.vms["vm-1"].name, "one");
        assert_eq!(known.vms.len(), 2);
    }
}

#[test]
fn leaving_and_coming_back_in_one_batch() {
    let mut known = known();
    let reference = MoRef::new("VirtualMachine", "vm-1");
    let again = vm("vm-1", &[assign("name", "one again")]);
    let touched = applied(&mut known, vec![Update::Leave(reference.clone()), Update::Enter(again)]);
    assert!(matches!(&known.tell(&touched)[..], [VCenterChange::Changed { vms, .. }] if vms[0].name == "one again"));

    let renamed = vm("vm-1", &[assign("name", "x")]);
    let never_known = MoRef::new("VirtualMachine", "vm-77");
    let touched =
        applied(&mut known, vec![Update::Modify(renamed), Update::Leave(reference), Update::Leave(never_known)]);
    assert!(matches!(&known.tell(&touched)[..], [VCenterChange::Gone(ids)] if ids == &["vm-1"]));
}

#[test]
fn hosts_are_shown_with_the_name_of_their_cluster() {
    let mut known = Known::default();
    let parent =
        "<changeSet><name>parent</name><op>assign</op><val type=\"ClusterComputeResource\">domain-c7</val></changeSet>";
    let host = object("HostSystem", "host-1", &(assign("name", "esx1") + parent));
    let alone = object("HostSystem", "host-2", &assign("name", "esx2"));
    applied(&mut known, vec![Update::Enter(host), Update::Enter(alone)]);
    let clusters = |change: VCenterChange| match change {
        VCenterChange::All { hosts, .. } | VCenterChange::Changed { hosts, .. } => {
            hosts.into_iter().map(|host| host.cluster).collect::<Vec<_>>()
        }
        VCenterChange::Gone(_) | VCenterChange::Alive => Vec::new(),
    };
    assert_eq!(clusters(known.all()), [Some("domain-c7".to_owned()), None], "its id while the name is not known");
    let named = |name: &str| object("ClusterComputeResource", "domain-c7", &assign("name", name));
    let touched = applied(&mut known, vec![Update::Enter(named("east"))]);
    assert_eq!(known.tell(&touched).into_iter().flat_map(clusters).collect::<Vec<_>>(), [Some("east".to_owned())]);
    let touched = applied(&mut known, vec![Update::Modify(named("west"))]);
    assert_eq!(known.tell(&touched).into_iter().flat_map(clusters).collect::<Vec<_>>(), [Some("west".to_owned())]);
    assert_eq!(clusters(known.all()), [Some("west".to_owned()), None]);
}
