//! Create, defaulting, pruning, validation, update, optimistic locking, generation, status.

use serde_json::{Value, json};

use super::{GROUP, PLANS, Suite, code_only, item, names, plan, plan_of, plan_with, some};
use crate::common::http::{JSON_PATCH, MERGE, STRATEGIC, delete, get, patch, post, put};

impl Suite {
    pub(super) async fn writing(&mut self) {
        self.creating().await;
        self.invalid().await;
        self.updating().await;
        self.patching().await;
        self.status().await;
    }

    async fn creating(&mut self) {
        self.step("create.minimal", post(PLANS, plan("a"))).await;
        self.step("create.dup", post(PLANS, plan("a"))).await;
        let mut extra = plan_of(
            "b",
            json!({"site": "rome", "bogus": 1, "blob": {"x": {"y": 1}}, "vms": [{"name": "v", "zzz": 1}], "labels": {"k": "v"}}),
        );
        extra["status"] = json!({"phase": "X"});
        self.step("create.prunes", post(PLANS, extra)).await;
        let strict = plan_of("b2", json!({"site": "rome", "bogus": 1, "vms": [{"name": "v", "zzz": 1}]}));
        self.step("create.strict", post(format!("{PLANS}?fieldValidation=Strict"), strict)).await;
        self.step("create.badname", post(PLANS, plan("B_"))).await;
        let mut unnamed = plan_of("", json!({"site": "x"}));
        unnamed["metadata"] = json!({});
        self.step("create.noname", post(PLANS, unnamed.clone())).await;
        let elsewhere = plan_with("n", json!({"site": "paris"}), json!({"namespace": "other"}));
        self.step("create.wrongns", post(PLANS, elsewhere)).await;
        self.step("create.nons", post(format!("{GROUP}/namespaces/nosuch/failbackplans"), plan("n"))).await;
        let versioned = plan_with("n", json!({"site": "paris"}), json!({"resourceVersion": "5"}));
        self.step("create.rvset", post(PLANS, versioned)).await;
        unnamed["metadata"] = json!({"generateName": "g-"});
        self.step_of("create.genname", post(PLANS, unnamed), |b| {
            let name = b["metadata"]["name"].as_str().unwrap_or_default();
            if name.starts_with("g-") && name.len() == 7 { "g-#####".into() } else { name.into() }
        })
        .await;
        self.delete_named("g-").await;
    }

    async fn invalid(&mut self) {
        let cases = [
            ("missing", json!({})),
            ("pattern", json!({"site": "Paris1"})),
            ("type", json!({"site": 1})),
            ("typeint", json!({"site": "x", "parallelism": "a"})),
            ("min", json!({"site": "x", "parallelism": 0})),
            ("enum", json!({"site": "x", "mode": "Foo"})),
            ("maxlen", json!({"site": "x".repeat(65)})),
            ("dupkey", json!({"site": "x", "vms": [{"name": "a"}, {"name": "a"}]})),
            ("dupset", json!({"site": "x", "vms": [{"name": "a", "tags": ["q", "q"]}]})),
            ("reqitem", json!({"site": "x", "vms": [{}]})),
            ("cel", json!({"site": "x", "parallelism": 11})),
            ("two", json!({"site": "P", "parallelism": 0})),
            ("ios", json!({"site": "x", "ios": true})),
            ("nullfield", json!({"site": "x", "parallelism": null})),
            ("specstr", json!("abc")),
        ];
        for (name, spec) in cases {
            self.step(&format!("invalid.{name}"), post(PLANS, plan_of(&format!("i-{name}"), spec))).await;
        }
        let mut other = plan("k");
        other["kind"] = "Foo".into();
        self.step("create.wrongkind", post(PLANS, other)).await;
        self.step("create.dryrun", post(format!("{PLANS}?dryRun=All"), plan("dry"))).await;
        self.step("get.dryrun", get(item("dry"))).await;
    }

