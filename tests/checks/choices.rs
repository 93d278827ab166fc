//! Where a machine comes home, through what, and to which recovery point.

use std::{fmt::Write as _, sync::Arc};

use failback::{
    api::{CheckResult, DecidedLocation, LocationChoice, RecoveryPointChoice},
    core::{
        action::{Action, RecoveryPoint, ReprotectWith},
        decide::Next,
        facts::{GroupMember, HomeIdentity},
        location,
        observed::{Datastore, Fact, Health, OnPremisesVm, VirtualMachine},
        placement, points,
        stage::Stage::{self, FailedOver, ReadyToFailBack},
    },
};

use crate::{
    Case,
    support::{
        UUID, at, change_item, change_site, change_targets, claim,
        classic::{classic, point},
        decide_with, home_vm, status,
    },
};

#[test]
fn locations() {
    let found = || OnPremisesVm::Found(Box::new(home_vm(FailedOver)));
    let twins = vec!["web-01 (vm-62)".to_owned(), "web-01-copy (vm-70)".to_owned()];
    let homes = [
        ("the VM is there", Fact::seen(found(), at(0))),
        ("the VM is gone", Fact::seen(OnPremisesVm::NotFound, at(0))),
        ("two VMs", Fact::seen(OnPremisesVm::Ambiguous(twins), at(0))),
        ("not known", Fact::unknown("vCenter does not answer.")),
    ];
    let servers = [
        ("a VM", None, None),
        ("physical", Some(true), None),
        ("physical 2008 R2", Some(true), Some("Windows Server 2008 R2")),
    ];
    let mut text = String::new();
    for (server, physical, os) in servers {
        for (what, home) in &homes {
            for choice in [LocationChoice::Auto, LocationChoice::Original, LocationChoice::Alternate] {
                let mut case = Case::at(FailedOver);
                case.spec.location = choice;
                case.facts.on_premises = home.clone();
                change_item(&mut case.facts, |item| {
                    item.physical = physical;
                    item.os_name = os.map(str::to_owned);
                });
                let decided = match location::decide(&case.machine()) {
                    Ok(location) => format!("{:?}: {}", location.decided, location.reason),
                    Err(refusal) => format!("refused: {}", refusal.sentence()),
                };
                writeln!(text, "{server}, {what}, {choice:?}: {decided}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_vm_that_the_vault_still_sees_is_not_gone_until_a_person_says_so() {
    let mut case = Case::at(FailedOver);
    case.facts.on_premises = Fact::seen(OnPremisesVm::NotFound, at(0));
    change_item(&mut case.facts, |item| item.home_deleted = Some(false));
    let refused = location::decide(&case.machine()).unwrap_err().sentence();
    assert!(refused.starts_with("The vault says that the original VM exists"), "{refused}");
    assert!(refused.contains("read on the VM's folder") && refused.contains("spec.location: Alternate"), "{refused}");
    assert_eq!(case.outcome("LocationPossible").unwrap().result, CheckResult::Failed);

    let decided = |case: &Case| location::decide(&case.machine()).map(|location| location.decided);
    case.spec.location = LocationChoice::Alternate;
    assert_eq!(decided(&case), Ok(DecidedLocation::Alternate));
    // The appliance's next discovery, and a provider that does not tell.
    case.spec.location = LocationChoice::Auto;
    for deleted in [Some(true), None] {
        change_item(&mut case.facts, |item| item.home_deleted = deleted);
        assert_eq!(decided(&case), Ok(DecidedLocation::Alternate));
    }
}

#[test]
fn a_template_with_the_machines_uuid_is_neither_there_nor_gone() {
    let identity = HomeIdentity { instance_uuid: Some(UUID.to_owned()), ..HomeIdentity::default() };
    let template = VirtualMachine { template: true, ..home_vm(FailedOver) };
    assert!(matches!(identity.find([&template].into_iter()), OnPremisesVm::Ambiguous(_)));
    assert!(matches!(identity.find([&template, &home_vm(FailedOver)].into_iter()), OnPremisesVm::Found(_)));
}

/// Two more targets: one with fewer disks, one that does not work.
fn three_targets(case: &mut Case) {
    change_site(&mut case.facts, |site| {
        let mut more = site.targets[0].clone();
        site.targets[0].disks_attached = 10;
        more.target.id = "appliance-2".to_owned();
        more.target.name = "appliance02".to_owned();
        more.disks_attached = 4;
        let mut ill = more.clone();
        ill.target.id = "appliance-3".to_owned();
        ill.target.name = "appliance03".to_owned();
        ill.target.health = Health::Critical;
        ill.disks_attached = 0;
        site.targets.extend([more, ill]);
    });
}

fn target(case: &Case) -> Result<(String, String), String> {
    let machine = case.machine();
    let chosen = placement::status(&machine, &placement::choose(&machine));
    chosen.map(|target| (target.appliance, target.reason)).map_err(|refusal| refusal.sentence())
}

#[test]
fn the_fittest_target_is_chosen_and_the_reason_recorded() {
    let mut case = Case::at(FailedOver);
    assert_eq!(target(&case), Ok(("appliance01".to_owned(), "The only one of the fabric.".to_owned())));
    three_targets(&mut case);
    assert_eq!(
        target(&case),
        Ok(("appliance02".to_owned(), "Chosen of 3: the fittest, with 4 disks attached.".to_owned()))
    );
    let member = GroupMember { target_id: Some("appliance-1".to_owned()), ..GroupMember::default() };
    case.facts.group = Fact::seen(vec![member], at(0));
    assert_eq!(
        target(&case),
        Ok(("appliance01".to_owned(), "The one that the machine's consistency group uses.".to_owned()))
    );
    case.facts.appliance = Fact::seen(Some("appliance03".to_owned()), at(0));
    assert_eq!(target(&case), Ok(("appliance03".to_owned(), "Declared by spec.masterTargetRef.".to_owned())));
}

#[test]
fn what_is_declared_and_does_not_exist_is_refused_with_the_nearest_name() {
    let mut case = Case::at(FailedOver);
    case.facts.appliance = Fact::seen(Some("aplliance01".to_owned()), at(0));
    insta::assert_snapshot!(target(&case).unwrap_err(), @r#"spec.masterTargetRef: there is no appliance or master target of the machine's fabric "aplliance01"; there is appliance01. Did you mean "appliance01"?"#);
    case.facts.appliance = Fact::seen(None, at(0));
    case.spec.datastore = Some("datastor1".to_owned());
    insta::assert_snapshot!(target(&case).unwrap_err(), @r#"spec.datastore: there is no datastore in vCenter "datastor1"; there is datastore1. Did you mean "datastore1"?"#);
    case.spec.datastore = Some("attic".to_owned());
    assert!(target(&case).unwrap_err().ends_with("Name one that exists, or remove spec.datastore."));
}

#[test]
fn a_new_vm_goes_to_the_roomiest_vmfs_datastore_that_the_target_reaches() {
    let mut case = Case::at(FailedOver);
    case.facts.on_premises = Fact::seen(OnPremisesVm::NotFound, at(0));
    change_item(&mut case.facts, |item| item.datastores = vec!["gone".to_owned()]);
    change_site(&mut case.facts, |site| {
        let like = |name: &str, kind: &str, free: u64| Datastore {
            name: name.to_owned(),
            kind: Some(kind.to_owned()),
            free_bytes: Some(free),
            ..(*site.datastores[0]).clone()
        };
        let more = [like("roomy", "VMFS", 1 << 43), like("nfs", "NFS", 1 << 45), like("far", "VMFS", 1 << 45)];
        site.datastores.extend(more.map(Arc::new));
    });
    change_targets(&mut case.facts, |target| target.target.datastores.extend(["roomy".to_owned(), "nfs".to_owned()]));
    let machine = case.machine();
    let placement = placement::choose(&machine);
    assert_eq!(placement.datastore.as_deref(), Ok("roomy"));
    assert_eq!(placement.location.unwrap().decided, DecidedLocation::Alternate);
}

/// What is called in this world.
fn called(case: &Case) -> Action {
    let claimed = Some(claim(failback::api::DesiredPhase::Protected));
    let before = status(case.stage, claimed);
    let mut decision = decide_with(&case.spec, &before, &case.facts, at(0));
    if decision.next == Next::Again {
        decision = decide_with(&case.spec, &decision.status, &case.facts, at(0));
    }
    match decision.next {
        Next::Act(guarded, _) => guarded.action,
        other @ (Next::Again | Next::Wait(..) | Next::Done) => panic!("it does not act: {other:?}"),
    }
}

#[test]
fn a_classic_machine_is_reprotected_failed_back_and_protected() {
    let reprotect = called(&Case::classic(FailedOver));
    let with = ReprotectWith::MasterTarget {
        process_server_id: "ps-1".to_owned(),
        retention_drive: "/mnt/retention".to_owned(),
        failback_policy_id: "/policies/daily-failback".to_owned(),
        run_as_account_id: Some("2".to_owned()),
        disks: None,
    };
    let expected = Action::Reprotect { target_id: "mt-1".to_owned(), datastore: "datastore1".to_owned(), with };
    assert_eq!(reprotect, expected);
    assert!(matches!(called(&Case::classic(ReadyToFailBack)), Action::FailBack { point: RecoveryPoint::Latest, .. }));
    let Action::Protect { process_server_id, policy_id, run_as_account_id, .. } =
        called(&Case::classic(Stage::HomeCommitted))
    else {
        panic!("another action")
    };
    assert_eq!((process_server_id.as_str(), policy_id.as_str()), ("ps-1", "/policies/daily"));
    assert_eq!(run_as_account_id.as_deref(), Some("2"));
}

fn chosen(case: &Case) -> Result<(RecoveryPoint, String), String> {
    let choice = points::choose(&case.machine()).map_err(|refusal| refusal.sentence())?;
    Ok((choice.point, choice.status.message))
}

#[test]
fn recovery_points_and_what_they_lose() {
    let mut case = Case::classic(ReadyToFailBack);
    let mut text = String::new();
    let mut tell = |what: &str, case: &Case| writeln!(text, "{what}: {:?}", chosen(case)).unwrap();
    tell("latest", &case);
    case.spec.recovery_point = RecoveryPointChoice::LatestAppConsistent;
    tell("app-consistent, no point", &case);
    let own = vec![
        point("/points/4", at(-5), false, false),
        point("/points/3", at(-20), true, false),
        point("/points/2", at(-40), true, true),
        point("/points/1", at(-100), true, true),
    ];
    case.facts.recovery_points = Fact::seen(own, at(0));
    tell("app-consistent", &case);
    change_item(&mut case.facts, |item| item.group = Some("tier".to_owned()));
    let theirs = vec![point("/others/2", at(-60), true, true), point("/others/1", at(-100), true, true)];
    let member =
        |points| GroupMember { machine: "web-02".to_owned(), recovery_points: points, ..GroupMember::default() };
    case.facts.group = Fact::seen(vec![member(Fact::seen(theirs, at(0)))], at(0));
    tell("app-consistent, in a group", &case);
    case.facts.group = Fact::seen(vec![member(Fact::seen(Vec::new(), at(0)))], at(0));
    tell("app-consistent, nothing in common", &case);
    case.facts.group = Fact::seen(vec![member(Fact::unknown("not read"))], at(0));
    tell("app-consistent, a member is unknown", &case);
    case.spec.recovery_point = RecoveryPointChoice::Custom;
    case.spec.recovery_point_id = Some("/points/2".to_owned());
    tell("custom", &case);
    case.spec.recovery_point_id = Some("/points/9".to_owned());
    tell("custom, no such point", &case);
    let mut modern = Case::at(ReadyToFailBack);
    modern.spec.recovery_point = RecoveryPointChoice::LatestAppConsistent;
    tell("modernized, app-consistent", &modern);
    modern.spec.recovery_point = RecoveryPointChoice::Custom;
    tell("modernized, custom", &modern);
    insta::assert_snapshot!(text);
}

#[test]
fn the_point_of_a_failback_that_was_begun_is_kept_as_its_result() {
    let mut case = Case::classic(ReadyToFailBack);
    case.spec.recovery_point = RecoveryPointChoice::LatestAppConsistent;
    case.facts.recovery_points = Fact::seen(vec![point("/points/1", at(-30), true, false)], at(0));
    let before = points::standing(&case.machine()).unwrap();
    assert_eq!(before.loss_seconds, Some(1800));
    let status = failback::api::ReplicatedItemStatus { recovery_point: Some(before.clone()), ..case.status.clone() };
    let home = Case { status, facts: classic(Stage::FailedBack, at(90)), stage: Stage::FailedBack, ..case };
    assert_eq!(points::standing(&home.machine()), Some(before));
}

#[test]
fn a_point_later_than_it_was_seen_has_no_time_to_count_from() {
    let mut case = Case { facts: classic(ReadyToFailBack, at(0)), ..Case::at(ReadyToFailBack) };
    case.spec.recovery_point = RecoveryPointChoice::LatestAppConsistent;
    let mut lost = |minute: i64| {
        case.facts.recovery_points = Fact::seen(vec![point("/points/1", at(minute), true, false)], at(0));
        let status = points::choose(&case.machine()).unwrap().status;
        (status.loss_seconds, status.message)
    };
    assert_eq!(lost(-30).0, Some(1800));
    // Two clocks are never quite the same.
    assert_eq!(lost(4).0, Some(0));
    let (seconds, message) = lost(300);
    assert_eq!(seconds, None);
    assert!(message.ends_with("how much is lost is not known."), "{message}");
}
