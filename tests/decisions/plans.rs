//! What plans let their machines do.

use std::collections::BTreeMap;

use failback::{
    api::{ApprovalStep, Claim, DesiredPhase, FailbackApprovalSpec, OperationOutcome, ReplicatedItemStatus},
    core::{action::Verb, conditions, decide::plan::may_still, stage::Stage},
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
        let invalid = with.why_invalid(with.approvals.last().unwrap(), at(0));
        let line = invalid.map_or_else(|| "valid".to_owned(), |(reason, text)| format!("{reason}: {text}"));
        told.push(format!("{}  approval {line}\n", with.tell(&format!("bob's is {why}"))));
        let up_to = with.items["a"].claim.as_ref().unwrap().up_to;
        assert!(up_to <= DesiredPhase::FailedBack, "{why}");
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
    let hash = case.hash();
    let changed = |change: fn(&mut failback::api::FailbackPlanSpec)| {
        let mut case = case.clone();
        change(&mut case.spec);
        case.hash() != hash
    };
    assert!(changed(|spec| spec.waves[0].items.push("d".to_owned())));
    assert!(changed(|spec| spec.waves[0].max_concurrent = 3));
    assert!(changed(|spec| spec.skip.push("a".to_owned())));
    assert!(changed(|spec| spec.commit.soak_seconds = 0));
    assert!(!changed(|spec| spec.desired_phase = DesiredPhase::Assessed));
    assert!(!changed(|spec| spec.suspend = true));
    assert!(!changed(|spec| spec.retry_token = "again".to_owned()));
}

/// A plan whose wave finds the first of its machines by a label, and that label.
fn of_the_web_tier() -> (Case, BTreeMap<String, String>) {
    let mut case = Case::new("Assessed", &[&THREE]);
    let web = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
    case.labels.insert("a".to_owned(), web.clone());
    set(&mut case.spec.waves, json!([{ "name": "web", "selector": { "matchLabels": { "tier": "web" } } }]));
    (case, web)
}

#[test]
fn an_approval_is_for_the_machines_that_were_found_then() {
    let (mut case, web) = of_the_web_tier();
    set(&mut case.spec.approvals, json!([{ "step": "Reprotect" }]));
    case.pass();
    case.approve(ApprovalStep::Reprotect, "ann");
    let seen = case.status.spec_hash.clone();
    // Somebody else gives another machine the label, before the plan starts.
    case.labels.insert("b".to_owned(), web.clone());
    case.spec.desired_phase = DesiredPhase::Reprotected;
    case.pass();
    assert_ne!(case.status.spec_hash, seen);
    assert_eq!(reason(&case).0, "ApprovalRequired");
    assert!(case.permits("a", Verb::Reprotect).is_err() && case.status.started_at.is_none());
    let (why, message) = case.why_invalid(&case.approvals[0], case.now).unwrap();
    assert_eq!(why, "PlanChanged");
    assert!(message.ends_with("it, or what its selectors find, was changed."), "{message}");
    case.approve(ApprovalStep::Reprotect, "ann");
    case.pass();
    assert_eq!(up_to(&case, "b"), DesiredPhase::Reprotected);
    // What was found then is the plan's for good: a label given or taken later takes no approval away.
    case.labels.insert("c".to_owned(), web);
    case.labels.remove("a");
    let seen = case.status.spec_hash.clone();
    case.pass();
    assert_eq!(case.status.spec_hash, seen);
    assert!(case.permits("a", Verb::Reprotect).is_ok());
    // Right before a call the plan's status alone tells which machines they are.
    case.labels.clear();
    assert_eq!(Some(case.hash()), seen);
    // A plan that finds nothing by label is not touched by labels.
    let mut named = Case::new("Assessed", &[&THREE]);
    let hash = named.hash();
    named.labels = [("a".to_owned(), Default::default())].into();
    assert_eq!(named.hash(), hash);
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
fn what_failed_in_another_plan_stops_nothing_in_this_one() {
    let mut case = Case::new("Reprotected", &[&THREE]);
    stalled(&mut case, "a");
    let theirs = Claim { plan: "other".to_owned(), plan_uid: "other".to_owned(), ..claim(DesiredPhase::Protected) };
    case.items.get_mut("a").unwrap().claim = Some(theirs);
    case.pass();
    assert_eq!((up_to(&case, "b"), case.status.summary.stalled), (DesiredPhase::Reprotected, 0));
    assert!(case.status.issues.iter().any(|issue| issue.reason == "ItemClaimed"));
    // Once the other plan has let it go, it is tried anew.
    case.items.get_mut("a").unwrap().claim = None;
    case.pass();
    assert_eq!(up_to(&case, "c"), DesiredPhase::Reprotected);
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

/// A case of six machines in two waves, all failed over.
fn two_waves() -> Case {
    Case::new("Protected", &[&THREE, &[("d", Stage::FailedOver), ("e", Stage::FailedOver), ("f", Stage::FailedOver)]])
}

fn held_by<'a>(case: &'a Case, name: &str) -> &'a str {
    case.items[name].claim.as_ref().map_or("", |claim| claim.held_by.as_str())
}

