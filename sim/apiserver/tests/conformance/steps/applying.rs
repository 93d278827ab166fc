//! Server-side apply.

use serde_json::{Value, json};

use super::{Suite, item, plan, plan_with};
use crate::common::http::{APPLY, Call, MERGE, patch};

fn apply(manager: &str, spec: Value, meta: Value) -> Call {
    apply_with(manager, spec, meta, "")
}

fn apply_with(manager: &str, spec: Value, meta: Value, more: &str) -> Call {
    patch(format!("{}?fieldManager={manager}{more}", item("s")), plan_with("s", spec, meta), APPLY)
}

fn apply_status(name: &str, manager: &str, status: Value) -> Call {
    let mut body = plan_with(name, json!({}), json!({}));
    body.as_object_mut().unwrap().remove("spec");
    body["status"] = status;
    patch(format!("{}/status?fieldManager={manager}", item(name)), body, APPLY)
}

fn edit(body: Value) -> Call {
    patch(format!("{}?fieldManager=ed", item("s")), body, MERGE)
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "r", "message": "m"})
}

impl Suite {
    pub(super) async fn applying(&mut self) {
        self.owners().await;
        self.refusals().await;
        self.status_owners().await;
        self.order_and_reset().await;
    }

    async fn owners(&mut self) {
        let first = json!({"site": "x", "parallelism": 3, "vms": [{"name": "a", "disks": ["1"]}, {"name": "b"}], "labels": {"p": "q"}});
        let meta = json!({"labels": {"l1": "v1"}, "finalizers": ["x.io/a"]});
        self.step("ssa.create", apply("m1", first.clone(), meta.clone())).await;
        self.step("ssa.same", apply("m1", first, meta)).await;
        let second = |parallelism: Option<i64>| {
            let mut spec = json!({"site": "x", "vms": [{"name": "c", "tags": ["t1"]}, {"name": "a", "tags": ["t2"]}], "atom": {"a": 1}});
            if let Some(parallelism) = parallelism {
                spec["parallelism"] = parallelism.into();
            }
            spec
        };
        let meta = json!({"labels": {"l2": "v2"}});
        self.step("ssa.m2.add", apply("m2", second(None), meta.clone())).await;
        self.step("ssa.conflict1", apply("m2", second(Some(4)), meta.clone())).await;
        let third = json!({"site": "x", "parallelism": 4, "vms": [{"name": "a", "disks": ["2"]}], "atom": {"b": 1}});
        self.step("ssa.conflict_multi", apply("m3", third, json!({}))).await;
        self.step("ssa.force", apply_with("m2", second(Some(4)), meta, "&force=true")).await;
        let held = json!({"finalizers": ["x.io/a"]});
        self.step("ssa.m1.drop", apply("m1", json!({"site": "x", "vms": [{"name": "a"}]}), held)).await;
        self.step("ssa.m2.drop_all", apply("m2", json!({"site": "x"}), json!({}))).await;
    }

    async fn refusals(&mut self) {
        self.step("ssa.nomgr", patch(item("s"), plan("s"), APPLY)).await;
        let managed = json!({"managedFields": [{"manager": "q"}]});
        self.step("ssa.withmf", apply("m1", json!({"site": "x"}), managed)).await;
        let unknown = json!({"site": "x", "bogus": 1});
        self.step("ssa.unknown_strict", apply_with("m1", unknown, json!({}), "&fieldValidation=Strict")).await;
        self.step("ssa.invalid", apply_with("m1", json!({"site": "X"}), json!({}), "&force=true")).await;
        let labelled = json!({"site": "x", "labels": {"dry": "run"}});
        self.step("ssa.dry", apply_with("m4", labelled, json!({}), "&dryRun=All")).await;
    }

    async fn status_owners(&mut self) {
        let one = json!({"phase": "P1", "conditions": [condition("Ready", "True")]});
        self.step("ssa.status", apply_status("s", "ctl", one)).await;
        let two = json!({"conditions": [condition("Ready", "False"), condition("Prog", "True")]});
        self.step("ssa.status2", apply_status("s", "ctl", two)).await;
        let other = json!({"conditions": [condition("Ready", "Unknown")]});
        self.step("ssa.status_other", apply_status("s", "ctl2", other)).await;
        let spec = json!({"spec": {"parallelism": 8, "labels": {"new": "l"}}});
        self.step("ssa.after_update", edit(spec)).await;
        let clash = json!({"site": "x", "parallelism": 9, "vms": [{"name": "a"}]});
        let held = json!({"finalizers": ["x.io/a"]});
        self.step("ssa.conflict_with_update", apply("m1", clash, held)).await;
    }

    async fn order_and_reset(&mut self) {
        let held = json!({"finalizers": ["x.io/a"]});
        let vms = json!({"site": "x", "vms": [{"name": "z"}, {"name": "a"}, {"name": "k"}]});
        self.step("ssa.order", apply("m1", vms, held.clone())).await;
        let vms = json!({"site": "x", "vms": [{"name": "k"}, {"name": "n"}, {"name": "z"}]});
        self.step("ssa.order2", apply("m5", vms, json!({}))).await;
        self.step("ssa.site_conflict", apply("m6", json!({"site": "y"}), json!({}))).await;
        self.step("ssa.status.404", apply_status("nope", "ctl", json!({"phase": "x"}))).await;
        self.step("ssa.merge_null", edit(json!({"spec": {"labels": null}}))).await;
        let reset = edit(json!({"metadata": {"managedFields": [{}]}}));
        self.step_of("ssa.empty_mf", reset, |b| b["metadata"]["managedFields"].clone()).await;
        self.step("ssa.after_empty", apply("m1", json!({"site": "x", "parallelism": 1}), held)).await;
    }
}
