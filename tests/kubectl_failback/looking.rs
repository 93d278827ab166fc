//! `plan` and `status`.

use std::time::Duration;

use serde_json::json;

use crate::stage::{Stage, condition, plan, plan_status};

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
        assert!(lines[0].ends_with("db-01  Reprotecting WaitingForSynchronisation"), "{lines:#?}");
        assert_eq!(lines.len(), 5, "each line once, and the one that changed: {lines:#?}");
        assert!(lines[4].ends_with(told), "{lines:#?}");
    }
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
