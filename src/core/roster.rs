//! What all ReplicatedItem objects say about the targets that they share, kept up to date object by object, so that a
//! pass over one of thousands need not look at the others.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
};

use jiff::Timestamp;

use super::{action::Verb, conditions, journal, schedule::load::is_attached};
use crate::api::{DesiredPhase, ItemPhase, ReplicatedItemSpec, ReplicatedItemStatus};

/// Namespace and name of an object.
pub type ItemKey = (String, String);

/// How an object's disks count against its target's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Not at all.
    #[default]
    None,
    /// A plan lets it start.
    Planned,
    /// It replicates towards VMware, or its reprotect was called.
    Attached,
}

/// What one object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// ARM id of its replicated item, lower case, once it was seen.
    pub item_id: Option<String>,
    /// Whether it may lead to a call: a plan has claimed it, or one of its calls is open.
    pub acts: bool,
    /// Which of several objects for one item goes first: one whose call is open, then one that has called before, then
    /// the older one.
    pub rank: (bool, bool, Option<Timestamp>),
    /// Plan and wave that it is claimed for.
    pub claimed: Option<(String, String)>,
    /// Id of the target that it uses, or is decided to use.
    pub target_id: Option<String>,
    /// How many disks it has. One at least, since every machine has one.
    pub disks: u32,
    /// How they count.
    pub share: Share,
    /// Namespace, RecoveryVault and name of its consistency group.
    pub group: Option<(String, String, String)>,
}

impl Entry {
    /// Reads an object that was made at a time.
    pub fn of(
        namespace: &str,
        made: Option<Timestamp>,
        spec: &ReplicatedItemSpec,
        status: &ReplicatedItemStatus,
    ) -> Self {
        // What others began, another object perhaps, is only followed.
        let mut own = status.operation.iter().chain(&status.history).filter(|record| !record.foreign).peekable();
        let has_called = own.peek().is_some();
        let operates = own.any(journal::is_open);
        let disks = status.disks.and_then(|disks| u32::try_from(disks).ok()).unwrap_or_default();
        let group = status.group.as_ref().filter(|group| !group.is_empty());
        Self {
            item_id: status.identity.item_id.as_ref().map(|id| id.to_ascii_lowercase()),
            acts: operates || status.claim.is_some(),
            rank: (!operates, !has_called, made),
            claimed: status.claim.as_ref().map(|claim| (claim.plan.clone(), claim.wave.clone())),
            target_id: status.target.as_ref().map(|target| target.appliance_id.to_ascii_lowercase()),
            disks: disks.max(1),
            share: share(status),
            group: group.map(|group| (namespace.to_owned(), spec.vault_ref.name.clone(), group.clone())),
        }
    }
}

fn share(status: &ReplicatedItemStatus) -> Share {
    if is_attached(status.phase) {
        return Share::Attached;
    }
    if !matches!(status.phase, ItemPhase::FailedOver | ItemPhase::Unknown) {
        return Share::None;
    }
    let called = |operation| journal::is_open(operation) && operation.verb == Verb::Reprotect.as_str();
    let lets_start = status.claim.as_ref().is_some_and(|claim| claim.up_to > DesiredPhase::Assessed);
    if status.operation.as_ref().is_some_and(called) {
        Share::Attached
    } else if lets_start && !conditions::is_true(&status.conditions, "Stalled") {
        Share::Planned
    } else {
        Share::None
    }
}

/// What one target carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Disks attached.
    pub attached: u32,
    /// Disks of machines that plans let start.
    pub planned: u32,
    /// Machines that replicate through it.
    pub machines: u32,
}

/// What leaves one object less room at a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Disks of others that are attached.
    pub attached: u32,
    /// Disks that plans attach before this object's.
    pub planned: u32,
    /// Its own disks that are attached.
    pub own: u32,
}

#[derive(Debug, Default)]
struct Users {
    attached: BTreeMap<ItemKey, u32>,
    planned: BTreeMap<ItemKey, u32>,
}

/// Who has to look again after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Targets, by id in lower case, whose load changed.
    pub targets: BTreeSet<String>,
    /// Other objects: next in line for those targets, members of the same group, or about the same replicated item.
    pub items: BTreeSet<ItemKey>,
}

/// All objects, by what they share.
#[derive(Debug, Default)]
pub struct Roster {
    entries: HashMap<ItemKey, Entry>,
    by_item: HashMap<String, BTreeSet<ItemKey>>,
    targets: HashMap<String, Users>,
    groups: HashMap<(String, String, String), BTreeSet<ItemKey>>,
}

/// How many of those that wait for a target are told that its load changed: more could not start anyway.
const NEXT_IN_LINE: usize = 60;

