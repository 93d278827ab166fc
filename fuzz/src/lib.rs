//! Every parser of outside input, behind functions that take any bytes. cargo-fuzz and `tests/fuzz.rs` call the same.
//!
//! Through the ports rather than parser by parser: what a hostile endpoint sends is followed to what is decided from it.
#![allow(missing_docs, unreachable_pub, reason = "for tests")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use failback::{
    api::{
        FailbackApproval, FailbackApprovalSpec, FailbackPlan, MasterTarget, RecoveryVault, ReplicatedItem,
        ReplicatedItemStatus, VCenter,
    },
    azure::{Answer, AzureConfig, AzureShared, AzureVault, Cloud, Credential, Secret, Transport, TransportFault},
    core::{
        action::Action,
        decide::{
            item::{self, ItemInput},
            plan::{self, PlanInput},
            target::{self, TargetInput},
        },
        facts::ItemFacts,
        jobs::JobsSeen,
        observed::{Fact, Job, Replication},
        schedule::{cron::Cron, load::Load},
    },
    ports::{Clock, NoMeter, SiteRecovery},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
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
    arm: Vec<u8>,
    token: Vec<u8>,
}

#[async_trait]
impl Transport for Endpoint {
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, TransportFault> {
        let said = if request.uri().path().ends_with("/token") { &self.token } else { &self.arm };
        Ok(answer(said))
    }
}

/// `200`, header lines, an empty line and a body; or a body alone.
fn answer(said: &[u8]) -> Answer {
    let (head, body) = match said.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) if said.iter().take(3).all(u8::is_ascii_digit) => (&said[..at], &said[at + 2..]),
        Some(_) | None => (&b"200"[..], said),
    };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(StatusCode::OK);
    let headers: HeaderMap = lines
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).ok()?;
            Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
        })
        .collect();
    Answer { status, headers, body: Ok(Bytes::copy_from_slice(body)) }
}

/// A vault behind such an endpoint, on a clock of tokio's that stands still: a pause that is asked for costs no time.
fn with_vault<T>(arm: &[u8], token: &[u8], ask: impl AsyncFnOnce(AzureVault) -> T) -> T {
    let endpoint = Endpoint { arm: arm.to_vec(), token: token.to_vec() };
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
    failback::vcenter::parsers::read(data)
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
            spec_hash: &plan::spec_hash(&plan.spec),
            status: &plan.status.clone().unwrap_or_default(),
            deleting: false,
            abandon: None,
            requester: None,
            items,
            declared: &declared,
            load: &Load::default(),
            jobs: &JobsSeen::NotYet,
            approvals: &approvals,
            now: Still.now(),
        });
    }
}
