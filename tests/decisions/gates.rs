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
