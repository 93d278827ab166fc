//! A mutating request is sent once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use failback::{
    azure::{Answer, AzureShared, AzureVault, Sent, Transport, TransportFault},
    core::{
        action::{Action, RecoveryPoint},
        failure::codes,
        observed::Generation,
    },
    ports::{Failure, FailureClass, NoMeter, Remote, SiteRecovery, Submitted},
};
use serde_json::{Value, json};

use crate::{
    ITEM, WallClock, config, dead_end,
    server::{Reply, Server, ok, status, throttle},
    shared, vault_at,
};

const FAIL_BACK: Action = Action::FailBack { generation: Generation::Modernized, point: RecoveryPoint::Latest };
const JOB: &str = "6d7e2899-6c53-45e1-84b6-2a046dd25139";

fn accepted() -> Reply {
    // Two signed URLs of the length that the service sends.
    let signature = "SIGNATURE".repeat(400);
    let vault = "https://management.azure.com/Subscriptions/s1/vaults/v1";
    let headers = vec![
        ("Azure-AsyncOperation", format!("{vault}/replicationOperationStatus/{JOB}?api-version=1&t=1&s={signature}")),
        ("Location", format!("{vault}/x/operationresults/{JOB}?api-version=1&t=1&s={signature}")),
        ("x-ms-request-id", format!("/Subscriptions/s1/vaults/v1/replicationJobs/{JOB}")),
        ("Retry-After", "30".to_owned()),
    ];
    Reply::Text(202, headers, String::new())
}

/// Submits a failback to which the server replies like this: the outcome, and how often it was asked.
async fn submit(reply: Reply) -> (Result<Submitted, (FailureClass, String)>, usize) {
    let server = Server::start().await;
    server.on("POST plannedFailover", [reply]);
    let outcome = vault_at(&server).submit(ITEM, &FAIL_BACK, &|| Ok(())).await;
    (outcome.map_err(|failure| (failure.class, failure.message)), server.seen("POST plannedFailover").len())
}

async fn class(reply: Reply) -> FailureClass {
    let (outcome, sent) = submit(reply).await;
    assert_eq!(sent, 1, "{outcome:?}");
    outcome.unwrap_err().0
}

#[tokio::test]
async fn an_accepted_call_yields_the_job() {
    let server = Server::start().await;
    server.on("POST plannedFailover", [accepted()]);
    let submitted = vault_at(&server).submit(ITEM, &FAIL_BACK, &|| Ok(())).await;
    assert_eq!(submitted, Ok(Submitted { job_id: Some(JOB.to_owned()) }));
    let seen = server.seen("POST plannedFailover").remove(0);
    assert_eq!(seen.target, format!("{ITEM}/plannedFailover?api-version=2025-08-01"));
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let details = json!({"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"});
    assert_eq!(body, json!({"properties": {"providerSpecificDetails": details}}));
    assert_eq!(seen.header("authorization"), "Bearer token-1");
    assert_eq!(seen.header("content-type"), "application/json");
    assert!(!seen.header("x-ms-client-request-id").is_empty());
}

#[tokio::test]
async fn a_verb_without_a_body_says_so() {
    let server = Server::start().await;
    server.on("POST failoverCommit", [accepted()]);
    vault_at(&server).submit(ITEM, &Action::Commit, &|| Ok(())).await.unwrap();
    let seen = server.seen("POST failoverCommit").remove(0);
    assert_eq!((seen.body.as_str(), seen.header("content-length"), seen.header("content-type")), ("", "0", ""));
}

#[tokio::test]
async fn a_lost_answer_is_lost_and_never_asked_for_again() {
    assert_eq!(class(Reply::Reset).await, FailureClass::Lost);
    assert_eq!(class(Reply::Hang(Duration::from_secs(5))).await, FailureClass::Lost);
    for code in [500, 502, 503, 504, 408] {
        assert_eq!(class(status(code, "InternalServerError")).await, FailureClass::Lost, "{code}");
    }
    assert_eq!(class(throttle(503, "Retry-After", "1")).await, FailureClass::Lost);
}

#[tokio::test]
async fn an_unreadable_answer_is_lost_too() {
    let page = || "<html>Please log in</html>".to_owned();
    for code in [200, 400, 403, 404, 500] {
        let (outcome, sent) = submit(Reply::Text(code, vec![], page())).await;
        let (class, message) = outcome.unwrap_err();
        assert_eq!((class, sent), (FailureClass::Lost, 1), "{code}");
        assert!(message.contains("<html>Please log in</html>"), "{message}");
    }
    assert_eq!(class(Reply::Cut(200, vec![], "{\"id\":".into())).await, FailureClass::Lost);
    assert_eq!(class(Reply::Cut(400, vec![], "{\"error\":".into())).await, FailureClass::Lost);
}

