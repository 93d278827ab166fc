//! A replicated item.

use serde_json::Value;

use super::{Odd, decode, health};
use crate::{
    azure::{
        ids::{before_type, discovered_machine, last_segment},
        quote::quote,
        wire::{
            item::{Disk, Item, Properties, Provider, Scenario, SyncDetails},
            lenient::{Count, Part, Text},
        },
    },
    core::observed::{
        ActiveLocation, CurrentScenario, Direction, Generation, Health, Operation, OsFamily, PlannedFailoverStatus,
        ReplicatedDisk, Replication, ReplicationProgress,
    },
};

/// Reads an item. `complete` tells a GET from a LIST, whose entries are summaries.
pub(crate) fn observe(value: Value, complete: bool) -> Result<Replication, Odd> {
    let item: Item = decode(value)?;
    let id = item.id.get().ok_or_else(|| Odd::new(item.name.get(), "no id"))?;
    let Part::There(properties) = &item.properties else { return Err(Odd::new(Some(id), "no properties")) };
    if properties.allowed_operations.odd {
        return Err(Odd::new(Some(id), "unreadable allowedOperations"));
    }
    let scenario = match &properties.current_scenario {
        Part::Absent => None,
        Part::There(scenario) => observe_scenario(scenario),
        Part::Odd => return Err(Odd::new(Some(id), "unreadable currentScenario")),
    };
    let none = Provider::default();
    let provider = properties.provider_specific_details.get().unwrap_or(&none);
    let instance_type = provider.instance_type.or_empty();
    let (generation, direction) = provider_kind(&instance_type).unzip();
    let azure_vm_id = azure_vm_id(&instance_type, provider);
    let machine = provider.fabric_discovery_machine_id.get().and_then(discovered_machine);
    Ok(Replication {
        id: id.to_owned(),
        name: last_segment(id).or(item.name.get()).unwrap_or_default().to_owned(),
        friendly_name: properties.friendly_name.or_empty(),
        complete,
        generation,
        direction,
        active_location: active_location(&instance_type, properties, provider),
        protection_state: properties.protection_state.or_empty(),
        protection_state_description: health::said(&properties.protection_state_description),
        allowed: properties.allowed_operations.iter().filter_map(Text::get).map(Operation::from).collect(),
        health: Health::from(properties.replication_health.get().unwrap_or_default()),
        health_errors: health::errors(&properties.health_errors),
        scenario,
        agent_registered: provider.is_agent_registration_successful_after_failover.0,
        agent_heartbeat: match provider.mobility_agent_details.get() {
            Some(agent) => agent.last_heartbeat_utc.0,
            None => provider.last_heartbeat.0,
        },
        last_planned_failover: last_planned_failover(provider),
        last_failover: properties.last_successful_failover_time.0,
        progress: progress(provider),
        os: os(provider),
        instance_uuid: machine.as_ref().map(|(_, uuid)| uuid.clone()),
        home_deleted: provider.discovered_vm_details.get().and_then(|vm| vm.is_deleted.0),
        vcenter_name: vcenter_name(provider).or(machine.map(|(vcenter, _)| vcenter)),
        target_vm_name: match direction {
            // In the forward direction the field of that name holds the machine's name in Azure.
            Some(Direction::ToVMware) => provider.target_vm_name.owned(),
            Some(Direction::ToAzure) | None => None,
        },
        datastores: datastores(provider),
        disks: disks(provider).map(disk).collect(),
        log_storage_account_id: log_storage_account_id(provider),
        last_used_policy_id: provider.last_used_policy_id.owned(),
        policy_id: properties.policy_id.owned(),
        appliance_id: appliance_id(&instance_type, provider).owned(),
        run_as_account_id: provider.run_as_account_id.owned(),
        group: group(provider),
        os_name: os_name(provider),
        physical: physical(direction, provider),
        master_target_id: match instance_type.as_str() {
            "InMage" => provider.master_target_id.owned(),
            _ => None,
        },
        infrastructure_vm_id: provider.infrastructure_vm_id.owned(),
        process_server_id: match generation {
            Some(Generation::Classic) => provider.process_server_id.owned(),
            Some(Generation::Modernized) | None => None,
        },
        rpo_seconds: provider.last_rpo_in_seconds.get().or(provider.rpo_in_seconds.get()),
        azure_vm_id_named: names_azure_vm(&instance_type) && azure_vm_id.is_some(),
        azure_vm_id,
        fabric_id: before_type(id, "replicationProtectionContainers").unwrap_or_default().to_owned(),
        instance_type,
    })
}

