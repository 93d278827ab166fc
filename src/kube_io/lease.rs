//! Leader election over a Lease, so that of several replicas one acts.
//!
//! The protocol is client-go's: whoever finds the lease unheld, or unchanged for its whole duration by a local clock,
//! takes it with a write under the version that was read. Nobody's wall clock is compared with anybody else's. Our own
//! validity is counted from before a renewal was sent, so that it ends before anyone else may take over.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use uuid::Uuid;

use crate::ports::{Leadership, SharedClock};

/// The times of an election.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a lease lasts without a renewal, in whole seconds.
    pub duration: Duration,
    /// How often it is renewed, or looked at.
    pub retry: Duration,
    /// A call that takes longer is given up, so that the next try comes in time.
    pub call: Duration,
    /// Validity ends this much before the lease does: the time that a call may take to leave this process.
    pub margin: Duration,
}

/// A process that was told to stop has only its grace period for giving the lease up.
const LONGEST_CALL: Duration = Duration::from_secs(5);

impl Timing {
    /// The other times in proportion to the lease's. Who waits sees the last renewal up to one `retry` late, and looks
    /// again up to one after the lease's end: 15 s make 18 s at most until another leads.
    pub const fn lasting(duration: Duration) -> Self {
        let third = Duration::from_millis(duration.as_secs() * 1000 / 3);
        Self {
            duration,
            retry: Duration::from_millis(duration.as_secs() * 1000 / 10),
            call: if third.as_secs() < LONGEST_CALL.as_secs() { third } else { LONGEST_CALL },
            margin: third,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::lasting(Duration::from_secs(15))
    }
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    clock: SharedClock,
    timing: Timing,
    /// Until when the lease is certain to be ours, by both local clocks.
    valid_until: Mutex<Option<Moment>>,
    /// Nobody renewed it for longer than `VACANT` before it was ours.
    vacant: AtomicBool,
}

/// So long may a replica that takes over have needed. What happens in less time, the next look shows.
const VACANT: SignedDuration = SignedDuration::from_mins(2);

/// A point in time on the monotonic clock and on the wall's.
///
/// The monotonic clock stands still while a machine is suspended, and its wall clock is set right afterwards; a wall
/// clock alone can be set back. What is over by either is over.
#[derive(Clone, Copy)]
struct Moment {
    monotonic: Instant,
    wall: Timestamp,
}

/// What was seen of the lease, and since when it is so, by the local clock.
struct Observed {
    spec: Option<LeaseSpec>,
    since: Instant,
}

impl Elector {
    /// Nothing is sent yet. `clock` is the wall's; what it shows in the lease is for people.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        clock: SharedClock,
        timing: Timing,
    ) -> Arc<Self> {
        Arc::new(Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            // Two processes may have the same name: on one host, or by a setting that was copied. Under one identity
            // each would take the other's lease for its own.
            identity: format!("{identity}_{}", Uuid::new_v4()),
            clock,
            timing,
            valid_until: Mutex::new(None),
            vacant: AtomicBool::new(false),
        })
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&self) {
        let mut observed = Observed { spec: None, since: Instant::now() };
        loop {
            match self.attempt(&mut observed).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, lease = %self.name, "the lease cannot be read or written"),
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Renews; returns when the lease can no longer be certain to be ours.
    pub async fn hold(&self) {
        let mut observed = Observed { spec: None, since: Instant::now() };
        loop {
            tokio::time::sleep(self.timing.retry).await;
            match self.attempt(&mut observed).await {
                Ok(true) => {}
                Ok(false) => {
                    self.set_valid(None);
                    tracing::error!(lease = %self.name, "another process holds the lease");
                    return;
                }
                Err(error) => tracing::warn!(%error, lease = %self.name, "the lease was not renewed; trying again"),
            }
            if !self.is_valid_now() {
                tracing::error!(lease = %self.name, "the lease could not be renewed in time");
                return;
            }
        }
    }

    /// Gives the lease up, so that another replica need not wait for its end.
    pub async fn release(&self) {
        self.set_valid(None);
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(self.identity.as_str()) {
                spec.holder_identity = None;
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match tokio::time::timeout(self.timing.call, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the lease was not released; it ends by itself"),
            Err(_) => tracing::debug!("the lease was not released in time; it ends by itself"),
        }
    }

    /// One look and, where it is ours to take or to renew, one write. True when it is ours after that.
    async fn attempt(&self, observed: &mut Observed) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let sent = Moment { monotonic: Instant::now(), wall: self.clock.now() };
        let lease = tokio::time::timeout(self.timing.call, self.api.get_opt(&self.name)).await??;
        let spec = lease.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        if observed.spec.as_ref() != Some(&spec) {
            *observed = Observed { spec: Some(spec.clone()), since: Instant::now() };
        }
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let ours = holder == self.identity;
        let lasts = spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok())
            .map_or(self.timing.duration, Duration::from_secs);
        if !ours && !holder.is_empty() && observed.since.elapsed() < lasts {
            return Ok(false);
        }
        // Before the write, whose answer may get lost. Without a lease there is nothing that was recorded under it.
        if let Some(renewed) = spec.renew_time.as_ref().filter(|_| !ours) {
            self.vacant.store(renewed.0.duration_until(sent.wall) > VACANT, Ordering::Relaxed);
        }
        let wanted = self.wanted(lease, &spec, ours);
        let write = async {
            if wanted.metadata.resource_version.is_some() {
                self.api.replace(&self.name, &PostParams::default(), &wanted).await
            } else {
                self.api.create(&PostParams::default(), &wanted).await
            }
        };
        match tokio::time::timeout(self.timing.call, write).await? {
            Ok(_) => {
                self.set_valid(Some(sent.later(self.timing.duration.saturating_sub(self.timing.margin))));
                Ok(true)
            }
            // Somebody was faster; what they wrote is seen at the next look.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(ours && self.is_valid_now()),
            Err(error) => Err(error.into()),
        }
    }

    fn wanted(&self, lease: Option<Lease>, spec: &LeaseSpec, ours: bool) -> Lease {
        let now = MicroTime(self.clock.now());
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
            acquire_time: if ours { spec.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(spec.lease_transitions.unwrap_or(0) + i32::from(!ours)),
            ..spec.clone()
        });
        lease
    }

    fn set_valid(&self, until: Option<Moment>) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Moment {
    fn later(self, span: Duration) -> Self {
        let wall = SignedDuration::try_from(span).ok().and_then(|span| self.wall.checked_add(span).ok());
        Self { monotonic: self.monotonic + span, wall: wall.unwrap_or(self.wall) }
    }
}

impl Leadership for Elector {
    fn is_valid_now(&self) -> bool {
        let until = *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until.monotonic && self.clock.now() < until.wall)
    }

    fn was_vacant(&self) -> bool {
        self.vacant.load(Ordering::Relaxed)
    }
}
