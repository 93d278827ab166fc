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
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Was cancelled.
    Cancelled,
    /// Waits for a person (`Resume`).
    Suspended,
    /// Any other word (`Cancelling`, `Other`): not an end.
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
    /// `IrCompletion`: initial replication, which goes on after the reprotect job ended.
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
            "IrCompletion" => Self::InitialReplication,
            other => Self::Other(other.to_owned()),
        }
    }
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
    /// The task at hand, for people.
    pub current_task: Option<String>,
    /// What went wrong.
    pub errors: Vec<HealthError>,
}

impl Job {
    /// Whether it may still change something.
    pub const fn in_flight(&self) -> bool {
        match self.state {
            JobState::NotStarted | JobState::InProgress | JobState::Suspended | JobState::Other(_) => true,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => false,
        }
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
