//! A machine whose service does not answer is not committed.

use std::{net::TcpListener, time::Duration};

use failback::{
    api::{CheckResult, ItemPhase},
    core::conditions,
};
use serde_json::json;

use crate::stage::Stage;

const WALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_holds_the_commit_until_it_opens() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stage = Stage::with(1200.0, |object| {
        if object["kind"] == "ReplicatedItem" {
            let tcp = json!({ "host": "127.0.0.1", "port": address.port() });
            let probe = json!({ "name": "https", "tcp": tcp, "intervalSeconds": 300, "failureThreshold": 2 });
            object["spec"]["verification"] = json!({ "probes": [probe] });
        }
    })
    .await;
    let status = || async { stage.items().get("web-01").await.unwrap().status.unwrap_or_default() };
    stage
        .until(WALL, "the probe has failed", || async {
            let verified = conditions::find(&status().await.conditions, "Verified").cloned();
            verified.is_some_and(|verified| verified.status == "False" && verified.reason == "ProbesFailed")
        })
        .await;
    // Twenty simulated minutes more do not wear it down.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held = status().await;
    assert_eq!(
        (held.phase, stage.verbs()),
        (ItemPhase::FailedBack, vec!["reProtect".to_owned(), "plannedFailover".to_owned()])
    );
    assert_eq!(held.probes[0].result, CheckResult::Failed);
    let check = held.checks.iter().find(|check| check.name == "ProbesPassed").unwrap();
    assert!(check.message.starts_with("Probe \"https\" since ") && check.message.contains("refused"), "{check:?}");

    let _service = TcpListener::bind(address).unwrap();
    stage.plan_ready(WALL).await;
    assert_eq!(status().await.phase, ItemPhase::Protected);
    assert!(!stage.both_ran());
    stage.end().await;
}
