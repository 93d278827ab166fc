//! Wrong values: each has a condition with a reason and a remedy, and the rest goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use failback::{
    api::{DesiredPhase, FailbackApproval, RecoveryVault, ReplicatedItem, VCenter},
    core::conditions,
    rehearsal::Variant,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use crate::stage::{SCENARIO, Stage, manifests};

const WALL: Duration = Duration::from_secs(20);

/// The vault's condition once it has this status and reason.
async fn vault(stage: &Stage, kind: &str, status: &str, reason: &str) -> Condition {
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    let what = format!("{kind}={status} {reason}");
    stage
        .condition(WALL, &what, || async {
            let status_of = vaults.get("recovery-vault").await.unwrap().status?;
            conditions::find(&status_of.conditions, kind).filter(|c| c.status == status && c.reason == reason).cloned()
        })
        .await
}

async fn vcenter(stage: &Stage, kind: &str, status: &str, reason: &str) -> Condition {
    let vcenters: Api<VCenter> = Api::default_namespaced(stage.client.clone());
    let what = format!("{kind}={status} {reason}");
    stage
        .condition(WALL, &what, || async {
            let status_of = vcenters.get("vcenter").await.unwrap().status?;
            conditions::find(&status_of.conditions, kind).filter(|c| c.status == status && c.reason == reason).cloned()
        })
        .await
}

/// The machine's readiness, once it has this reason and says this.
async fn item(stage: &Stage, name: &str, reason: &str, saying: &str) -> Condition {
    stage
        .condition(WALL, saying, || async {
            let status = stage.items().get(name).await.unwrap().status?;
            let ready = conditions::find(&status.conditions, "Ready")?;
            (ready.reason == reason && ready.message.contains(saying)).then(|| ready.clone())
        })
        .await
}

