//! Metrics. Labels are closed sets: no name of a machine, a vault or a namespace is ever one.

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::gauges::{Gauges, KINDS};
use crate::{
    core::{action::Verb, checks::CHECKS},
    ports::{CallMeter, FailureClass, Remote, Standing, Tally},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pass {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    api: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Api {
    api: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVerb {
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCheck {
    check: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

type Count = Counter<u64, AtomicU64>;
type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// Calls: from 10 ms to beyond the timeout.
const CALL_SECONDS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];
/// Operations: from a minute to the 48 hours after which a person is asked.
const OPERATION_SECONDS: [f64; 11] =
    [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 57_600.0, 86_400.0, 172_800.0];

/// All metrics of the process, with the prefix `failback_`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Pass, Count>,
    operations: Family<Operation, Count>,
    operation_seconds: Seconds<OfVerb>,
    calls: Family<Call, Count>,
    call_seconds: Seconds<Api>,
    throttled: Family<Api, Count>,
    checks_lost: Family<OfCheck, Count>,
    gauges: Gauges,
    watches_failing: Family<OfKind, Gauge<i64, AtomicI64>>,
    leader: Gauge<i64, AtomicI64>,
    outcome_unknown: Count,
    vcenter_sessions: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("failback");
        let mut metrics = Self {
            gauges: Gauges::new(&mut registry),
            registry,
            reconciles: Family::default(),
            operations: Family::default(),
            operation_seconds: Family::new_with_constructor(|| Histogram::new(OPERATION_SECONDS)),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            throttled: Family::default(),
            checks_lost: Family::default(),
            watches_failing: Family::default(),
            leader: Gauge::default(),
            outcome_unknown: Count::default(),
            vcenter_sessions: Gauge::default(),
        };
        let all = &mut metrics.registry;
        all.register("reconcile", "Passes over objects", metrics.reconciles.clone());
        let operations = "Mutating calls by how each was answered, and accepted ones again by how they ended";
        all.register("operations", operations, metrics.operations.clone());
        let lasted = "From the intent to the end of each operation that Azure accepted";
        all.register("operation_duration_seconds", lasted, metrics.operation_seconds.clone());
        all.register("remote_requests", "Calls to Azure and vCenter; code 0 is no answer", metrics.calls.clone());
        all.register("remote_request_duration_seconds", "How long they took", metrics.call_seconds.clone());
        all.register("throttled", "How often we were asked to pause", metrics.throttled.clone());
        let lost = "Checks of machines that had passed and failed later, without the machine moving on";
        all.register("checks_lost", lost, metrics.checks_lost.clone());
        let failing = "Watches, of a kind in a namespace, that cannot list or follow: refused, or without an answer";
        all.register("watches_failing", failing, metrics.watches_failing.clone());
        all.register("leader", "1 while this process holds the lease", metrics.leader.clone());
        let lost = "Mutating calls that were sent and never answered";
        all.register("outcome_unknown", lost, metrics.outcome_unknown.clone());
        all.register("vcenter_sessions", "Sessions open in vCenters", metrics.vcenter_sessions.clone());
        metrics.start_at_zero();
        metrics
    }

    /// A counter that appears with its first event would hide that event from `increase()`.
    fn start_at_zero(&self) {
        for remote in [Remote::Entra, Remote::Arm, Remote::VCenter] {
            drop(self.throttled.get_or_create(&Api { api: remote.label() }));
        }
        for check in CHECKS {
            drop(self.checks_lost.get_or_create(&OfCheck { check: check.name }));
        }
        for kind in KINDS.into_iter().chain(["FailbackApproval"]) {
            drop(self.watches_failing.get_or_create(&OfKind { kind }));
        }
        for verb in Verb::ALL {
            drop(self.operation_seconds.get_or_create(&OfVerb { verb: verb.as_str() }));
        }
    }

    /// Whether this process leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// The exposition in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }
}

impl CallMeter for Metrics {
    fn called(&self, remote: Remote, code: u16, took: Duration) {
        // A status that HTTP does not have would otherwise make as many series as the other side likes.
        let code = if matches!(code, 100..=599) { code } else { 0 };
        self.calls.get_or_create(&Call { api: remote.label(), code }).inc();
        self.call_seconds.get_or_create(&Api { api: remote.label() }).observe(took.as_secs_f64());
    }

    fn throttled(&self, remote: Remote) {
        self.throttled.get_or_create(&Api { api: remote.label() }).inc();
    }

    fn sessions(&self, change: i64) {
        self.vcenter_sessions.inc_by(change);
    }
}

impl Tally for Metrics {
    fn reconciled(&self, kind: &'static str, outcome: &'static str) {
        self.reconciles.get_or_create(&Pass { kind, outcome }).inc();
    }

    fn operated(&self, verb: &'static str, outcome: &'static str) {
        self.operations.get_or_create(&Operation { verb, outcome }).inc();
        if outcome == FailureClass::Lost.label() {
            self.outcome_unknown.inc();
        }
    }

    fn ended(&self, verb: &'static str, outcome: &'static str, took: Duration) {
        self.operations.get_or_create(&Operation { verb, outcome }).inc();
        self.operation_seconds.get_or_create(&OfVerb { verb }).observe(took.as_secs_f64());
    }

    fn check_lost(&self, check: &str) {
        if let Some(known) = CHECKS.iter().find(|known| known.name == check) {
            self.checks_lost.get_or_create(&OfCheck { check: known.name }).inc();
        }
    }

    fn watches_failing(&self, kind: &'static str, count: i64) {
        self.watches_failing.get_or_create(&OfKind { kind }).set(count);
    }

    fn standing(&self, standing: &Standing) {
        self.gauges.set(standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown_under_its_name() {
        let metrics = Metrics::new();
        metrics.operated("Commit", "submitted");
        metrics.operated("Commit", FailureClass::Lost.label());
        metrics.called(Remote::Arm, 202, Duration::from_millis(50));
        metrics.called(Remote::VCenter, 0, Duration::from_secs(60));
        metrics.called(Remote::VCenter, 999, Duration::from_secs(60));
        metrics.throttled(Remote::Arm);
        metrics.reconciled("VCenter", "ok");
        metrics.sessions(1);
        metrics.sessions(1);
        metrics.sessions(-1);
        metrics.ended("Reprotect", "succeeded", Duration::from_hours(3));
        metrics.check_lost("VCenterConnected");
        metrics.check_lost("NoSuchCheck");
        metrics.set_leader(true);
        let text = metrics.text();
        for line in [
            "failback_operations_total{verb=\"Commit\",outcome=\"submitted\"} 1",
            "failback_remote_requests_total{api=\"arm\",code=\"202\"} 1",
            "failback_operations_total{verb=\"Reprotect\",outcome=\"succeeded\"} 1",
            "failback_operation_duration_seconds_bucket{le=\"7200.0\",verb=\"Reprotect\"} 0",
            "failback_operation_duration_seconds_bucket{le=\"14400.0\",verb=\"Reprotect\"} 1",
            "failback_operation_duration_seconds_count{verb=\"Commit\"} 0",
            "failback_checks_lost_total{check=\"VCenterConnected\"} 1",
            "failback_checks_lost_total{check=\"AzureVmPresent\"} 0",
            "failback_throttled_total{api=\"entra\"} 0",
            "failback_leader 1",
            "failback_outcome_unknown_total 1",
            "failback_vcenter_sessions 1",
            "failback_remote_requests_total{api=\"vcenter\",code=\"0\"} 2",
            "failback_remote_request_duration_seconds_count{api=\"arm\"} 1",
            "failback_throttled_total{api=\"arm\"} 1",
            "failback_reconcile_total{kind=\"VCenter\",outcome=\"ok\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(!text.contains("NoSuchCheck"), "labels are a closed set: {text}");
    }
}