fn up_to(case: &Case, name: &str) -> DesiredPhase {
    case.items[name].claim.as_ref().map_or(DesiredPhase::Assessed, |claim| claim.up_to)
}

fn reason(case: &Case) -> (String, String) {
    let ready = conditions::find(&case.status.conditions, "Ready").unwrap();
    (ready.reason.clone(), ready.message.clone())
}

fn set<T: serde::de::DeserializeOwned>(field: &mut T, value: serde_json::Value) {
    *field = serde_json::from_value(value).unwrap();
}

#[test]
fn a_wave_is_failed_back_once_each_of_its_machines_has_a_recovery_point() {
    let mut case = Case::new("FailedBack", &[&THREE]);
    case.pass();
    case.move_to("a", Stage::ReadyToFailBack);
    case.move_to("b", Stage::ReadyToFailBack);
    case.pass();
    assert_eq!((up_to(&case, "a"), held_by(&case, "a")), (DesiredPhase::Reprotected, "RecoveryPointsMissing"));
    case.move_to("c", Stage::ReadyToFailBack);
    case.pass();
    assert_eq!(up_to(&case, "a"), DesiredPhase::FailedBack);
    // One that is left out does not count.
    let mut without = Case::new("FailedBack", &[&[("a", Stage::ReadyToFailBack), ("b", Stage::FailedOver)]]);
    without.spec.skip = vec!["b".to_owned()];
    without.pass();
    assert_eq!(up_to(&without, "a"), DesiredPhase::FailedBack);
}

