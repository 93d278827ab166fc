//! What a plan would do, and what its status says of that.

use failback::{
    api::{CheckResult, CheckStatus, DesiredPhase, EstimateBasis, ReplicatedItemStatus},
    core::{
        estimate::Measured,
        preview::{PreviewInput, preview},
        stage::Stage,
    },
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::support::{PLAN, at, change_item, claim, decide_on, facts, plans::Case, status};

fn failing(check: &str, gates: &[&str]) -> CheckStatus {
    CheckStatus {
        name: check.to_owned(),
        result: CheckResult::Unknown,
        message: "It was not read.".to_owned(),
        remedy: "Read it.".to_owned(),
        waived: None,
        gates: gates.iter().map(ToString::to_string).collect(),
        observed_at: Time(at(0)),
    }
}

fn ahead(case: &Case) -> failback::core::preview::Preview {
    preview(&PreviewInput {
        uid: PLAN,
        spec: &case.spec,
        items: &case.items,
        found: &Default::default(),
        load: None,
        measured: &Measured::of(case.items.values().chain(&case.others)),
        cancelled: &case.status.cancelled,
        now: case.now,
    })
}

#[test]
fn what_stops_a_machine_now_is_about_its_next_call() {
    let mut case =
        Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::FailedOver), ("c", Stage::FailedBack)]]);
    for item in case.items.values_mut() {
        item.checks =
            vec![failing("Early", &["Reprotect"]), failing("Late", &["Commit"]), failing("Waived", &["Reprotect"])];
        item.checks[2].waived = Some("as agreed".to_owned());
    }
    case.items.get_mut("b").unwrap().claim = Some(failback::api::Claim {
        plan_uid: "other".to_owned(),
        plan: "other".to_owned(),
        ..claim(DesiredPhase::Committed)
    });
    case.spec.waves[0].items.push("gone".to_owned());
    let totals = ahead(&case).totals();
    let told: Vec<_> = totals.blockers.iter().map(|b| format!("{} {}", b.item, b.reason)).collect();
    assert_eq!(told, ["a Early", "b ItemClaimed", "c Late", "gone ItemNotFound"]);
    assert_eq!(totals.blocked, 4);
}

#[test]
fn what_machines_of_other_plans_measured_tells_of_this_one() {
    let mut case = Case::new("Reprotected", &[&[("a", Stage::FailedOver)]]);
    let location = serde_json::json!({
        "decided": "Original", "reason": "", "transfer": "Changes", "bytes": 60_000_000_000_i64,
    });
    case.items.get_mut("a").unwrap().location = serde_json::from_value(location.clone()).unwrap();
    let told = |case: &Case| case.decide().status.preview.unwrap().estimated_seconds;
    assert_eq!(told(&case), None, "no rate was measured yet");
    let mut other = status(Stage::ReadyToFailBack, None);
    other.location = serde_json::from_value(location).unwrap();
    let timing = serde_json::json!({
        "verb": "SyncToVMware", "startedAt": at(-60), "endedAt": at(-50), "seconds": 600, "bytes": 60_000_000_000_i64,
    });
    other.timings = vec![serde_json::from_value(timing).unwrap()];
    case.others.push(other);
    assert!(told(&case).is_some_and(|seconds| seconds > 600), "{:?}", told(&case));
    assert_eq!(told(&case), ahead(&case).totals().estimated_seconds, "and so says who asks");
}

#[test]
fn what_the_plan_waives_stops_no_machine_of_its_dry_run() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::FailedOver)]]);
    case.items.values_mut().for_each(|item| item.checks = vec![failing("DatastoreHasSpace", &["Reprotect"])]);
    let waiver = serde_json::json!([{ "check": "DatastoreHasSpace", "items": ["b"], "reason": "It is thin." }]);
    case.spec.waivers = serde_json::from_value(waiver).unwrap();
    case.spec.dry_run = true;
    let preview = case.pass().status.preview.unwrap();
    assert!(case.items["b"].claim.is_none());
    let told: Vec<_> = preview.blockers.iter().map(|b| format!("{} {}", b.item, b.reason)).collect();
    assert_eq!(told, ["a DatastoreHasSpace"]);
}

