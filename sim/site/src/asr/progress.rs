//! What each task does to the world: the coupling of both halves.

use jiff::SignedDuration;

use super::job::Outcome;
use super::steps::seconds_for;
use super::{JobError, Step, Work};
use crate::clock::after;
use crate::scenario::{CommitWithoutVm, Generation};
use crate::world::{AzurePower, Copying, Event, PlannedFailover, Reverse, Role, Stage, World, stable_id};

impl World {
    /// What begins with a task.
    pub(super) fn step_begins(&mut self, index: usize, step: Step) {
        let azure = self.machines.get(index).filter(|machine| machine.azure.exists).map(|machine| machine.azure.power);
        if step == Step::FailbackPreflight && self.generation(index) == Generation::Modernized {
            let now = self.now;
            if let Some(machine) = self.machines.get_mut(index) {
                machine.planned = Some(PlannedFailover { started: now, status: None });
            }
        }
        if step == Step::ShutdownAzureVm && azure == Some(AzurePower::Running) {
            self.set_azure_power(index, AzurePower::Deallocating);
        }
        if step == Step::RestartAzureVm && azure.is_some_and(|power| !power.is_on()) {
            self.set_azure_power(index, AzurePower::Starting);
        }
    }

    /// What a task has done when its time is over.
    pub(super) fn step_ends(&mut self, job: &str, step: Step) -> Result<Outcome, Box<JobError>> {
        let Some((work, machine)) = self.jobs.get(job).map(|job| (job.work.clone(), job.machine)) else {
            return Ok(Outcome::Done);
        };
        if let Step::PlanGroup(_) | Step::ManualAction(_) = step {
            return self.plan_step(job, step);
        }
        if step == Step::Apply {
            return self.apply(&work, machine);
        }
        let Some(index) = machine else { return Ok(Outcome::Done) };
        match step {
            Step::ReprotectPreflight => {
                if let Work::Reprotect(reverse) = &work {
                    self.check_reprotect(index, reverse)?;
                } else if let Work::Protect { process_server, .. } = &work {
                    self.check_protect(index, process_server)?;
                }
            }
            Step::CommitBeforeReprotect => {
                if self.machines.get(index).is_none_or(|m| m.stage != Stage::FailedOver) {
                    return Ok(Outcome::Skipped);
                }
                self.set_stage(index, Stage::FailedOverCommitted);
            }
            Step::DiscoverReplica => {
                if let Work::Reprotect(reverse) = &work {
                    self.prepare_replica(index, reverse)?;
                }
            }
            Step::ProtectReplica => self.begin_replication(index, &work),
            Step::Copy => return Ok(self.copy_ends(index)),
            Step::FailbackPreflight => self.check_failback(index)?,
            Step::ShutdownAzureVm => self.set_azure_power(index, AzurePower::Deallocated),
            Step::StartOnPremVm => {
                self.check_start(index)?;
                self.failed_back(index, &work);
            }
            Step::FailoverPreflight => self.check_failover(index)?,
            Step::ShutdownOnPremVm => {
                if let (Work::UnplannedFailover { shutdown: true, .. }, Some(key)) =
                    (&work, self.machines.get(index).and_then(|m| m.vm))
                {
                    self.power_off(key);
                }
            }
            Step::StartAzureVm => self.failed_over(index, &work),
            Step::Commit => self.committed(index)?,
            Step::StopOnPremVm => {
                if let Some(key) = self.machines.get(index).and_then(|m| m.vm) {
                    self.power_off(key);
                }
            }
            Step::RestartAzureVm => self.cancelled(index),
            Step::Requirements
            | Step::CommitCheck
            | Step::CopyPendingChanges
            | Step::MakePoint
            | Step::SnapshotDisks
            | Step::FinalSync
            | Step::Prepare
            | Step::Failover
            | Step::RevertDisks
            | Step::Apply
            | Step::PlanGroup(_)
            | Step::ManualAction(_) => {}
        }
        Ok(Outcome::Done)
    }

