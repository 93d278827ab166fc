//! Each namespace signs in to Azure with an identity of its own, and with no other.

use std::time::Duration;

use failback::{api::RecoveryVault, config::AzureDefaults, core::conditions, rehearsal::Variant};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use serde_json::{Value, json};
use sim_apiserver::{Effect, Fault, Match};

use crate::stage::{SCENARIO, Stage, manifests};

const WALL: Duration = Duration::from_secs(30);
const TENANT: &str = "7f3d2c52-1c1a-4a6e-9d5c-5b1f0a6e4c11";
/// The identity of namespace `default`, and the one of namespace `lab`.
const OURS: &str = "11111111-1111-4111-8111-111111111111";
const THEIRS: &str = "22222222-2222-4222-8222-222222222222";

/// A site whose directory knows an identity for each of two namespaces.
fn scenario() -> String {
    let federated = format!(
        "azure:\n  federatedCredentials:\n    - {{clientId: {OURS}, subject: 'system:serviceaccount:default:failback-azure'}}\n    \
         - {{clientId: {THEIRS}, subject: 'system:serviceaccount:lab:failback-azure'}}\n"
    );
    SCENARIO.replacen("azure:\n", &federated, 1)
}

/// The example, signing in as the namespace under this client id.
fn signing_in_as(client: &str) -> Vec<Value> {
    let mut objects = manifests(|object| {
        if object["kind"] == "RecoveryVault" {
            let credential = json!({ "serviceAccount": { "tenantId": TENANT, "clientId": client } });
            object["spec"]["credential"] = credential;
        }
    });
    objects.retain(|object| object["metadata"]["name"] != "azure");
    objects
}

fn account() -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "failback-azure", "namespace": "default" } })
}

async fn stage(objects: Vec<Value>, speed: f64) -> Stage {
    Stage::varied(&scenario(), speed, Variant::default(), objects).await
}

/// The condition of the vault, once it has this status and reason.
async fn vault(stage: &Stage, kind: &str, status: &str, reason: &str) -> Condition {
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    let found = stage.wait(
        WALL,
        || async {
            let status = vaults.get("recovery-vault").await.unwrap().status.unwrap_or_default();
            conditions::find(&status.conditions, kind).cloned()
        },
        |found| found.as_ref().is_some_and(|found| found.status == status && found.reason == reason),
    );
    found.await.unwrap().unwrap()
}

/// How often a token was asked for.
fn token_requests(stage: &Stage) -> usize {
    let asked = stage.rehearsal.api.record().into_iter().filter(|request| request.subresource == "token");
    asked
        .inspect(|request| assert_eq!((request.verb.as_str(), request.name.as_str()), ("create", "failback-azure")))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_comes_home_with_the_identity_of_its_namespace() {
    let mut objects = vec![account()];
    objects.extend(signing_in_as(OURS));
    let stage = stage(objects, 1200.0).await;
    stage.plan_ready(Duration::from_secs(60)).await;
    assert_eq!(stage.verbs(), ["reProtect", "plannedFailover", "failoverCommit", "reProtect"]);
    assert_eq!(token_requests(&stage), 1, "an access token is kept as long as it holds");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_another_namespace_cannot_be_borrowed() {
    let mut objects = vec![account()];
    objects.extend(signing_in_as(THEIRS));
    let stage = stage(objects, 60.0).await;
    let condition = vault(&stage, "CredentialsValid", "False", "FederatedCredentialMissing").await;
    for said in ["AADSTS700213", "'system:serviceaccount:default:failback-azure'", "Remedy: in Entra"] {
        assert!(condition.message.contains(said), "{said} in {}", condition.message);
    }
    assert_eq!(stage.verbs(), [""; 0]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_service_account_is_told_and_found_once_it_is_there() {
    let stage = stage(signing_in_as(OURS), 600.0).await;
    let condition = vault(&stage, "CredentialsValid", "False", "ServiceAccountNotFound").await;
    for said in ["there is no ServiceAccount \"failback-azure\" of namespace \"default\"", "Remedy: create it"] {
        assert!(condition.message.contains(said), "{said} in {}", condition.message);
    }
    stage.apply(vec![account()]).await;
    vault(&stage, "CredentialsValid", "True", "Connected").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_may_not_ask_says_which_value_of_the_chart_lets_it() {
    let stage = stage(Vec::new(), 600.0).await;
    let on = Match { subresource: Some("token".to_owned()), ..Match::default() };
    stage.rehearsal.api.faults().inject(Fault { on, effect: Effect::Refuse(403), times: None });
    let mut objects = vec![account()];
    objects.extend(signing_in_as(OURS));
    stage.apply(objects).await;
    let condition = vault(&stage, "CredentialsValid", "False", "TokenRequestDenied").await;
    assert!(condition.message.contains("azure.serviceAccountNamespaces"), "{}", condition.message);
    assert!(stage.rehearsal.api.faults().pending() > 0);
    stage.rehearsal.api.faults().clear();
    vault(&stage, "Ready", "True", "Connected").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_controller_lends_no_identity_a_vault_cannot_use_it() {
    let azure = AzureDefaults { shared_identity: false, ..AzureDefaults::default() };
    let objects = manifests(|object| {
        if object["kind"] == "RecoveryVault" {
            object["spec"]["credential"] = json!({ "workloadIdentity": {} });
        }
    });
    let stage = Stage::varied(SCENARIO, 60.0, Variant { azure, ..Variant::default() }, objects).await;
    let condition = vault(&stage, "CredentialsValid", "False", "SharedIdentityOff").await;
    assert!(condition.message.contains("spec.credential.workloadIdentity"), "{}", condition.message);
    // Each namespace's own credentials are still taken.
    let own = manifests(|_| ()).into_iter().filter(|object| object["kind"] == "RecoveryVault").collect();
    stage.apply(own).await;
    vault(&stage, "Ready", "True", "Connected").await;
    stage.end().await;
}
