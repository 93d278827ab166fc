//! Power on both sides, and what follows from it: Tools, the agent, and the record of times when both copies ran.

use super::{AzurePower, BothRunning, Event, TaskFault, TaskState, TaskWork, VmKey, World};
use crate::clock::after;

impl World {
    /// Powers the VM on; Tools follow, and the agent registers after its delay.
    pub(crate) fn power_on(&mut self, key: VmKey) {
        let Some(vcenter) = self.vcenters.get_mut(key.vcenter) else { return };
        let started = vcenter.change_vm(key.vm, |vm| {
            if vm.powered_on {
                return None;
            }
            vm.powered_on = true;
            vm.tools = false;
            vm.boots += 1;
            Some((vm.boots, vm.tools_start, vm.machine))
        });
        let Some(Some((boot, tools_start, machine))) = started else { return };
        if tools_start {
            self.queue.put(after(self.now, self.durations.tools.0), Event::ToolsRun { vm: key, boot });
        }
        if let Some(index) = machine {
            if self.machines.get(index).is_some_and(|m| !m.stage.runs_in_azure()) {
                self.agent_boots(index, boot);
            }
            self.watch_copies(index);
        }
    }

    /// Powers the VM off.
    pub(crate) fn power_off(&mut self, key: VmKey) {
        let Some(vcenter) = self.vcenters.get_mut(key.vcenter) else { return };
        let machine = vcenter.change_vm(key.vm, |vm| {
            vm.powered_on = false;
            vm.tools = false;
            vm.machine
        });
        if let Some(Some(index)) = machine {
            self.watch_copies(index);
        }
    }

    /// After a boot the agent is unknown to the service until it has registered.
    pub(crate) fn agent_boots(&mut self, index: usize, boot: u32) {
        let Some(machine) = self.machines.get_mut(index) else { return };
        machine.agent_registered = false;
        if !machine.agent_never {
            let at = after(self.now, machine.spec.agent.delay.0);
            self.queue.put(at, Event::AgentRegisters { machine: index, boot });
        }
    }

    /// The boots of the copy that the agent runs in.
    fn current_boot(&self, index: usize) -> Option<u32> {
        let machine = self.machines.get(index)?;
        if machine.stage.runs_in_azure() {
            (machine.azure.exists && machine.azure.power == AzurePower::Running).then_some(machine.azure.boots)
        } else {
            self.on_prem(machine).filter(|vm| vm.powered_on).map(|vm| vm.boots)
        }
    }

    pub(super) fn agent_registers(&mut self, index: usize, boot: u32) {
        if self.current_boot(index) != Some(boot) {
            return;
        }
        if let Some(machine) = self.machines.get_mut(index)
            && !machine.agent_never
        {
            machine.agent_registered = true;
        }
    }

    pub(super) fn tools_run(&mut self, key: VmKey, boot: u32) {
        let Some(vcenter) = self.vcenters.get_mut(key.vcenter) else { return };
        vcenter.change_vm(key.vm, |vm| {
            if vm.powered_on && vm.boots == boot {
                vm.tools = true;
            }
        });
    }

    /// Sets the power of the Azure VM and what follows from it.
    pub(crate) fn set_azure_power(&mut self, index: usize, power: AzurePower) {
        let Some(machine) = self.machines.get_mut(index) else { return };
        let was = machine.azure.power;
        machine.azure.power = power;
        if power == AzurePower::Running && was != AzurePower::Running {
            machine.azure.boots += 1;
            let boot = machine.azure.boots;
            self.agent_boots(index, boot);
        }
        self.watch_copies(index);
    }

    pub(super) fn azure_power_reached(&mut self, index: usize, operation: &str, power: AzurePower) {
        let now = self.now;
        if let Some(operation) = self.compute_operations.get_mut(operation) {
            operation.ended = Some(now);
        }
        if self.machines.get(index).is_some_and(|machine| machine.azure.exists) {
            self.set_azure_power(index, power);
        }
    }

    /// Keeps the record of times in which both copies ran.
    pub(crate) fn watch_copies(&mut self, index: usize) {
        let (now, start) = (self.now, self.start);
        let Some(machine) = self.machines.get(index) else { return };
        let on_prem = self.on_prem(machine).is_some_and(|vm| vm.powered_on);
        let both = on_prem && machine.azure.exists && machine.azure.power.is_on();
        let Some(machine) = self.machines.get_mut(index) else { return };
        let open = machine.both_running.last().is_some_and(|interval| interval.until.is_none());
        if both && !open {
            machine.both_running.push(BothRunning { from: now, until: None, from_the_start: now == start });
        } else if !both
            && open
            && let Some(interval) = machine.both_running.last_mut()
        {
            interval.until = Some(now);
        }
    }

    /// A VM of vCenter goes away.
    pub(crate) fn delete_vm(&mut self, key: VmKey) {
        let Some(vcenter) = self.vcenters.get_mut(key.vcenter) else { return };
        vcenter.next_revision();
        let Some(vm) = vcenter.vms.remove(&key.vm) else { return };
        for disk in &vm.disks {
            let size = disk.size;
            vcenter.change_free(disk.datastore, |free| free.saturating_add(size));
        }
        if let Some(index) = vm.machine {
            if let Some(machine) = self.machines.get_mut(index) {
                machine.vm = None;
            }
            self.watch_copies(index);
        }
    }

    /// A vCenter task ends: its effect, or its fault.
    pub(super) fn vcenter_task_ends(&mut self, vcenter: usize, number: u32) {
        let now = self.now;
        let Some(task) = self.vcenters.get(vcenter).and_then(|v| v.tasks.get(&number)).cloned() else { return };
        let key = VmKey { vcenter, vm: task.vm };
        let fault = self.carry_out(key, &task.work);
        let Some(vcenter) = self.vcenters.get_mut(vcenter) else { return };
        let revision = vcenter.next_revision();
        if let Some(task) = vcenter.tasks.get_mut(&number) {
            task.state = if fault.is_some() { TaskState::Error } else { TaskState::Success };
            task.fault = fault;
            task.completed = Some(now);
            task.changed = revision;
        }
    }

    fn carry_out(&mut self, key: VmKey, work: &TaskWork) -> Option<TaskFault> {
        let vm = self.vm(key)?;
        let connected =
            self.vcenters.get(key.vcenter).and_then(|v| v.hosts.get(vm.host)).is_some_and(|host| host.connected);
        if !connected {
            return Some(TaskFault::HostNotConnected);
        }
        let state = |on: bool| if on { "poweredOn" } else { "poweredOff" }.to_owned();
        match work {
            TaskWork::PowerOn if vm.powered_on => {
                Some(TaskFault::InvalidPowerState { requested: state(true), existing: state(true) })
            }
            TaskWork::PowerOff if !vm.powered_on => {
                Some(TaskFault::InvalidPowerState { requested: state(false), existing: state(false) })
            }
            TaskWork::PowerOn => {
                self.power_on(key);
                None
            }
            TaskWork::PowerOff => {
                self.power_off(key);
                None
            }
            TaskWork::RemoveSnapshot(id) => {
                let id = *id;
                self.vcenters
                    .get_mut(key.vcenter)?
                    .change_vm(key.vm, |vm| vm.snapshots.retain(|snapshot| snapshot.id != id));
                None
            }
            TaskWork::RemoveAllSnapshots => {
                self.vcenters.get_mut(key.vcenter)?.change_vm(key.vm, |vm| vm.snapshots.clear());
                None
            }
        }
    }
}
