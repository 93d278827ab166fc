//! The inventory of one vault: its item list at an interval, its jobs and the machines in motion more often.

mod due;
mod jobs;
mod reading;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use self::state::{Groups, Seen, State, Watcher, find, jobs_of};
use super::{Key, LATE, Link, PATIENCE, Wake, Waker, age, pause};
use crate::{
    core::{
        observed::{AzurePower, AzureVm, Fabric, Fact, Job, Policy, RecoveryPointSeen, Replication, Vault},
        text::cut,
    },
    ports::{Failure, FailureClass, Reading, Remote, SharedClock, SiteRecovery},
};

/// How often machines in motion and the vault's jobs are read.
const IN_MOTION: Duration = Duration::from_secs(15);
/// The least pause between two rounds on the wall, however fast a simulated clock runs.
const LEAST: Duration = Duration::from_millis(50);

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
    /// Its recovery points, newest first (classic, towards VMware).
    pub recovery_points: Fact<Vec<RecoveryPointSeen>>,
    /// The locks that keep its machine in Azure.
    pub locks: Fact<Vec<String>>,
}

impl ItemView {
    fn unknown(why: &str) -> Self {
        Self {
            replication: Fact::unknown(why),
            jobs: Fact::unknown(why),
            azure_vm: Fact::unknown(why),
            fabric: Fact::unknown(why),
            recovery_points: Fact::unknown(why),
            locks: Fact::unknown(why),
        }
    }
}

/// One vault, read for everybody.
pub struct VaultInventory {
    key: Key,
    port: Arc<dyn SiteRecovery>,
    clock: SharedClock,
    interval_seconds: AtomicU64,
    state: Mutex<State>,
    poke: Notify,
    wake: Waker,
}

