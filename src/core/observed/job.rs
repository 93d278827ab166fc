//! The jobs of a vault.

use jiff::Timestamp;

use super::{HealthError, Replication};

/// State of a site recovery job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not begun.
    NotStarted,
    /// Runs.
    InProgress,
    /// Ended well, with remarks or without; or there was nothing to do.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Was cancelled.
    Cancelled,
    /// Waits for a person (`Resume`).
    Suspended,
    /// Any other word (`Cancelling`, `Other`): an end only where the job has an end time.
    Other(String),
}

/// What a job does, from `scenarioName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Reprotect in either direction (`SwitchReplicationGroupProtection`).
    Reprotect,
    /// `PlannedFailover`.
    PlannedFailover,
    /// `UnplannedFailover`.
    UnplannedFailover,
    /// `CommitFailover`.
    Commit,
    /// `CancelFailover`.
    Cancel,
    /// `IrCompletion`: initial replication, which goes on after the reprotect job ended; and what site recovery begins
    /// beside it, `PrimaryIrCompletion` and `SecondaryIrCompletion` (recorded).
    InitialReplication,
    /// Any other scenario.
    Other(String),
}

impl From<&str> for Scenario {
    fn from(word: &str) -> Self {
        match word {
            "SwitchReplicationGroupProtection" | "ReverseReplication" | "Reprotect" => Self::Reprotect,
            "PlannedFailover" => Self::PlannedFailover,
            "UnplannedFailover" | "Failover" => Self::UnplannedFailover,
            "CommitFailover" | "Commit" => Self::Commit,
            "CancelFailover" => Self::Cancel,
            word if word.ends_with("IrCompletion") => Self::InitialReplication,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// How much of a job was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Details {
    /// What a list shows, which leaves out errors and tasks even of jobs that failed (recorded).
    Listed,
    /// All of it; or there is no more to be read.
    Read,
    /// It was to be read by itself, and cannot be.
    Refused {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: String,
    },
}

/// A site recovery job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Last segment of the ARM id.
    pub id: String,
    /// What it does.
    pub scenario: Scenario,
    /// How it stands.
    pub state: JobState,
    /// The vendor's own words on that.
    pub state_description: String,
    /// Id of the object it works on: an item's name or internal identifier.
    pub target_id: String,
    /// Friendly name of that object.
    pub target_name: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The task at hand, for people. A list has none.
    pub current_task: Option<String>,
    /// What went wrong. A list has none.
    pub errors: Vec<HealthError>,
    /// How much of it was read.
    pub details: Details,
}

impl Job {
    /// Whether it may still change something.
    pub const fn in_flight(&self) -> bool {
        match self.state {
            JobState::NotStarted | JobState::InProgress | JobState::Suspended => true,
            JobState::Other(_) => self.ended.is_none(),
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => false,
        }
    }

    /// Whether it ended in a way that only its errors explain.
    pub const fn is_to_be_explained(&self) -> bool {
        matches!(self.state, JobState::Failed | JobState::Cancelled | JobState::Other(_)) && !self.in_flight()
    }

    /// As the list shows it, with what was read of it by itself. An end is final, and what shows it is the later of
    /// both; the errors of a job that ran say nothing of why it failed.
    #[must_use]
    pub fn with_details(self, read: &Self) -> Self {
        let (current_task, errors, details) = (read.current_task.clone(), read.errors.clone(), Details::Read);
        if !read.in_flight() {
            let (state, ended) = (read.state.clone(), read.ended);
            let state_description = read.state_description.clone();
            return Self { state, state_description, ended, current_task, errors, details, ..self };
        }
        if self.in_flight() { Self { current_task, errors, details, ..self } } else { self }
    }

    /// Whether it keeps the item busy. Site recovery itself begins the end of an initial replication, beside which its
    /// verbs are taken.
    pub fn occupies(&self) -> bool {
        self.in_flight() && self.scenario != Scenario::InitialReplication
    }

    /// Whether it may work on this item: by the item's own pointer, by id, or by the machine's name. In recordings the
    /// id is one of the service's own, which no item shows, so that the name must do. Where two items of a vault share
    /// it, each other's jobs are waited for, and one that was adopted wrongly ends as an unknown outcome: never as a
    /// second call.
    pub fn concerns(&self, item: &Replication) -> bool {
        item.scenario.as_ref().and_then(|s| s.job_id.as_deref()) == Some(self.id.as_str())
            || self.target_id.eq_ignore_ascii_case(&item.name)
            || self.target_id.eq_ignore_ascii_case(&item.id)
            || (!self.target_name.is_empty() && self.target_name.eq_ignore_ascii_case(&item.friendly_name))
    }
}
