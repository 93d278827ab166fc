//! The jobs that machines wait for, read by themselves: a list shows neither the errors nor the tasks of any (recorded).
//!
//! One that runs is read once a minute, since its task is for people only; one that failed in the round whose list shows
//! that, so that nobody sees the failure without its cause. One that succeeded explains nothing.

use std::collections::HashSet;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    VaultInventory,
    reading::{READS, concerns_all},
};
use crate::{
    core::observed::{Details, Fact, Job},
    inventory::Key,
    ports::{Failure, FailureClass},
};

/// How often a job that runs is read by itself.
const WHILE_IT_RUNS: SignedDuration = SignedDuration::from_mins(1);

/// A job as it was read by itself.
#[derive(Debug)]
pub(super) struct Followed {
    /// When it was asked for last.
    at: Timestamp,
    /// As it was read last.
    job: Option<Job>,
    /// That it cannot be read now: since when, and why.
    refused: Option<(Timestamp, String)>,
    /// The vault does not know it by itself, whatever its list says.
    gone: bool,
}

impl Followed {
    fn is_due(&self, listed: &Job, now: Timestamp) -> bool {
        let ended = self.gone || self.job.as_ref().is_some_and(|job| !job.in_flight());
        let every = if listed.in_flight() { WHILE_IT_RUNS } else { SignedDuration::ZERO };
        !ended && self.at + every <= now
    }

    /// What the list shows, with what else is known.
    fn tell(&self, listed: &Job) -> Job {
        let job = match &self.job {
            Some(read) => listed.clone().with_details(read),
            None => listed.clone(),
        };
        let details = match (&job.details, &self.refused) {
            (Details::Read, _) => Details::Read,
            (Details::Listed | Details::Refused { .. }, _) if self.gone => Details::Read,
            (_, Some((since, why))) => Details::Refused { since: *since, why: why.clone() },
            (_, None) => Details::Listed,
        };
        Job { details, ..job }
    }
}

impl VaultInventory {
    /// Says which job an object's open call began. Its errors and tasks are read as long as that is so.
    pub fn follow(&self, key: &Key, job: Option<&str>) {
        let mut state = self.state();
        match job {
            Some(job) => drop(state.follows.insert(key.clone(), job.to_ascii_lowercase())),
            None => drop(state.follows.remove(key)),
        }
    }

    /// The list of jobs, and beside it what is due of those that are followed: both are shown at once.
    pub(super) async fn read_jobs(&self) -> Result<(), Failure> {
        // As old as its first page.
        let at = self.clock.now();
        // A job that is overlooked counts as none, so that no list is better than one with gaps.
        let jobs = match self.port.jobs().await {
            Ok(listing) => match listing.whole("Jobs of the vault") {
                Ok(jobs) => Fact::seen(self.with_followed(jobs, at).await, at),
                Err(why) => Fact::unknown(why),
            },
            Err(failure) if failure.class == FailureClass::Invalid => Fact::unknown(failure.message),
            Err(failure) => return Err(failure),
        };
        self.state().jobs = jobs;
        Ok(())
    }

    async fn with_followed(&self, mut jobs: Vec<Job>, now: Timestamp) -> Vec<Job> {
        let due = self.followed_due(&jobs, now);
        let mut reads =
            stream::iter(due).map(|id| async move { (self.port.job(&id).await, id) }).buffer_unordered(READS);
        let mut troubles = 0;
        while let Some((read, id)) = reads.next().await {
            match &read {
                // The others would say the same; what the list shows is shown in any case.
                Err(failure) if concerns_all(failure.class) => break,
                Err(failure) if failure.class == FailureClass::Transient => troubles += 1,
                Ok(_) | Err(_) => troubles = 0,
            }
            self.note_job(id, read, now);
            // A vault in trouble must not spend the calls that its subscription's other vaults need.
            if troubles >= READS {
                break;
            }
        }
        let state = self.state();
        for job in &mut jobs {
            if let Some(followed) = state.followed.get(&job.id.to_ascii_lowercase()) {
                *job = followed.tell(job);
            }
        }
        jobs
    }

    /// The ids of the followed jobs that are to be read now. What nobody follows any more is forgotten.
    fn followed_due(&self, jobs: &[Job], now: Timestamp) -> Vec<String> {
        let mut state = self.state();
        let wanted: HashSet<String> = state.follows.values().cloned().collect();
        state.followed.retain(|id, _| wanted.contains(id));
        let due = |job: &&Job| {
            let id = job.id.to_ascii_lowercase();
            let known = state.followed.get(&id);
            let tells = job.in_flight() || job.is_to_be_explained();
            tells && wanted.contains(&id) && known.is_none_or(|followed| followed.is_due(job, now))
        };
        jobs.iter().filter(due).map(|job| job.id.clone()).collect()
    }

    fn note_job(&self, id: String, read: Result<Job, Failure>, now: Timestamp) {
        let mut state = self.state();
        let before = state.followed.remove(&id.to_ascii_lowercase());
        let (job, refused) = before.map_or((None, None), |before| (before.job, before.refused));
        let followed = match read {
            Ok(job) => Followed { at: now, job: Some(job), refused: None, gone: false },
            Err(failure) if failure.class == FailureClass::NotFound => {
                Followed { at: now, job, refused: None, gone: true }
            }
            Err(failure) => {
                let since = refused.map_or(now, |(since, _)| since);
                Followed { at: now, job, refused: Some((since, failure.message)), gone: false }
            }
        };
        state.followed.insert(id.to_ascii_lowercase(), followed);
    }
}
