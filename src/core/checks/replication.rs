//! Checks on the replicated item.

use super::{Check, FAILBACK, OVERVIEW, PRACTICE, Verdict, View, judged};
use crate::core::{
    action::Verb,
    observed::{Health, HealthError, Replication},
    points,
    stage::Stage,
    waiting::by_waiver,
};

pub(super) const DESCRIBED_ONCE: Check = Check {
    name: "DescribedOnce",
    source: PRACTICE,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack, Verb::Commit, Verb::Cancel, Verb::Protect],
    // Each object has a journal and a plan of its own: two of them could make the same call.
    waivable: false,
    early: false,
    holds_when: "No other ReplicatedItem, of any namespace, that a plan has claimed before, describes the same replicated item.",
    rule: |view| judged(described_once(view)),
};

fn described_once(view: &View<'_>) -> Result<Verdict, Verdict> {
    view.item()?;
    Ok(match &view.facts.described_by {
        None => Verdict::passed("No other ReplicatedItem acts for it."),
        Some(other) => Verdict::failed(
            format!("ReplicatedItem {other} describes the same replicated item, and goes before."),
            "Delete one of the two objects, or take one out of its plan: nothing happens to the machine by that.",
        ),
    })
}

pub(super) const NOT_MIGRATED: Check = Check {
    name: "NotMigrated",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Reprotect],
    // Completing a migration ends failback for good.
    waivable: false,
    early: false,
    holds_when: "Migration was not completed for the item: that ends failback for good.",
    rule: |view| judged(not_migrated(view)),
};

/// The word for it was never recorded: the state is an open set, so that anything about a migration counts.
fn not_migrated(view: &View<'_>) -> Result<Verdict, Verdict> {
    let item = view.item()?;
    let told = format!("{} {}", item.protection_state, item.protection_state_description).to_lowercase();
    Ok(if told.contains("migrat") {
        Verdict::failed(
            format!("The item is in the state {}: its migration was completed.", state(item)),
            "None: a migrated machine cannot be failed back. Move it home by other means.",
        )
    } else {
        Verdict::passed(format!("The item is in the state {}.", state(item)))
    })
}

pub(super) const REPROTECT_COMPLETE: Check = Check {
    name: "ReprotectComplete",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::FailBack],
    // What is not synchronised would be lost.
    waivable: false,
    early: false,
    holds_when: "The item is in a protected state, and its replication is not critical. That the reprotect job ended is not enough: the first synchronisation goes on after it.",
    rule: |view| judged(reprotect_complete(view)),
};

fn reprotect_complete(view: &View<'_>) -> Result<Verdict, Verdict> {
    let item = view.item()?;
    if view.stage == Stage::SyncingToVMware {
        return Ok(Verdict::failed(
            format!("The item is in the state {}.", state(item)),
            "Wait for the synchronisation to end.",
        ));
    }
    if item.health != Health::Critical {
        return Ok(Verdict::passed(format!("Protected; the health of its replication is {}.", item.health)));
    }
    Ok(Verdict::failed(ill(item), advice(item).unwrap_or_else(|| LOOK.to_owned())))
}

pub(super) const REPLICATION_HEALTHY: Check = Check {
    name: "ReplicationHealthy",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::FailBack],
    // A warning may be of something that cannot be mended towards VMware, such as an agent's version that expires: its
    // upgrade is recorded as blocked there (`UnsupportedProtectionScenario`).
    waivable: true,
    early: false,
    holds_when: "The health of the item's replication is Normal. A critical one is told by ReprotectComplete, which cannot be waived.",
    rule: |view| judged(replication_healthy(view)),
};

