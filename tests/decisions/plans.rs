//! What plans let their machines do.

use failback::{
    api::{ApprovalStep, Claim, DesiredPhase, FailbackApprovalSpec, OperationOutcome, ReplicatedItemStatus},
    core::{
        action::Verb,
        conditions,
        decide::plan::{Asked, may_still, why_invalid},
        stage::Stage,
    },
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::support::{PLAN, at, claim, decide_on, facts, plans::Case, record, status};

const THREE: [(&str, Stage); 3] = [("a", Stage::FailedOver), ("b", Stage::FailedOver), ("c", Stage::FailedOver)];

/// An item that needs a person: its failback failed.
fn stalled(case: &mut Case, name: &str) {
    let mut before = status(Stage::ReadyToFailBack, Some(claim(DesiredPhase::Protected)));
    before.operation = Some(record(Verb::FailBack, OperationOutcome::Failed, at(-60)));
    case.items.insert(name.to_owned(), decide_on(&before, &facts(Stage::ReadyToFailBack, at(0)), at(0)).status);
}

#[test]
fn desired_phase_is_raised_step_by_step() {
    let mut told = Vec::new();
    let mut case = Case::new("Assessed", &[&[("a", Stage::FailedOver)]]);
    told.push(case.tell("nothing is claimed"));
    let ways = [
        (DesiredPhase::Reprotected, Stage::SyncingToVMware, Stage::ReadyToFailBack),
        (DesiredPhase::FailedBack, Stage::InTransition, Stage::FailedBack),
        (DesiredPhase::Committed, Stage::InTransition, Stage::HomeCommitted),
        (DesiredPhase::Protected, Stage::SyncingToAzure, Stage::ProtectedToAzure),
    ];
    for (desired, between, arrives) in ways {
        case.spec.desired_phase = desired;
        told.push(case.tell(&format!("{} is wanted", desired.as_str())));
        case.move_to("a", between);
        told.push(case.tell("on its way"));
        case.move_to("a", arrives);
        told.push(case.tell("arrived"));
    }
    case.move_to("a", Stage::FailedOver);
    told.push(case.tell("failed over once more: a completed plan does nothing"));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn waves_and_concurrency() {
    let mut told = Vec::new();
    let mut case = Case::new("Committed", &[&THREE, &[("d", Stage::FailedOver)]]);
    case.spec.waves[0].max_concurrent = 2;
    told.push(case.tell("two of the first wave start"));
    case.move_to("a", Stage::ReadyToFailBack);
    told.push(case.tell("a is half-way: its place is taken"));
    case.move_to("a", Stage::HomeCommitted);
    told.push(case.tell("a is done: c starts"));
    case.move_to("b", Stage::FailedBack);
    case.move_to("c", Stage::FailedBack);
    told.push(case.tell("b and c are verified at home, though not committed: the second wave starts"));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_machine_that_needs_a_person_stops_new_starts_and_skip_lets_them_go_on() {
    let mut told = Vec::new();
    let mut case = Case::new("Protected", &[&THREE]);
    case.pass();
    case.move_to("b", Stage::SyncingToVMware);
    case.move_to("c", Stage::FailedOver);
    case.items.get_mut("c").unwrap().claim = None;
    stalled(&mut case, "a");
    told.push(case.tell("a failed: b goes on, c does not start"));
    case.spec.skip = vec!["a".to_owned()];
    told.push(case.tell("a is skipped: it is let go, c starts"));
    case.spec.skip = ["a", "b", "c"].map(str::to_owned).to_vec();
    told.push(case.tell("all are skipped"));

    let mut again = Case::new("Protected", &[&[("a", Stage::ReadyToFailBack)]]);
    stalled(&mut again, "a");
    told.push(again.tell("a alone failed"));
    again.spec.retry_token = "again".to_owned();
    told.push(again.tell("a new retry token reaches the claim"));
    assert_eq!(again.items["a"].claim.as_ref().unwrap().retry_token, "again");
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn approvals_hold_the_step_that_they_are_for() {
    let mut told = Vec::new();
    let mut case = Case::new("Protected", &[&[("a", Stage::FailedBack)]]);
    case.spec.approvals = serde_json::from_value(json!([{ "step": "Commit", "count": 2 }])).unwrap();
    told.push(case.tell("nobody has approved"));
    case.approve(ApprovalStep::Commit, "ann");
    case.approve(ApprovalStep::Commit, "ann");
    case.approve(ApprovalStep::FailBack, "bob");
    told.push(case.tell("one person twice, another one for another step"));
    type Spoil = fn(&mut FailbackApprovalSpec);
    let spoil: [(&str, Spoil); 4] = [
        ("for an earlier plan of that name", |approval| approval.plan_uid = "another".to_owned()),
        ("for the plan as it was before", |approval| approval.spec_hash = "0123456789abcdef".to_owned()),
        ("expired", |approval| approval.expires_at = Time(at(0))),
        ("by nobody else", |approval| approval.approver = "ann".to_owned()),
    ];
    for (why, spoil) in spoil {
        let mut with = case.clone();
        with.approve(ApprovalStep::Commit, "bob");
        spoil(with.approvals.last_mut().unwrap());
        let invalid =
            why_invalid(with.approvals.last().unwrap(), &Asked { uid: PLAN, spec: &with.spec, requester: None }, at(0));
        let line = invalid.map_or_else(|| "valid".to_owned(), |(reason, text)| format!("{reason}: {text}"));
        told.push(format!("{}  approval {line}\n", with.tell(&format!("bob's is {why}"))));
        let up_to = with.items["a"].claim.as_ref().unwrap().up_to;
        assert_eq!(up_to, DesiredPhase::FailedBack, "{why}");
    }
    case.approve(ApprovalStep::Commit, "bob");
    told.push(case.tell("two people"));
    case.spec.suspend = true;
    case.approvals.clear();
    told.push(case.tell("suspended, and the approvals withdrawn"));
    let approved = conditions::find(&case.status.conditions, "Approved").unwrap();
    assert_eq!(approved.status, "False", "a suspension hides no lacking approval");
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_approval_is_for_what_will_run() {
    let case = Case::new("Protected", &[&THREE]);
    let hash = failback::core::decide::plan::spec_hash(&case.spec);
    let changed = |change: fn(&mut failback::api::FailbackPlanSpec)| {
        let mut spec = case.spec.clone();
        change(&mut spec);
        failback::core::decide::plan::spec_hash(&spec) != hash
    };
    assert!(changed(|spec| spec.waves[0].items.push("d".to_owned())));
    assert!(changed(|spec| spec.waves[0].max_concurrent = 3));
    assert!(changed(|spec| spec.skip.push("a".to_owned())));
    assert!(changed(|spec| spec.commit.soak_seconds = 0));
    assert!(!changed(|spec| spec.desired_phase = DesiredPhase::Assessed));
    assert!(!changed(|spec| spec.suspend = true));
    assert!(!changed(|spec| spec.retry_token = "again".to_owned()));
}

#[test]
fn the_end_of_an_approval_is_looked_at_in_time() {
    let mut case = Case::new("Protected", &[&[("a", Stage::FailedBack)]]);
    assert_eq!(case.decide().recheck, None);
    case.approve(ApprovalStep::Commit, "ann");
    assert_eq!(case.decide().recheck, Some(at(600)));
    case.now = at(600) + SignedDuration::from_secs(1);
    assert_eq!(case.decide().recheck, None, "what has ended ends no more");
}

#[test]
fn suspension_and_deletion() {
    let mut told = Vec::new();
    let stages = [("a", Stage::FailedOver), ("b", Stage::SyncingToVMware), ("c", Stage::FailedBack)];
    let begun = || {
        let mut case = Case::new("Protected", &[&stages]);
        case.pass();
        case
    };
    let mut suspended = begun();
    suspended.spec.suspend = true;
    told.push(suspended.tell("suspended"));
    told.push(suspended.tell("suspended, a pass later"));

    let mut fresh = Case::new("Protected", &[&THREE]);
    fresh.deleting = true;
    told.push(fresh.tell("deleted before anything began"));

    let mut deleted = begun();
    deleted.deleting = true;
    told.push(deleted.tell("deleted half-way"));
    let mut abandoned = deleted.clone();
    abandoned.abandon = Some("another UID".to_owned());
    told.push(abandoned.tell("abandoned under another UID"));
    abandoned.abandon = Some(PLAN.to_owned());
    told.push(abandoned.tell("abandoned by annotation"));
    let mut policy = deleted.clone();
    policy.spec.deletion_policy = failback::api::DeletionPolicy::Abandon;
    told.push(policy.tell("abandoned by policy"));

    let mut two = deleted.clone();
    two.spec.approvals = serde_json::from_value(json!([{ "step": "Commit", "count": 2 }])).unwrap();
    two.approve(ApprovalStep::Commit, "ann");
    told.push(two.tell("deleted, one of two approvers"));
    deleted.approve(ApprovalStep::Commit, "ann");
    told.push(deleted.tell("deleted, the commit approved: nothing but that"));
    deleted.move_to("c", Stage::HomeCommitted);
    told.push(deleted.tell("deleted, committed"));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn other_plans_and_unknown_machines() {
    let mut told = Vec::new();
    let mut case = Case::new("Reprotected", &[&THREE]);
    let theirs = Claim { plan: "other".to_owned(), plan_uid: "other".to_owned(), ..claim(DesiredPhase::Protected) };
    case.items.get_mut("a").unwrap().claim = Some(theirs);
    case.items.remove("b");
    told.push(case.tell("a belongs to another plan, b does not exist"));
    case.move_to("c", Stage::ReadyToFailBack);
    told.push(case.tell("c has arrived, the others have not"));
    case.items.get_mut("a").unwrap().claim = None;
    told.push(case.tell("the other plan has ended"));
    case.items.insert("z".to_owned(), status(Stage::FailedOver, Some(claim(DesiredPhase::Reprotected))));
    told.push(case.tell("an item that the plan once named is let go"));
    let new = ReplicatedItemStatus { observed_generation: Some(-1), ..ReplicatedItemStatus::default() };
    let mut unseen = Case::new("Assessed", &[&[("a", Stage::FailedOver)]]);
    unseen.items.insert("a".to_owned(), new);
    told.push(unseen.tell("an item just applied counts as nothing yet"));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn consent_is_asked_again_before_a_call() {
    let mut case = Case::new("Committed", &[]);
    case.spec.waves = serde_json::from_value(json!([{ "name": "w", "items": ["a", "b"] }])).unwrap();
    case.spec.skip = vec!["b".to_owned()];
    let changed = |change: fn(&mut Case)| {
        let mut case = case.clone();
        change(&mut case);
        case
    };
    let cases = [
        ("running", case.clone()),
        ("suspended", changed(|case| case.spec.suspend = true)),
        ("deleted", changed(|case| case.deleting = true)),
        ("dry run", changed(|case| case.spec.dry_run = true)),
        ("cancelled", changed(|case| case.spec.cancel = serde_json::from_value(json!([{ "reason": "No." }])).unwrap())),
    ];
    let mut lines = Vec::new();
    for (what, case) in cases {
        for item in ["a", "b", "c"] {
            for verb in Verb::ALL {
                let verdict = case.with_input(|input| may_still(input, item, verb));
                lines.push(format!("{what}, {item}, {verb}: {}", verdict.err().unwrap_or_else(|| "yes".to_owned())));
            }
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_thousand_machines_fit() {
    // The largest status: every machine has every check failing, with long names and messages.
    let names: Vec<String> = (0..1000).map(|n| format!("{n:04}-{}", "x".repeat(240))).collect();
    let waves = names.chunks(250).enumerate().map(|(n, items)| json!({ "name": n.to_string(), "items": items }));
    let mut case = Case::new("Protected", &[]);
    case.spec.waves = waves.map(|wave| serde_json::from_value(wave).unwrap()).collect();
    let worst = {
        let mut item = status(Stage::ReadyToFailBack, None);
        for n in 0..30 {
            let mut check = item.checks[0].clone();
            check.name = format!("{}{n:02}", "N".repeat(60));
            check.result = failback::api::CheckResult::Failed;
            check.message = "ü".repeat(3000);
            item.checks.push(check);
        }
        item
    };
    case.items = names.iter().map(|name| (name.clone(), worst.clone())).collect();
    let begin = std::time::Instant::now();
    for pass in ["running", "deleting"] {
        case.deleting = pass == "deleting";
        case.items.values_mut().for_each(|item| item.phase = failback::api::ItemPhase::FailedBack);
        let bytes = serde_json::to_vec(&case.pass().status).unwrap().len();
        assert!(bytes < 64 * 1024, "{pass}: {bytes} bytes");
    }
    assert_eq!(case.status.summary.total, 1000);
    assert!(begin.elapsed().as_secs() < 5, "two passes over 1,000 machines took {:?}", begin.elapsed());
}
