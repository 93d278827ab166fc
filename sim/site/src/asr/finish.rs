//! Jobs without tasks of their own making, and what follows from a failed one.

use super::job::Outcome;
use super::{JobError, Step, Work};
use crate::world::{Stage, World};

impl World {
    /// The whole effect of a job with a single task.
    pub(super) fn apply(&mut self, work: &Work, machine: Option<usize>) -> Result<Outcome, Box<JobError>> {
        if let Work::Chore(chore) = work {
            self.carry_out_chore(chore);
            return Ok(Outcome::Done);
        }
        let Some(index) = machine else { return Ok(Outcome::Done) };
        if *work == Work::Enable {
            self.begin_first_copy(index);
            return Ok(Outcome::Done);
        }
        let now = self.now;
        let migration_removes_item = self.unknowns.migration_removes_item;
        let Some(machine) = self.machines.get_mut(index) else { return Ok(Outcome::Done) };
        match work {
            Work::TestFailover => machine.test_failover = "WaitingForCompletion".to_owned(),
            Work::TestFailoverCleanup => machine.test_failover = "None".to_owned(),
            Work::ChangePoint { point } => machine.failover_point = Some(point.clone()),
            Work::Resynchronize => machine.health = "Normal".to_owned(),
            Work::CompleteMigration => {
                machine.stage = Stage::Migrated;
                machine.since = now;
                machine.removed = migration_removes_item;
            }
            Work::Remove => machine.removed = true,
            Work::Enable
            | Work::Reprotect(_)
            | Work::Protect { .. }
            | Work::InitialReplication
            | Work::PlannedFailover { .. }
            | Work::ClassicFailback { .. }
            | Work::UnplannedFailover { .. }
            | Work::Commit
            | Work::Cancel
            | Work::Chore(_)
            | Work::Plan(_) => {}
        }
        Ok(Outcome::Done)
    }

    /// A planned failover that fails is cancelled by the service itself (protocol reference §3.1); a cancel that fails leaves
    /// the item where `failoverCancel` can be called again.
    pub(super) fn after_failure(&mut self, job: &str, step: Step) {
        let Some((work, machine)) = self.jobs.get(job).map(|job| (job.work.clone(), job.machine)) else { return };
        let Some(index) = machine else { return };
        match work {
            Work::PlannedFailover { .. } => {
                if let Some(planned) = self.machines.get_mut(index).and_then(|machine| machine.planned.as_mut()) {
                    planned.status = Some("Failed".to_owned());
                }
                if step != Step::FailbackPreflight {
                    self.start_item_job(index, Work::Cancel, None, None);
                }
            }
            Work::ClassicFailback { .. } => {
                // Classic has no cancel: the Azure VM stays down until somebody starts it or the failover is retried.
                if step != Step::FailbackPreflight {
                    self.set_azure_power(index, crate::world::AzurePower::Deallocated);
                }
            }
            Work::Cancel => {
                if self.machines.get(index).is_some_and(|machine| machine.stage != Stage::FailedBack) {
                    self.set_stage(index, Stage::FailedBack);
                }
            }
            Work::Enable
            | Work::Reprotect(_)
            | Work::Protect { .. }
            | Work::InitialReplication
            | Work::UnplannedFailover { .. }
            | Work::Commit
            | Work::ChangePoint { .. }
            | Work::TestFailover
            | Work::TestFailoverCleanup
            | Work::Resynchronize
            | Work::CompleteMigration
            | Work::Remove
            | Work::Chore(_)
            | Work::Plan(_) => {}
        }
    }
}
