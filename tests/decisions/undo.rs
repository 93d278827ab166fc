//! Failbacks that are undone, or not made: beside a deletion, beside failing probes, and what they hold up.

use failback::{
    api::{ApprovalStep, Claim, DesiredPhase, OperationOutcome, VerificationSpec},
    core::{
        action::Verb,
        conditions,
        decide::Next,
        facts::ItemFacts,
        observed::{AzureVm, Fact, Operation},
        probes::{ProbeFact, ProbeSeen},
        stage::Stage,
        waiting::WaitingOn,
    },
};
use jiff::Timestamp;
use serde_json::json;

use crate::support::{
    at, change_item, claim, decide_with, facts, only_to_be_undone, plans::Case, record, spec, status,
};

fn ready(case: &mut Case) -> (String, String) {
    case.pass();
    let ready = conditions::find(&case.status.conditions, "Ready").unwrap();
    (ready.reason.clone(), ready.message.clone())
}

fn undo(case: &Case, name: &str) -> Option<String> {
    case.items[name].claim.as_ref().unwrap().cancel.clone()
}

fn up_to(case: &Case, name: &str) -> DesiredPhase {
    case.items[name].claim.as_ref().unwrap().up_to
}

fn held_by(case: &Case, name: &str) -> String {
    case.items[name].claim.as_ref().unwrap().held_by.clone()
}

/// A machine is looked at, at a stage and with this difference.
fn see(case: &mut Case, name: &str, stage: Stage, change: impl FnOnce(&mut ItemFacts)) {
    let mut seen = facts(stage, at(0));
    change(&mut seen);
    let status = decide_with(&spec(), &case.items[name], &seen, at(0)).status;
    case.items.insert(name.to_owned(), status);
}

/// Its probes say no.
fn fail_probes(case: &mut Case, name: &str) {
    let item = case.items.get_mut(name).unwrap();
    let verified = item.conditions.iter_mut().find(|condition| condition.type_ == "Verified").unwrap();
    (verified.status, verified.reason) = ("False".to_owned(), "ProbesFailed".to_owned());
    verified.message = "web: no answer".to_owned();
}

#[test]
fn a_deleted_plan_undoes_what_a_person_names_and_commits_the_rest() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack), ("b", Stage::FailedBack)]]);
    case.spec.cancel = serde_json::from_value(json!([{ "items": ["a"], "reason": "It stays." }])).unwrap();
    case.spec.suspend = true;
    case.pass();
    case.spec.suspend = false;
    case.deleting = true;
    let (reason, message) = ready(&mut case);
    assert_eq!(reason, "DeletionBlocked", "{message}");
    assert!(
        message.contains("waits for b: each") && message.ends_with("Of 1 more the failback is undone."),
        "{message}"
    );
    assert_eq!((undo(&case, "a").as_deref(), undo(&case, "b")), (Some("It stays."), None));
    assert!(case.permits("a", Verb::Cancel).is_ok(), "it needs no approval");
    assert!(case.permits("b", Verb::Cancel).is_err() && case.permits("b", Verb::Commit).is_err());

    case.approve(ApprovalStep::Commit, "ann");
    assert_eq!(ready(&mut case).0, "CommitApproved");
    assert!(up_to(&case, "a") <= DesiredPhase::FailedBack && up_to(&case, "b") == DesiredPhase::Committed);
    assert!(case.permits("a", Verb::Cancel).is_ok() && case.permits("b", Verb::Commit).is_ok());
    case.move_to("b", Stage::HomeCommitted);
    let (reason, message) = ready(&mut case);
    assert_eq!(reason, "Cancelling");
    assert!(message.contains("is undone: a.") && message.contains("spec.cancel"), "{message}");

    case.spec.suspend = true;
    let (reason, message) = ready(&mut case);
    assert_eq!((reason.as_str(), undo(&case, "a")), ("DeletionBlocked", None), "what would be refused is not tried");
    assert!(message.contains("set spec.suspend to false") && message.contains("abandon"), "{message}");
    assert!(case.permits("a", Verb::Cancel).is_err());
    case.spec.suspend = false;
    // Taken back, it is committed as the others.
    let mut kept = case.clone();
    kept.spec.cancel.clear();
    assert_eq!(ready(&mut kept).0, "CommitApproved");
    assert!(kept.permits("a", Verb::Commit).is_ok());
    case.move_to("a", Stage::ReadyToFailBack);
    assert!(case.pass().release);
}

#[test]
fn a_deleted_plan_whose_undoing_needs_a_person_says_so() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack)]]);
    case.pass();
    case.spec.cancel = serde_json::from_value(json!([{ "reason": "It stays." }])).unwrap();
    case.deleting = true;
    case.pass();
    see(&mut case, "a", Stage::FailedBack, |seen| change_item(seen, |item| item.allowed = vec![Operation::Commit]));
    let (reason, message) = ready(&mut case);
    assert_eq!(reason, "DeletionBlocked");
    assert!(message.contains("a: The failback cannot be undone") && message.contains("spec.cancel"), "{message}");
}

