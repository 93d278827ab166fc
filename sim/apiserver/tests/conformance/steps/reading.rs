//! Lists, selectors, paging, tables.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{GROUP, PLANS, Suite, code_only, item, names, some};
use crate::common::http::{TABLE, get};

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A table without what is in its rows' objects.
pub(super) fn table(body: &Value) -> Value {
    let column = |c: &Value| json!([c["name"], c["type"], c["format"], c["priority"]]);
    let columns: Vec<Value> = body["columnDefinitions"].as_array().into_iter().flatten().map(column).collect();
    let row = |r: &Value| json!([r["cells"], r["object"]["kind"]]);
    let rows: Vec<Value> = body["rows"].as_array().into_iter().flatten().map(row).collect();
    json!({"kind": body["kind"], "cols": columns, "rows": rows})
}

impl Suite {
    pub(super) async fn reading(&mut self) {
        self.three_plans().await;
        self.step("list.all", get(PLANS)).await;
        for selector in ["t=x", "t!=x", "t in (x,y)", "t notin (x,y)", "t", "!t", "t=x,t=y", "t==z"] {
            let call = get(format!("{PLANS}?labelSelector={}", encode(selector)));
            self.step_of(&format!("list.sel {selector}"), call, names).await;
        }
        let fields = [
            "metadata.name=l1",
            "metadata.name!=l1",
            "metadata.namespace=conf",
            "spec.site=aa",
            "spec.mode=x",
            "spec.site=aa,metadata.name=l2",
        ];
        for selector in fields {
            let call = get(format!("{PLANS}?fieldSelector={}", encode(selector)));
            self.step_of(&format!("list.fsel {selector}"), call, names).await;
        }
        self.paging().await;
        self.step_of("list.table", get(PLANS).accept(TABLE), table).await;
        self.step_of("get.table", get(item("l0")).accept(TABLE), table).await;
        let partial = get(PLANS).accept("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
        self.step_of("list.partial", partial, |b| {
            let keys = |i: &Value| json!(i.as_object().unwrap().keys().collect::<Vec<_>>());
            let items: Vec<Value> = b["items"].as_array().unwrap().iter().map(keys).collect();
            json!([b["kind"], b["apiVersion"], items])
        })
        .await;
        let future = format!("{PLANS}?resourceVersion=999999999&resourceVersionMatch=NotOlderThan&timeoutSeconds=1");
        self.step_of("list.future_rv", get(future), some(&["code", "reason"])).await;
        self.step_of("list.allns", get(format!("{GROUP}/failbackplans")), names).await;
        self.step("get.404", get(item("zzz"))).await;
        let unknown = get(format!("{GROUP}/namespaces/conf/foos"));
        self.step_of("unknown.resource", unknown, |b| if b.is_string() { b.clone() } else { code_only(b) }).await;
        self.step_of("get.yaml", get(item("l0")).accept("application/yaml"), |b| b.is_string().into()).await;
    }

    async fn paging(&mut self) {
        let page = |b: &Value| {
            let token = b["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            (json!([names(b), b["metadata"]["remainingItemCount"], !token.is_empty()]), token)
        };
        let (code, first) = self.send(get(format!("{PLANS}?limit=2"))).await;
        let (kept, token) = page(&first);
        self.note("list.limit", code, kept);
        let (code, second) = self.send(get(format!("{PLANS}?limit=2&continue={}", encode(&token)))).await;
        let (mut kept, _) = page(&second);
        let same = first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"];
        kept.as_array_mut().unwrap().push(same.into());
        self.note("list.continue", code, kept);
    }
}
