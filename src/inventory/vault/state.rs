//! What is known of a vault, and who looks at what.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use jiff::Timestamp;

use super::jobs::Followed;
use crate::{
    core::observed::{
        AzureVm, Direction, Fabric, Fact, Generation, Job, Policy, RecoveryPointSeen, Replication, Vault,
    },
    inventory::{Key, LATE, Link, patience},
    ports::Clock,
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
    /// The id under which the machine in Azure was looked for last.
    pub(super) azure_vm_id: Option<String>,
    pub(super) azure_vm: Option<(Fact<AzureVm>, Timestamp)>,
    pub(super) locks: Option<(Fact<Vec<String>>, Timestamp)>,
    pub(super) points: Option<(Fact<Vec<RecoveryPointSeen>>, Timestamp)>,
}

impl Entry {
    /// As the list shows it.
    pub(super) const fn new(summary: Replication) -> Self {
        Self {
            summary,
            full: None,
            stale: false,
            trouble: None,
            azure_vm_id: None,
            azure_vm: None,
            locks: None,
            points: None,
        }
    }

    /// The complete reading, else the summary.
    pub(super) fn best(&self) -> &Replication {
        self.full.as_ref().map_or(&self.summary, |(item, _)| item)
    }

    /// Its recovery points, and why there are none where none are read.
    pub(super) fn recovery_points(&self) -> Fact<Vec<RecoveryPointSeen>> {
        match &self.points {
            Some((fact, _)) if has_points(self.best()) => fact.clone(),
            None if has_points(self.best()) => {
                Fact::unknown("Its recovery points were not read: only those of machines with a ReplicatedItem are.")
            }
            Some(_) | None => {
                Fact::unknown("The service makes its recovery point at the failover, or it is not due yet.")
            }
        }
    }
}

/// Only the classic provider towards VMware lets a recovery point be chosen.
pub(super) fn has_points(item: &Replication) -> bool {
    item.generation == Some(Generation::Classic) && item.direction == Some(Direction::ToVMware)
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) link: Link,
    /// When the inventory opened.
    pub(super) opened: Instant,
    /// When anything was read last, or the inventory opened.
    pub(super) heard: Instant,
    /// When everything that was due was read, or the inventory opened.
    pub(super) fresh_at: Timestamp,
    pub(super) vault: Option<Vault>,
    pub(super) listed_at: Option<Timestamp>,
    /// By ARM id in lower case.
    pub(super) entries: HashMap<String, Entry>,
    /// The ids of each friendly name, in lower case.
    pub(super) names: HashMap<String, Vec<String>>,
    pub(super) unreadable: Vec<String>,
    /// What could not be understood of fabrics and policies.
    pub(super) unreadable_around: Vec<String>,
    /// The list, with what was read of the followed ones.
    pub(super) jobs: Fact<Vec<Job>>,
    /// Which job an object's open call began: its id in lower case.
    pub(super) follows: HashMap<Key, String>,
    /// Those jobs as they were read by themselves.
    pub(super) followed: HashMap<String, Followed>,
    pub(super) fabrics: Fact<Vec<Fabric>>,
    pub(super) policies: Fact<Vec<Policy>>,
    /// When fabrics and policies were read.
    pub(super) fabrics_at: Option<Timestamp>,
    /// Counts the changes of `fabrics` and `policies`.
    pub(super) fabrics_version: u64,
    /// Who looks at which machine, and whether it moves.
    pub(super) watchers: HashMap<Key, Watcher>,
}

impl State {
    /// Nothing was read yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            link: Link::Connecting,
            opened: Instant::now(),
            heard: Instant::now(),
            fresh_at: now,
            vault: None,
            listed_at: None,
            entries: HashMap::new(),
            names: HashMap::new(),
            unreadable: Vec::new(),
            unreadable_around: Vec::new(),
            jobs: Fact::unknown("The vault's jobs were not read yet."),
            follows: HashMap::new(),
            followed: HashMap::new(),
            fabrics: Fact::unknown("The vault's fabrics were not read yet."),
            policies: Fact::unknown("The vault's policies were not read yet."),
            fabrics_at: None,
            fabrics_version: 0,
            watchers: HashMap::new(),
        }
    }
}

