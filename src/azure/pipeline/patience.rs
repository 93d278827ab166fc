//! How long one call may sleep, all its waits together.

use std::time::Duration;

/// A reconcile must not sleep for minutes: a longer wait becomes a requeue.
const LONGEST: Duration = Duration::from_secs(5);

/// What is left of the time that a call may spend waiting.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Patience {
    pub(super) const fn new() -> Self {
        Self(LONGEST)
    }

    pub(super) const fn left(&self) -> Duration {
        self.0
    }

    pub(super) fn allows(&self, wait: Duration) -> bool {
        wait <= self.0
    }

    /// Waits, at most for what is left.
    pub(super) async fn spend(&mut self, wait: Duration) {
        let wait = wait.min(self.0);
        self.0 = self.0.saturating_sub(wait);
        tokio::time::sleep(wait).await;
    }
}

/// The wait before a repeated attempt: 0.2, 0.4, … s, and up to half as much again, so that callers who failed together
/// do not come back together.
pub(super) fn backoff(attempt: u32) -> Duration {
    let base = Duration::from_millis(100 << attempt.clamp(1, 5));
    base + base.mul_f64(rand::random_range(0.0..0.5))
}
