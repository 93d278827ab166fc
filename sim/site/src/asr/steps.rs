//! Which tasks a job is made of, and how long each takes. Names of tasks are those of the recordings where there are any.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Chore, PlanRun};
use crate::scenario::Span;
use crate::world::{Reverse, Stage, World};

/// What a job is to achieve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Replicate from Azure to VMware.
    Reprotect(Reverse),
    /// Replicate from VMware to Azure.
    Protect {
        policy: String,
        process_server: String,
    },
    /// Replicate to Azure for the first time.
    Enable,
    /// The first copy after a reprotect: a job of its own.
    InitialReplication,
    /// Modernized failback; the kind of point it makes.
    PlannedFailover {
        point: String,
    },
    /// Classic failback; the point it takes.
    ClassicFailback {
        point: Option<String>,
    },
    /// Failover to Azure.
    UnplannedFailover {
        shutdown: bool,
        point: Option<String>,
    },
    Commit,
    Cancel,
    ChangePoint {
        point: String,
    },
    TestFailover,
    TestFailoverCleanup,
    Resynchronize,
    CompleteMigration,
    Remove,
    /// Everything that is a resource operation rather than a scenario of an item.
    Chore(Chore),
    Plan(PlanRun),
}

/// A task of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    ReprotectPreflight,
    CommitBeforeReprotect,
    DiscoverReplica,
    Requirements,
    ProtectReplica,
    Copy,
    FailbackPreflight,
    CopyPendingChanges,
    MakePoint,
    SnapshotDisks,
    ShutdownAzureVm,
    FinalSync,
    StartOnPremVm,
    FailoverPreflight,
    ShutdownOnPremVm,
    Prepare,
    Failover,
    StartAzureVm,
    CommitCheck,
    Commit,
    StopOnPremVm,
    RevertDisks,
    RestartAzureVm,
    Apply,
    /// Steps of a recovery plan; the number is that of its group.
    PlanGroup(u8),
    ManualAction(u8),
}

impl Step {
    /// Name and friendly name on the wire.
    pub(crate) fn wire(self) -> (&'static str, &'static str) {
        match self {
            Step::ReprotectPreflight => {
                ("SwitchReplicationGroupProtectionPreflightTask", "Prerequisites check for reprotect")
            }
            Step::CommitBeforeReprotect => ("CommitFailoverTask", "Commit failover"),
            Step::DiscoverReplica => ("DiscoverReplicaTask", "Discovering the replica"),
            Step::Requirements => ("GetSwitchProtectionRequirementsTask", "Getting requirements for reprotect"),
            Step::ProtectReplica => ("ProtectReplicaTask", "Protecting the replica"),
            Step::Copy => ("IrCompletionTask", "Initial replication"),
            Step::FailbackPreflight => {
                ("PlannedFailoverPreflightChecksTask", "Prerequisites check for planned failover")
            }
            Step::CopyPendingChanges => ("PlannedFailoverSynchronizeTask", "Copying the pending changes"),
            Step::MakePoint => ("PlannedFailoverRecoveryPointTask", "Making a recovery point"),
            Step::SnapshotDisks => ("PlannedFailoverSnapshotTask", "Taking snapshots of the on-premises disks"),
            Step::ShutdownAzureVm => ("ShutdownVmOnPrimaryForUFO", "Shut down the virtual machine"),
            Step::FinalSync => ("FinalSynchronizeTask", "Synchronizing the latest changes"),
            Step::StartOnPremVm => ("StartVmOnSecondary", "Start the virtual machine"),
            Step::FailoverPreflight => ("UnplannedFailoverPreflightChecksTask", "Prerequisites check for failover"),
            Step::ShutdownOnPremVm => ("ShutdownVmOnPrimaryForUFO", "Shut down the virtual machine"),
            Step::Prepare => ("PrepareForUnPlannedFailoverTask", "Synchronizing the latest changes"),
            Step::Failover => ("FailoverTask", "Start failover"),
            Step::StartAzureVm => ("StartVmOnSecondary", "Start the replica virtual machine"),
            Step::CommitCheck => ("VmCommitPrerequisitesCheck", "Prerequisites check"),
            Step::Commit => ("VmCommit", "Commit"),
            Step::StopOnPremVm => ("CancelFailoverStopVmTask", "Stopping the virtual machine on-premises"),
            Step::RevertDisks => ("CancelFailoverRevertDisksTask", "Reverting the on-premises disks"),
            Step::RestartAzureVm => ("CancelFailoverStartVmTask", "Starting the virtual machine in Azure"),
            Step::Apply => ("ApplyChangesTask", "Applying the changes"),
            Step::PlanGroup(_) => ("RecoveryPlanGroupTask", "Recovery plan group"),
            Step::ManualAction(_) => ("RecoveryPlanManualActionTask", "Manual action"),
        }
    }
}

