//! What goes wrong on purpose.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{API, Arm, Running, send, start};
use jiff::SignedDuration;
use serde_json::{Value, json};

const ONE: &str = "machines: [{name: web-01, state: Reprotected}]";

fn inject(running: &Running, fault: Value) {
    running.site.inject(serde_json::from_value(fault).unwrap());
}

fn failback() -> Value {
    json!({"properties": {"providerSpecificDetails": {"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"}}})
}

#[tokio::test]
async fn the_wire_breaks_in_every_way() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    let item = arm.item_id("web-01");
    let bearer = format!("Bearer {}", arm.token);
    let path = format!("{item}?{API}");
    let headers = [("authorization", bearer.as_str())];
    for (effect, status, text) in [
        (
            json!({"type": "status", "status": 429, "code": "TooManyRequests", "retryAfter": "17"}),
            429,
            "TooManyRequests",
        ),
        (json!({"type": "status", "status": 503}), 503, ""),
        (json!({"type": "status", "status": 500, "body": "boom"}), 500, "boom"),
        (json!({"type": "html", "status": 502}), 502, "<html>"),
        (json!({"type": "status", "status": 403, "code": "AuthorizationFailed"}), 403, "AuthorizationFailed"),
    ] {
        inject(&running, json!({"method": "GET", "path": "*/replicationProtectedItems/*", "effect": effect}));
        let reply = send(running.address, "GET", &path, &headers, "").await.unwrap();
        assert_eq!(reply.status, status);
        assert!(reply.text().contains(text), "{}", reply.text());
        if status == 429 {
            assert_eq!(reply.header("retry-after"), "17");
        }
        assert_eq!(
            send(running.address, "GET", &path, &headers, "").await.unwrap().status,
            200,
            "a fault strikes once"
        );
    }
    inject(&running, json!({"path": "*/web-01", "effect": {"type": "cutBody", "afterBytes": 40}}));
    assert!(send(running.address, "GET", &path, &headers, "").await.is_err());
    inject(&running, json!({"path": "*/web-01", "effect": {"type": "latency", "millis": 120}}));
    let begin = std::time::Instant::now();
    send(running.address, "GET", &path, &headers, "").await.unwrap();
    assert!(begin.elapsed().as_millis() >= 120);

    // Before the effect nothing has happened; after it, everything has, and nobody was told.
    let verb = format!("{item}/plannedFailover?{API}");
    inject(&running, json!({"path": "*/plannedFailover", "effect": {"type": "resetBefore"}}));
    assert!(send(running.address, "POST", &verb, &headers, failback().to_string()).await.is_err());
    assert_eq!(arm.machine("web-01")["operation"], Value::Null);
    inject(&running, json!({"path": "*/plannedFailover", "effect": {"type": "resetAfter"}}));
    assert!(send(running.address, "POST", &verb, &headers, failback().to_string()).await.is_err());
    assert!(arm.machine("web-01")["operation"].is_string());
    let calls: Vec<(u16, bool)> = running.site.calls().iter().map(|call| (call.status, call.effect)).collect();
    assert_eq!(calls, [(0, false), (0, true)]);
    let jobs = arm.get(&format!("{}/replicationJobs", arm.vault)).await;
    assert_eq!(jobs["value"][0]["properties"]["scenarioName"], "PlannedFailover");
}

#[tokio::test]
async fn a_read_without_an_answer_leaves_the_record_alone() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    arm.verb("web-01", "plannedFailover", Some(failback())).await;
    inject(&running, json!({"method": "GET", "effect": {"type": "resetAfter"}}));
    let bearer = format!("Bearer {}", arm.token);
    let path = format!("{}?{API}", arm.item_id("web-01"));
    assert!(send(running.address, "GET", &path, &[("authorization", bearer.as_str())], "").await.is_err());
    let calls: Vec<(u16, bool)> = running.site.calls().iter().map(|call| (call.status, call.effect)).collect();
    assert_eq!(calls, [(202, true)]);
}

