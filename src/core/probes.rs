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
    /// For how long a look counts: two intervals, and the time that a look may take, beside the wait for a place.
    pub counts_for: SignedDuration,
    /// How long it may take to tell anything.
    pub patience: SignedDuration,
    /// Since when it waits for a place to look again: for a quarter of an hour, what it has seen does not grow old
    /// by that. The Jobs of a namespace wait for each other, and a plan of hundreds of machines would never have looked
    /// at all of them in time.
    pub queued_since: Option<Timestamp>,
    /// Since when it passed for another process, until this one has looked.
    pub passed_since: Option<Timestamp>,
}

/// A machine that has just booted may take so long to tell its address, or to be known by its name.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// The longest wait for a place by which a look does not grow old: a commit rests on it.
const QUEUED: SignedDuration = SignedDuration::from_mins(15);

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
            queued_since: None,
            passed_since: None,
        }
    }

    /// The same of a probe that has passed since then when another process looked last: one good look says that it still
    /// does. It does not pass before.
    #[must_use]
    pub fn passed_before(self, probe: &Probe, since: Timestamp) -> Self {
        let successes = probe.success_threshold.saturating_sub(1).max(0);
        Self { successes, passed_since: Some(since), ..self }
    }

    /// It has got the place that it waited for.
    pub fn begins(&mut self, now: Timestamp) {
        let waited = self.waits(now);
        self.queued_since = None;
        self.counts_for = self.counts_for.saturating_add(waited.min(QUEUED));
        self.patience = self.patience.saturating_add(waited);
    }

    /// How long it has been waiting for a place.
    fn waits(&self, now: Timestamp) -> SignedDuration {
        self.queued_since.map_or(SignedDuration::ZERO, |since| since.duration_until(now).max(SignedDuration::ZERO))
    }

    /// While a look takes long: what the first one waits for. Later ones leave what was seen before them.
    #[must_use]
    pub fn waiting(&self, why: &str) -> Self {
        let message = if self.at.is_none() { format!("Its first look waits: {why}") } else { self.message.clone() };
        Self { message, ..self.clone() }
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
        let stood = self.since.filter(|_| result == self.result);
        let since = stood.or(self.passed_since.filter(|_| result == CheckResult::Passed));
        let fresh = Self::before_first(probe);
        let patience = since.map_or(fresh.patience, |_| self.patience);
        Self { result, message, successes, failures, since: since.or(Some(now)), at: Some(now), patience, ..fresh }
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
        self.result == CheckResult::Unknown
            && self.since.is_some_and(|since| since + self.patience + self.waits(now) <= now)
    }

    /// Whether the last look is too old to say anything.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.at.is_none_or(|at| at + self.counts_for + self.waits(now).min(QUEUED) < now)
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