fn of_kind(object: &mut Value, kind: &str, change: impl Fn(&mut Value)) {
    if object["kind"] == kind {
        change(object);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_shows_entras_own_message() {
    let stage = Stage::with(60.0, |object| {
        if object["metadata"]["name"] == "azure" {
            object["stringData"]["clientSecret"] = json!("wrong");
        }
    })
    .await;
    let condition = vault(&stage, "CredentialsValid", "False", "CredentialsRejected").await;
    assert!(condition.message.contains("AADSTS7000215"), "{}", condition.message);
    assert!(condition.message.contains("Remedy:"), "{}", condition.message);
    assert!(!condition.message.contains("wrong"), "the secret is not shown: {}", condition.message);
    // vCenter is another system, and works.
    vcenter(&stage, "Ready", "True", "Connected").await;
    item(&stage, "web-01", "WaitingForObservation", "AADSTS7000215").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tenant_and_an_unknown_vault() {
    let stage = Stage::with(60.0, |object| {
        of_kind(object, "RecoveryVault", |vault| {
            vault["spec"]["credential"]["clientSecret"]["tenantId"] = json!("00000000-1111-2222-3333-444444444444");
        });
    })
    .await;
    let condition = vault(&stage, "CredentialsValid", "False", "CredentialsRejected").await;
    assert!(condition.message.contains("AADSTS90002"), "{}", condition.message);
    stage.end().await;

    let stage = Stage::with(60.0, |object| {
        of_kind(object, "RecoveryVault", |vault| vault["spec"]["vaultName"] = json!("another-vault"));
    })
    .await;
    let condition = vault(&stage, "Ready", "False", "NotFound").await;
    assert!(
        condition.message.contains("another-vault") && condition.message.contains("spec.vaultName"),
        "{}",
        condition.message
    );
    stage.end().await;
}

/// Passes everything on to the site, and counts logins.
async fn counting_proxy(site: String, logins: Arc<AtomicUsize>) -> String {
    let client = reqwest::Client::new();
    let pass = move |request: axum::extract::Request| {
        let (client, site, logins) = (client.clone(), site.clone(), Arc::clone(&logins));
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            if body.windows(7).any(|window| window == b"<Login ") {
                logins.fetch_add(1, Ordering::SeqCst);
            }
            let answer = client
                .request(parts.method, format!("{site}{}", parts.uri))
                .headers(parts.headers)
                .body(body)
                .send()
                .await
                .unwrap();
            let mut response = axum::response::Response::builder().status(answer.status());
            if let Some(cookie) = answer.headers().get("set-cookie") {
                response = response.header("set-cookie", cookie);
            }
            response.body(axum::body::Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(pass)).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_vcenter_password_locks_no_account() {
    let stage = Stage::with(60.0, |object| {
        if object["metadata"]["name"] == "vcenter" && object["kind"] == "Secret" {
            object["stringData"]["password"] = json!("wrong");
        }
    })
    .await;
    vcenter(&stage, "CredentialsValid", "False", "CredentialsRejected").await;
    // Logins are counted in between.
    let logins = Arc::new(AtomicUsize::new(0));
    let proxy = counting_proxy(stage.rehearsal.site_url.clone(), Arc::clone(&logins)).await;
    let vcenters: Api<VCenter> = Api::default_namespaced(stage.client.clone());
    let patch = kube::api::Patch::Merge(json!({ "spec": { "server": proxy } }));
    vcenters.patch("vcenter", &Default::default(), &patch).await.unwrap();
    // Five simulated minutes.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let condition = vcenter(&stage, "CredentialsValid", "False", "CredentialsRejected").await;
    assert!(condition.message.contains("Remedy:"), "{}", condition.message);
    assert_eq!(logins.load(Ordering::SeqCst), 1, "one login for this address, refused, and no other");

    // The right password is taken as soon as the Secret is read again.
    let right = manifests(|_| ()).into_iter().filter(|object| object["metadata"]["name"] == "vcenter").collect();
    stage.apply(right).await;
    vcenter(&stage, "Ready", "True", "Connected").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_names_field_and_key() {
    let stage = Stage::with(60.0, |object| {
        of_kind(object, "VCenter", |vcenter| vcenter["spec"]["credentialsRef"]["name"] = json!("nowhere"));
    })
    .await;
    let condition = vcenter(&stage, "Ready", "False", "SecretNotFound").await;
    assert_eq!(condition.message, "spec.credentialsRef: there is no Secret \"nowhere\" in this namespace.");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_the_vault_does_not_have_and_one_without_object() {
    let stage = Stage::with(600.0, |object| {
        of_kind(object, "FailbackPlan", |plan| {
            plan["spec"]["waves"][0]["items"] = json!(["web-01", "web-02", "nobody"]);
            plan["spec"]["desiredPhase"] = json!("Reprotected");
        });
    })
    .await;
    let mut other = manifests(|_| ()).into_iter().find(|object| object["kind"] == "ReplicatedItem").unwrap();
    other["metadata"]["name"] = json!("web-02");
    other["spec"]["machine"] = json!("misspelt");
    stage.apply(vec![other]).await;
    item(&stage, "web-02", "WaitingForObservation", "spec.machine: the vault has no item \"misspelt\"").await;

    // The plan tells both, and web-01 goes on.
    stage
        .until(Duration::from_secs(30), "web-01 is reprotected and the others are told", || async {
            let web = stage.items().get("web-01").await.unwrap().status.unwrap_or_default();
            let plan = stage.plans().get("web").await.unwrap().status.unwrap_or_default();
            let told = plan.issues.iter().any(|issue| issue.reason == "ItemNotFound" && issue.items == ["nobody"]);
            conditions::is_true(&web.conditions, "Reprotected") && told
        })
        .await;
    assert_eq!(stage.verbs(), ["reProtect"]);
    stage.end().await;
}

/// Each object has a journal of its own, and each could make the call.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_objects_for_one_machine_one_calls() {
    let stage = Stage::up_to(DesiredPhase::Reprotected, 600.0).await;
    stage.until(WALL, "the first call", || async { stage.verbs().len() == 1 }).await;
    let id = stage.items().get("web-01").await.unwrap().status.unwrap().identity.item_id.unwrap();
    let mut others: Vec<Value> = manifests(|_| ())
        .into_iter()
        .filter(|object| ["ReplicatedItem", "FailbackPlan"].contains(&object["kind"].as_str().unwrap()))
        .collect();
    for object in &mut others {
        object["metadata"]["name"] = json!("twin");
        of_kind(object, "ReplicatedItem", |item| item["spec"]["machine"] = json!(id));
        of_kind(object, "FailbackPlan", |plan| plan["spec"]["waves"][0]["items"] = json!(["twin"]));
    }
    stage.apply(others).await;
    stage.plan_ready(Duration::from_secs(60)).await;
    let told = item(&stage, "twin", "WaitingForChecks", "ReplicatedItem default/web-01 describes").await;
    assert!(told.message.contains("DescribedOnce"), "{told:?}");
    assert_eq!(stage.verbs(), ["reProtect"]);
    // The other plan goes on where the first one let go.
    stage.plans().delete("web", &DeleteParams::default()).await.unwrap();
    stage.until(Duration::from_secs(60), "the twin's call", || async { stage.verbs().len() > 1 }).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_shows_its_thumbprint() {
    let stage = Stage::with(60.0, |object| {
        of_kind(object, "FailbackPlan", |plan| plan["spec"]["desiredPhase"] = json!("Assessed"));
    })
    .await;
    let certificate = sim_site::SelfSigned::new(&[]).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let site = stage.rehearsal.site.clone();
    let served =
        tokio::spawn(async move { site.serve_tls(listener, certificate.config, std::future::pending()).await });
    let vcenters: Api<VCenter> = Api::default_namespaced(stage.client.clone());
    let server = format!("https://{address}");
    let patch = kube::api::Patch::Merge(json!({ "spec": { "server": server } }));
    vcenters.patch("vcenter", &Default::default(), &patch).await.unwrap();
    let condition = vcenter(&stage, "Reachable", "False", "CertificateUntrusted").await;
    let shown = condition.message.to_uppercase().replace(':', "");
    assert!(shown.contains(&certificate.thumbprint.replace(':', "")), "{}", condition.message);

    let patch = kube::api::Patch::Merge(json!({ "spec": { "thumbprint": certificate.thumbprint } }));
    vcenters.patch("vcenter", &Default::default(), &patch).await.unwrap();
    vcenter(&stage, "Ready", "True", "Connected").await;
    served.abort();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_answers_html_is_quoted() {
    let stage = Stage::with(60.0, |object| {
        of_kind(object, "FailbackPlan", |plan| plan["spec"]["desiredPhase"] = json!("Assessed"));
    })
    .await;
    let proxy = axum::Router::new()
        .fallback(|| async { axum::response::Html("<html><body>Proxy: please sign in</body></html>") });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move { axum::serve(listener, proxy).await });
    let vaults: Api<RecoveryVault> = Api::default_namespaced(stage.client.clone());
    let patch = kube::api::Patch::Merge(json!({ "spec": { "customEndpoints": { "resourceManager": url } } }));
    vaults.patch("recovery-vault", &Default::default(), &patch).await.unwrap();
    let condition = vault(&stage, "Reachable", "False", "UnreadableAnswer").await;
    assert!(condition.message.contains("please sign in"), "{}", condition.message);
    served.abort();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_does_not_parse_harms_only_itself() {
    let stage = Stage::with(600.0, |object| {
        of_kind(object, "FailbackPlan", |plan| plan["spec"]["desiredPhase"] = json!("Reprotected"));
    })
    .await;
    // An older definition let such objects in: the field is there with another type.
    let mut lax = serde_json::to_value(
        failback::api::crds().into_iter().find(|crd| crd.spec.names.kind == "ReplicatedItem").unwrap(),
    )
    .unwrap();
    let schema = &mut lax["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    *schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    lax["spec"]["versions"][0]["selectableFields"] = json!([]);
    stage.rehearsal.api.apply(lax).await.unwrap();
    // A server applies nothing to an object that does not fit its definition; and one write is lost.
    let on = sim_apiserver::Match {
        verb: Some("patch".to_owned()),
        subresource: Some("status".to_owned()),
        name: Some("odd".to_owned()),
        ..Default::default()
    };
    for code in [422, 503] {
        let effect = sim_apiserver::Effect::Refuse(code);
        stage.rehearsal.api.faults().inject(sim_apiserver::Fault { on: on.clone(), effect, times: Some(1) });
    }
    let odd = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "ReplicatedItem",
        "metadata": { "name": "odd", "namespace": "default", "finalizers": ["failback.dev/hold"] },
        "spec": { "machine": { "this": "is no name" } }
    });
    stage.rehearsal.api.apply(odd).await.unwrap();
    let dynamic: Api<kube::api::DynamicObject> =
        Api::default_namespaced_with(stage.client.clone(), &kube::core::ApiResource::erase::<ReplicatedItem>(&()));
    let condition = stage
        .condition(WALL, "Malformed", || async {
            let object = dynamic.get("odd").await.unwrap();
            let found = object.data["status"]["conditions"].as_array()?.first()?.clone();
            serde_json::from_value::<Condition>(found).ok().filter(|condition| condition.reason == "Malformed")
        })
        .await;
    assert!(condition.message.contains("Remedy:"), "{}", condition.message);
    stage.plan_ready(Duration::from_secs(30)).await;
    dynamic.delete("odd", &DeleteParams::default()).await.unwrap();
    let way_out = "kubectl patch replicateditems.failback.dev odd -n default --type=merge -p '{\"metadata\":{\"finalizers\":null}}'";
    stage
        .until(WALL, "what holds it is told", || async {
            let object = dynamic.get("odd").await.unwrap();
            object.data["status"]["conditions"][0]["message"].as_str().unwrap_or_default().contains(way_out)
        })
        .await;
    stage.end().await;
}

/// The process that could not read an object may be gone, and the one that can knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_told_of_an_object_that_it_could_not_read_is_taken_back() {
    let stage = Stage::up_to(DesiredPhase::Assessed, 600.0).await;
    stage.plan_ready(Duration::from_secs(30)).await;
    let told = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "Malformed", "message": "The object cannot be read.",
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        })
    };
    let status = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "ReplicatedItem", "metadata": { "name": "web-01" },
        "status": { "conditions": [told("Ready", "False"), told("Stalled", "True")] }
    });
    let params = kube::api::PatchParams::apply("failback-malformed").force();
    let patch = kube::api::Patch::Apply(&status);
    stage.items().patch_status("web-01", &params, &patch).await.unwrap();
    stage
        .until(WALL, "it is taken back", || async {
            let item = stage.items().get("web-01").await.unwrap();
            let managers = item.metadata.managed_fields.unwrap_or_default();
            let conditions = item.status.unwrap_or_default().conditions;
            managers.iter().all(|entry| entry.manager.as_deref() != Some("failback-malformed"))
                && conditions::find(&conditions, "Stalled").is_none()
                && conditions.iter().all(|condition| condition.reason != "Malformed")
        })
        .await;
    stage.end().await;
}

/// The server's check of a time is looser than any parser of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_cannot_be_read_holds_up_no_step() {
    let mut objects = manifests(|object| {
        of_kind(object, "FailbackPlan", |plan| plan["spec"]["desiredPhase"] = json!("Reprotected"));
    });
    objects.push(json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackApproval",
        "metadata": { "name": "odd", "namespace": "default" },
        "spec": {
            "planRef": { "name": "web" }, "planUid": "x", "specHash": "x", "step": "Reprotect",
            "approver": "lead@example.com", "expiresAt": "2099-01-01T00:00:00+99:99"
        }
    }));
    let stage = Stage::without(SCENARIO, 600.0, objects).await.begin(Variant::default());
    stage.plan_ready(Duration::from_secs(30)).await;
    assert_eq!(stage.verbs(), ["reProtect"]);
    let dynamic: Api<kube::api::DynamicObject> =
        Api::default_namespaced_with(stage.client.clone(), &kube::core::ApiResource::erase::<FailbackApproval>(&()));
    stage
        .until(WALL, "it is told so", || async {
            let object = dynamic.get("odd").await.unwrap();
            object.data["status"]["conditions"][0]["reason"] == "Malformed"
        })
        .await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_and_a_vcenter_that_fail_stop_nobody_else() {
    let stage = Stage::with(1200.0, |_| ()).await;
    let mut broken = manifests(|_| ());
    broken.retain(|object| matches!(object["kind"].as_str(), Some("RecoveryVault" | "VCenter" | "ReplicatedItem")));
    for object in &mut broken {
        object["metadata"]["name"] = json!(format!("broken-{}", object["metadata"]["name"].as_str().unwrap()));
        of_kind(object, "RecoveryVault", |vault| vault["spec"]["vaultName"] = json!("no-such-vault"));
        of_kind(object, "VCenter", |vcenter| vcenter["spec"]["credentialsRef"]["name"] = json!("azure"));
        of_kind(object, "ReplicatedItem", |item| {
            item["spec"]["vaultRef"]["name"] = json!("broken-recovery-vault");
            item["spec"]["vcenterRef"]["name"] = json!("broken-vcenter");
            item["spec"].as_object_mut().unwrap().remove("masterTargetRef");
        });
    }
    stage.apply(broken).await;
    item(&stage, "broken-web-01", "WaitingForObservation", "no-such-vault").await;
    stage.plan_ready(Duration::from_secs(60)).await;
    assert_eq!(stage.verbs().len(), 4);
    stage.end().await;
}