fn replication_healthy(view: &View<'_>) -> Result<Verdict, Verdict> {
    const WAIVE: &str = by_waiver!(
        "Where that cannot be mended towards VMware, such as the version of an agent, waive this check in the plan."
    );
    let item = view.item()?;
    Ok(match &item.health {
        Health::Normal => Verdict::passed("The health of the replication is Normal."),
        Health::Critical => Verdict::Irrelevant,
        Health::Warning => {
            Verdict::failed(ill(item), format!("{} {WAIVE}", advice(item).unwrap_or_else(|| LOOK.to_owned())))
        }
        Health::Unclear(_) => Verdict::unknown(
            "The vault reports no health for this machine's replication.",
            format!("Wait: it is computed every few minutes. {WAIVE}"),
        ),
    })
}

const LOOK: &str = "Look at the item's health errors in the portal.";
/// Errors of an item that are named; the vault's own list has the rest.
const MOST_ERRORS: usize = 3;

/// What the vault says of a replication that is not well.
fn ill(item: &Replication) -> String {
    let errors: Vec<_> = item.health_errors.iter().take(MOST_ERRORS).map(HealthError::in_a_line).collect();
    let what = if errors.is_empty() { String::new() } else { format!(": {}", errors.join("; ")) };
    format!("The health of the replication is {}{what}.", item.health)
}

/// What the vendor recommends about it.
fn advice(item: &Replication) -> Option<String> {
    let actions = item.health_errors.iter().take(MOST_ERRORS).map(|error| error.action.trim());
    let actions: Vec<_> = actions.filter(|action| !action.is_empty()).collect();
    (!actions.is_empty()).then(|| actions.join(" "))
}

pub(super) const RECOVERY_POINT_AVAILABLE: Check = Check {
    name: "RecoveryPointAvailable",
    source: FAILBACK,
    generation: None,
    gates: &[Verb::FailBack],
    // There is nothing to go back to.
    waivable: false,
    early: false,
    holds_when: "A recovery point exists, for each member of a consistency group. In the modernized generation site recovery makes one during the planned failover, and offers that operation as soon as it can.",
    rule: |view| judged(recovery_point_available(view)),
};

fn recovery_point_available(view: &View<'_>) -> Result<Verdict, Verdict> {
    let item = view.item()?;
    if view.stage != Stage::ReadyToFailBack {
        return Ok(Verdict::failed(
            format!("Site recovery does not offer a failover yet: it allows {}.", allowed(item)),
            "Wait for the first recovery point.",
        ));
    }
    if let Some(group) = &item.group {
        let members =
            view.facts.group.known().map_err(|why| Verdict::unknown(why, "See the RecoveryVault's conditions."))?;
        let waiting: Vec<_> =
            members.iter().filter(|member| !member.ready).map(|member| member.machine.as_str()).collect();
        if !waiting.is_empty() {
            return Ok(Verdict::failed(
                format!("Of group \"{group}\" these have no recovery point yet: {}.", waiting.join(", ")),
                "Wait: a group fails back when each of its members can.",
            ));
        }
    }
    let choice = points::choose(&view.machine)?;
    Ok(Verdict::passed(format!("Site recovery offers the failover. {}", choice.status.message)))
}

pub(super) const FAILBACK_SUCCEEDED: Check = Check {
    name: "FailbackSucceeded",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Commit],
    // A commit is not to be undone.
    waivable: false,
    early: false,
    holds_when: "Site recovery offers the commit, not only to undo the failback, and does not report the last planned failover as failed or cancelled.",
    rule: |view| judged(failback_succeeded(view)),
};

fn failback_succeeded(view: &View<'_>) -> Result<Verdict, Verdict> {
    let item = view.item()?;
    Ok(if item.failback_incomplete() {
        Verdict::failed(
            "The failback did not complete: site recovery offers to cancel it, and not to commit it.",
            "Undo it with `kubectl failback cancel`, so that the machine runs in Azure again; then look at the failed job.",
        )
    } else if item.failover_undone() {
        Verdict::failed(
            "Site recovery reports the last planned failover as failed or cancelled.",
            "Look at the failed job; cancel the failover in the portal, so that the machine runs in Azure again.",
        )
    } else {
        Verdict::passed("Site recovery offers the commit, and reports no failure.")
    })
}

/// The item's state, in the vendor's words for people where there are any.
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
