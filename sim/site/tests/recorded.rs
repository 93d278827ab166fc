//! The site, put through requests that were recorded against the real service, answers with the same status codes, headers and JSON shape.
//!
//! The recordings are not part of the repository: `FAILBACK_ASR_DATA` names their directory. What remains different is listed, with reasons, in
//! `recorded_differences.yaml`; a difference that is not listed fails the test, and so does an entry that no longer applies.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::{Arm, start_with};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use sim_site::{Options, Scenario};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// `{exchange} {what}`; `*` stands for anything.
    difference: String,
    reason: String,
}

fn data() -> Option<PathBuf> {
    let directory = std::env::var_os("FAILBACK_ASR_DATA").map(PathBuf::from);
    if directory.is_none() {
        common::skipped("FAILBACK_ASR_DATA does not name the directory of the recordings");
    }
    directory
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Values that must be equal, wherever they are.
const EQUAL: &[&str] = &[
    "protectionState",
    "protectionStateDescription",
    "allowedOperations",
    "activeLocation",
    "instanceType",
    "testFailoverState",
    "scenarioName",
    "friendlyName",
    "name",
    "type",
    "replicationHealth",
    "state",
    "status",
    "stateDescription",
    "allowedActions",
    "taskType",
    "code",
];

fn compare(path: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            for (key, value) in recorded {
                match ours.get(key) {
                    None => found.push(format!("{path}.{key} is missing")),
                    Some(our) => {
                        if EQUAL.contains(&key.as_str()) && value != our {
                            found.push(format!("{path}.{key} is {our} instead of {value}"));
                        }
                        compare(&format!("{path}.{key}"), value, our, found);
                    }
                }
            }
            for key in ours.keys().filter(|key| !recorded.contains_key(*key)) {
                found.push(format!("{path}.{key} is there"));
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            match (recorded.len(), ours.len()) {
                (0, 0) => {}
                (0, _) => found.push(format!("{path} is not empty")),
                (_, 0) => found.push(format!("{path} is empty")),
                (wanted, is) if wanted != is => found.push(format!("{path} has {is} elements instead of {wanted}")),
                _ => {}
            }
            for (recorded, our) in recorded.iter().zip(ours) {
                compare(&format!("{path}[]"), recorded, our, found);
            }
        }
        _ if kind(recorded) != kind(ours) => {
            found.push(format!("{path} is {} instead of {}", kind(ours), kind(recorded)))
        }
        _ => {}
    }
}

/// Every difference is listed, and everything that is listed is found.
fn judge(prefix: &str, found: BTreeSet<String>) {
    let listed: Vec<Listed> = serde_yaml::from_str(include_str!("recorded_differences.yaml")).unwrap();
    let listed: Vec<Listed> = listed.into_iter().filter(|listed| listed.difference.starts_with(prefix)).collect();
    assert!(listed.iter().all(|listed| listed.reason.len() > 20), "each difference has a reason");
    let matches = |pattern: &str, text: &str| {
        let mut rest = text;
        let parts: Vec<&str> = pattern.split('*').collect();
        for (number, part) in parts.iter().enumerate() {
            let at = match (number, rest.find(part)) {
                (0, Some(0)) => 0,
                (0, _) | (_, None) => return false,
                (_, Some(at)) => at,
            };
            rest = &rest[at + part.len()..];
        }
        pattern.ends_with('*') || rest.is_empty()
    };
    let unlisted: Vec<&String> =
        found.iter().filter(|text| !listed.iter().any(|listed| matches(&listed.difference, text))).collect();
    assert!(
        unlisted.is_empty(),
        "differences that are not listed:\n{}",
        unlisted.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n")
    );
    let stale: Vec<&str> = listed
        .iter()
        .map(|listed| listed.difference.as_str())
        .filter(|pattern| !found.iter().any(|text| matches(pattern, text)))
        .collect();
    assert!(stale.is_empty(), "listed differences that are gone:\n{}", stale.join("\n"));
}