#[tokio::test]
async fn the_admin_endpoint_is_out_of_the_reach_of_faults() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    inject(&running, json!({"times": 0, "effect": {"type": "resetBefore"}}));
    let bearer = format!("Bearer {}", arm.token);
    let path = format!("{}?{API}", arm.item_id("web-01"));
    let headers = [("authorization", bearer.as_str())];
    assert!(send(running.address, "GET", &path, &headers, "").await.is_err());
    assert_eq!(send(running.address, "GET", "/_world", &[], "").await.unwrap().status, 200);
    assert_eq!(send(running.address, "DELETE", "/_world/faults", &[], "").await.unwrap().status, 200);
    assert_eq!(send(running.address, "GET", &path, &headers, "").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    let bearer = format!("Bearer {}", arm.token);
    let path = format!("{}/plannedFailover?{API}", arm.item_id("web-01"));
    let headers = [("authorization", bearer.as_str())];
    let mut body = failback();
    body["padding"] = json!("x".repeat(9 << 20));
    let reply = send(running.address, "POST", &path, &headers, body.to_string()).await.unwrap();
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (413, Some("RequestEntityTooLarge")));
    assert!(running.site.calls().is_empty());
    // A large one that is taken is not kept.
    body["padding"] = json!("x".repeat(1 << 20));
    let length = body.to_string().len();
    let reply = send(running.address, "POST", &path, &headers, body.to_string()).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert_eq!(running.site.calls()[0].body, json!({"omitted": length}));
}

#[tokio::test]
async fn a_fault_on_what_is_not_there_is_refused() {
    let running = start(ONE, 0.0).await;
    for (fault, expected) in [
        (json!({"machine": "web-99", "effect": {"type": "jobStuck"}}), "there is no machine `web-99`"),
        (json!({"effect": {"type": "world", "change": {"machine": "web-99"}}}), "there is no machine `web-99`"),
        (json!({"effect": {"type": "world", "change": {"host": "esx99"}}}), "there is no host `esx99`"),
    ] {
        let error = running.site.try_inject(serde_json::from_value(fault.clone()).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let reply = send(running.address, "POST", "/_world/faults", &[], fault.to_string()).await.unwrap();
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some(expected)));
    }
    assert_eq!(running.site.snapshot()["faults"], json!([]));
}

#[tokio::test]
async fn a_list_lags_behind_as_often_and_where_it_is_told_to() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    let vault = format!("{}/replicationProtectedItems", arm.vault);
    let effect = json!({"type": "staleList"});
    inject(&running, json!({"times": 1, "skip": 1, "path": "*/replicationProtectedItems", "effect": effect}));
    inject(&running, json!({"times": 1, "path": "*/nowhere/*", "effect": effect}));
    let job = arm.verb("web-01", "plannedFailover", Some(failback())).await;
    arm.finish(&job).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let list = arm.get(&vault).await;
        seen.push(list["value"][0]["properties"]["protectionState"].as_str().unwrap().to_owned());
    }
    let now = "PlannedFailoverCommitPendingStatesBegin";
    assert_eq!(seen, [now, "Protected", now]);
    let saved = running.site.save().unwrap();
    assert_eq!(saved["faults"]["armed"].as_array().unwrap().len(), 1, "what is used up is gone");
}

#[tokio::test]
async fn a_list_of_jobs_lags_behind_by_seconds_of_the_site() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    inject(&running, json!({"times": 0, "effect": {"type": "lateJobs", "seconds": 60}}));
    arm.verb("web-01", "plannedFailover", Some(failback())).await;
    let list = format!("{}/replicationJobs", arm.vault);
    let listed = async || arm.get(&list).await["value"].as_array().unwrap().len();
    assert_eq!(listed().await, 0);
    running.site.advance(jiff::SignedDuration::from_secs(61));
    assert_eq!(listed().await, 1);
}

