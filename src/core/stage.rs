//! Where site recovery itself shows a machine, and the phases that we name after it.
//!
//! A stage is read from Azure alone (protocol reference §3), so it survives the loss of all of the cluster's state.

use super::{
    action::Verb,
    observed::{ActiveLocation, Direction, Operation, Replication, Scenario},
};
use crate::api::{DesiredPhase, ItemPhase};

/// A resting point, or the way between two, as the replicated item shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Runs in Azure, replication is off.
    FailedOver,
    /// Runs in Azure, synchronising to VMware.
    SyncingToVMware,
    /// Runs in Azure, replicates to VMware, can be failed back.
    ReadyToFailBack,
    /// Runs at home, not committed; or its failback did not complete and can only be undone
    /// ([`Replication::failback_incomplete`]).
    FailedBack,
    /// Runs at home, committed, not protected.
    HomeCommitted,
    /// Runs at home, synchronising to Azure.
    SyncingToAzure,
    /// Runs at home, replicates to Azure.
    ProtectedToAzure,
    /// Between two of these: neither the one's nor the other's operations are allowed.
    InTransition,
    /// The provider, or its combination with the active location, is unknown: nothing may be done.
    Unknown,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 9] = [
        Self::FailedOver,
        Self::SyncingToVMware,
        Self::ReadyToFailBack,
        Self::FailedBack,
        Self::HomeCommitted,
        Self::SyncingToAzure,
        Self::ProtectedToAzure,
        Self::InTransition,
        Self::Unknown,
    ];

    /// Reads the stage from an item. Neither `protectionState` nor `activeLocation` after a planned failover was ever
    /// recorded, so what is allowed decides there, whatever these say (protocol reference §2, §13.1). No recording of
    /// the time before a failback allows any of these words towards VMware.
    pub fn of(item: &Replication) -> Self {
        let (Some(generation), Some(direction), Some(active)) = (item.generation, item.direction, item.active_location)
        else {
            return Self::Unknown;
        };
        let protected = item.protection_state == "Protected";
        match (direction, active) {
            (Direction::ToAzure, ActiveLocation::Primary) if protected => Self::ProtectedToAzure,
            (Direction::ToAzure, ActiveLocation::Primary) => Self::SyncingToAzure,
            (Direction::ToAzure, ActiveLocation::Recovery) if item.allows(&Operation::SwitchProtection) => {
                Self::FailedOver
            }
            (Direction::ToAzure, ActiveLocation::Recovery) => Self::InTransition,
            (Direction::ToVMware, _) if item.allows(&Operation::Commit) || item.allows(&Operation::CancelFailover) => {
                Self::FailedBack
            }
            (Direction::ToVMware, _) if item.allows(&Operation::SwitchProtection) => Self::HomeCommitted,
            (Direction::ToVMware, ActiveLocation::Primary)
                if protected && item.allows(&Verb::FailBack.operation(generation)) =>
            {
                Self::ReadyToFailBack
            }
            // Busy, and not with synchronising: it may be failing over, or on the way from there.
            (Direction::ToVMware, ActiveLocation::Primary)
                if protected && item.scenario.is_some() || item.is_failing_over() =>
            {
                Self::InTransition
            }
            (Direction::ToVMware, ActiveLocation::Primary) => Self::SyncingToVMware,
            (Direction::ToVMware, ActiveLocation::Recovery) => Self::InTransition,
        }
    }

    /// The phase of a plan that a machine at this stage has reached. `None` where that cannot be told.
    pub const fn reached(self) -> Option<DesiredPhase> {
        match self {
            Self::FailedOver | Self::SyncingToVMware => Some(DesiredPhase::Assessed),
            Self::ReadyToFailBack => Some(DesiredPhase::Reprotected),
            Self::FailedBack => Some(DesiredPhase::FailedBack),
            Self::HomeCommitted | Self::SyncingToAzure => Some(DesiredPhase::Committed),
            Self::ProtectedToAzure => Some(DesiredPhase::Protected),
            Self::InTransition | Self::Unknown => None,
        }
    }

    /// The step that leads on from here, if a call is needed for it.
    pub const fn next_verb(self) -> Option<Verb> {
        match self {
            Self::FailedOver => Some(Verb::Reprotect),
            Self::ReadyToFailBack => Some(Verb::FailBack),
            Self::FailedBack => Some(Verb::Commit),
            Self::HomeCommitted => Some(Verb::Protect),
            Self::SyncingToVMware
            | Self::SyncingToAzure
            | Self::ProtectedToAzure
            | Self::InTransition
            | Self::Unknown => None,
        }
    }

    /// The phase to show, while no operation runs.
    pub const fn phase(self) -> ItemPhase {
        match self {
            Self::FailedOver => ItemPhase::FailedOver,
            Self::SyncingToVMware => ItemPhase::Reprotecting,
            Self::ReadyToFailBack => ItemPhase::Reprotected,
            Self::FailedBack => ItemPhase::FailedBack,
            Self::HomeCommitted => ItemPhase::Committed,
            Self::SyncingToAzure => ItemPhase::Protecting,
            Self::ProtectedToAzure => ItemPhase::Protected,
            Self::InTransition | Self::Unknown => ItemPhase::Unknown,
        }
    }
}

