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

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{conditions, guard::Guarded, waiting::WaitingOn};
use crate::api::{CheckResult, CheckStatus, OperationRecord};

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

/// Conditions and checks of a status.
pub type Known<'a> = (&'a [Condition], &'a [CheckStatus]);

/// Whether a status would no longer know something that the recorded one knows.
pub fn forgets((conditions, checks): Known<'_>, (conditions_after, checks_after): Known<'_>) -> bool {
    let condition = |known: &Condition| {
        let after = conditions::find(conditions_after, &known.type_);
        known.status != "Unknown" && after.is_some_and(|after| after.status == "Unknown")
    };
    let check = |known: &CheckStatus| {
        let after = checks_after.iter().find(|after| after.name == known.name);
        known.result != CheckResult::Unknown && after.is_none_or(|after| after.result == CheckResult::Unknown)
    };
    conditions.iter().any(condition) || checks.iter().any(check)
}

/// How long to wait when only a change of the world matters, and the inventories tell of it.
pub const RESYNC: Duration = Duration::from_secs(300);
/// How long to wait when time itself may change the conclusion.
pub const SOON: Duration = Duration::from_secs(15);