#[tokio::test]
async fn a_cut_body_does_not_hide_the_job() {
    let job = vec![("x-ms-request-id", format!("/v/replicationJobs/{JOB}"))];
    let submitted = Ok(Submitted { job_id: Some(JOB.to_owned()) });
    assert_eq!(submit(Reply::Cut(202, job, String::new())).await.0, submitted);
    // Accepted without a word about the job: the item will tell.
    assert_eq!(submit(Reply::Text(202, vec![], String::new())).await.0, Ok(Submitted { job_id: None }));
    assert_eq!(submit(ok(json!({"id": ITEM}))).await.0, Ok(Submitted { job_id: None }));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start().await;
    let to = vec![("Location", format!("{}/plannedFailover", elsewhere.url))];
    assert_eq!(class(Reply::Text(307, to, String::new())).await, FailureClass::Lost);
    assert!(elsewhere.seen("POST plannedFailover").is_empty());
}

#[tokio::test]
async fn what_azure_definitely_says_is_believed() {
    for (code, expected) in [
        (400, FailureClass::Invalid),
        (403, FailureClass::Denied),
        (404, FailureClass::NotFound),
        (409, FailureClass::Conflict),
        (412, FailureClass::Conflict),
        (422, FailureClass::Invalid),
    ] {
        assert_eq!(class(status(code, "Said")).await, expected, "{code}");
    }
    let second = FailureClass::Throttled { retry_after: Duration::from_secs(1) };
    assert_eq!(class(throttle(429, "Retry-After", "1")).await, second, "not executed, and not sent again either");
}

#[tokio::test]
async fn a_call_that_never_left_is_transient() {
    let server = Server::start().await;
    let nowhere = dead_end().await;
    let (shared, meter) = shared();
    let vault = AzureVault::new(config(&server.url, &nowhere), &shared).unwrap();
    let failure = vault.submit(ITEM, &FAIL_BACK, &|| Ok(())).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(failure.has_code(codes::UNREACHABLE), "{failure:?}");
    assert!(failure.message.contains("cannot connect to 127.0.0.1"), "{failure}");
    let attempts = meter.calls.lock().unwrap().iter().filter(|(_, code)| *code == 0).count();
    assert_eq!(attempts, 3, "nothing was sent, so that trying again is safe");
}

/// Grants tokens; nothing else can be connected to.
#[derive(Default)]
struct Unreachable(AtomicUsize);

#[async_trait::async_trait]
impl Transport for Unreachable {
    async fn send(&self, request: http::Request<bytes::Bytes>) -> Result<Answer, TransportFault> {
        if request.uri().path().ends_with("/token") {
            let body = Ok(r#"{"access_token":"t","expires_in":3600}"#.into());
            return Ok(Answer { status: http::StatusCode::OK, headers: http::HeaderMap::new(), body });
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(TransportFault { sent: Sent::Never, what: "cannot connect".to_owned() })
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_permitted_any_more_is_not_sent_again() {
    let (transport, asked) = (Arc::new(Unreachable::default()), AtomicUsize::new(0));
    let shared = AzureShared::over(Arc::<Unreachable>::clone(&transport), Arc::new(WallClock), Arc::new(NoMeter));
    let vault = AzureVault::new(config("https://a.example", "https://m.example"), &shared).unwrap();
    let once = || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err(Failure::new(Remote::Kubernetes, FailureClass::Conflict, "The lease is over.")),
    };
    let failure = vault.submit(ITEM, &FAIL_BACK, &once).await.unwrap_err();
    assert_eq!((failure.class, failure.message.as_str()), (FailureClass::Conflict, "The lease is over."));
    assert_eq!(transport.0.load(Ordering::SeqCst), 1, "it was permitted once");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let server = Server::start().await;
    server.on("POST token", [Reply::Json(401, vec![], json!({"error": "invalid_client", "error_description": "no"}))]);
    let failure = vault_at(&server).submit(ITEM, &FAIL_BACK, &|| Ok(())).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Unauthenticated);
    assert!(server.seen_by_arm().is_empty());
}

#[tokio::test]
async fn a_rejected_token_costs_one_more() {
    let server = Server::start().await;
    server.on("POST plannedFailover", [status(401, "ExpiredAuthenticationToken"), accepted()]);
    let submitted = vault_at(&server).submit(ITEM, &FAIL_BACK, &|| Ok(())).await;
    assert_eq!(submitted, Ok(Submitted { job_id: Some(JOB.to_owned()) }));
    let tokens: Vec<_> =
        server.seen("POST plannedFailover").iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn only_items_of_this_vault_are_touched() {
    let server = Server::start().await;
    let vault = vault_at(&server);
    for foreign in [
        ITEM.replace("vaults/v1", "vaults/v2"),
        ITEM.replace("/i1", "/i1/../i2"),
        ITEM.replace("/i1", "/i1?x="),
        ITEM.replace("replicationProtectedItems", "replicationMigrationItems"),
        String::new(),
    ] {
        let failure = vault.submit(&foreign, &FAIL_BACK, &|| Ok(())).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Invalid, "{foreign}");
    }
    assert!(server.seen_by_arm().is_empty());
}
