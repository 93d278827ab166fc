//! Probes: what one look sees, and what looks add up to.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use failback::{
    api::{CheckResult, Probe},
    core::probes::{ProbeFact, ProbeSeen},
    ports::Prober,
    probe::NetworkProber,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn probe(mut kind: Value) -> Probe {
    kind["name"] = json!("p");
    kind["timeoutSeconds"] = json!(1);
    serde_json::from_value(kind).unwrap()
}

async fn look(kind: Value, guest: Option<&str>, allow_loopback: bool) -> ProbeSeen {
    drop(rustls::crypto::ring::default_provider().install_default());
    NetworkProber { allow_loopback }.look(&probe(kind), guest).await
}

/// A server that gives every connection the same answer; its port.
async fn answering(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if connection.read(&mut request).await.is_ok() && !answer.is_empty() {
                drop(connection.write_all(answer.as_bytes()).await);
            } else {
                std::future::pending::<()>().await;
            }
        }
    });
    port
}

#[tokio::test]
async fn an_http_answer_is_judged_by_status_and_body() {
    let port = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await;
    let get = |more: Value| {
        let mut http = json!({ "port": port });
        http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        look(json!({ "http": http }), Some("127.0.0.1"), true)
    };
    assert!(matches!(get(json!({ "bodyMatch": "^hel+o$" })).await, ProbeSeen::Good(_)));
    assert!(matches!(get(json!({ "bodyMatch": "bye" })).await, ProbeSeen::Bad(_)));
    assert!(matches!(get(json!({ "expectedStatus": 204 })).await, ProbeSeen::Bad(_)));
    assert!(matches!(get(json!({ "bodyMatch": "(" })).await, ProbeSeen::Inconclusive(_)));
}