#[tokio::test]
async fn jobs_fail_hang_and_are_released() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    inject(
        &running,
        json!({"path": "*/plannedFailover", "effect": {"type": "jobStuck", "task": "FinalSynchronizeTask"}}),
    );
    let job = arm.verb("web-01", "plannedFailover", Some(failback())).await;
    running.site.advance(SignedDuration::from_hours(10));
    let stuck = arm.get(&format!("{}/replicationJobs/{job}", arm.vault)).await;
    assert_eq!(stuck["properties"]["state"], "InProgress");
    let machine = arm.machine("web-01");
    assert_eq!(
        (machine["azureVm"]["powerState"].as_str(), machine["onPremVm"]["powerState"].as_str()),
        (Some("deallocated"), Some("poweredOff"))
    );
    inject(&running, json!({"effect": {"type": "world", "change": {"releaseJobs": true}}}));
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");

    inject(&running, json!({"effect": {"type": "world", "change": {"addLock": "keep"}}}));
    let locks = arm.get(&format!("{}/providers/Microsoft.Authorization/locks", arm.base)).await;
    assert_eq!(locks["value"][0]["properties"]["level"], "CanNotDelete");
    let job = arm.verb("web-01", "failoverCommit", None).await;
    let failed = arm.finish(&job).await;
    assert_eq!(failed["errors"][0]["serviceErrorDetails"]["code"], "ScopeLocked");
    let status = arm.get(&format!("{}/replicationOperationStatus/{job}", arm.vault)).await;
    assert_eq!((status["status"].as_str(), status["error"]["code"].as_str()), (Some("Failed"), Some("ScopeLocked")));
    assert_eq!(arm.machine("web-01")["azureVm"]["exists"], true);
    inject(&running, json!({"effect": {"type": "world", "change": {"removeLock": "keep"}}}));
    let job = arm.verb("web-01", "failoverCommit", None).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
}

