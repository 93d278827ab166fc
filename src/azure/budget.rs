//! How many calls Azure Resource Manager grants, counted on our side before it has to refuse.
//!
//! ARM keeps token buckets per subscription: reads 250 refilled at 25 a second, writes 200 at 10 a second. Nothing is
//! published of site recovery's own limits, so any 429 counts as authoritative and pauses that class of calls for
//! everyone who shares the bucket.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Kinds of calls with a bucket each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallClass {
    /// GET.
    Read,
    /// POST.
    Write,
}

impl CallClass {
    /// The label used in metrics.
    const fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The header in which ARM tells what is left.
    pub(crate) const fn remaining_header(self) -> &'static str {
        match self {
            Self::Read => "x-ms-ratelimit-remaining-subscription-reads",
            Self::Write => "x-ms-ratelimit-remaining-subscription-writes",
        }
    }

    /// Size and refill per second, a little below ARM's, since others use the subscription too.
    const fn grant(self) -> (f64, f64) {
        match self {
            Self::Read => (200.0, 20.0),
            Self::Write => (150.0, 8.0),
        }
    }
}

/// The buckets of all subscriptions. Clones share them.
#[derive(Clone, Debug)]
pub struct Budgets {
    all: Arc<Mutex<HashMap<String, Arc<Budget>>>>,
    /// How many times as fast as the wall time runs: a rehearsal polls, and refills, that much faster.
    speed: f64,
}

/// More subscriptions than this are not kept without a user.
const MOST_IDLE: usize = 256;

impl Budgets {
    /// Empty, for a clock that runs `speed` times as fast as the wall's.
    pub(crate) fn at_speed(speed: f64) -> Self {
        Self { all: Arc::default(), speed }
    }

    /// How many calls of each class may be made at once: the least that any subscription has left.
    pub(crate) fn left(&self) -> Vec<(&'static str, f64)> {
        let all = lock(&self.all);
        let least = |class| all.values().map(|budget| budget.bucket(class).left(Instant::now())).reduce(f64::min);
        [CallClass::Read, CallClass::Write]
            .into_iter()
            .filter_map(|class| Some((class.label(), least(class)?)))
            .collect()
    }

    /// The budget of a subscription at one ARM endpoint.
    pub(crate) fn of(&self, management: &str, subscription: &str) -> Arc<Budget> {
        let mut all = lock(&self.all);
        if all.len() >= MOST_IDLE {
            all.retain(|_, budget| Arc::strong_count(budget) > 1 || budget.is_paused());
        }
        let key = format!("{management} {}", subscription.to_ascii_lowercase());
        Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Budget::at_speed(self.speed))))
    }
}

/// The buckets of one subscription.
#[derive(Debug)]
pub(crate) struct Budget {
    read: Mutex<Bucket>,
    write: Mutex<Bucket>,
}

impl Budget {
    fn at_speed(speed: f64) -> Self {
        let now = Instant::now();
        Self {
            read: Mutex::new(Bucket::new(CallClass::Read, speed, now)),
            write: Mutex::new(Bucket::new(CallClass::Write, speed, now)),
        }
    }

    fn bucket(&self, class: CallClass) -> MutexGuard<'_, Bucket> {
        lock(match class {
            CallClass::Read => &self.read,
            CallClass::Write => &self.write,
        })
    }

    /// Takes a call out of the bucket: how long to wait before it may be made, or, when that is longer than
    /// `patience`, how long to come back later, with nothing taken.
    pub(crate) fn take(&self, class: CallClass, patience: Duration) -> Result<Duration, Duration> {
        self.bucket(class).take(Instant::now(), patience)
    }

    /// How long the class still has to be left alone after a 429.
    pub(crate) fn paused(&self, class: CallClass) -> Duration {
        self.bucket(class).paused_until.saturating_duration_since(Instant::now())
    }

    fn is_paused(&self) -> bool {
        [CallClass::Read, CallClass::Write].into_iter().any(|class| !self.paused(class).is_zero())
    }

    /// The other side answered 429: nobody calls in this class for so long.
    pub(crate) fn pause(&self, class: CallClass, pause: Duration) {
        let mut bucket = self.bucket(class);
        bucket.paused_until = bucket.paused_until.max(Instant::now() + pause);
    }

    /// What ARM says is left. Others spend from the same bucket, so ours never holds more than theirs.
    pub(crate) fn observe(&self, class: CallClass, remaining: f64) {
        let mut bucket = self.bucket(class);
        bucket.level = bucket.level.min(remaining);
    }
}

