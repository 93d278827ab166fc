//! Scenarios, saving and loading, determinism, scale.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::time::Instant;

use common::{Arm, serve, start, start_with};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sim_site::{Options, Scenario, ScenarioError, Site};

#[test]
fn every_example_scenario_is_a_world() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let scenario = Scenario::from_yaml(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!scenario.machines.is_empty());
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn a_bad_scenario_is_refused_with_the_path_of_the_field() {
    for (yaml, expected) in [
        ("machines: [{name: a, colour: red}]", "machines[0].colour"),
        ("machines: [{name: a, disks: [{size: 4 apples}]}]", "machines[0].disks[0].size"),
        ("durations: {commit: soon}", "durations.commit"),
        ("machines: [{name: a, fabric: nowhere}]", "machines[0].fabric: there is no fabric"),
        (
            "fabrics: [{name: f, generation: classic, masterTargets: [{name: mt, host: esx99}]}]",
            "fabrics[0].masterTargets[0].host: there is no host",
        ),
        ("machines: [{name: a}, {name: A}]", "machines[1].name"),
        ("machines: [{name: a}]\nplans: [{name: p, groups: [{machines: [b]}]}]", "plans[0].groups[0].machines[0]"),
        ("vcenters: [{name: v, datastores: [{name: d, capacity: 1GB, free: 2GB}]}]", "vcenters[0].datastores[0].free"),
        ("machines: [{name: a, count: 0}]", "machines[0].count"),
        ("machines: [{name: a, count: 3}, {name: b, disks: []}]", "machines[1].disks"),
        ("machines: [{name: a, count: 3}, {name: A-0002}]", "machines[1].name"),
        ("machines: [{name: a}, {name: b, item: A}]", "machines[1].item: `a` is there twice in fabric `onprem-fabric`"),
        (
            "vcenters: [{name: v, hosts: [{name: h1}, {name: h2}], datastores: [{name: d1}, {name: d2, hosts: [h2]}]}]\nmachines: [{name: a, datastore: d2}]",
            "machines[0].datastore: host `h1` does not mount `d2`",
        ),
        (
            "vcenters: [{name: v, hosts: [{name: h1}, {name: h2}], datastores: [{name: d1}, {name: d2, hosts: [h2]}]}]\nmachines: [{name: a, disks: [{size: 1GB, datastore: d2}]}]",
            "machines[0].disks[0].datastore: host `h1` does not mount `d2`",
        ),
        (
            "machines: [{name: a}]\nfaults: [{machine: b, effect: {type: jobStuck}}]",
            "faults[0].machine: there is no machine `b`",
        ),
    ] {
        let error = Scenario::from_yaml(yaml).unwrap_err();
        assert!(error.to_string().contains(expected), "{yaml}: {error}");
        let impossible = matches!(error, ScenarioError::Impossible { .. });
        assert_eq!(impossible, error.to_string().contains("impossible"));
    }
}

async fn walk(speed_free: &common::Running) -> Value {
    let arm = Arm::login(speed_free).await;
    let fabric = arm.get(&format!("{}/replicationFabrics/onprem-fabric", arm.vault)).await;
    let body = json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMageRcm",
        "reprotectAgentId": fabric["properties"]["customDetails"]["reprotectAgents"][0]["id"], "datastoreName": "datastore1", "logStorageAccountId": "/s"}}});
    let job = arm.verb("web-01", "reProtect", Some(body)).await;
    arm.finish(&job).await;
    arm.until("web-01", "Protected").await;
    speed_free.site.snapshot()
}

#[tokio::test]
async fn same_scenario_seed_and_requests_same_world() {
    let begin: Timestamp = "2026-01-05T08:00:00Z".parse().unwrap();
    let mut worlds = Vec::new();
    for seed in [7, 7, 8] {
        let running = start_with(
            include_str!("../../../examples/scenarios/one-machine.yaml"),
            Options::at_speed(0.0).with_seed(seed).with_origin(begin),
        )
        .await;
        worlds.push(walk(&running).await);
    }
    assert_eq!(worlds[0], worlds[1]);
    assert_ne!(worlds[0]["jobs"][0]["id"], worlds[2]["jobs"][0]["id"], "another seed makes other ids");
}

