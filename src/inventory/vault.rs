//! The inventory of one vault: its item list at an interval, its jobs and the machines in motion more often.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::{Key, Link, Wake, Waker, pause};
use crate::{
    core::{
        observed::{AzureVm, Fabric, Fact, Job, Replication, RunsIn, Vault},
        stage::Stage,
    },
    ports::{Failure, FailureClass, SharedClock, SiteRecovery},
};

/// How often machines in motion and the vault's jobs are read.
const IN_MOTION: Duration = Duration::from_secs(15);
/// How often fabrics are read.
const FABRICS: SignedDuration = SignedDuration::from_mins(5);
/// How often the Azure VM of a machine at rest is read.
const VM_AT_REST: SignedDuration = SignedDuration::from_mins(10);
/// The least pause between two rounds on the wall, however fast a simulated clock runs.
const LEAST: Duration = Duration::from_millis(50);
/// How many reads run side by side.
const READS: usize = 4;

/// One item as it was read.
#[derive(Clone, Debug)]
struct Entry {
    summary: Replication,
    full: Option<(Replication, Timestamp)>,
    azure_vm: Option<(Fact<AzureVm>, Timestamp)>,
}

#[derive(Debug)]
struct State {
    link: Link,
    vault: Option<Vault>,
    listed_at: Option<Timestamp>,
    /// By ARM id in lower case.
    entries: HashMap<String, Entry>,
    /// The ids of each friendly name, in lower case.
    names: HashMap<String, Vec<String>>,
    unreadable: Vec<String>,
    jobs: Fact<Vec<Job>>,
    fabrics: Fact<Vec<Fabric>>,
    fabrics_at: Option<Timestamp>,
    /// Who looks at which machine, and whether it moves.
    watchers: HashMap<Key, Watcher>,
}

#[derive(Clone, Debug)]
struct Watcher {
    machine: String,
    azure_vm_id: Option<String>,
    in_motion: bool,
}

/// What a vault shows to the objects that describe it.
#[derive(Clone, Debug)]
pub struct VaultView {
    /// How the connection stands.
    pub link: Link,
    /// The vault itself, once it was read.
    pub vault: Option<Vault>,
    /// How many items its list has, once it was read.
    pub items: Option<usize>,
    /// Entries that could not be decoded.
    pub unreadable: Vec<String>,
    /// Its fabrics.
    pub fabrics: Fact<Vec<Fabric>>,
    /// When its list was read last.
    pub listed_at: Option<Timestamp>,
}

/// What a vault shows of one machine.
#[derive(Clone, Debug)]
pub struct ItemView {
    /// Its item.
    pub replication: Fact<Replication>,
    /// The jobs that concern it.
    pub jobs: Fact<Vec<Job>>,
    /// Its machine in Azure.
    pub azure_vm: Fact<AzureVm>,
    /// The fabric that holds it.
    pub fabric: Fact<Fabric>,
}

/// One vault, read for everybody.
pub struct VaultInventory {
    key: Key,
    port: Arc<dyn SiteRecovery>,
    clock: SharedClock,
    interval: Duration,
    state: Mutex<State>,
    poke: Notify,
    wake: Waker,
}

impl VaultInventory {
    /// An inventory that has read nothing yet; [`Self::run`] reads.
    pub fn new(key: Key, port: Arc<dyn SiteRecovery>, clock: SharedClock, interval: Duration, wake: Waker) -> Self {
        let state = State {
            link: Link::Connecting,
            vault: None,
            listed_at: None,
            entries: HashMap::new(),
            names: HashMap::new(),
            unreadable: Vec::new(),
            jobs: Fact::unknown("The vault's jobs were not read yet."),
            fabrics: Fact::unknown("The vault's fabrics were not read yet."),
            fabrics_at: None,
            watchers: HashMap::new(),
        };
        Self { key, port, clock, interval, state: Mutex::new(state), poke: Notify::new(), wake }
    }

