//! What was seen, shared: one reading per vault and one session per vCenter, however many objects look at it.
//!
//! Inventories poll and follow; reconcilers read what is there at no cost, and are woken when what they look at has
//! changed. Nothing here decides or acts.

mod registry;
mod vault;
mod vcenter;

pub use registry::{Connection, Registry};
pub use vault::{VaultInventory, VaultView};
pub use vcenter::{Interest, VCenterInventory, VCenterView};

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    core::observed::Fact,
    ports::{Clock, Failure},
};

/// Names an object in Kubernetes: namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Whom to wake: the kinds that look at inventories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wake {
    /// A ReplicatedItem.
    Item(Key),
    /// A MasterTarget.
    Target(Key),
    /// A RecoveryVault, and the MasterTargets of it.
    Vault(Key),
    /// A VCenter.
    VCenter(Key),
    /// The ReplicatedItems of a RecoveryVault, whose inventory has just been started and knows none of them.
    VaultOpened(Key),
    /// The same of a VCenter, and its MasterTargets.
    VCenterOpened(Key),
}

/// Where wake-ups go.
pub type Waker = mpsc::UnboundedSender<Wake>;

/// How a connection stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// Nothing was tried yet.
    Connecting,
    /// The last reading succeeded.
    Up {
        /// When.
        at: Timestamp,
    },
    /// The last reading failed.
    Down(Failure),
}

impl Link {
    /// A fact that cannot be told through this link, with the reason.
    fn unknown<T>(&self, what: &str) -> Fact<T> {
        match self {
            Self::Connecting => Fact::unknown(format!("{what} was not read yet.")),
            Self::Up { .. } => Fact::unknown(format!("{what} was not read yet.")),
            Self::Down(failure) => Fact::unknown(format!("{what} cannot be read: {}", failure.message)),
        }
    }
}

/// How long a first reading may bring no news before it counts as none. A failure that is over by then is none that
/// machines tell of.
const PATIENCE: Duration = Duration::from_secs(60);
/// The least of it on the wall, however fast a simulated clock runs.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// The same on the wall.
pub fn patience(clock: &dyn Clock) -> Duration {
    clock.wall(PATIENCE).max(LEAST_PATIENCE)
}

/// Readings older than this are late, unless they are declared to be rarer.
pub(crate) const LATE: Duration = Duration::from_secs(900);

/// How long ago something was; nothing for what lies ahead, after a clock was set back.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// How long to wait after failures in a row. A rejected credential is left alone for longer: retries lock accounts.
fn pause(failures: u32, failure: &Failure, seed: &str) -> Duration {
    use crate::core::{backoff, failure::FailureClass};
    let wait = match failure.class {
        FailureClass::Throttled { retry_after } => retry_after.max(Duration::from_secs(5)),
        FailureClass::Unauthenticated if failure.is_unmatched_federation() => Duration::from_secs(60),
        FailureClass::Unauthenticated => Duration::from_secs(600),
        FailureClass::Transient
        | FailureClass::Conflict
        | FailureClass::NotFound
        | FailureClass::Denied
        | FailureClass::Invalid
        | FailureClass::Lost => backoff::exponential(failures, Duration::from_secs(5), Duration::from_secs(120)),
    };
    backoff::jittered(wait, seed)
}
