//! Who takes the places that machines share, and who gives them back.

use std::collections::BTreeMap;

use failback::{
    api::{ApprovalStep, CheckResult, CheckStatus, Claim, DesiredPhase, ItemPhase, ReplicatedItemStatus},
    core::{
        action::Verb, conditions, decide::Next, facts::ItemFacts, jobs::JobsSeen, stage::Stage, waiting::WaitingOn,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::support::{at, change_item, change_targets, claim, decide_on, facts, plans::Case, status};

const TWO: [(&str, Stage); 2] = [("a", Stage::FailedOver), ("b", Stage::FailedOver)];

fn held(case: &Case, name: &str) -> (DesiredPhase, String) {
    let claim = case.items[name].claim.as_ref().unwrap();
    (claim.up_to, claim.held_by.clone())
}

fn message(case: &Case, name: &str) -> String {
    case.items[name].claim.as_ref().unwrap().held_message.clone()
}

fn at_rest(by: &str) -> (DesiredPhase, String) {
    (DesiredPhase::Assessed, by.to_owned())
}

fn goes(case: &Case, name: &str) -> bool {
    case.items[name].claim.as_ref().is_some_and(|claim| claim.up_to == DesiredPhase::Reprotected)
}

/// A check that gates steps comes out so.
fn judge(status: &mut ReplicatedItemStatus, name: &str, result: CheckResult) {
    let row = CheckStatus {
        name: name.to_owned(),
        result,
        message: "It is ill.".to_owned(),
        remedy: "Heal it.".to_owned(),
        waived: None,
        gates: vec!["Reprotect".to_owned(), "FailBack".to_owned()],
        observed_at: Time(at(0)),
    };
    status.checks.retain(|check| check.name != name);
    status.checks.push(row);
}

/// A machine of another plan that replicates through the same master target.
fn attached(disks: i32) -> ReplicatedItemStatus {
    ReplicatedItemStatus { disks: Some(disks), ..status(Stage::SyncingToVMware, None) }
}

fn all_have(case: &mut Case, disks: i32) {
    case.items.values_mut().for_each(|item| item.disks = Some(disks));
}

#[test]
fn one_whose_checks_forbid_its_step_holds_no_place_and_runs_no_hook() {
    let mut case = Case::new("Reprotected", &[&TWO]);
    case.spec.waves[0].max_concurrent = 1;
    case.spec.max_concurrent = Some(1);
    case.limits.calls_per_vault = 1;
    case.spec.hooks = serde_json::from_value(json!([{
        "name": "quiesce", "when": "Before", "step": "Reprotect", "scope": "Item",
        "jobTemplate": { "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "x" }] } } } },
    }]))
    .unwrap();
    case.jobs = JobsSeen::Listed { jobs: BTreeMap::new(), refused: BTreeMap::new() };
    judge(case.items.get_mut("a").unwrap(), "MasterTargetHealthy", CheckResult::Failed);
    let decision = case.pass();
    let ran: Vec<_> = decision.runs.iter().map(|run| run.item.clone().unwrap_or_default()).collect();
    assert_eq!(ran, ["b"], "the application of a is not stopped for a step that cannot start");
    assert_eq!(held(&case, "a"), at_rest("WaitingForChecks"));
    assert_eq!(message(&case, "a"), "Its checks forbid the next step. MasterTargetHealthy: It is ill. Heal it.");

    // One that was let start gives its places back, to this plan and to others.
    let mut case = Case::new("Reprotected", &[&TWO]);
    case.spec.max_concurrent = Some(1);
    case.pass();
    assert!(goes(&case, "a") && !goes(&case, "b"));
    judge(case.items.get_mut("a").unwrap(), "MasterTargetHealthy", CheckResult::Unknown);
    let mut other = Case::new("Reprotected", &[&[("c", Stage::FailedOver)]]);
    other.limits.calls_per_vault = 1;
    let theirs = Claim { plan_uid: "older".to_owned(), ..case.items["a"].claim.clone().unwrap() };
    other.others = vec![ReplicatedItemStatus { claim: Some(theirs), ..case.items["a"].clone() }];
    other.pass();
    assert!(goes(&other, "c"));
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("WaitingForChecks"));
    assert!(goes(&case, "b"));
    assert_eq!(case.status.summary.moving, 1);

    // It goes on once they pass, or are waived, and there is room; nothing else is needed.
    judge(case.items.get_mut("a").unwrap(), "MasterTargetHealthy", CheckResult::Passed);
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("ConcurrencyLimit"));
    case.move_to("b", Stage::ReadyToFailBack);
    case.pass();
    assert!(goes(&case, "a"));
    // A check of the step after says nothing about a machine under way.
    case.move_to("a", Stage::SyncingToVMware);
    judge(case.items.get_mut("a").unwrap(), "MasterTargetHealthy", CheckResult::Failed);
    case.pass();
    assert!(goes(&case, "a"));
}

#[test]
fn one_that_lacks_a_value_for_its_call_holds_no_place_until_it_has_it() {
    let mut case = Case::new("Reprotected", &[&TWO]);
    case.spec.waves[0].max_concurrent = 1;
    case.spec.max_concurrent = Some(1);
    case.limits.calls_per_vault = 1;
    let mut lacking = facts(Stage::FailedOver, at(0));
    change_item(&mut lacking, |item| item.log_storage_account_id = None);
    let look = |case: &mut Case, facts: &ItemFacts| {
        let seen = decide_on(&case.items["a"], facts, at(0)).status;
        case.items.insert("a".to_owned(), seen);
    };
    // One that was let start gives its places back.
    case.items.get_mut("a").unwrap().claim = Some(claim(DesiredPhase::Reprotected));
    for _ in 0..3 {
        look(&mut case, &lacking);
        let ready = conditions::find(&case.items["a"].conditions, "Ready").unwrap();
        assert_eq!(ready.reason, "WaitingForInput");
        assert!(ready.message.contains("spec.logStorageAccountId"), "{}", ready.message);
        case.pass();
        assert_eq!(held(&case, "a"), at_rest("WaitingForInput"));
        assert!(goes(&case, "b"));
        assert_eq!(case.status.summary.moving, 1);
    }
    let mut other = Case::new("Reprotected", &[&[("c", Stage::FailedOver)]]);
    other.limits.calls_per_vault = 1;
    let theirs = Claim { plan_uid: "older".to_owned(), ..claim(DesiredPhase::Reprotected) };
    other.others = vec![ReplicatedItemStatus { claim: Some(theirs), ..case.items["a"].clone() }];
    other.pass();
    assert!(goes(&other, "c"), "nor does it keep a place from other plans");
    // It goes on once the value is there.
    look(&mut case, &facts(Stage::FailedOver, at(0)));
    case.move_to("b", Stage::ReadyToFailBack);
    case.pass();
    assert!(goes(&case, "a"));
}

#[test]
fn disks_are_waited_for_in_line_although_the_check_on_them_fails_too() {
    let mut case = Case::new("Reprotected", &[&TWO]);
    case.others = vec![attached(50)];
    all_have(&mut case, 10);
    judge(case.items.get_mut("a").unwrap(), "MasterTargetDiskSlots", CheckResult::Failed);
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("MasterTargetFull"));
    case.others.clear();
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("WaitingForChecks"));
    assert!(goes(&case, "b"));
}

