//! What is read when: lists at an interval, what is watched in full, what moves every time.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    VaultInventory,
    state::{Entry, find},
};
use crate::{
    core::{
        observed::{Fact, RunsIn},
        stage::Stage,
    },
    inventory::Link,
    ports::{Failure, FailureClass},
};

/// How often fabrics are read.
const FABRICS: SignedDuration = SignedDuration::from_mins(5);
/// How often the Azure VM of a machine at rest is read.
const VM_AT_REST: SignedDuration = SignedDuration::from_mins(10);
/// How many reads run side by side.
const READS: usize = 4;

impl VaultInventory {
    /// One round: whatever is due.
    pub(super) async fn read(&self) -> Result<(), Failure> {
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
            let read = match fabrics {
                Ok(listing) => Fact::seen(listing.entries, now),
                Err(failure) => Fact::unknown(failure.message),
            };
            state.fabrics_at = Some(now);
            state.fabrics_version += u64::from(read.known() != state.fabrics.known());
            state.fabrics = read;
        }
        self.read_watched(now).await?;
        let came_up = {
            let mut state = self.state();
            let was_up = matches!(state.link, Link::Up { .. });
            state.fresh_at = self.clock.now();
            state.link = Link::Up { at: state.fresh_at };
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
                Some(entry) => Entry { summary, stale: true, ..entry },
                None => Entry { summary, full: None, stale: false, trouble: None, azure_vm: None },
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
            // As old as its first page.
            let at = self.clock.now();
            let jobs = self.port.jobs().await?;
            self.state().jobs = Fact::seen(jobs.entries, at);
        }
        let mut reads = stream::iter(full)
            .map(|id| async move {
                let at = self.clock.now();
                (id.clone(), self.port.item(&id).await, at)
            })
            .buffer_unordered(READS);
        while let Some((id, read, at)) = reads.next().await {
            match read {
                Ok(item) => {
                    if let Some(entry) = self.state().entries.get_mut(&id) {
                        entry.full = Some((item, at));
                        entry.stale = false;
                        entry.trouble = None;
                    }
                }
                Err(failure) if failure.class == FailureClass::NotFound => {
                    self.state().entries.remove(&id);
                }
                Err(failure) if concerns_all(failure.class) => return Err(failure),
                // One item's trouble is one item's.
                Err(failure) => {
                    if let Some(entry) = self.state().entries.get_mut(&id) {
                        entry.trouble = Some(failure.message);
                    }
                }
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
                    Some(id) => match (self.clock.now(), self.port.azure_vm(&id).await) {
                        (at, Ok(vm)) => Fact::seen(vm, at),
                        (_, Err(failure)) => Fact::unknown(failure.message),
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
            if watcher.in_motion || entry.full.is_none() || entry.stale || entry.trouble.is_some() {
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
}

/// Failures that every other read of the vault would meet too.
const fn concerns_all(class: FailureClass) -> bool {
    matches!(class, FailureClass::Unauthenticated | FailureClass::Throttled { .. })
}