/// What can only be undone is not to be committed, whatever was approved.
#[test]
fn a_deleted_plan_with_a_failback_that_did_not_complete_says_what_can_be_done() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack)]]);
    case.pass();
    case.deleting = true;
    case.approve(ApprovalStep::Commit, "ann");
    assert_eq!(ready(&mut case).0, "CommitApproved");
    see(&mut case, "a", Stage::FailedBack, only_to_be_undone);
    let (reason, message) = ready(&mut case);
    assert_eq!(reason, "DeletionBlocked");
    assert!(message.contains("spec.cancel") && message.contains("a: The failback did not complete"), "{message}");
}

#[test]
fn a_deleted_plan_stays_until_what_it_undid_is_seen_running() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack)]]);
    case.spec.cancel = serde_json::from_value(json!([{ "reason": "It stays." }])).unwrap();
    case.pass();
    case.deleting = true;
    case.move_to("a", Stage::ReadyToFailBack);
    let item = case.items.get_mut("a").unwrap();
    item.operation = Some(record(Verb::Cancel, OperationOutcome::Succeeded, at(-20)));
    see(&mut case, "a", Stage::ReadyToFailBack, |seen| seen.azure_vm = Fact::seen(AzureVm::Absent, at(0)));
    assert!(!case.pass().release);
    assert!(ready(&mut case).1.contains("a: The Azure VM is not in its resource group"), "{:?}", ready(&mut case));
    see(&mut case, "a", Stage::ReadyToFailBack, |_| ());
    assert!(case.pass().release);
}

/// A failback that others made since, and that did not come to its end, is theirs to undo.
#[test]
fn an_incomplete_failback_of_others_is_not_undone_without_being_asked() {
    let mut case = undone();
    see(&mut case, "a", Stage::FailedBack, only_to_be_undone);
    case.pass();
    assert_eq!(undo(&case, "a"), None);
    assert!(case.permits("a", Verb::Cancel).is_err());
}

#[test]
fn a_deleted_plan_begins_no_undoing_by_itself_and_ends_one_that_it_began() {
    let begun = || {
        let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack)]]);
        case.spec.commit =
            serde_json::from_value(json!({ "onProbeFailure": "Cancel", "soakSeconds": 604_800 })).unwrap();
        case.pass();
        case
    };
    let mut case = begun();
    case.deleting = true;
    fail_probes(&mut case, "a");
    assert_eq!(ready(&mut case).0, "DeletionBlocked");
    assert!(case.status.cancelled.is_empty() && undo(&case, "a").is_none() && case.status.issues.is_empty());
    assert!(case.permits("a", Verb::Cancel).is_err());

    let mut case = begun();
    fail_probes(&mut case, "a");
    case.pass();
    case.deleting = true;
    assert_eq!(ready(&mut case).0, "Cancelling");
    assert!(undo(&case, "a").is_some() && case.permits("a", Verb::Cancel).is_ok());
    // As the message says, another token keeps it at home.
    case.spec.retry_token = "again".to_owned();
    assert_eq!(ready(&mut case).0, "DeletionBlocked");
    assert!(undo(&case, "a").is_none());
}

/// A probe after looks that were all alike, the last of them at this time.
fn probed(saw: impl Fn() -> ProbeSeen, now: Timestamp) -> (failback::api::Probe, ProbeFact) {
    let probe: failback::api::Probe = serde_json::from_value(json!({ "name": "web", "tcp": { "port": 443 } })).unwrap();
    let looks = (0..10).fold(ProbeFact::before_first(&probe), |fact, _| fact.after(&probe, saw(), now));
    (probe, looks)
}

#[test]
fn failing_probes_are_told_whatever_else_fails() {
    let mut declared = spec();
    let (probe, failed) = probed(|| ProbeSeen::Bad("refused".to_owned()), at(0));
    declared.verification = Some(VerificationSpec { probes: vec![probe] });
    let mut seen = facts(Stage::FailedBack, at(0));
    seen.locks = Fact::seen(vec!["keep".to_owned()], at(0));
    let told = |seen: &ItemFacts| {
        let decided =
            decide_with(&declared, &status(Stage::FailedBack, Some(claim(DesiredPhase::Committed))), seen, at(0));
        conditions::find(&decided.status.conditions, "Verified").unwrap().reason.clone()
    };
    assert_eq!(told(&seen), "ChecksFailed", "no probe has looked");
    seen.probes = Fact::seen(vec![failed], at(0));
    assert_eq!(told(&seen), "ProbesFailed");
}

#[test]
fn the_soak_begins_anew_after_a_probe_that_failed_between_two_records() {
    let mut declared = spec();
    let (probe, passed) = probed(|| ProbeSeen::Good("open".to_owned()), at(-1));
    declared.verification = Some(VerificationSpec { probes: vec![probe] });
    // Recorded as verified an hour ago.
    let before = status(Stage::FailedBack, Some(Claim { soak_seconds: 600, ..claim(DesiredPhase::Committed) }));
    let mut seen = facts(Stage::FailedBack, at(0));
    let next = |seen: &ItemFacts| decide_with(&declared, &before, seen, at(0)).next;
    seen.probes = Fact::seen(vec![ProbeFact { since: Some(at(-20)), ..passed.clone() }], at(0));
    assert!(matches!(next(&seen), Next::Act(..)));
    seen.probes = Fact::seen(vec![passed], at(0));
    let Next::Wait(WaitingOn::Soak { until }, _) = next(&seen) else { panic!("{:?}", next(&seen)) };
    assert_eq!(until, at(9));
}