#[test]
fn a_held_machine_tells_its_checks_as_they_are_now() {
    let waits = Claim {
        held_by: "WaitingForChecks".to_owned(),
        held_message: "As they were.".to_owned(),
        ..claim(DesiredPhase::Assessed)
    };
    let before = status(Stage::FailedOver, Some(waits));
    let mut ill = facts(Stage::FailedOver, at(0));
    change_targets(&mut ill, |target| target.target.heartbeat = Some(at(-60)));
    let decision = decide_on(&before, &ill, at(0));
    let ready = conditions::find(&decision.status.conditions, "Ready").unwrap();
    assert_eq!(ready.reason, "WaitingForChecks");
    assert!(ready.message.contains("MasterTargetHealthy: "), "{}", ready.message);
    assert!(decision.in_motion());
    let healthy = decide_on(&before, &facts(Stage::FailedOver, at(0)), at(0));
    let Next::Wait(WaitingOn::Held { reason, .. }, _) = &healthy.next else { panic!("{:?}", healthy.next) };
    assert_eq!(*reason, "WaitingForChecks");
    assert!(healthy.in_motion(), "the plan will let it go at any moment");
}

#[test]
fn a_latecomer_waits_for_disks_in_every_pass() {
    let mut case = Case::new("Reprotected", &[&TWO]);
    case.spec.waves[0].items.push("c".to_owned());
    case.spec.waves[0].max_concurrent = 9;
    all_have(&mut case, 20);
    case.others = vec![attached(15)];
    case.pass();
    assert!(goes(&case, "a") && goes(&case, "b"));
    let late = ReplicatedItemStatus { disks: Some(10), ..status(Stage::FailedOver, None) };
    case.items.insert("c".to_owned(), late.clone());
    for suspended in [false, false, true, false, false] {
        case.spec.suspend = suspended;
        case.pass();
        assert_eq!(held(&case, "c").1, "MasterTargetFull", "suspended: {suspended}");
        case.move_to("a", Stage::SyncingToVMware);
        case.items.get_mut("a").unwrap().disks = Some(20);
    }
    case.others = vec![attached(10)];
    case.pass();
    assert!(goes(&case, "c"));
    // With it the wave would never fit: the others cannot be failed back without it.
    case.items.insert("c".to_owned(), ReplicatedItemStatus { disks: Some(21), ..late });
    case.pass();
    assert_eq!(held(&case, "c").1, "WaveTooLarge");
}

