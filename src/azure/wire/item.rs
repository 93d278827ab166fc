//! Replicated items of both generations in both directions, in one flat model of provider details: the names of the
//! four providers do not collide, and a field that a provider lacks is simply absent.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lenient::{Count, Flag, Many, Part, Text, When};

/// `replicationProtectedItems/{name}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) id: Text,
    pub(crate) name: Text,
    pub(crate) properties: Part<Properties>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Properties {
    pub(crate) friendly_name: Text,
    pub(crate) protection_state: Text,
    pub(crate) protection_state_description: Text,
    pub(crate) active_location: Text,
    pub(crate) allowed_operations: Many<Text>,
    pub(crate) replication_health: Text,
    pub(crate) health_errors: Many<Part<HealthError>>,
    pub(crate) policy_id: Text,
    pub(crate) last_successful_failover_time: When,
    pub(crate) current_scenario: Part<Scenario>,
    pub(crate) provider_specific_details: Part<Provider>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Scenario {
    pub(crate) scenario_name: Text,
    pub(crate) job_id: Text,
    pub(crate) start_time: When,
}

/// A health error of an item or of a component.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct HealthError {
    pub(crate) error_code: Text,
    pub(crate) error_level: Text,
    pub(crate) summary_message: Text,
    pub(crate) error_message: Text,
    pub(crate) possible_causes: Text,
    pub(crate) recommended_action: Text,
    /// One level only: inner errors have none of their own.
    pub(crate) inner_health_errors: Many<Part<InnerHealthError>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct InnerHealthError {
    pub(crate) error_code: Text,
    pub(crate) error_level: Text,
    pub(crate) summary_message: Text,
    pub(crate) error_message: Text,
    pub(crate) possible_causes: Text,
    pub(crate) recommended_action: Text,
}

/// `providerSpecificDetails`: what of InMageRcm, InMageRcmFailback, InMageAzureV2 and InMage is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Provider {
    pub(crate) instance_type: Text,

    // Where the machine is in Azure.
    /// InMageRcmFailback: the real id, which may carry a suffix that the forward direction does not know.
    pub(crate) azure_virtual_machine_id: Text,
    /// InMageAzureV2: ends in `/virtualMachines/` with an empty name until failed over.
    pub(crate) target_vm_id: Text,
    /// InMageRcm.
    pub(crate) target_resource_group_id: Text,
    /// InMageRcm: the name in Azure; InMageRcmFailback: the name at home.
    pub(crate) target_vm_name: Text,

    // Where it is, or will be, at home.
    /// InMageRcm: `…/machines/{vcenter}_{instance uuid}`.
    pub(crate) fabric_discovery_machine_id: Text,
    /// InMageRcmFailback.
    pub(crate) targetv_center_id: Text,
    pub(crate) v_center_infrastructure_id: Text,
    /// Classic.
    pub(crate) infrastructure_vm_id: Text,
    /// InMageRcmFailback.
    pub(crate) target_data_store_name: Text,
    /// Classic.
    pub(crate) datastores: Many<Text>,
    pub(crate) discovered_vm_details: Part<DiscoveredVm>,
    /// InMage: `Azure` or `OnPrem`.
    pub(crate) active_site_type: Text,

    // Who replicates it.
    pub(crate) process_server_id: Text,
    pub(crate) reprotect_agent_id: Text,
    pub(crate) master_target_id: Text,
    pub(crate) run_as_account_id: Text,
    pub(crate) log_storage_account_id: Text,
    pub(crate) recovery_azure_log_storage_account_id: Text,
    pub(crate) last_used_policy_id: Text,
    pub(crate) multi_vm_group_id: Text,
    pub(crate) multi_vm_group_name: Text,

    /// `VCenter`, `Physical`; in the classic direction towards VMware it tells of the VM in Azure (recorded).
    pub(crate) discovery_type: Text,

    // How it is doing.
    pub(crate) os_type: Text,
    pub(crate) os_name: Text,
    /// Classic.
    pub(crate) os_version: Text,
    /// Classic.
    pub(crate) rpo_in_seconds: Count,
    /// InMageRcm.
    pub(crate) last_rpo_in_seconds: Count,
    /// InMage: tag → time.
    pub(crate) consistency_points: Part<BTreeMap<String, When>>,
    pub(crate) os_details: Part<OsDetails>,
    pub(crate) is_agent_registration_successful_after_failover: Flag,
    pub(crate) mobility_agent_details: Part<MobilityAgent>,
    pub(crate) last_heartbeat: When,
    pub(crate) last_planned_failover_status: Text,
    pub(crate) last_planned_failover_start_time: When,
    pub(crate) initial_replication_progress_percentage: Count,
    pub(crate) initial_replication_processed_bytes: Count,
    pub(crate) initial_replication_transferred_bytes: Count,
    pub(crate) resync_progress_percentage: Count,
    pub(crate) resync_processed_bytes: Count,
    pub(crate) resync_transferred_bytes: Count,
    /// InMage.
    pub(crate) resync_details: Part<ResyncDetails>,
    pub(crate) protected_disks: Many<Part<Disk>>,
    /// InMageAzureV2 with managed disks.
    pub(crate) protected_managed_disks: Many<Part<Disk>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DiscoveredVm {
    pub(crate) v_center_id: Text,
    pub(crate) datastores: Many<Text>,
    pub(crate) os_name: Text,
    pub(crate) is_deleted: Flag,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OsDetails {
    pub(crate) os_type: Text,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct MobilityAgent {
    pub(crate) last_heartbeat_utc: When,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ResyncDetails {
    pub(crate) initial_replication_progress_percentage: Count,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Disk {
    pub(crate) disk_id: Text,
    pub(crate) disk_name: Text,
    /// Modernized.
    pub(crate) capacity_in_bytes: Count,
    /// Classic.
    pub(crate) disk_capacity_in_bytes: Count,
    /// InMageRcmFailback: the virtual disk in vCenter.
    pub(crate) disk_uuid: Text,
    pub(crate) log_storage_account_id: Text,
    pub(crate) ir_details: Part<SyncDetails>,
    /// Modernized: an object.
    pub(crate) resync_details: Part<SyncDetails>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SyncDetails {
    pub(crate) processed_bytes: Count,
    pub(crate) transferred_bytes: Count,
    pub(crate) progress_percentage: Count,
}
