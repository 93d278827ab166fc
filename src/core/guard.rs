//! The precondition that an action carries. It is compared with an uncached reading right before the call.

use super::{
    action::{Action, Verb},
    facts::HomeIdentity,
    observed::{AzureVm, Generation, Power, Replication, Tools, VirtualMachine},
    stage::Stage,
};

/// An action with the state of the world under which it may be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Guarded {
    /// What to call.
    pub action: Action,
    /// What must be so.
    pub expect: Precondition,
}

/// What must be so right before the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Precondition {
    /// ARM id of the replicated item to act on.
    pub item_id: String,
    /// The item's generation.
    pub generation: Generation,
    /// Its stage.
    pub stage: Stage,
    /// ARM id of the machine in Azure, to be read again.
    pub azure_vm_id: Option<String>,
    /// Managed object id and identity of the VM at home, to be read again.
    pub home_vm: Option<(String, HomeIdentity)>,
}

/// What was read again.
#[derive(Clone, Debug, PartialEq)]
pub struct Fresh {
    /// The item, complete.
    pub item: Replication,
    /// The machine in Azure, where the precondition names one.
    pub azure_vm: Option<AzureVm>,
    /// The VM at home, where the precondition names one: `Some(None)` when it is gone.
    pub home_vm: Option<Option<VirtualMachine>>,
}

impl Guarded {
    /// Compares. The error says what is different, for the journal.
    ///
    /// # Errors
    /// A sentence, when the world is no longer as it was when the action was decided.
    pub fn check(&self, fresh: &Fresh) -> Result<(), String> {
        let verb = self.action.verb();
        let Precondition { item_id, generation, stage, .. } = &self.expect;
        if !fresh.item.id.eq_ignore_ascii_case(item_id) {
            return Err(format!("The vault answered with another item, {}.", fresh.item.id));
        }
        if let Some(scenario) = &fresh.item.scenario {
            return Err(format!("The item is busy with {}.", scenario.name));
        }
        if fresh.item.generation != Some(*generation) {
            return Err(format!("The item is protected by another provider now, {}.", fresh.item.instance_type));
        }
        let seen = Stage::of(&fresh.item);
        if seen != *stage {
            return Err(format!("The item is now at {seen:?}, not at {stage:?}."));
        }
        if !fresh.item.allows(&verb.operation(*generation)) {
            return Err(format!("Site recovery does not allow {} now.", verb.operation(*generation)));
        }
        match verb {
            // A cancel returns to the Azure VM: it must still be there.
            Verb::Reprotect | Verb::FailBack | Verb::Cancel => match &fresh.azure_vm {
                Some(AzureVm::Present { .. }) => Ok(()),
                Some(AzureVm::Absent) => Err("The Azure VM is gone.".to_owned()),
                None => Err("The Azure VM was not read.".to_owned()),
            },
            Verb::Commit => self.check_commit(fresh),
            Verb::Protect => Ok(()),
        }
    }

    /// The irrevocable step: the copy in Azure is off, and the one at home is the right one, is on, and answers.
    fn check_commit(&self, fresh: &Fresh) -> Result<(), String> {
        if fresh.item.failover_undone() {
            return Err("The last planned failover is reported as failed or cancelled.".to_owned());
        }
        match &fresh.azure_vm {
            Some(AzureVm::Present { power, .. }) if power.is_off() => {}
            Some(AzureVm::Absent) => return Err("The Azure VM is not in its resource group.".to_owned()),
            Some(AzureVm::Present { power, .. }) => return Err(format!("The Azure VM is {power}.")),
            None => return Err("The Azure VM was not read.".to_owned()),
        }
        let Some((moref, identity)) = &self.expect.home_vm else {
            return Err("The VM at home is not known.".to_owned());
        };
        let Some(Some(vm)) = &fresh.home_vm else {
            return Err(format!("VM {moref} at home could not be read."));
        };
        if !identity.matches(vm) {
            return Err(format!("VM {moref} at home is another machine now."));
        }
        if vm.power != Some(Power::On) {
            return Err(format!("VM {} ({moref}) at home is not powered on.", vm.name));
        }
        match vm.tools {
            Some(Tools::Running | Tools::ExecutingScripts) => Ok(()),
            Some(Tools::NotRunning) | None => Err(format!("VMware Tools do not run in VM {} ({moref}).", vm.name)),
        }
    }
}
