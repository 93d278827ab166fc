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

use crate::ports::{CallMeter, FailureClass, Remote, Tally};

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
struct Phase {
    phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Waiting {
    waiting_on: String,
}

type Count = Counter<u64, AtomicU64>;

/// All metrics of the process, with the prefix `failback_`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Pass, Count>,
    operations: Family<Operation, Count>,
    calls: Family<Call, Count>,
    call_seconds: Family<Api, Histogram, fn() -> Histogram>,
    throttled: Family<Api, Count>,
    items: Family<Phase, Gauge<i64, AtomicI64>>,
    waiting: Family<Waiting, Gauge<i64, AtomicI64>>,
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
        let buckets: fn() -> Histogram = || Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]);
        let mut metrics = Self {
            registry: Registry::with_prefix("failback"),
            reconciles: Family::default(),
            operations: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(buckets),
            throttled: Family::default(),
            items: Family::default(),
            waiting: Family::default(),
            leader: Gauge::default(),
            outcome_unknown: Count::default(),
            vcenter_sessions: Gauge::default(),
        };
        let all = &mut metrics.registry;
        all.register("reconcile", "Passes over objects", metrics.reconciles.clone());
        all.register("operations", "Mutating calls, and how each was answered", metrics.operations.clone());
        all.register("remote_requests", "Calls to Azure and vCenter; code 0 is no answer", metrics.calls.clone());
        all.register("remote_request_duration_seconds", "How long they took", metrics.call_seconds.clone());
        all.register("throttled", "How often we were asked to pause", metrics.throttled.clone());
        all.register("items", "Machines by phase", metrics.items.clone());
        all.register("waiting", "Machines by what they wait for", metrics.waiting.clone());
        all.register("leader", "1 while this process holds the lease", metrics.leader.clone());
        let lost = "Mutating calls that were sent and never answered";
        all.register("outcome_unknown", lost, metrics.outcome_unknown.clone());
        all.register("vcenter_sessions", "Sessions open in vCenters", metrics.vcenter_sessions.clone());
        metrics
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

    fn standing(&self, items: &[(String, String)]) {
        self.items.clear();
        self.waiting.clear();
        for (phase, waiting_on) in items {
            self.items.get_or_create(&Phase { phase: phase.clone() }).inc();
            self.waiting.get_or_create(&Waiting { waiting_on: waiting_on.clone() }).inc();
        }
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
        metrics.standing(&[("FailedOver".to_owned(), "NotClaimed".to_owned())]);
        metrics.standing(&[("Protected".to_owned(), "PhaseReached".to_owned())]);
        metrics.set_leader(true);
        let text = metrics.text();
        for line in [
            "failback_operations_total{verb=\"Commit\",outcome=\"submitted\"} 1",
            "failback_remote_requests_total{api=\"arm\",code=\"202\"} 1",
            "failback_items{phase=\"Protected\"} 1",
            "failback_leader 1",
            "failback_outcome_unknown_total 1",
            "failback_vcenter_sessions 1",
            "failback_remote_requests_total{api=\"vcenter\",code=\"0\"} 2",
            "failback_remote_request_duration_seconds_count{api=\"arm\"} 1",
            "failback_throttled_total{api=\"arm\"} 1",
            "failback_reconcile_total{kind=\"VCenter\",outcome=\"ok\"} 1",
            "failback_waiting{waiting_on=\"PhaseReached\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(!text.contains("FailedOver"), "a gauge follows what is: {text}");
    }
}
