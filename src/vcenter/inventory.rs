//! Following a vCenter's inventory: everything once, then what changes, then everything anew every now and then.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{debug, info};

use super::{
    collector::{Batch, Collector},
    error::VimError,
    known::{Known, Touched},
    properties::{self, PAGE},
    session::{Live, Session},
    xml::MoRef,
};
use crate::ports::{SharedClock, VCenterChange};

/// How often everything is read anew, in case an update was missed or is never sent.
const RESYNC: Duration = Duration::from_secs(600);
/// vCenter forgets an idle session after 30 minutes; some sites set less.
const KEEPALIVE: Duration = Duration::from_secs(300);
/// The shortest of the above on the wall, however fast a simulated clock runs.
const SHORTEST: Duration = Duration::from_secs(1);
/// A session, view or collector that is lost this often without one good answer in between will not come back.
const MAX_REBUILDS: u32 = 3;

/// Why following ended.
pub(super) enum End {
    /// Nobody listens any more.
    Unheard,
    Failed(VimError),
}

impl From<VimError> for End {
    fn from(error: VimError) -> Self {
        Self::Failed(error)
    }
}

pub(super) struct Follower<'a> {
    pub(super) session: &'a Session,
    pub(super) clock: &'a SharedClock,
    pub(super) changes: mpsc::Sender<VCenterChange>,
}

impl Follower<'_> {
    /// Follows until it fails or nobody listens. Lost sessions, views and collectors are rebuilt.
    pub(super) async fn run(&self) -> End {
        let mut rebuilds = 0;
        loop {
            let error = match self.follow_one_session(&mut rebuilds).await {
                Ok(never) => match never {},
                Err(End::Failed(error)) if must_rebuild(&error) && rebuilds < MAX_REBUILDS => error,
                Err(end) => return end,
            };
            rebuilds += 1;
            info!(server = self.session.server(), %error, rebuilds, "following vCenter's inventory anew");
        }
    }

    async fn follow_one_session(&self, rebuilds: &mut u32) -> Result<std::convert::Infallible, End> {
        let live = self.session.live().await?;
        let outcome = match Collector::open(self.session, Arc::clone(&live)).await {
            Ok(mut collector) => {
                let outcome = self.follow(&mut collector, rebuilds).await;
                if !matches!(&outcome, Err(End::Failed(error)) if error.session_lost() || *error == VimError::Closed) {
                    collector.dispose(self.session).await;
                }
                outcome
            }
            Err(error) => Err(End::Failed(error)),
        };
        if let Err(End::Failed(error)) = &outcome
            && error.session_lost()
        {
            self.session.renew(&live).await?;
        }
        outcome
    }

    async fn follow(&self, collector: &mut Collector, rebuilds: &mut u32) -> Result<std::convert::Infallible, End> {
        let mut known = Known::default();
        loop {
            let mut batch = collector.ask(self.session).await?;
            collector.advance(&mut batch);
            let more = batch.truncated;
            self.apply(&mut known, batch, &collector.live).await?;
            if !more {
                break;
            }
        }
        self.send(known.all()).await?;
        loop {
            self.follow_until_resync(collector, &mut known, rebuilds).await?;
            self.resync(collector, &mut known).await?;
        }
    }

    /// Passes updates on until it is time to read everything anew; no long poll is pending then.
    async fn follow_until_resync(
        &self,
        collector: &mut Collector,
        known: &mut Known,
        rebuilds: &mut u32,
    ) -> Result<(), End> {
        // Not all vCenters of a site are to be read in the same second.
        let mut resync = pin!(sleep(self.wall(RESYNC).mul_f64(rand::random_range(0.9..1.1))));
        let mut keep_alive = pin!(sleep(self.wall(KEEPALIVE)));
        let mut due = false;
        while !due {
            let mut batch = {
                let mut poll = pin!(collector.long_poll(self.session));
                loop {
                    tokio::select! {
                        biased;
                        () = self.changes.closed() => return Err(End::Unheard),
                        () = self.session.closed() => return Err(VimError::Closed.into()),
                        batch = &mut poll => break batch?,
                        () = &mut resync => {
                            due = true;
                            break self.interrupt(collector, poll.as_mut()).await?;
                        }
                        () = &mut keep_alive => {
                            keep_alive.set(sleep(self.wall(KEEPALIVE)));
                            self.session.keep_alive(&collector.live).await?;
                            self.send(VCenterChange::Alive).await?;
                        }
                    }
                }
            };
            *rebuilds = 0;
            collector.advance(&mut batch);
            let touched = self.apply(known, batch, &collector.live).await?;
            for change in known.tell(&touched) {
                self.send(change).await?;
            }
        }
        Ok(())
    }

    /// Ends a long poll. Its last answer must be taken before everything is read anew, or old news would follow newer.
    async fn interrupt(
        &self,
        collector: &Collector,
        poll: impl Future<Output = Result<Batch, VimError>>,
    ) -> Result<Batch, VimError> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let (cancelled, batch) = tokio::join!(collector.cancel(self.session), timeout(PATIENCE, poll));
        if let Err(error) = cancelled {
            debug!(server = self.session.server(), %error, "the long poll could not be cancelled");
        }
        // An answer that never came is repeated by the next question, which names the same version.
        batch.unwrap_or_else(|_| Ok(Batch::default()))
    }

    async fn resync(&self, collector: &Collector, known: &mut Known) -> Result<(), End> {
        let mut anew = Known::default();
        collector.read_all(self.session, |object| anew.put(&object, &mut Touched::default())).await?;
        *known = anew;
        self.send(known.all()).await
    }

    /// Applies a batch, reading again what it does not tell completely.
    async fn apply(&self, known: &mut Known, batch: Batch, live: &Live) -> Result<Touched, VimError> {
        let mut touched = Touched::default();
        for update in batch.updates {
            known.apply(update, &mut touched);
        }
        let mut unclear = std::mem::take(&mut touched.unclear);
        unclear.sort();
        unclear.dedup();
        for some in unclear.chunks(PAGE) {
            self.read_again(known, &mut touched, some.to_vec(), live).await?;
        }
        Ok(touched)
    }

    async fn read_again(
        &self,
        known: &mut Known,
        touched: &mut Touched,
        mut objects: Vec<MoRef>,
        live: &Live,
    ) -> Result<(), VimError> {
        while !objects.is_empty() {
            let spec = properties::spec_of_objects(&objects);
            let read = properties::retrieve(self.session, live, &spec, |object| known.put(&object, touched)).await;
            let Err(error) = read else { return Ok(()) };
            // One that is gone by now fails the call for all of them.
            let Some(gone) = objects.iter().position(|object| error.says_gone(object)) else { return Err(error) };
            known.forget(&objects.swap_remove(gone), touched);
        }
        Ok(())
    }

    async fn send(&self, change: VCenterChange) -> Result<(), End> {
        self.changes.send(change).await.map_err(|_| End::Unheard)
    }

    fn wall(&self, span: Duration) -> Duration {
        self.clock.wall(span).max(SHORTEST)
    }
}

/// Views, filters and collectors die with their session, and say so in more than one way.
fn must_rebuild(error: &VimError) -> bool {
    error.session_lost() || error.is_fault("ManagedObjectNotFound") || error.is_fault("InvalidCollectorVersion")
}
