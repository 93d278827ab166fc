//! What a plan says that it waits for is what helps.

use failback::{
    api::{ApprovalStep, CheckResult, CheckStatus, DesiredPhase, ReplicatedItemStatus},
    core::{action::Verb, conditions, stage::Stage},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;

use crate::support::{at, plans::Case, status};

fn set<T: serde::de::DeserializeOwned>(field: &mut T, value: serde_json::Value) {
    *field = serde_json::from_value(value).unwrap();
}

fn ready(case: &mut Case) -> Condition {
    let status = case.pass().status;
    conditions::find(&status.conditions, "Ready").unwrap().clone()
}

fn is_stalled(case: &Case) -> bool {
    conditions::is_true(&case.status.conditions, "Stalled")
}

fn forbidden(stage: Stage, step: &str) -> ReplicatedItemStatus {
    let mut item = status(stage, None);
    item.checks.push(CheckStatus {
        name: "MasterTargetHealthy".to_owned(),
        result: CheckResult::Failed,
        message: "It is ill.".to_owned(),
        remedy: "Heal it.".to_owned(),
        waived: None,
        gates: vec![step.to_owned()],
        observed_at: Time(at(0)),
    });
    item
}

#[test]
fn a_gate_that_lies_further_on_is_not_what_is_waited_for() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::FailedOver)]]);
    set(&mut case.spec.approvals, json!([{ "step": "Commit" }]));
    for item in case.items.values_mut() {
        *item = forbidden(Stage::FailedOver, "Reprotect");
    }
    let told = ready(&mut case);
    assert_eq!(told.reason, "WaitingForChecks", "{}", told.message);
    assert!(told.message.contains("It is ill. Heal it."), "{}", told.message);

    set(&mut case.spec.window, json!({ "start": at(60), "end": at(120), "timeZone": "UTC" }));
    assert_eq!(ready(&mut case).reason, "WaitingForChecks", "nor a window that closes off a later step");

    // What stops the plan for good is not hidden behind a consent either.
    let mut large = Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::FailedOver)]]);
    set(&mut large.spec.approvals, json!([{ "step": "Commit" }]));
    large.items.values_mut().for_each(|item| item.disks = Some(40));
    assert_eq!(ready(&mut large).reason, "WaveTooLarge");
    assert!(is_stalled(&large));
}

#[test]
fn an_approval_that_lets_some_machines_go_on_is_told_before_what_holds_the_others() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::FailedBack)]]);
    set(&mut case.spec.approvals, json!([{ "step": "Commit" }]));
    case.items.insert("a".to_owned(), forbidden(Stage::FailedOver, "Reprotect"));
    assert_eq!(ready(&mut case).reason, "ApprovalRequired", "b can be committed");
    case.approve(ApprovalStep::Commit, "ann");
    case.pass();
    assert_eq!(case.items["b"].claim.as_ref().unwrap().up_to, DesiredPhase::Committed);
}

#[test]
fn a_window_that_never_opens_again_needs_a_person_whatever_the_others_wait_for() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::ReadyToFailBack)]]);
    case.spec.waves = serde_json::from_value(json!([
        { "name": "one", "items": ["a"] },
        { "name": "two", "items": ["b"], "dependsOn": [] },
    ]))
    .unwrap();
    case.items.insert("a".to_owned(), forbidden(Stage::FailedOver, "Reprotect"));
    set(&mut case.spec.window, json!({ "start": at(-60), "end": at(60), "timeZone": "UTC" }));
    case.pass();
    case.now = at(61);
    assert_eq!(ready(&mut case).reason, "WindowClosed");
    assert!(is_stalled(&case));
}

#[test]
fn a_plan_that_only_shows_what_it_would_do_keeps_no_machine_from_another() {
    let stages = [("a", Stage::FailedOver), ("b", Stage::ReadyToFailBack)];
    let mut dry = Case::new("Committed", &[&stages]);
    dry.spec.dry_run = true;
    assert_eq!(ready(&mut dry).reason, "DryRun");
    assert!(dry.items.values().all(|item| item.claim.is_none()));
    let preview = dry.status.preview.clone().unwrap();
    assert_eq!((preview.machines, preview.calls.len(), preview.blocked), (2, 3, 0), "it still shows what it would do");

    let mut invalid = Case::new("Committed", &[&stages]);
    set(&mut invalid.spec.waivers, json!([{ "check": "Nonsense", "reason": "Why not." }]));
    assert_eq!(ready(&mut invalid).reason, "InvalidSpec");
    assert!(invalid.items.values().all(|item| item.claim.is_none()));

    // What was claimed before the plan became one is given back.
    let mut later = Case::new("Committed", &[&stages]);
    later.spec.suspend = true;
    later.pass();
    assert!(later.items.values().all(|item| item.claim.is_some()), "a suspended plan is meant to go on");
    later.spec.dry_run = true;
    later.pass();
    assert!(later.items.values().all(|item| item.claim.is_none()));
}