#[tokio::test]
async fn the_world_breaks() {
    let running = start("machines: [{name: web-01}, {name: web-02, state: Reprotected}]", 0.0).await;
    let arm = Arm::login(&running).await;
    let fabric = arm.get(&format!("{}/replicationFabrics/onprem-fabric", arm.vault)).await;
    let body = json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMageRcm",
        "reprotectAgentId": fabric["properties"]["customDetails"]["reprotectAgents"][0]["id"], "datastoreName": "datastore1", "logStorageAccountId": "/s"}}});
    for (breakage, mending, code) in [
        (json!({"vcenterConnected": false}), json!({"vcenterConnected": true}), "VCenterNotConnected"),
        (
            json!({"machine": "web-01", "azureVmRunning": false}),
            json!({"machine": "web-01", "azureVmRunning": true, "agentRegistered": true}),
            "78093",
        ),
        (
            json!({"component": "appliance01", "componentHeartbeat": false}),
            json!({"component": "appliance01", "componentHeartbeat": true}),
            "ApplianceNotHealthy",
        ),
        (
            json!({"datastore": "datastore1", "datastoreAccessible": false}),
            json!({"datastore": "datastore1", "datastoreAccessible": true}),
            "8061",
        ),
    ] {
        inject(&running, json!({"effect": {"type": "world", "change": breakage}}));
        let job = arm.verb("web-01", "reProtect", Some(body.clone())).await;
        assert_eq!(arm.finish(&job).await["errors"][0]["serviceErrorDetails"]["code"], code);
        let reply = send(running.address, "POST", "/_world/mend", &[], mending.to_string()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    // A host that fails in the middle: the service cancels the failover by itself.
    inject(
        &running,
        json!({"effect": {"type": "world", "change": {"host": "esx01.example.com", "hostMaintenance": true}}}),
    );
    let job = arm.verb("web-02", "plannedFailover", Some(failback())).await;
    assert_eq!(arm.finish(&job).await["errors"][0]["serviceErrorDetails"]["code"], "8038");
    running.site.advance(SignedDuration::from_mins(10));
    assert_eq!(arm.machine("web-02")["azureVm"]["powerState"], "running");
    // A list that lags behind.
    inject(&running, json!({"times": 0, "effect": {"type": "staleList"}}));
    inject(
        &running,
        json!({"effect": {"type": "world", "change": {"host": "esx01.example.com", "hostMaintenance": false}}}),
    );
    let job = arm.verb("web-02", "plannedFailover", Some(failback())).await;
    arm.finish(&job).await;
    let list = arm.get(&format!("{}/replicationProtectedItems", arm.vault)).await;
    let listed = list["value"].as_array().unwrap().iter().find(|item| item["name"] == "web-02").unwrap().clone();
    assert_eq!(listed["properties"]["protectionState"], "Protected");
    assert_eq!(arm.item("web-02").await["properties"]["protectionState"], "PlannedFailoverCommitPendingStatesBegin");
    inject(&running, json!({"effect": {"type": "world", "change": {"expireTokens": true}}}));
    let reply = arm.call("GET", &arm.item_id("web-02"), None).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (401, Some("ExpiredAuthenticationToken")));
    let reply = send(running.address, "POST", "/_world/mend", &[], json!({"machin": 1}).to_string()).await.unwrap();
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn token_buckets_run_dry_and_fill_again() {
    let running = start("azure: {throttling: {reads: 3, readsPerSecond: 20}}\nmachines: [{name: web-01}]", 0.0).await;
    let arm = Arm::login(&running).await;
    let path = arm.item_id("web-01");
    let mut seen = Vec::new();
    for _ in 0..8 {
        let reply = arm.call("GET", &path, None).await;
        seen.push(reply.status);
        match reply.status {
            200 => assert!(reply.header("x-ms-ratelimit-remaining-subscription-reads").parse::<u32>().unwrap() < 3),
            _ => assert_eq!(reply.header("retry-after"), "1"),
        }
    }
    assert!(seen.contains(&200) && seen.contains(&429), "{seen:?}");
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(arm.call("GET", &path, None).await.status, 200);
}

#[tokio::test]
async fn odd_requests_get_an_answer_and_harm_nothing() {
    let running = start(ONE, 0.0).await;
    let arm = Arm::login(&running).await;
    let before = running.site.snapshot()["machines"].clone();
    let item = arm.item_id("web-01");
    let bearer = format!("Bearer {}", arm.token);
    let bodies = [
        "",
        "null",
        "[]",
        "7",
        "\"x\"",
        "{\"properties\":null}",
        "{\"properties\":{\"providerSpecificDetails\":[]}}",
        "{\"properties\":{\"providerSpecificDetails\":{\"instanceType\":5}}}",
        "{\"properties\":{\"failoverDirection\":1,\"providerSpecificDetails\":{\"instanceType\":\"InMage\"}}}",
        "{",
    ];
    let mut paths: Vec<String> = [
        "reProtect",
        "plannedFailover",
        "unplannedFailover",
        "applyRecoveryPoint",
        "failoverCancel",
        "nonsense",
        "a/b/c",
        "%00",
        "operationresults/x",
    ]
    .iter()
    .map(|verb| format!("{item}/{verb}"))
    .collect();
    paths.extend(
        [
            "",
            "/",
            "//",
            "/replicationJobs/None",
            "/replicationJobs/x/resume",
            "/replicationFabrics/x/y",
            "/replicationRecoveryPlans/p",
            "/replicationRecoveryPlans/p/reProtect",
            "/replicationPolicies/p",
        ]
        .map(|rest| format!("{}{rest}", arm.vault)),
    );
    paths.extend(
        [
            "/",
            "/subscriptions",
            "/subscriptions/x",
            "/sdk",
            "/sdk/x",
            "/vcenters",
            "/vcenters/x/sdk",
            "/_world/x",
            "/x/oauth2/v2.0/token",
        ]
        .map(str::to_owned),
    );
    for path in &paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
            for body in bodies {
                let target = format!("{}?{API}&skipToken=-1&$filter=a", if path.is_empty() { "/" } else { path });
                let reply = send(running.address, method, &target, &[("authorization", bearer.as_str())], body).await;
                let status = reply.unwrap_or_else(|error| panic!("{method} {target} {body}: {error}")).status;
                assert!((200..=599).contains(&status));
            }
        }
    }
    assert_eq!(running.site.snapshot()["machines"], before);
}