/// Two machines of which the first was failed back and undone, once it is not asked for any more.
fn undone() -> Case {
    let mut case = Case::new("FailedBack", &[&[("a", Stage::ReadyToFailBack), ("b", Stage::ReadyToFailBack)]]);
    case.spec.max_concurrent = Some(1);
    let done = |verb, minute| record(verb, OperationOutcome::Succeeded, at(minute));
    case.items.get_mut("a").unwrap().history = vec![done(Verb::Cancel, -30), done(Verb::FailBack, -60)];
    case
}

#[test]
fn one_that_was_undone_and_not_asked_for_again_holds_no_place() {
    let mut case = undone();
    case.pass();
    assert!(up_to(&case, "a") <= DesiredPhase::Reprotected && held_by(&case, "a") == "Cancelled");
    assert_eq!(up_to(&case, "b"), DesiredPhase::FailedBack);
    assert!(case.permits("a", Verb::FailBack).is_err());
    // One that was let go on before gives its place back.
    let mut case = undone();
    case.items.get_mut("a").unwrap().claim = Some(claim(DesiredPhase::FailedBack));
    case.limits.calls_per_vault = 1;
    for _ in 0..2 {
        case.pass();
    }
    assert_eq!((up_to(&case, "a"), up_to(&case, "b")), (DesiredPhase::Reprotected, DesiredPhase::FailedBack));
    case.spec.retry_token = "again".to_owned();
    case.move_to("b", Stage::FailedBack);
    case.pass();
    assert_eq!(up_to(&case, "a"), DesiredPhase::FailedBack, "a person asks for it again");
    // What others failed back since is not undone for it.
    let mut case = undone();
    case.items.get_mut("a").unwrap().claim = Some(claim(DesiredPhase::Reprotected));
    let history = case.items["a"].history.clone();
    case.move_to("a", Stage::FailedBack);
    case.items.get_mut("a").unwrap().history = history;
    case.pass();
    assert_eq!(undo(&case, "a"), None);
}

#[test]
fn waves_that_wait_for_one_that_stays_in_azure_say_how_to_go_on_without_it() {
    let mut case =
        Case::new("FailedBack", &[&[("a", Stage::FailedOver), ("b", Stage::FailedBack)], &[("c", Stage::FailedOver)]]);
    case.spec.cancel = serde_json::from_value(json!([{ "items": ["a"], "reason": "It stays." }])).unwrap();
    case.pass();
    let message = case.items["c"].claim.as_ref().unwrap().held_message.clone();
    assert_eq!(held_by(&case, "c"), "WaveNotStarted");
    assert!(message.contains("1 of 2 cannot go on: a. ") && message.contains("spec.skip"), "{message}");
    assert!(case.status.results.is_none(), "c has not come home");
    case.spec.skip = vec!["a".to_owned()];
    case.pass();
    assert_eq!(up_to(&case, "c"), DesiredPhase::Reprotected);
    case.move_to("c", Stage::FailedBack);
    case.pass();
    assert_eq!(case.status.results.as_ref().unwrap().machines, 2);
}

#[test]
fn results_are_measured_anew_when_more_machines_come_home() {
    let mut case = Case::new("FailedBack", &[&[("a", Stage::ReadyToFailBack), ("b", Stage::ReadyToFailBack)]]);
    case.spec.on_item_failure = failback::api::OnItemFailure::Quarantine;
    case.pass();
    case.move_to("b", Stage::FailedBack);
    let mut failed = status(Stage::ReadyToFailBack, case.items["a"].claim.clone());
    failed.operation = Some(record(Verb::FailBack, OperationOutcome::Failed, at(-60)));
    let failed = decide_with(&spec(), &failed, &facts(Stage::ReadyToFailBack, at(0)), at(0)).status;
    case.items.insert("a".to_owned(), failed);
    case.now = at(10);
    case.pass();
    let measured = |case: &Case| case.status.results.clone().map(|results| (results.machines, results.rto_seconds));
    assert_eq!((held_by(&case, "a").as_str(), measured(&case)), ("Quarantined", Some((1, 600))));
    case.spec.retry_token = "again".to_owned();
    case.now = at(20);
    case.pass();
    assert_eq!(measured(&case), Some((1, 600)), "until it has come home, too");
    case.move_to("a", Stage::FailedBack);
    case.now = at(30);
    case.pass();
    assert_eq!(measured(&case), Some((2, 1800)));
    // Fewer, or the same ones later, change nothing.
    case.spec.cancel = serde_json::from_value(json!([{ "items": ["a"], "reason": "It stays." }])).unwrap();
    case.now = at(40);
    case.pass();
    case.spec.cancel.clear();
    case.pass();
    assert_eq!(measured(&case), Some((2, 1800)));
}
