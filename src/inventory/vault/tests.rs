//! What is read when, against a vault that counts what it is asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::{VaultInventory, state::Groups};
use crate::{
    core::{
        action::Action,
        observed::{
            ActiveLocation, AzurePower, AzureVm, Details, Direction, Fabric, Fact, Generation, HealthError, Job,
            JobState, KnownVCenter, Policy, RecoveryPointSeen, Replication, Scenario, Vault,
        },
    },
    inventory::{Key, Registry, Wake},
    ports::{
        Clock, Connect, Failure, FailureClass, Listing, Permit, Remote, SiteRecovery, Submitted, VCenterConnection,
        VaultConnection, VirtualCenter,
    },
};

mod jobs;

/// A clock that stands until it is moved.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn wall(&self, _: Duration) -> Duration {
        Duration::ZERO
    }
}

#[derive(Default)]
struct Site {
    items: Vec<Replication>,
    points: Vec<RecoveryPointSeen>,
    locks: Vec<String>,
    odd_lock: bool,
    odd_job: bool,
    /// The list of jobs is none.
    no_jobs: bool,
    /// As the list shows them.
    jobs: Vec<Job>,
    /// A job by itself is answered with this.
    job_refused: Option<FailureClass>,
    denied: bool,
    /// Every item is answered with a 500.
    broken: bool,
    asked: BTreeMap<String, usize>,
}

struct Port {
    site: Mutex<Site>,
    clock: Arc<Hands>,
}

impl Port {
    fn asked(&self, what: &str) {
        *self.site.lock().unwrap().asked.entry(what.to_owned()).or_default() += 1;
    }

    fn count(&self, what: &str) -> usize {
        self.site.lock().unwrap().asked.get(what).copied().unwrap_or_default()
    }

    fn around<T>(&self, read: impl FnOnce(&Site) -> T) -> Result<T, Failure> {
        let site = self.site.lock().unwrap();
        if site.denied {
            return Err(Failure::new(Remote::Arm, FailureClass::Denied, "Not for you."));
        }
        Ok(read(&site))
    }
}

fn listing<T>(entries: Vec<T>) -> Listing<T> {
    Listing { entries, odd: Vec::new() }
}

#[async_trait]
impl SiteRecovery for Port {
    async fn vault(&self) -> Result<Vault, Failure> {
        Ok(Vault { id: "/v".to_owned(), location: "here".to_owned() })
    }

    async fn items(&self) -> Result<Listing<Replication>, Failure> {
        let site = self.site.lock().unwrap();
        Ok(listing(site.items.iter().map(|item| Replication { complete: false, ..item.clone() }).collect()))
    }

    async fn item(&self, id: &str) -> Result<Replication, Failure> {
        self.asked("item");
        let site = self.site.lock().unwrap();
        if site.broken {
            return Err(Failure::new(Remote::Arm, FailureClass::Transient, "HTTP 500"));
        }
        Ok(site.items.iter().find(|item| item.id.eq_ignore_ascii_case(id)).unwrap().clone())
    }

    async fn jobs(&self) -> Result<Listing<Job>, Failure> {
        let site = self.site.lock().unwrap();
        if site.no_jobs {
            return Err(Failure::new(Remote::Arm, FailureClass::Invalid, "It does not end."));
        }
        let odd = site.odd_job.then(|| "/job: no properties".to_owned()).into_iter().collect();
        Ok(Listing { entries: site.jobs.clone(), odd })
    }

    async fn job(&self, id: &str) -> Result<Job, Failure> {
        self.asked("job");
        let site = self.site.lock().unwrap();
        if let Some(class) = site.job_refused {
            return Err(Failure::new(Remote::Arm, class, "Not this job."));
        }
        let listed = site.jobs.iter().find(|job| job.id == id).unwrap().clone();
        let error = HealthError { code: "95226".to_owned(), ..HealthError::default() };
        let errors = Vec::from_iter(listed.is_to_be_explained().then_some(error));
        Ok(Job { current_task: Some("Copying".to_owned()), errors, details: Details::Read, ..listed })
    }

    async fn fabrics(&self) -> Result<Listing<Fabric>, Failure> {
        self.asked("fabrics");
        let vcenters = Fact::seen(vec![KnownVCenter::default()], self.clock.now());
        Ok(listing(vec![Fabric { id: "/f".to_owned(), vcenters, ..Fabric::default() }]))
    }

    async fn policies(&self) -> Result<Listing<Policy>, Failure> {
        self.asked("policies");
        self.around(|_| listing(vec![Policy::default()]))
    }

