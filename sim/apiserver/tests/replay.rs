//! 6,000 recorded apply, merge and status operations of five managers (`fixtures/ssa-real-v1.36.jsonl.gz`), with what a
//! real v1.36 answered. All must be answered the same; there is no list of exceptions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is how it fails"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use common::http::{Call, JSON, get, post, send};
use common::normal::{Normal, differences};
use common::real::RealServer;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    object: String,
    step: u32,
    path: String,
    body: Value,
    content_type: String,
    code: u16,
    answer: Value,
}

fn recorded() -> impl Iterator<Item = Recorded> {
    let file = std::fs::File::open(common::fixture("ssa-real-v1.36.jsonl.gz")).unwrap();
    BufReader::new(MultiGzDecoder::new(file)).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

#[tokio::test]
async fn every_recorded_operation_is_answered_alike() {
    let server = common::server();
    replay(common::in_process_client(&server, "replay")).await;
}

#[tokio::test]
async fn a_real_server_answers_as_it_was_recorded() {
    let Some(server) = RealServer::start().await else { return };
    replay(server.client().await).await;
}

async fn replay(client: kube::Client) {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    send(&client, post("/api/v1/namespaces", json!({"metadata": {"name": "fuzz"}}))).await;
    send(&client, post(crds, common::json("crd.json"))).await;
    let served = get("/apis/demo.example.io/v1alpha1/namespaces/fuzz/failbackplans");
    while send(&client, served.clone()).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let normal = Normal::new();
    // The first mismatch of an object explains the others.
    let mut failures: BTreeMap<String, String> = BTreeMap::new();
    let mut count = 0;
    for Recorded { object, step, path, body, content_type, code, answer } in recorded() {
        count += 1;
        let call = Call { method: "PATCH", path, body: Some(body), content_type, accept: JSON };
        let (got, body) = send(&client, call).await;
        let mut found = Vec::new();
        differences(&normal.value(&answer), &normal.value(&body), "", &mut found);
        if got != code || !found.is_empty() {
            failures.entry(object).or_insert(format!("step {step}: {code} {got} {}", found.join("\n    ")));
        }
    }
    assert_eq!(count, 6000);
    assert!(failures.is_empty(), "{failures:#?}");
}
