//! What is sent as a Job, what its containers are told, and what is read of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::collections::BTreeSet;

use failback::{
    api::{Hook, JobTemplate, ReplicatedItemSpec, ReplicatedItemStatus},
    core::jobs::{
        ENVIRONMENT, Environment, JobEnd, JobOrder, OWNER_LABEL, body, has_run, look, name, of_hook, of_item, unfit,
        why_waiting,
    },
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use serde_json::{Value, json};

fn template(spec: Value) -> JobTemplate {
    serde_json::from_value(json!({ "metadata": { "labels": { "team": "dr", OWNER_LABEL: "mine" } }, "spec": spec }))
        .unwrap()
}

fn order<'a>(template: &'a JobTemplate, environment: &'a Environment) -> JobOrder<'a> {
    JobOrder {
        name: "dns-1",
        namespace: "dr",
        template,
        owner: ["failback.dev/v1alpha1", "FailbackPlan", "web", "uid-1"],
        labels: &[],
        environment,
        timeout_seconds: 300,
        least_ttl: 3600,
        ttl: None,
    }
}

#[test]
fn a_template_becomes_a_job_of_ours_and_stays_as_it_is_otherwise() {
    let env =
        json!([{ "name": "FAILBACK_STEP", "value": "mine" }, { "name": "HOST", "value": "$(FAILBACK_ITEM).example" }]);
    let template = template(json!({
        "activeDeadlineSeconds": 9,
        "ttlSecondsAfterFinished": 0,
        "template": { "spec": {
            "serviceAccountName": "dns", "fieldOfAYearToCome": 1,
            "initContainers": [{ "name": "first", "image": "x" }],
            "containers": [{ "name": "main", "image": "y", "env": env }],
        } },
    }));
    let told = Environment::from([("FAILBACK_STEP", "FailBack".to_owned()), ("FAILBACK_ITEM", "web-01".to_owned())]);
    let job = body(&order(&template, &told));
    assert_eq!(job["metadata"]["labels"][OWNER_LABEL], "uid-1", "nobody else's");
    assert_eq!(job["metadata"]["labels"]["team"], "dr");
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "uid-1");
    let spec = &job["spec"];
    assert_eq!((&spec["activeDeadlineSeconds"], &spec["backoffLimit"]), (&json!(300), &json!(0)));
    assert_eq!(spec["ttlSecondsAfterFinished"], 3600);
    let pod = &spec["template"]["spec"];
    assert_eq!((&pod["restartPolicy"], &pod["fieldOfAYearToCome"]), (&json!("Never"), &json!(1)));
    let ours =
        json!([{ "name": "FAILBACK_ITEM", "value": "web-01" }, { "name": "FAILBACK_STEP", "value": "FailBack" }]);
    assert_eq!(pod["initContainers"][0]["env"], ours);
    let main = pod["containers"][0]["env"].as_array().unwrap();
    assert_eq!(main[..2], ours.as_array().unwrap()[..]);
    assert_eq!(main[2..], [json!({ "name": "HOST", "value": "$(FAILBACK_ITEM).example" })]);

    let said = self::template(json!({
        "backoffLimit": 3, "template": { "spec": { "restartPolicy": "OnFailure", "containers": [{ "name": "main" }] } },
    }));
    let job = body(&order(&said, &told));
    assert_eq!(job["spec"]["backoffLimit"], 3);
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "OnFailure");
    assert!(job["spec"].get("ttlSecondsAfterFinished").is_none());
    assert!(serde_json::from_value::<Job>(job).is_ok());
    assert!(unfit(&said).is_none() && unfit(&JobTemplate::default()).is_some());
}

#[test]
fn names_are_those_of_jobs_and_follow_from_the_purpose() {
    let long = name(&"a-".repeat(60), &["x"]);
    assert!(long.len() <= 63 && !long.contains("--"), "{long}");
    assert_eq!(name("dns", &["uid", "a"]), name("dns", &["uid", "a"]));
    assert_ne!(name("dns", &["uid", "a"]), name("dns", &["uid", "b"]));
    assert_ne!(name("dns", &["a", "bc"]), name("dns", &["ab", "c"]));
}

