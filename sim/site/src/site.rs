//! The site: the world behind its wires.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use crate::arm::{self, Buckets};
use crate::call::Call;
use crate::clock::Clock;
use crate::exchange::{arm_machine, instead, late, record};
use crate::fault::{Effect, Fault, Target};
use crate::scenario::{Scenario, ScenarioError};
use crate::soap::{self, Sessions};
use crate::token::{self, Tokens};
use crate::wire::{self, Answer, Request};
use crate::world::World;
use crate::{admin, snapshot};

/// How a site runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Simulated seconds in one wall second. 0: time only jumps.
    pub speed: f64,
    /// Seed of every id that is made during the run.
    pub seed: u64,
    /// Simulated time at the start. Default: the wall clock's.
    pub origin: Option<Timestamp>,
}

impl Default for Options {
    fn default() -> Options {
        Options { speed: 1.0, seed: 1, origin: None }
    }
}

impl Options {
    /// The defaults at another speed.
    pub fn at_speed(speed: f64) -> Options {
        Options { speed, ..Options::default() }
    }

    /// The same with another seed.
    pub fn with_seed(mut self, seed: u64) -> Options {
        self.seed = seed;
        self
    }

    /// The same, beginning at another time.
    pub fn with_origin(mut self, origin: Timestamp) -> Options {
        self.origin = Some(origin);
        self
    }
}

/// Why a fault was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

/// A simulated site. Cheap to clone; clones share one world.
#[derive(Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    state: Mutex<State>,
    /// Grows when the world changed: long polls wait on it.
    changed: watch::Sender<u64>,
    /// Wakes the timer when there is another next event.
    queue: Notify,
}

/// Everything under the lock.
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) tokens: Tokens,
    pub(crate) buckets: Buckets,
    pub(crate) sessions: Sessions,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("clock", &self.inner.clock).finish_non_exhaustive()
    }
}

impl Site {
    /// The world of a scenario, at its start.
    pub fn new(scenario: Scenario, options: Options) -> Result<Site, ScenarioError> {
        let origin = options.origin.unwrap_or_else(Timestamp::now);
        let world = World::new(scenario.completed()?, options.seed, origin);
        let site = Site::with_world(world, Clock::new(origin, options.speed));
        site.arm_world_faults()?;
        Ok(site)
    }

    fn with_world(world: World, clock: Clock) -> Site {
        let state = State {
            world,
            tokens: Tokens::default(),
            buckets: Buckets::at_speed(clock.speed),
            sessions: Sessions::default(),
        };
        Site {
            inner: Arc::new(Inner {
                clock,
                state: Mutex::new(state),
                changed: watch::Sender::new(0),
                queue: Notify::new(),
            }),
        }
    }

    /// A world that was saved, going on from then.
    pub fn load(saved: Value, options: Options) -> Result<Site, ScenarioError> {
        let mut world: World = serde_json::from_value(saved)
            .map_err(|error| ScenarioError::Syntax(format!("not a saved world: {error}")))?;
        world.queue.unpack();
        let clock = Clock::new(world.now, options.speed);
        Ok(Site::with_world(world, clock))
    }

    /// The whole world, to be loaded again. Sessions and tokens are not part of it.
    pub fn save(&self) -> Result<Value, ScenarioError> {
        let mut state = self.lock();
        state.world.queue.pack();
        serde_json::to_value(&state.world)
            .map_err(|error| ScenarioError::Syntax(format!("the world could not be saved: {error}")))
    }

    /// Replaces the world by a saved one; its time becomes the site's.
    pub(crate) fn replace(&self, saved: Value) -> Result<(), ScenarioError> {
        let mut world: World = serde_json::from_value(saved)
            .map_err(|error| ScenarioError::Syntax(format!("not a saved world: {error}")))?;
        world.queue.unpack();
        self.inner.clock.set(world.now);
        let mut state = self.lock_unsettled();
        // Every property collector starts over: its versions belong to the world before.
        state.sessions = Sessions::default();
        state.world = world;
        drop(state);
        self.tell();
        Ok(())
    }

