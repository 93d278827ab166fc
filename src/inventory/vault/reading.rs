//! What is read when: lists at an interval, what is watched in full, what moves every time.

use std::{collections::HashMap, time::Instant};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    VaultInventory,
    due::{Due, What},
    state::Entry,
};
use crate::{
    core::observed::{AzureVm, Fabric, Fact, RecoveryPointSeen},
    inventory::Link,
    ports::{Failure, FailureClass, Listing},
};

/// How often fabrics are read.
const FABRICS: SignedDuration = SignedDuration::from_mins(5);
/// How many reads run side by side.
pub(super) const READS: usize = 4;
/// After so many it is looked whether something else is due.
const AT_A_TIME: usize = 100;

impl VaultInventory {
    /// One round: whatever is due.
    pub(super) async fn read(&self) -> Result<(), Failure> {
        if self.state().vault.is_none() {
            let vault = self.port.vault().await?;
            self.state().vault = Some(vault);
        }
        let now = self.clock.now();
        let due = |last: Option<Timestamp>, every: SignedDuration| last.is_none_or(|last| last + every <= now);
        let interval = SignedDuration::try_from(self.interval()).unwrap_or(SignedDuration::from_mins(1));
        let list_due = due(self.state().listed_at, interval);
        let before = self.snapshot();
        if list_due {
            self.read_list(now).await?;
        }
        self.read_fabrics_if_due().await;
        let unread = self.state().unread();
        self.read_watched().await?;
        let (came_up, first) = {
            let mut state = self.state();
            let first = state.were_read(unread);
            let was_up = matches!(state.link, Link::Up { .. });
            state.fresh_at = self.clock.now();
            state.link = Link::Up { at: state.fresh_at };
            (!was_up, first)
        };
        self.tell(&before, &first, came_up);
        Ok(())
    }

    /// Fabrics and policies, which change seldom.
    async fn read_fabrics_if_due(&self) {
        let now = self.clock.now();
        let last = self.state().fabrics_at;
        if last.is_none_or(|last| last + FABRICS <= now) {
            self.read_fabrics(now).await;
        }
    }

    async fn read_fabrics(&self, now: Timestamp) {
        let mut odd = Vec::new();
        let fabrics = told(self.port.fabrics().await, &mut odd, now);
        let policies = told(self.port.policies().await, &mut odd, now);
        let mut state = self.state();
        let news = timeless(&fabrics) != timeless(&state.fabrics) || policies.known() != state.policies.known();
        state.fabrics_at = Some(now);
        state.fabrics_version += u64::from(news);
        state.fabrics = fabrics;
        state.policies = policies;
        state.unreadable_around = odd.into_iter().take(10).collect();
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
                None => Entry::new(summary),
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
        state.heard = Instant::now();
        Ok(())
    }

    /// Full readings of what is watched: never read, changed, or in motion.
    async fn read_watched(&self) -> Result<(), Failure> {
        let (full, jobs_wanted) = self.full_due();
        if jobs_wanted {
            self.read_jobs().await?;
        }
        for some in full.chunks(AT_A_TIME) {
            // The first reading of a large vault takes long, and heartbeats must not look old by then.
            self.read_fabrics_if_due().await;
            self.read_full(some).await?;
        }
        self.read_around().await;
        Ok(())
    }

    async fn read_full(&self, ids: &[String]) -> Result<(), Failure> {
        let mut reads = stream::iter(ids.to_vec())
            .map(|id| async move {
                let at = self.clock.now();
                (id.clone(), self.port.item(&id).await, at)
            })
            .buffer_unordered(READS);
        let mut troubles = 0;
        while let Some((id, read, at)) = reads.next().await {
            match read {
                Ok(item) => {
                    troubles = 0;
                    let mut state = self.state();
                    state.heard = Instant::now();
                    if let Some(entry) = state.entries.get_mut(&id) {
                        entry.full = Some((item, at));
                        entry.stale = false;
                        entry.trouble = None;
                    }
                }
                Err(failure) if failure.class == FailureClass::NotFound => {
                    self.state().entries.remove(&id);
                }
                Err(failure) if concerns_all(failure.class) => return Err(failure),
                // A vault in trouble must not spend the calls that its subscription's other vaults need.
                Err(failure) if failure.class == FailureClass::Transient && troubles + 1 >= READS => {
                    return Err(failure);
                }
                // One item's trouble is one item's.
                Err(failure) => {
                    troubles += 1;
                    if let Some(entry) = self.state().entries.get_mut(&id) {
                        entry.trouble = Some(failure.message);
                    }
                }
            }
        }
        Ok(())
    }

