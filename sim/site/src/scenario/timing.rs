//! How long things take, and the knobs for what nobody has published.

use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// How long things take. The fixed parts are those of the one public recording (40 GB Windows VM); the rest follows from
/// sizes and rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Durations {
    /// Enabling replication, until the first copy begins (recorded: 28 min).
    pub enable: Span,
    /// The reprotect job, Azure to on-premises, without the initial replication (recorded: 12 min).
    pub reprotect: Span,
    /// The reprotect job, on-premises to Azure.
    pub protect: Span,
    /// The fixed part of an initial replication.
    pub initial_replication_base: Span,
    /// Bytes per second at which whole disks are read and compared (original location).
    pub checksum_per_second: Size,
    /// Bytes per second that the replication of one machine moves.
    pub bandwidth_per_second: Size,
    /// From the end of the initial replication to the first recovery point, toward Azure (recorded: 30 min; default less).
    pub first_recovery_point: Span,
    /// Failover to Azure (recorded: 10.5 min).
    pub unplanned_failover: Span,
    /// Failback, both generations, without pending changes (recorded: 21 min).
    pub failback: Span,
    /// Cancel of a failback.
    pub cancel: Span,
    /// Commit (recorded: 2 min).
    pub commit: Span,
    /// A test failover, and its cleanup.
    pub test_failover: Span,
    /// Disable replication.
    pub remove: Span,
    /// Anything else that is an operation with a job: policies, mappings, plans, refreshes.
    pub housekeeping: Span,
    /// VMware Tools run so long after power on.
    pub tools: Span,
    /// Compute: start.
    pub azure_start: Span,
    /// Compute: deallocate.
    pub azure_deallocate: Span,
    /// A power task of vCenter.
    pub vcenter_task: Span,
    /// Crash-consistent points are made so often.
    pub crash_point_every: Span,
    /// App-consistent points are made so often; zero: never.
    pub app_point_every: Span,
    /// Points are kept so long.
    pub point_retention: Span,
}

impl Default for Durations {
    fn default() -> Durations {
        Durations {
            enable: Span::minutes(28),
            reprotect: Span::minutes(12),
            protect: Span::minutes(8),
            initial_replication_base: Span::minutes(2),
            checksum_per_second: Size::mb(40),
            bandwidth_per_second: Size::mb(25),
            first_recovery_point: Span::minutes(5),
            unplanned_failover: Span::seconds(630),
            failback: Span::minutes(21),
            cancel: Span::minutes(5),
            commit: Span::minutes(2),
            test_failover: Span::minutes(10),
            remove: Span::minutes(2),
            housekeeping: Span::seconds(30),
            tools: Span::seconds(90),
            azure_start: Span::seconds(45),
            azure_deallocate: Span::seconds(90),
            vcenter_task: Span::seconds(3),
            crash_point_every: Span::minutes(5),
            app_point_every: Span::minutes(60),
            point_retention: Span::minutes(1440),
        }
    }
}

/// What the service answers to a second operation on an item that is busy. No transcript is public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConcurrentOperation {
    /// 409.
    #[default]
    Conflict,
    /// 400.
    BadRequest,
    /// 202, and a job that fails at once.
    FailedJob,
}

/// What commit does when the Azure VM is already gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CommitWithoutVm {
    /// It succeeds.
    #[default]
    Succeed,
    /// Its job fails.
    Fail,
}

/// The direction that a plan's planned failover wants for failback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlanDirection {
    /// Only RecoveryToPrimary, as the portal words it.
    RecoveryToPrimary,
    /// Only PrimaryToRecovery.
    PrimaryToRecovery,
    /// Both.
    #[default]
    Either,
}

/// One knob for each thing that nobody has published (protocol reference §13). What is open there and has none: error codes are chosen
/// by a `jobFails` fault, and size limits and supported versions are not modelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Unknowns {
    /// `protectionState` after a modernized planned failover, before commit.
    pub state_after_planned_failover: String,
    /// `allowedOperations` then. A verb that is not listed is refused.
    pub operations_after_planned_failover: Vec<String>,
    /// `protectionState` after the cancel of a modernized failback, until the next operation.
    pub state_after_cancel: String,
    /// `allowedOperations` then.
    pub operations_after_cancel: Vec<String>,
    /// `protectionState` after the commit of a modernized failback.
    pub state_after_failback_commit: String,
    /// `allowedOperations` then.
    pub operations_after_failback_commit: Vec<String>,
    /// `activeLocation` after a modernized failback.
    pub location_after_failback: String,
    /// `protectionState` after a classic failback, before commit.
    pub classic_state_after_failback: String,
    /// The answer to a second operation on a busy item.
    pub concurrent_operation: ConcurrentOperation,
    /// Commit of a failback whose Azure VM is already gone.
    pub commit_without_azure_vm: CommitWithoutVm,
    /// The direction that a plan wants for a modernized failback.
    pub plan_failback_direction: PlanDirection,
    /// Reprotect before the agent registered: true refuses with 400, false starts a job that fails.
    pub refuse_unregistered_agent: bool,
    /// Operation URLs carry a signature and die after so long (simulated time). Absent: they carry none.
    pub operation_url_lifetime: Option<Span>,
    /// `discoveryStatus` of a vCenter that is connected.
    pub discovery_status: String,
    /// `isInitialReplicationComplete` stays "false" on failback disks although the item is Protected (recorded so).
    pub failback_disks_never_complete: bool,
    /// The item is gone once its migration is completed. False: it stays until somebody removes it.
    pub migration_removes_item: bool,
}

impl Default for Unknowns {
    fn default() -> Unknowns {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Unknowns {
            state_after_planned_failover: "PlannedFailoverCommitPendingStatesBegin".to_owned(),
            operations_after_planned_failover: list(&["Commit", "CancelFailover"]),
            state_after_cancel: "Protected".to_owned(),
            operations_after_cancel: list(&["PlannedFailover", "DisableProtection"]),
            state_after_failback_commit: "PlannedFailoverCommitted".to_owned(),
            operations_after_failback_commit: list(&["SwitchProtection", "DisableProtection"]),
            location_after_failback: "Recovery".to_owned(),
            classic_state_after_failback: "UnplannedFailoverCommitPendingStatesBegin".to_owned(),
            concurrent_operation: ConcurrentOperation::Conflict,
            commit_without_azure_vm: CommitWithoutVm::Succeed,
            plan_failback_direction: PlanDirection::Either,
            refuse_unregistered_agent: false,
            operation_url_lifetime: None,
            discovery_status: "Completed".to_owned(),
            failback_disks_never_complete: true,
            migration_removes_item: false,
        }
    }
}
