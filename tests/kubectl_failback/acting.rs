//! What changes a plan.

use serde_json::{Value, json};
use sim_apiserver::{Effect, Fault, Match};

use crate::stage::{Ran, Stage};

fn refused(verb: &str, resource: &str, code: u16, times: u32) -> Fault {
    let on = Match { verb: Some(verb.to_owned()), resource: Some(resource.to_owned()), ..Match::default() };
    Fault { on, effect: Effect::Refuse(code), times: Some(times) }
}

fn ok(ran: &Ran) -> &str {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out.trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_and_resume_change_nothing_twice() {
    let stage = Stage::half_way().await;
    let version = async || stage.get("failbackplans", "web").await["metadata"]["resourceVersion"].clone();
    assert_eq!(
        ok(&stage.run(&["suspend", "web"]).await),
        "plan web is suspended: nothing new starts; what runs in Azure ends by itself"
    );
    let before = version().await;
    assert_eq!(ok(&stage.run(&["suspend", "web"]).await), "plan web was suspended already");
    assert_eq!(version().await, before);
    assert_eq!(stage.get("failbackplans", "web").await["spec"]["suspend"], true);
    let resumed = stage.run_as_subcommand(&["resume", "web", "-o", "json"]).await;
    let expected = json!({
        "action": "resume", "changed": true, "message": "plan web is resumed", "namespace": "default", "plan": "web",
    });
    assert_eq!(resumed.json(), expected);
    assert_eq!(stage.get("failbackplans", "web").await["spec"]["suspend"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_tells_whom_it_lets_go_on_that_no_record_explains() {
    let stage = Stage::half_way().await;
    let found = json!({ "claim": { "found": { "step": "Commit", "at": "2026-03-01T11:00:00Z" } } });
    stage.patch_status("replicateditems", "web-01", &found).await;
    let approve = |step| ["approve", "web", "--step", step, "--approver", "anna"];
    let told = stage.run(&approve("Commit")).await;
    assert!(ok(&told).ends_with("; released from StatusLost, continuing from their current state: web-01"), "{told:?}");
    let other = stage.run(&approve("FailBack")).await;
    assert!(!ok(&other).contains("StatusLost"), "{other:?}");
    let consented = json!({ "claim": { "found": { "consent": "approval of Commit by anna" } } });
    stage.patch_status("replicateditems", "web-01", &consented).await;
    let again = stage.run(&approve("Commit")).await;
    assert!(!ok(&again).contains("StatusLost"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_for_what_the_controller_saw() {
    let stage = Stage::half_way().await;
    let args = ["approve", "web", "--step", "failback", "--expires", "90m", "--approver", "anna", "--comment", "ok"];
    let approved = stage.run(&args).await;
    let name = stage.list("failbackapprovals").await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("web-failback-"), "{name}");
    assert_eq!(
        ok(&approved),
        format!("FailBack of plan web is approved by anna until 2026-03-01T13:30:00Z: failbackapproval {name}")
    );
    let spec = stage.get("failbackapprovals", &name).await["spec"].clone();
    let uid = stage.get("failbackplans", "web").await["metadata"]["uid"].clone();
    let expected = json!({
        "planRef": { "name": "web" }, "planUid": uid, "specHash": "0123456789abcdef", "step": "FailBack",
        "approver": "anna", "expiresAt": "2026-03-01T13:30:00Z", "comment": "ok",
    });
    assert_eq!(spec, expected);
    let unasked = stage.run(&["approve", "web", "--step", "Commit", "--approver", "anna", "-o", "json"]).await.json();
    assert!(
        unasked["message"].as_str().unwrap().ends_with("the plan does not ask for an approval of this step"),
        "{unasked}"
    );
    assert_eq!(unasked["spec"]["expiresAt"], "2026-03-01T16:00:00Z", "four hours by default");

    ok(&stage.run(&["suspend", "web"]).await);
    let changed = stage.run(&args).await;
    assert_eq!(changed.code, 1, "{changed:?}");
    assert!(
        changed.err.contains("the controller has not processed the current version of plan web yet"),
        "{changed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_approves_must_be_known() {
    let stage = Stage::half_way().await;
    let signed_in = stage.run(&["approve", "web", "--step", "Commit", "-o", "json"]).await.json();
    assert_eq!(signed_in["spec"]["approver"], "kubernetes-admin");

    stage.api.faults().inject(refused("create", "selfsubjectreviews", 403, 1));
    let ran = stage.run(&["approve", "web", "--step", "Commit"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("give it with --approver"), "{ran:?}");
    assert_eq!(stage.list("failbackapprovals").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_gives_a_new_token_each_time() {
    let stage = Stage::half_way().await;
    assert_eq!(
        ok(&stage.run(&["retry", "web"]).await),
        "plan web has the retry token retry-20260301T120000.000Z; no machine needs a person now"
    );
    assert_eq!(stage.get("failbackplans", "web").await["spec"]["retryToken"], "retry-20260301T120000.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_tells_what_is_failed_back_again_and_which_hooks_run_again() {
    let stage = Stage::half_way().await;
    let failed = |wave: &str| {
        json!({
            "name": "drain", "wave": wave, "outcome": "Failed", "job": "drain-1", "beganAt": "2026-03-01T11:00:00Z",
        })
    };
    let hooks = json!([{
        "name": "drain", "when": "Before", "step": "FailBack", "scope": "Wave",
        "jobTemplate": { "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "x" }] } } } },
    }]);
    let mut plan = crate::stage::plan("FailedBack");
    plan["spec"]["hooks"] = hooks;
    plan["spec"]["cancel"] = json!([{ "items": ["web-02"], "reason": "It stays." }]);
    stage.apply(plan).await;
    let undone = |item: &str| json!({ "item": item, "reason": "ProbesFailed: web" });
    let status = json!({ "hooks": [failed("data")], "cancelled": [undone("web-01"), undone("web-02")] });
    stage.patch_status("failbackplans", "web", &status).await;
    stage.patch_status("replicateditems", "web-01", &json!({ "claim": { "hooks": [failed("")] } })).await;
    let told = stage.run(&["retry", "web", "-o", "json"]).await.json();
    let expected =
        "; failed back again, where that was undone: web-01; hooks run again: drain of wave data, drain of web-01";
    assert!(told["message"].as_str().unwrap().ends_with(expected), "{told}");
    assert_eq!(told["undone"], json!(["web-01"]), "web-02 is still asked to stay");
    assert_eq!(told["hooks"], json!(["drain of wave data", "drain of web-01"]));
}

/// Definitions in which plans have, or have not, `spec.cancel`.
async fn stage_with_cancel(has: bool) -> Stage {
    let stage = Stage::with_definitions(|crd| {
        if crd["spec"]["names"]["kind"] != "FailbackPlan" {
            return;
        }
        let spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            .as_object_mut()
            .unwrap();
        let text = json!({ "type": "string", "maxLength": 512 });
        let request = json!({
            "type": "object",
            "properties": { "items": { "type": "array", "items": text }, "reason": text },
        });
        spec.remove("cancel");
        if has {
            spec.insert("cancel".to_owned(), json!({ "type": "array", "items": request }));
        }
    })
    .await;
    stage.apply(crate::stage::plan("FailedBack")).await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_added_to_those_before_it() {
    let stage = stage_with_cancel(true).await;
    let one = ["cancel", "web", "--item", "db-01", "--reason", "wrong data"];
    assert_eq!(ok(&stage.run(&one).await), "plan web is asked to undo the failback of db-01");
    assert_eq!(ok(&stage.run(&one).await), "plan web was asked for that already");
    let all = stage.run(&["cancel", "web", "--reason", "all back", "-o", "json"]).await;
    assert_eq!(all.json()["request"], json!({ "reason": "all back" }));
    let cancel = stage.get("failbackplans", "web").await["spec"]["cancel"].clone();
    assert_eq!(cancel, json!([{ "items": ["db-01"], "reason": "wrong data" }, { "reason": "all back" }]));
    let stranger = stage.run(&["cancel", "web", "--item", "db-99", "--reason", "x"]).await;
    assert_eq!(stranger.code, 2, "{stranger:?}");
    assert!(stranger.err.contains("no such machine. It has db-01, web-01, web-02."), "{stranger:?}");
    let mut plan = crate::stage::plan("FailedBack");
    plan["spec"]["skip"] = json!(["web-02"]);
    stage.apply(plan).await;
    let skipped = stage.run(&["cancel", "web", "--item", "web-02", "--reason", "x"]).await;
    assert!(skipped.code == 2 && skipped.err.contains("It has db-01, web-01."), "{skipped:?}");
    let silent = stage.run(&["cancel", "web", "--reason", " "]).await;
    assert_eq!(silent.code, 2, "{silent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_the_server_drops_is_no_cancel() {
    let stage = stage_with_cancel(false).await;
    let ran = stage.run(&["cancel", "web", "--reason", "wrong data"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("has no spec.cancel"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoning_needs_the_name_typed() {
    let stage = Stage::half_way().await;
    let annotation =
        async || stage.get("failbackplans", "web").await["metadata"]["annotations"]["failback.dev/abandon"].clone();
    for typed in ["", "wbe\n"] {
        let ran = stage.typed(&["abandon", "web"], typed).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains("nothing was changed"), "{ran:?}");
        assert_eq!(annotation().await, Value::Null);
    }
    let done = stage.typed(&["abandon", "web"], "web\n").await;
    assert!(
        ok(&done).ends_with("no longer waits for its machines. To delete it: kubectl delete fbp web -n default"),
        "{done:?}"
    );
    assert_eq!(annotation().await, stage.get("failbackplans", "web").await["metadata"]["uid"]);
    assert_eq!(ok(&stage.run(&["abandon", "web", "--yes"]).await), "plan web was marked abandoned already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_abandoned_by_its_own_name() {
    let stage = Stage::half_way().await;
    let ran = stage.typed(&["abandon", "--item", "web-01"], "web\n").await;
    assert!(ran.code == 1 && ran.err.contains("nothing was changed"), "{ran:?}");
    let done = stage.typed(&["abandon", "--item", "web-01"], "web-01\n").await;
    assert!(
        ok(&done).ends_with("no longer waits for the open call. To delete it: kubectl delete rpi web-01 -n default"),
        "{done:?}"
    );
    let item = stage.get("replicateditems", "web-01").await;
    assert_eq!(item["metadata"]["annotations"]["failback.dev/abandon"], item["metadata"]["uid"]);
    let both = stage.run(&["abandon", "web", "--item", "web-01"]).await;
    assert_eq!(both.code, 2, "{both:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_tried_once_more() {
    let stage = Stage::half_way().await;
    stage.api.faults().inject(refused("patch", "failbackplans", 409, 1));
    ok(&stage.run(&["suspend", "web"]).await);
    stage.api.faults().inject(refused("patch", "failbackplans", 409, 2));
    let ran = stage.run(&["resume", "web"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("changed by somebody else at the same moment, twice"), "{ran:?}");
    assert_eq!(stage.api.faults().pending(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named() {
    let stage = Stage::half_way().await;
    let cases: [(&[&str], &str, &str, &str); 5] = [
        (&["suspend", "web"], "patch", "failbackplans", "failback-editor"),
        (
            &["approve", "web", "--step", "Commit", "--approver", "a"],
            "create",
            "failbackapprovals",
            "failback-approver",
        ),
        (&["status", "web"], "get", "failbackplans", "failback-viewer"),
        (&["plan", "web"], "list", "replicateditems", "failback-viewer"),
        (&["status", "web", "--watch"], "list", "replicateditems", "failback-viewer"),
    ];
    for (args, verb, resource, role) in cases {
        stage.api.faults().inject(refused(verb, resource, 403, 1));
        let ran = stage.run(args).await;
        stage.api.faults().clear();
        assert_eq!(ran.code, 4, "{args:?}: {ran:?}");
        assert!(ran.err.contains(&format!("you lack the right to {verb}")), "{ran:?}");
        assert!(ran.err.contains(&format!("{resource}.failback.dev in namespace \"default\"")), "{ran:?}");
        assert!(ran.err.contains(role), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_with_a_remedy() {
    let stage = Stage::half_way().await;
    for args in [
        ["plan", "absent"].as_slice(),
        &["status", "absent"],
        &["status", "absent", "--watch"],
        &["approve", "absent", "--step", "Commit", "--approver", "a"],
        &["suspend", "absent"],
        &["resume", "absent"],
        &["retry", "absent"],
        &["cancel", "absent", "--reason", "x"],
        &["abandon", "absent", "--yes"],
    ] {
        let ran = stage.run(args).await;
        assert_eq!(ran.code, 3, "{args:?}: {ran:?}");
        assert!(
            ran.err.contains("there is no failbackplans.failback.dev \"absent\" in namespace \"default\""),
            "{ran:?}"
        );
        assert!(ran.err.contains("kubectl get failbackplans"), "{ran:?}");
    }
    let context = stage.run(&["status", "--context", "nowhere"]).await;
    assert_eq!(context.code, 1, "{context:?}");
    assert!(context.err.contains("nowhere"), "{context:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values_are_refused_before_anything_is_asked() {
    let stage = Stage::with_definitions(|_| {}).await;
    stage.api.clear_record();
    for (args, expected) in [
        (["approve", "web", "--step", "Launch"].as_slice(), "one of Reprotect, FailBack, Commit, Protect is expected"),
        (&["approve", "web", "--step", "Commit", "--expires=-1h"], "above zero"),
        (&["approve", "web", "--step", "Commit", "--expires", "soon"], "such as 4h"),
        (&["approve", "web"], "--step"),
        (&["cancel", "web"], "--reason"),
        (&["plan"], "name"),
        (&["plan", "web", "--up-to", "Home"], "one of Assessed"),
        (&["status", "--watch"], "name it"),
        (&["status", "-o", "yaml"], "possible values: text, json"),
        (&["explode"], "unrecognized subcommand"),
    ] {
        let ran = stage.run(args).await;
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.to_lowercase().contains(&expected.to_lowercase()), "{expected} in {ran:?}");
    }
    assert!(stage.api.record().is_empty());
    let help = stage.run(&["--help"]).await;
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Exit codes: 0 done;") && help.out.contains("kubectl failback"), "{}", help.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_definitions_is_told_how_to_get_them() {
    let stage = Stage::with_definitions(|crd| {
        // Under another group nobody finds them.
        crd["spec"]["group"] = json!("other.dev");
        crd["metadata"]["name"] = json!(crd["metadata"]["name"].as_str().unwrap().replace("failback.dev", "other.dev"));
    })
    .await;
    for args in [["status"].as_slice(), &["status", "web"]] {
        let ran = stage.run(args).await;
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.err.contains("failback crds | kubectl apply"), "{ran:?}");
    }
}
