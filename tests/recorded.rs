//! The one public recording of the modernized cycle, played to the real adapter and the real core: what really happened
//! is what they see, and what was really called next is what they decide, to the letter of its body.
//!
//! The recording stays outside the repository; `FAILBACK_ASR_DATA` names its directory.
#![cfg(feature = "operator")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

#[path = "azure_pipeline/server.rs"]
#[allow(dead_code, reason = "the server's other faults are for other tests")]
mod server;
mod support;

use std::{path::PathBuf, sync::Arc, time::Duration};

use failback::{
    api::{DesiredPhase, ItemPhase, OperationOutcome, ReplicatedItemStatus},
    azure::{AzureConfig, AzureShared, AzureVault, Cloud, Credential, HttpOptions, Secret},
    core::{
        action::Verb,
        decide::{
            Next, events,
            item::{ItemDecision, ItemInput, decide, push_record},
        },
        facts::{HomeIdentity, ItemFacts, SiteFacts, TargetFacts},
        journal,
        observed::{
            AzureVm, Datastore, Fabric, Fact, JobState, KnownVCenter, OnPremisesVm, Replication, VirtualMachine,
        },
        stage::Stage,
    },
    ports::{Clock, NoMeter, SiteRecovery},
};
use jiff::{Timestamp, fmt::rfc2822};
use serde_json::{Value, json};

use server::{Reply, Server, ok};
use support::{azure_vm, claim, job, spec};

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span
    }
}

/// An exchange of the recording.
#[derive(Clone)]
struct Exchange {
    number: String,
    method: String,
    last_segment: String,
    at: Timestamp,
    sent: Value,
    headers: Value,
    body: Value,
}

fn recording() -> Option<Vec<Exchange>> {
    let Some(directory) = std::env::var_os("FAILBACK_ASR_DATA").map(PathBuf::from) else {
        println!("SKIPPED: FAILBACK_ASR_DATA does not name the directory of recorded exchanges");
        return None;
    };
    let mut files: Vec<_> =
        std::fs::read_dir(directory.join("recorded")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let mut exchange: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let address = exchange["uri"].as_str().unwrap().split('?').next().unwrap().to_owned();
        let date = exchange["responseHeaders"]["date"][0].as_str().unwrap().replace("GMT", "+0000");
        Exchange {
            number: path.file_name().unwrap().to_str().unwrap()[..3].to_owned(),
            method: exchange["method"].as_str().unwrap().to_owned(),
            last_segment: address.rsplit('/').next().unwrap().to_owned(),
            at: rfc2822::parse(&date).unwrap().timestamp(),
            sent: exchange["requestBody"].take(),
            headers: exchange["responseHeaders"].take(),
            body: exchange["responseBody"].take(),
        }
    };
    Some(files.into_iter().map(read).collect())
}

fn vault_at(server: &Server) -> AzureVault {
    let shared = AzureShared::new(Arc::new(WallClock), Arc::new(NoMeter), &HttpOptions::default()).unwrap();
    let config = AzureConfig {
        cloud: Cloud::Custom { authority: server.url.clone(), management: server.url.clone(), audience: None },
        subscription: "00000000-0000-0000-0000-000000000000".to_owned(),
        resource_group: "rgtestsrv2arcm".to_owned(),
        vault: "vaulttestv2arcm".to_owned(),
        credential: Credential::ClientSecret {
            tenant: "t".to_owned(),
            client_id: "c".to_owned(),
            secret: Secret::new("s"),
        },
    };
    AzureVault::new(config, &shared).unwrap()
}

/// The fabric as it was recorded once, its components heard of since.
fn heard_of(fabric: &Fabric, item: &Replication, now: Timestamp) -> Fabric {
    let mut fabric = fabric.clone();
    for target in &mut fabric.targets {
        target.heartbeat = Some(now);
        target.components.iter_mut().for_each(|part| part.heartbeat = Some(now));
    }
    fabric.process_servers.iter_mut().for_each(|server| server.heartbeat = Some(now));
    let vcenter = KnownVCenter {
        name: item.vcenter_name.clone().unwrap_or_default(),
        instance_uuid: Some("vc-1".to_owned()),
        ..KnownVCenter::default()
    };
    fabric.vcenters = Fact::seen(vec![vcenter], now);
    fabric
}

