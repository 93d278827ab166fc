//! From single looks at a machine to what its probes say.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::conditions;
use crate::api::{CheckResult, Probe, ProbeStatus};

/// What one look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeSeen {
    /// What the probe asks for.
    Good(String),
    /// Positively something else.
    Bad(String),
    /// Nothing that can be judged.
    Inconclusive(String),
}

/// How a probe stands after its looks so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFact {
    /// Name of the probe.
    pub name: String,
    /// Passed once enough looks in a row succeeded; Failed once enough failed; else Unknown.
    pub result: CheckResult,
    /// What was seen last.
    pub message: String,
    /// Looks in a row that succeeded, counted up to the threshold.
    pub successes: i32,
    /// Looks in a row that failed, counted up to the threshold.
    pub failures: i32,
    /// Since when the result is what it is; `None` before the first look.
    pub since: Option<Timestamp>,
    /// When the last look ended; `None` before the first.
    pub at: Option<Timestamp>,
    /// For how long a look counts: two intervals, and the time that a look may take.
    pub counts_for: SignedDuration,
    /// How long it may take to tell anything.
    pub patience: SignedDuration,
}

/// A machine that has just booted may take so long to tell its address, or to be known by its name.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

impl ProbeFact {
    /// Nothing was looked at yet.
    pub fn before_first(probe: &Probe) -> Self {
        let looks = |count: i32| {
            let look = i64::from(probe.interval_seconds) + i64::from(probe.timeout_seconds);
            SignedDuration::from_secs(look.saturating_mul(count.into()))
        };
        let counts_for = SignedDuration::from_secs(i64::from(probe.interval_seconds) * 2)
            + SignedDuration::from_secs(probe.timeout_seconds.into());
        Self {
            name: probe.name.clone(),
            result: CheckResult::Unknown,
            message: "It has not looked yet.".to_owned(),
            successes: 0,
            failures: 0,
            since: None,
            at: None,
            counts_for,
            patience: looks(probe.success_threshold.saturating_add(probe.failure_threshold)).max(PATIENCE),
        }
    }

    /// After one more look.
    #[must_use]
    pub fn after(&self, probe: &Probe, seen: ProbeSeen, now: Timestamp) -> Self {
        let (successes, failures, message) = match seen {
            ProbeSeen::Good(message) => ((self.successes + 1).min(probe.success_threshold), 0, message),
            ProbeSeen::Bad(message) => (0, (self.failures + 1).min(probe.failure_threshold), message),
            ProbeSeen::Inconclusive(message) => (0, 0, message),
        };
        let result = if successes >= probe.success_threshold.max(1) {
            CheckResult::Passed
        } else if failures >= probe.failure_threshold.max(1) {
            CheckResult::Failed
        } else {
            CheckResult::Unknown
        };
        let since = self.since.filter(|_| result == self.result).or(Some(now));
        Self { result, message, successes, failures, since, at: Some(now), ..self.clone() }
    }

    /// What a check says of it: what was seen, and since when it stands so.
    pub fn sentence(&self) -> String {
        match self.since {
            Some(since) => format!("Probe \"{}\" since {since:.0}: {}", self.name, self.message),
            None => format!("Probe \"{}\": {}", self.name, self.message),
        }
    }

    /// Whether its looks have told nothing for so long that a person must see to it: neither good nor bad is said by a
    /// guest without an address, or by a name that is not known.
    pub fn is_inconclusive(&self, now: Timestamp) -> bool {
        self.result == CheckResult::Unknown && self.since.is_some_and(|since| since + self.patience <= now)
    }

    /// Whether the last look is too old to say anything.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.at.is_none_or(|at| at + self.counts_for < now)
    }
}

/// Until when a machine that is recorded as verified must stay so. One of its probes may have failed and passed again
/// between two records, which leaves no trace in the condition: what the probes say of themselves counts as well.
pub fn soaks_until(conditions: &[Condition], probes: &[ProbeFact], soak_seconds: i32) -> Option<Timestamp> {
    let verified = conditions::find(conditions, "Verified").filter(|verified| verified.status == "True")?;
    let since = probes.iter().filter_map(|probe| probe.since).fold(verified.last_transition_time.0, Timestamp::max);
    Some(since + SignedDuration::from_secs(soak_seconds.max(0).into()))
}

/// The rows to record. The time of a row stays while result and message stay.
pub fn rows(before: &[ProbeStatus], facts: &[ProbeFact], now: Timestamp) -> Vec<ProbeStatus> {
    facts
        .iter()
        .map(|fact| {
            let same = before
                .iter()
                .find(|row| row.name == fact.name && row.result == fact.result && row.message == fact.message);
            ProbeStatus {
                name: fact.name.clone(),
                result: fact.result,
                message: fact.message.clone(),
                successes: fact.successes,
                observed_at: same.map_or_else(|| Time(fact.at.unwrap_or(now)), |row| row.observed_at.clone()),
            }
        })
        .collect()
}