    async fn updating(&mut self) {
        let (_, old) = self.send(get(item("a"))).await;
        let mut new = old.clone();
        new["spec"]["parallelism"] = 5.into();
        self.step("put.spec", put(item("a"), new)).await;
        self.step("put.stale", put(item("a"), old.clone())).await;
        let mut unversioned = old;
        unversioned["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        self.step("put.norv", put(item("a"), unversioned)).await;
        let (_, now) = self.send(get(item("a"))).await;
        let (code, after) = self.send(put(item("a"), now.clone())).await;
        let same = now["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"];
        self.note("put.noop.same_rv", code, same.into());
    }

    async fn patching(&mut self) {
        let merge = |body: Value| patch(item("a"), body, MERGE);
        let label = json!({"metadata": {"labels": {"x": "y"}}});
        self.step("patch.label", merge(label.clone())).await;
        self.step("patch.noop", merge(label)).await;
        self.step("patch.status_via_main", merge(json!({"status": {"phase": "Z"}}))).await;
        self.step("patch.cel_transition", merge(json!({"spec": {"site": "lyon"}}))).await;
        let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"parallelism": 6}});
        self.step("patch.rvstale", merge(stale)).await;
        self.step("patch.delete_default", merge(json!({"spec": {"parallelism": null}}))).await;
        let operations = json!([
            {"op": "add", "path": "/spec/vms", "value": [{"name": "one"}]},
            {"op": "replace", "path": "/spec/mode", "value": "Emergency"},
        ]);
        self.step("patch.json", patch(item("a"), operations, JSON_PATCH)).await;
        let test = json!([{"op": "test", "path": "/spec/mode", "value": "nope"}]);
        self.step_of("patch.json.test_fail", patch(item("a"), test, JSON_PATCH), some(&["code", "reason"])).await;
        let remove = json!([{"op": "remove", "path": "/spec/nope"}]);
        self.step_of("patch.json.nopath", patch(item("a"), remove, JSON_PATCH), some(&["code", "reason"])).await;
        self.step("patch.strategic", patch(item("a"), json!({"spec": {}}), STRATEGIC)).await;
        self.step_of("patch.badct", patch(item("a"), json!({"spec": {}}), "text/plain"), code_only).await;
        self.step("patch.404", patch(item("nope"), json!({"spec": {}}), MERGE)).await;
        self.step("patch.uid", merge(json!({"metadata": {"uid": "x"}}))).await;
    }

    async fn status(&mut self) {
        let status = item("a/status");
        let body = json!({"status": {"phase": "Run", "junk": 1}, "spec": {"parallelism": 9}, "metadata": {"labels": {"no": "no"}}});
        self.step("status.patch", patch(status.clone(), body, MERGE)).await;
        let (_, mut plan_a) = self.send(get(item("a"))).await;
        plan_a["status"] = json!({"phase": "Done", "conditions": [{
            "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "r", "message": "m",
        }]});
        plan_a["spec"]["parallelism"] = 7.into();
        self.step("status.put", put(status.clone(), plan_a)).await;
        self.step("status.get", get(status.clone())).await;
        let maybe = json!({"status": {"conditions": [{"type": "Ready", "status": "Maybe"}]}});
        self.step("status.invalid", patch(status, maybe, MERGE)).await;
        self.step("sub.unknown", get(item("a/scale"))).await;
        let other = plan_with("other", json!({"site": "paris"}), json!({"resourceVersion": "1"}));
        self.step_of("put.nameerr", put(item("a"), other), code_only).await;
    }

    /// The objects that the reading steps list.
    pub(super) async fn three_plans(&mut self) {
        for (index, (site, label)) in [("aa", "x"), ("bb", "y"), ("aa", "z")].into_iter().enumerate() {
            let plan = plan_with(&format!("l{index}"), json!({"site": site}), json!({"labels": {"t": label}}));
            self.send(post(PLANS, plan)).await;
        }
    }

    pub(super) async fn collections(&mut self) {
        let of = |b: &Value| json!([b["kind"], names(b)]);
        self.step_of("delcoll", delete(format!("{PLANS}?labelSelector=t%3Dx")), of).await;
        self.step_of("delcoll.left", get(PLANS), names).await;
    }
}