#[test]
fn every_variable_is_documented_and_every_one_that_is_documented_is_set() {
    let hook: Hook = serde_json::from_value(json!({
        "name": "dns", "when": "After", "step": "FailBack", "jobTemplate": { "spec": {} },
    }))
    .unwrap();
    let spec: ReplicatedItemSpec = serde_json::from_value(json!({
        "vaultRef": { "name": "v" }, "vcenterRef": { "name": "c" }, "machine": "web-01",
    }))
    .unwrap();
    let set: BTreeSet<&str> = of_hook("ns", "plan", &hook, "wave")
        .into_keys()
        .chain(of_item("web-01", &spec, &ReplicatedItemStatus::default(), None).into_keys())
        .chain(["FAILBACK_ITEMS", "FAILBACK_PROBE"])
        .collect();
    let listed: BTreeSet<&str> = ENVIRONMENT.iter().map(|row| row.0).collect();
    assert_eq!(set, listed);
    let page = include_str!("../docs/hooks.md");
    for (variable, meaning, jobs) in ENVIRONMENT {
        assert!(page.contains(&format!("| `{variable}` | {meaning} | {jobs} |\n")), "docs/hooks.md: {variable}");
    }
}

#[test]
fn the_end_of_a_job_is_what_kubernetes_says() {
    let seen = |conditions: Value| {
        let job: Job =
            serde_json::from_value(json!({ "metadata": { "uid": "u" }, "status": { "conditions": conditions } }))
                .unwrap();
        look(&job, Some("waits".to_owned()))
    };
    let condition = |kind: &str| json!([{ "type": kind, "status": "True", "reason": "R", "message": "m" }]);
    assert_eq!(seen(condition("Complete")).end, Some(JobEnd::Succeeded));
    assert_eq!(seen(condition("Failed")).end, Some(JobEnd::Failed("R: m".to_owned())));
    // On its way to either; its pods may still run.
    for between in ["FailureTarget", "SuccessCriteriaMet"] {
        assert_eq!((seen(condition(between)).end, seen(condition(between)).waits.as_deref()), (None, Some("waits")));
    }
    assert_eq!(seen(condition("Suspended")).waits.as_deref(), Some("The Job is suspended."));
}

#[test]
fn what_a_pod_waits_for_is_told_in_the_same_words_each_time() {
    let pod = |status: Value| serde_json::from_value::<Pod>(json!({ "metadata": {}, "status": status })).unwrap();
    let waiting = |reason: &str, message: &str| {
        let state = json!({ "waiting": { "reason": reason, "message": message } });
        pod(json!({ "containerStatuses": [{
            "name": "main", "image": "r.example/x:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }] }))
    };
    assert_eq!(why_waiting(&[]), "It has no pod yet.");
    let pull = why_waiting(&[waiting("ErrImagePull", "dial tcp")]);
    assert_eq!(pull, "The image \"r.example/x:1\" cannot be pulled (ImagePullBackOff).");
    assert_eq!(why_waiting(&[waiting("ImagePullBackOff", "Back-off 40s")]), pull);
    let config = why_waiting(&[waiting("CreateContainerConfigError", "secret \"x\" not found")]);
    assert_eq!(config, "Container \"main\" waits: CreateContainerConfigError secret \"x\" not found");
    assert_eq!(why_waiting(&[waiting("ContainerCreating", "")]), "Its pod starts.");
    let unscheduled = json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "message": "0/3 nodes" }] });
    assert_eq!(why_waiting(&[pod(unscheduled)]), "Its pod is not scheduled: 0/3 nodes");
}

#[test]
fn a_container_that_never_started_did_not_run() {
    let pod = |status: Value| serde_json::from_value::<Pod>(json!({ "metadata": {}, "status": status })).unwrap();
    let container = |kind: &str, state: Value| {
        pod(json!({ kind: [{
            "name": "main", "image": "x:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }] }))
    };
    let main = |state: Value| container("containerStatuses", state);
    let exit =
        |code: i32, reason: &str| json!({ "terminated": { "exitCode": code, "reason": reason, "message": "m" } });
    assert!(has_run(&[main(json!({ "running": {} }))]) && has_run(&[main(exit(1, "Error"))]));
    let pull = main(json!({ "waiting": { "reason": "ImagePullBackOff" } }));
    assert!(!has_run(&[]) && !has_run(std::slice::from_ref(&pull)) && has_run(&[pull, main(exit(0, "Completed"))]));
    let no_program = main(exit(128, "StartError"));
    assert!(!has_run(std::slice::from_ref(&no_program)));
    assert_eq!(why_waiting(&[no_program]), "Container \"main\" cannot be started: m");
    assert!(!has_run(&[container("initContainerStatuses", exit(1, "Error"))]), "what it was made for did not run");
    let evicted = pod(json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on memory." }));
    assert!(!has_run(std::slice::from_ref(&evicted)));
    assert_eq!(why_waiting(&[evicted]), "Its pod failed: Evicted The node was low on memory.");
}