    /// What lies around the watched items. Whatever fails here harms only the fact that it is about.
    async fn read_around(&self) {
        let mut due = self.around_due(self.clock.now());
        while !due.is_empty() {
            let later = due.split_off(due.len().min(AT_A_TIME));
            self.read_fabrics_if_due().await;
            self.look_around(due).await;
            due = later;
        }
    }

    async fn look_around(&self, due: Vec<Due>) {
        let mut reads = stream::iter(due)
            .map(|Due { item, what }| async move {
                let at = self.clock.now();
                (item, at, self.look(what, at).await)
            })
            .buffer_unordered(READS);
        while let Some((item, at, seen)) = reads.next().await {
            let mut state = self.state();
            state.heard = Instant::now();
            let Some(entry) = state.entries.get_mut(&item) else { continue };
            match seen {
                Around::AzureVm(id, fact) => {
                    entry.azure_vm = Some((fact, at));
                    entry.azure_vm_id = id;
                }
                Around::Locks(fact) => entry.locks = Some((fact, at)),
                Around::Points(fact) => entry.points = Some((fact, at)),
            }
        }
    }

    async fn look(&self, what: What, at: Timestamp) -> Around {
        const UNNAMED: &str = "The vault does not name the machine's VM in Azure.";
        match what {
            What::AzureVm(None) => Around::AzureVm(None, Fact::unknown(UNNAMED)),
            What::Locks(None) => Around::Locks(Fact::unknown(UNNAMED)),
            What::AzureVm(Some(id)) => {
                let fact = match self.port.azure_vm(&id).await {
                    Ok(vm) => Fact::seen(vm, at),
                    Err(failure) => Fact::unknown(failure.message),
                };
                Around::AzureVm(Some(id), fact)
            }
            // What cannot be understood may be a lock.
            What::Locks(Some(id)) => Around::Locks(match self.port.locks(&id).await {
                Ok(listing) if !listing.odd.is_empty() => Fact::unknown(listing.odd.join("; ")),
                Ok(listing) => Fact::seen(listing.entries, at),
                Err(failure) => Fact::unknown(failure.message),
            }),
            What::Points(id) => Around::Points(match self.port.recovery_points(&id).await {
                Ok(listing) => {
                    if !listing.odd.is_empty() {
                        tracing::warn!(item = %id, odd = ?listing.odd, "recovery points that cannot be understood");
                    }
                    Fact::seen(listing.entries, at)
                }
                Err(failure) => Fact::unknown(failure.message),
            }),
        }
    }
}

/// What was seen around an item.
enum Around {
    /// The machine in Azure, and the id under which it was looked for.
    AzureVm(Option<String>, Fact<AzureVm>),
    Locks(Fact<Vec<String>>),
    Points(Fact<Vec<RecoveryPointSeen>>),
}

/// A list as a fact; what is odd in it is told beside it.
fn told<T>(read: Result<Listing<T>, Failure>, odd: &mut Vec<String>, at: Timestamp) -> Fact<Vec<T>> {
    match read {
        Ok(listing) => {
            odd.extend(listing.odd);
            Fact::seen(listing.entries, at)
        }
        Err(failure) => Fact::unknown(failure.message),
    }
}

/// Fabrics without the times at which their vCenters were read.
fn timeless(fabrics: &Fact<Vec<Fabric>>) -> Result<Vec<Fabric>, &str> {
    let without = |fabric: &Fabric| {
        let vcenters = match &fabric.vcenters {
            Fact::Seen { value, .. } => Fact::seen(value.clone(), Timestamp::UNIX_EPOCH),
            Fact::Unknown(why) => Fact::unknown(why.clone()),
        };
        Fabric { vcenters, ..fabric.clone() }
    };
    fabrics.known().map(|fabrics| fabrics.iter().map(without).collect())
}

/// Failures that every other read of the vault would meet too.
pub(super) const fn concerns_all(class: FailureClass) -> bool {
    matches!(class, FailureClass::Unauthenticated | FailureClass::Throttled { .. })
}
