//! Every parser of outside input, behind functions that take any bytes. cargo-fuzz and `tests/fuzz.rs` call the same.
//!
//! Through the ports rather than parser by parser: what a hostile endpoint sends is followed to what is decided from it.
#![allow(missing_docs, unreachable_pub, reason = "for tests")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use failback::{
    api::{
        FailbackApproval, FailbackApprovalSpec, FailbackPlan, JobTemplate, MasterTarget, Probe, RecoveryVault,
        ReplicatedItem, ReplicatedItemStatus, VCenter,
    },
    azure::{Answer, AzureConfig, AzureShared, AzureVault, Cloud, Credential, Secret, Transport, TransportFault},
    core::{
        action::Action,
        decide::{
            item::{self, ItemInput},
            plan::{self, PlanInput},
            target::{self, TargetInput},
        },
        estimate::Measured,
        facts::ItemFacts,
        jobs::{self, JobOrder, JobsSeen},
        observed::{Fact, Job, Replication},
        schedule::{cron::Cron, load::Load},
    },
    ports::{Clock, NoMeter, SiteRecovery},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::api as k8s;
use serde::de::{Deserialize as _, DeserializeOwned};

const VAULT: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v";
const ITEM: &str = "/replicationFabrics/f/replicationProtectionContainers/c/replicationProtectedItems/i";
const VM: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm";

/// A time, and waits that cost none.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn wall(&self, span: Duration) -> Duration {
        span
    }
}

/// An endpoint that answers every call alike; the token endpoint by itself.
struct Endpoint {
    arm: Bytes,
    token: Bytes,
}

#[async_trait]
impl Transport for Endpoint {
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, TransportFault> {
        let said = if request.uri().path().ends_with("/token") { &self.token } else { &self.arm };
        Ok(answer(said))
    }
}

/// A head is no longer than this.
const MOST_HEAD: usize = 64 << 10;

/// `200`, header lines, an empty line and a body; or a body alone.
fn answer(said: &Bytes) -> Answer {
    let end = said.windows(2).take(MOST_HEAD).position(|pair| pair == b"\n\n");
    let (head, body) = match end {
        Some(at) if said.iter().take(3).all(u8::is_ascii_digit) => (said.slice(..at), said.slice(at + 2..)),
        Some(_) | None => (Bytes::from_static(b"200"), said.clone()),
    };
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(StatusCode::OK);
    let headers: HeaderMap = lines
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).ok()?;
            Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
        })
        .collect();
    Answer { status, headers, body: Ok(body) }
}

