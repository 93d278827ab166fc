//! Faults on request, so that tests can show what a controller does when the API server misbehaves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::record::RequestRecord;

/// Which requests a fault is for; what is `None` matches all.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Client name, as in the record.
    pub client: Option<String>,
    /// RBAC verb, such as `patch`.
    pub verb: Option<String>,
    /// Plural resource name.
    pub resource: Option<String>,
    /// Subresource; `Some("")` matches only requests without one.
    pub subresource: Option<String>,
    /// Namespace; `Some("")` matches only requests without one.
    pub namespace: Option<String>,
    /// Object name.
    pub name: Option<String>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// It takes this long, and is then served.
    Latency(Duration),
    /// It is refused with this HTTP status (409, 410, 429, 500, 503, …) and not carried out. 429 and 503 carry
    /// `Retry-After: 1`.
    Refuse(u16),
    /// The connection breaks before it is carried out.
    Disconnect,
    /// It is carried out, but the connection breaks before the answer.
    LoseAnswer,
}

/// A fault: `effect` for the next `times` requests that match; `None` is for ever.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The requests.
    pub on: Match,
    /// What happens to them.
    pub effect: Effect,
    /// How often.
    pub times: Option<u32>,
}

/// What happens to the open watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WatchFault {
    None,
    /// The connection breaks.
    Break,
    /// The watch ends as after its timeout.
    End,
    /// 410 Expired.
    Expire,
}

/// The faults of a server; see [`ApiServer::faults`](crate::ApiServer::faults).
#[derive(Debug)]
pub struct Faults {
    pending: Mutex<Vec<Fault>>,
    watches: watch::Sender<WatchFault>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { pending: Mutex::default(), watches: watch::channel(WatchFault::None).0 }
    }
}

impl Match {
    fn matches(&self, request: &RequestRecord) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        is(&self.client, &request.client)
            && is(&self.verb, &request.verb)
            && is(&self.resource, &request.resource)
            && is(&self.subresource, &request.subresource)
            && is(&self.namespace, &request.namespace)
            && is(&self.name, &request.name)
    }
}

impl Faults {
    /// Adds a fault. The first one that matches a request is used.
    pub fn inject(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many faults have not been used up.
    pub fn pending(&self) -> usize {
        self.lock().len()
    }

    /// Breaks the connections of all open watches.
    pub fn break_watches(&self) {
        self.watches.send_replace(WatchFault::Break);
    }

    /// Ends all open watches as their timeout would.
    pub fn end_watches(&self) {
        self.watches.send_replace(WatchFault::End);
    }

    /// Ends all open watches with 410 Expired. To expire older versions for new watches as well, see
    /// [`ApiServer::compact`](crate::ApiServer::compact).
    pub fn expire_watches(&self) {
        self.watches.send_replace(WatchFault::Expire);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watches(&self) -> watch::Receiver<WatchFault> {
        self.watches.subscribe()
    }

    /// The fault for this request, used once.
    pub(crate) fn take(&self, request: &RequestRecord) -> Option<Effect> {
        let mut pending = self.lock();
        let index = pending.iter().position(|f| f.on.matches(request))?;
        let fault = pending.get_mut(index)?;
        let effect = fault.effect.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                pending.remove(index);
            }
        }
        Some(effect)
    }
}
