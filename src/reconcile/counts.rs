//! What metrics are made of: what changes from one status to the next, and what the caches show.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::context::Context;
use crate::{
    api::{
        CheckResult, Claim, FailbackPlan, ItemPhase, MasterTarget, OperationOutcome, OperationRecord, ReplicatedItem,
        ReplicatedItemStatus,
    },
    core::{action::Verb, conditions, journal},
    inventory::Key,
    ports::{MasterTargetDisks, Remote, Standing, Tally},
};

/// Counts what a status that was just written adds to the one before it. The write holds only on top of the version
/// that was read, so that nothing is counted twice.
pub(super) fn transition(tally: &dyn Tally, before: &ReplicatedItemStatus, after: &ReplicatedItemStatus) {
    if let Some((verb, outcome, took)) = ended(before.operation.as_ref(), after.operation.as_ref()) {
        tally.ended(verb.as_str(), outcome, took);
    }
    // Another phase has other checks, which may fail until the machine is further.
    if before.phase != after.phase {
        return;
    }
    for check in after.checks.iter().filter(|check| check.result == CheckResult::Failed && check.waived.is_none()) {
        let passed = |was: &crate::api::CheckStatus| was.name == check.name && was.result == CheckResult::Passed;
        if before.checks.iter().any(passed) {
            tally.check_lost(&check.name);
        }
    }
}

/// An operation that Azure had accepted and that has ended by this change.
fn ended(before: Option<&OperationRecord>, after: Option<&OperationRecord>) -> Option<(Verb, &'static str, Duration)> {
    let after = after?;
    let was_open = before.is_none_or(|before| before.key != after.key || journal::is_open(before));
    let outcome = match after.outcome {
        OperationOutcome::Succeeded => "succeeded",
        // Without a job the call itself failed, and counts as such.
        OperationOutcome::Failed if after.job_id.is_some() => "failed",
        OperationOutcome::Failed
        | OperationOutcome::Intended
        | OperationOutcome::Submitted
        | OperationOutcome::NotMade => return None,
    };
    let end = after.ended_at.as_ref().filter(|_| was_open)?;
    Some((Verb::parse(&after.verb)?, outcome, since(after.intended_at.0, end.0)))
}

/// What the caches show now.
pub(super) fn standing(context: &Context) -> Standing {
    let stores = &context.stores;
    let (items, plans, targets) = (stores.items.state(), stores.plans.state(), stores.targets.state());
    let (vaults, vcenters) = (stores.vaults.state(), stores.vcenters.state());
    let mut standing = Standing {
        readings: context.registry.readings(),
        budgets: context.registry.budgets(),
        both_copies: total(items.iter().filter(|item| both_copies_run(context, item)).count()),
        ..Standing::default()
    };
    count_items(&mut standing, &items, &plans, context.clock.now());
    count_targets(&mut standing, &targets, &items);
    let mut stalled = |kind, conditions: &[Condition]| {
        *standing.stalled.entry(kind).or_default() += i64::from(conditions::is_true(conditions, "Stalled"));
    };
    let mut connected = |remote: Remote, conditions: &[Condition]| {
        let reason = conditions::find(conditions, "Ready").map_or("NotObserved", |ready| &ready.reason);
        *standing.connections.entry((remote.label(), reason.to_owned())).or_default() += 1;
    };
    for vault in vaults.iter() {
        let conditions = vault.status.as_ref().map_or(&[][..], |status| &status.conditions);
        stalled("RecoveryVault", conditions);
        connected(Remote::Arm, conditions);
    }
    for vcenter in vcenters.iter() {
        let conditions = vcenter.status.as_ref().map_or(&[][..], |status| &status.conditions);
        stalled("VCenter", conditions);
        connected(Remote::VCenter, conditions);
    }
    for target in targets.iter() {
        stalled("MasterTarget", target.status.as_ref().map_or(&[][..], |status| &status.conditions));
    }
    for item in items.iter() {
        stalled("ReplicatedItem", item.status.as_ref().map_or(&[][..], |status| &status.conditions));
    }
    for plan in plans.iter() {
        stalled("FailbackPlan", plan.status.as_ref().map_or(&[][..], |status| &status.conditions));
    }
    standing
}

/// Seen in the inventories rather than in the status: also of a machine that no plan has claimed.
fn both_copies_run(context: &Context, item: &ReplicatedItem) -> bool {
    let at = |name: &str| Key { namespace: item.namespace().unwrap_or_default(), name: name.to_owned() };
    let moref = item.status.as_ref().and_then(|status| status.identity.moref.as_deref());
    let vault = context.registry.vault(&at(&item.spec.vault_ref.name));
    let vcenter = context.registry.vcenter(&at(&item.spec.vcenter_ref.name));
    let (Some(moref), Some(vault), Some(vcenter)) = (moref, vault, vcenter) else { return false };
    vcenter.vm_runs(moref) && vault.azure_vm_runs(&item.spec.machine)
}

