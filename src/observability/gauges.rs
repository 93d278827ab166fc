//! Gauges that show how things stand. All are set from one [`Standing`]; every label is one of a closed set, and shown
//! with 0 where nothing has it, so that an alert sees a number come and go rather than a series.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64},
};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    api::{CheckResult, ItemPhase},
    core::{checks::CHECKS, waiting::REASONS},
    ports::{Remote, Standing},
};

/// All phases of a machine.
const PHASES: [ItemPhase; 11] = [
    ItemPhase::Unknown,
    ItemPhase::FailedOver,
    ItemPhase::Reprotecting,
    ItemPhase::Reprotected,
    ItemPhase::FailingBack,
    ItemPhase::FailedBack,
    ItemPhase::Cancelling,
    ItemPhase::Committing,
    ItemPhase::Committed,
    ItemPhase::Protecting,
    ItemPhase::Protected,
];

/// Reasons of machines that wait for nothing, or were not judged yet.
const AT_REST: [&str; 5] = ["PhaseReached", "Observed", "Calling", "Recording", "NotObserved"];

/// Reasons of a connection's condition `Ready`.
const CONNECTION_REASONS: [&str; 17] = [
    "NotObserved",
    "Connecting",
    "Connected",
    "SecretNotFound",
    "CertificateUntrusted",
    "UnreadableAnswer",
    "CredentialsRejected",
    "ServiceAccountNotFound",
    "TokenRequestDenied",
    "TokenRequestFailed",
    "FederatedCredentialMissing",
    "SharedIdentityOff",
    "PermissionDenied",
    "NotFound",
    "Throttled",
    "InvalidRequest",
    "Unreachable",
];

/// Stands for a reason that is none of ours.
const OTHER: &str = "Other";

const RESULTS: [Option<CheckResult>; 4] =
    [Some(CheckResult::Passed), Some(CheckResult::Failed), Some(CheckResult::Unknown), None];

/// Kinds that can wait for a person.
pub(super) const KINDS: [&str; 5] = ["FailbackPlan", "ReplicatedItem", "MasterTarget", "RecoveryVault", "VCenter"];

type Row<const N: usize> = [String; N];

