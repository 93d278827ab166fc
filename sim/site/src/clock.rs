//! The simulated clock: it runs at a chosen multiple of the wall clock and can jump forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// The time of the simulated world. Clones share jumps, so that a client holding one stays on the world's time.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Simulated time at `started`, before any jump.
    pub origin: Timestamp,
    /// Simulated seconds that pass in one wall second.
    pub speed: f64,
    /// The wall instant that `origin` belongs to.
    pub started: Instant,
    jumped_nanos: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that shows `origin` now and runs at `speed`.
    pub fn new(origin: Timestamp, speed: f64) -> Clock {
        let speed = if speed.is_finite() && speed >= 0.0 { speed } else { 1.0 };
        Clock { origin, speed, started: Instant::now(), jumped_nanos: Arc::new(AtomicI64::new(0)) }
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        let ran = self.started.elapsed().as_secs_f64() * self.speed;
        let ran = SignedDuration::try_from_secs_f64(ran).unwrap_or(SignedDuration::ZERO);
        let jumped = SignedDuration::from_nanos(self.jumped_nanos.load(Ordering::SeqCst));
        after(after(self.origin, ran), jumped)
    }

    /// Jumps forward. Time never goes back: a negative jump is ignored.
    pub fn advance(&self, by: SignedDuration) {
        let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        if nanos > 0 {
            self.jumped_nanos.fetch_add(nanos, Ordering::SeqCst);
        }
    }

    /// Makes it show `now`: for a world that was saved at another time.
    pub(crate) fn set(&self, now: Timestamp) {
        let off = now.duration_since(self.now()).as_nanos();
        self.jumped_nanos.fetch_add(i64::try_from(off).unwrap_or(0), Ordering::SeqCst);
    }

    /// The wall time until `due`; `None` when a stopped clock (speed 0) never gets there by itself.
    pub fn wall_until(&self, due: Timestamp) -> Option<Duration> {
        let left = due.duration_since(self.now());
        if left <= SignedDuration::ZERO {
            return Some(Duration::ZERO);
        }
        if self.speed <= 0.0 {
            return None;
        }
        Some(Duration::try_from_secs_f64(left.as_secs_f64() / self.speed).unwrap_or(Duration::MAX))
    }
}

/// `at + by`, staying at the end of time instead of failing.
pub(crate) fn after(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// `at - by`, staying at the beginning of time instead of failing.
pub(crate) fn before(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Rust's own rendering carries up to nine fraction digits; Azure sends seven at most (recorded: 2023-08-26T04:22:13.1215306Z).
pub(crate) fn azure_time(at: Timestamp) -> String {
    let ticks = at.subsec_nanosecond() / 100;
    let zoned = at.to_zoned(jiff::tz::TimeZone::UTC);
    let (date, time) = (zoned.date(), zoned.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        ticks
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_faster_and_jumps() {
        let clock = Clock::new(Timestamp::UNIX_EPOCH, 1_000.0);
        std::thread::sleep(Duration::from_millis(20));
        assert!(clock.now() > after(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(19)));
        let held = clock.clone();
        clock.advance(SignedDuration::from_hours(5));
        assert!(held.now() > after(Timestamp::UNIX_EPOCH, SignedDuration::from_hours(5)));
    }

    #[test]
    fn a_stopped_clock_only_jumps() {
        let clock = Clock::new(Timestamp::UNIX_EPOCH, 0.0);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        assert_eq!(clock.wall_until(after(clock.now(), SignedDuration::from_secs(1))), None);
        clock.advance(SignedDuration::from_secs(2));
        assert_eq!(clock.now().as_second(), 2);
    }

    #[test]
    fn azure_writes_seven_digits() {
        assert_eq!(azure_time(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.0000000Z");
    }
}