impl Verb {
    /// The stage from which this verb is called.
    pub const fn starts_from(self) -> Stage {
        match self {
            Self::Reprotect => Stage::FailedOver,
            Self::FailBack => Stage::ReadyToFailBack,
            Self::Commit | Self::Cancel => Stage::FailedBack,
            Self::Protect => Stage::HomeCommitted,
        }
    }

    /// Whether an item at this stage shows that the verb took effect.
    pub const fn took_effect(self, stage: Stage) -> bool {
        match self {
            Self::Reprotect => matches!(
                stage,
                Stage::SyncingToVMware | Stage::ReadyToFailBack | Stage::FailedBack | Stage::HomeCommitted
            ),
            Self::FailBack => matches!(
                stage,
                Stage::FailedBack | Stage::HomeCommitted | Stage::SyncingToAzure | Stage::ProtectedToAzure
            ),
            Self::Commit => {
                matches!(stage, Stage::HomeCommitted | Stage::SyncingToAzure | Stage::ProtectedToAzure)
            }
            Self::Cancel => matches!(stage, Stage::ReadyToFailBack | Stage::SyncingToVMware),
            Self::Protect => matches!(stage, Stage::SyncingToAzure | Stage::ProtectedToAzure),
        }
    }

    /// The phase to show while it runs.
    pub const fn running_phase(self) -> ItemPhase {
        match self {
            Self::Reprotect => ItemPhase::Reprotecting,
            Self::FailBack => ItemPhase::FailingBack,
            Self::Commit => ItemPhase::Committing,
            Self::Cancel => ItemPhase::Cancelling,
            Self::Protect => ItemPhase::Protecting,
        }
    }

    /// How far a plan must want to go for this step.
    pub const fn leads_to(self) -> DesiredPhase {
        match self {
            Self::Reprotect => DesiredPhase::Reprotected,
            Self::FailBack => DesiredPhase::FailedBack,
            Self::Commit => DesiredPhase::Committed,
            Self::Protect => DesiredPhase::Protected,
            // A cancel leads nowhere further: it is asked for by name, never by a desired phase.
            Self::Cancel => DesiredPhase::Protected,
        }
    }
}

/// The verb that starts such a job on this item, for adoption. A running job leaves nothing permitted, so that the
/// item has left the stage that the verb starts from; then the direction of its data tells.
pub fn verb_of_job(scenario: &Scenario, item: &Replication, stage: Stage) -> Option<Verb> {
    let generation = item.generation?;
    Verb::ALL.into_iter().filter(|verb| verb.scenario(generation) == *scenario).find(|verb| {
        let between = match verb {
            Verb::Reprotect => Direction::ToAzure,
            Verb::FailBack | Verb::Commit | Verb::Cancel | Verb::Protect => Direction::ToVMware,
        };
        verb.starts_from() == stage || stage == Stage::InTransition && item.direction == Some(between)
    })
}

/// The legal changes of [`ItemPhase`]; the diagram in the docs is generated from this table.
///
/// The second group is what other people do in the portal, or what site recovery does by itself.
pub const TRANSITIONS: &[(ItemPhase, ItemPhase, &str)] = {
    use ItemPhase::{
        Cancelling, Committed, Committing, FailedBack, FailedOver, FailingBack, Protected, Protecting, Reprotected,
        Reprotecting,
    };
    &[
        (FailedOver, Reprotecting, "reprotect"),
        (Reprotecting, Reprotected, "synchronised"),
        (Reprotected, FailingBack, "fail back"),
        (FailingBack, FailedBack, "job ended"),
        (FailedBack, Committing, "commit"),
        (Committing, Committed, "job ended"),
        (Committed, Protecting, "protect"),
        (Protecting, Protected, "synchronised"),
        (FailedBack, Cancelling, "cancel"),
        (Cancelling, Reprotected, "job ended"),
        (Reprotecting, FailedOver, "job failed"),
        (FailingBack, Reprotected, "job failed, reverted"),
        (FailingBack, Reprotecting, "job failed, resynchronisation"),
        (Committing, FailedBack, "job failed"),
        (Cancelling, FailedBack, "job failed"),
        (Protecting, Committed, "job failed"),
        (Reprotected, Reprotecting, "resynchronisation"),
        (Protected, Protecting, "resynchronisation"),
        (Cancelling, Reprotecting, "resynchronisation"),
        (Protected, FailedOver, "failed over to Azure"),
    ]
};

/// Whether a change of phase is a step of [`TRANSITIONS`], or no change, or from or to `Unknown`. Any other change was
/// made by somebody else while nobody looked: it is taken as it is, and told as `ExternalChangeDetected`.
pub fn is_legal(from: ItemPhase, to: ItemPhase) -> bool {
    from == to
        || from == ItemPhase::Unknown
        || to == ItemPhase::Unknown
        || TRANSITIONS.iter().any(|(start, end, _)| (*start, *end) == (from, to))
}