    /// The adapter, for reads right before a call and for the call.
    pub fn port(&self) -> Arc<dyn SiteRecovery> {
        Arc::clone(&self.port)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the vault shows.
    pub fn view(&self) -> VaultView {
        let state = self.state();
        VaultView {
            link: state.link.clone(),
            vault: state.vault.clone(),
            items: state.listed_at.map(|_| state.entries.len()),
            unreadable: state.unreadable.clone(),
            fabrics: state.fabrics.clone(),
            listed_at: state.listed_at,
        }
    }

    /// Says that an object looks at a machine (friendly name or ARM id), whether it moves, and which Azure VM is meant
    /// when the item itself no longer names it.
    pub fn watch(&self, key: &Key, machine: &str, azure_vm_id: Option<&str>, in_motion: bool) {
        let watcher =
            Watcher { machine: machine.to_owned(), azure_vm_id: azure_vm_id.map(ToOwned::to_owned), in_motion };
        let mut state = self.state();
        let news = match state.watchers.get(key) {
            None => true,
            Some(old) => old.machine != watcher.machine || (watcher.in_motion && !old.in_motion),
        };
        state.watchers.insert(key.clone(), watcher);
        drop(state);
        if news {
            self.poke.notify_one();
        }
    }

    /// The object is gone.
    pub fn unwatch(&self, key: &Key) {
        self.state().watchers.remove(key);
    }

    /// Reads again now: something was just called.
    pub fn refresh(&self) {
        self.poke.notify_one();
    }

    /// What is known of a machine.
    pub fn item(&self, machine: &str) -> ItemView {
        let state = self.state();
        let entry = match find(&state, machine) {
            Ok(entry) => entry,
            Err(why) => {
                return ItemView {
                    replication: Fact::unknown(why.clone()),
                    jobs: Fact::unknown(why.clone()),
                    azure_vm: Fact::unknown(why.clone()),
                    fabric: Fact::unknown(why),
                };
            }
        };
        let replication = match (&entry.full, state.listed_at) {
            (Some((item, at)), _) => Fact::seen(item.clone(), *at),
            (None, Some(at)) => Fact::seen(entry.summary.clone(), at),
            (None, None) => state.link.unknown("The item"),
        };
        let of_item = replication.value().map(|item| item.fabric_id.to_ascii_lowercase()).unwrap_or_default();
        let fabric = match &state.fabrics {
            Fact::Unknown(why) => Fact::unknown(why.clone()),
            Fact::Seen { value, at } => {
                value.iter().find(|fabric| fabric.id.eq_ignore_ascii_case(&of_item)).map_or_else(
                    || Fact::unknown("The item's fabric is not in the vault's list."),
                    |fabric| Fact::seen(fabric.clone(), *at),
                )
            }
        };
        let jobs = match replication.value() {
            Some(item) => state.jobs.map(|jobs| jobs_of(jobs, item, &state)),
            None => state.link.unknown("The item"),
        };
        let azure_vm = entry
            .azure_vm
            .as_ref()
            .map_or_else(|| Fact::unknown("The machine in Azure was not read yet."), |(fact, _)| fact.clone());
        ItemView { replication, jobs, azure_vm, fabric }
    }

    /// Reads for as long as it is polled. Drop it to stop.
    pub async fn run(&self) {
        let mut failures = 0;
        loop {
            let wait = match self.read().await {
                Ok(()) => {
                    failures = 0;
                    let moving = self.state().watchers.values().any(|watcher| watcher.in_motion);
                    if moving { IN_MOTION.min(self.interval) } else { self.interval }
                }
                Err(failure) => {
                    failures += 1;
                    tracing::warn!(vault = %self.key.name, namespace = %self.key.namespace, class = failure.class.label(), %failure, "the vault cannot be read");
                    let wait = pause(failures, &failure, &self.key.name);
                    self.went_down(failure);
                    wait
                }
            };
            let rejected =
                matches!(&self.state().link, Link::Down(failure) if failure.class == FailureClass::Unauthenticated);
            let sleep = tokio::time::sleep(self.clock.wall(wait).max(LEAST));
            if rejected {
                sleep.await;
            } else {
                tokio::select! { () = sleep => {}, () = self.poke.notified() => {} }
            }
        }
    }

    /// One round: whatever is due.
    async fn read(&self) -> Result<(), Failure> {
        if self.state().vault.is_none() {
            let vault = self.port.vault().await?;
            self.state().vault = Some(vault);
        }
        let now = self.clock.now();
        let due = |last: Option<Timestamp>, every: SignedDuration| last.is_none_or(|last| last + every <= now);
        let interval = SignedDuration::try_from(self.interval).unwrap_or(SignedDuration::from_mins(1));
        let (list_due, fabrics_due) = {
            let state = self.state();
            (due(state.listed_at, interval), due(state.fabrics_at, FABRICS))
        };
        let before = self.snapshot();
        if list_due {
            self.read_list(now).await?;
        }
        if fabrics_due {
            let fabrics = self.port.fabrics().await;
            let mut state = self.state();
            state.fabrics_at = Some(now);
            state.fabrics = match fabrics {
                Ok(listing) => Fact::seen(listing.entries, now),
                Err(failure) => Fact::unknown(failure.message),
            };
        }
        self.read_watched(now).await?;
        let came_up = {
            let mut state = self.state();
            let was_up = matches!(state.link, Link::Up { .. });
            state.link = Link::Up { at: self.clock.now() };
            !was_up
        };
        self.tell(&before, came_up);
        Ok(())
    }

    async fn read_list(&self, now: Timestamp) -> Result<(), Failure> {
        let listing = self.port.items().await?;
        let mut state = self.state();
        let mut entries = HashMap::with_capacity(listing.entries.len());
        for summary in listing.entries {
            let id = summary.id.to_ascii_lowercase();
            let known = state.entries.remove(&id);
            // A changed summary means that the full reading is out of date.
            let unchanged = known.as_ref().is_some_and(|entry| entry.summary == summary);
            let entry = match known {
                Some(entry) if unchanged => entry,
                Some(entry) => Entry { summary, full: None, azure_vm: entry.azure_vm },
                None => Entry { summary, full: None, azure_vm: None },
            };
            entries.insert(id, entry);
        }
        state.names = HashMap::with_capacity(entries.len());
        for (id, entry) in &entries {
            let name = entry.summary.friendly_name.to_ascii_lowercase();
            state.names.entry(name).or_default().push(id.clone());
        }
        state.entries = entries;
        state.unreadable = listing.odd.into_iter().take(10).collect();
        state.listed_at = Some(now);
        Ok(())
    }

    /// Full readings of what is watched: never read, changed, or in motion.
    async fn read_watched(&self, now: Timestamp) -> Result<(), Failure> {
        let (full, vms, jobs_wanted) = self.plan_reads(now);
        if jobs_wanted {
            let jobs = self.port.jobs().await?;
            self.state().jobs = Fact::seen(jobs.entries, self.clock.now());
        }
        let mut reads = stream::iter(full)
            .map(|id| async move {
                let read = self.port.item(&id).await;
                (id, read, self.clock.now())
            })
            .buffer_unordered(READS);
        while let Some((id, read, at)) = reads.next().await {
            match read {
                Ok(item) => {
                    if let Some(entry) = self.state().entries.get_mut(&id) {
                        entry.full = Some((item, at));
                    }
                }
                Err(failure) if failure.class == FailureClass::NotFound => {
                    self.state().entries.remove(&id);
                }
                Err(failure) => return Err(failure),
            }
        }
        drop(reads);
        self.read_azure_vms(vms).await
    }

    async fn read_azure_vms(&self, vms: BTreeMap<String, Option<String>>) -> Result<(), Failure> {
        let mut reads = stream::iter(vms)
            .map(|(item, known)| async move {
                let named = {
                    let state = self.state();
                    let entry = state.entries.get(&item);
                    entry.and_then(|entry| entry.full.as_ref()).and_then(|(full, _)| full.azure_vm_id.clone())
                };
                let fact = match named.or(known) {
                    None => Fact::unknown("The vault does not name the machine's VM in Azure."),
                    Some(id) => match self.port.azure_vm(&id).await {
                        Ok(vm) => Fact::seen(vm, self.clock.now()),
                        Err(failure) => Fact::unknown(failure.message),
                    },
                };
                (item, fact)
            })
            .buffer_unordered(READS);
        while let Some((item, fact)) = reads.next().await {
            let at = self.clock.now();
            if let Some(entry) = self.state().entries.get_mut(&item) {
                entry.azure_vm = Some((fact, at));
            }
        }
        Ok(())
    }

    /// Which items and VMs to read now, and whether the jobs.
    fn plan_reads(&self, now: Timestamp) -> (Vec<String>, BTreeMap<String, Option<String>>, bool) {
        let state = self.state();
        let mut full = HashSet::new();
        let mut vms = BTreeMap::new();
        let mut moving = false;
        for watcher in state.watchers.values() {
            let Ok(entry) = find(&state, &watcher.machine) else { continue };
            let id = entry.summary.id.to_ascii_lowercase();
            moving |= watcher.in_motion;
            if watcher.in_motion || entry.full.is_none() {
                full.insert(id.clone());
            }
            let vm_due = match &entry.azure_vm {
                None => true,
                Some((_, at)) => watcher.in_motion || *at + VM_AT_REST <= now,
            };
            let in_azure = entry.full.as_ref().is_none_or(|(item, _)| {
                item.runs_in() != Some(RunsIn::VMware)
                    || !matches!(Stage::of(item), Stage::ProtectedToAzure | Stage::SyncingToAzure)
            });
            if vm_due && in_azure {
                vms.insert(id, watcher.azure_vm_id.clone());
            }
        }
        let jobs_wanted = moving || (!state.watchers.is_empty() && state.jobs.value().is_none());
        (full.into_iter().collect(), vms, jobs_wanted)
    }

    fn went_down(&self, failure: Failure) {
        let watchers = {
            let mut state = self.state();
            let link = Link::Down(failure);
            let news = state.link != link;
            state.link = link;
            if news { state.watchers.keys().cloned().collect() } else { Vec::new() }
        };
        self.send(Wake::Vault(self.key.clone()));
        for key in watchers {
            self.send(Wake::Item(key));
        }
    }

    fn snapshot(&self) -> HashMap<Key, Seen> {
        let state = self.state();
        state.watchers.iter().map(|(key, watcher)| (key.clone(), Seen::of(&state, &watcher.machine))).collect()
    }

    /// Wakes those whose machine shows something else than before.
    fn tell(&self, before: &HashMap<Key, Seen>, everybody: bool) {
        let after = self.snapshot();
        for (key, seen) in &after {
            if everybody || before.get(key) != Some(seen) {
                self.send(Wake::Item(key.clone()));
            }
        }
        self.send(Wake::Vault(self.key.clone()));
    }

    fn send(&self, wake: Wake) {
        if self.wake.send(wake).is_err() {
            tracing::debug!("nobody listens to wake-ups any more");
        }
    }
}

/// What a watcher sees, to tell whether it changed. Times of reading are not part of it.
#[derive(PartialEq)]
struct Seen {
    item: Option<Replication>,
    azure_vm: Option<AzureVm>,
    jobs: Vec<Job>,
    fabrics: bool,
}

impl Seen {
    fn of(state: &State, machine: &str) -> Self {
        let entry = find(state, machine).ok();
        let item = entry.map(|entry| entry.full.as_ref().map_or(&entry.summary, |(item, _)| item)).cloned();
        let jobs = match (&item, state.jobs.value()) {
            (Some(item), Some(jobs)) => jobs_of(jobs, item, state),
            (None, _) | (_, None) => Vec::new(),
        };
        let azure_vm = entry.and_then(|entry| entry.azure_vm.as_ref()).and_then(|(fact, _)| fact.value()).cloned();
        Self { item, azure_vm, jobs, fabrics: state.fabrics.value().is_some() }
    }
}

fn jobs_of(jobs: &[Job], item: &Replication, state: &State) -> Vec<Job> {
    let name = item.friendly_name.to_ascii_lowercase();
    let name_is_unique = state.names.get(&name).is_none_or(|ids| ids.len() < 2);
    jobs.iter().filter(|job| job.concerns(item, name_is_unique)).cloned().collect()
}

fn find<'a>(state: &'a State, machine: &str) -> Result<&'a Entry, String> {
    if let Some(entry) = state.entries.get(&machine.to_ascii_lowercase()) {
        return Ok(entry);
    }
    let ids = state.names.get(&machine.to_ascii_lowercase()).map(Vec::as_slice).unwrap_or_default();
    let mut named = ids.iter().filter_map(|id| state.entries.get(id));
    match (named.next(), named.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(format!(
            "spec.machine: the vault has several items named \"{machine}\"; give the ARM id of the one that is meant."
        )),
        (None, _) => match &state.link {
            Link::Down(failure) => Err(format!("the vault cannot be read: {}", failure.message)),
            Link::Connecting => Err("the vault was not read yet.".to_owned()),
            Link::Up { .. } => {
                Err(format!("spec.machine: the vault has no item \"{machine}\" among its {}.", state.entries.len()))
            }
        },
    }
}
