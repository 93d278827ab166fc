//! What a plan waives, by name and with a reason.

use failback::{
    api::{CheckResult, Claim, ClaimWaiver, DesiredPhase, LocationChoice},
    core::{
        action::Verb,
        checks::{CHECKS, blocking},
        decide::events,
        observed::{AzureVm, Fact, Health},
        stage::Stage,
    },
};

use crate::{
    Case,
    support::{at, change_item, change_targets, claim, decide_on, status},
};

fn waive(check: &str) -> Option<Claim> {
    let waiver = ClaimWaiver { check: check.to_owned(), reason: "CHG0042: snapshots are merged tonight.".to_owned() };
    Some(Claim { waivers: vec![waiver], ..claim(DesiredPhase::Protected) })
}

fn with_snapshots(case: &mut Case) {
    change_targets(&mut case.facts, |target| {
        let Fact::Seen { value: failback::core::observed::OnPremisesVm::Found(vm), .. } = &mut target.vm else {
            panic!("no VM")
        };
        vm.snapshots = Some(1);
    });
}

#[test]
fn a_waived_check_gates_nothing_and_is_shown_with_the_reason() {
    let mut case = Case::at(Stage::FailedOver);
    with_snapshots(&mut case);
    assert_eq!(blocking(&case.outcomes(), Verb::Reprotect).len(), 1);
    case.status.claim = waive("MasterTargetNoSnapshots");
    assert!(blocking(&case.outcomes(), Verb::Reprotect).is_empty());

    let before = status(Stage::FailedOver, waive("MasterTargetNoSnapshots"));
    let after = decide_on(&before, &case.facts, at(0)).status;
    let row = after.checks.iter().find(|row| row.name == "MasterTargetNoSnapshots").unwrap();
    assert_eq!(
        (row.result, row.waived.as_deref()),
        (CheckResult::Failed, Some("CHG0042: snapshots are merged tonight."))
    );
    let told: Vec<_> =
        events::of_item(&before, &after).into_iter().filter(|event| event.reason == "CheckWaived").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(events::of_item(&after, &after).is_empty(), "it is told once");
}

#[test]
fn what_must_never_be_waived_is_not_and_that_is_said() {
    let mut case = Case::at(Stage::FailedOver);
    case.facts.azure_vm = Fact::seen(AzureVm::Absent, at(0));
    case.status.claim = waive("AzureVmPresent");
    let outcome = case.outcome("AzureVmPresent").unwrap();
    assert_eq!(outcome.waived, None);
    assert!(outcome.message.contains("cannot be waived"), "{outcome:?}");
    assert!(blocking(&case.outcomes(), Verb::Reprotect).iter().any(|outcome| outcome.check.name == "AzureVmPresent"));
}

#[test]
fn the_gates_of_the_commit_that_keep_two_copies_apart_cannot_be_waived() {
    let fixed: Vec<_> = CHECKS.iter().filter(|check| !check.waivable).map(|check| check.name).collect();
    for check in ["NotMigrated", "TargetIsVMware", "AzureVmStopped", "OnPremisesVmRunning", "FailbackSucceeded"] {
        assert!(fixed.contains(&check), "{check}");
    }
    for check in
        ["LocationPossible", "ReprotectComplete", "RecoveryPointAvailable", "AzureVmPresent", "OriginalVCenter"]
    {
        assert!(fixed.contains(&check), "{check}");
    }
}

#[test]
fn a_demanded_location_that_is_refused_is_its_own_check_and_no_waiver_of_another_lets_the_machine_start() {
    let mut case = Case::at(Stage::FailedOver);
    case.spec.location = LocationChoice::Alternate;
    for waived in ["DatastoreReachable", "LocationPossible"] {
        case.status.claim = waive(waived);
        let outcomes = case.outcomes();
        let blocking: Vec<_> = blocking(&outcomes, Verb::Reprotect).into_iter().map(|o| o.check.name).collect();
        assert_eq!(blocking, ["LocationPossible"], "waived: {waived}");
    }
    let told = case.outcome("LocationPossible").unwrap();
    assert!(told.message.starts_with("spec.location: Alternate is not possible"), "{told:?}");
    assert!(told.message.ends_with("cannot be waived."), "{told:?}");
}

#[test]
fn a_warning_that_cannot_be_mended_towards_vmware_can_be_waived() {
    let mut case = Case::at(Stage::ReadyToFailBack);
    for health in [Health::Warning, Health::Unclear("None".to_owned())] {
        change_item(&mut case.facts, |item| item.health = health);
        case.status.claim = waive("AgentRegistered");
        let outcomes = case.outcomes();
        let names: Vec<_> = blocking(&outcomes, Verb::FailBack).into_iter().map(|o| o.check.name).collect();
        assert_eq!(names, ["ReplicationHealthy"]);
        case.status.claim = waive("ReplicationHealthy");
        assert!(blocking(&case.outcomes(), Verb::FailBack).is_empty());
    }
    change_item(&mut case.facts, |item| item.health = Health::Critical);
    assert_eq!(blocking(&case.outcomes(), Verb::FailBack).len(), 1);
}
