//! One session with a vCenter, shared by all calls.
//!
//! vCenter suffers from sessions more than from calls (it limits them, and Cluster API's provider once brought one down
//! with twenty), so there is one per client: whoever finds it expired logs in again, and everyone else waits for that.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::{
    sync::{Mutex, Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    error::VimError,
    soap::{Answer, Call, Wire},
    xml::{Element, MoRef, leaf},
};
use crate::{
    core::observed::VCenterAbout,
    ports::{Secret, SharedClock},
};

/// How many calls may be on their way at once, besides the long poll.
const CALLS_AT_ONCE: usize = 4;
/// How long a refused login is remembered. vCenter's default policy locks an account after 5 failures in 3 minutes.
const REFUSED_LOGIN_PAUSE: Duration = Duration::from_secs(180);
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(5);

/// What vCenter tells of itself: the well-known objects that everything else starts from.
#[derive(Debug)]
pub(super) struct ServiceContent {
    pub(super) about: VCenterAbout,
    pub(super) property_collector: MoRef,
    pub(super) view_manager: MoRef,
    pub(super) root_folder: MoRef,
    session_manager: MoRef,
}

/// A login that vCenter accepted.
#[derive(Debug)]
pub(super) struct Live {
    /// Tells this login from the one before, even if the server reuses a cookie.
    generation: u64,
    cookie: Option<HeaderValue>,
    pub(super) content: ServiceContent,
}

/// What is known about logging in; only the holder of its lock may do so.
#[derive(Default)]
struct Gate {
    logins: u64,
    /// The last refusal and when it came.
    refused: Option<(Instant, VimError)>,
}

pub(super) struct Session {
    wire: Wire,
    user: String,
    password: Secret,
    clock: SharedClock,
    live: watch::Sender<Option<Arc<Live>>>,
    gate: Mutex<Gate>,
    slots: Semaphore,
    closed: CancellationToken,
}

impl Session {
    pub(super) fn new(wire: Wire, user: String, password: Secret, clock: SharedClock) -> Self {
        let (live, gate, slots) = (watch::Sender::new(None), Mutex::default(), Semaphore::new(CALLS_AT_ONCE));
        Self { wire, user, password, clock, live, gate, slots, closed: CancellationToken::new() }
    }

    pub(super) fn server(&self) -> &str {
        self.wire.server()
    }

    /// Completes once the session was closed for good.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The session; logs in when there is none.
    pub(super) async fn live(&self) -> Result<Arc<Live>, VimError> {
        let live = self.live.borrow().clone();
        match live {
            Some(live) if !self.closed.is_cancelled() => Ok(live),
            _ => self.log_in(None).await,
        }
    }

    /// Replaces a session that vCenter does not know any more, unless somebody has already.
    pub(super) async fn renew(&self, stale: &Live) -> Result<Arc<Live>, VimError> {
        self.log_in(Some(stale.generation)).await
    }

