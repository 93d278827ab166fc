//! Checks on the replication toward VMware.

use super::{Check, Verdict};
use crate::core::{
    action::Verb,
    observed::{Health, Replication},
    stage::Stage,
};

pub(super) const REPROTECT_COMPLETE: Check = Check {
    name: "ReprotectComplete",
    gates: &[Verb::FailBack],
    holds_when: "The item is in a protected state and its health is OK. That the reprotect job ended is not enough: the first synchronisation goes on after it.",
    rule: |view| match view.facts.replication.known() {
        Ok(item) if view.stage == Stage::SyncingToVMware => Verdict::failed(
            format!("The item is in the state {}.", state(item)),
            "Wait for the synchronisation to end.",
        ),
        Ok(item) if item.health == Health::Normal => Verdict::passed("Protected, and its health is Normal."),
        Ok(item) => {
            let first = item.health_errors.first();
            Verdict::failed(
                format!(
                    "The health of the replication is {}{}.",
                    item.health,
                    first.map(|error| format!(": {} ({})", error.message, error.code)).unwrap_or_default()
                ),
                first
                    .map(|error| error.action.clone())
                    .filter(|action| !action.is_empty())
                    .unwrap_or_else(|| "Look at the item's health errors in the portal.".to_owned()),
            )
        }
        Err(why) => Verdict::unknown(why, "See the RecoveryVault's conditions."),
    },
};

pub(super) const RECOVERY_POINT_AVAILABLE: Check = Check {
    name: "RecoveryPointAvailable",
    gates: &[Verb::FailBack],
    holds_when: "A recovery point exists. In the modernized generation site recovery makes one during the planned failover, and offers that operation as soon as it can.",
    rule: |view| match view.facts.replication.known() {
        Ok(_) if view.stage == Stage::ReadyToFailBack => Verdict::passed("Site recovery offers the failover."),
        Ok(item) => Verdict::failed(
            format!("Site recovery does not offer a failover yet: it allows {}.", allowed(item)),
            "Wait for the first recovery point.",
        ),
        Err(why) => Verdict::unknown(why, "See the RecoveryVault's conditions."),
    },
};

pub(super) const FAILBACK_SUCCEEDED: Check = Check {
    name: "FailbackSucceeded",
    gates: &[Verb::Commit],
    holds_when: "Site recovery offers the commit, and does not report the last planned failover as failed or cancelled.",
    rule: |view| match view.facts.replication.known() {
        Ok(item) if item.failover_undone() => Verdict::failed(
            "Site recovery reports the last planned failover as failed or cancelled.",
            "Look at the failed job; cancel the failover in the portal, so that the machine runs in Azure again.",
        ),
        Ok(_) => Verdict::passed("Site recovery offers the commit, and reports no failure."),
        Err(why) => Verdict::unknown(why, "See the RecoveryVault's conditions."),
    },
};

fn state(item: &Replication) -> &str {
    if item.protection_state_description.is_empty() {
        &item.protection_state
    } else {
        &item.protection_state_description
    }
}

fn allowed(item: &Replication) -> String {
    if item.allowed.is_empty() {
        return "nothing".to_owned();
    }
    item.allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