/// A vault behind such an endpoint, on a clock of tokio's that stands still: a pause that is asked for costs no time.
fn with_vault<T>(arm: &[u8], token: &[u8], ask: impl AsyncFnOnce(AzureVault) -> T) -> T {
    let endpoint = Endpoint { arm: Bytes::copy_from_slice(arm), token: Bytes::copy_from_slice(token) };
    let shared = AzureShared::over(Arc::new(endpoint), Arc::new(Still), Arc::new(NoMeter));
    let config = AzureConfig {
        cloud: Cloud::Public,
        subscription: "s".to_owned(),
        resource_group: "g".to_owned(),
        vault: "v".to_owned(),
        credential: Credential::ClientSecret {
            tenant: "t".to_owned(),
            client_id: "c".to_owned(),
            secret: Secret::new("secret"),
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let vault = AzureVault::new(config, &shared).expect("a vault");
    runtime.expect("a runtime").block_on(ask(vault))
}

/// An answer of Azure Resource Manager to every kind of call, and what is decided about the machines that it shows: how
/// many they are.
pub fn arm(data: &[u8]) -> usize {
    const TOKEN: &[u8] = br#"{"access_token":"t","expires_in":3600}"#;
    with_vault(data, TOKEN, async |vault| {
        let id = format!("{VAULT}{ITEM}");
        let mut items = vault.items().await.map(|listing| listing.entries).unwrap_or_default();
        items.extend(vault.item(&id).await);
        let mut jobs = vault.jobs().await.map(|listing| listing.entries).unwrap_or_default();
        jobs.extend(vault.job("j").await);
        let fabrics = vault.fabrics().await.map(|listing| listing.entries).unwrap_or_default();
        let policies = vault.policies().await.map(|listing| listing.entries).unwrap_or_default();
        let points = vault.recovery_points(&id).await.map(|listing| listing.entries).unwrap_or_default();
        let locks = vault.locks(VM).await.map(|listing| listing.entries).unwrap_or_default();
        let vm = vault.azure_vm(VM).await.ok();
        drop(vault.vault().await);
        drop(vault.submit(&id, &Action::Cancel, &|| Ok(())).await);
        let count = items.len();
        for seen in items {
            let now = Still.now();
            let jobs: Vec<Job> = jobs.iter().filter(|job| job.concerns(&seen)).cloned().collect();
            let mut facts = unknown();
            facts.jobs = Fact::seen(jobs, now);
            facts.fabric =
                fabrics.first().cloned().map_or_else(|| Fact::unknown("none"), |fabric| Fact::seen(fabric, now));
            facts.policies = Fact::seen(policies.clone(), now);
            facts.recovery_points = Fact::seen(points.clone(), now);
            facts.locks = Fact::seen(locks.clone(), now);
            facts.azure_vm = vm.clone().map_or_else(|| Fact::unknown("none"), |vm| Fact::seen(vm, now));
            facts.replication = Fact::seen(seen, now);
            decide_item(&ReplicatedItem::new("i", Default::default()), &facts);
        }
        count
    })
}

/// An answer of the token endpoint.
pub fn token(data: &[u8]) {
    with_vault(b"{}", data, async |vault| drop(vault.vault().await));
}

/// An answer of vCenter's SOAP endpoint to every kind of call: how many objects it shows.
pub fn vcenter(data: &[u8]) -> usize {
    let Answer { status, headers, body } = answer(&Bytes::copy_from_slice(data));
    failback::vcenter::parsers::read(status, &headers, &body.unwrap_or_default())
}

/// A certificate, a CA bundle, a thumbprint, an address: what a person pastes, and what a server presents.
pub fn trust(data: &[u8]) {
    failback::vcenter::parsers::trust(data);
}

/// A scenario of the simulated site.
pub fn scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(scenario) = sim_site::Scenario::from_yaml(text) {
        let mut options = sim_site::Options::at_speed(0.0);
        options.origin = Some(Still.now());
        drop(sim_site::Site::new(scenario, options));
    }
}

/// Faults of the simulated site.
pub fn faults(data: &[u8]) {
    const SCENARIO: &str = include_str!("../../examples/scenarios/one-machine.yaml");
    let Ok(faults) = serde_yaml::from_slice::<Vec<sim_site::Fault>>(data) else { return };
    let scenario = sim_site::Scenario::from_yaml(SCENARIO).expect("a scenario");
    let site = sim_site::Site::new(scenario, sim_site::Options::at_speed(0.0)).expect("a site");
    for fault in faults {
        drop(site.try_inject(fault));
    }
    site.snapshot();
}

/// Jobs of the user's own, their pods, templates of them, all as YAML; the same as a log.
pub fn jobs(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(jobs::tail(text).len() < 1 << 10, "it fits into an event");
    let mut pods = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let Ok(object) = serde_json::Value::deserialize(document) else { break };
        drop(read::<k8s::batch::v1::Job>(&object).map(|job| jobs::look(&job, None)));
        pods.extend(read::<k8s::core::v1::Pod>(&object));
        if let Some(template) = read::<JobTemplate>(&object).filter(|template| jobs::unfit(template).is_none()) {
            jobs::body(&JobOrder {
                name: "job",
                namespace: "default",
                template: &template,
                owner: ["failback.dev/v1alpha1", "FailbackPlan", "plan", "uid"],
                labels: &[],
                environment: &jobs::Environment::from([("FAILBACK_PLAN", "plan".to_owned())]),
                timeout_seconds: 600,
                least_ttl: 3600,
                ttl: None,
            });
        }
    }
    jobs::why_waiting(&pods);
}

/// A probe as YAML, an empty line, a line with the guest's address, and what it answers over HTTP.
pub fn probe(data: &[u8]) {
    let Some(at) = data.windows(2).position(|pair| pair == b"\n\n") else { return };
    let Ok(probe) = serde_yaml::from_slice::<Probe>(&data[..at]) else { return };
    let said = &data[at + 2..];
    let line = said.iter().position(|byte| *byte == b'\n').unwrap_or(said.len());
    let guest_ip = String::from_utf8_lossy(&said[..line]);
    let Answer { status, body, .. } = answer(&Bytes::copy_from_slice(said.get(line + 1..).unwrap_or_default()));
    failback::probe::read(&probe, &guest_ip, status.as_u16(), &body.unwrap_or_default());
}

