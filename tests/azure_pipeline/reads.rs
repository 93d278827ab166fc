//! Reads may be repeated, but never wait long; lists are complete or a failure.

use std::{sync::Arc, time::Duration};

use failback::{
    azure::{AzureConfig, AzureShared, AzureVault, HttpOptions},
    core::{
        action::Action,
        failure::codes,
        observed::{AzurePower, AzureVm, Generation},
    },
    ports::{Failure, FailureClass, SiteRecovery},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    FastClock, ITEM, Meter, WallClock, config, dead_end,
    server::{Reply, Server, ok, status, throttle},
    shared, shared_on, vault_at,
};

const VM: &str = "/subscriptions/s2/resourceGroups/g2/providers/Microsoft.Compute/virtualMachines/vm1";

fn item(name: &str) -> Value {
    let id = format!("{}{name}", ITEM.trim_end_matches("i1"));
    json!({"id": id, "properties": {"friendlyName": name, "providerSpecificDetails": {"instanceType": "InMageRcm"}}})
}

async fn read(replies: impl IntoIterator<Item = Reply>) -> (Result<String, Failure>, usize, Duration) {
    let server = Server::start().await;
    server.on("GET i1", replies);
    let begun = Instant::now();
    let outcome = vault_at(&server).item(ITEM).await.map(|item| item.friendly_name);
    (outcome, server.seen("GET i1").len(), begun.elapsed())
}

#[tokio::test]
async fn trouble_is_worth_another_try() {
    for trouble in [
        Reply::Reset,
        Reply::Hang(Duration::from_secs(5)),
        Reply::Cut(200, vec![], "{".into()),
        status(500, "InternalServerError"),
        status(503, "ServerBusy"),
        status(408, "RequestTimeout"),
        throttle(429, "Retry-After", "0"),
    ] {
        let shown = format!("{trouble:?}");
        let (outcome, sent, _) = read([trouble, ok(item("i1"))]).await;
        assert_eq!((outcome, sent), (Ok("i1".to_owned()), 2), "{shown}");
    }
}

#[tokio::test]
async fn after_three_tries_it_is_transient() {
    let (outcome, sent, _) = read([status(503, "ServerBusy")]).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.class, sent), (FailureClass::Transient, 3));
    assert!(failure.has_code("ServerBusy"), "{failure:?}");
    assert_eq!(failure.message, "GET …/replicationProtectedItems/i1: HTTP 503: ServerBusy: It is ServerBusy.");
}

#[tokio::test]
async fn short_pauses_are_waited_out_in_every_notation() {
    for (code, header, value, at_least) in [
        (429, "Retry-After", "1", 1000),
        (503, "Retry-After", "1", 1000),
        (500, "Retry-After", "1", 1000),
        (503, "x-ms-retry-after-ms", "600", 600),
        (429, "retry-after-ms", "600", 600),
    ] {
        let (outcome, sent, took) = read([throttle(code, header, value), ok(item("i1"))]).await;
        assert_eq!((outcome.is_ok(), sent), (true, 2), "{code} {header}");
        assert!(took >= Duration::from_millis(at_least), "{code} {header} {took:?}");
    }
}

#[tokio::test]
async fn long_pauses_are_handed_back() {
    for (code, header, value, seconds) in
        [(429, "Retry-After", "300", 300), (503, "Retry-After", "120", 120), (500, "x-ms-retry-after-ms", "60000", 60)]
    {
        let (outcome, sent, took) = read([throttle(code, header, value)]).await;
        let retry_after = Duration::from_secs(seconds);
        assert_eq!(outcome.unwrap_err().class, FailureClass::Throttled { retry_after }, "{code}");
        assert!(sent == 1 && took < Duration::from_secs(1), "{code} {sent} {took:?}");
    }
    let dated = vec![
        ("Date", "Sat, 26 Aug 2023 04:00:00 GMT".to_owned()),
        ("Retry-After", "Sat, 26 Aug 2023 04:02:00 GMT".to_owned()),
    ];
    let (outcome, ..) = read([Reply::Text(429, dated, String::new())]).await;
    assert_eq!(outcome.unwrap_err().class, FailureClass::Throttled { retry_after: Duration::from_secs(120) });
}