#[test]
fn calls_follow_the_generation_and_the_desired_phase() {
    let mut case = Case::new("Protected", &[&[("classic", Stage::FailedOver), ("modern", Stage::ReadyToFailBack)]]);
    case.items.get_mut("classic").unwrap().generation = Some("Classic".to_owned());
    let paths = |case: &Case, machine: usize| {
        ahead(case).waves[0].machines[machine].calls.iter().map(|call| call.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(&case, 0), ["reProtect", "unplannedFailover", "failoverCommit", "reProtect"]);
    assert_eq!(paths(&case, 1), ["plannedFailover", "failoverCommit", "reProtect"]);
    case.spec.desired_phase = DesiredPhase::FailedBack;
    assert_eq!(paths(&case, 0), ["reProtect", "unplannedFailover"]);
    case.spec.desired_phase = DesiredPhase::Assessed;
    assert_eq!(paths(&case, 0), Vec::<&str>::new());
    assert_eq!(ahead(&case).totals().machines, 0);
}

#[test]
fn skipped_and_repeated_machines_count_once_or_not_at_all() {
    let mut case =
        Case::new("Reprotected", &[&[("a", Stage::FailedOver)], &[("a", Stage::FailedOver), ("b", Stage::FailedOver)]]);
    case.spec.skip = vec!["b".to_owned()];
    let preview = ahead(&case);
    let machines: Vec<usize> = preview.waves.iter().map(|wave| wave.machines.len()).collect();
    assert_eq!(machines, [1, 0]);
    assert_eq!(preview.totals().calls[0].count, 1);
}

#[test]
fn an_estimate_is_as_vague_as_its_vaguest_part_and_absent_with_an_unknown_one() {
    let mut case = Case::new("Committed", &[&[("a", Stage::ReadyToFailBack)], &[("b", Stage::FailedBack)]]);
    let estimate = ahead(&case).estimate;
    // Failing back 21 min, then b's soak and commit follow once a is verified; a's own take as long.
    assert_eq!((estimate.seconds, estimate.basis), (Some(1_440), Some(EstimateBasis::Typical)));
    case.items.insert("b".to_owned(), status(Stage::FailedOver, None));
    let estimate = ahead(&case).estimate;
    assert_eq!((estimate.seconds, estimate.unknown_machines), (None, 1));
    assert_eq!(estimate.unknown, ["b: SyncToVMware: no transfer rate was measured yet."]);
    let totals = ahead(&case).totals();
    assert_eq!((totals.estimated_seconds, totals.estimate_basis), (None, None));
    assert!(totals.estimate_message.starts_with("b: SyncToVMware"), "{totals:?}");
}

#[test]
fn the_preview_stays_from_the_start_until_the_plan_is_changed() {
    let mut case = Case::new("Committed", &[&[("a", Stage::ReadyToFailBack)]]);
    let first = case.pass().status;
    assert_eq!(first.preview.as_ref().unwrap().calls.len(), 2);
    case.move_to("a", Stage::FailedBack);
    let second = case.pass().status;
    assert_eq!(second.preview, first.preview);
    case.status.observed_generation = Some(0);
    assert_eq!(case.pass().status.preview.unwrap().calls.len(), 1, "what is left from here");
}

#[test]
fn a_plan_that_waits_for_its_start_writes_nothing_while_time_passes() {
    let of = |waits: fn(&mut Case)| {
        let mut case = Case::new("Committed", &[&[("a", Stage::ReadyToFailBack), ("b", Stage::FailedOver)]]);
        case.spec.waves[0].max_concurrent = 1;
        for item in case.items.values_mut() {
            let location = serde_json::json!({
                "decided": "Original", "reason": "", "transfer": "Changes", "bytes": 60_000_000, "estimatedSeconds": 600,
            });
            item.location = serde_json::from_value(location).unwrap();
        }
        // Four hours from 22:00 each day; it is noon.
        let window = serde_json::json!({ "cron": "0 22 * * *", "durationMinutes": 240 });
        case.spec.window = serde_json::from_value(window).unwrap();
        waits(&mut case);
        case
    };
    type Change = fn(&mut Case);
    let waits: [(&str, Change); 3] = [
        ("dry run", |case| case.spec.dry_run = true),
        ("suspended", |case| case.spec.suspend = true),
        ("no approval", |case| {
            let steps = serde_json::json!([{ "step": "Reprotect" }, { "step": "FailBack" }, { "step": "Commit" }]);
            case.spec.approvals = serde_json::from_value(steps).unwrap();
        }),
    ];
    for (what, waits) in waits {
        let mut case = of(waits);
        case.pass();
        let first = case.pass().status;
        let preview = first.preview.as_ref().unwrap();
        // 12 min of reprotect and 10 of synchronisation, then both are failed back and committed, one after the other.
        assert_eq!(preview.estimated_seconds, Some(22 * 60 + 46 * 60), "{what}: from 22:00");
        for minute in (5..24 * 60).step_by(5) {
            case.now = at(minute);
            let decision = case.pass();
            assert!(decision.claims.is_empty(), "{what}: {minute} min later");
            assert_eq!(decision.status, first, "{what}: {minute} min later");
        }
    }
}

#[test]
fn completion_is_estimated_while_something_moves() {
    let mut case = Case::new("FailedBack", &[&[("a", Stage::ReadyToFailBack)]]);
    case.pass();
    let moving = case.pass().status;
    assert_eq!(moving.estimated_completion, Some(Time(at(21))));
    case.now = at(0) + SignedDuration::from_secs(50);
    assert_eq!(case.pass().status.estimated_completion, moving.estimated_completion, "within a minute");
    let again = case.pass().status;
    assert_eq!(case.pass().status, again, "a second pass over the same world changes nothing");
    case.spec.suspend = true;
    case.pass();
    assert_eq!(case.pass().status.estimated_completion, None, "nothing moves");
}

#[test]
fn one_machine_that_is_late_does_not_take_the_time_of_completion_away() {
    let mut case = Case::new("FailedBack", &[&[("a", Stage::ReadyToFailBack), ("b", Stage::ReadyToFailBack)]]);
    case.pass();
    for name in ["a", "b"] {
        let item = case.items.get_mut(name).unwrap();
        item.phase = failback::api::ItemPhase::FailingBack;
        item.operation = Some(crate::support::record(
            failback::core::action::Verb::FailBack,
            failback::api::OperationOutcome::Submitted,
            at(if name == "a" { 0 } else { 20 }),
        ));
    }
    case.now = at(30);
    assert_eq!(case.pass().status.estimated_completion, Some(Time(at(41))), "b's, which began 10 minutes ago");
    case.now = at(60);
    assert_eq!(case.pass().status.estimated_completion, Some(Time(at(63))), "both are about to end");
}

#[test]
fn a_plan_of_two_thousand_machines_has_a_small_preview() {
    let names: Vec<String> = (0..2000).map(|number| format!("machine-with-a-rather-long-name-{number:04}")).collect();
    let mut case = Case::new("Protected", &[&[]]);
    case.spec.waves = names
        .chunks(250)
        .enumerate()
        .map(|(number, chunk)| {
            let mut wave = case.spec.waves[0].clone();
            wave.name = format!("wave-{number}");
            wave.items = chunk.to_vec();
            wave
        })
        .collect();
    let item = ReplicatedItemStatus { checks: vec![failing("Early", &[]); 5], ..status(Stage::FailedOver, None) };
    case.items = names.iter().map(|name| (name.clone(), item.clone())).collect();
    let totals = ahead(&case).totals();
    assert_eq!((totals.machines, totals.blocked, totals.blockers.len()), (2000, 2000, 10));
    let bytes = serde_json::to_vec(&totals).unwrap().len();
    assert!(bytes < 8 << 10, "{bytes}");
}

#[test]
fn the_window_counts_and_an_estimate_that_overruns_it_is_said() {
    let mut case = Case::new("Committed", &[&[("a", Stage::ReadyToFailBack), ("b", Stage::ReadyToFailBack)]]);
    case.spec.waves[0].max_concurrent = 1;
    let whole = ahead(&case).estimate;
    assert_eq!((whole.seconds, whole.overrun), (Some(2 * 1_380), None), "while a is verified, b has its place");
    case.spec.commit.soak_seconds = 0;
    assert_eq!(ahead(&case).estimate.seconds, Some(2 * 1_380));
    // It is noon; 30 minutes from 13:00 each day.
    case.spec.window =
        serde_json::from_value(serde_json::json!({ "cron": "0 13 * * *", "durationMinutes": 30 })).unwrap();
    let estimate = ahead(&case).estimate;
    // a at 13:00 for 23 min; b's failback at 13:23 runs until 13:44, and its commit waits for the next day.
    assert_eq!(estimate.seconds, Some(25 * 3_600 + 2 * 60));
    insta::assert_snapshot!(estimate.overrun.unwrap().message, @"By the estimate 1 machine(s) are not failed back and committed when the window closes at Sun 2026-03-01 13:30 UTC, and wait for the next one.");
    let once = serde_json::json!({ "start": "2026-03-01T11:00:00Z", "end": "2026-03-01T12:25:00Z" });
    case.spec.window = serde_json::from_value(once).unwrap();
    let estimate = ahead(&case).estimate;
    assert_eq!((estimate.seconds, estimate.unknown_machines), (None, 1));
    assert_eq!(estimate.unknown, ["b: the window closes before its turn, and does not open again."]);
    assert!(ahead(&case).totals().estimate_message.contains("it does not open again"));
}

#[test]
fn a_window_that_is_too_short_for_later_waves_is_told_while_the_plan_runs() {
    let mut case = Case::new("FailedBack", &[&[("a", Stage::ReadyToFailBack)], &[("b", Stage::FailedOver)]]);
    let location = serde_json::json!({
        "decided": "Original", "reason": "", "transfer": "Changes", "bytes": 60_000_000, "estimatedSeconds": 600,
    });
    case.items.get_mut("b").unwrap().location = serde_json::from_value(location).unwrap();
    let until = |minute: i64| {
        let mut case = case.clone();
        let window = serde_json::json!({ "start": at(-60), "end": at(minute), "timeZone": "UTC" });
        case.spec.window = serde_json::from_value(window).unwrap();
        case.pass();
        let told = case.pass().status;
        let issues = told.issues.into_iter().filter(|issue| issue.reason == "WindowTooShort");
        issues.map(|issue| (issue.items, issue.message)).collect::<Vec<_>>()
    };
    // 21 min of a's failback, then 12 of b's reprotect and 10 of its synchronisation: its failback is called after 43.
    assert_eq!(until(45), []);
    let late = until(40);
    assert_eq!(late.len(), 1, "told once");
    assert_eq!(late[0].0, ["b"], "a failback alone would fit: what comes before it counts");
    assert!(late[0].1.contains("when the window closes at Sun 2026-03-01 12:40 UTC"), "{late:?}");
}

#[test]
fn what_people_must_consent_to_is_named_and_gives_no_time_of_completion() {
    let mut case = Case::new("Committed", &[&[("a", Stage::ReadyToFailBack)]]);
    case.spec.approvals = serde_json::from_value(serde_json::json!([{ "step": "Commit" }])).unwrap();
    assert_eq!(ahead(&case).totals().estimate_message, "Not counted: the time until Commit is approved.");
    case.pass();
    let moving = case.pass().status;
    assert_eq!((moving.summary.moving, moving.estimated_completion), (1, None));
    case.approve(failback::api::ApprovalStep::Commit, "ann");
    assert!(case.pass().status.estimated_completion.is_some());
    case.spec.suspend = true;
    assert_eq!(case.pass().status.estimated_completion, None, "what moves ends, and nothing follows");
}

#[test]
fn disks_that_other_plans_have_in_use_make_the_end_unknown() {
    let mut case = Case::new("Reprotected", &[&[("a", Stage::SyncingToVMware)], &[("b", Stage::FailedOver)]]);
    case.spec.desired_phase = DesiredPhase::FailedBack;
    for item in case.items.values_mut() {
        let location = serde_json::json!({
            "decided": "Original", "reason": "", "transfer": "Changes", "bytes": 60_000_000, "estimatedSeconds": 600,
        });
        item.location = serde_json::from_value(location).unwrap();
        item.disks = Some(20);
    }
    let target = case.items["b"].target.clone().unwrap();
    let with_load = |case: &Case| {
        case.with_input(|input| {
            preview(&PreviewInput {
                uid: PLAN,
                spec: &case.spec,
                items: &case.items,
                found: &Default::default(),
                load: Some(input.load),
                measured: input.measured,
                cancelled: &[],
                now: case.now,
            })
            .estimate
        })
    };
    let unknown =
        |case: &Case| with_load(case).unknown.into_iter().filter(|why| why.starts_with("b:")).collect::<Vec<_>>();
    assert!(!unknown(&case).iter().any(|why| why.contains("other plans")), "{:?}", unknown(&case));
    let mut theirs = status(Stage::SyncingToVMware, None);
    (theirs.disks, theirs.target) = (Some(45), Some(target));
    case.others.push(theirs);
    assert!(unknown(&case).iter().any(|why| why.contains("other plans have disks attached")), "{:?}", unknown(&case));
}

#[test]
fn one_that_stays_in_azure_has_no_steps_ahead_and_the_end_is_not_known() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedBack), ("b", Stage::FailedBack)]]);
    case.pass();
    assert!(case.pass().status.estimated_completion.is_some());
    case.spec.cancel = serde_json::from_value(serde_json::json!([{ "items": ["a"], "reason": "It stays." }])).unwrap();
    let preview = ahead(&case);
    let [a, b] = preview.waves[0].machines.as_slice() else { panic!("{preview:?}") };
    assert_eq!((a.calls.len(), a.steps.len(), a.blockers[0].reason.as_str()), (0, 0, "Cancelled"));
    assert!(a.blockers[0].message.contains("It stays.") && !a.blockers[0].remedy.is_empty(), "{:?}", a.blockers);
    assert!(b.blockers.is_empty() && !b.calls.is_empty(), "{b:?}");
    assert_eq!((preview.totals().machines, preview.totals().blocked, preview.estimate.seconds), (1, 1, None));
    assert_eq!(case.pass().status.estimated_completion, None);
    // What is committed cannot be undone, and goes on.
    case.move_to("a", Stage::HomeCommitted);
    case.spec.desired_phase = DesiredPhase::Protected;
    assert_eq!(ahead(&case).waves[0].machines[0].calls.len(), 1);
    // What the plan undid by itself counts as well, under its retry token.
    case.spec.cancel.clear();
    let row = serde_json::json!([{ "item": "b", "reason": "ProbesFailed: web" }]);
    case.status.cancelled = serde_json::from_value(row).unwrap();
    assert_eq!(ahead(&case).waves[0].machines[1].blockers[0].reason, "Cancelled");
    case.spec.retry_token = "again".to_owned();
    assert!(ahead(&case).waves[0].machines[1].blockers.is_empty());
}

#[test]
fn a_value_that_is_missing_is_told_before_anything_runs() {
    let mut case = Case::new("Committed", &[&[("a", Stage::FailedOver), ("b", Stage::FailedOver)]]);
    let mut lacking = facts(Stage::FailedOver, at(0));
    change_item(&mut lacking, |item| item.log_storage_account_id = None);
    case.items.insert("a".to_owned(), decide_on(&case.items["a"], &lacking, at(0)).status);
    let totals = ahead(&case).totals();
    let [blocker] = totals.blockers.as_slice() else { panic!("{totals:?}") };
    assert_eq!((blocker.item.as_str(), blocker.reason.as_str()), ("a", "WaitingForInput"));
    assert!(blocker.message.contains("spec.logStorageAccountId"), "{blocker:?}");
}