fn count_items(standing: &mut Standing, items: &[Arc<ReplicatedItem>], plans: &[Arc<FailbackPlan>], now: Timestamp) {
    let fresh = ReplicatedItemStatus::default();
    for item in items {
        let status = item.status.as_ref().unwrap_or(&fresh);
        let ready = conditions::find(&status.conditions, "Ready");
        let reason = ready.map_or("NotObserved", |ready| &ready.reason).to_owned();
        if let Some(claim) = status.claim.as_ref().filter(|_| reason == "ApprovalRequired") {
            let waited = approval_wanted_since(item, status, claim, plans).map_or(Duration::ZERO, |at| since(at, now));
            standing.unapproved = standing.unapproved.max(waited);
        }
        if status.phase == ItemPhase::FailedBack
            && let Some(home) = conditions::find(&status.conditions, "FailedBack").filter(|home| home.status == "True")
        {
            standing.uncommitted = standing.uncommitted.max(since(home.last_transition_time.0, now));
        }
        for check in &status.checks {
            let waived = check.waived.is_some() && check.result != CheckResult::Passed;
            let result = Some(check.result).filter(|_| !waived);
            *standing.checks.entry((check.name.clone(), result)).or_default() += 1;
        }
        standing.items.push((status.phase, reason));
    }
}

/// Since when nothing but an approval has been missing: the plan asked for it, and the machine had come so far.
fn approval_wanted_since(
    item: &ReplicatedItem,
    status: &ReplicatedItemStatus,
    claim: &Claim,
    plans: &[Arc<FailbackPlan>],
) -> Option<Timestamp> {
    let of_claim = |plan: &&Arc<FailbackPlan>| {
        plan.namespace() == item.namespace() && plan.uid().as_deref() == Some(claim.plan_uid.as_str())
    };
    let plan = plans.iter().find(of_claim).and_then(|plan| plan.status.as_ref());
    let asked = plan.and_then(|plan| conditions::find(&plan.conditions, "Approved"));
    let steps = ["Reprotected", "FailedBack", "Verified", "Committed"]
        .into_iter()
        .filter_map(|kind| conditions::find(&status.conditions, kind));
    steps.chain(asked).map(|condition| condition.last_transition_time.0).max()
}

fn count_targets(standing: &mut Standing, targets: &[Arc<MasterTarget>], items: &[Arc<ReplicatedItem>]) {
    for target in targets {
        let status = target.status.as_ref();
        let healthy = status.and_then(|status| conditions::find(&status.conditions, "Healthy"));
        let state = healthy.map_or("Unknown", |healthy| &healthy.status).to_owned();
        *standing.master_targets.entry(state).or_default() += 1;
        let Some(id) = status.and_then(|status| status.id.as_deref()) else { continue };
        let disks = disks_of(target, id, items);
        let all = &mut standing.disks;
        all.attached += disks.attached;
        all.planned += disks.planned;
        all.fewest_free = all.fewest_free.into_iter().chain(disks.fewest_free).min();
    }
}

/// The disks of the machines that come home through one master target.
fn disks_of(target: &MasterTarget, id: &str, items: &[Arc<ReplicatedItem>]) -> MasterTargetDisks {
    let mut disks = MasterTargetDisks::default();
    let here = items
        .iter()
        .filter(|item| item.namespace() == target.namespace() && item.spec.vault_ref == target.spec.vault_ref);
    for status in here.filter_map(|item| item.status.as_ref()) {
        let through = status.target.as_ref().is_some_and(|target| target.appliance_id.eq_ignore_ascii_case(id));
        let count = i64::from(status.disks.unwrap_or_default());
        match status.phase {
            _ if !through => {}
            ItemPhase::Reprotecting
            | ItemPhase::Reprotected
            | ItemPhase::FailingBack
            | ItemPhase::FailedBack
            | ItemPhase::Cancelling
            | ItemPhase::Committing => disks.attached += count,
            ItemPhase::FailedOver if status.claim.is_some() => disks.planned += count,
            ItemPhase::FailedOver
            | ItemPhase::Unknown
            | ItemPhase::Committed
            | ItemPhase::Protecting
            | ItemPhase::Protected => {}
        }
    }
    disks.fewest_free = Some((i64::from(target.spec.disk_limit()) - disks.attached - disks.planned).max(0));
    disks
}

fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

fn total(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "counts_tests.rs"]
mod tests;