impl Roster {
    /// Takes in what an object says now, or `None` when it is gone.
    pub fn apply(&mut self, key: &ItemKey, now: Option<Entry>) -> Touched {
        let before = self.entries.get(key).cloned();
        if before == now {
            return Touched::default();
        }
        if let Some(before) = &before {
            self.remove(key, before);
        }
        if let Some(now) = &now {
            self.insert(key, now.clone());
        }
        let entries = [before.as_ref(), now.as_ref()];
        let mut touched = Touched::default();
        let uses = |entry: Option<&Entry>| entry.map(|entry| (entry.target_id.clone(), entry.disks, entry.share));
        if uses(before.as_ref()) != uses(now.as_ref()) {
            let counted = entries.into_iter().flatten().filter(|entry| entry.share != Share::None);
            touched.targets = counted.filter_map(|entry| entry.target_id.clone()).collect();
        }
        for users in touched.targets.iter().filter_map(|id| self.targets.get(id)) {
            touched.items.extend(users.planned.keys().take(NEXT_IN_LINE).cloned());
        }
        for group in entries.into_iter().flatten().filter_map(|entry| entry.group.as_ref()) {
            touched.items.extend(self.groups.get(group).into_iter().flatten().cloned());
        }
        let stands = |entry: Option<&Entry>| entry.map(|entry| (entry.item_id.clone(), entry.acts, entry.rank));
        if stands(before.as_ref()) != stands(now.as_ref()) {
            let ids = entries.into_iter().flatten().filter_map(|entry| entry.item_id.as_ref());
            touched.items.extend(ids.filter_map(|id| self.by_item.get(id)).flatten().cloned());
        }
        touched.items.remove(key);
        touched
    }

    fn remove(&mut self, key: &ItemKey, entry: &Entry) {
        self.entries.remove(key);
        if let Some(id) = &entry.item_id
            && let Some(objects) = self.by_item.get_mut(id)
        {
            objects.remove(key);
            if objects.is_empty() {
                self.by_item.remove(id);
            }
        }
        if let Some(users) = entry.target_id.as_ref().and_then(|id| self.targets.get_mut(id)) {
            users.attached.remove(key);
            users.planned.remove(key);
        }
        if let Some(members) = entry.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            members.remove(key);
        }
    }

    fn insert(&mut self, key: &ItemKey, entry: Entry) {
        if let Some(id) = &entry.item_id {
            self.by_item.entry(id.clone()).or_default().insert(key.clone());
        }
        if let Some(id) = &entry.target_id {
            let users = self.targets.entry(id.clone()).or_default();
            match entry.share {
                Share::Attached => drop(users.attached.insert(key.clone(), entry.disks)),
                Share::Planned => drop(users.planned.insert(key.clone(), entry.disks)),
                Share::None => {}
            }
        }
        if let Some(group) = &entry.group {
            self.groups.entry(group.clone()).or_default().insert(key.clone());
        }
        self.entries.insert(key.clone(), entry);
    }

    /// What the object that describes this replicated item says.
    pub fn of_item(&self, item_id: &str) -> Option<&Entry> {
        self.entries.get(self.by_item.get(&item_id.to_ascii_lowercase())?.first()?)
    }

    /// The other object that describes it and goes before this one, so that of several only one ever calls. One that
    /// only observes stands in nobody's way.
    pub fn goes_before(&self, item_id: &str, key: &ItemKey) -> Option<&ItemKey> {
        let objects = self.by_item.get(&item_id.to_ascii_lowercase())?.iter();
        let acting = objects.filter_map(|key| Some((self.entries.get(key).filter(|entry| entry.acts)?, key)));
        let (_, first) = acting.min_by_key(|(entry, key)| (entry.rank, *key))?;
        Some(first).filter(|first| *first != key)
    }

    /// All that a target carries.
    pub fn load(&self, target_id: &str) -> Load {
        let Some(users) = self.targets.get(&target_id.to_ascii_lowercase()) else { return Load::default() };
        Load {
            attached: users.attached.values().sum(),
            planned: users.planned.values().sum(),
            machines: u32::try_from(users.attached.len()).unwrap_or(u32::MAX),
        }
    }

    /// Disks that leave this object less room: those attached, and those of machines that may start and come before it
    /// by namespace and name. Of two that may start each would otherwise wait for the other. A machine that exceeds the
    /// limit alone keeps nobody waiting. Counts no further than `limit` is exceeded.
    pub fn taken(&self, target_id: &str, key: &ItemKey, limit: u32) -> Taken {
        let Some(users) = self.targets.get(&target_id.to_ascii_lowercase()) else { return Taken::default() };
        let own = users.attached.get(key).copied().unwrap_or_default();
        let attached = users.attached.values().sum::<u32>().saturating_sub(own);
        let before = users.planned.range::<ItemKey, _>((Bound::Unbounded, Bound::Excluded(key)));
        let mut planned = 0;
        for disks in before.map(|(_, disks)| *disks).filter(|disks| *disks <= limit) {
            if attached + planned > limit {
                break;
            }
            planned += disks;
        }
        Taken { attached, planned, own }
    }
}
