//! Signing in, in its three ways.

use std::sync::{Arc, Mutex};

use failback::{
    azure::{AzureConfig, AzureVault, Cloud, Credential, Secret},
    core::failure::codes,
    ports::{Failure, FailureClass, NamespaceIdentity, Remote, SiteRecovery},
};
use serde_json::json;

use crate::{
    config, dead_end,
    server::{Reply, Server, ok, throttle},
    shared, vault_at,
};

fn form(body: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_client_secret_is_sent_to_the_tenants_endpoint() {
    let server = Server::start().await;
    server.on("GET v1", [ok(json!({"id": "/v"}))]);
    vault_at(&server).vault().await.unwrap();
    let seen = server.seen("POST token").remove(0);
    assert_eq!(seen.target, "/t1/oauth2/v2.0/token");
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(
        form(&seen.body),
        [
            pair("grant_type", "client_credentials"),
            pair("scope", &format!("{}/.default", server.url)),
            pair("client_id", "c1"),
            pair("client_secret", "the-secret"),
        ]
    );
}

#[tokio::test]
async fn a_wrong_secret_is_told_in_entras_own_words() {
    let server = Server::start().await;
    let description = "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is the client \
                       secret value.\r\nTrace ID: 8a1f-9\r\nCorrelation ID: 77\r\nTimestamp: 2026-01-01 00:00Z";
    let body = json!({"error": "invalid_client", "error_description": description, "error_codes": [7000215]});
    server.on("POST token", [Reply::Json(401, vec![], body)]);
    let vault = vault_at(&server);
    let failure = vault.vault().await.unwrap_err();
    assert_eq!((failure.class, failure.remote), (FailureClass::Unauthenticated, Remote::Entra));
    assert!(failure.has_code("AADSTS7000215"));
    assert_eq!(
        failure.message,
        "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is the client secret value. \
         (trace id 8a1f-9)"
    );
    assert_eq!(failure.request_id.as_deref(), Some("8a1f-9"));
    assert!(vault.items().await.is_err());
    assert_eq!(server.seen("POST token").len(), 1, "a wrong secret is not presented again at once");
}

#[tokio::test]
async fn trouble_of_the_token_endpoint_has_its_classes() {
    let class = async |reply: Reply| {
        let server = Server::start().await;
        server.on("POST token", [reply]);
        vault_at(&server).vault().await.unwrap_err()
    };
    assert_eq!(class(Reply::Reset).await.class, FailureClass::Transient);
    assert_eq!(class(Reply::Text(503, vec![], "busy".into())).await.class, FailureClass::Transient);
    let proxy = class(Reply::Text(200, vec![], "<html>log in</html>".into())).await;
    assert_eq!(proxy.class, FailureClass::Invalid);
    assert!(proxy.has_code(codes::UNREADABLE_ANSWER) && proxy.message.contains("<html>log in</html>"), "{proxy:?}");
    let FailureClass::Throttled { retry_after } = class(throttle(429, "Retry-After", "77")).await.class else {
        panic!()
    };
    assert_eq!(retry_after.as_secs(), 77);
    let vault = AzureVault::new(config(&dead_end().await, "http://127.0.0.1:9"), &shared().0).unwrap();
    let failure = vault.vault().await.unwrap_err();
    assert!(failure.has_code(codes::UNREACHABLE) && failure.remote == Remote::Entra, "{failure:?}");
}

#[tokio::test]
async fn the_federated_token_is_read_again_for_each_fetch() {
    let server = Server::start().await;
    let file = std::env::temp_dir().join(format!("failback-azure-token-{}", std::process::id()));
    let credential =
        Credential::WorkloadIdentity { tenant: "t1".into(), client_id: "c1".into(), token_file: file.clone() };
    let config = || AzureConfig { credential: credential.clone(), ..config(&server.url, &server.url) };
    let vault = AzureVault::new(config(), &shared().0).unwrap();
    let missing = vault.vault().await.unwrap_err();
    assert_eq!((missing.class, missing.remote), (FailureClass::Unauthenticated, Remote::Entra));
    assert!(missing.message.contains("federated token file"), "{missing}");

    server.on("GET v1", [crate::server::status(401, "ExpiredAuthenticationToken"), ok(json!({"id": "/v"}))]);
    let vault = AzureVault::new(config(), &shared().0).unwrap();
    std::fs::write(&file, "first-assertion\n").unwrap();
    let reading = vault.vault();
    reading.await.unwrap();
    std::fs::write(&file, "second-assertion\n").unwrap();
    server.on("GET v1", [crate::server::status(401, "ExpiredAuthenticationToken"), ok(json!({"id": "/v"}))]);
    vault.vault().await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let sent: Vec<_> = server.seen("POST token").iter().map(|seen| form(&seen.body)).collect();
    let assertion =
        |form: &[(String, String)]| form.iter().find(|(key, _)| key == "client_assertion").unwrap().1.clone();
    assert_eq!(
        sent.iter().map(|form| assertion(form)).collect::<Vec<_>>(),
        ["first-assertion", "first-assertion", "second-assertion"]
    );
    let kind = pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert!(sent[0].contains(&kind));
}

/// Gives tokens `assertion-1`, `assertion-2`, … of a namespace, until told to fail; remembers whose and for whom.
#[derive(Debug, Default)]
struct Namespaces {
    asked: Mutex<Vec<(String, String)>>,
    failing: Mutex<Option<Failure>>,
}

#[async_trait::async_trait]
impl NamespaceIdentity for Namespaces {
    async fn assertion(&self, namespace: &str, audience: &str) -> Result<Secret, Failure> {
        let mut asked = self.asked.lock().unwrap();
        asked.push((namespace.to_owned(), audience.to_owned()));
        match self.failing.lock().unwrap().clone() {
            Some(failure) => Err(failure),
            None => Ok(Secret::new(format!("assertion-{}", asked.len()))),
        }
    }
}

fn as_namespace(identity: &Arc<Namespaces>) -> Credential {
    Credential::ServiceAccount {
        tenant: "t1".into(),
        client_id: "c1".into(),
        namespace: "dr".into(),
        identity: Arc::clone(identity) as Arc<dyn NamespaceIdentity>,
    }
}

#[tokio::test]
async fn a_namespaces_token_is_asked_for_anew_for_each_exchange() {
    let server = Server::start().await;
    let identity = Arc::new(Namespaces::default());
    let config = AzureConfig { credential: as_namespace(&identity), ..config(&server.url, &server.url) };
    let vault = AzureVault::new(config, &shared().0).unwrap();
    server.on("GET v1", [crate::server::status(401, "ExpiredAuthenticationToken"), ok(json!({"id": "/v"}))]);
    vault.vault().await.unwrap();
    vault.vault().await.unwrap();
    let sent: Vec<_> = server.seen("POST token").iter().map(|seen| form(&seen.body)).collect();
    assert_eq!(sent.len(), 2, "the access token is kept as long as it is taken");
    for (number, form) in sent.iter().enumerate() {
        assert!(form.contains(&pair("client_assertion", &format!("assertion-{}", number + 1))), "{form:?}");
        assert!(form.contains(&pair("client_id", "c1")), "{form:?}");
    }
    let whom = ("dr".to_owned(), "api://AzureADTokenExchange".to_owned());
    assert_eq!(*identity.asked.lock().unwrap(), [whom.clone(), whom]);

    // What keeps the token from us is told as it is, and nothing is sent.
    let failure = Failure::new(Remote::Kubernetes, FailureClass::NotFound, "there is no ServiceAccount");
    *identity.failing.lock().unwrap() = Some(failure.clone());
    server.on("GET v1", [crate::server::status(401, "ExpiredAuthenticationToken")]);
    assert_eq!(vault.vault().await.unwrap_err(), failure);
    assert_eq!(server.seen("POST token").len(), 2);
}

#[tokio::test]
async fn a_namespaces_token_is_made_out_to_the_exchange_of_its_cloud() {
    let identity = Arc::new(Namespaces::default());
    // Nothing is sent: there is no token to send.
    let failure = Failure::new(Remote::Kubernetes, FailureClass::Denied, "no");
    *identity.failing.lock().unwrap() = Some(failure);
    for (cloud, audience) in [
        (Cloud::Public, "api://AzureADTokenExchange"),
        (Cloud::UsGovernment, "api://AzureADTokenExchangeUSGov"),
        (Cloud::China, "api://AzureADTokenExchangeChina"),
    ] {
        let credential = as_namespace(&identity);
        let config = AzureConfig { cloud, credential, ..config("https://unused", "https://unused") };
        AzureVault::new(config, &shared().0).unwrap().vault().await.unwrap_err();
        assert_eq!(identity.asked.lock().unwrap().pop().unwrap().1, audience);
    }
    // An address that the vault's author chose gets no token of the namespace.
    let away =
        AzureConfig { credential: as_namespace(&identity), ..config("https://login.example", "https://arm.example") };
    assert_eq!(AzureVault::new(away, &shared().0).map(|_| ()).unwrap_err().class, FailureClass::Invalid);
}

#[tokio::test]
async fn the_metadata_service_gives_the_managed_identity() {
    let server = Server::start().await;
    server.on("GET token", [ok(json!({"access_token": "imds", "expires_in": "86399", "token_type": "Bearer"}))]);
    server.on("GET v1", [ok(json!({"id": "/v"}))]);
    let shared = shared().0.with_metadata_service(&server.url);
    let credential = Credential::ManagedIdentity { client_id: Some("user-assigned".into()) };
    let vault = AzureVault::new(AzureConfig { credential, ..config(&server.url, &server.url) }, &shared).unwrap();
    vault.vault().await.unwrap();
    let seen = server.seen("GET token").remove(0);
    assert_eq!(seen.header("metadata"), "true");
    let url = url::Url::parse(&format!("http://x{}", seen.target)).unwrap();
    assert_eq!(url.path(), "/metadata/identity/oauth2/token");
    let query: Vec<_> = url.query_pairs().into_owned().collect();
    assert_eq!(
        query,
        [
            pair("api-version", "2018-02-01"),
            pair("resource", &format!("{}/", server.url)),
            pair("client_id", "user-assigned")
        ]
    );
    assert_eq!(server.seen("GET v1")[0].header("authorization"), "Bearer imds");
}

#[tokio::test]
async fn an_unsound_configuration_is_refused_before_anything_is_sent() {
    let (shared, _) = shared();
    let sound = || config("http://127.0.0.1:1", "http://127.0.0.1:1");
    let class = |config: AzureConfig| AzureVault::new(config, &shared).map(|_| ()).unwrap_err().class;
    assert_eq!(class(AzureConfig { vault: "a/../b".into(), ..sound() }), FailureClass::Invalid);
    assert_eq!(class(AzureConfig { subscription: String::new(), ..sound() }), FailureClass::Invalid);
    assert_eq!(class(config("https://login.example", "http://arm.example")), FailureClass::Invalid);
    // The controller's own identity would be sent to an address that an object's author chose.
    let own = || AzureConfig {
        credential: Credential::ManagedIdentity { client_id: None },
        ..config("https://login.example", "https://arm.example")
    };
    assert_eq!(class(own()), FailureClass::Invalid);
    assert!(AzureVault::new(own(), &shared.clone().trusting_custom_endpoints()).is_ok());
    assert!(AzureVault::new(AzureConfig { cloud: Cloud::China, ..own() }, &shared).is_ok());
}
