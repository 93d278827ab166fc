//! The Azure adapter against the simulated site, which speaks Azure's wire and knows nothing of this adapter. Time
//! jumps, so that hours of replication take no time at all.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "azure_contract/around.rs"]
mod around;

use std::{sync::Arc, time::Duration};

use failback::{
    azure::{AzureConfig, AzureShared, AzureVault, Cloud, Credential, HttpOptions, Secret},
    core::{
        action::{Action, RecoveryPoint, ReprotectWith, Verb},
        failure::codes,
        observed::{
            AzurePower, AzureVm, Details, Direction, Generation, Job, JobState, Operation, OsFamily,
            PlannedFailoverStatus, Replication, RunsIn, Scenario,
        },
    },
    ports::{Clock, FailureClass, NoMeter, Remote, SiteRecovery},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sim_site::{Options, Scenario as World, Site};

const FAIL_BACK: Action = Action::FailBack { generation: Generation::Modernized, point: RecoveryPoint::Latest };

struct SiteClock(Site);

impl Clock for SiteClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span
    }
}

/// A site whose time only jumps, and a vault of it.
struct Fixture {
    site: Site,
    vault: AzureVault,
}

impl Fixture {
    async fn with(world: World) -> Self {
        Self::signed_in(world, |azure| azure.client_secret.clone()).await
    }