/// Places are counted by the id of the master target's agent; people know it by its name.
#[test]
fn a_master_target_is_told_by_its_name() {
    let mut case = Case::new("Reprotected", &[&TWO]);
    all_have(&mut case, 20);
    let target = case.items["a"].target.clone().unwrap();
    assert_ne!(target.appliance, target.appliance_id);
    case.others = vec![attached(30)];
    case.pass();
    let told = message(&case, "a");
    assert!(
        told.starts_with(&format!("The master target \"{}\" carries 60 disks at a time", target.appliance)),
        "{told}"
    );
    all_have(&mut case, 31);
    case.pass();
    let told = message(&case, "a");
    assert!(
        told.contains(&format!("62 disks for the master target \"{}\", which carries 60", target.appliance)),
        "{told}"
    );
}

#[test]
fn a_wave_that_just_fits_begins_at_once() {
    let mut case =
        Case::new("Reprotected", &[&[("a", Stage::FailedOver), ("b", Stage::FailedOver), ("c", Stage::FailedOver)]]);
    case.spec.waves[0].max_concurrent = 9;
    all_have(&mut case, 20);
    case.pass();
    assert!(["a", "b", "c"].into_iter().all(|name| goes(&case, name)), "sixty of sixty, each counted once");
}

#[test]
fn what_is_failed_back_keeps_its_disks_until_it_is_committed() {
    let mut case = Case::new("Reprotected", &[&[("a", Stage::FailedOver)]]);
    all_have(&mut case, 20);
    let home = |stage| ReplicatedItemStatus { disks: Some(45), ..status(stage, None) };
    case.others = vec![home(Stage::FailedBack)];
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("MasterTargetFull"));
    case.others[0].phase = ItemPhase::Committing;
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("MasterTargetFull"));
    case.others = vec![home(Stage::HomeCommitted)];
    case.pass();
    assert!(goes(&case, "a"));
}

#[test]
fn nobody_younger_takes_the_disks_of_a_wave_that_waits_for_them() {
    let waiting = |held_by: &str| {
        let claim = Claim {
            plan_uid: "older".to_owned(),
            wave: "data".to_owned(),
            held_by: held_by.to_owned(),
            ..claim(DesiredPhase::Assessed)
        };
        ReplicatedItemStatus { disks: Some(15), ..status(Stage::FailedOver, Some(claim)) }
    };
    let mut case = Case::new("Reprotected", &[&[("a", Stage::FailedOver)]]);
    all_have(&mut case, 5);
    case.older = vec!["older".to_owned()];
    // Twenty are free for thirty: one of both waits for another thing beside.
    case.others = vec![attached(40), waiting("MasterTargetFull"), waiting("ApprovalRequired")];
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("MasterTargetFull"));
    case.others = vec![attached(40), waiting("ApprovalRequired"), waiting("ApprovalRequired")];
    case.pass();
    assert!(goes(&case, "a"), "that wave does not wait for disks");
}

#[test]
fn a_wave_waits_for_the_master_target_of_each_of_its_machines() {
    let mut case = Case::new("Reprotected", &[&TWO]);
    let target = case.items.get_mut("b").unwrap().target.take();
    case.pass();
    assert_eq!(
        (held(&case, "a"), held(&case, "b")),
        (at_rest("WaitingForObservation"), at_rest("WaitingForObservation"))
    );
    assert_eq!(
        message(&case, "a"),
        "Wave \"wave-1\" begins once it is known through which master target b comes home."
    );
    // One that the vault does not know keeps nobody waiting; seen at last, it asks for its own disks.
    case.items.get_mut("b").unwrap().phase = ItemPhase::Unknown;
    case.pass();
    assert!(goes(&case, "a"));
    assert_eq!(held(&case, "b").1, "WaitingForObservation");
    case.items.get_mut("b").unwrap().target = target;
    case.others = vec![attached(59)];
    case.pass();
    assert_eq!(held(&case, "b").1, "MasterTargetFull");
}

