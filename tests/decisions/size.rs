//! The status of a plan fits, whatever there is to tell.

use std::collections::BTreeMap;

use failback::{
    api::{Cancelled, CheckResult, CheckStatus, HookOutcome},
    core::{
        conditions,
        decide::plan::PlanDecision,
        jobs::{JobEnd, JobSeen, JobsSeen},
        schedule::load::Limits,
        stage::Stage,
        text::cut,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::support::{at, plans::Case, status};

const MOST: usize = 64 * 1024;
const WAVES: usize = 32;
const PER_WAVE: usize = 63;

/// 2,016 machines in 32 waves that are found by label, under these names.
fn large(name: impl Fn(usize, usize) -> String) -> Case {
    let mut case = Case::new("Protected", &[]);
    case.limits = Limits { disks_per_target: 10_000, ..Limits::default() };
    let wave = |wave: usize| {
        json!({
            "name": format!("application-tier-{wave:0>46}"), "dependsOn": [],
            "selector": { "matchLabels": { "wave": format!("w{wave}") } },
        })
    };
    case.spec.waves = serde_json::from_value(json!((0..WAVES).map(wave).collect::<Vec<_>>())).unwrap();
    for (wave, number) in (0..WAVES).flat_map(|wave| (0..PER_WAVE).map(move |number| (wave, number))) {
        case.items.insert(name(wave, number), status(Stage::FailedOver, None));
        case.labels.insert(name(wave, number), BTreeMap::from([("wave".to_owned(), format!("w{wave}"))]));
    }
    case
}

/// Names as sites have them, each twentieth without a number that follows another.
fn usual(wave: usize, number: usize) -> String {
    let role = ["sap-app", "sap-db", "web", "file", "mail", "print", "erp-batch", "terminal"][wave % 8];
    if number % 20 == 19 {
        return format!("fra-legacy-{:08x}.corp.example.com", wave * 7919 + number * 104_729);
    }
    format!("fra-prd{wave}-{role}-{number:04}.corp.example.com")
}

/// The longest names that Kubernetes has, as many of them beside the ranges as there is room for.
fn longest(wave: usize, number: usize) -> String {
    let number = if number == PER_WAVE - 1 && wave < 28 { 100 } else { number };
    format!("{:a>244}-w{wave:02}-{number:04}", "")
}

fn bytes(decision: &PlanDecision) -> usize {
    serde_json::to_string(&decision.status).unwrap().len()
}

#[test]
fn two_thousand_machines_fit_and_stay() {
    let mut case = large(usual);
    assert_eq!(case.items.len(), 2016);
    let first = case.pass();
    assert!(case.status.started_at.is_some(), "{:?}", first.status.conditions);
    let listed: usize = case.status.waves.iter().map(|wave| wave.items.as_ref().unwrap().len()).sum();
    println!("{} bytes, {listed} entries", bytes(&first));
    assert!(bytes(&first) < MOST);
    // What was found is the plan's for good, without labels, and nothing more is written.
    case.labels.clear();
    let second = case.pass();
    assert_eq!(second.status.summary.total, 2016);
    assert_eq!(case.pass().status, second.status);
    assert!(case.decide().claims.is_empty());
}

/// As many hooks as a plan has room for, each with the longest name, and each has failed; their number.
fn fail_hooks(case: &mut Case, text: &str) -> usize {
    let hook = |number: usize, scope: &str| {
        json!({
            "name": format!("{number:02}-{}", "n".repeat(37)), "when": "Before", "step": "Reprotect", "scope": scope,
            "jobTemplate": { "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "x" }] } } } },
        })
    };
    let of_plan = (0..8).map(|number| hook(number, "Plan"));
    case.spec.hooks = serde_json::from_value(of_plan.chain([hook(8, "Wave")]).collect()).unwrap();
    let mut jobs = BTreeMap::new();
    loop {
        // Each goes on once the one before it has ended.
        case.jobs = JobsSeen::Listed { jobs: jobs.clone(), refused: BTreeMap::new() };
        let decision = case.decide();
        case.status.hooks = decision.status.hooks;
        assert!(jobs.len() <= 40);
        if decision.runs.is_empty() {
            break;
        }
        let uid = "3c9f5d1e-62b7-4d0a-8e21-9a4b7d6f1c33".to_owned();
        let ended = JobSeen { uid, end: Some(JobEnd::Succeeded), waits: None };
        jobs.extend(decision.runs.into_iter().map(|run| (run.job, ended.clone())));
    }
    for row in &mut case.status.hooks {
        row.outcome = HookOutcome::Failed;
        row.message = text.to_owned();
    }
    case.status.hooks.len()
}

#[test]
fn the_worst_of_everything_fits() {
    let mut case = large(longest);
    case.pass();
    assert!(case.status.started_at.is_some());
    let names: Vec<String> = case.items.keys().cloned().collect();
    let text = "操作無法完成，因為「該機器」拒絕。 \"C:\\\\disk\" 😀\n".repeat(90);
    let token = "😀".repeat(32);
    for item in case.items.values_mut() {
        let check = |number: usize| CheckStatus {
            name: format!("{number:02}SomeCheckOfAnotherRelease{text}"),
            result: CheckResult::Failed,
            message: text.clone(),
            remedy: text.clone(),
            gates: vec!["Reprotect".to_owned()],
            observed_at: Time(at(0)),
            waived: None,
        };
        item.checks = (0..40).map(check).collect();
        let failed = conditions::summary(false, false, true, "OperationFailed", &text);
        item.conditions = conditions::merge(&item.conditions, failed, Some(1), case.now);
    }
    let cancelled =
        |item: &String| Cancelled { item: item.clone(), retry_token: token.clone(), reason: cut(&text, 100) };
    // As many as there is room for.
    case.status.cancelled = names.iter().take(15).map(cancelled).collect();
    case.spec.retry_token.clone_from(&token);
    let hooks = fail_hooks(&mut case, &text);
    assert_eq!(case.decide().status.hooks.len(), hooks);
    case.status.observed_generation = None;
    let worst = case.decide();
    println!("{} bytes", bytes(&worst));
    assert!(bytes(&worst) < MOST);
    case.deleting = true;
    for item in case.items.values_mut() {
        item.phase = failback::api::ItemPhase::FailedBack;
    }
    let leaving = case.decide();
    assert!(bytes(&leaving) < MOST);
    let told = conditions::find(&leaving.status.conditions, "Ready").unwrap().message.clone();
    // Fifteen of the 2016 go back to Azure.
    assert!(told.contains("and 1998 more") && told.contains("Of 15 more"), "{told}");
}

#[test]
fn what_would_not_fit_is_refused_and_never_cut() {
    let case = large(|wave, number| format!("no-name-resembles-another-{:016x}", (wave * 64 + number) << 17 | 0xa));
    let decision = case.decide();
    let ready = conditions::find(&decision.status.conditions, "Ready").unwrap();
    assert_eq!(ready.reason, "InvalidSpec");
    for word in ["spec.waves[].selector", "2016 machines are found", "several plans"] {
        assert!(ready.message.contains(word), "{word} in {}", ready.message);
    }
    assert_eq!(decision.status.started_at, None);
}
