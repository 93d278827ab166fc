//! The conformance suite: the same steps in-process, over HTTP and against a real kube-apiserver, compared with what a
//! real v1.36 answered (`fixtures/real-v1.36.json`, a recording of these very steps).
//!
//! The real server runs when `KUBEBUILDER_ASSETS` names a directory with `kube-apiserver` and `etcd`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is how it fails"
)]

#[path = "../common/mod.rs"]
mod common;
mod steps;

use std::collections::BTreeMap;

use common::normal::{Normal, differences};
use common::real::RealServer;
use kube::Client;
use serde_json::Value;
use steps::Suite;

/// Steps that differ, each with its reason.
const DIFFERENCES: &str = include_str!("../fixtures/differences.txt");

fn known() -> BTreeMap<&'static str, &'static str> {
    let lines = DIFFERENCES.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|l| l.split_once(" | ").expect("STEP | REASON")).collect()
}

/// Runs all steps and compares them; `listed` says whether the known differences are expected to show.
async fn compare(client: Client, listed: bool) {
    let answers = Suite::run(client).await;
    let golden = common::json("real-v1.36.json");
    let golden = golden.as_array().unwrap();
    let normal = Normal::new();
    let known = if listed { known() } else { BTreeMap::new() };
    let (mut failures, mut same) = (Vec::new(), 0);
    for step in golden {
        let name = step["step"].as_str().unwrap();
        let Some((code, body)) = answers.get(name) else {
            failures.push(format!("{name}: not run"));
            continue;
        };
        if step["code"] != *code {
            failures.push(format!("{name}: code {code} instead of {}", step["code"]));
        }
        let mut found = Vec::new();
        differences(&normal.value(&step["body"]), &normal.value(body), "", &mut found);
        match (found.is_empty(), known.contains_key(name)) {
            (true, false) => same += 1,
            (true, true) => failures.push(format!("{name}: listed as different, but the same")),
            (false, true) => {}
            (false, false) => failures.push(format!("{name}: {}", found.join("\n    "))),
        }
    }
    eprintln!("{} steps, {same} the same", golden.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert_eq!(answers.len(), golden.len(), "a step without a recorded answer");
    assert!(same * 100 >= golden.len() * 97);
}

#[tokio::test]
async fn in_process() {
    let server = common::server();
    compare(common::in_process_client(&server, "conf"), true).await;
}

#[tokio::test]
async fn over_http() {
    let server = common::server();
    let addr = common::serve(&server).await;
    compare(common::http_client(addr).await, true).await;
}

#[tokio::test]
async fn on_a_real_server() {
    let Some(server) = RealServer::start().await else { return };
    compare(server.client().await, false).await;
}

#[test]
fn every_listed_difference_is_a_step() {
    let golden = common::json("real-v1.36.json");
    let steps: Vec<&str> = golden.as_array().unwrap().iter().filter_map(|s| s["step"].as_str()).collect();
    for (step, reason) in known() {
        assert!(steps.contains(&step) && !reason.is_empty(), "{step}");
    }
    assert!(known().len() * 100 <= steps.len() * 3);
    let _: &Value = &golden;
}
