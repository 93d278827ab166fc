//! What was seen of Azure and vCenter: values with the time they were seen, where "not known" is a value too.
//!
//! A missing field, a 403 or a timeout never reads as "absent": it is [`Fact::Unknown`] with its reason.

mod fabric;
mod job;
mod machines;
mod replication;

use jiff::Timestamp;

pub use self::{
    fabric::{
        Component, ConfigurationServer, Fabric, KnownVCenter, Policy, ProcessServer, ReprotectTarget, RetentionVolume,
        RunAsAccount, Vault,
    },
    job::{Details, Job, JobState, Scenario},
    machines::{
        AzureDisk, AzurePower, AzureVm, Datastore, Host, Mount, OnPremisesVm, Power, Tools, VCenterAbout, VirtualDisk,
        VirtualMachine,
    },
    replication::{
        ActiveLocation, CurrentScenario, Direction, Generation, Health, HealthError, Operation, OsFamily,
        PlannedFailoverStatus, RecoveryPointSeen, ReplicatedDisk, Replication, ReplicationProgress, RunsIn,
    },
};

/// One observation, or the reason why there is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<T> {
    /// Nothing is known, because of this.
    Unknown(String),
    /// This was seen at that time.
    Seen {
        /// What was seen.
        value: T,
        /// When it was read from the system that owns it.
        at: Timestamp,
    },
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self::unknown("Not observed.")
    }
}

impl<T> Fact<T> {
    /// A fact seen at `at`.
    pub const fn seen(value: T, at: Timestamp) -> Self {
        Self::Seen { value, at }
    }

    /// An absent observation with its reason.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }

    /// The value, if one was seen.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// When it was seen.
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Seen { at, .. } => Some(*at),
            Self::Unknown(_) => None,
        }
    }

    /// The value, or why there is none.
    pub fn known(&self) -> Result<&T, &str> {
        match self {
            Self::Seen { value, .. } => Ok(value),
            Self::Unknown(why) => Err(why),
        }
    }

    /// The same observation of a part of the value.
    pub fn map<U>(&self, part: impl FnOnce(&T) -> U) -> Fact<U> {
        match self {
            Self::Seen { value, at } => Fact::Seen { value: part(value), at: *at },
            Self::Unknown(why) => Fact::Unknown(why.clone()),
        }
    }
}