impl Work {
    /// `scenarioName` and the friendly name of its job.
    pub(crate) fn scenario(&self) -> (&'static str, &'static str) {
        match self {
            Work::Reprotect(_) | Work::Protect { .. } => ("SwitchReplicationGroupProtection", "Reprotect"),
            Work::Enable => ("EnableDr", "Enable replication"),
            Work::InitialReplication => ("IrCompletion", "Finalize protection on the recovery site"),
            Work::PlannedFailover { .. } => ("PlannedFailover", "Planned failover"),
            Work::ClassicFailback { .. } | Work::UnplannedFailover { .. } => ("UnplannedFailover", "Failover"),
            Work::Commit => ("CommitFailover", "Commit"),
            Work::Cancel => ("CancelFailover", "Cancel failover"),
            Work::ChangePoint { .. } => ("ChangeRecoveryPoint", "Change recovery point"),
            Work::TestFailover => ("TestFailover", "Test failover"),
            Work::TestFailoverCleanup => ("TestFailoverCleanup", "Test failover cleanup"),
            Work::Resynchronize => ("RepairReplication", "Resynchronize"),
            Work::CompleteMigration => ("CompleteMigration", "Complete migration"),
            Work::Remove => ("DisableDr", "Disable replication"),
            Work::Chore(chore) => chore.scenario(),
            Work::Plan(run) => run.scenario(),
        }
    }

    /// `customDetails.instanceType` of its job.
    pub(crate) fn details(&self) -> &'static str {
        match self {
            Work::Reprotect(_) | Work::Protect { .. } => "SwitchProtectionJobDetails",
            Work::PlannedFailover { .. } | Work::ClassicFailback { .. } | Work::UnplannedFailover { .. } => {
                "FailoverJobDetails"
            }
            Work::TestFailover => "TestFailoverJobDetails",
            Work::Plan(run) => run.details(),
            Work::Enable
            | Work::InitialReplication
            | Work::Commit
            | Work::Cancel
            | Work::ChangePoint { .. }
            | Work::TestFailoverCleanup
            | Work::Resynchronize
            | Work::CompleteMigration
            | Work::Remove
            | Work::Chore(_) => "AsrJobDetails",
        }
    }

    /// It occupies its item and shows as `currentScenario`. The initial replication does not (recorded: "None" while it runs).
    pub(crate) fn is_a_scenario(&self) -> bool {
        !matches!(self, Work::InitialReplication | Work::Chore(_) | Work::Plan(_))
    }
}