    /// Serves everything on one port until `shutdown`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let timer = tokio::spawn(self.clone().run_timer());
        let ended = wire::serve_plain(self.clone(), listener, shutdown).await;
        timer.abort();
        ended
    }

    /// The same over TLS.
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let timer = tokio::spawn(self.clone().run_timer());
        let ended = wire::serve_tls(self.clone(), listener, tls, shutdown).await;
        timer.abort();
        ended
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The clock, for a client that is to run on the same time.
    pub fn clock(&self) -> Clock {
        self.inner.clock.clone()
    }

    /// Jumps forward; everything that is due until then happens.
    pub fn advance(&self, by: SignedDuration) {
        self.inner.clock.advance(by);
        drop(self.lock());
        self.tell();
    }

    /// Every mutating call received so far, oldest first. The last 50,000 at most are kept, and as many jobs.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().world.calls.clone()
    }

    /// The world as JSON, the same as `GET /_world`.
    pub fn snapshot(&self) -> Value {
        snapshot::snapshot(&self.lock().world, &self.inner.clock)
    }

    /// Arms a fault, or changes the world's facts at once when it is of that kind. One that names something that is not there is
    /// logged and otherwise ignored; see [`Site::try_inject`].
    pub fn inject(&self, fault: Fault) {
        if let Err(error) = self.try_inject(fault) {
            tracing::warn!(%error, "a fault is ignored");
        }
    }

    /// The same, and refuses a fault that names something that is not in the world.
    pub fn try_inject(&self, fault: Fault) -> Result<(), FaultError> {
        let mut state = self.lock();
        let done = admin::inject(&mut state.world, fault).map_err(FaultError);
        drop(state);
        self.tell();
        done
    }

    fn arm_world_faults(&self) -> Result<(), ScenarioError> {
        let mut state = self.lock();
        let armed = std::mem::take(&mut state.world.faults.armed);
        for (index, known) in armed.into_iter().enumerate() {
            admin::inject(&mut state.world, known.fault)
                .map_err(|error| ScenarioError::impossible(format!("faults[{index}]"), error))?;
        }
        Ok(())
    }

    /// The state, with everything having happened that is due.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_unsettled();
        state.world.settle(self.inner.clock.now());
        state
    }

    fn lock_unsettled(&self) -> MutexGuard<'_, State> {
        // A panic in one request must not take the whole site down; the world is consistent between statements that matter.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells long polls that something may have changed, and the timer that the queue has.
    pub(crate) fn tell(&self) {
        self.inner.changed.send_modify(|count| *count = count.wrapping_add(1));
        self.inner.queue.notify_one();
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Sleeps until the next event is due, lets it happen, and wakes the long polls. Nothing runs at rest.
    async fn run_timer(self) {
        loop {
            let (due, before) = {
                let state = self.lock();
                (state.world.queue.next_due(), revision(&state.world))
            };
            let wait = due.and_then(|due| self.inner.clock.wall_until(due));
            let queue = self.inner.queue.notified();
            match wait {
                Some(wait) => {
                    // A floor keeps a very fast clock from turning this into a busy loop.
                    let sleep = tokio::time::sleep(wait.max(Duration::from_millis(1)));
                    tokio::select! { () = sleep => {}, () = queue => {} }
                }
                None => queue.await,
            }
            let moved = revision(&self.lock().world) != before;
            if moved {
                self.inner.changed.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    /// Answers a request, faults included.
    pub(crate) async fn answer(&self, request: Request) -> Answer {
        let soap = soap::is_soap(&request).then(|| soap::method(&request)).flatten();
        let (effects, refused) = self.strike(&request, soap.as_deref());
        late(&effects).await;
        if let Some(answer) = refused {
            return answer;
        }
        let unanswered = effects.contains(&Effect::ResetAfter);
        let before = revision(&self.lock().world);
        let mut answer = self.route(&request).await;
        let moved = {
            let mut state = self.lock();
            if !admin::is_admin(&request.path) {
                let effect = (200..300).contains(&answer.status);
                let status = if unanswered { 0 } else { answer.status };
                record(&mut state.world, &request, soap.as_deref(), status, effect);
            }
            revision(&state.world) != before
        };
        if moved {
            self.tell();
        }
        for effect in &effects {
            if let Effect::CutBody { after_bytes } = effect {
                answer.cut = Some(*after_bytes);
            }
        }
        if unanswered { Answer::reset() } else { answer }
    }

    /// The faults that strike a request, and the answer that they give instead of the site. The admin endpoint is out of their reach: it is
    /// where they are mended.
    fn strike(&self, request: &Request, soap: Option<&str>) -> (Vec<Effect>, Option<Answer>) {
        if admin::is_admin(&request.path) {
            return (Vec::new(), None);
        }
        let mut state = self.lock();
        let machine = arm_machine(&state.world, &request.path);
        let target = Target { method: &request.method, path: &request.path, soap, machine: machine.as_deref() };
        let effects = state.world.faults.strike(target, Effect::is_of_the_wire);
        let refused = instead(&effects);
        if let Some(answer) = &refused {
            record(&mut state.world, request, soap, answer.status, false);
        }
        (effects, refused)
    }

    async fn route(&self, request: &Request) -> Answer {
        let path = request.path.as_str();
        if admin::is_admin(path) {
            return admin::answer(self, request);
        }
        if soap::is_soap(request) {
            return soap::answer(self, request).await;
        }
        let mut state = self.lock();
        let State { world, tokens, buckets, .. } = &mut *state;
        if path.to_ascii_lowercase().ends_with("/oauth2/v2.0/token") {
            return token::token(world, tokens, request);
        }
        if path == "/metadata/identity/oauth2/token" {
            return token::metadata(world, tokens, request);
        }
        arm::answer(world, tokens, buckets, request)
    }
}

/// Grows with everything that a client might see, and with everything that is going to happen.
fn revision(world: &World) -> u64 {
    world.revision + world.queue.version() + world.vcenters.iter().map(|vcenter| vcenter.revision).sum::<u64>()
}