#[test]
fn what_cannot_be_carried_out_starts_nothing_and_names_field_and_remedy() {
    type Spoil = fn(&mut Case);
    let rows: [(&str, Spoil); 8] = [
        ("circle: wave-1, wave-2", |case| {
            case.spec.waves[0].depends_on = Some(vec!["wave-2".to_owned()]);
        }),
        ("depends on \"x\"", |case| case.spec.waves[0].depends_on = Some(vec!["x".to_owned()])),
        ("\"a\" is in the waves \"wave-1\" and \"wave-2\"", |case| case.spec.waves[1].items.push("a".to_owned())),
        ("there is no check \"Nonsense\"", |case| {
            set(&mut case.spec.waivers, json!([{ "check": "Nonsense", "reason": "Why not." }]));
        }),
        ("cannot be waived", |case| {
            set(&mut case.spec.waivers, json!([{ "check": "RecoveryPointAvailable", "reason": "Why not." }]));
        }),
        ("it never opens", |case| {
            set(&mut case.spec.window, json!({ "cron": "0 0 31 2 *", "durationMinutes": 9 }));
        }),
        ("spec.window.end has passed", |case| {
            set(&mut case.spec.window, json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z" }));
        }),
        ("is not known; use a name such as Europe/Berlin", |case| {
            set(&mut case.spec.window, json!({ "cron": "0 0 * * *", "durationMinutes": 9, "timeZone": "Mars" }));
        }),
    ];
    for (says, spoil) in rows {
        let mut case = two_waves();
        spoil(&mut case);
        case.pass();
        let (reason, message) = reason(&case);
        assert_eq!(reason, "InvalidSpec", "{says}");
        assert!(message.starts_with("spec.") && message.contains(says), "{message}");
        assert!(conditions::is_true(&case.status.conditions, "Stalled"), "{says}");
        assert!(case.status.started_at.is_none(), "{says}");
        assert!(case.items.keys().all(|name| up_to(&case, name) == DesiredPhase::Assessed), "{says}");
    }
}

#[test]
fn a_selector_finds_machines_until_the_plan_has_started() {
    let (mut case, web) = of_the_web_tier();
    case.pass();
    assert_eq!(case.status.summary.total, 1);
    assert_eq!(case.status.waves[0].items, None, "nothing is settled yet");
    case.labels.insert("b".to_owned(), web.clone());
    case.spec.desired_phase = DesiredPhase::Reprotected;
    case.pass();
    assert_eq!(case.status.waves[0].items, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert!(case.permits("b", Verb::Reprotect).is_ok());
    case.labels.insert("c".to_owned(), web);
    case.labels.remove("a");
    case.pass();
    assert_eq!(case.status.summary.total, 2, "what was found then is the wave");
    assert!(case.items["a"].claim.is_some() && case.items["c"].claim.is_none());
}

#[test]
fn limits_that_plans_share() {
    let with_disks = |disks: i32| {
        let mut case = two_waves();
        case.spec.waves[1].depends_on = Some(Vec::new());
        case.items.values_mut().for_each(|item| item.disks = Some(disks));
        case
    };
    let mut case = with_disks(10);
    case.limits.disks_per_target = 45;
    case.pass();
    assert_eq!(up_to(&case, "a"), DesiredPhase::Reprotected);
    assert_eq!(held_by(&case, "d"), "MasterTargetFull", "30 of 45 are taken by the first wave, and it needs 30");
    let mut large = with_disks(21);
    large.pass();
    assert_eq!(reason(&large).0, "WaveTooLarge");
    assert!(reason(&large).1.contains("63 disks") && reason(&large).1.contains("carries 60"), "{:?}", reason(&large));

    let mut busy = with_disks(1);
    busy.limits.calls_per_vault = 2;
    busy.pass();
    assert_eq!(held_by(&busy, "c"), "VaultBusy");
    assert!(busy.items["c"].claim.as_ref().unwrap().held_message.starts_with("2 calls are in flight"));

    // What an older plan waits for is not given to a younger one.
    let mut queued = Case::new("Protected", &[&[("a", Stage::FailedOver)]]);
    queued.limits.calls_per_vault = 1;
    let mut waiting = status(Stage::FailedOver, None);
    waiting.claim = Some(Claim {
        plan: "older".to_owned(),
        plan_uid: "older".to_owned(),
        held_by: "VaultBusy".to_owned(),
        ..claim(DesiredPhase::Assessed)
    });
    queued.others = vec![waiting];
    queued.pass();
    assert_eq!(up_to(&queued, "a"), DesiredPhase::Reprotected, "a younger one is overtaken");
    queued.items.get_mut("a").unwrap().claim = None;
    queued.older = vec!["older".to_owned()];
    queued.pass();
    assert_eq!(held_by(&queued, "a"), "VaultBusy");
}

#[test]
fn hosts_power_on_so_many_at_a_time() {
    let mut case = Case::new("FailedBack", &[&["a", "b", "c"].map(|name| (name, Stage::ReadyToFailBack))]);
    case.limits.starts_per_host = 2;
    for item in case.items.values_mut() {
        item.target.as_mut().unwrap().host = Some("esx01".to_owned());
    }
    case.pass();
    assert_eq!((up_to(&case, "b"), held_by(&case, "c")), (DesiredPhase::FailedBack, "HostBusy"));
}

#[test]
fn what_a_failed_machine_means_for_the_others() {
    let failed = |policy: &str, budget: Option<i32>| {
        let mut case = two_waves();
        set(&mut case.spec.on_item_failure, json!(policy));
        case.spec.failure_budget = budget;
        for name in ["b", "c"] {
            case.move_to(name, Stage::FailedBack);
        }
        stalled(&mut case, "a");
        case.pass();
        case.now = at(5);
        case.pass();
        case
    };
    let stop = failed("Stop", None);
    assert_eq!(held_by(&stop, "b"), "ItemFailed");
    let go_on = failed("Continue", None);
    assert_eq!((up_to(&go_on, "b"), held_by(&go_on, "d")), (DesiredPhase::Protected, "WaveNotStarted"));
    let aside = failed("Quarantine", None);
    assert_eq!((held_by(&aside, "a"), up_to(&aside, "d")), ("Quarantined", DesiredPhase::Reprotected));
    assert!(aside.status.issues.iter().any(|issue| issue.reason == "Quarantined"));
    assert_eq!(held_by(&failed("Quarantine", Some(0)), "d"), "ItemFailed");
    assert_eq!(up_to(&failed("Quarantine", Some(1)), "d"), DesiredPhase::Reprotected);
}

#[test]
fn failbacks_and_commits_start_inside_the_window_only() {
    let stages = [("a", Stage::FailedOver), ("b", Stage::ReadyToFailBack)];
    let mut case = Case::new("Committed", &[&stages[..1], &stages[1..]]);
    case.spec.waves[1].depends_on = Some(Vec::new());
    set(&mut case.spec.window, json!({ "start": at(60), "end": at(120), "timeZone": "Europe/Berlin" }));
    let decision = case.pass();
    assert_eq!(decision.recheck, Some(at(60)));
    assert_eq!(up_to(&case, "a"), DesiredPhase::Reprotected, "what the window does not gate goes on");
    assert_eq!(held_by(&case, "b"), "WindowClosed");
    let message = &case.items["b"].claim.as_ref().unwrap().held_message;
    assert!(message.contains("from Sun 2026-03-01 14:00 CET on"), "{message}");
    assert!(case.permits("b", Verb::FailBack).is_err());
    case.now = at(60);
    assert_eq!(case.pass().recheck, Some(at(120)));
    assert_eq!(up_to(&case, "b"), DesiredPhase::FailedBack);
    assert!(case.permits("b", Verb::FailBack).is_ok());
    case.now = at(120);
    case.move_to("b", Stage::FailedBack);
    case.move_to("a", Stage::ReadyToFailBack);
    case.pass();
    assert_eq!((held_by(&case, "a"), held_by(&case, "b")), ("WindowClosed", "WindowClosed"));
    assert_eq!(reason(&case).0, "WindowClosed");
    assert!(conditions::is_true(&case.status.conditions, "Stalled"), "it never opens again");
}

#[test]
fn a_dry_run_shows_and_does_nothing() {
    let mut case = two_waves();
    case.spec.dry_run = true;
    case.pass();
    assert!(case.items.keys().all(|name| up_to(&case, name) == DesiredPhase::Assessed));
    assert_eq!((reason(&case).0.as_str(), case.status.started_at.is_none()), ("DryRun", true));
    assert!(case.permits("a", Verb::Reprotect).is_err());
}

#[test]
fn a_waiver_reaches_the_machines_that_it_names() {
    let mut case = Case::new("Protected", &[&THREE]);
    set(&mut case.spec.waivers, json!([{ "check": "DatastoreHasSpace", "items": ["b"], "reason": "It is thin." }]));
    case.pass();
    let waived = |name: &str| case.items[name].claim.as_ref().unwrap().waivers.len();
    assert_eq!((waived("a"), waived("b")), (0, 1));
}

#[test]
fn a_failback_is_undone_on_request_and_not_made_again() {
    let mut case = Case::new("Protected", &[&[("a", Stage::FailedBack), ("b", Stage::FailedBack)]]);
    case.spec.commit.soak_seconds = 604_800;
    case.pass();
    set(&mut case.spec.cancel, json!([{ "items": ["a"], "reason": "The application fails." }]));
    case.pass();
    let undo = |case: &Case, name: &str| case.items[name].claim.as_ref().unwrap().cancel.clone();
    assert_eq!(undo(&case, "a").as_deref(), Some("The application fails."));
    assert_eq!(undo(&case, "b"), None);
    assert!(case.permits("a", Verb::Cancel).is_ok());
    assert!(case.permits("b", Verb::Cancel).is_err());
    case.move_to("a", Stage::ReadyToFailBack);
    case.pass();
    assert_eq!(undo(&case, "a"), None);
    assert!(up_to(&case, "a") <= DesiredPhase::Reprotected);
    assert_eq!(held_by(&case, "a"), "Cancelled");
    case.spec.cancel.clear();
    case.pass();
    assert_eq!(up_to(&case, "a"), DesiredPhase::FailedBack, "taken back by a person");
}

#[test]
fn failing_probes_undo_a_failback_where_the_plan_says_so() {
    let failing = |policy: &str| {
        let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack)]]);
        set(&mut case.spec.commit.on_probe_failure, json!(policy));
        case.pass();
        let item = case.items.get_mut("a").unwrap();
        let verified = item.conditions.iter_mut().find(|condition| condition.type_ == "Verified").unwrap();
        (verified.status, verified.reason) = ("False".to_owned(), "ProbesFailed".to_owned());
        verified.message = "web: no answer".to_owned();
        case.pass();
        case
    };
    let held = failing("Hold");
    assert_eq!(held_by(&held, "a"), "NotVerified");
    assert!(held.status.cancelled.is_empty());
    let mut case = failing("Cancel");
    assert_eq!(case.items["a"].claim.as_ref().unwrap().cancel.as_deref(), Some("ProbesFailed: web: no answer"));
    assert!(case.permits("a", Verb::Cancel).is_ok());
    case.move_to("a", Stage::ReadyToFailBack);
    case.pass();
    assert_eq!((up_to(&case, "a"), held_by(&case, "a")), (DesiredPhase::Reprotected, "Cancelled"));
    case.spec.retry_token = "again".to_owned();
    case.pass();
    assert_eq!(up_to(&case, "a"), DesiredPhase::FailedBack);
}

