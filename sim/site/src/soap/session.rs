//! Sessions and what dies with them: views, collectors, filters, page tokens. They live by the wall clock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::select::{Page, Spec};
use super::value::{MoRef, Val};
use crate::wire::Request;
use crate::world::World;

/// All sessions, by the value of their cookie.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: HashMap<String, Session>,
    count: u64,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: String,
    pub(crate) vcenter: usize,
    epoch: u64,
    used: Instant,
    pub(crate) user: String,
    pub(crate) login: jiff::Timestamp,
    pub(crate) views: BTreeMap<String, View>,
    pub(crate) collectors: BTreeMap<String, Collector>,
    pub(crate) pages: BTreeMap<String, Page>,
    next: u64,
}

/// A container view.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) container: MoRef,
    pub(crate) kinds: Vec<String>,
    pub(crate) recursive: bool,
}

/// A property collector.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    /// The version that the client was told last.
    pub(crate) version: u64,
    pub(crate) filters: BTreeMap<String, Filter>,
    /// The last answer, for a client that lost it and asks again from the version before.
    pub(crate) last: Option<(u64, String)>,
    /// Grows when waiting calls are cancelled.
    pub(crate) cancelled: u64,
}

/// A filter and what its client knows.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) spec: Spec,
    pub(crate) known: HashMap<MoRef, HashMap<String, String>>,
    /// Everything up to this revision of the vCenter was told.
    pub(crate) seen: u64,
    /// The last pass was cut short.
    pub(crate) truncated: bool,
}

/// Name of the cookie.
pub(crate) const COOKIE: &str = "vmware_soap_session";

impl Sessions {
    /// A fresh session; its id is what the cookie carries.
    pub(crate) fn open(&mut self, world: &World, vcenter: usize, user: &str) -> (String, &Session) {
        self.count += 1;
        let of = world.vcenters.get(vcenter);
        let idle = Duration::from_secs(of.map_or(1800, |vcenter| vcenter.session_idle_seconds));
        let epoch = of.map_or(0, |vcenter| vcenter.session_epoch);
        self.all.retain(|_, session| {
            session.vcenter != vcenter || (session.used.elapsed() < idle && session.epoch == epoch)
        });
        let seed = format!("{}/{}/{}", world.seed, vcenter, self.count);
        let id = crate::world::stable_id("session", &seed).replace('-', "");
        let session = Session {
            key: crate::world::stable_id("session-key", &seed),
            vcenter,
            epoch,
            used: Instant::now(),
            user: user.to_owned(),
            login: world.now,
            views: BTreeMap::new(),
            collectors: BTreeMap::new(),
            pages: BTreeMap::new(),
            next: 0,
        };
        (id.clone(), self.all.entry(id).or_insert(session))
    }

    pub(crate) fn close(&mut self, id: &str) {
        self.all.remove(id);
    }

    /// The live session of a cookie; using it keeps it alive.
    pub(crate) fn get(&mut self, world: &World, vcenter: usize, id: &str) -> Option<&mut Session> {
        let of = world.vcenters.get(vcenter)?;
        let idle = Duration::from_secs(of.session_idle_seconds);
        let good = self.all.get(id).is_some_and(|session| {
            session.vcenter == vcenter && session.epoch == of.session_epoch && session.used.elapsed() < idle
        });
        if !good {
            self.all.remove(id);
            return None;
        }
        let session = self.all.get_mut(id)?;
        session.used = Instant::now();
        Some(session)
    }

    /// How many sessions a vCenter has.
    pub(crate) fn of(&self, vcenter: usize) -> Vec<&Session> {
        self.all.values().filter(|session| session.vcenter == vcenter).collect()
    }
}

impl Session {
    /// An id for a view, collector or filter of this session.
    pub(crate) fn object_id(&mut self) -> String {
        self.next += 1;
        format!(
            "session[{}]{}",
            self.key,
            crate::world::stable_id("session-object", &format!("{}/{}", self.key, self.next))
        )
    }

    /// `UserSession`.
    pub(crate) fn to_val(&self, now: jiff::Timestamp) -> Val {
        Val::Data(
            "UserSession",
            vec![
                ("key", Val::text(self.key.clone())),
                ("userName", Val::text(self.user.clone())),
                ("fullName", Val::text("Administrator")),
                ("loginTime", Val::Time(self.login)),
                ("lastActiveTime", Val::Time(now)),
                ("locale", Val::text("en")),
                ("messageLocale", Val::text("en")),
                ("extensionSession", Val::Bool(false)),
                ("ipAddress", Val::text("127.0.0.1")),
                ("userAgent", Val::text("")),
                ("callCount", Val::Long(0)),
            ],
        )
    }
}

/// The session id in a request's cookies.
pub(crate) fn cookie(request: &Request) -> Option<String> {
    request
        .headers
        .get_all("cookie")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE).then(|| value.trim_matches('"').to_owned())
        })
}