impl World {
    /// The tasks of a job with their planned lengths.
    pub(super) fn steps_of(&self, work: &Work, machine: Option<usize>) -> Vec<(Step, SignedDuration)> {
        let d = &self.durations;
        let machine = machine.and_then(|index| self.machines.get(index));
        match work {
            Work::Reprotect(_) => {
                let uncommitted = machine.is_some_and(|m| m.stage == Stage::FailedOver);
                let commit =
                    if uncommitted { (Step::CommitBeforeReprotect, 3) } else { (Step::CommitBeforeReprotect, 0) };
                let protect = if uncommitted { 3 } else { 6 };
                shares(
                    d.reprotect,
                    &[
                        (Step::ReprotectPreflight, 1),
                        commit,
                        (Step::DiscoverReplica, 3),
                        (Step::Requirements, 2),
                        (Step::ProtectReplica, protect),
                    ],
                )
            }
            Work::Protect { .. } => shares(
                d.protect,
                &[
                    (Step::ReprotectPreflight, 1),
                    (Step::CommitBeforeReprotect, 0),
                    (Step::DiscoverReplica, 2),
                    (Step::Requirements, 2),
                    (Step::ProtectReplica, 3),
                ],
            ),
            Work::InitialReplication => vec![(
                Step::Copy,
                machine.and_then(|m| m.copying).map_or(SignedDuration::ZERO, |c| c.ends.duration_since(c.started)),
            )],
            Work::PlannedFailover { .. } => {
                let mut steps = shares(
                    d.failback,
                    &[
                        (Step::FailbackPreflight, 1),
                        (Step::CopyPendingChanges, 4),
                        (Step::MakePoint, 1),
                        (Step::SnapshotDisks, 1),
                        (Step::ShutdownAzureVm, 4),
                        (Step::FinalSync, 4),
                        (Step::StartOnPremVm, 6),
                    ],
                );
                self.add_pending(&mut steps, Step::CopyPendingChanges, machine);
                steps
            }
            Work::ClassicFailback { .. } => {
                let mut steps = shares(
                    d.failback,
                    &[
                        (Step::FailbackPreflight, 1),
                        (Step::ShutdownAzureVm, 5),
                        (Step::Prepare, 5),
                        (Step::Failover, 4),
                        (Step::StartOnPremVm, 6),
                    ],
                );
                self.add_pending(&mut steps, Step::Prepare, machine);
                steps
            }
            Work::UnplannedFailover { .. } => shares(
                d.unplanned_failover,
                &[
                    (Step::FailoverPreflight, 1),
                    (Step::ShutdownOnPremVm, 2),
                    (Step::Prepare, 3),
                    (Step::Failover, 3),
                    (Step::StartAzureVm, 2),
                ],
            ),
            Work::Commit => shares(d.commit, &[(Step::CommitCheck, 1), (Step::Commit, 3)]),
            Work::Cancel => {
                shares(d.cancel, &[(Step::StopOnPremVm, 1), (Step::RevertDisks, 2), (Step::RestartAzureVm, 2)])
            }
            Work::TestFailover | Work::TestFailoverCleanup => shares(d.test_failover, &[(Step::Apply, 1)]),
            Work::Enable => shares(d.enable, &[(Step::Apply, 1)]),
            Work::Remove => shares(d.remove, &[(Step::Apply, 1)]),
            Work::ChangePoint { .. } => shares(d.unplanned_failover, &[(Step::Apply, 1)]),
            Work::Resynchronize | Work::CompleteMigration | Work::Chore(_) => {
                shares(d.housekeeping, &[(Step::Apply, 1)])
            }
            Work::Plan(run) => run.steps(),
        }
    }

    /// Changes that are still to be copied make a failback longer: what came up since the last point, at the machine's bandwidth.
    fn add_pending(&self, steps: &mut [(Step, SignedDuration)], at: Step, machine: Option<&crate::world::Machine>) {
        let Some(machine) = machine else { return };
        let pending = machine.changed_bytes(self.durations.crash_point_every.0);
        let extra = seconds_for(pending, self.bandwidth(machine));
        if let Some((_, length)) = steps.iter_mut().find(|(step, _)| *step == at) {
            *length += extra;
        }
    }

    /// Bytes per second that the replication of this machine moves.
    pub(super) fn bandwidth(&self, machine: &crate::world::Machine) -> u64 {
        machine.spec.bandwidth_per_second.unwrap_or(self.durations.bandwidth_per_second).0
    }
}

/// The time that `bytes` take at `rate` bytes per second.
pub(super) fn seconds_for(bytes: u64, rate: u64) -> SignedDuration {
    SignedDuration::from_secs((bytes / rate.max(1)).min(i64::MAX as u64 / 4) as i64)
}

fn shares(whole: Span, parts: &[(Step, i32)]) -> Vec<(Step, SignedDuration)> {
    let sum: i32 = parts.iter().map(|(_, part)| part).sum();
    parts.iter().map(|(step, part)| (*step, whole.share(*part, sum))).collect()
}
