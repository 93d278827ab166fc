//! Hooks run around steps, each once, and hold what they are there to hold.

use std::time::Duration;

use failback::{
    api::{FailbackPlan, HookOutcome, ItemPhase},
    core::conditions,
};
use k8s_openapi::api::{batch::v1::Job, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use sim_apiserver::{Effect, Fault, Match};

use crate::stage::{Stage, manifests};

const WALL: Duration = Duration::from_secs(60);
const SPEED: f64 = 1200.0;

fn template(script: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "main", "image": "busybox:1", "command": ["sh", "-c", script] },
    ] } } } })
}

/// A hook such as `Before FailBack Item`, named by these words.
fn hook(words: &str, script: &str) -> Value {
    let parts: Vec<&str> = words.split(' ').collect();
    json!({
        "name": words.to_lowercase().replace(' ', "-"), "when": parts[0], "step": parts[1], "scope": parts[2],
        "jobTemplate": template(script),
    })
}

/// The one-machine example with these hooks.
async fn stage(phase: &str, hooks: Value) -> Stage {
    Stage::with(SPEED, |object| {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!(phase);
            object["spec"]["hooks"] = hooks.clone();
        }
    })
    .await
}

impl Stage {
    async fn plan(&self) -> FailbackPlan {
        self.plans().get("web").await.unwrap()
    }

    fn jobs(&self) -> Api<Job> {
        Api::default_namespaced(self.client.clone())
    }

    async fn made(&self) -> Vec<Job> {
        let mut jobs = self.jobs().list(&ListParams::default()).await.unwrap().items;
        jobs.sort_by_key(|job| job.resource_version().unwrap_or_default().parse::<u64>().unwrap());
        jobs
    }

