//! The modernized generation at its original location: the whole cycle over the wire.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{Arm, start};
use jiff::SignedDuration;
use serde_json::{Value, json};

const DEMO: &str = include_str!("../../../examples/scenarios/one-machine.yaml");

fn reprotect_body(fabric: &Value, arm: &Arm<'_>) -> Value {
    let agent = &fabric["properties"]["customDetails"]["reprotectAgents"][0];
    json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": "InMageRcm", "reprotectAgentId": agent["id"],
        "datastoreName": "datastore1", "logStorageAccountId": format!("{}/providers/Microsoft.Storage/storageAccounts/cache", arm.base)}}})
}

fn failback_body() -> Value {
    json!({"properties": {"providerSpecificDetails": {"instanceType": "InMageRcmFailback", "recoveryPointType": "CrashConsistent"}}})
}

async fn fabric(arm: &Arm<'_>) -> Value {
    arm.get(&format!("{}/replicationFabrics/onprem-fabric", arm.vault)).await
}

fn allowed(item: &Value) -> Vec<&str> {
    item["properties"]["allowedOperations"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn one_machine_comes_home_and_is_protected_again() {
    let running = start(DEMO, 0.0).await;
    let arm = Arm::login(&running).await;
    let begin = running.site.now();
    let item = arm.item("web-01").await;
    assert_eq!(item["properties"]["protectionState"], "UnplannedFailoverCommitted");
    assert_eq!(allowed(&item), ["CompleteMigration", "DisableProtection", "SwitchProtection"]);
    assert_eq!(item["properties"]["providerSpecificDetails"]["isAgentRegistrationSuccessfulAfterFailover"], true);

    let fabric = fabric(&arm).await;
    let job = arm.verb("web-01", "reProtect", Some(reprotect_body(&fabric, &arm))).await;
    let busy = arm.item("web-01").await;
    assert_eq!(busy["properties"]["currentScenario"]["scenarioName"], "SwitchReplicationGroupProtection");
    assert!(allowed(&busy).is_empty());
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    let item = arm.item("web-01").await;
    assert_eq!(item["properties"]["protectionState"], "InitialReplicationInProgress");
    assert_eq!(item["properties"]["activeLocation"], "Primary");
    assert_eq!(item["properties"]["providerSpecificDetails"]["instanceType"], "InMageRcmFailback");
    assert_eq!(item["properties"]["currentScenario"]["scenarioName"], "None");
    let minutes = arm.until("web-01", "Protected").await;
    assert!((15..=25).contains(&minutes), "initial replication took {minutes} min");
    assert_eq!(allowed(&arm.item("web-01").await), ["PlannedFailover", "DisableProtection"]);
    assert_eq!(arm.machine("web-01")["onPremVm"]["powerState"], "poweredOff");

    let job = arm.verb("web-01", "plannedFailover", Some(failback_body())).await;
    assert_eq!(arm.finish(&job).await["scenarioName"], "PlannedFailover");
    let machine = arm.machine("web-01");
    assert_eq!(machine["azureVm"]["powerState"], "deallocated");
    assert_eq!(machine["onPremVm"]["powerState"], "poweredOn");
    assert_eq!(machine["onPremVm"]["tools"], "notRunning");
    running.site.advance(SignedDuration::from_mins(2));
    assert_eq!(arm.machine("web-01")["onPremVm"]["tools"], "running");
    let item = arm.item("web-01").await;
    assert_eq!(allowed(&item), ["Commit", "CancelFailover"]);
    assert_eq!(item["properties"]["providerSpecificDetails"]["lastPlannedFailoverStatus"], "Succeeded");

    let job = arm.verb("web-01", "failoverCommit", None).await;
    arm.finish(&job).await;
    assert_eq!(arm.machine("web-01")["azureVm"]["exists"], false);
    let item = arm.item("web-01").await;
    assert!(allowed(&item).contains(&"SwitchProtection"));

    let details = &item["properties"]["providerSpecificDetails"];
    let body = json!({"properties": {"failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": {"instanceType": "InMageRcmFailback",
        "processServerId": fabric["properties"]["customDetails"]["processServers"][0]["id"], "policyId": details["lastUsedPolicyId"]}}});
    // Too early: the agent has not registered since the machine booted at home.
    let job = arm.verb("web-01", "reProtect", Some(body.clone())).await;
    let failed = arm.finish(&job).await;
    assert_eq!(failed["state"], "Failed");
    assert_eq!(failed["errors"][0]["serviceErrorDetails"]["code"], "InMageRcmMobilityAgentNotRegistered");
    while arm.machine("web-01")["agentRegistered"] != true {
        running.site.advance(SignedDuration::from_secs(30));
    }
    let job = arm.verb("web-01", "reProtect", Some(body)).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    arm.until("web-01", "InitialReplicationRecoveryCompletionPending").await;
    arm.until("web-01", "Protected").await;
    let item = arm.item("web-01").await;
    assert_eq!(item["properties"]["providerSpecificDetails"]["instanceType"], "InMageRcm");
    assert_eq!(allowed(&item), ["UnplannedFailover", "DisableProtection", "TestFailover"]);
    let minutes = running.site.now().duration_since(begin).as_mins();
    assert!(minutes <= 105, "the whole cycle took {minutes} min");
    assert_eq!(arm.machine("web-01")["bothRunningEver"], false);
    let verbs: Vec<String> = running.site.calls().into_iter().map(|call| call.verb).collect();
    assert_eq!(verbs, ["reProtect", "plannedFailover", "failoverCommit", "reProtect", "reProtect"]);
}

#[tokio::test]
async fn cancel_brings_the_azure_vm_back() {
    let running = start(DEMO, 0.0).await;
    let arm = Arm::login(&running).await;
    let fabric = fabric(&arm).await;
    let job = arm.verb("web-01", "reProtect", Some(reprotect_body(&fabric, &arm))).await;
    arm.finish(&job).await;
    arm.until("web-01", "Protected").await;
    let job = arm.verb("web-01", "plannedFailover", Some(failback_body())).await;
    arm.finish(&job).await;
    let job = arm.verb("web-01", "failoverCancel", None).await;
    assert_eq!(arm.finish(&job).await["state"], "Succeeded");
    let machine = arm.machine("web-01");
    assert_eq!(machine["azureVm"]["powerState"], "running");
    assert_eq!(machine["onPremVm"]["powerState"], "poweredOff");
    assert_eq!(machine["bothRunningEver"], false);
    let item = arm.item("web-01").await;
    assert_eq!(item["properties"]["providerSpecificDetails"]["lastPlannedFailoverStatus"], "Cancelled");
    assert_eq!(allowed(&item), ["PlannedFailover", "DisableProtection"]);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_arm_errors() {
    let running = start(DEMO, 0.0).await;
    let arm = Arm::login(&running).await;
    let item = arm.item_id("web-01");
    let fabric = fabric(&arm).await;

    let reply = arm.call("POST", &format!("{item}/failoverCommit"), None).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["details"][0]["code"], "OperationNotAllowed");
    let reply = arm.call("GET", &item.replace("web-01", "web-99"), None).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["details"][0]["code"].as_str()),
        (404, Some("ArmResourceDoesNotExist"))
    );
    let reply = arm.call("GET", &format!("{item}?api-version=2000-01-01"), None).await;
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("2025-08-01"), "{}", reply.text());
    // Each provider has versions of its own, and names them.
    let vm = format!("{}/providers/Microsoft.Compute/virtualMachines/web-01", arm.base);
    for (path, good) in [
        (arm.vault.clone(), "2016-06-01"),
        (vm.clone(), "2024-03-01"),
        (format!("{}/providers/Microsoft.Authorization/locks", arm.base), "2020-05-01"),
        (format!("{vm}/providers/Microsoft.Authorization/locks"), "2020-05-01"),
        (format!("{}/providers/Microsoft.Authorization/locks", arm.vault), "2020-05-01"),
        (format!("{}/providers/Microsoft.OffAzure/VMwareSites/onprem-fabric-site", arm.base), "2023-06-06"),
    ] {
        let reply = arm.call("GET", &format!("{path}?api-version=2000-01-01"), None).await;
        let body = reply.json();
        assert_eq!(
            (reply.status, body["error"]["code"].as_str()),
            (400, Some("NoRegisteredProviderFound")),
            "{path}: {}",
            reply.text()
        );
        assert!(body["error"]["message"].as_str().unwrap().contains(good), "{}", reply.text());
        let reply = arm.call("GET", &format!("{path}?api-version={good}"), None).await;
        assert!([200, 404].contains(&reply.status), "{path}: {}", reply.text());
    }
    let bearer = format!("Bearer {}", arm.token);
    let reply = common::send(
        running.address,
        "POST",
        &format!("{item}/reProtect?{}", common::API),
        &[("authorization", &bearer)],
        "{not json",
    )
    .await
    .unwrap();
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (400, Some("InvalidRequestContent")));
    let reply = common::send(running.address, "GET", &format!("{item}?{}", common::API), &[], "").await.unwrap();
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (401, Some("AuthenticationFailed")));
    let reply = common::send(
        running.address,
        "GET",
        &format!("{item}?{}", common::API),
        &[("authorization", "Bearer nonsense")],
        "",
    )
    .await
    .unwrap();
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (401, Some("InvalidAuthenticationToken")));
    let reply = arm.call("GET", "/nothing/here", None).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (404, Some("MissingSubscription")));

    arm.verb("web-01", "reProtect", Some(reprotect_body(&fabric, &arm))).await;
    let reply = arm.call("POST", &format!("{item}/reProtect"), Some(reprotect_body(&fabric, &arm))).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (409, Some("Conflict")));
    assert_eq!(running.site.calls().iter().filter(|call| call.effect).count(), 1);
}

