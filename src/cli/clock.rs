//! The clocks: the wall's, and one that runs faster beside a simulated site.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::ports::Clock;

/// The wall's clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock;

impl Clock for WallClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the wall's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wall(&self, span: Duration) -> Duration {
        span
    }
}

/// A clock that started at `origin` and runs `speed` times as fast as the wall's.
#[derive(Clone, Copy, Debug)]
pub struct FastClock {
    origin: Timestamp,
    started: Instant,
    speed: f64,
}

impl FastClock {
    /// A clock that shows `origin` at `started`.
    pub const fn new(origin: Timestamp, started: Instant, speed: f64) -> Self {
        Self { origin, started, speed }
    }

    /// The clock that shows `origin` at a wall time that may lie in the past, written `ORIGIN@SPEED`: how a simulated
    /// site that runs in another process tells its clock.
    ///
    /// # Errors
    /// A sentence with the form that is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "\"{text}\" is not WALL_TIME=SIMULATED_TIME@SPEED, such as 2026-01-01T00:00:00Z=2026-01-01T00:00:00Z@600"
            )
        };
        let (times, speed) = text.rsplit_once('@').ok_or_else(expected)?;
        let (wall, origin) = times.split_once('=').ok_or_else(expected)?;
        let wall: Timestamp = wall.parse().map_err(|_| expected())?;
        let origin: Timestamp = origin.parse().map_err(|_| expected())?;
        let speed: f64 = speed.parse().map_err(|_| expected())?;
        if !(speed.is_finite() && speed > 0.0) {
            return Err(expected());
        }
        let since = wall.duration_until(WallClock.now()).as_secs_f64() * speed;
        let now = SignedDuration::try_from_secs_f64(since).map_err(|_| expected())?;
        Ok(Self { origin: origin + now, started: Instant::now(), speed })
    }
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = self.started.elapsed().as_secs_f64() * self.speed;
        SignedDuration::try_from_secs_f64(passed)
            .ok()
            .and_then(|passed| self.origin.checked_add(passed).ok())
            .unwrap_or(self.origin)
    }

    fn wall(&self, span: Duration) -> Duration {
        // Never so short that waiting becomes spinning.
        Duration::try_from_secs_f64(span.as_secs_f64() / self.speed).unwrap_or(span).max(Duration::from_millis(10))
    }
}