/// The recorded site: one Windows VM of 40 GB, one appliance.
const MODERNIZED: &str = r#"
azure: {subscription: 00000000-0000-0000-0000-000000000000, resourceGroup: rgtestsrv2arcm, vault: vaulttestv2arcm, location: eastus}
vcenters:
  - name: vcenter65
    datastores: [{name: 5 TB External storage}, {name: Datastore 3}, {name: datastore1 (6)}]
fabrics:
  - name: vaulttestv2arcm-vmwarefabric
    container: vaulttestvf5e8replicationcontainer
    policy: default-policy
    appliances: [{name: vaultv2arcm, id: 83629832-8201-4d31-b9cd-a644185d035a}]
machines:
  - {name: RCM-Win2K16-01, state: Unprotected, datastore: Datastore 3, azureVmRenamed: true, disks: [{size: 40GB}], agent: {delay: 11m}, ip: 10.150.249.15}
durations: {enable: 27m, initialReplicationBase: 2m, bandwidthPerSecond: 32MB, checksumPerSecond: 45MB, firstRecoveryPoint: 29m}
"#;

fn date(exchange: &Value) -> Timestamp {
    let text = exchange["responseHeaders"]["date"][0].as_str().unwrap();
    jiff::fmt::rfc2822::parse(text).unwrap().timestamp()
}

#[tokio::test]
async fn the_recorded_cycle_of_the_modernized_generation() {
    let Some(directory) = data() else { return };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory.join("recorded")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 44, "{} exchanges", files.len());
    let exchanges: Vec<(String, Value)> = files
        .iter()
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy()[..3].to_owned(),
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
            )
        })
        .collect();
    let running = start_with(MODERNIZED, Options::at_speed(0.0).with_origin(date(&exchanges[0].1))).await;
    let azure = sim_site::scenario::Azure { ..Scenario::from_yaml(MODERNIZED).unwrap().azure };
    let arm = Arm::login_as(&running, &azure).await;
    let mut found = BTreeSet::new();
    for (number, exchange) in &exchanges {
        let wait = date(exchange).duration_since(running.site.now());
        running.site.advance(wait.max(SignedDuration::ZERO));
        let uri = exchange["uri"].as_str().unwrap().strip_prefix("https://management.azure.com").unwrap();
        let body = Some(exchange["requestBody"].clone()).filter(|body| !body.is_null());
        let reply = arm.call(exchange["method"].as_str().unwrap(), uri, body).await;
        assert_eq!(u64::from(reply.status), exchange["status"]["code"].as_u64().unwrap(), "{number}: {}", reply.text());
        for (name, values) in exchange["responseHeaders"].as_object().unwrap() {
            let ours = reply.header(name);
            if ours.is_empty() {
                found.insert(format!("modernized {number} header {name} is missing"));
            }
            let theirs = values[0].as_str().unwrap();
            if matches!(name.as_str(), "cache-control" | "pragma" | "expires" | "content-type") && ours != theirs {
                found.insert(format!("modernized {number} header {name} is {ours} instead of {theirs}"));
            }
            if matches!(name.as_str(), "location" | "azure-asyncoperation") {
                // Host, operation id and signature are the run's own; the path is not.
                let path = |url: &str| {
                    url.split('?').next().unwrap().split('/').skip(3).map(str::to_owned).collect::<Vec<_>>()
                };
                let (mut ours, mut theirs) = (path(&ours), path(theirs));
                ours.pop();
                theirs.pop();
                assert_eq!(ours, theirs, "{number} {name}");
            }
        }
        let mut differences = Vec::new();
        let recorded = &exchange["responseBody"];
        if recorded.is_null() {
            assert!(reply.body.is_empty(), "{number}: {}", reply.text());
        } else {
            compare("", recorded, &reply.json(), &mut differences);
        }
        found.extend(differences.into_iter().map(|difference| format!("modernized {number} {difference}")));
    }
    judge("modernized", found);
}