#[tokio::test]
async fn a_saved_world_goes_on_where_it_was() {
    let begin: Timestamp = "2026-01-05T08:00:00Z".parse().unwrap();
    let running =
        start_with("machines: [{name: web-01, state: Reprotected}]", Options::at_speed(0.0).with_origin(begin)).await;
    let arm = Arm::login(&running).await;
    let body = json!({"properties": {"providerSpecificDetails": {"instanceType": "InMageRcmFailback", "recoveryPointType": "ApplicationConsistent"}}});
    let job = arm.verb("web-01", "plannedFailover", Some(body)).await;
    running.site.advance(SignedDuration::from_mins(10));
    let saved = arm.running.site.save().unwrap();
    arm.finish(&job).await;
    let loaded = serve(Site::load(saved.clone(), Options::at_speed(0.0)).unwrap()).await;
    assert_eq!(loaded.site.now().duration_since(begin).as_mins(), 10);
    let later = Arm::login(&loaded).await;
    assert_eq!(later.machine("web-01")["onPremVm"]["powerState"], "poweredOff");
    assert_eq!(later.finish(&job).await["state"], "Succeeded");
    assert_eq!(loaded.site.snapshot()["machines"], running.site.snapshot()["machines"]);
    // The same over the admin endpoint, back in time.
    let reply = common::send(running.address, "POST", "/_world/load", &[], saved.to_string()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(running.site.now().duration_since(begin).as_mins(), 10);
}

#[tokio::test]
async fn what_nobody_has_published_is_a_knob() {
    let yaml = "machines: [{name: web-01, state: Reprotected}]\nunknowns: {stateAfterPlannedFailover: PlannedFailoverCommitRequired, concurrentOperation: failedJob, locationAfterFailback: Primary, commitWithoutAzureVm: fail, operationUrlLifetime: 1h}";
    let running = start(yaml, 0.0).await;
    let arm = Arm::login(&running).await;
    let body = json!({"properties": {"providerSpecificDetails": {"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"}}});
    let reply = arm.call("POST", &format!("{}/plannedFailover", arm.item_id("web-01")), Some(body.clone())).await;
    let url = reply.header("azure-asyncoperation");
    assert!(url.len() > 3_000, "signed URLs are long");
    let path = url.split_once(&running.address.to_string()).unwrap().1.to_owned();
    assert_eq!(arm.call("GET", &path, None).await.json()["status"], "InProgress");
    let job = arm.verb("web-01", "plannedFailover", Some(body)).await;
    assert_eq!(arm.finish(&job).await["errors"][0]["serviceErrorDetails"]["code"], "OperationInProgress");
    running.site.advance(SignedDuration::from_hours(2));
    assert_eq!(arm.call("GET", &path, None).await.status, 403, "and die");
    let item = arm.item("web-01").await;
    assert_eq!(
        (item["properties"]["protectionState"].as_str(), item["properties"]["activeLocation"].as_str()),
        (Some("PlannedFailoverCommitRequired"), Some("Primary"))
    );
    running.site.inject(
        serde_json::from_value(
            json!({"effect": {"type": "world", "change": {"machine": "web-01", "azureVmExists": false}}}),
        )
        .unwrap(),
    );
    let job = arm.verb("web-01", "failoverCommit", None).await;
    assert_eq!(arm.finish(&job).await["state"], "Failed");
}

#[tokio::test]
async fn compute_starts_and_stops_but_never_deletes() {
    let running = start("machines: [{name: web-01}]", 0.0).await;
    let arm = Arm::login(&running).await;
    let vm = format!("{}/providers/Microsoft.Compute/virtualMachines/web-01", arm.base);
    let power = |body: &Value| body["statuses"][1]["code"].as_str().unwrap().to_owned();
    assert_eq!(
        power(&arm.get(&format!("{vm}?$expand=instanceView")).await["properties"]["instanceView"]),
        "PowerState/running"
    );
    let reply = arm.call("POST", &format!("{vm}/deallocate"), None).await;
    assert_eq!(reply.status, 202);
    assert_eq!(power(&arm.get(&format!("{vm}/instanceView")).await), "PowerState/deallocating");
    running.site.advance(SignedDuration::from_mins(2));
    assert_eq!(power(&arm.get(&format!("{vm}/instanceView")).await), "PowerState/deallocated");
    let operation = reply.header("azure-asyncoperation").split_once(&running.address.to_string()).unwrap().1.to_owned();
    assert_eq!(arm.get(&operation).await["status"], "Succeeded");
    arm.call("POST", &format!("{vm}/start"), None).await;
    running.site.advance(SignedDuration::from_mins(2));
    assert_eq!(arm.machine("web-01")["agentRegistered"], false, "after a boot the agent registers anew");
    running.site.advance(SignedDuration::from_mins(9));
    assert_eq!(arm.machine("web-01")["agentRegistered"], true);
    assert_eq!(arm.call("DELETE", &vm, None).await.status, 403);
    assert_eq!(
        arm.call("GET", &vm.replace("web-01", "web-02"), None).await.json()["error"]["code"],
        "ResourceNotFound"
    );
}

/// Resident memory of this process in MB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Bounds for a debug build on a busy machine; `cargo run --release -p sim-site --example scale` holds the site to the strict ones
/// (start below 2 s, a page below 20 ms).
#[tokio::test]
async fn ten_thousand_items() {
    let begin = Instant::now();
    let running = start("machines: [{name: vm, count: 10000}]", 60.0).await;
    let started = begin.elapsed();
    let arm = Arm::login(&running).await;
    let mut next = format!("{}/replicationProtectedItems", arm.vault);
    let mut count = 0;
    let mut pages = Vec::new();
    loop {
        let begin = Instant::now();
        let page = arm.get(&next).await;
        pages.push(begin.elapsed());
        count += page["value"].as_array().unwrap().len();
        match page["nextLink"].as_str() {
            Some(link) => next = link.split_once(&running.address.to_string()).unwrap().1.to_owned(),
            None => break,
        }
    }
    pages.sort();
    let (median, memory) = (pages[pages.len() / 2], memory());
    println!("start {started:?}, median page {median:?}, {memory} MB");
    assert_eq!((count, pages.len()), (10_000, 100));
    assert!(started.as_secs() < 8, "start took {started:?}");
    assert!(median.as_millis() < 400, "a list page took {median:?}");
    assert!(memory < 400, "{memory} MB are resident");
}

#[tokio::test]
async fn two_running_copies_are_told_with_their_times() {
    let running = start("machines: [{name: web-01}, {name: web-02, originalVmRunning: true}]", 0.0).await;
    let mend = |change: Value| {
        running.site.inject(serde_json::from_value(json!({"effect": {"type": "world", "change": change}})).unwrap())
    };
    running.site.advance(SignedDuration::from_mins(1));
    mend(json!({"machine": "web-01", "onPremRunning": true}));
    running.site.advance(SignedDuration::from_mins(3));
    mend(json!({"machine": "web-01", "onPremRunning": false}));
    let arm = Arm::login(&running).await;
    let machine = arm.machine("web-01");
    assert_eq!(machine["bothRunningEver"], true);
    let interval = &machine["bothRunning"][0];
    let time = |key: &str| interval[key].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(time("until").duration_since(time("from")).as_mins(), 3);
    // What was so at the start is nobody's doing.
    let machine = arm.machine("web-02");
    assert_eq!(
        (machine["bothRunningEver"].as_bool(), machine["bothRunning"][0]["fromTheStart"].as_bool()),
        (Some(false), Some(true))
    );
}

#[tokio::test]
async fn members_of_a_group_share_their_app_consistent_points() {
    let running = start("machines: [{name: app-01, group: g, state: Protected}, {name: app-02, group: g, state: Protected, since: 9h}, {name: web-01, state: Protected}]", 0.0).await;
    let arm = Arm::login(&running).await;
    let mut newest = Vec::new();
    for name in ["app-01", "app-02", "web-01"] {
        let points = arm.get(&format!("{}/recoveryPoints", arm.item_id(name))).await;
        let app = points["value"]
            .as_array()
            .unwrap()
            .iter()
            .find(|point| point["properties"]["recoveryPointType"] == "ApplicationConsistent")
            .unwrap()
            .clone();
        newest.push((
            app["properties"]["recoveryPointTime"].clone(),
            app["properties"]["providerSpecificDetails"]["isMultiVmSyncPoint"].clone(),
        ));
    }
    assert_eq!(newest[0], newest[1]);
    assert_eq!((newest[0].1.as_str(), newest[2].1.as_str()), (Some("true"), Some("false")));
}

#[tokio::test]
async fn the_timer_lets_things_happen_without_anybody_looking() {
    let running = start("machines: [{name: web-01}]", 600.0).await;
    let arm = Arm::login(&running).await;
    arm.call("POST", &format!("{}/providers/Microsoft.Compute/virtualMachines/web-01/deallocate", arm.base), None)
        .await;
    common::eventually(|| arm.machine("web-01")["azureVm"]["powerState"] == "deallocated").await;
}

#[tokio::test]
async fn the_pages_of_a_filtered_list_stay_filtered() {
    let yaml = "azure: {pageSize: 2}\nmachines: [{name: app, count: 5, group: one & only}, {name: web, count: 5}]";
    let running = start(yaml, 0.0).await;
    let arm = Arm::login(&running).await;
    let filter = "multiVmGroupName%20eq%20'one%20%26%20only'";
    let mut next = format!("{}/replicationProtectedItems?$filter={filter}", arm.vault);
    let mut names = Vec::new();
    loop {
        let page = arm.get(&next).await;
        names.extend(page["value"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        match page["nextLink"].as_str() {
            Some(link) => next = link.split_once(&running.address.to_string()).unwrap().1.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["app-0001", "app-0002", "app-0003", "app-0004", "app-0005"]);
}