impl State {
    /// Whether a first reading is waited for: for a minute, and while readings come.
    pub(super) fn is_patient(&self, clock: &dyn Clock) -> bool {
        let (since, patience) = (self.opened.elapsed(), patience(clock));
        let come = self.heard.elapsed() < patience && !matches!(self.link, Link::Down(_));
        since < patience || come && since < clock.wall(LATE)
    }

    /// Who was not read yet, and looks at which machine.
    pub(super) fn unread(&self) -> Vec<(Key, String)> {
        let unread = self.watchers.iter().filter(|(_, watcher)| !watcher.read);
        unread.map(|(key, watcher)| (key.clone(), watcher.machine.clone())).collect()
    }

    /// A round is over that began with these.
    pub(super) fn were_read(&mut self, these: Vec<(Key, String)>) -> HashSet<Key> {
        let mut first = HashSet::new();
        for (key, machine) in these {
            if let Some(watcher) = self.watchers.get_mut(&key).filter(|watcher| watcher.machine == machine) {
                watcher.read = true;
                first.insert(key);
            }
        }
        first
    }
}

#[derive(Clone, Debug)]
pub(super) struct Watcher {
    pub(super) machine: String,
    pub(super) azure_vm_id: Option<String>,
    pub(super) in_motion: bool,
    /// A round that began with it has ended: what there is to be seen was looked for.
    pub(super) read: bool,
}

/// What a watcher sees, to tell whether it changed. Times of reading are not part of it.
#[derive(PartialEq)]
pub(super) struct Seen {
    pub(super) item: Option<Replication>,
    pub(super) azure_vm: Option<AzureVm>,
    pub(super) locks: Option<Vec<String>>,
    pub(super) points: Option<Vec<RecoveryPointSeen>>,
    pub(super) group: Vec<(Replication, Option<Vec<RecoveryPointSeen>>)>,
    pub(super) jobs: Result<Vec<Job>, String>,
    pub(super) fabrics_version: u64,
}

impl Seen {
    pub(super) fn of(state: &State, groups: &Groups<'_>, machine: &str) -> Self {
        let entry = find(state, machine).ok();
        let item = entry.map(Entry::best).cloned();
        let jobs = match (&item, state.jobs.known()) {
            (Some(item), Ok(jobs)) => Ok(jobs_of(jobs, item)),
            (_, Err(why)) => Err(why.to_owned()),
            (None, Ok(_)) => Ok(Vec::new()),
        };
        let others = entry.map(|entry| groups.others(entry)).unwrap_or_default();
        Self {
            azure_vm: entry.and_then(|entry| value_of(&entry.azure_vm)),
            locks: entry.and_then(|entry| value_of(&entry.locks)),
            points: entry.and_then(|entry| value_of(&entry.points)),
            group: others.into_iter().map(|other| (other.best().clone(), value_of(&other.points))).collect(),
            item,
            jobs,
            fabrics_version: state.fabrics_version,
        }
    }
}

fn value_of<T: Clone>(read: &Option<(Fact<T>, Timestamp)>) -> Option<T> {
    read.as_ref().and_then(|(fact, _)| fact.value()).cloned()
}

/// The consistency groups of a vault: a group's name means something within its fabric only.
pub(super) struct Groups<'a>(HashMap<(String, &'a str), Vec<&'a Entry>>);

impl<'a> Groups<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        let mut groups: HashMap<_, Vec<_>> = HashMap::new();
        for entry in state.entries.values() {
            if let Some(key) = group_key(entry) {
                groups.entry(key).or_default().push(entry);
            }
        }
        for members in groups.values_mut() {
            members.sort_by(|a, b| a.summary.id.cmp(&b.summary.id));
        }
        Self(groups)
    }

    /// The other members of a machine's group.
    pub(super) fn others(&self, entry: &Entry) -> Vec<&'a Entry> {
        let members = group_key(entry).and_then(|key| self.0.get(&key));
        let others = members.into_iter().flatten().filter(|other| other.summary.id != entry.summary.id);
        others.copied().collect()
    }
}

fn group_key(entry: &Entry) -> Option<(String, &str)> {
    let item = entry.best();
    Some((item.fabric_id.to_ascii_lowercase(), item.group.as_deref()?))
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