impl VaultInventory {
    /// An inventory that has read nothing yet; [`Self::run`] reads.
    pub fn new(key: Key, port: Arc<dyn SiteRecovery>, clock: SharedClock, interval: Duration, wake: Waker) -> Self {
        let state = Mutex::new(State::new(clock.now()));
        let interval_seconds = AtomicU64::new(interval.as_secs());
        Self { key, port, clock, interval_seconds, state, poke: Notify::new(), wake }
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_seconds.load(Ordering::Relaxed))
    }

    /// Reads at another interval from now on.
    pub fn set_interval(&self, interval: Duration) {
        self.interval_seconds.store(interval.as_secs(), Ordering::Relaxed);
        self.poke.notify_one();
    }

    /// Whether the first reading goes on: nothing was told yet, neither what there is nor that it cannot be read.
    pub fn is_opening(&self) -> bool {
        let state = self.state();
        state.link == Link::Connecting && state.is_patient(self.clock.as_ref())
    }

    /// Whether a machine's first reading is still to come. A reading that brings no news for a minute is not waited for.
    pub fn awaits(&self, key: &Key) -> bool {
        let state = self.state();
        state.is_patient(self.clock.as_ref()) && !state.watchers.get(key).is_some_and(|watcher| watcher.read)
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
            unreadable: state.unreadable.iter().chain(&state.unreadable_around).cloned().collect(),
            fabrics: state.fabrics.clone(),
            listed_at: state.listed_at,
        }
    }

    /// Its replication policies.
    pub fn policies(&self) -> Fact<Vec<Policy>> {
        self.state().policies.clone()
    }

    /// How old the last complete round is. Three intervals without one are too many.
    pub fn reading(&self) -> Reading {
        let age = age(self.state().fresh_at, self.clock.now());
        Reading { remote: Remote::Arm, age, stale: age > LATE.max(self.interval() * 3) }
    }

    /// Since when it could not be read, and why; nothing where it could a moment ago. The same words as long as that lasts.
    pub fn unread(&self) -> Option<String> {
        let stale = self.reading().stale;
        let state = self.state();
        let since = state.fresh_at;
        match &state.link {
            Link::Down(failure) if stale || age(since, self.clock.now()) > PATIENCE => {
                Some(format!("The vault has not been read since {since:.0}: {}", cut(&failure.message, 300)))
            }
            Link::Connecting | Link::Up { .. } if stale => {
                Some(format!("The vault has not been read since {since:.0}."))
            }
            Link::Connecting | Link::Up { .. } | Link::Down(_) => None,
        }
    }

    /// Whether the machine in Azure was seen running.
    pub fn azure_vm_runs(&self, machine: &str) -> bool {
        let state = self.state();
        let seen = find(&state, machine).ok().and_then(|entry| entry.azure_vm.as_ref()).and_then(|(vm, _)| vm.value());
        matches!(seen, Some(AzureVm::Present { power: AzurePower::Running, .. }))
    }

    /// Says that an object looks at a machine (friendly name or ARM id), whether it moves, and which Azure VM is meant
    /// when the item itself no longer names it.
    pub fn watch(&self, key: &Key, machine: &str, azure_vm_id: Option<&str>, in_motion: bool) {
        let mut state = self.state();
        let watcher = Watcher {
            machine: machine.to_owned(),
            azure_vm_id: azure_vm_id.map(ToOwned::to_owned),
            in_motion,
            read: state.watchers.get(key).is_some_and(|old| old.read && old.machine == machine),
        };
        let news = match state.watchers.get(key) {
            None => true,
            Some(old) => {
                old.machine != watcher.machine
                    || old.azure_vm_id != watcher.azure_vm_id
                    || (watcher.in_motion && !old.in_motion)
            }
        };
        state.watchers.insert(key.clone(), watcher);
        drop(state);
        if news {
            self.poke.notify_one();
        }
    }

    /// The object is gone.
    pub fn unwatch(&self, key: &Key) {
        let mut state = self.state();
        state.watchers.remove(key);
        state.follows.remove(key);
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
            Err(why) => return ItemView::unknown(&why),
        };
        let replication = match (&entry.trouble, &entry.full, state.listed_at) {
            (Some(why), _, _) => Fact::unknown(format!("the item cannot be read: {why}")),
            (None, Some((item, at)), _) => Fact::seen(item.clone(), *at),
            (None, None, Some(at)) => Fact::seen(entry.summary.clone(), at),
            (None, None, None) => state.link.unknown("The item"),
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
            Some(item) => state.jobs.map(|jobs| jobs_of(jobs, item)),
            None => state.link.unknown("The item"),
        };
        let azure_vm = entry
            .azure_vm
            .as_ref()
            .map_or_else(|| Fact::unknown("The machine in Azure was not read yet."), |(fact, _)| fact.clone());
        let locks = entry.locks.as_ref().map_or_else(
            || Fact::unknown("The locks on the machine in Azure were not read yet."),
            |(fact, _)| fact.clone(),
        );
        ItemView { replication, jobs, azure_vm, fabric, recovery_points: entry.recovery_points(), locks }
    }

    /// The other members of a machine's consistency group, each as well as it is known, with its recovery points.
    /// Empty without a group.
    pub fn group(&self, machine: &str) -> Fact<Vec<(Replication, Fact<Vec<RecoveryPointSeen>>)>> {
        let state = self.state();
        let entry = match find(&state, machine) {
            Ok(entry) => entry,
            Err(why) => return Fact::unknown(why),
        };
        let item = entry.best();
        let Some(at) = state.listed_at else { return state.link.unknown("The vault's items") };
        match &item.group {
            // A summary may leave it out.
            None if !item.complete => Fact::unknown("The item was not read completely yet."),
            None => Fact::seen(Vec::new(), at),
            Some(_) => {
                let others = Groups::of(&state).others(entry);
                Fact::seen(others.iter().map(|other| (other.best().clone(), other.recovery_points())).collect(), at)
            }
        }
    }

    /// Reads for as long as it is polled. Drop it to stop.
    pub async fn run(&self) {
        let mut failures = 0;
        loop {
            let wait = match self.read().await {
                Ok(()) => {
                    failures = 0;
                    let moving = self.state().watchers.values().any(|watcher| watcher.in_motion);
                    if moving { IN_MOTION.min(self.interval()) } else { self.interval() }
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
        let groups = Groups::of(&state);
        state.watchers.iter().map(|(key, watcher)| (key.clone(), Seen::of(&state, &groups, &watcher.machine))).collect()
    }

    /// Wakes those whose machine shows something else than before, or was read for the first time.
    fn tell(&self, before: &HashMap<Key, Seen>, first: &HashSet<Key>, everybody: bool) {
        let after = self.snapshot();
        for (key, seen) in &after {
            if everybody || first.contains(key) || before.get(key) != Some(seen) {
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