#[test]
fn one_that_waits_for_its_next_attempt_leaves_the_vault_to_others() {
    let mut case = Case::new("Reprotected", &[&[("a", Stage::FailedOver)]]);
    case.limits.calls_per_vault = 1;
    let theirs = Claim { plan_uid: "older".to_owned(), ..claim(DesiredPhase::Reprotected) };
    let mut other = status(Stage::FailedOver, Some(theirs));
    case.others = vec![other.clone()];
    case.pass();
    assert_eq!(held(&case, "a"), at_rest("VaultBusy"));
    let waits = conditions::summary(false, true, false, "WaitingForRetry", "The agent has not registered yet.");
    other.conditions =
        conditions::merge(&other.conditions, waits.into_iter().chain(phases()).collect(), Some(1), at(0));
    case.others = vec![other];
    case.pass();
    assert!(goes(&case, "a"));
}

fn phases() -> Vec<conditions::Draft> {
    ["Reprotected", "FailedBack", "Committed", "Protected"]
        .map(|kind| conditions::Draft::new(kind, false, "NotReached", "-"))
        .to_vec()
}

#[test]
fn the_places_of_a_step_are_taken_while_its_hook_runs() {
    let hook = json!([{
        "name": "quiesce", "when": "Before", "step": "Reprotect", "scope": "Item", "items": ["a"],
        "jobTemplate": { "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "x" }] } } } },
    }]);
    let mut case = Case::new("Reprotected", &[&TWO]);
    case.spec.waves[0].max_concurrent = 9;
    case.spec.hooks = serde_json::from_value(hook).unwrap();
    case.jobs = JobsSeen::Listed { jobs: BTreeMap::new(), refused: BTreeMap::new() };
    case.limits.calls_per_vault = 1;
    for _ in 0..2 {
        case.pass();
        assert_eq!((held(&case, "a"), held(&case, "b")), (at_rest("HookRunning"), at_rest("VaultBusy")));
    }
}

#[test]
fn who_waits_for_others_is_told_which_of_them_cannot_go_on() {
    let mut case = Case::new("Committed", &[&[TWO[0], TWO[1], ("c", Stage::FailedOver)], &[("d", Stage::FailedOver)]]);
    case.spec.waves[0].max_concurrent = 9;
    case.pass();
    assert_eq!(message(&case, "d"), "Wave \"wave-2\" waits until all of these are verified: wave-1.");
    case.move_to("a", Stage::ReadyToFailBack);
    case.move_to("b", Stage::SyncingToVMware);
    judge(case.items.get_mut("c").unwrap(), "AzureVmRunning", CheckResult::Failed);
    case.pass();
    assert_eq!(
        message(&case, "d"),
        "Wave \"wave-2\" waits until all of these are verified: wave-1. 1 of 3 cannot go on: c."
    );
    assert_eq!(
        message(&case, "a"),
        "Wave \"wave-1\" is failed back once each of its machines has a recovery point. 1 of 3 cannot go on: c."
    );
}

#[test]
fn the_commit_of_a_deleted_plan_waits_for_the_window_too() {
    let mut case = Case::new("Protected", &[&[("a", Stage::FailedBack)]]);
    case.pass();
    let window = json!({ "start": at(60), "end": at(120), "timeZone": "Europe/Berlin" });
    case.spec.window = serde_json::from_value(window).unwrap();
    case.deleting = true;
    case.approve(ApprovalStep::Commit, "ann");
    case.pass();
    assert_eq!(held(&case, "a"), (DesiredPhase::FailedBack, "WindowClosed".to_owned()));
    assert!(case.permits("a", Verb::Commit).is_err());
    let ready = conditions::find(&case.status.conditions, "Ready").unwrap();
    assert_eq!(ready.reason, "WindowClosed");
    assert!(
        ready.message.contains("start from") && ready.message.contains("failback.dev/abandon"),
        "{}",
        ready.message
    );
    case.now = at(61);
    case.pass();
    assert_eq!(held(&case, "a").0, DesiredPhase::Committed);
    assert!(case.permits("a", Verb::Commit).is_ok());
}