/// What vCenter has around the machine: the recorded appliance, and the datastores that it can write to.
fn around(fabric: &Fabric, now: Timestamp) -> SiteFacts {
    let mut site = support::site_at(now);
    let [known] = site.targets.as_slice() else { panic!("one appliance") };
    site.targets =
        fabric.targets.iter().map(|target| TargetFacts { target: target.clone(), ..known.clone() }).collect();
    let [datastore] = site.datastores.as_slice() else { panic!("one datastore") };
    let names = fabric.targets.iter().flat_map(|target| &target.datastores);
    site.datastores = names.map(|name| Datastore { name: name.clone(), ..(**datastore).clone() }.into()).collect();
    site
}

/// The machine of the recording, followed by a controller.
struct Followed {
    server: Server,
    vault: AzureVault,
    status: ReplicatedItemStatus,
    facts: ItemFacts,
    now: Timestamp,
    phases: Vec<ItemPhase>,
}

impl Followed {
    /// The item is read through the adapter, and what the recording does not hold is as it must have been.
    async fn see(&mut self, exchange: &Exchange) -> Replication {
        self.server.on(&format!("GET {}", exchange.last_segment), [ok(exchange.body.clone())]);
        let item = self.vault.item(exchange.body["id"].as_str().unwrap()).await.unwrap();
        let stage = Stage::of(&item);
        let home = VirtualMachine {
            instance_uuid: Some("5013a427-875d-d00f-8488-ae04c6780453".to_owned()),
            ..support::home_vm(stage)
        };
        let identity = HomeIdentity::of(Some(&item), &self.status.identity);
        assert!(identity.is_empty() || identity.matches(&home) || item.instance_uuid.is_none(), "{identity:?}");
        let vm = match (azure_vm(stage), &item.azure_vm_id) {
            (AzureVm::Present { power, disks, .. }, Some(id)) => AzureVm::Present { id: id.clone(), power, disks },
            (other, _) => other,
        };
        self.now = exchange.at;
        let fabric = heard_of(self.facts.fabric.value().unwrap(), &item, self.now);
        self.facts = ItemFacts {
            site: Fact::seen(around(&fabric, self.now), self.now),
            fabric: Fact::seen(fabric, self.now),
            replication: Fact::seen(item.clone(), self.now),
            azure_vm: Fact::seen(vm, self.now),
            on_premises: Fact::seen(OnPremisesVm::Found(Box::new(home)), self.now),
            vcenter: support::facts(stage, self.now).vcenter,
            jobs: Fact::seen(self.facts.jobs.value().cloned().unwrap_or_default(), self.now),
            home_datastores: vec!["Datastore 3".to_owned()],
            ..support::facts(stage, self.now)
        };
        item
    }

    /// Records a status.
    fn write(&mut self, status: ReplicatedItemStatus) {
        for event in events::of_item(&self.status, &status) {
            assert_ne!(event.reason, "ExternalChangeDetected", "{}", event.note);
        }
        self.status = status;
        if self.phases.last() != Some(&self.status.phase) {
            self.phases.push(self.status.phase);
        }
    }

    /// Passes until there is nothing more to record before what is next.
    fn settle(&mut self) -> ItemDecision {
        for _ in 0..5 {
            let decision = decide(&ItemInput {
                spec: &spec(),
                status: &self.status,
                generation: Some(1),
                facts: &self.facts,
                leading_since: Timestamp::UNIX_EPOCH,
                now: self.now,
            });
            match decision.next {
                Next::Again => self.write(decision.status),
                Next::Act(..) => return decision,
                Next::Wait(..) | Next::Done => {
                    self.write(decision.status.clone());
                    return decision;
                }
            }
        }
        panic!("it keeps looking again: {:?}", self.status);
    }