#[derive(Debug)]
struct Bucket {
    size: f64,
    per_second: f64,
    /// Below zero: calls that are promised and still waiting.
    level: f64,
    at: Instant,
    paused_until: Instant,
}

impl Bucket {
    fn new(class: CallClass, speed: f64, now: Instant) -> Self {
        let (size, per_second) = class.grant();
        Self { size, per_second: per_second * speed, level: size, at: now, paused_until: now }
    }

    /// What it holds now; nothing while paused.
    fn left(&self, now: Instant) -> f64 {
        if self.paused_until > now { 0.0 } else { self.refilled(now).max(0.0) }
    }

    fn refilled(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.level + since * self.per_second).min(self.size)
    }

    fn take(&mut self, now: Instant, patience: Duration) -> Result<Duration, Duration> {
        self.level = self.refilled(now);
        self.at = now;
        let owed = (1.0 - self.level).max(0.0) / self.per_second;
        let wait = Duration::from_secs_f64(owed).max(self.paused_until.saturating_duration_since(now));
        if wait > patience {
            return Err(wait);
        }
        self.level -= 1.0;
        Ok(wait)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these; and a half-updated bucket would still be a bucket.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_and_a_flood_comes_back_later() {
        let budget = Budget::at_speed(1.0);
        let answers: Vec<_> = (0..1000).map(|_| budget.take(CallClass::Read, PATIENCE)).collect();
        assert_eq!(answers.iter().filter(|a| **a == Ok(Duration::ZERO)).count(), 200);
        // Five seconds of refill may be promised in advance, no more.
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 300);
        assert!(answers.iter().flatten().all(|wait| *wait <= PATIENCE));
        assert!(answers.iter().filter_map(|a| a.err()).all(|wait| wait > PATIENCE && wait < PATIENCE * 2));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(budget.take(CallClass::Read, PATIENCE), Ok(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn vaults_of_a_subscription_share_a_pause_and_others_do_not() {
        let budgets = Budgets::at_speed(1.0);
        budgets.of("https://m", "SUB").pause(CallClass::Read, Duration::from_secs(300));
        let same = budgets.of("https://m", "sub");
        assert_eq!(same.take(CallClass::Read, PATIENCE), Err(Duration::from_secs(300)));
        assert_eq!(same.paused(CallClass::Read), Duration::from_secs(300));
        assert_eq!(same.take(CallClass::Write, PATIENCE), Ok(Duration::ZERO));
        assert_eq!(budgets.of("https://m", "other").take(CallClass::Read, PATIENCE), Ok(Duration::ZERO));
        assert_eq!(budgets.of("https://elsewhere", "sub").take(CallClass::Read, PATIENCE), Ok(Duration::ZERO));
        // A shorter pause does not shorten a longer one.
        same.pause(CallClass::Read, Duration::from_secs(1));
        assert_eq!(same.paused(CallClass::Read), Duration::from_secs(300));
        tokio::time::advance(Duration::from_secs(297)).await;
        assert_eq!(same.take(CallClass::Read, PATIENCE), Ok(Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_the_least_of_any_subscription() {
        let budgets = Budgets::at_speed(1.0);
        assert!(budgets.left().is_empty());
        let (a, b) = (budgets.of("m", "a"), budgets.of("m", "b"));
        a.observe(CallClass::Read, 7.0);
        b.pause(CallClass::Write, Duration::from_secs(60));
        assert_eq!(budgets.left(), [("read", 7.0), ("write", 0.0)]);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(budgets.left(), [("read", 200.0), ("write", 150.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_azure_says_is_left_is_believed() {
        let budget = Budget::at_speed(1.0);
        budget.observe(CallClass::Write, 11_999.0);
        assert_eq!(budget.take(CallClass::Write, PATIENCE), Ok(Duration::ZERO));
        budget.observe(CallClass::Write, 0.0);
        assert_eq!(budget.take(CallClass::Write, PATIENCE), Ok(Duration::from_millis(125)));
    }

    #[test]
    fn forgotten_subscriptions_are_let_go() {
        let budgets = Budgets::at_speed(1.0);
        let kept = budgets.of("m", "kept");
        for n in 0..2000 {
            budgets.of("m", &n.to_string());
        }
        assert!(lock(&budgets.all).len() <= MOST_IDLE);
        assert!(Arc::ptr_eq(&kept, &budgets.of("m", "kept")));
    }
}