#[tokio::test]
async fn a_bundle_without_a_certificate_says_nothing_of_the_machine() {
    let port = answering("").await;
    for bundle in ["ca.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let http = json!({ "port": port, "scheme": "https", "caBundle": bundle });
        let seen = look(json!({ "http": http }), Some("127.0.0.1"), true).await;
        let why = "caBundle cannot be used: it holds no certificate (PEM).".to_owned();
        assert_eq!(seen, ProbeSeen::Inconclusive(why), "{bundle}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_silence_is_none() {
    let port = answering("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let seen = look(json!({ "http": { "port": port, "expectedStatus": 302 } }), Some("127.0.0.1"), true).await;
    assert!(matches!(seen, ProbeSeen::Good(_)), "{seen:?}");
    let silent = answering("").await;
    let seen = look(json!({ "http": { "port": silent } }), Some("127.0.0.1"), true).await;
    assert_eq!(seen, ProbeSeen::Bad("No answer within 1 s.".to_owned()));
}

#[tokio::test]
async fn a_probe_does_not_go_where_credentials_are_handed_out() {
    let written_otherwise = ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"];
    let embedded = ["::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1"];
    let plain =
        ["169.254.169.254", "168.63.129.16", "fe80::1", "fd00:ec2::254", "127.0.0.1", "127.1", "::1", "localhost"];
    for host in plain.into_iter().chain(written_otherwise).chain(embedded) {
        let seen = look(json!({ "tcp": { "host": host, "port": 80 } }), None, false).await;
        let refused = matches!(&seen, ProbeSeen::Inconclusive(why) if why.contains("does not go there"));
        assert!(refused, "nothing is said of the machine: {host}: {seen:?}");
    }
    let port = answering("").await;
    assert!(matches!(look(json!({ "tcp": { "port": port } }), Some("127.0.0.1"), true).await, ProbeSeen::Good(_)));
}

#[tokio::test]
async fn the_guests_address_is_compared_and_unknown_is_not_passed() {
    let wanted = || json!({ "guestIp": { "expected": ["10.1.0.0/16", "fd00::/8"] } });
    assert!(matches!(look(wanted(), Some("10.1.2.3"), false).await, ProbeSeen::Good(_)));
    assert!(matches!(look(wanted(), Some("fd12::1"), false).await, ProbeSeen::Good(_)));
    assert!(matches!(look(wanted(), Some("10.2.0.1"), false).await, ProbeSeen::Bad(_)));
    assert!(matches!(look(wanted(), None, false).await, ProbeSeen::Inconclusive(_)));
}

#[test]
fn thresholds_count_looks_in_a_row_and_a_look_grows_old() {
    let declared = probe(json!({ "tcp": { "port": 1 }, "successThreshold": 2, "failureThreshold": 2 }));
    let now = Timestamp::UNIX_EPOCH;
    let (good, bad) = (|| ProbeSeen::Good("g".to_owned()), || ProbeSeen::Bad("b".to_owned()));
    let once = ProbeFact::before_first(&declared).after(&declared, good(), now);
    assert_eq!(once.result, CheckResult::Unknown);
    let twice = once.after(&declared, good(), now);
    assert_eq!(twice.result, CheckResult::Passed);
    let failing = twice.after(&declared, bad(), now);
    assert_eq!(failing.result, CheckResult::Unknown, "one failure is not passed any more");
    assert_eq!(failing.after(&declared, bad(), now).result, CheckResult::Failed);
    let third = twice.after(&declared, good(), now + SignedDuration::from_secs(30));
    assert_eq!(third.since, Some(now), "since when it stands so, not when it looked last");
    assert_eq!(third.sentence(), "Probe \"p\" since 1970-01-01T00:00:00Z: g");
    assert!(!twice.is_stale(now + SignedDuration::from_secs(61)));
    assert!(twice.is_stale(now + SignedDuration::from_secs(62)));
}

/// With 16 Jobs at a time, hundreds of machines wait for longer than a look counts.
#[test]
fn what_was_seen_does_not_grow_old_while_a_place_is_waited_for() {
    let declared = probe(json!({ "tcp": { "port": 1 }, "successThreshold": 2 }));
    let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
    let good = || ProbeSeen::Good("g".to_owned());
    let mut fact = ProbeFact::before_first(&declared);
    fact.queued_since = Some(at(0));
    fact.begins(at(3600));
    let mut fact = fact.after(&declared, good(), at(3600));
    fact.queued_since = Some(at(3630));
    assert!(!fact.is_inconclusive(at(7200)), "an hour in the queue is no time in which it could tell");
    fact.begins(at(7200));
    let mut fact = fact.after(&declared, good(), at(7201));
    assert_eq!(fact.result, CheckResult::Passed);
    fact.queued_since = Some(at(7231));
    assert!(
        !fact.is_stale(at(8_162)) && fact.is_stale(at(8_163)),
        "a commit rests on it: a quarter of an hour at most"
    );
    fact.begins(at(8_000));
    assert!(!fact.is_stale(at(8_031)), "the look that follows has its own time");
    assert!(fact.is_stale(at(8_032)));
    assert!(!fact.after(&declared, good(), at(8_032)).is_stale(at(8_093)));
    assert!(fact.after(&declared, good(), at(8_032)).is_stale(at(8_094)), "the next one has waited for nothing yet");
}

#[test]
fn what_passed_for_another_process_passes_since_then_once_this_one_has_looked() {
    let declared = probe(json!({ "tcp": { "port": 443 }, "successThreshold": 3 }));
    let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
    let taken_over = || ProbeFact::before_first(&declared).passed_before(&declared, at(0));
    assert_eq!(taken_over().result, CheckResult::Unknown, "it has not looked");
    let good = taken_over().after(&declared, ProbeSeen::Good("g".to_owned()), at(100));
    assert_eq!((good.result, good.since), (CheckResult::Passed, Some(at(0))));
    let bad = taken_over().after(&declared, ProbeSeen::Bad("b".to_owned()), at(100));
    let mut fact = bad;
    for second in 101..104 {
        fact = fact.after(&declared, ProbeSeen::Good("g".to_owned()), at(second));
    }
    assert_eq!((fact.result, fact.since), (CheckResult::Passed, Some(at(103))), "it was broken");
}

#[test]
fn a_probe_that_can_never_tell_says_so_after_a_while() {
    let declared = probe(json!({ "guestIp": { "expected": ["10.1.0.0/16"] } }));
    let now = Timestamp::UNIX_EPOCH;
    let minutes = |count| now + SignedDuration::from_mins(count);
    let blind = || ProbeSeen::Inconclusive("vCenter does not show the guest's address.".to_owned());
    let mut fact = ProbeFact::before_first(&declared);
    for minute in 0..15 {
        fact = fact.after(&declared, blind(), minutes(minute));
        assert!(!fact.is_inconclusive(minutes(minute)), "{minute}");
    }
    let late = fact.after(&declared, blind(), minutes(15));
    assert!(late.is_inconclusive(minutes(15)));
    assert!(!late.after(&declared, ProbeSeen::Good("g".to_owned()), minutes(16)).is_inconclusive(minutes(16)));
    // One that looks once an hour has more time for its thresholds.
    let slow = probe(json!({ "tcp": { "port": 1 }, "intervalSeconds": 3600, "successThreshold": 2 }));
    let fact = ProbeFact::before_first(&slow).after(&slow, blind(), now);
    assert!(!fact.is_inconclusive(minutes(60)) && fact.is_inconclusive(minutes(60 * 6)));
}