    pub(super) fn generation(&self, index: usize) -> Generation {
        self.machines
            .get(index)
            .and_then(|machine| self.fabric_of(machine))
            .map_or(Generation::Modernized, |fabric| fabric.generation)
    }

    pub(super) fn set_stage(&mut self, index: usize, stage: Stage) {
        let now = self.now;
        if let Some(machine) = self.machines.get_mut(index) {
            machine.stage = stage;
            machine.since = now;
        }
    }

    /// Original location: the VM on-premises is turned off. Alternate: a new VM is made on the host of the master target.
    fn prepare_replica(&mut self, index: usize, reverse: &Reverse) -> Result<(), Box<JobError>> {
        if let Some(key) = self.machines.get(index).and_then(|machine| machine.vm) {
            self.power_off(key);
            return Ok(());
        }
        let host = self.server_of(index, &reverse.target).map_or(0, |server| server.host);
        match self.make_alternate_vm(index, host, &reverse.datastore) {
            Some(_) => Ok(()),
            None => Err(JobError::new(
                "78052",
                "The virtual machine could not be created on the target host.",
                "vCenter refused it.",
                "Retry with another host.",
            )),
        }
    }

    /// The reprotect job is through: the item changes its provider, and the first copy begins as a job of its own.
    fn begin_replication(&mut self, index: usize, work: &Work) {
        let now = self.now;
        let Some(machine) = self.machines.get(index) else { return };
        let total = machine.total_bytes();
        let bandwidth = self.bandwidth(machine);
        let since_failover = now.duration_since(machine.failover_time.unwrap_or(machine.since));
        let changed = machine.changed_bytes(since_failover);
        let whole = matches!(work, Work::Reprotect(_)) && machine.alternate;
        let base = self.durations.initial_replication_base.0;
        // Original location: whole disks are compared by checksum and only what differs is moved. Alternate: everything is.
        let (length, bytes) = if whole {
            (base + seconds_for(total.saturating_add(changed), bandwidth), total)
        } else {
            (base + seconds_for(total, self.durations.checksum_per_second.0) + seconds_for(changed, bandwidth), changed)
        };
        let identity = stable_id("internal", &format!("{}/{}", machine.spec.name, machine.epoch + 1));
        let correlation = stable_id("correlation", &format!("{}/{}", machine.spec.name, machine.epoch + 1));
        let home = self.on_prem(machine).map(|vm| vm.instance_uuid.clone());
        if let Some(machine) = self.machines.get_mut(index) {
            machine.epoch += 1;
            machine.since = now;
            // Both ids change when the provider changes (recorded).
            machine.internal_id = identity;
            machine.correlation = correlation;
            machine.copying = Some(Copying { started: now, ends: after(now, length), bytes });
            machine.failover_point = None;
            machine.planned = None;
            if let Work::Reprotect(reverse) = work {
                machine.stage = Stage::ReverseInitial;
                machine.policy = reverse.policy.clone();
                machine.reverse = reverse.clone();
            }
            if let Work::Protect { policy, process_server } = work {
                machine.stage = Stage::ForwardInitial;
                machine.policy = policy.clone();
                machine.forward_policy = policy.clone();
                machine.process_server = process_server.clone();
                machine.alternate = false;
                // What came home from a physical server is a VM from now on.
                machine.spec.physical = false;
                machine.discovered_as = home;
            }
        }
        self.start_item_job(index, Work::InitialReplication, None, None);
    }

    /// Enabling is through: everything is copied to Azure.
    pub(super) fn begin_first_copy(&mut self, index: usize) {
        let now = self.now;
        let Some(machine) = self.machines.get(index) else { return };
        let bytes = machine.total_bytes();
        let length = self.durations.initial_replication_base.0 + seconds_for(bytes, self.bandwidth(machine));
        if let Some(machine) = self.machines.get_mut(index) {
            machine.copying = Some(Copying { started: now, ends: after(now, length), bytes });
            machine.since = now;
        }
        self.start_item_job(index, Work::InitialReplication, None, None);
    }

