//! ARM's token buckets. They refill as fast as the site's clock runs, at least as fast as the wall's: a client polls that
//! much faster, too.

use std::time::Instant;

use super::Refusal;
use crate::scenario::TokenBuckets;
use crate::world::World;

/// What is left in each bucket.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    reads: f64,
    writes: f64,
    deletes: f64,
    at: Instant,
    full: bool,
    speed: f64,
}

impl Buckets {
    /// Full ones, for a clock of this speed.
    pub(crate) fn at_speed(speed: f64) -> Buckets {
        Buckets { reads: 0.0, writes: 0.0, deletes: 0.0, at: Instant::now(), full: false, speed: speed.max(1.0) }
    }

    /// Takes a token for this method; tells the headers that show what is left.
    pub(crate) fn take(&mut self, world: &World, method: &str) -> Result<Vec<(String, String)>, Refusal> {
        let kind = match method {
            "GET" | "HEAD" => "reads",
            "DELETE" => "deletes",
            _ => "writes",
        };
        let name = format!("x-ms-ratelimit-remaining-subscription-{kind}");
        let Some(rates) = world.azure.throttling else {
            // As recorded: writes 1199, deletes 14999, and nothing on reads.
            return Ok(match kind {
                "writes" => vec![(name, "1199".to_owned())],
                "deletes" => vec![(name, "14999".to_owned())],
                _ => Vec::new(),
            });
        };
        self.refill(&rates);
        let (left, rate) = match kind {
            "reads" => (&mut self.reads, rates.reads_per_second),
            "deletes" => (&mut self.deletes, rates.deletes_per_second),
            _ => (&mut self.writes, rates.writes_per_second),
        };
        if *left < 1.0 {
            let wait = ((1.0 - *left) / rate.max(0.01)).ceil().max(1.0) as u64;
            let mut refusal = Refusal::arm(
                429,
                "SubscriptionRequestsThrottled",
                format!(
                    "Number of '{kind}' requests for subscription '{}' exceeded the limit. Please try again after '{wait}' seconds.",
                    world.azure.subscription
                ),
            );
            refusal.headers.push(("retry-after".to_owned(), wait.to_string()));
            return Err(refusal);
        }
        *left -= 1.0;
        let remaining = *left as u64;
        let global = name.replace("-subscription-", "-subscription-global-");
        Ok(vec![(name, remaining.to_string()), (global, (remaining * 15).to_string())])
    }

    fn refill(&mut self, rates: &TokenBuckets) {
        let now = Instant::now();
        if !self.full {
            (self.reads, self.writes, self.deletes, self.full) = (rates.reads, rates.writes, rates.deletes, true);
        }
        let seconds = now.duration_since(self.at).as_secs_f64() * self.speed;
        self.at = now;
        self.reads = (self.reads + seconds * rates.reads_per_second).min(rates.reads);
        self.writes = (self.writes + seconds * rates.writes_per_second).min(rates.writes);
        self.deletes = (self.deletes + seconds * rates.deletes_per_second).min(rates.deletes);
    }
}