#[tokio::test]
async fn a_429_pauses_its_class_for_everyone_in_the_subscription() {
    let server = Server::start().await;
    server.on("GET i1", [throttle(429, "Retry-After", "300")]);
    let (shared, meter) = shared();
    let config = || config(&server.url, &server.url);
    let first = AzureVault::new(config(), &shared).unwrap();
    let neighbour = AzureVault::new(AzureConfig { vault: "v9".into(), ..config() }, &shared).unwrap();
    let stranger = AzureVault::new(AzureConfig { subscription: "s9".into(), ..config() }, &shared).unwrap();
    first.item(ITEM).await.unwrap_err();
    let before = server.seen_by_arm().len();
    let FailureClass::Throttled { retry_after } = neighbour.vault().await.unwrap_err().class else { panic!() };
    assert!(retry_after > Duration::from_secs(290) && retry_after <= Duration::from_secs(300));
    assert_eq!(server.seen_by_arm().len(), before, "nothing was sent");
    assert_eq!(stranger.vault().await.unwrap_err().class, FailureClass::NotFound, "another subscription goes on");
    server.on("POST failoverCancel", [Reply::Text(202, vec![], String::new())]);
    first.submit(ITEM, &Action::Cancel, &|| Ok(())).await.unwrap();
    assert_eq!(*meter.throttled.lock().unwrap(), 1);
}

#[tokio::test]
async fn beside_a_faster_clock_pauses_are_as_much_shorter() {
    let server = Server::start().await;
    server.on("GET i1", [throttle(429, "Retry-After", "60"), ok(item("i1"))]);
    server.on("GET v1", [throttle(429, "Retry-After", "1200")]);
    let (shared, _) = shared_on(Arc::new(FastClock));
    let vault = AzureVault::new(config(&server.url, &server.url), &shared).unwrap();
    let begun = Instant::now();
    vault.item(ITEM).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "a minute of that clock: {took:?}");
    // What is handed back is told in that clock's time, the first time and while everybody is held back.
    for _ in 0..2 {
        let FailureClass::Throttled { retry_after } = vault.vault().await.unwrap_err().class else { panic!() };
        assert!(retry_after > Duration::from_secs(1100) && retry_after <= Duration::from_secs(1200), "{retry_after:?}");
    }
}

#[tokio::test]
async fn what_azure_says_is_left_is_believed() {
    let server = Server::start().await;
    let left = vec![("x-ms-ratelimit-remaining-subscription-reads", "0".to_owned())];
    server.on("GET i1", [Reply::Json(200, left, item("i1"))]);
    let vault = vault_at(&server);
    let begun = Instant::now();
    for _ in 0..5 {
        vault.item(ITEM).await.unwrap();
    }
    // Four waits for a refill of twenty a second.
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let (outcome, sent, _) = read([status(401, "ExpiredAuthenticationToken"), ok(item("i1"))]).await;
    assert_eq!((outcome, sent), (Ok("i1".to_owned()), 2));
    let (outcome, sent, _) = read([status(401, "InvalidAuthenticationToken")]).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.class, sent), (FailureClass::Unauthenticated, 2));
    assert!(failure.has_code("InvalidAuthenticationToken"));
}

#[tokio::test]
async fn definite_answers_are_not_repeated() {
    for (code, expected) in [
        (400, FailureClass::Invalid),
        (403, FailureClass::Denied),
        (404, FailureClass::NotFound),
        (409, FailureClass::Conflict),
    ] {
        let (outcome, sent, _) = read([status(code, "Said")]).await;
        assert_eq!((outcome.unwrap_err().class, sent), (expected, 1), "{code}");
    }
}

#[tokio::test]
async fn a_web_page_is_never_an_answer() {
    let page = |code| Reply::Text(code, vec![], format!("<html>\n<h1>Proxy {}</h1>", "x".repeat(500)));
    for code in [200, 302, 403, 404] {
        let (outcome, sent, _) = read([page(code)]).await;
        let failure = outcome.unwrap_err();
        assert_eq!((failure.class, sent), (FailureClass::Invalid, 1), "{code}");
        assert!(failure.has_code(codes::UNREADABLE_ANSWER), "{failure:?}");
        assert!(failure.message.contains("<html> <h1>Proxy xxx") && failure.message.len() < 250, "{failure}");
    }
    let (outcome, sent, _) = read([page(502)]).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.class, sent), (FailureClass::Transient, 3));
    assert!(failure.has_code(codes::UNREADABLE_ANSWER));
    let (outcome, ..) = read([Reply::Cut(200, vec![], "{\"id\": \"/x".into())]).await;
    assert_eq!(outcome.unwrap_err().class, FailureClass::Invalid);
    let (outcome, ..) = read([ok(json!({"not": "an item"}))]).await;
    assert!(outcome.unwrap_err().has_code(codes::UNREADABLE_ANSWER));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let (outcome, sent, _) = read([Reply::Huge((16 << 20) + 1)]).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.class, sent), (FailureClass::Invalid, 1));
    assert!(failure.message.contains("larger than 16 MiB"), "{failure}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let server = Server::start().await;
    let vault = AzureVault::new(config(&server.url, &dead_end().await), &shared().0).unwrap();
    let failure = vault.items().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(failure.has_code(codes::UNREACHABLE), "{failure:?}");
}

