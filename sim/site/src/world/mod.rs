//! The one coupled world: what is true, and when it changes.

mod build;
mod fabric;
mod homes;
mod machine;
mod power;
mod queue;
mod servers;
mod vmware;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use fabric::{Fabric, Role, Server, ServerPart};
pub(crate) use homes::{add_bystander, disk_uuid};
pub(crate) use machine::{AzurePower, AzureVm, BothRunning, Copying, Machine, PlannedFailover, Reverse, Stage};
pub(crate) use queue::{Event, Queue};
pub(crate) use servers::SILENCE;
pub(crate) use vmware::{Datastore, Host, Snapshot, Task, TaskFault, TaskState, TaskWork, VCenter, Vm, VmDisk, VmKey};

use crate::asr::{Job, Mapping, Plan, Policy};
use crate::call::Call;
use crate::fault::Faults;
use crate::scenario::Azure;
use crate::scenario::{Durations, ResourceLock, Scenario, Unknowns};

/// The namespace of every derived id.
const IDS: uuid::Uuid = uuid::Uuid::from_u128(0x5f0c_1d2e_8a34_4b7f_9d21_7e66_a1b2_c3d4);

/// So many mutating calls are kept; then the oldest tenth is forgotten.
pub(crate) const MOST_CALLS: usize = 50_000;

/// So many jobs are kept; then the oldest that are over are forgotten, a tenth of them at a time.
pub(crate) const MOST_JOBS: usize = 50_000;

/// An id that depends on its name alone.
pub(crate) fn stable_id(kind: &str, name: &str) -> String {
    uuid::Uuid::new_v5(&IDS, format!("{kind}/{name}").as_bytes()).to_string()
}

/// Everything that is true.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) azure: Azure,
    pub(crate) durations: Durations,
    pub(crate) unknowns: Unknowns,
    pub(crate) seed: u64,
    pub(crate) counter: u64,
    pub(crate) start: Timestamp,
    /// The world is up to date until then.
    pub(crate) now: Timestamp,
    pub(crate) queue: Queue,
    pub(crate) vcenters: Vec<VCenter>,
    pub(crate) fabrics: Vec<Fabric>,
    pub(crate) vaults: Vec<String>,
    pub(crate) machines: Vec<Machine>,
    /// Lower-case item name and fabric index → machine.
    pub(crate) by_item: BTreeMap<String, usize>,
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Job ids, oldest first.
    pub(crate) job_order: Vec<String>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) compute_operations: BTreeMap<String, ComputeOperation>,
    pub(crate) events: Vec<SiteEvent>,
    pub(crate) locks: Vec<ResourceLock>,
    pub(crate) calls: Vec<Call>,
    pub(crate) faults: Faults,
    /// Grows when all tokens are voided.
    pub(crate) token_epoch: u64,
    /// Grows with everything that happens.
    pub(crate) revision: u64,
}

/// A start or deallocate that compute carries out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ComputeOperation {
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) machine: usize,
}

/// An entry of the vault's event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SiteEvent {
    pub(crate) at: Timestamp,
    pub(crate) id: String,
    pub(crate) vault: String,
    pub(crate) fabric: String,
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) severity: String,
    pub(crate) object: String,
    pub(crate) provider: String,
}

impl World {
    /// The world of a scenario at its start.
    pub(crate) fn new(scenario: Scenario, seed: u64, start: Timestamp) -> World {
        build::build(scenario, seed, start)
    }

    /// An id that no one has seen; the same for the same seed and the same requests.
    pub(crate) fn fresh_id(&mut self) -> String {
        self.counter += 1;
        stable_id("fresh", &format!("{}/{}", self.seed, self.counter))
    }

