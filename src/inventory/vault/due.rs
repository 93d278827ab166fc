//! What of the watched machines is to be read now.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    VaultInventory,
    state::{Entry, Watcher, find, has_points},
};
use crate::core::{facts::azure_vm_id, observed::RunsIn, stage::Stage};

/// How often what lies around a machine at rest is read.
const AT_REST: SignedDuration = SignedDuration::from_mins(10);
/// How often the machine in Azure is read while data is synchronised: nothing is about to be called, and of a plan with
/// hundreds of machines most are at this point.
const VM_WHILE_SYNCING: SignedDuration = SignedDuration::from_mins(1);
/// How often its recovery points are read while it moves.
const POINTS_IN_MOTION: SignedDuration = SignedDuration::from_mins(1);
/// How often its locks are read while it moves: with a round each 15 seconds they are never older than a minute.
const LOCKS_IN_MOTION: SignedDuration = SignedDuration::from_secs(45);

/// A read that is due.
pub(super) struct Due {
    /// The item's ARM id in lower case.
    pub(super) item: String,
    pub(super) what: What,
}

/// What is to be read around an item.
pub(super) enum What {
    /// The machine in Azure, by its id where one is known.
    AzureVm(Option<String>),
    /// Its locks, in the same way.
    Locks(Option<String>),
    /// The recovery points of the item of this id.
    Points(String),
}

impl VaultInventory {
    /// Which items to read in full (never read, changed, or in motion), and whether the jobs.
    pub(super) fn full_due(&self) -> (Vec<String>, bool) {
        let state = self.state();
        let mut full = HashSet::new();
        let mut moving = false;
        for watcher in state.watchers.values() {
            let Ok(entry) = find(&state, &watcher.machine) else { continue };
            moving |= watcher.in_motion;
            if watcher.in_motion || entry.full.is_none() || entry.stale || entry.trouble.is_some() {
                full.insert(entry.summary.id.to_ascii_lowercase());
            }
        }
        let jobs_wanted = moving || (!state.watchers.is_empty() && state.jobs.value().is_none());
        (full.into_iter().collect(), jobs_wanted)
    }

    /// What to read around the watched items. An item that several objects look at is read as the one in motion asks.
    pub(super) fn around_due(&self, now: Timestamp) -> Vec<Due> {
        let state = self.state();
        let mut watched: HashMap<String, (&Entry, &Watcher)> = HashMap::new();
        for watcher in state.watchers.values() {
            let Ok(entry) = find(&state, &watcher.machine) else { continue };
            let seat = watched.entry(entry.summary.id.to_ascii_lowercase()).or_insert((entry, watcher));
            if watcher.in_motion {
                *seat = (entry, watcher);
            }
        }
        let due_of = |(item, (entry, watcher)): (String, (&Entry, &Watcher))| {
            around(entry, watcher, now).into_iter().map(move |what| Due { item: item.clone(), what })
        };
        watched.into_iter().flat_map(due_of).collect()
    }
}

fn around(entry: &Entry, watcher: &Watcher, now: Timestamp) -> Vec<What> {
    let every = |in_motion| if watcher.in_motion { in_motion } else { AT_REST };
    let due = |read: Option<Timestamp>, every: SignedDuration| read.is_none_or(|at| at + every <= now);
    let mut all = Vec::new();
    if may_be_in_azure(entry) {
        let item = entry.full.as_ref().map(|(item, _)| item);
        let id = azure_vm_id(item, watcher.azure_vm_id.as_deref(), None);
        let other = id != entry.azure_vm_id;
        let syncing = matches!(Stage::of(entry.best()), Stage::SyncingToVMware | Stage::SyncingToAzure);
        let vm = every(if syncing { VM_WHILE_SYNCING } else { SignedDuration::ZERO });
        if other || due(entry.azure_vm.as_ref().map(|(_, at)| *at), vm) {
            all.push(What::AzureVm(id.clone()));
        }
        if other || due(entry.locks.as_ref().map(|(_, at)| *at), every(LOCKS_IN_MOTION)) {
            all.push(What::Locks(id));
        }
    }
    if has_points(entry.best()) && due(entry.points.as_ref().map(|(_, at)| *at), every(POINTS_IN_MOTION)) {
        all.push(What::Points(entry.summary.id.clone()));
    }
    all
}

/// A machine that runs at home under protection towards Azure has no VM there.
fn may_be_in_azure(entry: &Entry) -> bool {
    entry.full.as_ref().is_none_or(|(item, _)| {
        item.runs_in() != Some(RunsIn::VMware)
            || !matches!(Stage::of(item), Stage::ProtectedToAzure | Stage::SyncingToAzure)
    })
}