/// A gauge per combination of labels.
#[derive(Debug)]
struct Table<const N: usize> {
    names: [&'static str; N],
    family: Family<Vec<(&'static str, String)>, Gauge<i64, AtomicI64>>,
    /// Every row with 0.
    empty: BTreeMap<Row<N>, i64>,
}

impl<const N: usize> Table<N> {
    fn new(
        registry: &mut Registry,
        name: &str,
        help: &str,
        names: [&'static str; N],
        rows: impl IntoIterator<Item = Row<N>>,
    ) -> Self {
        let table = Self { names, family: Family::default(), empty: rows.into_iter().map(|row| (row, 0)).collect() };
        registry.register(name, help, table.family.clone());
        table.set([]);
        table
    }

    /// Shows these, and 0 for every other row. Never nothing for a moment: an alert that waits would begin anew.
    fn set(&self, counts: impl IntoIterator<Item = (Row<N>, i64)>) {
        let mut all = self.empty.clone();
        for (row, count) in counts {
            *all.entry(row).or_default() += count;
        }
        for (row, count) in all {
            self.family.get_or_create(&self.names.into_iter().zip(row).collect()).set(count);
        }
    }
}

#[derive(Debug)]
pub(super) struct Gauges {
    items: Table<1>,
    waiting: Table<1>,
    stalled: Table<1>,
    checks: Table<2>,
    connections: Table<2>,
    master_targets: Table<1>,
    disks: Table<1>,
    both_copies: Gauge<i64, AtomicI64>,
    unapproved: Gauge<f64, AtomicU64>,
    uncommitted: Gauge<f64, AtomicU64>,
    ages: Table<1>,
    stale: Table<1>,
    budgets: Family<Vec<(&'static str, &'static str)>, Gauge<f64, AtomicU64>>,
}

fn words<const N: usize>(words: [&str; N]) -> impl Iterator<Item = Row<1>> {
    words.map(|word| [word.to_owned()]).into_iter()
}

fn phase(phase: ItemPhase) -> String {
    format!("{phase:?}")
}

fn result(result: Option<CheckResult>) -> String {
    result.map_or_else(|| "Waived".to_owned(), |result| format!("{result:?}"))
}

fn reason(reason: &str) -> String {
    let ours = AT_REST.contains(&reason) || REASONS.iter().any(|row| row.0 == reason);
    if ours { reason } else { OTHER }.to_owned()
}

fn connection_reason(reason: &str) -> String {
    if CONNECTION_REASONS.contains(&reason) { reason } else { OTHER }.to_owned()
}

fn health(condition: &str) -> String {
    match condition {
        "True" => "Healthy",
        "False" => "Unhealthy",
        _ => "Unknown",
    }
    .to_owned()
}

impl Gauges {
    pub(super) fn new(all: &mut Registry) -> Self {
        let reasons = AT_REST.into_iter().chain(REASONS.map(|row| row.0)).chain([OTHER]);
        let checks = CHECKS.iter().flat_map(|check| RESULTS.map(|of| [check.name.to_owned(), result(of)]));
        let apis = || words([Remote::Arm.label(), Remote::VCenter.label()]);
        let connections = apis().flat_map(|[api]| {
            CONNECTION_REASONS.into_iter().chain([OTHER]).map(move |reason| [api.clone(), reason.to_owned()])
        });
        let (both, pending) =
            ("Machines that run in Azure and at home at the same time", "Longest wait for an approval");
        let uncommitted = "Longest time since a machine failed back, of those that are not committed";
        let disks = "Disks attached through master targets, planned to be, and what the fullest one can still take";
        let gauges = Self {
            items: Table::new(all, "items", "Machines by phase", ["phase"], PHASES.map(|of| [phase(of)])),
            waiting: Table::new(
                all,
                "waiting",
                "Machines by what they wait for",
                ["waiting_on"],
                reasons.map(|reason| [reason.to_owned()]),
            ),
            stalled: Table::new(all, "stalled", "Objects that wait for a person", ["kind"], words(KINDS)),
            checks: Table::new(all, "checks", "Machines by result of each check", ["check", "result"], checks),
            connections: Table::new(
                all,
                "connections",
                "RecoveryVaults and VCenters by the reason of their condition Ready",
                ["api", "reason"],
                connections,
            ),
            master_targets: Table::new(
                all,
                "master_targets",
                "MasterTargets by health",
                ["state"],
                ["True", "False", "Unknown"].map(|condition| [health(condition)]),
            ),
            disks: Table::new(all, "master_target_disks", disks, ["state"], words(["attached", "planned"])),
            both_copies: Gauge::default(),
            unapproved: Gauge::default(),
            uncommitted: Gauge::default(),
            ages: Table::new(all, "inventory_age_seconds", "Age of the oldest last reading", ["api"], apis()),
            stale: Table::new(all, "inventories_stale", "Vaults and vCenters not read for too long", ["api"], apis()),
            budgets: Family::default(),
        };
        all.register("both_copies_running", both, gauges.both_copies.clone());
        all.register("approval_pending_seconds", pending, gauges.unapproved.clone());
        all.register("uncommitted_seconds", uncommitted, gauges.uncommitted.clone());
        let budget = "Calls that may be made at once, in the subscription that has least left";
        all.register("budget_tokens", budget, gauges.budgets.clone());
        gauges
    }

    pub(super) fn set(&self, now: &Standing) {
        self.items.set(now.items.iter().map(|(of, _)| ([phase(*of)], 1)));
        self.waiting.set(now.items.iter().map(|(_, on)| ([reason(on)], 1)));
        self.stalled.set(now.stalled.iter().map(|(kind, count)| ([(*kind).to_owned()], *count)));
        let known = |name: &str| CHECKS.iter().any(|check| check.name == name);
        let checks = now.checks.iter().filter(|((name, _), _)| known(name));
        self.checks.set(checks.map(|((name, of), count)| ([name.clone(), result(*of)], *count)));
        let connections = now.connections.iter();
        self.connections.set(connections.map(|((api, why), n)| ([(*api).to_owned(), connection_reason(why)], *n)));
        self.master_targets.set(now.master_targets.iter().map(|(condition, count)| ([health(condition)], *count)));
        let (attached, planned) = (now.disks.attached, now.disks.planned);
        let free = now.disks.fewest_free.map(|free| (["fewest_free".to_owned()], free));
        self.disks
            .set([(["attached".to_owned()], attached), (["planned".to_owned()], planned)].into_iter().chain(free));
        self.both_copies.set(now.both_copies);
        self.unapproved.set(now.unapproved.as_secs_f64());
        self.uncommitted.set(now.uncommitted.as_secs_f64());
        let mut oldest = BTreeMap::<Row<1>, i64>::new();
        for reading in &now.readings {
            let age = oldest.entry([reading.remote.label().to_owned()]).or_default();
            *age = (*age).max(i64::try_from(reading.age.as_secs()).unwrap_or(i64::MAX));
        }
        self.ages.set(oldest);
        let stale = now.readings.iter().filter(|reading| reading.stale);
        self.stale.set(stale.map(|reading| ([reading.remote.label().to_owned()], 1)));
        for (remote, class, left) in &now.budgets {
            self.budgets.get_or_create(&vec![("api", remote.label()), ("class", *class)]).set(*left);
        }
    }
}

#[cfg(test)]
#[path = "gauges_tests.rs"]
mod tests;
