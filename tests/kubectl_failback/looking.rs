//! `plan` and `status`.

use std::{collections::BTreeMap, time::Duration};

use failback::{
    api::FailbackPlan,
    core::{decide::plan::spec_hash, preview},
};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::stage::{Stage, condition, free, plan, plan_status};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_previewed_machine_by_machine() {
    let stage = Stage::half_way().await;
    let shown = stage.run(&["plan", "web"]).await;
    insta::assert_snapshot!(format!("{}\nexit {}\n{}", shown.out, shown.code, shown.err));
    let further = stage.run(&["plan", "web", "--up-to", "protected"]).await;
    assert!(further.out.contains("failoverCommit (Commit), reProtect (Protect)"), "{}", further.out);
    let json = stage.run(&["plan", "web", "-o", "json"]).await;
    assert_eq!(json.code, 5);
    let json = json.json();
    assert_eq!(json["totals"]["calls"], json!([{"verb": "Reprotect", "count": 1}, {"verb": "FailBack", "count": 2}]));
    assert_eq!(json["preview"]["waves"][1]["machines"][0]["calls"][1]["path"], "plannedFailover");
    assert_eq!(json["applied"], true);
    let called = stage.api.record();
    assert!(
        called
            .iter()
            .filter(|request| request.client.contains("kubectl"))
            .all(|r| ["get", "list"].contains(&r.verb.as_str())),
        "a preview changes nothing: {called:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_joined_with_what_the_cluster_shows() {
    let stage = Stage::half_way().await;
    let mut new = plan("Reprotected");
    new["metadata"]["name"] = json!("next");
    let machine = "apiVersion: failback.dev/v1alpha1\nkind: ReplicatedItem\nmetadata: {name: web-02}\nspec: {machine: web-02, vaultRef: {name: v}, vcenterRef: {name: c}}\n";
    let text =
        format!("{}\n---\n{machine}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: other}}\n", json!(new));
    let file = stage.file("next.yaml", &text);
    let shown = stage.run(&["plan", "-f", &file]).await;
    insta::assert_snapshot!(format!("{}\nexit {}\n{}", shown.out, shown.code, shown.err));
    assert_eq!(stage.list("failbackplans").await.len(), 1, "nothing was applied");
    let piped = stage.typed(&["plan", "-f", "-"], &text).await;
    assert_eq!(piped.out, shown.out);
}

/// What is said in the end of a plan of two free machines with this spec besides, and the exit code.
async fn verdict(stage: &Stage, more: Value) -> (i32, String) {
    let mut new = plan("FailedBack");
    new["spec"] = json!({ "desiredPhase": "FailedBack", "waves": [{ "name": "all", "items": ["a", "b"] }] });
    new["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let ran = stage.run(&["plan", "-f", &stage.file("plan.yaml", &new.to_string())]).await;
    let last: Vec<&str> = ran.out.lines().skip_while(|line| !line.starts_with("Disks used by other plans")).collect();
    (ran.code, format!("{}{}", last[1..].join("\n"), ran.err))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_can_never_start_is_stopped() {
    let stage = Stage::with_definitions(|_| {}).await;
    stage.apply(free("a", 3)).await;
    stage.apply(free("b", 3)).await;
    let waves = |first: Value, second: Value| json!({ "waves": [first, second] });
    let circle = waves(
        json!({ "name": "one", "items": ["a"], "dependsOn": ["two"] }),
        json!({ "name": "two", "items": ["b"], "dependsOn": ["one"] }),
    );
    let twice = waves(json!({ "name": "one", "items": ["a", "b"] }), json!({ "name": "two", "items": ["b"] }));
    let past = json!({ "window": { "start": "2026-02-01T00:00:00Z", "end": "2026-02-02T00:00:00Z" } });
    let nobody = json!({ "skip": ["a", "b"] });
    for (spec, reason, part) in [
        (circle, "InvalidSpec", "these waves wait for each other in a circle: one, two."),
        (twice, "InvalidSpec", "\"b\" is in the waves \"one\" and \"two\"."),
        (past, "InvalidSpec", "spec.window.end has passed"),
        (nobody, "NoItems", "The plan has no machines"),
    ] {
        let (code, said) = verdict(&stage, spec).await;
        assert!(said.starts_with(&format!("STOPPED {reason}: ")) && said.contains(part), "{said}");
        assert!(code == 5 && said.ends_with("The plan would be stopped now."), "{code}: {said}");
    }
    assert_eq!(verdict(&stage, json!({})).await, (0, "Nothing would stop it now.".to_owned()));
    let target = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "MasterTarget",
        "metadata": { "name": "small", "namespace": "default" },
        "spec": { "vaultRef": { "name": "vault" }, "vcenterRef": { "name": "vcenter" }, "appliance": "appliance-1", "maxDisks": 5 },
        "status": { "id": "a-1" },
    });
    stage.apply(target).await;
    let (code, said) = verdict(&stage, json!({})).await;
    assert!(said.starts_with("STOPPED WaveTooLarge: Wave \"all\" has 6 disks") && code == 5, "{code}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_that_open_are_waited_for() {
    let stage = Stage::with_definitions(|_| {}).await;
    stage.apply(free("a", 3)).await;
    stage.apply(free("b", 3)).await;
    let opens = json!({ "window": { "start": "2026-03-02T22:00:00Z", "end": "2026-03-03T04:00:00Z" } });
    let approved = |step: &str| json!({ "approvals": [{ "step": step, "count": 2 }] });
    for (spec, part) in [
        (json!({ "suspend": true }), "somebody to resume it (kubectl failback resume web)"),
        (json!({ "dryRun": true }), "somebody to set spec.dryRun to false"),
        (opens, "the window, which opens at Mon 2026-03-02 22:00 UTC"),
        (approved("FailBack"), "approval of FailBack (kubectl failback approve web --step FailBack)"),
    ] {
        let said = format!("Nothing would stop it now; it would wait for {part}.");
        assert_eq!(verdict(&stage, spec).await, (0, said));
    }
    // The step lies beyond the plan.
    assert_eq!(verdict(&stage, approved("Commit")).await, (0, "Nothing would stop it now.".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_meant_are_refused() {
    let stage = Stage::with_definitions(|_| {}).await;
    let head = "apiVersion: failback.dev/v1alpha1\nkind: FailbackPlan\nmetadata: ";
    let waves = "waves: [{name: a, items: [x]}]";
    for (text, expected) in [
        ("a: [".to_owned(), "bad.yaml:"),
        ("a: 1".to_owned(), "holds no FailbackPlan"),
        (format!("{head}{{name: a}}\nspec: {{desiredPhase: Home, {waves}}}"), "unknown variant `Home`"),
        (format!("{head}{{name: a, namespace: prod}}\nspec: {{{waves}}}"), "Give -n prod"),
        (
            format!("{head}{{name: a}}\nspec: {{{waves}}}\n---\n{head}{{name: b}}\nspec: {{{waves}}}"),
            "several plans: a, b",
        ),
    ] {
        let ran = stage.run(&["plan", "-f", &stage.file("bad.yaml", &text)]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(expected), "{expected} in {ran:?}");
    }
    let missing = stage.run(&["plan", "-f", "/nowhere/plan.yaml"]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.err.contains("/nowhere/plan.yaml: No such file"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_waves_and_a_list_of_plans() {
    let stage = Stage::half_way().await;
    let shown = stage.run(&["status", "web"]).await;
    let all = stage.run(&["status"]).await;
    insta::assert_snapshot!(format!("{}\n{}\nexit {}", shown.out, all.out, all.code));
    assert!(!shown.out.contains('\u{1b}'), "no escape codes where no terminal is");
    let json = stage.run(&["status", "web", "-o", "json"]).await.json();
    assert_eq!(json["waves"][0]["machines"][0]["progress"]["percent"], 25);
    assert_eq!(json["waves"][1]["machines"][1], json!({"item": "web-02", "found": false}));
    let empty = stage.run(&["status", "-n", "elsewhere"]).await;
    assert_eq!((empty.code, empty.out.trim()), (0, "There is no plan in namespace \"elsewhere\"."));
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_ends_when_the_plan_is_ready_or_needs_a_person() {
    let ready = json!([condition("Ready", "True", "PhaseReached", "All 3 machine(s) are FailedBack.")]);
    let stalled = json!([
        condition("Ready", "False", "ItemStalled", "1 of 3 need a person."),
        condition("Stalled", "True", "ItemStalled", "1 of 3 need a person."),
    ]);
    for (conditions, code, told) in
        [(ready, 0, "plan/web  0/3 PhaseReached"), (stalled, 5, "plan/web  0/3 ItemStalled")]
    {
        let stage = Stage::half_way().await;
        let mut status = plan_status(1);
        status["conditions"] = conditions;
        let later = async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            stage.status_of_plan(&status).await;
        };
        let args = ["status", "web", "--watch"];
        let (ran, ()) = tokio::join!(stage.run(&args), later);
        assert_eq!(ran.code, code, "{ran:?}");
        let lines: Vec<&str> = ran.out.lines().collect();
        let first = "db-01  Reprotecting WaitingForSynchronisation  25%  1 h 30 min left";
        assert!(lines[0].ends_with(first), "{lines:#?}");
        assert_eq!(lines.len(), 5, "each line once, and the one that changed: {lines:#?}");
        assert!(lines[4].ends_with(told), "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_lines_tell_each_tenth_of_a_transfer() {
    let stage = Stage::half_way().await;
    let follows = || {
        let mut asked = stage.api.record().into_iter();
        asked.any(|request| request.verb == "watch" && request.resource == "replicateditems")
    };
    let later = async {
        while !follows() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for percent in [26, 29, 31] {
            tokio::time::sleep(Duration::from_millis(900)).await;
            let progress = json!({ "progress": { "percent": percent, "text": format!("{percent}%") } });
            stage.patch_status("replicateditems", "db-01", &progress).await;
        }
        tokio::time::sleep(Duration::from_millis(900)).await;
        stage.delete_plan().await;
    };
    let args = ["status", "web", "--watch"];
    let (ran, ()) = tokio::join!(stage.run(&args), later);
    let told: Vec<&str> = ran.out.lines().filter(|line| line.contains("  db-01  ")).collect();
    assert!(told.len() == 2 && told[1].contains("WaitingForSynchronisation  31%  "), "{ran:?}");
}

/// A machine with a label that plans look for.
fn labelled(name: &str, app: &str) -> Value {
    let mut machine = free(name, 1);
    machine["metadata"]["labels"] = json!({ "app": app });
    machine
}

/// A plan that finds its machines, and has started with two of them.
async fn started_by_labels() -> (Stage, Value) {
    let stage = Stage::with_definitions(|_| {}).await;
    let mut by_labels = plan("FailedBack");
    by_labels["spec"]["waves"] = json!([{ "name": "front", "selector": { "matchLabels": { "app": "web" } } }]);
    by_labels["spec"]["approvals"] = json!([{ "step": "FailBack", "count": 1, "forbidRequester": true }]);
    let file = by_labels.clone();
    by_labels["metadata"]["annotations"] = json!({ "failback.dev/requested-by": "ann" });
    stage.apply(by_labels).await;
    stage.apply(labelled("m-1", "web")).await;
    stage.apply(labelled("m-2", "other")).await;
    let before = stage.run(&["status", "web"]).await;
    assert!(before.out.contains("Wave front: 1 machine(s)\n") && before.out.contains("m-1"), "{}", before.out);
    let mut status = plan_status(1);
    status["waves"] =
        json!([{ "name": "front", "total": 2, "reached": 2, "moving": 0, "stalled": 0, "items": ["m-{1..2}"] }]);
    stage.status_of_plan(&status).await;
    stage.apply(labelled("m-3", "web")).await;
    (stage, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_found_by_labels_stay_in_sight_without_a_claim() {
    let (stage, _) = started_by_labels().await;
    let shown = stage.run(&["status", "web"]).await.out;
    assert!(shown.contains("Wave front: 2 machine(s), 2 FailedBack"), "{shown}");
    assert!(shown.contains("m-1 ") && shown.contains("m-2 ") && !shown.contains("m-3"), "{shown}");
    let json = stage.run(&["status", "web", "-o", "json"]).await.json();
    assert_eq!(json["waves"][0]["machines"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_applied_plan_keeps_what_the_plan_is() {
    let (stage, file) = started_by_labels().await;
    let plan: FailbackPlan = serde_json::from_value(stage.get("failbackplans", "web").await).unwrap();
    let (uid, found) = (plan.uid(), preview::found(&plan, &BTreeMap::new()));
    let spec = serde_json::from_value(file["spec"].clone()).unwrap();
    let approval = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackApproval",
        "metadata": { "name": "yes", "namespace": "default" },
        "spec": {
            "planRef": { "name": "web" }, "planUid": uid, "specHash": spec_hash(&spec, &found), "step": "FailBack",
            "approver": "bob", "expiresAt": "2026-03-01T16:00:00Z",
        },
    });
    stage.apply(approval).await;
    let shown = stage.run(&["plan", "-f", &stage.file("web.yaml", &file.to_string())]).await;
    let told = "FailBack needs 1 approval(s), the plan's requester not counted; 1 given.";
    assert!(shown.out.contains(told) && shown.out.contains("Nothing would stop it now."), "{shown:?}");
    assert!(shown.out.contains("  m-2  ") && !shown.out.contains("m-3"), "as it was when it started: {}", shown.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_deleted_while_it_is_watched_is_told() {
    let stage = Stage::half_way().await;
    let later = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        stage.delete_plan().await;
    };
    let args = ["status", "web", "--watch", "-o", "json"];
    let (ran, ()) = tokio::join!(stage.run(&args), later);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("plan web was deleted"), "{ran:?}");
    let first: serde_json::Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["plan"], "web");
}