/// Custom resources of all kinds as YAML, whatever their rules say, and what is decided about them.
pub fn objects(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for document in serde_yaml::Deserializer::from_str(text) {
        let Ok(object) = serde_json::Value::deserialize(document) else { return };
        if let Some(item) = read::<ReplicatedItem>(&object) {
            decide_item(&item, &unknown());
            let seen = Replication { friendly_name: item.spec.machine.clone(), ..Replication::default() };
            decide_item(&item, &ItemFacts { replication: Fact::seen(seen, Still.now()), ..unknown() });
        }
        if let Some(plan) = read::<FailbackPlan>(&object) {
            decide_plan(&plan, &object);
        }
        if let Some(target) = read::<MasterTarget>(&object) {
            target::decide(&TargetInput {
                spec: &target.spec,
                before: &target.status.clone().unwrap_or_default(),
                generation: target.metadata.generation,
                found: &target::find(&target.spec, &[]).map_or_else(
                    |missing| Fact::seen(Err(missing), Still.now()),
                    |found| Fact::seen(Ok(found), Still.now()),
                ),
                surroundings: &Fact::unknown("none"),
                load: Default::default(),
                now: Still.now(),
            });
        }
        drop(read::<RecoveryVault>(&object).map(|vault| vault.spec));
        drop(read::<VCenter>(&object).map(|vcenter| vcenter.spec));
        drop(read::<FailbackApproval>(&object).map(|approval| approval.spec));
    }
}

/// A cron expression, followed for some of the times that it names.
pub fn cron(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(cron) = Cron::parse(text) else { return };
    for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let mut at = Still.now();
        for _ in 0..3 {
            cron.open_until(at, SignedDuration::from_mins(90), &zone);
            match cron.next(at, &zone) {
                Some(next) => {
                    assert!(next > at, "time goes on");
                    at = next;
                }
                None => break,
            }
        }
    }
}

fn read<K: DeserializeOwned>(object: &serde_json::Value) -> Option<K> {
    serde_json::from_value(object.clone()).ok()
}

/// Nothing was observed.
fn unknown() -> ItemFacts {
    const WHY: &str = "It was not read.";
    ItemFacts {
        unread: None,
        described_by: None,
        replication: Fact::unknown(WHY),
        jobs: Fact::unknown(WHY),
        azure_vm: Fact::unknown(WHY),
        vcenter: Fact::unknown(WHY),
        on_premises: Fact::unknown(WHY),
        home_datastores: Vec::new(),
        fabric: Fact::unknown(WHY),
        appliance: Fact::unknown(WHY),
        site: Fact::unknown(WHY),
        recovery_points: Fact::unknown(WHY),
        locks: Fact::unknown(WHY),
        policies: Fact::unknown(WHY),
        group: Fact::unknown(WHY),
        configuration_server_backup: None,
        probes: Fact::unknown(WHY),
    }
}

fn decide_item(item: &ReplicatedItem, facts: &ItemFacts) {
    item::decide(&ItemInput {
        spec: &item.spec,
        status: &item.status.clone().unwrap_or_default(),
        generation: item.metadata.generation,
        facts,
        leading_since: Still.now(),
        now: Still.now(),
    });
}

/// Alone, and with an approval made of the same bytes and a machine for each that it names.
fn decide_plan(plan: &FailbackPlan, object: &serde_json::Value) {
    let named = plan.spec.waves.iter().flat_map(|wave| wave.items.iter().cloned());
    let items: BTreeMap<String, ReplicatedItemStatus> =
        named.map(|name| (name, read(&object["status"]).unwrap_or_default())).collect();
    let approvals: Vec<FailbackApprovalSpec> = read(&object["spec"]).into_iter().collect();
    let declared = BTreeMap::new();
    for items in [&BTreeMap::new(), &items] {
        plan::decide(&PlanInput {
            name: "plan",
            uid: "uid",
            generation: plan.metadata.generation,
            spec: &plan.spec,
            spec_hash: &plan::spec_hash(&plan.spec, &BTreeMap::new()),
            status: &plan.status.clone().unwrap_or_default(),
            deleting: false,
            abandon: None,
            requester: None,
            items,
            declared: &declared,
            load: &Load::default(),
            measured: &Measured::default(),
            jobs: &JobsSeen::NotYet,
            approvals: &approvals,
            now: Still.now(),
        });
    }
}