/// The four providers of VMware machines (protocol reference §0); any other is none of ours.
fn provider_kind(instance_type: &str) -> Option<(Generation, Direction)> {
    match instance_type {
        "InMageRcm" => Some((Generation::Modernized, Direction::ToAzure)),
        "InMageRcmFailback" => Some((Generation::Modernized, Direction::ToVMware)),
        "InMageAzureV2" => Some((Generation::Classic, Direction::ToAzure)),
        "InMage" => Some((Generation::Classic, Direction::ToVMware)),
        _ => None,
    }
}

/// Idle is recorded as scenario `None` with a job id that ends in `/None`. A real job id beside that name still counts
/// as busy.
fn observe_scenario(scenario: &Scenario) -> Option<CurrentScenario> {
    let job_id = scenario.job_id.get().and_then(last_segment).map(str::to_owned);
    let name = scenario.scenario_name.unless_none();
    (name.is_some() || job_id.is_some()).then(|| CurrentScenario {
        name: name.unwrap_or_default().to_owned(),
        job_id,
        started: scenario.start_time.0,
    })
}

/// In the classic direction towards VMware `activeSiteType` is the better witness (protocol reference §3.3): `Azure` is
/// where that direction's data comes from, its primary side.
fn active_location(instance_type: &str, properties: &Properties, provider: &Provider) -> Option<ActiveLocation> {
    match (instance_type, provider.active_site_type.get()) {
        ("InMage", Some("Azure")) => return Some(ActiveLocation::Primary),
        ("InMage", Some("OnPrem")) => return Some(ActiveLocation::Recovery),
        _ => {}
    }
    match properties.active_location.get() {
        Some("Primary") => Some(ActiveLocation::Primary),
        Some("Recovery") => Some(ActiveLocation::Recovery),
        Some(_) | None => None,
    }
}

fn last_planned_failover(provider: &Provider) -> Option<(PlannedFailoverStatus, Option<jiff::Timestamp>)> {
    let status = match provider.last_planned_failover_status.unless_none()? {
        "Succeeded" => PlannedFailoverStatus::Succeeded,
        "Failed" => PlannedFailoverStatus::Failed,
        "Cancelled" | "Canceled" => PlannedFailoverStatus::Cancelled,
        other => PlannedFailoverStatus::Other(other.to_owned()),
    };
    Some((status, provider.last_planned_failover_start_time.0))
}

fn disks(provider: &Provider) -> impl Iterator<Item = &Disk> {
    provider.protected_disks.iter().chain(provider.protected_managed_disks.iter()).filter_map(Part::get)
}

fn disk(disk: &Disk) -> ReplicatedDisk {
    ReplicatedDisk {
        id: disk.disk_id.or_empty(),
        name: disk.disk_name.or_empty(),
        capacity_bytes: disk.capacity_in_bytes.get().or(disk.disk_capacity_in_bytes.get()),
        vmdk_uuid: disk.disk_uuid.get().map(str::to_ascii_lowercase),
    }
}

/// Initial replication first, then resynchronisation. Bytes are often given by disk only (recorded), so that they are
/// summed up there.
fn progress(provider: &Provider) -> ReplicationProgress {
    let classic = provider.resync_details.get().map(|details| details.initial_replication_progress_percentage);
    let percent = provider.initial_replication_progress_percentage.percent();
    let resync = provider.resync_progress_percentage.percent();
    let sum = |of: fn(&SyncDetails) -> Count| {
        let ir = disks(provider).filter_map(|disk| disk.ir_details.get().and_then(|details| of(details).get()));
        let resync = disks(provider).filter_map(|disk| disk.resync_details.get().and_then(|details| of(details).get()));
        ir.chain(resync).reduce(u64::saturating_add)
    };
    ReplicationProgress {
        percent: percent.or(resync).or(classic.and_then(Count::percent)),
        processed_bytes: (provider.initial_replication_processed_bytes.get())
            .or(provider.resync_processed_bytes.get())
            .or_else(|| sum(|details| details.processed_bytes)),
        transferred_bytes: (provider.initial_replication_transferred_bytes.get())
            .or(provider.resync_transferred_bytes.get())
            .or_else(|| sum(|details| details.transferred_bytes)),
    }
}