    async fn log_in(&self, stale: Option<u64>) -> Result<Arc<Live>, VimError> {
        let mut gate = self.gate.lock().await;
        if self.closed.is_cancelled() {
            return Err(VimError::Closed);
        }
        let current = self.live.borrow().clone();
        if let Some(live) = current.filter(|live| Some(live.generation) != stale) {
            return Ok(live);
        }
        if let Some((at, refusal)) = &gate.refused
            && at.elapsed() < self.clock.wall(REFUSED_LOGIN_PAUSE)
        {
            return Err(refusal.clone());
        }
        if self.live.send_replace(None).is_some() {
            self.wire.count_sessions(-1);
        }
        match self.open(gate.logins).await {
            Ok(live) if self.closed.is_cancelled() => {
                self.log_out(&live).await;
                Err(VimError::Closed)
            }
            Ok(live) => {
                *gate = Gate { logins: gate.logins + 1, refused: None };
                info!(server = self.server(), version = live.content.about.version, "logged in to vCenter");
                let live = Arc::new(live);
                self.wire.count_sessions(1);
                self.live.send_replace(Some(Arc::clone(&live)));
                Ok(live)
            }
            Err(error) => {
                if error.login_refused() {
                    warn!(server = self.server(), "vCenter refused the credentials");
                    gate.refused = Some((Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    /// Probe, service content, login: never sent twice, because a login that was lost may have been counted.
    async fn open(&self, generation: u64) -> Result<Live, VimError> {
        self.wire.probe().await?;
        let root = MoRef::new("ServiceInstance", "ServiceInstance");
        let call = Call::new("RetrieveServiceContent", &root, String::new()).within(LOGIN_TIMEOUT);
        let Answer { response, cookie } = self.wire.send(&call, None).await?;
        let content = response.child("returnval").and_then(ServiceContent::read);
        let content = content.ok_or_else(|| VimError::Unreadable("its service content is incomplete".into()))?;
        let credentials = leaf("userName", &self.user) + &leaf("password", self.password.reveal());
        let call = Call::new("Login", &content.session_manager, credentials).within(LOGIN_TIMEOUT);
        // vCenter may open the session at the first contact already, and then only marks it as logged in.
        let login = self.wire.send(&call, cookie.as_ref()).await?;
        Ok(Live { generation, cookie: login.cookie.or(cookie), content })
    }

    /// A call that may be repeated, within one session. A lost session is the caller's to renew: what it had begun
    /// there (pages, views, collectors) is lost as well.
    pub(super) async fn read(&self, live: &Live, call: Call) -> Result<Element, VimError> {
        let _slot = self.slots.acquire().await.map_err(|_| VimError::Closed)?;
        self.read_outside_limit(live, &call).await
    }

    /// The same without taking one of the few slots: for the long poll, which mostly waits.
    pub(super) async fn read_outside_limit(&self, live: &Live, call: &Call) -> Result<Element, VimError> {
        let answer = match self.wire.send(call, live.cookie.as_ref()).await {
            Err(VimError::Cut(why)) => {
                debug!(server = self.server(), method = call.method, why, "asking again after a broken connection");
                self.wire.send(call, live.cookie.as_ref()).await
            }
            other => other,
        };
        Ok(answer?.response)
    }

    /// Keeps the session from idling out. `SessionIsActive` would need a privilege that a reader lacks.
    pub(super) async fn keep_alive(&self, live: &Live) -> Result<(), VimError> {
        let root = MoRef::new("ServiceInstance", "ServiceInstance");
        self.read(live, Call::new("CurrentTime", &root, String::new()).within(LOGIN_TIMEOUT)).await.map(drop)
    }

    /// Logs out, for good: a client whose credentials were replaced must not come back with the old ones.
    ///
    /// A login that is under way is not waited for: it logs out by itself when it sees that the client was closed.
    pub(super) async fn close(&self) {
        self.closed.cancel();
        if let Some(live) = self.live.send_replace(None) {
            self.wire.count_sessions(-1);
            self.log_out(&live).await;
        }
    }

    async fn log_out(&self, live: &Live) {
        let call = Call::new("Logout", &live.content.session_manager, String::new()).within(LOGOUT_TIMEOUT);
        match self.wire.send(&call, live.cookie.as_ref()).await {
            Ok(_) => info!(server = self.server(), "logged out of vCenter"),
            Err(error) => debug!(server = self.server(), %error, "vCenter did not take the logout"),
        }
    }
}

impl ServiceContent {
    pub(super) fn read(element: &Element) -> Option<Self> {
        let object = |name: &str| element.child(name).and_then(Element::moref);
        let text = |path: &str| element.text_at(path).unwrap_or_default().to_owned();
        Some(Self {
            about: VCenterAbout {
                instance_uuid: text("about.instanceUuid").to_lowercase(),
                version: text("about.version"),
                full_name: text("about.fullName"),
            },
            property_collector: object("propertyCollector")?,
            view_manager: object("viewManager")?,
            root_folder: object("rootFolder")?,
            session_manager: object("sessionManager")?,
        })
    }
}
