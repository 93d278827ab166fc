//! How long to wait before a refused or failed step is tried again.

use std::time::Duration;

/// Doubles from `first`, up to `most`. `attempt` counts from 1.
pub fn exponential(attempt: u32, first: Duration, most: Duration) -> Duration {
    let factor = 2u32.saturating_pow(attempt.saturating_sub(1).min(30));
    first.saturating_mul(factor).min(most)
}

/// The same spread over ±10 %, so that many objects do not come back at once. `seed` is anything that differs between
/// them; the same seed and attempt give the same wait.
pub fn jittered(wait: Duration, seed: &str) -> Duration {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    let permille = u32::try_from(hasher.finish() % 201).unwrap_or(100);
    wait.saturating_mul(900 + permille) / 1000
}