    async fn recovery_points(&self, _: &str) -> Result<Listing<RecoveryPointSeen>, Failure> {
        self.asked("points");
        self.around(|site| listing(site.points.clone()))
    }

    async fn locks(&self, id: &str) -> Result<Listing<String>, Failure> {
        self.asked(&format!("locks of {id}"));
        self.around(|site| Listing {
            entries: site.locks.clone(),
            odd: site.odd_lock.then(|| "/lock: an unknown level of lock".to_owned()).into_iter().collect(),
        })
    }

    async fn azure_vm(&self, id: &str) -> Result<AzureVm, Failure> {
        self.asked(&format!("vm {id}"));
        Ok(AzureVm::Present { id: id.to_owned(), power: AzurePower::Running, disks: None })
    }

    async fn submit(&self, _: &str, _: &Action, _: Permit<'_>) -> Result<Submitted, Failure> {
        Err(Failure::new(Remote::Arm, FailureClass::Denied, "Nothing is called here."))
    }
}

/// A classic machine on its way home, whose VM in Azure the vault does not name.
fn classic(name: &str) -> Replication {
    Replication {
        id: format!("/f/{name}"),
        friendly_name: name.to_owned(),
        fabric_id: "/f".to_owned(),
        complete: true,
        generation: Some(Generation::Classic),
        direction: Some(Direction::ToVMware),
        active_location: Some(ActiveLocation::Primary),
        protection_state: "Protected".to_owned(),
        ..Replication::default()
    }
}

fn point(id: &str) -> RecoveryPointSeen {
    RecoveryPointSeen { id: id.to_owned(), time: Timestamp::UNIX_EPOCH, app_consistent: true, group: false }
}

struct Bench {
    port: Arc<Port>,
    clock: Arc<Hands>,
    inventory: VaultInventory,
    woken: mpsc::UnboundedReceiver<Wake>,
}

impl Bench {
    fn of(items: Vec<Replication>) -> Self {
        let clock = Arc::new(Hands(AtomicI64::new(1_000_000)));
        let site = Site { items, points: vec![point("/p1")], ..Site::default() };
        let port = Arc::new(Port { site: Mutex::new(site), clock: Arc::clone(&clock) });
        let (wake, woken) = mpsc::unbounded_channel();
        let shared = Arc::clone(&port);
        let inventory =
            VaultInventory::new(key("vault"), shared, Arc::clone(&clock) as _, Duration::from_secs(60), wake);
        Self { port, clock, inventory, woken }
    }

    /// Time passes, and a round of reading is made. Who of the items was woken by it.
    async fn round(&mut self, passed: i64) -> usize {
        self.clock.0.fetch_add(passed, Ordering::SeqCst);
        while self.woken.try_recv().is_ok() {}
        self.inventory.read().await.unwrap();
        let mut items = 0;
        while let Ok(wake) = self.woken.try_recv() {
            items += usize::from(matches!(wake, Wake::Item(_)));
        }
        items
    }

    fn change(&self, change: impl FnOnce(&mut Site)) {
        change(&mut self.port.site.lock().unwrap());
    }
}

fn key(name: &str) -> Key {
    Key { namespace: "n".to_owned(), name: name.to_owned() }
}

#[tokio::test]
async fn what_lies_around_an_item_is_read_within_the_budget() {
    let mut bench = Bench::of(vec![classic("a"), classic("b")]);
    bench.inventory.watch(&key("a"), "a", Some("/vm"), false);
    for _ in 0..20 {
        bench.round(15).await;
    }
    // Five minutes at rest: everything once, fabrics and policies again after five minutes.
    assert_eq!((bench.port.count("points"), bench.port.count("locks of /vm")), (1, 1));
    assert_eq!((bench.port.count("fabrics"), bench.port.count("policies")), (1, 1));
    bench.round(300).await;
    assert_eq!((bench.port.count("fabrics"), bench.port.count("policies")), (2, 2));

    bench.inventory.watch(&key("a"), "a", Some("/vm"), true);
    let (points, locks) = (bench.port.count("points"), bench.port.count("locks of /vm"));
    for _ in 0..20 {
        bench.round(15).await;
        let seen = bench.inventory.item("a").locks.at().unwrap();
        assert!(bench.clock.now().duration_since(seen) <= SignedDuration::from_mins(1), "locks are fresh");
    }
    assert!(bench.port.count("points") - points <= 6, "each minute");
    assert!(bench.port.count("locks of /vm") - locks <= 8, "each 45 seconds");
}

