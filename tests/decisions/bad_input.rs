//! What people and machines get wrong: each is told by name with what to do, starts nothing that was not meant, and ends
//! nothing else.

use std::fmt::Write as _;

use failback::{
    api::{
        ApprovalStep, Claim, DesiredPhase, FailbackApprovalSpec, OnProbeFailure, Probe, ReplicatedItemStatus,
        VerificationSpec,
    },
    core::{
        conditions,
        observed::Fact,
        probes::{ProbeFact, ProbeSeen},
        stage::Stage,
    },
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::support::{at, claim, decide_with, facts, plans::Case, spec, status};

type Spoil = fn(&mut Case);

fn set<T: serde::de::DeserializeOwned>(field: &mut T, value: serde_json::Value) {
    *field = serde_json::from_value(value).unwrap();
}

/// Two waves of two machines, to be reprotected.
fn plan() -> Case {
    let of = |a, b| vec![(a, Stage::FailedOver), (b, Stage::FailedOver)];
    Case::new("Reprotected", &[&of("db-01", "db-02"), &of("web-01", "web-02")])
}

const WRONG: &[(&str, Spoil)] = &[
    ("waves in a circle", |case| case.spec.waves[0].depends_on = Some(vec!["wave-2".to_owned()])),
    ("a dependency that is no wave", |case| case.spec.waves[1].depends_on = Some(vec!["wave-3".to_owned()])),
    ("an item that does not exist", |case| case.spec.waves[0].items.push("db-O1".to_owned())),
    ("an item in two waves", |case| case.spec.waves[1].items.push("db-01".to_owned())),
    ("an item of two plans", |case| {
        for item in case.items.values_mut() {
            let theirs = Claim { plan: "other".to_owned(), plan_uid: "o".to_owned(), ..claim(DesiredPhase::Protected) };
            item.claim = Some(theirs);
        }
    }),
    ("30 February", |case| set(&mut case.spec.window, json!({ "cron": "0 0 30 2 *", "durationMinutes": 60 }))),
    ("a cron that is none", |case| set(&mut case.spec.window, json!({ "cron": "at midnight", "durationMinutes": 60 }))),
    ("a window that ends before it starts", |case| {
        set(&mut case.spec.window, json!({ "start": "2027-01-02T00:00:00Z", "end": "2027-01-01T00:00:00Z" }));
    }),
    ("a window without length", |case| {
        set(&mut case.spec.window, json!({ "start": "2027-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" }));
    }),
    ("a window that was", |case| {
        set(&mut case.spec.window, json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z" }));
    }),
    ("an unknown time zone", |case| {
        set(&mut case.spec.window, json!({ "cron": "0 0 * * *", "durationMinutes": 60, "timeZone": "Europe/Berlim" }));
    }),
    ("a waiver of an unknown check", |case| {
        set(&mut case.spec.waivers, json!([{ "check": "AzureVmPresnet", "reason": "CHG0042" }]));
    }),
    ("a waiver of what protects data", |case| {
        set(&mut case.spec.waivers, json!([{ "check": "AzureVmStopped", "reason": "CHG0042" }]));
    }),
    ("a selector that finds nothing", |case| {
        set(&mut case.spec.waves[1], json!({ "name": "wave-2", "selector": { "matchLabels": { "tier": "web" } } }));
    }),
    ("selectors that all find nothing", |case| {
        set(&mut case.spec.waves, json!([{ "name": "wave-1", "selector": { "matchLabels": { "tier": "web" } } }]));
    }),
    ("a wave whose machines are all skipped", |case| case.spec.skip = ["web-01", "web-02"].map(str::to_owned).to_vec()),
    ("a plan whose machines are all skipped", |case| {
        case.spec.skip = ["db-01", "db-02", "web-01", "web-02"].map(str::to_owned).to_vec();
    }),
    ("a misspelt name in skip", |case| case.spec.skip = vec!["web-1".to_owned()]),
    ("names of other plans in waivers and cancel", |case| {
        set(&mut case.spec.waivers, json!([{ "check": "DatastoreIsVmfs", "reason": "CHG0042", "items": ["erp"] }]));
        set(&mut case.spec.cancel, json!([{ "items": ["crm"], "reason": "The application fails." }]));
    }),
    ("a misspelt machine of a hook", |case| {
        let template =
            json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "x" }] } } } });
        set(
            &mut case.spec.hooks,
            json!([{ "name": "backup", "when": "Before", "step": "Commit", "scope": "Item", "items": ["db-1"], "jobTemplate": template }]),
        );
    }),
    ("limits below one", |case| case.spec.max_concurrent = Some(-5)),
    ("a wave's limit below one", |case| case.spec.waves[0].max_concurrent = -1),
    ("an approval by nobody", |case| set(&mut case.spec.approvals, json!([{ "step": "Reprotect", "count": -3 }]))),
    ("names of NUL, and a token without end", |case| {
        case.spec.waves[0].items.push("db\u{0}-01".to_owned());
        case.spec.retry_token = "x".repeat(100_000);
    }),
];