/// The recorded classic site.
const CLASSIC: &str = r#"
azure: {subscription: b8aef8e1-37df-4f17-a537-f10e183c8eca, resourceGroup: PwsTestRG, vault: PwsTestVault}
vcenters:
  - name: vcenter65
    hosts: [{name: esx01}, {name: esx02}]
    datastores: [{name: datastore1}, {name: DS-77}]
fabrics:
  - name: PwsTestCS
    generation: classic
    policy: Policyv2a
    configurationServer: {ip: 10.144.130.132, version: 9.41.0.0, id: 14968BDF-E18E-7F45-A9B0E3EFAC2DDCA2}
    processServers: [{name: V2A-PS-200, ip: 10.150.108.21, id: 30AE6187-5869-8E44-B8AF6AA66E3ECC8F}]
    masterTargets: [{name: V2A-PS-200, id: 30AE6187-5869-8E44-B8AF6AA66E3ECC8F, ip: 10.150.108.21, retention: [{name: F, capacity: 10GB, free: 9GB}]}]
machines:
  - {name: V2A-W2K16-201, item: V2A-W2K16-201-new, disks: [{size: 30GB}, {size: 5GB}], datastore: datastore1}
"#;

#[tokio::test]
async fn the_recorded_bodies_of_the_classic_generation() {
    let Some(directory) = data() else { return };
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(directory.join("recorded-classic").join(name)).unwrap()).unwrap()
    };
    let running = start_with(CLASSIC, Options::at_speed(0.0)).await;
    let azure = sim_site::scenario::Azure { ..Scenario::from_yaml(CLASSIC).unwrap().azure };
    let arm = Arm::login_as(&running, &azure).await;
    let requests = read("requests.json");
    let policy = |body: &Value| {
        // The recorded policy has a name of its own; everything else goes as it is.
        let text = body.to_string().replace("Ploicyv2a-failback", "Policyv2a-failback");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let mut found = BTreeSet::new();
    let mut check = |what: &str, recorded: &Value, ours: &Value| {
        let mut differences = Vec::new();
        compare("", recorded, ours, &mut differences);
        found.extend(differences.into_iter().map(|difference| format!("classic {what} {difference}")));
    };
    let fabrics = arm.get(&format!("{}/replicationFabrics", arm.vault)).await;
    let name = fabrics["value"][0]["name"].as_str().unwrap().to_owned();
    check(
        "fabric",
        &read("fabric_vmware_get.json"),
        &arm.get(&format!("{}/replicationFabrics/{name}", arm.vault)).await,
    );
    for recorded in read("policies.json").as_array().unwrap() {
        let name = recorded["name"].as_str().unwrap().replace("Ploicyv2a", "Policyv2a");
        check("policy", recorded, &arm.get(&format!("{}/replicationPolicies/{name}", arm.vault)).await);
    }
    let job = arm.verb("V2A-W2K16-201", "reProtect", Some(policy(&requests["reProtect_azure_to_onprem"]))).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    arm.until("V2A-W2K16-201", "Protected").await;
    running.site.advance(SignedDuration::from_hours(5));
    check("item", &read("rpi_InMage_protected_get.json"), &arm.item("V2A-W2K16-201").await);
    check(
        "list",
        &read("rpi_InMage_protected_LIST_trimmed.json"),
        &arm.get(&format!("{}/replicationProtectedItems", arm.vault)).await,
    );
    let job =
        arm.verb("V2A-W2K16-201", "unplannedFailover", Some(requests["unplannedFailover_failback"].clone())).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    let job = arm.verb("V2A-W2K16-201", "failoverCommit", None).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    running.site.advance(SignedDuration::from_mins(15));
    let job = arm.verb("V2A-W2K16-201", "reProtect", Some(requests["reProtect_onprem_to_azure"].clone())).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    assert_eq!(arm.machine("V2A-W2K16-201")["bothRunningEver"], false);
    judge("classic", found);
}
