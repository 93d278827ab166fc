//! The traits that effects hide behind. Reconcilers know these; only `cli` names what implements them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::api::{Probe, RecoveryVaultSpec, VCenterSpec};
use crate::core::{
    action::Action,
    observed::{AzureVm, Datastore, Fabric, Host, Job, Replication, VCenterAbout, Vault, VirtualMachine},
    probes::ProbeSeen,
};

pub use crate::core::failure::{Failure, FailureClass, Remote};

/// What is left of a page-by-page read in which some entries could not be decoded.
#[derive(Clone, Debug, Default)]
pub struct Listing<T> {
    /// What could be read.
    pub entries: Vec<T>,
    /// One line for each entry that could not, with its id where it has one.
    pub odd: Vec<String>,
}

/// A mutating call that Azure accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Id of the job, to be read from the vault's job list; `None` when the answer named none.
    pub job_id: Option<String>,
}

/// One Recovery Services vault, and the failed-over machines of its items.
///
/// Reads may be retried inside; [`Self::submit`] sends at most once.
#[async_trait]
pub trait SiteRecovery: Send + Sync {
    /// Reads the vault itself: proves address, credentials and permission.
    async fn vault(&self) -> Result<Vault, Failure>;
    /// All items of the vault, as the summary that a LIST gives.
    async fn items(&self) -> Result<Listing<Replication>, Failure>;
    /// One item, complete and uncached.
    async fn item(&self, id: &str) -> Result<Replication, Failure>;
    /// The vault's jobs, newest first as the service gives them.
    async fn jobs(&self) -> Result<Listing<Job>, Failure>;
    /// One job by the last segment of its id.
    async fn job(&self, id: &str) -> Result<Job, Failure>;
    /// All fabrics with their complete details.
    async fn fabrics(&self) -> Result<Listing<Fabric>, Failure>;
    /// The failed-over machine, by ARM id. A definite 404 is [`AzureVm::Absent`], never an error.
    async fn azure_vm(&self, id: &str) -> Result<AzureVm, Failure>;
    /// Sends a mutating call once. [`FailureClass::Lost`] when no answer came.
    async fn submit(&self, item_id: &str, action: &Action) -> Result<Submitted, Failure>;
}

/// What a vCenter's inventory tells while it is followed.
#[derive(Clone, Debug)]
pub enum VCenterChange {
    /// Everything, read anew: replaces what was known.
    All {
        /// All VMs.
        vms: Vec<VirtualMachine>,
        /// All hosts.
        hosts: Vec<Host>,
        /// All datastores.
        datastores: Vec<Datastore>,
    },
    /// These objects changed or are new; each is complete.
    Changed {
        /// VMs.
        vms: Vec<VirtualMachine>,
        /// Hosts.
        hosts: Vec<Host>,
        /// Datastores.
        datastores: Vec<Datastore>,
    },
    /// These objects are gone (managed object ids).
    Gone(Vec<String>),
    /// Nothing changed, and the connection is alive.
    Alive,
}

/// One vCenter, through one session.
#[async_trait]
pub trait VirtualCenter: Send + Sync {
    /// Connects and logs in if there is no session yet.
    async fn about(&self) -> Result<VCenterAbout, Failure>;
    /// Follows the inventory until it fails or the receiver is dropped. The first message is [`VCenterChange::All`].
    /// Re-login on an expired session happens inside; a wrong password ends it.
    async fn follow(&self, changes: mpsc::Sender<VCenterChange>) -> Failure;
    /// One VM, uncached. `None` only on a definite ManagedObjectNotFound.
    async fn vm(&self, moref: &str) -> Result<Option<VirtualMachine>, Failure>;
    /// Logs out; errors do not matter any more.
    async fn close(&self);
}

/// Looks at a machine as its users would.
#[async_trait]
pub trait Prober: Send + Sync {
    /// One look, which ends within the probe's timeout. `guest_ip` is the guest's address, where vCenter shows it.
    async fn look(&self, probe: &Probe, guest_ip: Option<&str>) -> ProbeSeen;
}

/// A text that never shows in a log: its Debug is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be sent and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Everything that is needed to reach a vault. Two equal ones share a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct VaultConnection {
    /// What is declared.
    pub spec: RecoveryVaultSpec,
    /// The client secret, when the credential is one.
    pub client_secret: Option<Secret>,
}

/// Everything that is needed to reach a vCenter. Two equal ones share a session.
#[derive(Clone, Debug, PartialEq)]
pub struct VCenterConnection {
    /// What is declared.
    pub spec: VCenterSpec,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// Makes adapters. Only `cli` knows which.
pub trait Connect: Send + Sync {
    /// An adapter for a vault. Nothing is sent yet.
    ///
    /// # Errors
    /// When what is declared cannot be a vault's address or credential.
    fn vault(&self, connection: &VaultConnection) -> Result<Arc<dyn SiteRecovery>, Failure>;
    /// An adapter for a vCenter. Nothing is sent yet.
    ///
    /// # Errors
    /// When what is declared cannot be a vCenter's address or certificate.
    fn vcenter(&self, connection: &VCenterConnection) -> Result<Arc<dyn VirtualCenter>, Failure>;
}

/// Whether this process is the one that may act. Asked right before each mutating call.
pub trait Leadership: Send + Sync {
    /// True only while the lease is certain to be ours.
    fn is_valid_now(&self) -> bool;
}

/// The time, so that a simulated run can go faster than the wall.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// How long to wait on the wall for a span of this clock.
    fn wall(&self, span: Duration) -> Duration;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The metrics that adapters report of each remote call, without knowing of any registry.
pub trait CallMeter: Send + Sync {
    /// A call ended. `code` is an HTTP status, or 0 when there was no answer.
    fn called(&self, remote: Remote, code: u16, took: Duration);
    /// The other side throttled us.
    fn throttled(&self, remote: Remote);
    /// So many more sessions are open in vCenters, or less.
    fn sessions(&self, _change: i64) {}
}

/// Counts what happens, without knowing of any registry.
pub trait Tally: Send + Sync {
    /// A pass ended.
    fn reconciled(&self, kind: &'static str, outcome: &'static str);
    /// A mutating call ended, or was not made.
    fn operated(&self, verb: &'static str, outcome: &'static str);
    /// Phase and readiness reason of every machine, now.
    fn standing(&self, items: &[(String, String)]);
}

/// A meter that counts nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoMeter;

impl CallMeter for NoMeter {
    fn called(&self, _: Remote, _: u16, _: Duration) {}
    fn throttled(&self, _: Remote) {}
}

impl Tally for NoMeter {
    fn reconciled(&self, _: &'static str, _: &'static str) {}
    fn operated(&self, _: &'static str, _: &'static str) {}
    fn standing(&self, _: &[(String, String)]) {}
}