#[test]
fn what_is_wrong_with_a_plan_is_said() {
    let mut told = String::new();
    for (what, spoil) in WRONG {
        let mut case = plan();
        spoil(&mut case);
        case.pass();
        let status = &case.status;
        let ready = conditions::find(&status.conditions, "Ready").unwrap();
        let stalled = if conditions::is_true(&status.conditions, "Stalled") { " Stalled" } else { "" };
        writeln!(told, "{what}\n  {}{stalled}: {}", ready.reason, ready.message.escape_debug()).unwrap();
        let held = case.items.values().filter_map(|item| item.claim.as_ref()).find(|claim| !claim.held_by.is_empty());
        if let Some(held) = held.filter(|held| held.held_by != "WaveNotStarted") {
            writeln!(told, "  held by {}: {}", held.held_by, held.held_message).unwrap();
        }
        for issue in &status.issues {
            writeln!(told, "  issue {} ×{}: {}", issue.reason, issue.count, issue.message.escape_debug()).unwrap();
        }
        let healthy = ready.reason == "Progressing" && status.issues.is_empty() && held.is_none();
        assert!(!healthy, "{what}: nothing is said");
        let length: usize = serde_json::to_string(status).unwrap().len();
        assert!(length < 110_000, "{what}: {length}");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_is_wrong_with_an_approval_is_said_and_it_counts_for_nothing() {
    let mut case = Case::new("Committed", &[&[("db-01", Stage::FailedBack)]]);
    set(&mut case.spec.approvals, json!([{ "step": "Commit", "forbidRequester": true }]));
    case.requester = Some("ann".to_owned());
    type SpoilApproval = fn(&mut FailbackApprovalSpec);
    let spoils: [(&str, SpoilApproval); 6] = [
        ("for another plan of that name", |approval| approval.plan_uid = "another".to_owned()),
        ("for the plan as it was", |approval| approval.spec_hash = "0123456789abcdef".to_owned()),
        ("with a hash that is none", |approval| approval.spec_hash = "\u{0}".repeat(64)),
        ("expired", |approval| approval.expires_at = Time(at(0))),
        ("by the requester", |approval| approval.approver = "ann".to_owned()),
        ("for another step", |approval| approval.step = ApprovalStep::Protect),
    ];
    let mut told = String::new();
    for (what, spoil) in spoils {
        let mut case = case.clone();
        case.approve(ApprovalStep::Commit, "bob");
        spoil(&mut case.approvals[0]);
        let why = case.why_invalid(&case.approvals[0], at(0));
        let why = why.map_or_else(|| "valid".to_owned(), |(reason, text)| format!("{reason}: {}", text.escape_debug()));
        case.pass();
        let ready = conditions::find(&case.status.conditions, "Ready").unwrap();
        assert_eq!(ready.reason, "ApprovalRequired", "{what}");
        assert!(case.items["db-01"].claim.as_ref().unwrap().up_to <= DesiredPhase::FailedBack, "{what}");
        writeln!(told, "{what}: {why}").unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_retry_token_that_stays_tries_nothing_again_and_the_remedy_is_said() {
    let mut case = Case::new("Committed", &[&[("db-01", Stage::ReadyToFailBack)]]);
    case.spec.retry_token = "one".to_owned();
    case.pass();
    let before = case.items["db-01"].clone();
    let mut failed = before.clone();
    let record = crate::support::record(
        failback::core::action::Verb::FailBack,
        failback::api::OperationOutcome::Failed,
        at(-60),
    );
    failed.operation = Some(failback::api::OperationRecord { retry_token: "one".to_owned(), ..record });
    let failed = decide_with(&spec(), &failed, &facts(Stage::ReadyToFailBack, at(0)), at(0)).status;
    case.items.insert("db-01".to_owned(), failed);
    for _ in 0..3 {
        case.spec.retry_token = "one".to_owned();
        case.pass();
        let ready = conditions::find(&case.status.conditions, "Ready").unwrap();
        assert_eq!(ready.reason, "ItemStalled");
        let remedy = "Remedy: Fix the cause, then run: kubectl failback retry plan (with GitOps: set spec.retryToken";
        assert!(ready.message.contains(remedy), "{}", ready.message);
    }
}

#[test]
fn a_probe_that_can_never_tell_is_said_and_undoes_nothing() {
    let probe: Probe =
        serde_json::from_value(json!({ "name": "address", "guestIp": { "expected": ["10.1.0.0/16"] } })).unwrap();
    let blind = || ProbeSeen::Inconclusive("vCenter does not show the guest's address.".to_owned());
    let mut spec = spec();
    spec.verification = Some(VerificationSpec { probes: vec![probe.clone()] });
    let mut facts = facts(Stage::FailedBack, at(0));
    let verified_after = |facts: &mut failback::core::facts::ItemFacts, minutes: i64| {
        let first = ProbeFact::before_first(&probe).after(&probe, blind(), at(0) - SignedDuration::from_mins(minutes));
        facts.probes = Fact::seen(vec![first.after(&probe, blind(), at(0))], at(0));
        let before = status(Stage::FailedBack, Some(claim(DesiredPhase::Committed)));
        decide_with(&spec, &before, facts, at(0)).status
    };
    let of = |status: &failback::api::ReplicatedItemStatus| {
        let verified = conditions::find(&status.conditions, "Verified").unwrap();
        (verified.reason.clone(), verified.message.clone())
    };
    assert_eq!(of(&verified_after(&mut facts, 5)).0, "ProbesPending");
    let stuck = verified_after(&mut facts, 20);
    insta::assert_snapshot!(of(&stuck).0 + ": " + &of(&stuck).1);

    let mut case = Case::new("Committed", &[&[("db-01", Stage::FailedBack)]]);
    case.spec.commit.on_probe_failure = OnProbeFailure::Cancel;
    case.pass();
    let claimed = case.items["db-01"].claim.clone();
    case.items.insert("db-01".to_owned(), failback::api::ReplicatedItemStatus { claim: claimed, ..stuck });
    case.pass();
    assert!(case.status.cancelled.is_empty(), "a probe that cannot tell is no reason to undo a failback");
    let issue = case.status.issues.iter().find(|issue| issue.reason == "ProbesPassed").unwrap();
    assert!(issue.message.contains("VMware Tools"), "{}", issue.message);
}

#[test]
fn a_job_whose_end_cannot_be_seen_is_told_with_why() {
    let mut case = Case::new("Protected", &[&[("a", Stage::HomeCommitted)]]);
    case.pass();
    let spec = spec();
    let mut seen = facts(Stage::SyncingToAzure, case.now);
    let before = case.items["a"].clone();
    let ready = |status: &ReplicatedItemStatus| conditions::find(&status.conditions, "Ready").unwrap().clone();
    let waits = decide_with(&spec, &before, &seen, case.now).status;
    assert_eq!(ready(&waits).reason, "WaitingForSynchronisation");
    seen.unread = Some("The vault has not been read since 2026-11-26T03:00:00Z: no route to host".to_owned());
    let unread = decide_with(&spec, &before, &seen, case.now).status;
    let said = ready(&unread);
    assert_eq!(said.reason, "VaultUnreadable");
    assert!(said.message.starts_with(ready(&waits).message.as_str()) && said.message.ends_with("no route to host"));
    let later = decide_with(&spec, &unread, &seen, case.now + SignedDuration::from_mins(9)).status;
    assert_eq!(later, unread, "nothing is written while it lasts");
    case.items.insert("a".to_owned(), unread);
    let issues = case.pass().status.issues;
    assert!(
        issues.iter().any(|issue| issue.reason == "VaultUnreadable" && issue.message.contains("no route")),
        "{issues:?}"
    );
}