#[test]
fn a_machine_that_is_cancelled_before_its_reprotect_stays_in_azure_and_its_wave_goes_on() {
    let mut case = Case::new("FailedBack", &[&[("a", Stage::FailedOver), ("b", Stage::ReadyToFailBack)]]);
    set(&mut case.spec.cancel, json!([{ "items": ["a"], "reason": "It stays." }]));
    case.pass();
    assert_eq!((up_to(&case, "a"), held_by(&case, "a")), (DesiredPhase::Assessed, "Cancelled"));
    assert_eq!(up_to(&case, "b"), DesiredPhase::FailedBack, "its wave does not wait for a's recovery point");
    case.move_to("b", Stage::FailedBack);
    assert!(case.pass().status.results.is_some(), "what comes home has come");
    case.spec.cancel.clear();
    case.pass();
    assert_eq!(up_to(&case, "a"), DesiredPhase::Reprotected);
}

#[test]
fn failbacks_that_there_is_no_room_to_undo_are_told() {
    let names: Vec<String> = (0..40).map(|number| format!("web-{number:02}")).collect();
    let machines: Vec<(&str, Stage)> = names.iter().map(|name| (name.as_str(), Stage::FailedBack)).collect();
    let mut case = Case::new("Committed", &[&machines]);
    set(&mut case.spec.commit.on_probe_failure, json!("Cancel"));
    case.pass();
    for item in case.items.values_mut() {
        let verified = item.conditions.iter_mut().find(|condition| condition.type_ == "Verified").unwrap();
        (verified.status, verified.reason) = ("False".to_owned(), "ProbesFailed".to_owned());
        verified.message = "web: no answer".to_owned();
    }
    let told = case.pass().status;
    let issue = told.issues.iter().find(|issue| issue.reason == "CancelsFull").unwrap();
    assert_eq!((told.cancelled.len(), issue.count, issue.items[0].as_str()), (32, 8, "web-32"));
    set(&mut case.spec.cancel, json!([{ "reason": "All of it." }]));
    assert!(case.pass().status.issues.iter().all(|issue| issue.reason != "CancelsFull"));
}