    async fn patch(&self, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.plans().patch("web", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits for the plan's reason, and gives the message.
    async fn plan_says(&self, reason: &str, part: &str) -> String {
        let read = || async {
            let status = self.plan().await.status.unwrap_or_default();
            conditions::find(&status.conditions, "Ready").map(|ready| (ready.reason.clone(), ready.message.clone()))
        };
        let wanted = |seen: &Option<(String, String)>| {
            seen.as_ref().is_some_and(|(is, message)| is == reason && message.contains(part))
        };
        self.wait(WALL, read, wanted).await.unwrap().unwrap().1
    }

    async fn event(&self, reason: &str) -> Vec<String> {
        let events: Api<Event> = Api::default_namespaced(self.client.clone());
        let read = || async {
            let all = events.list(&ListParams::default()).await.unwrap();
            let ours = all.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
            ours.filter_map(|event| event.note).collect::<Vec<_>>()
        };
        self.wait(WALL, read, |notes| !notes.is_empty()).await.unwrap()
    }

    /// The one-machine example with a Job as its probe.
    async fn probed(script: &str) -> Self {
        Self::with(SPEED, |object| {
            if object["kind"] == "ReplicatedItem" {
                let job = json!({ "jobTemplate": template(script) });
                let probe = json!({
                    "name": "Smoke test", "job": job, "timeoutSeconds": 1800, "intervalSeconds": 300, "failureThreshold": 2,
                });
                object["spec"]["verification"] = json!({ "probes": [probe] });
            }
        })
        .await
    }
}

fn env(job: &Job, name: &str) -> Option<String> {
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let found = pod.containers[0].env.iter().flatten().find(|var| var.name == name);
    found.map(|var| var.value.clone().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_around_every_step_in_their_order() {
    let mut wanted = Vec::new();
    for step in ["Reprotect", "FailBack", "Commit", "Protect"] {
        for scope in ["Plan", "Wave", "Item"] {
            if step == "Reprotect" || step == "Commit" {
                wanted.push(format!("Before {step} {scope}"));
            }
        }
        for scope in ["Item", "Wave", "Plan"] {
            if step == "FailBack" || step == "Protect" {
                wanted.push(format!("After {step} {scope}"));
            }
        }
    }
    // Written in another order than that in which they run.
    let hooks: Vec<Value> = wanted.iter().rev().map(|words| hook(words, "echo $FAILBACK_HOOK")).collect();
    let stage = stage("Protected", json!(hooks)).await;
    stage.plan_ready(WALL).await;
    let mut made = stage.made().await;
    made.sort_by_key(|job| {
        let hook = env(job, "FAILBACK_HOOK").unwrap();
        wanted.iter().position(|words| words.to_lowercase().replace(' ', "-") == hook)
    });
    let names: Vec<String> = made
        .iter()
        .map(|job| ["WHEN", "STEP", "SCOPE"].map(|of| env(job, &format!("FAILBACK_{of}")).unwrap()).join(" "))
        .collect();
    assert_eq!(names, wanted, "each once");
    let verbs = ["reProtect", "plannedFailover", "failoverCommit", "reProtect"];
    assert_eq!(stage.verbs(), verbs);
    let item = made.iter().find(|job| env(job, "FAILBACK_HOOK").unwrap() == "after-failback-item").unwrap();
    for (name, value) in [
        ("FAILBACK_PLAN", "web"),
        ("FAILBACK_WAVE", "all"),
        ("FAILBACK_ITEM", "web-01"),
        ("FAILBACK_PHASE", "FailedBack"),
        ("FAILBACK_RUNS_IN", "VMware"),
        ("FAILBACK_LOCATION", "Original"),
    ] {
        assert_eq!(env(item, name).as_deref(), Some(value), "{name}");
    }
    for name in ["FAILBACK_AZURE_VM_ID", "FAILBACK_VM_MOREF", "FAILBACK_VM_INSTANCE_UUID", "FAILBACK_MACHINE"] {
        assert!(env(item, name).is_some_and(|value| !value.is_empty()), "{name}");
    }
    let rows = stage.plan().await.status.unwrap().hooks;
    assert!(rows.len() == 8 && rows.iter().all(|row| row.outcome == HookOutcome::Succeeded), "{rows:#?}");
    let of = |words: &String| rows.iter().find(|row| row.name == words.to_lowercase().replace(' ', "-"));
    let times: Vec<_> =
        wanted.iter().filter_map(of).map(|row| (row.began_at.0, row.ended_at.clone().unwrap().0)).collect();
    assert!(
        times.len() == 8 && times.is_sorted_by(|before, after| before.1 <= after.0),
        "one after the other: {times:?}"
    );
    let told = stage.event("HookSucceeded").await;
    assert!(told.iter().any(|note| note.contains("succeeded.\nafter-failback-")), "{told:#?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_hook_holds_until_another_retry_token() {
    let hooks = json!([hook("Before FailBack Plan", "echo no backup, password=hunter2; exit 3")]);
    let stage = stage("FailedBack", hooks).await;
    let said = stage.plan_says("HookFailed", "BackoffLimitExceeded").await;
    assert!(said.contains("before-failback-plan") && said.contains("spec.retryToken"), "{said}");
    let status = stage.plan().await.status.unwrap();
    assert!(conditions::is_true(&status.conditions, "Stalled"));
    let item = stage.items().get("web-01").await.unwrap().status.unwrap();
    assert!(stage.reason("web-01").await.contains("before-failback-plan"), "{item:?}");
    let told = stage.event("HookFailed").await;
    assert!(told[0].contains("no backup, password=***"), "{told:?}");
    // Twenty simulated minutes more do not run it again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((stage.made().await.len(), stage.verbs()), (1, vec!["reProtect".to_owned()]));

    let mended = json!([hook("Before FailBack Plan", "true")]);
    stage.patch(json!({ "hooks": mended, "retryToken": "again" })).await;
    stage.plan_ready(WALL).await;
    assert_eq!(
        (stage.made().await.len(), stage.verbs()),
        (2, vec!["reProtect".to_owned(), "plannedFailover".to_owned()])
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_hook_of_a_machine_is_that_machine_s() {
    let hooks = json!([hook("After FailBack Item", "exit 1")]);
    let stage = stage("Committed", hooks).await;
    stage.plan_says("HookFailed", "of web-01").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover"]);
    let status = stage.items().get("web-01").await.unwrap().status.unwrap();
    assert_eq!(status.phase, ItemPhase::FailedBack);
    assert_eq!(status.claim.unwrap().hooks[0].outcome, HookOutcome::Failed);
    let stalled = conditions::find(&status.conditions, "Stalled").unwrap();
    assert_eq!(stalled.reason, "HookFailed");
    // Taken out of the plan, it holds nothing any more.
    stage.patch(json!({ "hooks": null })).await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCommit"]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_need_not_succeed_does_not_hold() {
    let mut failing = hook("Before Reprotect Wave", "exit 1");
    failing["onFailure"] = json!("Continue");
    let stage = stage("Reprotected", json!([failing])).await;
    stage.plan_ready(WALL).await;
    let status = stage.plan().await.status.unwrap();
    assert_eq!((status.hooks[0].outcome, status.hooks[0].wave.as_str()), (HookOutcome::Failed, "all"));
    stage.event("HookFailed").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_told_and_ends_by_the_timeout() {
    let mut pulled = hook("Before Reprotect Plan", "true");
    pulled["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.invalid/backup:1");
    pulled["timeoutSeconds"] = json!(1800);
    let stage = stage("Reprotected", json!([pulled])).await;
    let said = stage.plan_says("HookRunning", "ImagePullBackOff").await;
    assert!(said.contains("\"registry.invalid/backup:1\" cannot be pulled"), "{said}");
    stage.plan_says("HookFailed", "DeadlineExceeded").await;
    assert!(stage.verbs().is_empty());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_run_is_not_repeated_when_its_job_is_gone() {
    let mut stage =
        stage("Reprotected", json!([hook("Before Reprotect Plan", "true"), hook("After Reprotect Item", "true")]))
            .await;
    stage.plan_ready(WALL).await;
    assert_eq!(stage.made().await.len(), 2);
    for job in stage.made().await {
        stage.jobs().delete(&job.name_any(), &DeleteParams::default()).await.unwrap();
    }
    stage.restart_controller().await;
    stage.raise(failback::api::DesiredPhase::FailedBack).await;
    stage.plan_ready(WALL).await;
    assert!(stage.made().await.is_empty());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_vanishes_is_not_made_again() {
    let stage = stage("Reprotected", json!([hook("Before Reprotect Plan", "sleep 86000")])).await;
    stage.plan_says("HookRunning", "before-reprotect-plan").await;
    let jobs = stage.wait(WALL, || stage.made(), |made| made.len() == 1).await.unwrap();
    let recorded = || async { stage.plan().await.status.unwrap().hooks[0].job_uid.clone() };
    stage.wait(WALL, recorded, Option::is_some).await.unwrap();
    stage.jobs().delete(&jobs[0].name_any(), &DeleteParams::default()).await.unwrap();
    stage.plan_says("HookFailed", "gone").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stage.made().await.is_empty() && stage.verbs().is_empty());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_make_jobs_the_plan_says_which_is_missing() {
    let stage = stage("Assessed", json!([hook("Before Reprotect Plan", "true")])).await;
    let forbidden = |verb: &str, times| Fault {
        on: Match { verb: Some(verb.to_owned()), resource: Some("jobs".to_owned()), client: None, ..Match::default() },
        effect: Effect::Refuse(403),
        times,
    };
    stage.rehearsal.api.faults().inject(forbidden("create", Some(3)));
    stage.raise(failback::api::DesiredPhase::Reprotected).await;
    let said = stage.plan_says("HookFailed", "cannot be run").await;
    assert!(said.contains("jobs.batch: create") && said.contains("jobs.namespaces"), "{said}");
    assert!(stage.verbs().is_empty());
    // The right is given: it goes on by itself.
    stage.plan_ready(WALL).await;
    assert_eq!(stage.made().await.len(), 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_job_of_the_same_name_is_no_run() {
    let stage = stage("Reprotected", json!([hook("Before Reprotect Plan", "false")])).await;
    stage.plan_says("HookFailed", "BackoffLimitExceeded").await;
    let ours = stage.made().await.remove(0);
    // The next run's name is not known; so the first run's is taken by somebody else, and the plan made anew.
    let before = stage.plan().await;
    stage.jobs().delete(&ours.name_any(), &DeleteParams::default()).await.unwrap();
    let foreign: Job = serde_json::from_value(json!({
        "metadata": { "name": ours.name_any() }, "spec": template("true")["spec"],
    }))
    .unwrap();
    stage.jobs().create(&PostParams::default(), &foreign).await.unwrap();
    let rows = json!({ "status": { "hooks": [] } });
    let params = PatchParams { field_manager: Some("failback".to_owned()), ..PatchParams::default() };
    stage.plans().patch_status(&before.name_any(), &params, &Patch::Merge(rows)).await.unwrap();
    stage.plan_says("HookFailed", "There is a Job of this name already").await;
    assert!(stage.verbs().is_empty());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_as_a_probe_holds_the_commit_until_it_succeeds() {
    let stage = Stage::probed("echo $FAILBACK_ITEM; exit 1").await;
    let verified = || async {
        let status = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
        conditions::find(&status.conditions, "Verified")
            .map(|verified| (verified.reason.clone(), verified.message.clone()))
    };
    let failed = |seen: &Option<(String, String)>| seen.as_ref().is_some_and(|(reason, _)| reason == "ProbesFailed");
    let (_, message) = stage.wait(WALL, verified, failed).await.unwrap().unwrap();
    assert!(message.contains("Its Job failed: BackoffLimitExceeded"), "{message}");
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover"]);
    let look = stage.wait(WALL, || stage.made(), |made| !made.is_empty()).await.unwrap().remove(0);
    assert_eq!(env(&look, "FAILBACK_PROBE").as_deref(), Some("Smoke test"));
    assert_eq!(env(&look, "FAILBACK_PLAN").as_deref(), Some("web"));

    let job = json!({ "jobTemplate": template("true") });
    let probe = json!({ "name": "Smoke test", "job": job, "timeoutSeconds": 1800, "intervalSeconds": 300 });
    let patch = Patch::Merge(json!({ "spec": { "verification": { "probes": [probe] } } }));
    stage.items().patch("web-01", &PatchParams::default(), &patch).await.unwrap();
    stage.plan_ready(WALL).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCommit", "reProtect"]);
    // Looks do not pile up: each goes two minutes after its end.
    stage.wait(WALL, || stage.made(), Vec::is_empty).await.unwrap();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_whose_job_never_ran_holds_the_commit_and_undoes_nothing() {
    let stage = Stage::with(SPEED, |object| {
        if object["kind"] == "ReplicatedItem" {
            let mut template = template("true");
            template["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.invalid/smoke:1");
            object["spec"]["verification"] = json!({ "probes": [{
                "name": "smoke", "job": { "jobTemplate": template }, "timeoutSeconds": 600, "intervalSeconds": 60,
                "failureThreshold": 1,
            }] });
        }
        if object["kind"] == "FailbackPlan" {
            object["spec"]["commit"] = json!({ "policy": "Verified", "soakSeconds": 60, "onProbeFailure": "Cancel" });
        }
    })
    .await;
    let verified = || async {
        let status = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
        let verified = conditions::find(&status.conditions, "Verified").cloned();
        verified.filter(|verified| verified.status == "False").map(|verified| (verified.reason, verified.message))
    };
    let told = |seen: &Option<(String, String)>| {
        seen.as_ref().is_some_and(|(reason, _)| ["ProbesFailed", "ProbesInconclusive"].contains(&reason.as_str()))
    };
    let (reason, message) = stage.wait(WALL, verified, told).await.unwrap().unwrap();
    assert_eq!(reason, "ProbesInconclusive", "{message}");
    let told =
        ["none of its containers was seen to run", "DeadlineExceeded", "registry.invalid/smoke:1\" cannot be pulled"];
    assert!(told.iter().all(|part| message.contains(part)), "{message}");
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover"], "nothing is undone, and nothing committed");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_hooks_asks_for_no_jobs() {
    let stage = Stage::with(SPEED, |_| ()).await;
    stage.plan_ready(WALL).await;
    let asked = stage.rehearsal.api.record();
    let of_controller = |request: &&sim_apiserver::RequestRecord| request.client != "jobs";
    assert!(!asked.iter().filter(of_controller).any(|request| ["jobs", "pods"].contains(&request.resource.as_str())));
    assert!(!manifests(|_| ()).is_empty());
    stage.end().await;
}