#[tokio::test]
async fn one_failing_fact_harms_no_other() {
    let mut bench = Bench::of(vec![classic("a")]);
    bench.inventory.watch(&key("a"), "a", Some("/vm"), false);
    bench.change(|site| site.denied = true);
    bench.round(0).await;
    let item = bench.inventory.item("a");
    let denied = Err("Not for you.");
    assert_eq!((item.locks.known().map(Vec::len), item.recovery_points.known().map(Vec::len)), (denied, denied));
    assert_eq!(bench.inventory.policies().known().map(Vec::len), denied);
    assert!(item.azure_vm.value().is_some() && item.replication.value().is_some() && item.fabric.value().is_some());
}

#[tokio::test]
async fn a_lock_that_cannot_be_understood_is_not_no_lock() {
    let mut bench = Bench::of(vec![classic("a")]);
    bench.inventory.watch(&key("a"), "a", Some("/vm"), false);
    bench.change(|site| site.odd_lock = true);
    bench.round(0).await;
    assert_eq!(bench.inventory.item("a").locks, Fact::unknown("/lock: an unknown level of lock"));
}

/// A job that is overlooked could be the one whose absence permits a call.
#[tokio::test]
async fn jobs_that_cannot_be_understood_are_not_no_jobs() {
    let mut bench = Bench::of(vec![classic("a")]);
    bench.inventory.watch(&key("a"), "a", Some("/vm"), true);
    bench.round(0).await;
    assert_eq!(bench.inventory.item("a").jobs.known(), Ok(&Vec::new()));
    bench.change(|site| site.odd_job = true);
    assert_eq!(bench.round(15).await, 1, "who waits for it is told");
    let why = "Jobs of the vault cannot be understood (1): /job: no properties.";
    assert_eq!(bench.inventory.item("a").jobs, Fact::unknown(why));
    bench.change(|site| site.no_jobs = true);
    assert_eq!(bench.round(15).await, 1, "and nothing else suffers from it");
    assert_eq!(bench.inventory.item("a").jobs, Fact::unknown("It does not end."));
    bench.change(|site| (site.odd_job, site.no_jobs) = (false, false));
    assert_eq!(bench.round(15).await, 1);
    assert_eq!(bench.inventory.item("a").jobs.known(), Ok(&Vec::new()));
}

#[tokio::test]
async fn news_wake_and_times_of_reading_do_not() {
    let mut bench = Bench::of(vec![classic("a")]);
    bench.inventory.watch(&key("a"), "a", Some("/vm"), true);
    bench.round(0).await;
    for _ in 0..30 {
        assert_eq!(bench.round(15).await, 0, "nothing is new");
    }
    bench.change(|site| site.points.push(point("/p2")));
    assert_eq!(bench.round(60).await, 1);
    bench.change(|site| site.locks.push("keep".to_owned()));
    assert_eq!(bench.round(60).await, 1);
}

#[tokio::test]
async fn a_given_id_wins_over_a_derived_one_and_not_over_a_named_one() {
    let derived = Replication { azure_vm_id: Some("/derived".to_owned()), ..classic("a") };
    let mut bench = Bench::of(vec![derived.clone()]);
    bench.inventory.watch(&key("a"), "a", None, false);
    // Before the item is read in full nothing is derived from it; it is read first.
    bench.round(0).await;
    assert_eq!(bench.port.count("vm /derived"), 1);
    bench.inventory.watch(&key("a"), "a", Some("/given"), false);
    bench.round(15).await;
    assert_eq!((bench.port.count("vm /given"), bench.port.count("locks of /given")), (1, 1), "at once");
    bench.change(|site| site.items = vec![Replication { azure_vm_id_named: true, ..derived }]);
    bench.round(60).await;
    assert_eq!(bench.port.count("vm /derived"), 2);
}