    async fn signed_in(world: World, secret: impl Fn(&sim_site::scenario::Azure) -> String) -> Self {
        let azure = world.azure.clone();
        let site = Site::new(world, Options::at_speed(0.0)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = site.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        let clock = Arc::new(SiteClock(site.clone()));
        let shared = AzureShared::new(clock, Arc::new(NoMeter), &HttpOptions::default()).unwrap();
        let config = AzureConfig {
            cloud: Cloud::Custom { authority: url.clone(), management: url, audience: None },
            credential: Credential::ClientSecret {
                secret: Secret::new(secret(&azure)),
                tenant: azure.tenant,
                client_id: azure.client_id,
            },
            subscription: azure.subscription,
            resource_group: azure.resource_group,
            vault: azure.vault,
        };
        Self { vault: AzureVault::new(config, &shared).unwrap(), site }
    }

    /// One machine that was failed over and committed.
    async fn demo() -> Self {
        Self::with(World::demo().unwrap()).await
    }

    fn inject(&self, fault: Value) {
        self.site.inject(serde_json::from_value(fault).unwrap());
    }

    /// The only item, complete.
    async fn item(&self) -> Replication {
        let items = self.vault.items().await.unwrap();
        assert_eq!((items.entries.len(), items.odd.len()), (1, 0), "{:?}", items.odd);
        assert!(!items.entries[0].complete);
        self.vault.item(&items.entries[0].id).await.unwrap()
    }

    async fn azure_vm(&self) -> AzureVm {
        self.vault.azure_vm(&self.item().await.azure_vm_id.unwrap()).await.unwrap()
    }

    async fn submit(&self, action: &Action) -> Job {
        let item = self.item().await;
        assert!(item.allows(&action.verb().operation(Generation::Modernized)), "{action:?}: {:?}", item.allowed);
        let submitted = self.vault.submit(&item.id, action, &|| Ok(())).await.unwrap();
        self.vault.job(&submitted.job_id.unwrap()).await.unwrap()
    }

    async fn ended(&self, job: &Job) -> Job {
        for _ in 0..200 {
            let job = self.vault.job(&job.id).await.unwrap();
            if !job.in_flight() {
                return job;
            }
            self.site.advance(SignedDuration::from_mins(1));
        }
        panic!("{job:?} does not end")
    }

    /// Submits and follows the job to its good end.
    async fn carry_out(&self, action: &Action) {
        let job = self.submit(action).await;
        assert_eq!(job.scenario, action.verb().scenario(Generation::Modernized));
        assert!(job.in_flight() && job.started.is_some(), "{job:?}");
        let item = self.item().await;
        assert_eq!(item.scenario.as_ref().and_then(|s| s.job_id.as_deref()), Some(job.id.as_str()), "{item:?}");
        assert!(job.concerns(&item));
        let job = self.ended(&job).await;
        assert_eq!((job.state.clone(), job.errors.len()), (JobState::Succeeded, 0), "{job:?}");
        assert_eq!(self.item().await.scenario, None);
    }

    async fn until_protected(&self) -> Replication {
        for _ in 0..300 {
            let item = self.item().await;
            if item.protection_state == "Protected" {
                return item;
            }
            self.site.advance(SignedDuration::from_mins(5));
        }
        panic!("never protected: {:?}", self.item().await)
    }

    async fn reprotect(&self) -> Action {
        let item = self.item().await;
        let fabrics = self.vault.fabrics().await.unwrap();
        let agent = &fabrics.entries[0].targets[0];
        Action::Reprotect {
            target_id: agent.id.clone(),
            datastore: agent.datastores[0].clone(),
            with: ReprotectWith::Appliance { log_storage_account_id: item.log_storage_account_id.unwrap() },
        }
    }

    /// How often a verb was called, and how often that took effect.
    fn calls(&self, verb: &str) -> (usize, usize) {
        let calls: Vec<_> = self.site.calls().into_iter().filter(|call| call.verb == verb).collect();
        (calls.len(), calls.iter().filter(|call| call.effect).count())
    }
}

#[tokio::test]
async fn a_machine_comes_home_and_is_protected_again() {
    let home = Fixture::demo().await;
    let vault = home.vault.vault().await.unwrap();
    assert!(vault.id.ends_with("/vaults/recovery-vault") && !vault.location.is_empty(), "{vault:?}");

    // In Azure.
    let item = home.item().await;
    assert_eq!((item.generation, item.direction), (Some(Generation::Modernized), Some(Direction::ToAzure)));
    assert_eq!((item.runs_in(), item.os), (Some(RunsIn::Azure), Some(OsFamily::Windows)));
    assert_eq!(item.agent_registered, Some(true));
    assert!(item.instance_uuid.is_some() && item.vcenter_name.is_some() && item.last_failover.is_some());
    assert!(matches!(home.azure_vm().await, AzureVm::Present { power: AzurePower::Running, .. }));
    let forward_policy = item.policy_id.clone();

    // Reprotect: the job ends long before the data is there.
    home.carry_out(&home.reprotect().await).await;
    let item = home.item().await;
    assert_eq!((item.direction, item.runs_in()), (Some(Direction::ToVMware), Some(RunsIn::Azure)));
    assert_ne!(item.protection_state, "Protected");
    assert!(!item.allows(&Operation::PlannedFailover));
    let item = home.until_protected().await;
    assert!(item.disks.iter().all(|disk| disk.vmdk_uuid.is_some()), "{:?}", item.disks);
    assert_eq!(item.last_used_policy_id, forward_policy);

    // Fail back, change one's mind, fail back again.
    home.carry_out(&FAIL_BACK).await;
    let item = home.item().await;
    assert_eq!(item.runs_in(), Some(RunsIn::VMware));
    assert!(matches!(&item.last_planned_failover, Some((PlannedFailoverStatus::Succeeded, Some(_)))), "{item:?}");
    assert!(matches!(home.azure_vm().await, AzureVm::Present { power, .. } if power.is_off()));
    home.carry_out(&Action::Cancel).await;
    let item = home.item().await;
    assert_eq!(item.runs_in(), Some(RunsIn::Azure));
    assert!(matches!(&item.last_planned_failover, Some((PlannedFailoverStatus::Cancelled, _))), "{item:?}");
    home.until_protected().await;
    home.carry_out(&FAIL_BACK).await;

    // Commit deletes the machine in Azure.
    let azure_vm = home.item().await.azure_vm_id.unwrap();
    home.carry_out(&Action::Commit).await;
    assert_eq!(home.vault.azure_vm(&azure_vm).await, Ok(AzureVm::Absent));
    let item = home.item().await;
    assert_eq!(item.runs_in(), Some(RunsIn::VMware));

    // And under protection again.
    home.site.advance(SignedDuration::from_mins(30));
    let fabrics = home.vault.fabrics().await.unwrap();
    home.carry_out(&Action::Protect {
        generation: Generation::Modernized,
        process_server_id: fabrics.entries[0].process_servers[0].id.clone(),
        policy_id: item.last_used_policy_id.unwrap(),
        run_as_account_id: None,
    })
    .await;
    let item = home.until_protected().await;
    assert_eq!((item.direction, item.runs_in()), (Some(Direction::ToAzure), Some(RunsIn::VMware)));

    let jobs = home.vault.jobs().await.unwrap();
    assert!(jobs.odd.is_empty() && jobs.entries.len() >= 6, "{jobs:?}");
    assert!(jobs.entries.windows(2).all(|pair| pair[0].started >= pair[1].started), "newest first");
    for verb in ["failoverCommit", "failoverCancel"] {
        assert_eq!(home.calls(verb), (1, 1), "{verb}");
    }
    assert_eq!((home.calls("reProtect"), home.calls("plannedFailover")), ((2, 2), (2, 2)));
}

#[tokio::test]
async fn a_lost_answer_is_found_at_the_item_and_in_the_job_list() {
    let home = Fixture::demo().await;
    let (item, reprotect) = (home.item().await, home.reprotect().await);
    home.inject(json!({"method": "POST", "path": "*/reProtect", "effect": {"type": "resetAfter"}}));
    let failure = home.vault.submit(&item.id, &reprotect, &|| Ok(())).await.unwrap_err();
    assert_eq!((failure.class, home.calls("reProtect")), (FailureClass::Lost, (1, 1)));
    let item = home.item().await;
    let job = item.scenario.as_ref().and_then(|scenario| scenario.job_id.clone()).unwrap();
    let listed = home.vault.jobs().await.unwrap().entries;
    let listed = listed.iter().find(|candidate| candidate.id == job).unwrap();
    assert!(listed.scenario == Scenario::Reprotect && listed.in_flight() && listed.concerns(&item), "{listed:?}");

    // A second call meets the first one's job.
    let failure = home.vault.submit(&item.id, &reprotect, &|| Ok(())).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Conflict, "{failure}");
}