#[tokio::test]
async fn the_token_endpoint_speaks_like_entra() {
    let running = start(DEMO, 0.0).await;
    let azure = sim_site::scenario::Azure::default();
    let form = |client: &str, secret: &str| {
        format!(
            "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"
        )
    };
    for (tenant, client, secret, status, code) in [
        (azure.tenant.as_str(), azure.client_id.as_str(), "wrong", 401, 7_000_215),
        ("00000000-0000-0000-0000-000000000000", azure.client_id.as_str(), "x", 400, 90_002),
        (azure.tenant.as_str(), "someone", "x", 400, 700_016),
    ] {
        let reply =
            common::send(running.address, "POST", &format!("/{tenant}/oauth2/v2.0/token"), &[], form(client, secret))
                .await
                .unwrap();
        assert_eq!(reply.status, status);
        let body = reply.json();
        assert_eq!(body["error_codes"][0], code);
        assert!(body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{code}: ")));
    }
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/";
    let reply = common::send(running.address, "GET", path, &[("metadata", "true")], "").await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.json()["expires_in"].is_string());
    assert_eq!(common::send(running.address, "GET", path, &[], "").await.unwrap().status, 400);
}

#[tokio::test]
async fn a_federated_credential_is_for_one_subject_and_one_audience() {
    use base64::Engine;
    let world = "azure: {federatedCredentials: [{clientId: ours, subject: 'system:serviceaccount:dr:robot'}]}\nmachines: [{name: web-01}]";
    let running = start(world, 0.0).await;
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let asserting = |client: &str, subject: &str, audience: &str, exp: i64| {
        let claims = part(&json!({"sub": subject, "aud": [audience], "exp": exp}));
        format!(
            "grant_type=client_credentials&client_id={client}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion=e30.{claims}.c2ln"
        )
    };
    let (subject, audience, later) =
        ("system:serviceaccount:dr:robot", "api://AzureADTokenExchange", jiff::Timestamp::now().as_second() + 600);
    let azure = sim_site::scenario::Azure::default();
    for (form, code) in [
        (asserting("ours", subject, audience, later), None),
        (asserting("ours", "system:serviceaccount:lab:robot", audience, later), Some(700_213)),
        (asserting("ours", subject, "api://another", later), Some(700_212)),
        (asserting("ours", subject, audience, 1), Some(700_024)),
        (asserting(&azure.client_id, subject, audience, later), Some(700_213)),
        (asserting("nobody", subject, audience, later), Some(700_016)),
    ] {
        let path = format!("/{}/oauth2/v2.0/token", azure.tenant);
        let reply = common::send(running.address, "POST", &path, &[], form.clone()).await.unwrap();
        assert_eq!(reply.json()["error_codes"][0].as_i64(), code, "{form}: {}", reply.text());
        assert_eq!(reply.json()["access_token"].is_string(), code.is_none());
    }
}