#[test]
fn a_commit_waits_for_verification_and_soak() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack)]]);
    case.spec.commit.soak_seconds = 7200;
    let decision = case.pass();
    assert_eq!(held_by(&case, "a"), "WaitingForSoak");
    assert_eq!(decision.recheck, Some(at(60)), "verified an hour ago");
    let mut manual = case.clone();
    set(&mut manual.spec.commit.policy, json!("Manual"));
    manual.pass();
    assert_eq!(up_to(&manual, "a"), DesiredPhase::Committed, "raising the phase is consent enough");
    case.now = at(60);
    case.pass();
    assert_eq!(up_to(&case, "a"), DesiredPhase::Committed);
}

#[test]
fn who_asked_for_a_plan_does_not_approve_it() {
    let mut case = Case::new("Protected", &[&[("a", Stage::FailedBack)]]);
    set(&mut case.spec.approvals, json!([{ "step": "Commit", "forbidRequester": true }]));
    case.approve(ApprovalStep::Commit, "ann");
    let why = |case: &Case| case.why_invalid(&case.approvals[0], case.now).map(|row| row.0);
    assert_eq!(why(&case), Some("RequesterUnknown"));
    case.requester = Some("ann".to_owned());
    assert_eq!(why(&case), Some("ByRequester"));
    case.pass();
    assert_eq!(held_by(&case, "a"), "ApprovalRequired");
    case.requester = Some("bob".to_owned());
    case.pass();
    assert_eq!((why(&case), up_to(&case, "a")), (None, DesiredPhase::Protected));
}

#[test]
fn what_was_measured_is_kept() {
    let mut case = Case::new("Committed", &[&[("a", Stage::ReadyToFailBack)]]);
    case.pass();
    case.now = at(42);
    case.move_to("a", Stage::FailedBack);
    case.items.get_mut("a").unwrap().recovery_point =
        Some(failback::api::RecoveryPointStatus { loss_seconds: Some(90), ..Default::default() });
    case.pass();
    let results = case.status.results.clone().unwrap();
    assert_eq!((results.rto_seconds, results.loss_seconds), (42 * 60, Some(90)));
    case.now = at(99);
    case.pass();
    assert_eq!(case.status.results, Some(results));
}

#[test]
fn two_thousand_machines_fit() {
    // The largest status: every machine has every check failing, with long names and messages.
    let names: Vec<String> = (0..2000).map(|n| format!("{n:04}-{}", "x".repeat(240))).collect();
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
    assert_eq!(case.status.summary.total, 2000);
    assert!(begin.elapsed().as_secs() < 5, "two passes over 2,000 machines took {:?}", begin.elapsed());
}
