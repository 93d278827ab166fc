//! Finalizers, preconditions, deletion.

use serde_json::json;

use super::{Suite, item, some_meta};
use crate::common::http::{MERGE, delete, get, patch};

impl Suite {
    pub(super) async fn deleting(&mut self) {
        let merge = |body| patch(item("s"), body, MERGE);
        self.step("del.with_finalizer", delete(item("s"))).await;
        self.step("del.again", delete(item("s"))).await;
        self.step("del.addfin", merge(json!({"metadata": {"finalizers": ["x.io/a", "x.io/b"]}}))).await;
        let spec = merge(json!({"spec": {"mode": "Emergency"}}));
        self.step_of("del.spec_change", spec, |b| b["metadata"]["generation"].clone()).await;
        let release = merge(json!({"metadata": {"finalizers": null}}));
        self.step_of("del.unfin", release, some_meta(&["finalizers", "deletionTimestamp", "generation"])).await;
        self.step("del.gone", get(item("s"))).await;
        self.step("del.404", delete(item("s"))).await;
        let options = |more| json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": more});
        self.step("del.precond_uid", delete(item("a")).with(options(json!({"uid": "zzz"})))).await;
        self.step("del.precond_rv", delete(item("a")).with(options(json!({"resourceVersion": "1"})))).await;
        self.step_of("del.dry", delete(format!("{}?dryRun=All", item("a"))), |b| b["kind"].clone()).await;
        let foreground = delete(item("b")).with(json!({"propagationPolicy": "Foreground"}));
        let fields = &["finalizers", "deletionTimestamp", "generation", "deletionGracePeriodSeconds"];
        self.step_of("del.foreground", foreground, some_meta(fields)).await;
        self.send(patch(item("b"), json!({"metadata": {"finalizers": null}}), MERGE)).await;
        self.step("del.plain", delete(item("a"))).await;
    }
}