    /// The first copy has had its time. It cannot end while its source does not run.
    fn copy_ends(&mut self, index: usize) -> Outcome {
        let now = self.now;
        let Some(machine) = self.machines.get(index) else { return Outcome::Done };
        let source_runs = match machine.stage {
            Stage::ReverseInitial => machine.azure.exists && machine.azure.power == AzurePower::Running,
            Stage::ForwardInitial => self.on_prem(machine).is_some_and(|vm| vm.powered_on),
            Stage::ForwardPointPending
            | Stage::ForwardProtected
            | Stage::FailedOver
            | Stage::FailedOverCommitted
            | Stage::ReverseProtected
            | Stage::FailedBack
            | Stage::FailedBackCommitted
            | Stage::Migrated => return Outcome::Done,
        };
        if !source_runs {
            if let Some(machine) = self.machines.get_mut(index) {
                machine.health = "Critical".to_owned();
            }
            return Outcome::Wait(SignedDuration::from_mins(5));
        }
        let first_point = self.durations.first_recovery_point.0;
        let Some(machine) = self.machines.get_mut(index) else { return Outcome::Done };
        machine.health = "Normal".to_owned();
        machine.since = now;
        if machine.stage == Stage::ReverseInitial {
            machine.stage = Stage::ReverseProtected;
            machine.copying = None;
            machine.points_from = now;
            machine.points_until = None;
        } else {
            machine.stage = Stage::ForwardPointPending;
            let epoch = machine.epoch;
            self.queue.put(after(now, first_point), Event::FirstPoint { machine: index, epoch });
        }
        Outcome::Done
    }

