//! The call of a step with all that its body needs: from what is declared, else from what is known.

use crate::{
    api::{RecoveryPointChoice, ReplicatedItemSpec, TargetStatus},
    core::{
        action::{Action, RecoveryPoint, ReprotectWith, Verb},
        facts::ItemFacts,
        observed::{Fabric, Generation, Health, OnPremisesVm, ProcessServer, Replication, ReprotectTarget},
    },
};

/// Builds the action.
///
/// # Errors
/// A sentence that names the field to set, when something is neither declared nor known.
pub(super) fn action(verb: Verb, spec: &ReplicatedItemSpec, facts: &ItemFacts) -> Result<Action, String> {
    let item = facts.replication.known().map_err(ToOwned::to_owned)?;
    let generation = item.generation.ok_or("The item's provider is unknown.")?;
    match verb {
        Verb::Commit => Ok(Action::Commit),
        Verb::Cancel => Ok(Action::Cancel),
        Verb::FailBack => Ok(Action::FailBack {
            generation,
            point: match spec.recovery_point {
                RecoveryPointChoice::Custom => {
                    RecoveryPoint::Custom(spec.recovery_point_id.clone().unwrap_or_default())
                }
                RecoveryPointChoice::Latest => RecoveryPoint::Latest,
                RecoveryPointChoice::LatestAppConsistent => RecoveryPoint::LatestAppConsistent,
            },
        }),
        Verb::Reprotect | Verb::Protect if generation == Generation::Classic => Err(
            "Machines of the classic generation (configuration server) are shown, and cannot be moved by this version."
                .to_owned(),
        ),
        Verb::Reprotect => reprotect(spec, facts, item),
        Verb::Protect => protect(spec, facts, item, generation),
    }
}

fn reprotect(spec: &ReplicatedItemSpec, facts: &ItemFacts, item: &Replication) -> Result<Action, String> {
    match facts.on_premises.known()? {
        OnPremisesVm::Found(_) => {}
        OnPremisesVm::NotFound => {
            return Err("The original VM was not found in vCenter by its UUID. This version brings machines back to their original location only: check spec.vcenterRef.".to_owned());
        }
        OnPremisesVm::Ambiguous(names) => {
            return Err(format!("Several VMs in vCenter carry the machine's UUID: {}. Keep one.", names.join(", ")));
        }
    }
    let target = target(spec, facts)?;
    let log_storage_account_id = spec
        .log_storage_account_id
        .clone()
        .or_else(|| item.log_storage_account_id.clone())
        .ok_or("spec.logStorageAccountId: the vault names no cache storage account for this machine; set the ARM id of one in the Azure VM's region.")?;
    Ok(Action::Reprotect {
        target_id: target.appliance_id,
        datastore: target.datastore,
        with: ReprotectWith::Appliance { log_storage_account_id },
    })
}

/// Where the machine comes home to.
pub(super) fn target(spec: &ReplicatedItemSpec, facts: &ItemFacts) -> Result<TargetStatus, String> {
    let fabric = facts.fabric.known().map_err(ToOwned::to_owned)?;
    let declared = facts.appliance.known().map_err(ToOwned::to_owned)?;
    let agent = choose_appliance(fabric, declared.as_deref())?;
    let datastore = spec
        .datastore
        .clone()
        .or_else(|| facts.home_datastores.first().cloned())
        .or_else(|| facts.replication.value().and_then(|item| item.datastores.first().cloned()))
        .ok_or("spec.datastore: the original VM's datastore is not known; name the datastore to come home to.")?;
    if !agent.datastores.contains(&datastore) {
        return Err(format!(
            "spec.datastore: appliance \"{}\" cannot write to datastore \"{datastore}\"; it reaches {}. A read-only vCenter account of the appliance, or a discovery that has not run, leaves this list empty.",
            agent.name,
            if agent.datastores.is_empty() { "none".to_owned() } else { agent.datastores.join(", ") },
        ));
    }
    Ok(TargetStatus {
        appliance: agent.name.clone(),
        appliance_id: agent.id.clone(),
        datastore,
        ..TargetStatus::default()
    })
}

fn choose_appliance<'a>(fabric: &'a Fabric, declared: Option<&str>) -> Result<&'a ReprotectTarget, String> {
    let names = || fabric.targets.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = declared {
        return fabric
            .targets
            .iter()
            .find(|agent| agent.name.eq_ignore_ascii_case(wanted) || agent.id.eq_ignore_ascii_case(wanted))
            .ok_or_else(|| {
                format!(
                    "spec.masterTargetRef: fabric \"{}\" has no appliance \"{wanted}\"; it has: {}.",
                    fabric.name,
                    names()
                )
            });
    }
    let mut healthy = fabric.targets.iter().filter(|agent| agent.health != Health::Critical);
    match (healthy.next(), healthy.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!("Fabric \"{}\" has no appliance whose reprotect agent works.", fabric.name)),
        (Some(_), Some(_)) => Err(format!(
            "spec.masterTargetRef: fabric \"{}\" has several appliances ({}); name the one to come home through.",
            fabric.name,
            names()
        )),
    }
}

fn protect(
    spec: &ReplicatedItemSpec,
    facts: &ItemFacts,
    item: &Replication,
    generation: Generation,
) -> Result<Action, String> {
    let fabric = facts.fabric.known().map_err(ToOwned::to_owned)?;
    let wanted = spec.reprotection.process_server.as_deref();
    let server = choose_process_server(fabric, wanted, item.appliance_id.as_deref())?;
    let policy_id = spec
        .reprotection
        .policy_id
        .clone()
        .or_else(|| item.last_used_policy_id.clone())
        .ok_or("spec.reprotection.policyId: the vault does not name the policy that was used before the failover; set its ARM id.")?;
    Ok(Action::Protect {
        generation,
        process_server_id: server.id.clone(),
        policy_id,
        run_as_account_id: spec.reprotection.run_as_account_id.clone(),
    })
}

fn choose_process_server<'a>(
    fabric: &'a Fabric,
    declared: Option<&str>,
    used: Option<&str>,
) -> Result<&'a ProcessServer, String> {
    let by = |wanted: &str| {
        fabric
            .process_servers
            .iter()
            .find(|server| server.name.eq_ignore_ascii_case(wanted) || server.id.eq_ignore_ascii_case(wanted))
    };
    let names = || fabric.process_servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = declared {
        return by(wanted).ok_or_else(|| {
            format!(
                "spec.reprotection.processServer: fabric \"{}\" has no process server \"{wanted}\"; it has: {}.",
                fabric.name,
                names()
            )
        });
    }
    if let Some(server) = used.and_then(by) {
        return Ok(server);
    }
    match fabric.process_servers.as_slice() {
        [only] => Ok(only),
        _ => Err(format!(
            "spec.reprotection.processServer: fabric \"{}\" has these process servers: {}; name one.",
            fabric.name,
            names()
        )),
    }
}