    /// The decided call is made through the adapter, and must be the recorded one.
    async fn call(&mut self, exchange: &Exchange) {
        let ItemDecision { status, next: Next::Act(guarded, intent) } = self.settle() else {
            panic!("{} is not decided", exchange.last_segment)
        };
        let (operation, history) = push_record(&status, *intent.clone());
        self.write(ReplicatedItemStatus { operation, history, ..status });
        let header = |name: &str| exchange.headers[name][0].as_str().unwrap().to_owned();
        let headers = ["azure-asyncoperation", "location"].map(|name| (name, header(name))).to_vec();
        let kind = format!("POST {}", exchange.last_segment);
        self.server.on(&kind, [Reply::Text(202, headers, String::new())]);
        let submitted = self.vault.submit(&guarded.expect.item_id, &guarded.action, &|| Ok(())).await.unwrap();
        let sent: Value = serde_json::from_str(&self.server.seen(&kind)[0].body).unwrap();
        assert_eq!(sent, exchange.sent, "the body of {}", exchange.last_segment);
        let id = submitted.job_id.unwrap();
        assert!(header("azure-asyncoperation").contains(&id), "{id}");
        self.status.operation = Some(journal::after_call(&intent, &Ok(Some(id.clone())), self.now));
        // Its job is not in the recording; that it succeeded is.
        let mut ended = job(&id, guarded.action.verb(), JobState::Succeeded, self.now);
        ended.ended = Some(exchange.at);
        self.facts.jobs = Fact::seen(vec![ended], self.now);
    }
}

#[tokio::test]
async fn what_happened_is_seen_and_what_was_called_is_decided() {
    let Some(recording) = recording() else { return };
    let server = Server::start().await;
    let vault = vault_at(&server);
    let number = |wanted: &str| recording.iter().find(|exchange| exchange.number == wanted).unwrap();

    let fabric = number("131");
    server.on("GET replicationFabrics", [ok(json!({ "value": [fabric.body.clone()] }))]);
    server.on(&format!("GET {}", fabric.last_segment), [ok(fabric.body.clone())]);
    let fabrics = vault.fabrics().await.unwrap();
    let [seen] = fabrics.entries.as_slice() else { panic!("{fabrics:?}") };

    let unknown = ItemFacts::unknown("not read");
    let mut machine = Followed {
        facts: ItemFacts { fabric: Fact::seen(seen.clone(), fabric.at), ..unknown },
        status: ReplicatedItemStatus::default(),
        now: fabric.at,
        phases: Vec::new(),
        server,
        vault,
    };
    let (mut stages, mut calls, mut last) = (Vec::new(), Vec::new(), None);
    for exchange in &recording {
        let is_item = exchange.last_segment == "cli-test-protected-item-V2ARCM-1" && exchange.method == "GET";
        if is_item && exchange.body["properties"].is_object() {
            last = Some(exchange);
            let stage = Stage::of(&machine.see(exchange).await);
            machine.settle();
            if stages.last() != Some(&stage) {
                stages.push(stage);
            }
        } else if exchange.method == "POST" && exchange.last_segment == "reProtect" {
            machine.status.claim = Some(claim(DesiredPhase::Protected));
            // The recorded run slept for ten minutes here, because the agent had not registered.
            let Next::Wait(on, _) = machine.settle().next else { panic!("it does not wait for the agent") };
            assert_eq!(on.reason(), "WaitingForChecks");
            assert!(on.message().starts_with("Reprotect waits for: AgentRegistered"), "{}", on.message());
            // Nothing else was read before the call, 21 minutes after the failover: by then the step itself tells.
            machine.see(&Exchange { at: exchange.at, ..last.unwrap().clone() }).await;
            machine.call(exchange).await;
            calls.push(Verb::Reprotect);
        } else if exchange.method == "POST" && exchange.last_segment == "plannedFailover" {
            machine.call(exchange).await;
            calls.push(Verb::FailBack);
        }
    }
    let order = [
        Stage::SyncingToAzure,
        Stage::ProtectedToAzure,
        Stage::FailedOver,
        Stage::SyncingToVMware,
        Stage::ReadyToFailBack,
    ];
    assert_eq!(stages, order);
    assert_eq!(calls, [Verb::Reprotect, Verb::FailBack]);
    use ItemPhase::{FailedOver, FailingBack, Protected, Protecting, Reprotected, Reprotecting};
    assert_eq!(machine.phases, [Protecting, Protected, FailedOver, Reprotecting, Reprotected, FailingBack]);
    let journal: Vec<_> = machine.status.history.iter().map(|record| (record.verb.as_str(), record.outcome)).collect();
    assert_eq!(journal, [("Reprotect", OperationOutcome::Succeeded)]);
}