    /// The first recovery point toward Azure.
    pub(crate) fn first_point(&mut self, index: usize, epoch: u32) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(index) else { return };
        if machine.epoch == epoch && machine.stage == Stage::ForwardPointPending {
            machine.stage = Stage::ForwardProtected;
            machine.since = now;
            machine.copying = None;
            machine.points_from = now;
            machine.points_until = None;
        }
    }

    fn failed_back(&mut self, index: usize, work: &Work) {
        let now = self.now;
        let point = self.chosen_point(index, work);
        let modernized = self.generation(index) == Generation::Modernized;
        if let Some(machine) = self.machines.get_mut(index) {
            machine.stage = Stage::FailedBack;
            machine.since = now;
            machine.failover_time = Some(now);
            machine.points_until = Some(now);
            machine.failover_point = point;
            if modernized && let Some(planned) = &mut machine.planned {
                planned.status = Some("Succeeded".to_owned());
            }
        }
        if let Some(key) = self.machines.get(index).and_then(|m| m.vm) {
            self.power_on(key);
        }
    }

    /// The point that a failover took: the one asked for, or the newest of its kind.
    fn chosen_point(&self, index: usize, work: &Work) -> Option<String> {
        let machine = self.machines.get(index)?;
        let points = self.points(machine);
        let wanted = if let Work::ClassicFailback { point } | Work::UnplannedFailover { point, .. } = work {
            point.as_deref()
        } else {
            None
        };
        let chosen = match wanted {
            Some("LatestTag" | "LatestApplicationConsistent") => points.iter().find(|point| point.app_consistent),
            Some(id) if id.contains('/') => points.iter().find(|point| id.ends_with(&point.id)),
            _ => points.first(),
        };
        chosen.map(|point| self.point_id(machine, &point.id))
    }

    fn failed_over(&mut self, index: usize, work: &Work) {
        let now = self.now;
        let point = self.chosen_point(index, work);
        if let Some(machine) = self.machines.get_mut(index) {
            machine.stage = Stage::FailedOver;
            machine.since = now;
            machine.failover_time = Some(now);
            machine.points_until = Some(now);
            machine.failover_point = point;
            machine.azure.exists = true;
            machine.azure.power = AzurePower::Deallocated;
        }
        self.set_azure_power(index, AzurePower::Running);
    }

    /// Commit: toward Azure it only fixes the failover; of a failback it deletes the VM in Azure.
    fn committed(&mut self, index: usize) -> Result<(), Box<JobError>> {
        let Some(machine) = self.machines.get(index) else { return Ok(()) };
        match machine.stage {
            Stage::FailedOver => self.set_stage(index, Stage::FailedOverCommitted),
            Stage::FailedBack => {
                if !machine.azure.exists && self.unknowns.commit_without_azure_vm == CommitWithoutVm::Fail {
                    return Err(JobError::new(
                        "ResourceNotFound",
                        "The virtual machine in Azure was not found.",
                        "It was deleted.",
                        "None.",
                    ));
                }
                if let Some(lock) = self.lock_on(index) {
                    return Err(JobError::new(
                        "ScopeLocked",
                        format!(
                            "The scope of '{}' cannot perform delete operation because following scope(s) are locked: '{lock}'. Please remove the lock and try again.",
                            self.machines.get(index).map(|m| self.azure_vm_id(m)).unwrap_or_default()
                        ),
                        "A management lock covers the virtual machine.",
                        "Remove the lock and retry the commit.",
                    ));
                }
                if let Some(machine) = self.machines.get_mut(index) {
                    machine.azure.exists = false;
                    machine.azure.power = AzurePower::Deallocated;
                    machine.added_in_azure.clear();
                }
                self.set_stage(index, Stage::FailedBackCommitted);
                self.watch_copies(index);
            }
            Stage::ForwardInitial
            | Stage::ForwardPointPending
            | Stage::ForwardProtected
            | Stage::FailedOverCommitted
            | Stage::ReverseInitial
            | Stage::ReverseProtected
            | Stage::FailedBackCommitted
            | Stage::Migrated => {}
        }
        Ok(())
    }

    /// Cancel of a failback: back to replicating toward VMware, the VM in Azure runs again.
    fn cancelled(&mut self, index: usize) {
        if let Some(machine) = self.machines.get(index).filter(|machine| machine.azure.exists) {
            let power = if machine.spec.azure_vm_starts { AzurePower::Running } else { AzurePower::Deallocated };
            self.set_azure_power(index, power);
        }
        let now = self.now;
        if let Some(machine) = self.machines.get_mut(index) {
            machine.stage = Stage::ReverseProtected;
            machine.since = now;
            machine.points_until = None;
            if let Some(planned) = &mut machine.planned
                && planned.status.as_deref() != Some("Failed")
            {
                planned.status = Some("Cancelled".to_owned());
            }
        }
    }

    /// The server that an item's reprotect named.
    pub(super) fn server_of(&self, index: usize, id: &str) -> Option<&crate::world::Server> {
        let machine = self.machines.get(index)?;
        let servers = &self.fabric_of(machine)?.servers;
        // The configuration server is a master target and a process server under one id (recorded).
        servers
            .iter()
            .find(|server| server.id.eq_ignore_ascii_case(id) && server.role == Role::MasterTarget)
            .or_else(|| servers.iter().find(|server| server.id.eq_ignore_ascii_case(id)))
    }

    /// Name of the lock that keeps the machine's Azure VM from being deleted.
    pub(super) fn lock_on(&self, index: usize) -> Option<String> {
        let machine = self.machines.get(index)?;
        let covers = |vm: &Option<String>| vm.as_ref().is_none_or(|vm| vm.eq_ignore_ascii_case(&machine.azure.name));
        self.locks.iter().find(|lock| covers(&lock.vm)).map(|lock| {
            format!("/subscriptions/{}/resourceGroups/{}", self.azure.subscription, self.azure.resource_group)
                + &format!("/providers/Microsoft.Authorization/locks/{}", lock.name)
        })
    }
}