#[tokio::test]
async fn an_answer_lost_before_the_effect_looks_the_same_and_left_nothing() {
    let home = Fixture::demo().await;
    let (item, reprotect) = (home.item().await, home.reprotect().await);
    for effect in [
        json!({"type": "resetBefore"}),
        json!({"type": "status", "status": 503, "code": "ServerBusy"}),
        json!({"type": "html", "status": 200}),
    ] {
        home.inject(json!({"method": "POST", "path": "*/reProtect", "effect": effect}));
        let failure = home.vault.submit(&item.id, &reprotect, &|| Ok(())).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Lost, "{effect}: {failure}");
        assert_eq!(home.item().await.scenario, None);
    }
    assert_eq!(home.calls("reProtect"), (3, 0));
}

#[tokio::test]
async fn what_azure_refuses_has_its_class() {
    let home = Fixture::demo().await;
    let (item, reprotect) = (home.item().await, home.reprotect().await);
    // Not allowed in this state.
    let failure = home.vault.submit(&item.id, &Action::Cancel, &|| Ok(())).await.unwrap_err();
    assert!(matches!(failure.class, FailureClass::Invalid | FailureClass::Conflict), "{failure:?}");
    assert!(failure.code.is_some() && failure.remote == Remote::Arm, "{failure:?}");
    for (status, class) in [(403, FailureClass::Denied), (409, FailureClass::Conflict)] {
        let effect = json!({"type": "status", "status": status, "code": "Refused", "message": "No."});
        home.inject(json!({"method": "POST", "path": "*/reProtect", "effect": effect}));
        assert_eq!(home.vault.submit(&item.id, &reprotect, &|| Ok(())).await.unwrap_err().class, class);
    }
    let absent = format!("{}x", item.id);
    assert_eq!(home.vault.item(&absent).await.unwrap_err().class, FailureClass::NotFound);
    let other = item.azure_vm_id.clone().unwrap() + "x";
    assert_eq!(home.vault.azure_vm(&other).await, Ok(AzureVm::Absent));
    assert_eq!(home.vault.job("no-such-job").await.unwrap_err().class, FailureClass::NotFound);
}

#[tokio::test]
async fn a_failed_job_tells_why() {
    let home = Fixture::demo().await;
    let reprotect = home.reprotect().await;
    let effect = json!({"type": "jobFails", "code": "95226", "message": "The agent cannot be reached."});
    home.inject(json!({"method": "POST", "path": "*/reProtect", "effect": effect}));
    let job = home.submit(&reprotect).await;
    let job = home.ended(&job).await;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.errors.len(), 1, "{:?}", job.errors);
    assert_eq!(
        (job.errors[0].code.as_str(), job.errors[0].message.as_str()),
        ("95226", "The agent cannot be reached.")
    );
    let listed = home.vault.jobs().await.unwrap().entries;
    let listed = listed.iter().find(|candidate| candidate.id == job.id).unwrap();
    assert_eq!((&listed.state, &listed.details), (&JobState::Failed, &Details::Listed));
    assert!(listed.errors.is_empty() && listed.current_task.is_none(), "a list does not tell: {listed:?}");
    assert_eq!(job.details, Details::Read);
    assert!(home.item().await.allows(&Verb::Reprotect.operation(Generation::Modernized)));
}