#[tokio::test]
async fn attempts_of_a_call_share_an_id_and_calls_do_not() {
    let server = Server::start().await;
    server.on("GET i1", [status(500, "x"), ok(item("i1"))]);
    let vault = vault_at(&server);
    vault.item(ITEM).await.unwrap();
    vault.item(&ITEM.to_lowercase()).await.unwrap();
    let ids: Vec<_> =
        server.seen("GET i1").iter().map(|seen| seen.header("x-ms-client-request-id").to_owned()).collect();
    assert!(ids.len() == 3 && ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn one_odd_item_hides_no_other() {
    let server = Server::start().await;
    let next = format!("{}{}?api-version=2025-08-01&skipToken=p2", server.url, "/Subscriptions/s1/page2");
    let first = json!({"value": [item("a"), 7, {"name": "lost"}, item("b")], "nextLink": next});
    let odd = json!({"id": "/x/c", "properties": {"currentScenario": "busy?"}});
    server.on("GET replicationProtectedItems", [ok(first)]);
    server.on("GET page2", [ok(json!({"value": [odd, item("d")], "nextLink": null}))]);
    let listing = vault_at(&server).items().await.unwrap();
    let names: Vec<_> = listing.entries.iter().map(|item| item.friendly_name.as_str()).collect();
    assert_eq!(names, ["a", "b", "d"]);
    assert!(listing.entries.iter().all(|item| !item.complete));
    assert_eq!(listing.odd, ["an entry without id: not an object", "lost: no id", "/x/c: unreadable currentScenario"]);
    assert!(server.seen("GET page2")[0].target.ends_with("skipToken=p2"), "used verbatim");
}

#[tokio::test]
async fn links_out_of_the_cloud_are_not_followed() {
    let elsewhere = Server::start().await;
    for link in [
        format!("{}/steal", elsewhere.url),
        elsewhere.url.replace("http://", "//"),
        "https://management.azure.com/x".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let server = Server::start().await;
        server.on("GET replicationProtectedItems", [ok(json!({"value": [item("a")], "nextLink": link}))]);
        let failure = vault_at(&server).items().await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Invalid, "{link}");
    }
    assert!(elsewhere.seen("GET steal").is_empty() && elsewhere.seen("GET ").is_empty());
}

#[tokio::test]
async fn a_list_that_cannot_be_read_to_its_end_is_a_failure() {
    let server = Server::start().await;
    let vault = vault_at(&server);
    let next = |page: &str| format!("{}/subscriptions/s1/{page}", server.url);
    server.on("GET replicationProtectedItems", [ok(json!({"value": [item("a")], "nextLink": next("page2")}))]);
    server.on("GET page2", [status(403, "AuthorizationFailed")]);
    assert_eq!(vault.items().await.unwrap_err().class, FailureClass::Denied);
    server.on("GET page2", [ok(json!({"value": [], "nextLink": next("page2")}))]);
    assert!(vault.items().await.unwrap_err().message.contains("continues at a page that it came from"));
    server.on("GET replicationProtectedItems", [ok(json!({"items": []}))]);
    assert!(vault.items().await.unwrap_err().has_code(codes::UNREADABLE_ANSWER));
}

#[tokio::test]
async fn a_list_that_leads_in_a_circle_is_left_at_once() {
    let server = Server::start().await;
    let next = |page: &str| format!("{}/subscriptions/s1/{page}", server.url);
    let page = |name: &str| [ok(json!({"value": [item("a")], "nextLink": next(name)}))];
    server.on("GET replicationProtectedItems", page("page2"));
    server.on("GET page2", page("page3"));
    server.on("GET page3", page("page2"));
    let failure = vault_at(&server).items().await.unwrap_err();
    assert!(failure.message.contains("continues at a page that it came from"), "{failure}");
    assert_eq!((server.seen("GET page2").len(), server.seen("GET page3").len()), (1, 1));
}

#[tokio::test]
async fn a_list_has_a_size_as_a_whole() {
    let server = Server::start().await;
    let next = |page: usize| format!("{}/subscriptions/s1/page{page}", server.url);
    let entry = json!({"id": "/x/a", "text": "x".repeat(13 << 20)});
    let page = |at: usize| [ok(json!({"value": [entry], "nextLink": next(at)}))];
    server.on("GET replicationPolicies", page(2));
    (2..9).for_each(|at| server.on(&format!("GET page{at}"), page(at + 1)));
    let config = config(&server.url, &server.url);
    let shared = AzureShared::new(Arc::new(WallClock), Arc::<Meter>::default(), &HttpOptions::default()).unwrap();
    let vault = AzureVault::new(config, &shared).unwrap();
    let failure = vault.policies().await.unwrap_err();
    assert!(failure.message.contains("more than 64 MiB"), "{failure}");
    assert_eq!((server.seen("GET page5").len(), server.seen("GET page6").len()), (1, 0));
    // Of short entries it is their number.
    let many = vec![json!(1); 20_000];
    server.on("GET replicationPolicies", [ok(json!({"value": many, "nextLink": next(2)}))]);
    (2..9).for_each(|at| {
        let page = json!({"value": many, "nextLink": next(at + 1)});
        server.on(&format!("GET page{at}"), [ok(page)]);
    });
    let failure = vault.policies().await.unwrap_err();
    assert!(failure.message.contains("50,000 entries"), "{failure}");
    assert_eq!((server.seen("GET page3").len(), server.seen("GET page4").len()), (2, 1));
}

#[tokio::test]
async fn jobs_are_read_newest_first_and_not_without_end() {
    let server = Server::start().await;
    let job = |id: usize, started: &str| {
        let properties = json!({"state": "Succeeded", "startTime": started});
        json!({"id": format!("/v/replicationJobs/{id}"), "properties": properties})
    };
    let now = jiff::Timestamp::now();
    let (today, old) = (now.to_string(), (now - jiff::SignedDuration::from_hours(32 * 24)).to_string());
    let next = |page: &str| format!("{}/subscriptions/s1/{page}", server.url);
    let queued = json!({"id": "/v/replicationJobs/3", "properties": {}});
    let first = |jobs: Value| server.on("GET replicationJobs", [ok(json!({"value": jobs, "nextLink": next("page2")}))]);
    server.on("GET page2", [ok(json!({"value": [job(4, &old)], "nextLink": next("page3")}))]);
    server.on("GET page3", [ok(json!({"value": [job(5, &today)]}))]);
    let read = async || {
        let jobs = vault_at(&server).jobs().await.unwrap().entries;
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    first(json!([job(2, &today), queued, job(1, &old)]));
    assert_eq!(read().await, ["3", "2", "1", "4"]);
    assert!(server.seen("GET page3").is_empty(), "a page of old jobs is the last one");
    // In another order, as in the documented example, the newest may be the last.
    first(json!([job(1, &old), job(2, &today), queued]));
    assert_eq!(read().await, ["3", "2", "5", "1", "4"]);
    let many = |first: &str| (0..1000).map(|id| job(id, if id == 0 { first } else { &today })).collect::<Value>();
    first(many(&today));
    assert_eq!(read().await.len(), 1000);
    assert_eq!(server.seen("GET page2").len(), 2);
    first(many(&old));
    assert_eq!(read().await.len(), 1002);
}

#[tokio::test]
async fn a_job_is_read_by_its_id() {
    let server = Server::start().await;
    server.on("GET j1", [ok(json!({"id": "/v/replicationJobs/j1", "properties": {"state": "Failed"}}))]);
    let vault = vault_at(&server);
    assert_eq!(vault.job("j1").await.unwrap().id, "j1");
    assert!(server.seen("GET j1")[0].target.ends_with("/vaults/v1/replicationJobs/j1?api-version=2025-08-01"));
    assert_eq!(vault.job("../j1").await.unwrap_err().class, FailureClass::Invalid);
    assert_eq!(vault.job("unknown").await.unwrap_err().class, FailureClass::NotFound);
}

#[tokio::test]
async fn fabrics_are_read_one_by_one_for_their_components() {
    let server = Server::start().await;
    let base = "/subscriptions/s1/resourceGroups/g1/providers/Microsoft.RecoveryServices/vaults/v1/replicationFabrics";
    let fabric = |name: &str, kind: &str, agents: Value| {
        json!({"id": format!("{base}/{name}"), "name": name, "properties": {"customDetails": {
            "instanceType": kind, "reprotectAgents": agents}}})
    };
    server.on(
        "GET replicationFabrics",
        [ok(json!({"value": [
            fabric("rcm", "InMageRcm", json!([])), fabric("gone", "InMageRcm", json!([])),
            fabric("odd", "VMware", json!([])), fabric("hyperv", "HyperVSite", json!([])), "odd"]}))],
    );
    server.on("GET rcm", [ok(fabric("rcm", "InMageRcm", json!([{"id": "a1", "accessibleDatastores": ["ds"]}])))]);
    server.on("GET odd", [Reply::Text(200, vec![], "<html>".into())]);
    let vault = vault_at(&server);
    let listing = vault.fabrics().await.unwrap();
    let seen: Vec<_> = listing.entries.iter().map(|f| (f.name.as_str(), f.generation, f.targets.len())).collect();
    assert_eq!(seen, [("rcm", Some(Generation::Modernized), 1), ("hyperv", None, 0)]);
    assert_eq!(listing.odd.len(), 2, "{:?}", listing.odd);
    assert!(server.seen("GET hyperv").is_empty());
    server.on("GET rcm", [status(403, "AuthorizationFailed")]);
    assert_eq!(vault.fabrics().await.unwrap_err().class, FailureClass::Denied);
}

#[tokio::test]
async fn only_azures_own_word_makes_a_machine_absent() {
    let server = Server::start().await;
    let vault = vault_at(&server);
    let running = json!({"id": VM, "properties": {"instanceView": {"statuses": [{"code": "PowerState/running"}]}}});
    server.on("GET vm1", [ok(running)]);
    let present = AzureVm::Present { id: VM.to_owned(), power: AzurePower::Running, disks: None };
    assert_eq!(vault.azure_vm(VM).await, Ok(present));
    let target = &server.seen("GET vm1")[0].target;
    assert_eq!(*target, format!("{VM}?%24expand=instanceView&api-version=2024-03-01"));
    for code in ["ResourceNotFound", "ResourceGroupNotFound"] {
        server.on("GET vm1", [status(404, code)]);
        assert_eq!(vault.azure_vm(VM).await, Ok(AzureVm::Absent), "{code}");
    }
    for reply in [
        status(404, "SubscriptionNotFound"),
        status(403, "AuthorizationFailed"),
        Reply::Text(404, vec![], "<html>not found</html>".into()),
        Reply::Text(404, vec![], String::new()),
        Reply::Reset,
        ok(json!({})),
    ] {
        let shown = format!("{reply:?}");
        server.on("GET vm1", [reply]);
        assert!(vault.azure_vm(VM).await.is_err(), "{shown}");
    }
    assert!(vault.azure_vm("/subscriptions/s/resourceGroups/g/providers/x/disks/d").await.is_err());
}

#[tokio::test]
async fn the_vault_says_who_it_is() {
    let server = Server::start().await;
    server.on("GET v1", [ok(json!({"id": "/subscriptions/s1/vaults/v1", "location": "eastus"}))]);
    let vault = vault_at(&server).vault().await.unwrap();
    assert_eq!((vault.id.as_str(), vault.location.as_str()), ("/subscriptions/s1/vaults/v1", "eastus"));
    let seen = server.seen("GET v1").remove(0);
    let path = "/subscriptions/s1/resourceGroups/g1/providers/Microsoft.RecoveryServices/vaults/v1";
    assert_eq!(seen.target, format!("{path}?api-version=2025-08-01"));
    server.on("GET v1", [status(404, "ResourceNotFound")]);
    let failure = vault_at(&server).vault().await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::NotFound, Some("ResourceNotFound")));
}

#[tokio::test]
async fn a_failure_carries_the_id_for_the_support_case() {
    let reply = |headers| Reply::Json(403, headers, json!({"error": {"code": "AuthorizationFailed", "message": "no"}}));
    let (outcome, ..) = read([reply(vec![("x-ms-request-id", "r-1".to_owned())])]).await;
    assert_eq!(outcome.unwrap_err().request_id.as_deref(), Some("r-1"));
    let (outcome, ..) = read([reply(vec![])]).await;
    assert!(outcome.unwrap_err().request_id.is_some_and(|id| id.len() == 36), "ours, when there is none of theirs");
}

#[tokio::test]
async fn fifty_reads_at_once_cost_one_token() {
    let server = Server::start().await;
    server.on("GET i1", [ok(item("i1"))]);
    let vault = Arc::new(vault_at(&server));
    let answers = futures::future::join_all((0..50).map(|_| vault.item(ITEM))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.seen("POST token").len(), 1);
}