#[tokio::test]
async fn a_group_has_its_other_members_of_the_same_fabric() {
    let grouped = |name: &str| Replication { group: Some("g".to_owned()), ..classic(name) };
    let elsewhere = Replication { fabric_id: "/other".to_owned(), ..grouped("c") };
    let mut bench = Bench::of(vec![grouped("a"), grouped("b"), elsewhere, classic("d")]);
    bench.inventory.watch(&key("a"), "a", None, false);
    bench.inventory.watch(&key("d"), "d", None, false);
    bench.round(0).await;
    let group = bench.inventory.group("a");
    let [(other, points)] = group.value().unwrap().as_slice() else { panic!("{group:?}") };
    assert_eq!(other.friendly_name, "b");
    assert!(points.known().unwrap_err().contains("ReplicatedItem"), "{points:?}");
    assert_eq!(bench.inventory.group("d").known().map(Vec::len), Ok(0));
    assert!(bench.inventory.group("x").value().is_none());
    assert_eq!(Groups::of(&bench.inventory.state()).others(&super::state::Entry::new(classic("z"))).len(), 0);

    bench.inventory.watch(&key("b"), "b", None, false);
    assert_eq!(bench.round(15).await, 2, "the points of b are news to both");
    let group = bench.inventory.group("a");
    assert_eq!(group.value().unwrap()[0].1.value(), Some(&vec![point("/p1")]));
}

#[tokio::test]
async fn a_vault_in_trouble_does_not_spend_the_subscriptions_calls() {
    let names: Vec<String> = (0..50).map(|number| format!("m{number}")).collect();
    let mut bench = Bench::of(names.iter().map(|name| classic(name)).collect());
    for name in &names {
        bench.inventory.watch(&key(name), name, Some("/vm"), true);
    }
    bench.round(15).await;
    assert_eq!(bench.port.count("item"), names.len());
    bench.change(|site| site.broken = true);
    bench.clock.0.fetch_add(15, Ordering::SeqCst);
    let failure = bench.inventory.read().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    let spent = bench.port.count("item") - names.len();
    assert!(spent < 10, "{spent} calls to learn that it is in trouble");
}

#[tokio::test]
async fn a_machine_is_awaited_until_a_round_that_began_with_it_is_over() {
    let mut bench = Bench::of(vec![classic("a"), classic("b")]);
    assert!(bench.inventory.is_opening() && bench.inventory.awaits(&key("a")), "nothing was read yet");
    bench.inventory.watch(&key("a"), "a", Some("/vm"), false);
    bench.round(0).await;
    assert!(!bench.inventory.is_opening() && !bench.inventory.awaits(&key("a")));
    bench.inventory.watch(&key("a"), "a", Some("/vm"), true);
    assert!(!bench.inventory.awaits(&key("a")), "it is the same machine");
    bench.inventory.watch(&key("a"), "b", Some("/vm"), true);
    assert!(bench.inventory.awaits(&key("a")), "this one was not read");
    assert_eq!(bench.round(15).await, 1, "it is told that it was");
    assert!(!bench.inventory.awaits(&key("a")));
}

struct Always(Arc<Port>);

impl Connect for Always {
    fn vault(&self, _: &VaultConnection) -> Result<Arc<dyn SiteRecovery>, Failure> {
        Ok(Arc::clone(&self.0) as _)
    }

    fn vcenter(&self, _: &VCenterConnection) -> Result<Arc<dyn VirtualCenter>, Failure> {
        Err(Failure::new(Remote::VCenter, FailureClass::Invalid, "There is none."))
    }
}

#[tokio::test]
async fn only_another_way_to_the_vault_opens_it_anew() {
    let bench = Bench::of(Vec::new());
    let (wake, mut woken) = mpsc::unbounded_channel();
    let registry = Registry::new(Arc::new(Always(Arc::clone(&bench.port))), Arc::clone(&bench.clock) as _, wake);
    let connection = |change: serde_json::Value| {
        let mut spec = serde_json::json!({
            "subscriptionId": "s", "resourceGroup": "g", "vaultName": "v", "credential": { "managedIdentity": {} }
        });
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let spec = serde_json::from_value(spec).unwrap();
        registry
            .open_vault(&key("v"), VaultConnection { namespace: "n".to_owned(), spec, client_secret: None })
            .unwrap()
    };
    let first = connection(serde_json::json!({}));
    let backup =
        serde_json::json!({ "pollIntervalSeconds": 900, "configurationServerBackedUpAt": "2026-01-01T00:00:00Z" });
    let same = connection(backup.clone());
    assert!(Arc::ptr_eq(&first, &same));
    assert_eq!(same.interval(), Duration::from_secs(900), "taken at the next round");
    let opened = std::iter::from_fn(|| woken.try_recv().ok());
    let opened = opened.filter(|wake| *wake == Wake::VaultOpened(key("v"))).count();
    assert_eq!(opened, 2, "its machines are judged by what is declared");
    assert!(!Arc::ptr_eq(&first, &connection(serde_json::json!({ "vaultName": "w" }))));
}
