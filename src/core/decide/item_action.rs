//! The call of a step with all that its body needs: from what is declared, else from what is known.

use crate::core::{
    action::{Action, ReprotectWith, Verb},
    facts::{Machine, TargetFacts},
    observed::{Generation, Replication},
    placement::{self, disks_to_include, failback_policy, forward_policy, process_server, retention, run_as_account},
    points,
    refusal::Refusal,
};

/// Builds the action.
///
/// # Errors
/// Field, value and remedy, when something is neither declared nor known.
pub(super) fn action(verb: Verb, machine: &Machine<'_>) -> Result<Action, Refusal> {
    let item = machine.facts.replication.known()?;
    let generation = item.generation.ok_or(Refusal::from("The item's provider is unknown."))?;
    match verb {
        Verb::Commit => Ok(Action::Commit),
        Verb::Cancel => Ok(Action::Cancel),
        Verb::FailBack => Ok(Action::FailBack { generation, point: points::choose(machine)?.point }),
        Verb::Reprotect => reprotect(machine, item, generation),
        Verb::Protect => protect(machine, generation),
    }
}

fn reprotect(machine: &Machine<'_>, item: &Replication, generation: Generation) -> Result<Action, Refusal> {
    let chosen = placement::choose(machine);
    chosen.location?;
    let target = chosen.target?.target;
    let with = match generation {
        Generation::Modernized => appliance(machine, item)?,
        Generation::Classic => master_target(machine, target)?,
    };
    Ok(Action::Reprotect { target_id: target.target.id.clone(), datastore: chosen.datastore?, with })
}

fn appliance(machine: &Machine<'_>, item: &Replication) -> Result<ReprotectWith, Refusal> {
    let declared = machine.spec.log_storage_account_id.clone();
    let log_storage_account_id = declared.or_else(|| item.log_storage_account_id.clone()).ok_or_else(|| {
        Refusal::refused(
            "spec.logStorageAccountId: the vault names no cache storage account for this machine.",
            "Set it to the ARM id of one in the Azure VM's region.",
        )
    })?;
    Ok(ReprotectWith::Appliance { log_storage_account_id })
}

fn master_target(machine: &Machine<'_>, target: &TargetFacts) -> Result<ReprotectWith, Refusal> {
    Ok(ReprotectWith::MasterTarget {
        process_server_id: process_server(machine, Verb::Reprotect, Some(target))?.id.clone(),
        retention_drive: retention(machine, target)?.name.clone(),
        failback_policy_id: failback_policy(machine)?.id.clone(),
        run_as_account_id: run_as_account(machine)?,
        disks: disks_to_include(machine)?,
    })
}

fn protect(machine: &Machine<'_>, generation: Generation) -> Result<Action, Refusal> {
    let declared = machine.spec.reprotection.run_as_account_id.clone();
    let run_as_account_id = match (declared, generation) {
        (None, Generation::Classic) => run_as_account(machine)?,
        (declared, Generation::Classic | Generation::Modernized) => declared,
    };
    Ok(Action::Protect {
        generation,
        process_server_id: process_server(machine, Verb::Protect, None)?.id.clone(),
        policy_id: forward_policy(machine)?,
        run_as_account_id,
    })
}
