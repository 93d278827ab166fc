//! What is known of a vault, and who looks at what.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::{
    core::observed::{AzureVm, Fabric, Fact, Job, Replication, Vault},
    inventory::{Key, Link},
};

/// One item as it was read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) summary: Replication,
    /// The last complete reading.
    pub(super) full: Option<(Replication, Timestamp)>,
    /// The list has shown something else since.
    pub(super) stale: bool,
    /// Why the last complete reading failed.
    pub(super) trouble: Option<String>,
    pub(super) azure_vm: Option<(Fact<AzureVm>, Timestamp)>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) link: Link,
    /// When everything that was due was read, or the inventory opened.
    pub(super) fresh_at: Timestamp,
    pub(super) vault: Option<Vault>,
    pub(super) listed_at: Option<Timestamp>,
    /// By ARM id in lower case.
    pub(super) entries: HashMap<String, Entry>,
    /// The ids of each friendly name, in lower case.
    pub(super) names: HashMap<String, Vec<String>>,
    pub(super) unreadable: Vec<String>,
    pub(super) jobs: Fact<Vec<Job>>,
    pub(super) fabrics: Fact<Vec<Fabric>>,
    pub(super) fabrics_at: Option<Timestamp>,
    /// Counts the changes of `fabrics`.
    pub(super) fabrics_version: u64,
    /// Who looks at which machine, and whether it moves.
    pub(super) watchers: HashMap<Key, Watcher>,
}

impl State {
    /// Nothing was read yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            link: Link::Connecting,
            fresh_at: now,
            vault: None,
            listed_at: None,
            entries: HashMap::new(),
            names: HashMap::new(),
            unreadable: Vec::new(),
            jobs: Fact::unknown("The vault's jobs were not read yet."),
            fabrics: Fact::unknown("The vault's fabrics were not read yet."),
            fabrics_at: None,
            fabrics_version: 0,
            watchers: HashMap::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Watcher {
    pub(super) machine: String,
    pub(super) azure_vm_id: Option<String>,
    pub(super) in_motion: bool,
}

/// What a watcher sees, to tell whether it changed. Times of reading are not part of it.
#[derive(PartialEq)]
pub(super) struct Seen {
    pub(super) item: Option<Replication>,
    pub(super) azure_vm: Option<AzureVm>,
    pub(super) jobs: Vec<Job>,
    pub(super) fabrics_version: u64,
}

impl Seen {
    pub(super) fn of(state: &State, machine: &str) -> Self {
        let entry = find(state, machine).ok();
        let item = entry.map(|entry| entry.full.as_ref().map_or(&entry.summary, |(item, _)| item)).cloned();
        let jobs = match (&item, state.jobs.value()) {
            (Some(item), Some(jobs)) => jobs_of(jobs, item),
            (None, _) | (_, None) => Vec::new(),
        };
        let azure_vm = entry.and_then(|entry| entry.azure_vm.as_ref()).and_then(|(fact, _)| fact.value()).cloned();
        Self { item, azure_vm, jobs, fabrics_version: state.fabrics_version }
    }
}

pub(super) fn jobs_of(jobs: &[Job], item: &Replication) -> Vec<Job> {
    jobs.iter().filter(|job| job.concerns(item)).cloned().collect()
}

pub(super) fn find<'a>(state: &'a State, machine: &str) -> Result<&'a Entry, String> {
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
