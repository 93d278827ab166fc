//! The mutating calls that exist, each with the precondition under which it may be made.
//!
//! There is no completeMigration, no disable, no job cancel here, and there never will be: what is not in this
//! enum cannot be called (domain rule: "Never").

use super::observed::{Generation, Operation, Scenario};
use crate::api::{ApprovalStep, Claim};

/// The verbs, as recorded in an item's operation journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Reprotect Azure → VMware.
    Reprotect,
    /// Fail over Azure → VMware.
    FailBack,
    /// Commit the failback: deletes the Azure VM.
    Commit,
    /// Undo an uncommitted failback (modernized only).
    Cancel,
    /// Reprotect VMware → Azure.
    Protect,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 5] = [Self::Reprotect, Self::FailBack, Self::Commit, Self::Cancel, Self::Protect];

    /// The name written to the journal, events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reprotect => "Reprotect",
            Self::FailBack => "FailBack",
            Self::Commit => "Commit",
            Self::Cancel => "Cancel",
            Self::Protect => "Protect",
        }
    }

    /// Reads a journal's verb.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }

    /// The step of a plan that it takes; undoing a failback is none.
    pub fn step(self) -> Option<ApprovalStep> {
        ApprovalStep::ALL.into_iter().find(|step| step.as_str() == self.as_str())
    }

    /// Whether a claim leads to it.
    pub fn is_wanted_by(self, claim: &Claim) -> bool {
        match self {
            Self::Cancel => claim.cancel.is_some(),
            Self::FailBack | Self::Commit if claim.cancel.is_some() => false,
            Self::Reprotect | Self::FailBack | Self::Commit | Self::Protect => claim.up_to >= self.leads_to(),
        }
    }

    /// The scenario of the job that this verb starts.
    pub const fn scenario(self, generation: Generation) -> Scenario {
        match (self, generation) {
            (Self::Reprotect | Self::Protect, _) => Scenario::Reprotect,
            (Self::FailBack, Generation::Modernized) => Scenario::PlannedFailover,
            (Self::FailBack, Generation::Classic) => Scenario::UnplannedFailover,
            (Self::Commit, _) => Scenario::Commit,
            (Self::Cancel, _) => Scenario::Cancel,
        }
    }

    /// The word that the item's `allowedOperations` must contain.
    pub const fn operation(self, generation: Generation) -> Operation {
        match (self, generation) {
            (Self::Reprotect | Self::Protect, _) => Operation::SwitchProtection,
            (Self::FailBack, Generation::Modernized) => Operation::PlannedFailover,
            (Self::FailBack, Generation::Classic) => Operation::UnplannedFailover,
            (Self::Commit, _) => Operation::Commit,
            (Self::Cancel, _) => Operation::CancelFailover,
        }
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which recovery point a failback uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecoveryPoint {
    /// The newest state; crash-consistent, nothing replicated is lost.
    Latest,
    /// The newest application-consistent point; what came after it is lost.
    LatestAppConsistent,
    /// This one, by ARM id (classic only).
    Custom(String),
}

/// What a reprotect towards VMware needs beside target and datastore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReprotectWith {
    /// Modernized.
    Appliance {
        /// Cache storage account in the Azure VM's region.
        log_storage_account_id: String,
    },
    /// Classic.
    MasterTarget {
        /// Process server that receives the data from Azure.
        process_server_id: String,
        /// Retention volume of the master target.
        retention_drive: String,
        /// ARM id of the failback policy (`profileId`).
        failback_policy_id: String,
        /// Number of the configuration server's account.
        run_as_account_id: Option<String>,
        /// Ids of the disks to replicate; `None` for all.
        disks: Option<Vec<String>>,
    },
}

/// A mutating call with everything that its body needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reprotect Azure → VMware.
    Reprotect {
        /// Reprotect agent (modernized) or master target (classic).
        target_id: String,
        /// Display name of the datastore.
        datastore: String,
        /// What the generation's body needs beside them.
        with: ReprotectWith,
    },
    /// Fail over Azure → VMware.
    FailBack {
        /// Which generation's body.
        generation: Generation,
        /// Which point.
        point: RecoveryPoint,
    },
    /// Commit.
    Commit,
    /// Cancel.
    Cancel,
    /// Reprotect VMware → Azure.
    Protect {
        /// Which generation's body.
        generation: Generation,
        /// Process server that receives the data.
        process_server_id: String,
        /// The forward policy's ARM id.
        policy_id: String,
        /// Account for pushing the agent, where one is needed.
        run_as_account_id: Option<String>,
    },
}

impl Action {
    /// Its verb.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Reprotect { .. } => Verb::Reprotect,
            Self::FailBack { .. } => Verb::FailBack,
            Self::Commit => Verb::Commit,
            Self::Cancel => Verb::Cancel,
            Self::Protect { .. } => Verb::Protect,
        }
    }
}
