//! Which hooks run when, and what each holds.

use std::collections::BTreeMap;

use failback::{
    api::{ApprovalStep, HookOutcome, OperationOutcome},
    core::{
        action::Verb,
        conditions,
        decide::plan::{HookRun, spec_hash},
        jobs::{JobEnd, JobSeen, JobsSeen, Refusal},
        stage::Stage,
    },
};
use serde_json::{Value, json};

use crate::support::{at, plans::Case, record};

const TWO: [(&str, Stage); 2] = [("a", Stage::FailedOver), ("b", Stage::FailedOver)];

fn hook(name: &str, words: &str) -> Value {
    let parts: Vec<&str> = words.split(' ').collect();
    json!({
        "name": name, "when": parts[0], "step": parts[1], "scope": parts[2],
        "jobTemplate": { "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "x" }] } } } },
    })
}

fn case(desired: &str, waves: &[&[(&str, Stage)]], hooks: &[Value]) -> Case {
    let mut case = Case::new(desired, waves);
    case.spec.hooks = serde_json::from_value(json!(hooks)).unwrap();
    case.jobs = JobsSeen::Listed { jobs: BTreeMap::new(), refused: BTreeMap::new() };
    case
}

/// What a run is for, in a word.
fn of(run: &HookRun) -> String {
    let target = run.item.clone().unwrap_or_else(|| run.wave.clone());
    format!("{} {target}", run.hook).trim_end().to_owned()
}

/// Decides and records; gives the Jobs that are to be made, which are there from then on.
fn runs(case: &mut Case) -> Vec<String> {
    let decision = case.pass();
    for run in &decision.runs {
        show(case, &run.job, None);
    }
    decision.runs.iter().map(of).collect()
}

fn show(case: &mut Case, job: &str, end: Option<JobEnd>) {
    let JobsSeen::Listed { jobs, .. } = &mut case.jobs else { panic!("not listed") };
    jobs.insert(job.to_owned(), JobSeen { uid: format!("uid of {job}"), end, waits: None });
}

/// All Jobs that run end so.
fn end(case: &mut Case, end: &JobEnd) {
    let JobsSeen::Listed { jobs, .. } = &mut case.jobs else { panic!("not listed") };
    jobs.values_mut().filter(|job| job.end.is_none()).for_each(|job| job.end = Some(end.clone()));
}

/// No Job is there, and this one cannot be made.
fn refusing(job: &str, lasting: bool) -> JobsSeen {
    let refusal = Refusal { why: "No right.".to_owned(), lasting };
    JobsSeen::Listed { jobs: BTreeMap::new(), refused: BTreeMap::from([(job.to_owned(), refusal)]) }
}

fn reason(case: &Case) -> String {
    let status = &case.status.conditions;
    let stalled = if conditions::is_true(status, "Stalled") { " Stalled" } else { "" };
    format!("{}{stalled}", conditions::find(status, "Ready").unwrap().reason)
}

#[test]
fn a_hook_of_each_scope_before_and_after_a_step() {
    let hooks = [
        hook("item-before", "Before Reprotect Item"),
        hook("wave-before", "Before Reprotect Wave"),
        hook("plan-before", "Before Reprotect Plan"),
        hook("wave-after", "After Reprotect Wave"),
        hook("item-after", "After Reprotect Item"),
    ];
    let mut case = case("Reprotected", &[&TWO], &hooks);
    let mut told = Vec::new();
    for what in ["the plan's hook runs", "the wave's", "the machines'"] {
        let ran = runs(&mut case);
        told.push(format!("{}  runs: {}\n", case.tell(what), ran.join(", ")));
        end(&mut case, &JobEnd::Succeeded);
    }
    told.push(case.tell("the machines start"));
    case.move_to("a", Stage::ReadyToFailBack);
    let ran = runs(&mut case);
    told.push(format!("{}  runs: {}\n", case.tell("a has come so far"), ran.join(", ")));
    end(&mut case, &JobEnd::Succeeded);
    told.push(case.tell("the wave's hook waits for b"));
    case.move_to("b", Stage::ReadyToFailBack);
    let first = runs(&mut case);
    end(&mut case, &JobEnd::Succeeded);
    let second = runs(&mut case);
    told.push(format!("{}  runs: {} | {}\n", case.tell("b as well"), first.join(", "), second.join(", ")));
    end(&mut case, &JobEnd::Succeeded);
    told.push(case.tell("all has ended"));
    assert!(runs(&mut case).is_empty());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_run_is_recorded_before_its_job_is_made_and_not_begun_twice() {
    let mut case = case("Reprotected", &[&TWO], &[hook("check", "Before Reprotect Plan")]);
    let first = case.pass();
    assert_eq!(first.status.hooks[0].outcome, HookOutcome::Running);
    assert!(first.status.started_at.is_some(), "what is locked by the start is locked");
    // Killed before the Job was made: the same one is made.
    let second = case.pass();
    assert_eq!((first.runs.len(), &first.runs), (1, &second.runs));
    // It is there: nothing is made, and its UID is kept.
    show(&mut case, &first.runs[0].job, None);
    let third = case.pass();
    assert!(third.runs.is_empty() && third.status.hooks[0].job_uid.is_some());
    // It is gone, and was not seen to end.
    case.jobs = JobsSeen::Listed { jobs: BTreeMap::new(), refused: BTreeMap::new() };
    let fourth = case.pass();
    assert!(fourth.runs.is_empty());
    assert_eq!(fourth.status.hooks[0].outcome, HookOutcome::Failed);
    assert_eq!(reason(&case), "HookFailed Stalled");
    // A person has looked into it.
    case.spec.retry_token = "again".to_owned();
    let fifth = case.pass();
    assert_eq!(fifth.runs.len(), 1);
    assert_ne!(fifth.runs[0].job, first.runs[0].job);
}

#[test]
fn what_has_succeeded_stays_so_without_its_job() {
    let mut case =
        case("FailedBack", &[&TWO], &[hook("check", "Before Reprotect Plan"), hook("each", "After Reprotect Item")]);
    runs(&mut case);
    end(&mut case, &JobEnd::Succeeded);
    runs(&mut case);
    for name in ["a", "b"] {
        case.move_to(name, Stage::ReadyToFailBack);
    }
    assert_eq!(runs(&mut case), ["each a", "each b"]);
    end(&mut case, &JobEnd::Succeeded);
    runs(&mut case);
    case.jobs = JobsSeen::Listed { jobs: BTreeMap::new(), refused: BTreeMap::new() };
    // A resynchronisation, before and under another retry token: nothing of it runs again.
    for token in ["", "again"] {
        case.spec.retry_token = token.to_owned();
        case.move_to("a", Stage::SyncingToVMware);
        assert!(runs(&mut case).is_empty());
        case.move_to("a", Stage::ReadyToFailBack);
        assert!(runs(&mut case).is_empty());
        assert_eq!(case.items["a"].claim.as_ref().unwrap().hooks.len(), 1);
    }
    // Another call for the step: it was not made, then it was.
    for (outcome, again) in [(OperationOutcome::NotMade, vec![]), (OperationOutcome::Succeeded, vec!["each a"])] {
        case.items.get_mut("a").unwrap().history = vec![record(Verb::Reprotect, outcome, at(60))];
        assert_eq!(runs(&mut case), again);
    }
}

#[test]
fn a_hook_that_is_moved_to_another_step_runs_there() {
    for scope in ["Plan", "Wave", "Item"] {
        let mut case = case("FailedBack", &[&TWO], &[hook("check", &format!("Before Reprotect {scope}"))]);
        let before = runs(&mut case);
        end(&mut case, &JobEnd::Succeeded);
        runs(&mut case);
        for name in ["a", "b"] {
            case.move_to(name, Stage::ReadyToFailBack);
        }
        case.spec.hooks = serde_json::from_value(json!([hook("check", &format!("After Reprotect {scope}"))])).unwrap();
        assert_eq!(runs(&mut case), before, "{scope}");
        assert_eq!(reason(&case), "HookRunning");
        end(&mut case, &JobEnd::Succeeded);
        assert!(runs(&mut case).is_empty());
        assert_eq!(case.items["a"].claim.as_ref().unwrap().up_to.as_str(), "FailedBack");
    }
}

#[test]
fn nothing_runs_before_the_step_of_a_machine_of_which_nobody_knows_where_it_is() {
    let both = [("a", Stage::ReadyToFailBack), ("b", Stage::FailedOver)];
    let mut case = case("FailedBack", &[&both], &[hook("each", "Before Reprotect Item")]);
    let conditions = &mut case.items.get_mut("a").unwrap().conditions;
    let seen = conditions.iter_mut().find(|condition| condition.type_ == "Reprotected").unwrap();
    seen.status = "Unknown".to_owned();
    assert_eq!(runs(&mut case), ["each b"]);
    let claim = case.items["a"].claim.clone().unwrap();
    assert_eq!(claim.held_by, "HookRunning");
    assert_eq!(claim.held_message, "Hooks before Reprotect wait until it is seen where a stands.");
    case.move_to("a", Stage::FailedOver);
    assert_eq!(runs(&mut case), ["each a"]);
}

#[test]
fn a_wave_s_hook_waits_for_no_machine_whose_failback_is_not_made() {
    let both = [("a", Stage::FailedBack), ("b", Stage::ReadyToFailBack)];
    let mut case = case("FailedBack", &[&both], &[hook("smoke", "After FailBack Wave")]);
    assert!(runs(&mut case).is_empty());
    case.spec.cancel = serde_json::from_value(json!([{ "items": ["b"], "reason": "stays" }])).unwrap();
    assert_eq!(runs(&mut case), ["smoke wave-1"]);
}

#[test]
fn a_hook_is_told_of_before_what_other_machines_wait_for() {
    let both = [("a", Stage::FailedBack), ("b", Stage::FailedBack)];
    let mut of_b = hook("each", "After FailBack Item");
    of_b["items"] = json!(["b"]);
    let mut case = case("Committed", &[&both], &[of_b]);
    case.spec.cancel = serde_json::from_value(json!([{ "items": ["a"], "reason": "no" }])).unwrap();
    runs(&mut case);
    assert_eq!(case.items["a"].claim.as_ref().unwrap().held_by, "Cancelled");
    assert_eq!(reason(&case), "HookRunning");
}

#[test]
fn beside_a_hook_that_fails_nothing_is_estimated() {
    let both = [("a", Stage::ReadyToFailBack), ("b", Stage::ReadyToFailBack)];
    let mut of_b = hook("each", "Before FailBack Item");
    of_b["items"] = json!(["b"]);
    let mut case = case("FailedBack", &[&both], &[of_b]);
    let job = case.pass().runs.remove(0).job;
    assert!(case.pass().status.estimated_completion.is_some());
    case.jobs = refusing(&job, true);
    assert!(case.pass().status.estimated_completion.is_none());
}

#[test]
fn a_failure_holds_or_does_not_as_the_hook_says() {
    for (on_failure, expected) in [("Hold", "HookFailed Stalled"), ("Continue", "Progressing")] {
        let mut failing = hook("check", "Before Reprotect Plan");
        failing["onFailure"] = json!(on_failure);
        let mut case = case("Reprotected", &[&TWO], &[failing]);
        runs(&mut case);
        assert_eq!(reason(&case), "HookRunning");
        end(&mut case, &JobEnd::Failed("DeadlineExceeded: too long".to_owned()));
        assert!(runs(&mut case).is_empty());
        assert_eq!(reason(&case), expected);
        assert_eq!(case.status.hooks[0].message, "DeadlineExceeded: too long");
    }
}

#[test]
fn a_machine_whose_hook_fails_is_one_that_needs_a_person() {
    for (on_failure, others) in [("Stop", "ItemFailed"), ("Continue", ""), ("Quarantine", "")] {
        let mut case = case("Reprotected", &[&TWO], &[hook("each", "Before Reprotect Item")]);
        case.spec.on_item_failure = serde_json::from_value(json!(on_failure)).unwrap();
        runs(&mut case);
        let of_a = case.items["a"].claim.as_ref().unwrap().hooks[0].job.clone();
        show(&mut case, &of_a, Some(JobEnd::Failed("BackoffLimitExceeded: no".to_owned())));
        end(&mut case, &JobEnd::Succeeded);
        runs(&mut case);
        let claim = |name: &str| case.items[name].claim.clone().unwrap();
        let own = if on_failure == "Quarantine" { "Quarantined" } else { "HookFailed" };
        assert_eq!((claim("a").held_by.as_str(), claim("b").held_by.as_str()), (own, others), "{on_failure}");
        assert!(reason(&case).starts_with("HookFailed"), "{}", reason(&case));
        assert_eq!(case.status.summary.stalled, 1);
        case.spec.retry_token = "again".to_owned();
        assert!(runs(&mut case).contains(&"each a".to_owned()));
    }
}

#[test]
fn a_job_that_cannot_be_made_is_tried_again() {
    let mut case = case("Reprotected", &[&TWO], &[hook("check", "Before Reprotect Plan")]);
    let job = case.pass().runs.remove(0).job;
    case.jobs = refusing(&job, true);
    let refused = case.pass();
    assert_eq!((refused.status.hooks[0].outcome, refused.runs.len()), (HookOutcome::Refused, 1));
    assert_eq!(reason(&case), "HookFailed Stalled");
    assert!(refused.recheck.is_some_and(|recheck| recheck <= at(60)));
    show(&mut case, &job, None);
    case.pass();
    assert_eq!(reason(&case), "HookRunning");

    case.jobs = JobsSeen::Unreadable("jobs is forbidden.".to_owned());
    case.status.hooks.clear();
    case.pass();
    assert_eq!(reason(&case), "HookFailed Stalled");
    assert!(case.pass().runs.is_empty(), "what cannot be seen is not made");
}

#[test]
fn a_hook_that_lets_go_on_does_so_for_a_lasting_refusal_and_not_for_a_moments() {
    let mut check = hook("check", "Before Reprotect Plan");
    check["onFailure"] = json!("Continue");
    let mut case = case("Reprotected", &[&TWO], &[check]);
    let job = case.pass().runs.remove(0).job;
    case.jobs = refusing(&job, false);
    let busy = case.pass();
    assert_eq!((busy.status.hooks[0].outcome, busy.runs.len()), (HookOutcome::Refused, 1));
    assert!(busy.recheck.is_some_and(|recheck| recheck <= at(60)));
    assert_eq!(case.items["a"].claim.as_ref().unwrap().held_by, "HookFailed");
    // The API server answers again: it runs as if nothing had been.
    case.jobs = JobsSeen::Listed { jobs: BTreeMap::new(), refused: BTreeMap::new() };
    assert_eq!(case.pass().runs[0].job, job);
    case.jobs = refusing(&job, true);
    assert_eq!(case.pass().status.hooks[0].outcome, HookOutcome::Failed);
    assert_eq!(case.items["a"].claim.as_ref().unwrap().held_by, "");
}

#[test]
fn waves_wait_for_the_hooks_of_those_before_them() {
    let waves: [&[(&str, Stage)]; 2] = [&[("a", Stage::FailedBack)], &[("b", Stage::FailedOver)]];
    let mut case = case("FailedBack", &waves, &[hook("smoke", "After FailBack Wave")]);
    assert_eq!(runs(&mut case), ["smoke wave-1"]);
    assert_eq!(case.items["b"].claim.as_ref().unwrap().held_by, "WaveNotStarted");
    end(&mut case, &JobEnd::Succeeded);
    runs(&mut case);
    assert_eq!(case.items["b"].claim.as_ref().unwrap().held_by, "RecoveryPointsMissing", "it is on its way");
}

#[test]
fn one_claim_does_not_lead_past_a_hook() {
    let mut case = case("Protected", &[&[("a", Stage::FailedBack)]], &[hook("tell", "After Commit Item")]);
    case.spec.commit.soak_seconds = 0;
    runs(&mut case);
    assert_eq!(case.items["a"].claim.as_ref().unwrap().up_to.as_str(), "Committed");
    case.move_to("a", Stage::HomeCommitted);
    assert_eq!(runs(&mut case), ["tell a"]);
    assert_eq!(case.items["a"].claim.as_ref().unwrap().held_by, "HookRunning");
    end(&mut case, &JobEnd::Succeeded);
    runs(&mut case);
    assert_eq!(case.items["a"].claim.as_ref().unwrap().up_to.as_str(), "Protected");
}

#[test]
fn the_last_step_counts_once_its_hooks_have_ended() {
    let mut case = case("Protected", &[&[("a", Stage::ProtectedToAzure)]], &[hook("mail", "After Protect Plan")]);
    assert_eq!(runs(&mut case), ["mail"]);
    assert!(case.status.completed_at.is_none());
    assert_eq!(case.status.summary.done, "0/1");
    end(&mut case, &JobEnd::Succeeded);
    runs(&mut case);
    assert!(case.status.completed_at.is_some());
}

#[test]
fn a_plan_that_rests_starts_no_hook() {
    let mut suspended = case("Reprotected", &[&TWO], &[hook("check", "Before Reprotect Plan")]);
    suspended.spec.suspend = true;
    let mut dry = case("Reprotected", &[&TWO], &[hook("check", "Before Reprotect Plan")]);
    dry.spec.dry_run = true;
    let both = [("a", Stage::ReadyToFailBack), ("b", Stage::FailedBack)];
    let mut deleted = case("Committed", &[&both], &[hook("check", "Before Commit Plan")]);
    deleted.spec.commit.soak_seconds = 0;
    // It had claimed the machine before.
    deleted.spec.suspend = true;
    deleted.pass();
    deleted.spec.suspend = false;
    deleted.deleting = true;
    deleted.approve(ApprovalStep::Commit, "anna");
    for case in [&mut suspended, &mut dry, &mut deleted] {
        assert!(runs(case).is_empty());
        assert!(case.status.hooks.is_empty());
    }
    // Approved or not: a step whose hook has not run is not taken.
    assert_eq!(deleted.items["b"].claim.as_ref().unwrap().held_by, "HookRunning");
    assert_eq!(reason(&deleted), "HookRunning Stalled");
    let told = conditions::find(&deleted.status.conditions, "Ready").unwrap().message.clone();
    for part in ["waits for b", "runs no hooks", "out of spec.hooks", "annotation failback.dev/abandon"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn as_many_jobs_of_machines_run_as_the_wave_moves_machines() {
    let names: Vec<String> = (0..5).map(|number| format!("m{number}")).collect();
    let machines: Vec<(&str, Stage)> = names.iter().map(|name| (name.as_str(), Stage::ReadyToFailBack)).collect();
    let mut case = case("Reprotected", &[&machines], &[hook("each", "After Reprotect Item")]);
    case.spec.waves[0].max_concurrent = 2;
    let mut ran = 0;
    for expected in [2, 2, 1, 0] {
        let now = runs(&mut case);
        assert_eq!(now.len(), expected);
        ran += now.len();
        end(&mut case, &JobEnd::Succeeded);
    }
    assert_eq!((ran, case.status.summary.done.as_str()), (5, "5/5"));
}

#[test]
fn what_can_never_run_is_refused() {
    let mut bare = hook("check", "Before Reprotect Plan");
    bare["jobTemplate"] = json!({ "spec": { "containers": [] } });
    let mut large = hook("check", "Before Reprotect Plan");
    large["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["x".repeat(40_000)]);
    let waves: [&[(&str, Stage)]; 2] = [&[("a", Stage::FailedOver)], &[("b", Stage::FailedOver)]];
    for (wrong, part) in [
        (bare, "spec.hooks[0].jobTemplate.spec.template.spec.containers: name at least one"),
        (large, "spec.hooks[0].jobTemplate has 40"),
        (hook("all", "After Reprotect Plan"), "Use scope: Wave"),
    ] {
        let mut case = case("FailedBack", &waves, &[wrong]);
        assert!(runs(&mut case).is_empty());
        let ready = conditions::find(&case.status.conditions, "Ready").unwrap();
        assert!(ready.reason == "InvalidSpec" && ready.message.contains(part), "{}", ready.message);
    }
}

#[test]
fn hooks_are_part_of_what_is_approved() {
    let without = Case::new("Reprotected", &[&TWO]).spec;
    let mut with = without.clone();
    with.hooks = serde_json::from_value(json!([hook("check", "Before Reprotect Plan")])).unwrap();
    let found = Default::default();
    assert_ne!(spec_hash(&without, &found), spec_hash(&with, &found));
}

#[test]
fn more_hooks_than_a_status_has_room_for_are_refused() {
    let hooks: Vec<Value> = (0..21).map(|number| hook(&format!("hook-{number}"), "Before Reprotect Wave")).collect();
    let waves: [&[(&str, Stage)]; 2] = [&[("a", Stage::FailedOver)], &[("b", Stage::FailedOver)]];
    let mut case = case("Reprotected", &waves, &hooks);
    case.pass();
    let told = conditions::find(&case.status.conditions, "Ready").unwrap().clone();
    assert_eq!(told.reason, "InvalidSpec");
    assert!(told.message.contains("are 42, and a plan has room for 40"), "{}", told.message);
    case.spec.hooks[0].waves = vec!["wave-1".to_owned()];
    case.spec.hooks[1].waves = vec!["wave-2".to_owned()];
    case.pass();
    assert_ne!(reason(&case), "InvalidSpec Stalled");
}