    /// Lets everything happen that is due at `now`.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        while let Some((at, event)) = self.queue.take_due(now) {
            self.now = self.now.max(at);
            self.happen(event);
            self.revision += 1;
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::TaskEnds { job, task } => self.task_ends(&job, task),
            Event::FirstPoint { machine, epoch } => self.first_point(machine, epoch),
            Event::AgentRegisters { machine, boot } => self.agent_registers(machine, boot),
            Event::ToolsRun { vm, boot } => self.tools_run(vm, boot),
            Event::AzurePower { machine, operation, power } => self.azure_power_reached(machine, &operation, power),
            Event::VCenterTask { vcenter, task } => self.vcenter_task_ends(vcenter, task),
        }
    }

    pub(crate) fn vm(&self, key: VmKey) -> Option<&Vm> {
        self.vcenters.get(key.vcenter)?.vms.get(&key.vm)
    }

    pub(crate) fn fabric_of(&self, machine: &Machine) -> Option<&Fabric> {
        self.fabrics.get(machine.fabric)
    }

    pub(crate) fn appliance_of(&self, machine: &Machine) -> Option<&Server> {
        self.fabric_of(machine)?.servers.get(machine.appliance)
    }

    /// The on-premises copy.
    pub(crate) fn on_prem(&self, machine: &Machine) -> Option<&Vm> {
        machine.vm.and_then(|key| self.vm(key))
    }

    pub(crate) fn machine_named(&self, name: &str) -> Option<usize> {
        self.machines.iter().position(|machine| machine.spec.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn item_key(fabric: usize, item: &str) -> String {
        format!("{fabric}/{}", item.to_ascii_lowercase())
    }

    pub(crate) fn item(&self, fabric: usize, item: &str) -> Option<usize> {
        let index = *self.by_item.get(&World::item_key(fabric, item))?;
        self.machines.get(index).filter(|machine| !machine.removed).map(|_| index)
    }

    /// ARM id of a vault.
    pub(crate) fn vault_id(&self, vault: &str) -> String {
        format!(
            "/Subscriptions/{}/resourceGroups/{}/providers/Microsoft.RecoveryServices/vaults/{vault}",
            self.azure.subscription, self.azure.resource_group
        )
    }

    pub(crate) fn fabric_id(&self, fabric: &Fabric) -> String {
        format!("{}/replicationFabrics/{}", self.vault_id(&fabric.vault), fabric.name)
    }

    pub(crate) fn container_id(&self, fabric: &Fabric) -> String {
        format!("{}/replicationProtectionContainers/{}", self.fabric_id(fabric), fabric.container)
    }

    pub(crate) fn item_id(&self, machine: &Machine) -> String {
        match self.fabric_of(machine) {
            Some(fabric) => format!("{}/replicationProtectedItems/{}", self.container_id(fabric), machine.item),
            None => String::new(),
        }
    }

    /// ARM id of something of another provider in the site's resource group.
    pub(crate) fn provider_id(&self, rest: &str) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{rest}",
            self.azure.subscription, self.azure.resource_group
        )
    }

    pub(crate) fn azure_vm_id(&self, machine: &Machine) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Compute/virtualMachines/{}",
            self.azure.subscription, machine.azure.resource_group, machine.azure.name
        )
    }

    /// Keeps a mutating call.
    pub(crate) fn keep_call(&mut self, call: Call) {
        if self.calls.len() >= MOST_CALLS {
            self.calls.drain(..MOST_CALLS / 10);
        }
        self.calls.push(call);
    }

    /// Forgets the oldest jobs that are over, and that no running job is the parent of, when there are more than `most`.
    pub(crate) fn forget_jobs(&mut self, most: usize) {
        if self.job_order.len() <= most {
            return;
        }
        let mut spare = (most / 10).max(1);
        let jobs = &mut self.jobs;
        self.job_order.retain(|id| {
            let runs = |id: &String| jobs.get(id).is_some_and(|job| !job.state.is_over());
            let needed = runs(id) || jobs.get(id).and_then(|job| job.parent.as_ref()).is_some_and(runs);
            if spare == 0 || needed {
                return true;
            }
            spare -= 1;
            jobs.remove(id);
            false
        });
    }

    /// Writes an entry of the event log.
    pub(crate) fn log_event(&mut self, machine: usize, kind: &str, description: String, severity: &str) {
        let id = self.fresh_id();
        let Some(machine) = self.machines.get(machine) else { return };
        let Some(fabric) = self.fabrics.get(machine.fabric) else { return };
        let event = SiteEvent {
            at: self.now,
            id,
            vault: fabric.vault.clone(),
            fabric: format!("{}/replicationFabrics/{}", self.vault_id(&fabric.vault), fabric.name),
            kind: kind.to_owned(),
            description,
            severity: severity.to_owned(),
            object: machine.spec.name.clone(),
            provider: crate::asr::instance_type(fabric.generation, machine.stage).to_owned(),
        };
        self.events.push(event);
        // The service keeps a limited log as well; a run of thousands of machines must not grow without end.
        if self.events.len() > 10_000 {
            self.events.drain(..1_000);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::Value;

    use super::{MOST_CALLS, World};
    use crate::asr::Work;
    use crate::call::Call;
    use crate::clock::after;
    use crate::scenario::Scenario;

    fn world() -> World {
        let scenario = Scenario::from_yaml("machines: [{name: a, state: Protected}]").unwrap();
        World::new(scenario, 1, "2026-01-05T08:00:00Z".parse().unwrap())
    }

    #[test]
    fn old_calls_are_forgotten() {
        let mut world = world();
        for number in 0..=MOST_CALLS {
            world.keep_call(Call {
                at: world.now,
                method: "POST".to_owned(),
                path: number.to_string(),
                verb: String::new(),
                body: Value::Null,
                status: 202,
                target: None,
                effect: true,
            });
        }
        assert_eq!(world.calls.len(), MOST_CALLS - MOST_CALLS / 10 + 1);
        assert_eq!(world.calls.last().unwrap().path, MOST_CALLS.to_string());
    }

    #[test]
    fn old_jobs_are_forgotten_but_none_that_runs() {
        let mut world = world();
        let first = world.start_item_job(0, Work::Resynchronize, None, None);
        let child = world.start_item_job(0, Work::Resynchronize, Some(first.clone()), None);
        world.settle(after(world.now, SignedDuration::from_hours(1)));
        let running: Vec<String> = (0..20).map(|_| world.start_item_job(0, Work::Resynchronize, None, None)).collect();
        world.forget_jobs(22);
        assert_eq!(world.jobs.len(), 22, "not before there are too many");
        world.forget_jobs(10);
        assert!(!world.jobs.contains_key(&first));
        world.forget_jobs(10);
        world.forget_jobs(10);
        assert!(!world.jobs.contains_key(&child));
        assert_eq!(world.job_order, running);
        assert_eq!(world.jobs.len(), running.len());
    }
}
