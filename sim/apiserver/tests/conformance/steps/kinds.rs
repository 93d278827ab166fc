//! The built-in kinds, discovery, OpenAPI.

use serde_json::{Value, json};

use super::reading::table;
use super::{GROUP, Suite, code_only, names};
use crate::common::http::{APPLY, STRATEGIC, TABLE, get, patch, post, put};

const CONFIG_MAPS: &str = "/api/v1/namespaces/conf/configmaps";
const SECRETS: &str = "/api/v1/namespaces/conf/secrets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/conf/leases";
const EVENTS: &str = "/api/v1/namespaces/conf/events";

impl Suite {
    pub(super) async fn kinds(&mut self) {
        self.config_maps().await;
        let secret = json!({"metadata": {"name": "s"}, "stringData": {"a": "hello!"}});
        self.step("secret.create", post(SECRETS, secret)).await;
        self.step_of("secret.table", get(SECRETS).accept(TABLE), table).await;
        let spec =
            json!({"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"});
        self.step("lease.create", post(LEASES, json!({"metadata": {"name": "l"}, "spec": spec}))).await;
        self.step_of("lease.table", get(LEASES).accept(TABLE), table).await;
        self.events().await;
        self.discovery().await;
    }

    async fn config_maps(&mut self) {
        let one = format!("{CONFIG_MAPS}/c");
        let map = |data: Value| json!({"metadata": {"name": "c"}, "data": data});
        self.step("cm.create", post(CONFIG_MAPS, map(json!({"a": "b"})))).await;
        self.step("cm.put_norv", put(one.clone(), map(json!({"a": "c"})))).await;
        self.step("cm.strategic", patch(one.clone(), json!({"data": {"x": "y"}}), STRATEGIC)).await;
        let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"q": "r"}});
        self.step("cm.ssa", patch(format!("{one}?fieldManager=m"), applied, APPLY)).await;
        let only = format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dc");
        self.step("cm.list", get(only.clone())).await;
        self.step_of("cm.table", get(only).accept(TABLE), table).await;
    }

    async fn events(&mut self) {
        let event = json!({
            "metadata": {"name": "e1"}, "eventTime": "2026-01-01T00:00:00.000000Z",
            "regarding": {"kind": "FailbackPlan", "name": "a", "namespace": "conf", "uid": "u1"},
            "reason": "R", "action": "Act", "note": "hello", "type": "Normal",
            "reportingController": "x.io/c", "reportingInstance": "i",
        });
        self.step("event.v1", post("/apis/events.k8s.io/v1/namespaces/conf/events", event)).await;
        self.step("event.core", get(format!("{EVENTS}/e1"))).await;
        let about = "fieldSelector=involvedObject.name%3Da%2CinvolvedObject.kind%3DFailbackPlan";
        self.step_of("event.sel", get(format!("{EVENTS}?{about}")), names).await;
        let elsewhere = json!({"metadata": {"name": "e2"}, "involvedObject": {"namespace": "other", "name": "x"}});
        self.step_of("event.badns", post(EVENTS, elsewhere), code_only).await;
    }

    async fn discovery(&mut self) {
        self.step("disco.group", get("/apis/demo.example.io")).await;
        self.step_of("disco.res", get(GROUP), |b| {
            let resource = |r: &Value| {
                let mut verbs: Vec<&str> = r["verbs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                verbs.sort_unstable();
                json!([r["name"], r["kind"], r["shortNames"], verbs, r["categories"], r["singularName"]])
            };
            b["resources"].as_array().unwrap().iter().map(resource).collect()
        })
        .await;
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        self.step_of("disco.agg", get("/apis").accept(accept), |b| {
            let groups = b["items"].as_array().unwrap().iter();
            groups.filter(|i| i["metadata"]["name"] == "demo.example.io").cloned().collect()
        })
        .await;
        let keys = |paths: &Value, of: &dyn Fn(&str) -> bool| {
            paths.as_object().unwrap().keys().filter(|k| of(k)).cloned().map(Value::from).collect::<Value>()
        };
        self.step_of("openapi.paths", get("/openapi/v3"), |b| keys(&b["paths"], &|k| k.contains("demo"))).await;
        self.step_of("openapi.gvk", get(format!("/openapi/v3{GROUP}")), |b| {
            keys(&b["paths"], &|k| k.contains("{name}") && !k.contains("status"))
        })
        .await;
    }
}
