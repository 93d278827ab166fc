//! A replicated machine: the item in the vault, the VM in Azure, the VM on-premises, the agent inside.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VmKey;
use crate::scenario;

/// Power of an Azure VM, as compute words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AzurePower {
    Starting,
    Running,
    Deallocating,
    Deallocated,
}

impl AzurePower {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AzurePower::Starting => "starting",
            AzurePower::Running => "running",
            AzurePower::Deallocating => "deallocating",
            AzurePower::Deallocated => "deallocated",
        }
    }

    /// A VM that stops still runs until it has stopped.
    pub(crate) fn is_on(self) -> bool {
        match self {
            AzurePower::Starting | AzurePower::Running | AzurePower::Deallocating => true,
            AzurePower::Deallocated => false,
        }
    }
}

/// Where in its cycle an item is; both generations have the same stages under different names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// First copy toward Azure.
    ForwardInitial,
    /// Copied, waiting for the first recovery point.
    ForwardPointPending,
    /// Replicates to Azure.
    ForwardProtected,
    /// Runs in Azure, commit pending.
    FailedOver,
    /// Runs in Azure.
    FailedOverCommitted,
    /// First copy toward VMware.
    ReverseInitial,
    /// Runs in Azure, replicates to VMware.
    ReverseProtected,
    /// Runs in VMware, commit pending.
    FailedBack,
    /// Runs in VMware, unprotected.
    FailedBackCommitted,
    /// Migration completed: no way back.
    Migrated,
}

impl Stage {
    /// The item is described by the provider of the direction Azure → VMware.
    pub(crate) fn is_reverse(self) -> bool {
        match self {
            Stage::ReverseInitial | Stage::ReverseProtected | Stage::FailedBack | Stage::FailedBackCommitted => true,
            Stage::ForwardInitial
            | Stage::ForwardPointPending
            | Stage::ForwardProtected
            | Stage::FailedOver
            | Stage::FailedOverCommitted
            | Stage::Migrated => false,
        }
    }

    /// The failed-over VM in Azure belongs to this stage.
    pub(crate) fn has_azure_vm(self) -> bool {
        match self {
            Stage::FailedOver
            | Stage::FailedOverCommitted
            | Stage::ReverseInitial
            | Stage::ReverseProtected
            | Stage::FailedBack
            | Stage::Migrated => true,
            Stage::ForwardInitial
            | Stage::ForwardPointPending
            | Stage::ForwardProtected
            | Stage::FailedBackCommitted => false,
        }
    }

    /// The workload runs in Azure.
    pub(crate) fn runs_in_azure(self) -> bool {
        match self {
            Stage::FailedOver
            | Stage::FailedOverCommitted
            | Stage::ReverseInitial
            | Stage::ReverseProtected
            | Stage::Migrated => true,
            Stage::ForwardInitial
            | Stage::ForwardPointPending
            | Stage::ForwardProtected
            | Stage::FailedBack
            | Stage::FailedBackCommitted => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AzureVm {
    pub(crate) exists: bool,
    pub(crate) name: String,
    pub(crate) resource_group: String,
    pub(crate) power: AzurePower,
    pub(crate) vm_id: String,
    pub(crate) mac: String,
    pub(crate) ip: String,
    pub(crate) boots: u32,
}

/// What the reprotect toward VMware was told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reverse {
    /// Modernized: the reprotect agent. Classic: the master target.
    pub(crate) target: String,
    pub(crate) process_server: String,
    pub(crate) datastore: String,
    pub(crate) log_storage: String,
    pub(crate) policy: String,
    /// Modernized: only `-failback` policies that the service made. True: app-consistent.
    pub(crate) retention_drive: String,
}

/// A copy in progress, for the progress fields.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Copying {
    pub(crate) started: Timestamp,
    pub(crate) ends: Timestamp,
    pub(crate) bytes: u64,
}

/// Outcome of the last planned failover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlannedFailover {
    pub(crate) started: Timestamp,
    pub(crate) status: Option<String>,
}

/// When both copies of a machine ran at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct BothRunning {
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
    /// It was so when the world began: nobody's doing.
    pub(crate) from_the_start: bool,
}

/// A replicated machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) spec: scenario::Machine,
    pub(crate) item: String,
    pub(crate) fabric: usize,
    pub(crate) appliance: usize,
    pub(crate) removed: bool,
    pub(crate) stage: Stage,
    /// Grows with each replication that begins, so that a late event of an old one is ignored.
    pub(crate) epoch: u32,
    pub(crate) since: Timestamp,
    /// The job that works on it.
    pub(crate) operation: Option<String>,
    pub(crate) azure: AzureVm,
    pub(crate) vm: Option<VmKey>,
    pub(crate) agent_registered: bool,
    pub(crate) agent_never: bool,
    pub(crate) reverse: Reverse,
    pub(crate) policy: String,
    pub(crate) forward_policy: String,
    pub(crate) process_server: String,
    pub(crate) internal_id: String,
    pub(crate) correlation: String,
    /// Replication ran from … until …: what recovery points there are follows from it.
    pub(crate) points_from: Timestamp,
    pub(crate) points_until: Option<Timestamp>,
    pub(crate) failover_point: Option<String>,
    pub(crate) failover_time: Option<Timestamp>,
    pub(crate) planned: Option<PlannedFailover>,
    pub(crate) copying: Option<Copying>,
    pub(crate) test_failover: String,
    pub(crate) health: String,
    pub(crate) added_in_azure: Vec<u64>,
    pub(crate) both_running: Vec<BothRunning>,
    /// Reprotected to the alternate location.
    pub(crate) alternate: bool,
    /// Instance UUID of the VM by which replication toward Azure was set up; absent for a physical server.
    pub(crate) discovered_as: Option<String>,
    /// There are recovery points, once replication has run.
    pub(crate) has_points: bool,
}

impl Machine {
    /// Its last planned failover was cancelled, and nothing came after.
    pub(crate) fn was_cancelled(&self) -> bool {
        self.planned.as_ref().is_some_and(|planned| planned.status.as_deref() == Some("Cancelled"))
    }

    /// Bytes on all replicated disks.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.spec.disks.iter().filter(|disk| !disk.added_in_azure).map(|disk| disk.size.0).sum()
    }

    /// Bytes changed in `length` of time, never more than there are.
    pub(crate) fn changed_bytes(&self, length: jiff::SignedDuration) -> u64 {
        let changed = self.spec.change_per_day.0 as f64 * length.as_secs_f64().max(0.0) / 86_400.0;
        (changed as u64).min(self.total_bytes())
    }
}
