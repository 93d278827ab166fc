//! Checks on the replicated item.

use super::{Check, FAILBACK, OVERVIEW, PRACTICE, Verdict, View, judged};
use crate::core::{
    action::Verb,
    observed::{Health, Replication},
    points,
    stage::Stage,
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
    holds_when: "The item is in a protected state and its health is OK. That the reprotect job ended is not enough: the first synchronisation goes on after it.",
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
    if item.health == Health::Normal {
        return Ok(Verdict::passed("Protected, and its health is Normal."));
    }
    let first = item.health_errors.first();
    let what = first.map(|error| format!(": {} ({})", error.message, error.code)).unwrap_or_default();
    let advice = first.map(|error| error.action.clone()).filter(|action| !action.is_empty());
    Ok(Verdict::failed(
        format!("The health of the replication is {}{what}.", item.health),
        advice.unwrap_or_else(|| "Look at the item's health errors in the portal.".to_owned()),
    ))
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
    holds_when: "Site recovery offers the commit, and does not report the last planned failover as failed or cancelled.",
    rule: |view| judged(failback_succeeded(view)),
};

fn failback_succeeded(view: &View<'_>) -> Result<Verdict, Verdict> {
    Ok(if view.item()?.failover_undone() {
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