fn os(provider: &Provider) -> Option<OsFamily> {
    let nested = provider.os_details.get().and_then(|details| details.os_type.get());
    super::os_family(provider.os_type.get().or(nested)?)
}

fn os_name(provider: &Provider) -> Option<String> {
    let discovered = provider.discovered_vm_details.get().and_then(|vm| vm.os_name.get());
    let told = [provider.os_name.get(), provider.os_version.get(), discovered].into_iter().flatten().next();
    told.map(quote)
}

/// In the direction towards VMware the classic provider calls the machine `Physical` because it now protects the VM in
/// Azure (recorded): that tells nothing of the machine at home. The modernized one tells nothing at all.
fn physical(direction: Option<Direction>, provider: &Provider) -> Option<bool> {
    match (direction?, provider.discovery_type.get()?) {
        (Direction::ToVMware, _) => None,
        (Direction::ToAzure, word) if word.eq_ignore_ascii_case("physical") => Some(true),
        (Direction::ToAzure, word) if word.eq_ignore_ascii_case("vcenter") => Some(false),
        (Direction::ToAzure, _) => None,
    }
}

/// The machine in Azure. The forward direction of the modernized generation only lets it be derived, and the service
/// may have added a suffix to the name (recorded); the direction towards VMware names the real one.
fn azure_vm_id(instance_type: &str, provider: &Provider) -> Option<String> {
    let named = match instance_type {
        "InMageRcmFailback" => provider.azure_virtual_machine_id.owned(),
        "InMageAzureV2" => provider.target_vm_id.owned(),
        "InMageRcm" => {
            let (group, name) = (provider.target_resource_group_id.get()?, provider.target_vm_name.get()?);
            Some(format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", group.trim_end_matches('/')))
        }
        _ => None,
    };
    named.filter(|id| last_segment(id).is_some())
}

/// Whether this provider names the VM in Azure, rather than letting its name be derived.
fn names_azure_vm(instance_type: &str) -> bool {
    matches!(instance_type, "InMageRcmFailback" | "InMageAzureV2")
}

fn vcenter_name(provider: &Provider) -> Option<String> {
    let discovered = provider.discovered_vm_details.get().and_then(|vm| vm.v_center_id.get());
    [provider.targetv_center_id.get(), discovered, provider.v_center_infrastructure_id.get()]
        .into_iter()
        .flatten()
        .find_map(last_segment)
        .map(str::to_owned)
}

fn datastores(provider: &Provider) -> Vec<String> {
    if let Some(target) = provider.target_data_store_name.owned() {
        return vec![target];
    }
    let discovered = provider.discovered_vm_details.get().map(|vm| vm.datastores.texts()).unwrap_or_default();
    if discovered.is_empty() { provider.datastores.texts() } else { discovered }
}

fn log_storage_account_id(provider: &Provider) -> Option<String> {
    let by_disk = || disks(provider).find_map(|disk| disk.log_storage_account_id.owned());
    provider
        .log_storage_account_id
        .owned()
        .or_else(by_disk)
        .or_else(|| provider.recovery_azure_log_storage_account_id.owned())
}

/// Who takes part in the replication at home, as the id by which the fabric lists it.
fn appliance_id<'a>(instance_type: &str, provider: &'a Provider) -> &'a Text {
    match instance_type {
        "InMageRcmFailback" => &provider.reprotect_agent_id,
        "InMage" => &provider.master_target_id,
        _ => &provider.process_server_id,
    }
}

/// The classic generation gives each machine that is alone a group whose name is its own id.
fn group(provider: &Provider) -> Option<String> {
    let name = provider.multi_vm_group_name.unless_none()?;
    (provider.multi_vm_group_id.get() != Some(name)).then(|| name.to_owned())
}

#[cfg(test)]
#[path = "item_tests.rs"]
mod tests;
