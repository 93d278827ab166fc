//! The traits that effects hide behind. Reconcilers know these; only `cli` names what implements them.

pub mod trace;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::api::{CheckResult, ItemPhase, Probe, RecoveryVaultSpec, VCenterSpec};
use crate::core::{
    action::Action,
    observed::{
        AzureVm, Datastore, Fabric, Host, Job, Policy, RecoveryPointSeen, Replication, VCenterAbout, Vault,
        VirtualMachine,
    },
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

impl<T> Listing<T> {
    /// The entries of a list in which none may be overlooked, or what is wrong with some of `these`.
    pub fn whole(self, these: &str) -> Result<Vec<T>, String> {
        const SHOWN: usize = 3;
        match self.odd.get(..SHOWN).unwrap_or(&self.odd) {
            [] => Ok(self.entries),
            some => Err(format!("{these} cannot be understood ({}): {}.", self.odd.len(), some.join("; "))),
        }
    }
}

/// A mutating call that Azure accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Id of the job, to be read from the vault's job list; `None` when the answer named none.
    pub job_id: Option<String>,
}

/// Asked immediately before each sending of a mutating call, on every attempt: waits for a token, a budget or a
/// connection may have come before it. An error means that it must not be sent any more, and says why.
pub type Permit<'a> = &'a (dyn Fn() -> Result<(), Failure> + Send + Sync);

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
    /// The vault's jobs, newest first, as the summary that a LIST gives: without errors and tasks.
    async fn jobs(&self) -> Result<Listing<Job>, Failure>;
    /// One job, complete, by the last segment of its id.
    async fn job(&self, id: &str) -> Result<Job, Failure>;
    /// All fabrics with their complete details.
    async fn fabrics(&self) -> Result<Listing<Fabric>, Failure>;
    /// The vault's replication policies.
    async fn policies(&self) -> Result<Listing<Policy>, Failure>;
    /// An item's recovery points, newest first.
    async fn recovery_points(&self, item_id: &str) -> Result<Listing<RecoveryPointSeen>, Failure>;
    /// The locks that keep Azure from deleting the failed-over machine, by the machine's ARM id.
    async fn locks(&self, azure_vm_id: &str) -> Result<Listing<String>, Failure>;
    /// The failed-over machine, by ARM id. A definite 404 is [`AzureVm::Absent`], never an error.
    async fn azure_vm(&self, id: &str) -> Result<AzureVm, Failure>;
    /// Sends a mutating call once, if it is permitted then. [`FailureClass::Lost`] when no answer came.
    async fn submit(&self, item_id: &str, action: &Action, permit: Permit<'_>) -> Result<Submitted, Failure>;
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

/// Speaks for a namespace to another system.
#[async_trait]
pub trait NamespaceIdentity: std::fmt::Debug + Send + Sync {
    /// A new, short-lived token of the namespace's ServiceAccount, for this audience. What it fails with is
    /// [`Remote::Kubernetes`]'s.
    async fn assertion(&self, namespace: &str, audience: &str) -> Result<Secret, Failure>;
}

/// Everything that is needed to reach a vault.
#[derive(Clone, Debug, PartialEq)]
pub struct VaultConnection {
    /// The namespace that it is declared in.
    pub namespace: String,
    /// What is declared.
    pub spec: RecoveryVaultSpec,
    /// The client secret, when the credential is one.
    pub client_secret: Option<Secret>,
}

impl VaultConnection {
    /// Whether both reach the same vault in the same way: what was read through one holds for the other. How often it is
    /// read, and what is declared of its backups, is no part of that.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let reach = |connection: &Self| Self {
            spec: RecoveryVaultSpec {
                poll_interval_seconds: 0,
                configuration_server_backed_up_at: None,
                ..connection.spec.clone()
            },
            ..connection.clone()
        };
        reach(self) == reach(other)
    }
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
    /// How many calls may be made at once, by system and class of calls: the least that any subscription has left.
    fn budgets(&self) -> Vec<(Remote, &'static str, f64)> {
        Vec::new()
    }
}

/// Whether this process is the one that may act. Asked right before each mutating call leaves, and before each claim.
pub trait Leadership: Send + Sync {
    /// True only while the lease is certain to be ours.
    fn is_valid_now(&self) -> bool;

    /// Whether nobody had it for some minutes before: what was recorded then says nothing of that time.
    fn was_vacant(&self) -> bool {
        false
    }
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

/// What the caches show now, in counts. A restart changes none of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Phase and reason of the condition `Ready` of each machine.
    pub items: Vec<(ItemPhase, String)>,
    /// How many machines show which result of which check; `None` for one that does not hold and is waived.
    pub checks: BTreeMap<(String, Option<CheckResult>), i64>,
    /// How many objects of a kind wait for a person.
    pub stalled: BTreeMap<&'static str, i64>,
    /// How many connections to a system show which reason.
    pub connections: BTreeMap<(&'static str, String), i64>,
    /// How many master targets are healthy (`True`), not (`False`), or not known to be (`Unknown`).
    pub master_targets: BTreeMap<String, i64>,
    /// The disks that go through them.
    pub disks: MasterTargetDisks,
    /// How many machines run in Azure and at home at the same time.
    pub both_copies: i64,
    /// The longest time for which a machine has been waiting for an approval.
    pub unapproved: Duration,
    /// The longest time for which a machine has been failed back and not committed.
    pub uncommitted: Duration,
    /// How old the readings of Azure and vCenter are.
    pub readings: Vec<Reading>,
    /// What is left to call Azure with, as [`Connect::budgets`] tells.
    pub budgets: Vec<(Remote, &'static str, f64)>,
}

/// Disks that are attached through master targets, of all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MasterTargetDisks {
    /// Disks of machines that are replicated to VMware now.
    pub attached: i64,
    /// Disks of claimed machines that will be.
    pub planned: i64,
    /// How many more the fullest master target can take; `None` without any.
    pub fewest_free: Option<i64>,
}

/// How old the last reading of one vault or vCenter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was read.
    pub remote: Remote,
    /// How long ago, or how long it has been tried.
    pub age: Duration,
    /// Whether that is longer than it should ever be.
    pub stale: bool,
}

/// Counts what happens, without knowing of any registry.
pub trait Tally: Send + Sync {
    /// A pass ended.
    fn reconciled(&self, kind: &'static str, outcome: &'static str);
    /// A mutating call ended, or was not made.
    fn operated(&self, verb: &'static str, outcome: &'static str);
    /// The operation that a call began has ended, this long after its intent was written.
    fn ended(&self, _verb: &'static str, _outcome: &'static str, _took: Duration) {}
    /// A check of a machine that had passed fails now.
    fn check_lost(&self, _check: &str) {}
    /// So many watches of a kind cannot list or follow now.
    fn watches_failing(&self, _kind: &'static str, _count: i64) {}
    /// What the caches show now.
    fn standing(&self, standing: &Standing);
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
    fn standing(&self, _: &Standing) {}
}

#[cfg(test)]
mod tests {
    use super::Listing;

    #[test]
    fn a_list_with_gaps_is_no_list() {
        let listing = |odd: &[&str]| Listing { entries: vec![1], odd: odd.iter().map(ToString::to_string).collect() };
        assert_eq!(listing(&[]).whole("Jobs"), Ok(vec![1]));
        assert_eq!(listing(&["a"]).whole("Jobs"), Err("Jobs cannot be understood (1): a.".to_owned()));
        let many = listing(&["a", "b", "c", "d"]).whole("Jobs");
        assert_eq!(many, Err("Jobs cannot be understood (4): a; b; c.".to_owned()));
    }
}
