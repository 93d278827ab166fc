//! Watches.

use serde_json::{Value, json};

use super::{PLANS, Suite, item, plan_with};
use crate::common::http::{JSON, MERGE, TABLE, Watch, delete, get, patch, post};

fn seen(events: &[Value]) -> Value {
    let end = |o: &Value| o["metadata"]["annotations"]["k8s.io/initial-events-end"].clone();
    events.iter().map(|e| json!([e["type"], e["object"]["metadata"]["name"], end(&e["object"])])).collect()
}

fn version(events: &[Value], kind: &str) -> u64 {
    let event = events.iter().find(|e| e["type"] == kind).unwrap();
    event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

impl Suite {
    async fn watch(&self, query: &str, accept: &'static str) -> Watch {
        Watch::open(&self.client, &format!("{PLANS}?watch=1&{query}"), accept).await
    }

    pub(super) async fn watching(&mut self) {
        self.changes().await;
        self.starts().await;
        self.collections().await;
    }

    async fn changes(&mut self) {
        let (_, list) = self.send(get(PLANS)).await;
        let from =
            format!("resourceVersion={}&timeoutSeconds=1", list["metadata"]["resourceVersion"].as_str().unwrap());
        let all = self.watch(&from, JSON).await;
        let labelled = self.watch(&format!("{from}&labelSelector=t%3Dx"), JSON).await;
        let table = self.watch(&from, TABLE).await;
        let named = self.watch(&format!("{from}&fieldSelector=metadata.name%3Dl1"), JSON).await;
        let label = |name: &str, value: &str| patch(item(name), json!({"metadata": {"labels": {"t": value}}}), MERGE);
        self.send(label("l1", "x")).await;
        self.send(label("l0", "q")).await;
        self.send(post(PLANS, plan_with("l9", json!({"site": "paris"}), json!({"labels": {"t": "x"}})))).await;
        self.send(label("l9", "x")).await;
        self.send(delete(item("l9"))).await;
        let code = all.code;
        let all = all.events().await;
        self.note("watch.rv", code, seen(&all));
        let labelled = labelled.events().await;
        self.note("watch.labelsel", 0, seen(&labelled));
        let named = named.events().await;
        self.note("watch.fieldsel", 0, seen(&named));
        let row = |e: &Value| {
            let cells: Vec<&Value> = e["object"]["rows"].as_array().unwrap().iter().map(|r| &r["cells"][0]).collect();
            let columns = e["object"]["columnDefinitions"].as_array().is_some_and(|c| !c.is_empty());
            json!([e["type"], e["object"]["kind"], columns, cells])
        };
        let table: Vec<Value> = table.events().await.iter().map(row).collect();
        self.note("watch.table", 0, table.into());
        self.note("watch.deleted_rv_newer", 0, (version(&all, "DELETED") > version(&all, "ADDED")).into());
    }

    async fn starts(&mut self) {
        for (step, query) in [("watch.norv", ""), ("watch.rv0", "resourceVersion=0&")] {
            let watch = self.watch(&format!("{query}timeoutSeconds=1"), JSON).await;
            let code = watch.code;
            let events = watch.events().await;
            self.note(step, code, seen(&events));
        }
        let streaming =
            "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
        let watch = self.watch(streaming, JSON).await;
        let code = watch.code;
        let mut events = watch.events().await;
        let ends = |e: &Value| e["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true";
        events.retain(|e| e["type"] != "BOOKMARK" || ends(e));
        self.note("watch.streaming", code, seen(&events));
        let watch = self.watch("sendInitialEvents=true&timeoutSeconds=1", JSON).await;
        let code = watch.code;
        let events = watch.events().await;
        let refusal: Vec<Value> = events.iter().map(|e| json!({"code": e["code"], "reason": e["reason"]})).collect();
        self.note("watch.streaming_bad", code, refusal.into());
        let watch = self.watch("resourceVersion=1&timeoutSeconds=1", JSON).await;
        let code = watch.code;
        let first = watch.events().await.first().map(|e| json!([e["type"], e["object"]["code"]]));
        self.note("watch.oldrv", code, first.into_iter().collect());
    }
}