#[test]
fn a_started_plan_keeps_its_machines_when_it_becomes_a_dry_run_or_invalid() {
    type Change = fn(&mut Case);
    let spoil: [(&str, Change); 2] = [
        ("DryRun", |case| case.spec.dry_run = true),
        ("InvalidSpec", |case| set(&mut case.spec.waivers, json!([{ "check": "Nonsense", "reason": "Why not." }]))),
    ];
    for (reason, spoil) in spoil {
        let mut case = Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::FailedBack)]]);
        case.pass();
        assert!(case.status.started_at.is_some());
        spoil(&mut case);
        assert_eq!(ready(&mut case).reason, reason);
        for (name, item) in &case.items {
            let claim = item.claim.as_ref().unwrap_or_else(|| panic!("{name} of a plan that is half-way"));
            assert_eq!((claim.held_by.as_str(), claim.up_to <= DesiredPhase::FailedBack), (reason, true));
        }
    }
}

/// A started plan to this phase of which a machine is failed back, and which is being deleted.
fn leaving(desired: &str) -> Case {
    let mut case = Case::new(desired, &[&[("a", Stage::FailedBack)]]);
    case.pass();
    assert!(case.items["a"].claim.is_some());
    case.deleting = true;
    case
}

#[test]
fn a_deleted_plan_names_all_that_its_commit_lacks_and_no_more() {
    type Spoil = fn(&mut Case);
    let nothing: Spoil = |_| ();
    let rows: [(&str, &str, Spoil, &[&str]); 5] = [
        ("Committed", "only the approval", nothing, &["run kubectl failback approve plan --step Commit"]),
        (
            "FailedBack",
            "wanted no commit",
            nothing,
            &["set spec.desiredPhase to Committed", "run kubectl failback approve plan --step Commit"],
        ),
        (
            "Committed",
            "suspended",
            |case| case.spec.suspend = true,
            &["set spec.suspend to false", "run kubectl failback approve plan --step Commit"],
        ),
        (
            "Committed",
            "dry run",
            |case| case.spec.dry_run = true,
            &["set spec.dryRun to false", "run kubectl failback approve plan --step Commit"],
        ),
        (
            "FailedBack",
            "approved in vain",
            |case| {
                case.spec.suspend = true;
                case.approve(ApprovalStep::Commit, "ann");
            },
            &["set spec.desiredPhase to Committed", "set spec.suspend to false"],
        ),
    ];
    let all = [
        "set spec.desiredPhase to Committed",
        "set spec.suspend to false",
        "set spec.dryRun to false",
        "run kubectl failback approve plan --step Commit",
    ];
    for (desired, what, spoil, helps) in rows {
        let mut case = leaving(desired);
        spoil(&mut case);
        let told = ready(&mut case);
        assert_eq!(told.reason, "DeletionBlocked", "{what}");
        for remedy in all {
            assert_eq!(told.message.contains(remedy), helps.contains(&remedy), "{what}: {remedy}: {}", told.message);
        }
        assert!(told.message.contains("failback.dev/abandon"), "{what}: {}", told.message);
        assert!(case.permits("a", Verb::Commit).is_err(), "{what}");
        // What the message names helps.
        case.spec.desired_phase = case.spec.desired_phase.max(DesiredPhase::Committed);
        (case.spec.suspend, case.spec.dry_run) = (false, false);
        if case.approvals.is_empty() {
            case.approve(ApprovalStep::Commit, "ann");
        }
        assert_eq!(ready(&mut case).reason, "CommitApproved", "{what}");
        assert_eq!(case.items["a"].claim.as_ref().unwrap().up_to, DesiredPhase::Committed, "{what}");
        assert!(case.permits("a", Verb::Commit).is_ok(), "{what}");
    }
}
