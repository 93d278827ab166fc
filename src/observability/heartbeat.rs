//! A watchdog: without a beat for too long, the process counts as dead and is restarted.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::time::interval;

/// When the runtime last ran one of its tasks.
#[derive(Debug)]
pub(super) struct Heartbeat {
    started: Instant,
    /// Milliseconds after the start.
    last: AtomicU64,
    limit: Duration,
}

impl Heartbeat {
    /// A heart that has just beaten and must beat again within `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self { started: Instant::now(), last: AtomicU64::new(0), limit }
    }

    fn beat(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Whether it has beaten within the limit.
    pub(super) fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last) <= self.limit
    }

    /// Beats four times per limit, as long as it is run.
    pub(super) async fn keep_beating(&self) {
        let mut ticks = interval((self.limit / 4).max(Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            self.beat();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_heart_that_stops_is_noticed() {
        let heartbeat = Heartbeat::new(Duration::from_millis(200));
        tokio::select! {
            () = heartbeat.keep_beating() => {}
            () = tokio::time::sleep(Duration::from_millis(500)) => assert!(heartbeat.is_alive()),
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(!heartbeat.is_alive());
        heartbeat.beat();
        assert!(heartbeat.is_alive());
    }
}