#[tokio::test]
async fn reads_survive_what_the_road_does_to_them() {
    let home = Fixture::demo().await;
    home.item().await;
    for effect in [
        json!({"type": "resetBefore"}),
        json!({"type": "resetAfter"}),
        json!({"type": "cutBody", "afterBytes": 20}),
        json!({"type": "status", "status": 500}),
        json!({"type": "status", "status": 429, "retryAfter": "0"}),
        json!({"type": "html", "status": 502}),
        json!({"type": "world", "change": {"expireTokens": true}}),
    ] {
        home.inject(json!({"method": "GET", "effect": effect}));
        home.item().await;
    }
    home.inject(json!({"method": "GET", "effect": {"type": "html", "status": 200}}));
    let failure = home.vault.items().await.unwrap_err();
    assert!(failure.class == FailureClass::Invalid && failure.has_code(codes::UNREADABLE_ANSWER), "{failure:?}");
    home.inject(json!({"method": "GET", "effect": {"type": "status", "status": 429, "retryAfter": "300"}}));
    let retry_after = Duration::from_secs(300);
    assert_eq!(home.vault.items().await.unwrap_err().class, FailureClass::Throttled { retry_after });
}

#[tokio::test]
async fn a_wrong_secret_is_told_in_entras_own_words() {
    let home = Fixture::signed_in(World::demo().unwrap(), |_| "wrong".to_owned()).await;
    let failure = home.vault.vault().await.unwrap_err();
    assert_eq!((failure.class, failure.remote), (FailureClass::Unauthenticated, Remote::Entra));
    assert_eq!(failure.code.as_deref(), Some("AADSTS7000215"));
    assert!(failure.message.starts_with("AADSTS7000215: ") && !failure.message.contains("Correlation"), "{failure}");
}

#[tokio::test]
async fn a_vault_of_many_machines_is_read_page_by_page() {
    let yaml = "machines: [{name: web, count: 250}, {name: db, os: Linux, state: Reprotected}]";
    let home = Fixture::with(World::from_yaml(yaml).unwrap()).await;
    let items = home.vault.items().await.unwrap();
    assert_eq!((items.entries.len(), items.odd.len()), (251, 0), "{:?}", items.odd);
    let mut names: Vec<_> = items.entries.iter().map(|item| item.friendly_name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 251);
    assert!(items.entries.iter().all(|item| item.generation.is_some() && item.runs_in() == Some(RunsIn::Azure)));
}

#[tokio::test]
async fn the_classic_generation_is_read_too() {
    let yaml = "fabrics: [{name: cs, generation: classic}]\nmachines: [{name: old, state: Reprotected}]";
    let world = World::from_yaml(yaml);
    let home = Fixture::with(world.unwrap()).await;
    let item = home.item().await;
    assert_eq!((item.generation, item.direction), (Some(Generation::Classic), Some(Direction::ToVMware)));
    assert_eq!(item.runs_in(), Some(RunsIn::Azure));
    let fabrics = home.vault.fabrics().await.unwrap();
    let fabric = &fabrics.entries[0];
    assert_eq!(fabric.generation, Some(Generation::Classic));
    assert!(fabric.targets.iter().any(|target| !target.datastores.is_empty()), "{:?}", fabric.targets);
    let fail_back = Action::FailBack { generation: Generation::Classic, point: RecoveryPoint::Latest };
    let submitted = home.vault.submit(&item.id, &fail_back, &|| Ok(())).await.unwrap();
    let job = home.vault.job(&submitted.job_id.unwrap()).await.unwrap();
    assert_eq!(home.ended(&job).await.state, JobState::Succeeded);
    let item = home.item().await;
    assert_eq!(item.runs_in(), Some(RunsIn::VMware));
    let job = home.vault.submit(&item.id, &Action::Commit, &|| Ok(())).await.unwrap().job_id.unwrap();
    let job = home.vault.job(&job).await.unwrap();
    assert_eq!(home.ended(&job).await.state, JobState::Succeeded);
}
