//! The decisions. Each is a function of its input: what is declared, what was recorded, what was observed, and the
//! time. Nothing else goes in, so the same input gives the same decision.

pub mod connection;
pub mod events;
pub mod item;
mod item_action;
mod item_attempts;
mod item_conditions;
mod item_record;
mod item_step;
pub mod plan;
pub mod target;

use std::time::Duration;

use super::{guard::Guarded, waiting::WaitingOn};
use crate::api::OperationRecord;

/// What to do next about one machine: at most one effect per pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Write this intent, compare, call, and record the answer.
    Act(Box<Guarded>, Box<OperationRecord>),
    /// Write the status, then look again at once.
    Again,
    /// Wait. What is waited for may tell sooner; this is when to look in any case.
    Wait(WaitingOn, Duration),
    /// Nothing to do.
    Done,
}

/// How long to wait when only a change of the world matters, and the inventories tell of it.
pub const RESYNC: Duration = Duration::from_secs(300);
/// How long to wait when time itself may change the conclusion.
pub const SOON: Duration = Duration::from_secs(15);
