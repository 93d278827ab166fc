//! Fabrics: the components of the on-premises side, of both generations.

use serde::Deserialize;

use super::{
    item::HealthError,
    lenient::{Count, Many, Part, Text, When},
};

/// `replicationFabrics/{name}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Fabric {
    pub(crate) id: Text,
    pub(crate) name: Text,
    pub(crate) properties: Part<Properties>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Properties {
    pub(crate) friendly_name: Text,
    pub(crate) health: Text,
    pub(crate) custom_details: Part<Details>,
}

/// `customDetails`: empty component lists in a LIST, complete in a GET.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Details {
    /// `InMageRcm` (modernized) or `VMware` (classic).
    pub(crate) instance_type: Text,
    pub(crate) process_servers: Many<Part<Component>>,

    // Modernized.
    pub(crate) rcm_proxies: Many<Part<Component>>,
    pub(crate) push_installers: Many<Part<Component>>,
    pub(crate) replication_agents: Many<Part<Component>>,
    pub(crate) reprotect_agents: Many<Part<Component>>,
    pub(crate) mars_agents: Many<Part<Component>>,
    pub(crate) dras: Many<Part<Component>>,

    // Classic: these are about the configuration server itself.
    pub(crate) master_target_servers: Many<Part<Component>>,
    pub(crate) run_as_accounts: Many<Part<Account>>,
    pub(crate) host_name: Text,
    pub(crate) ip_address: Text,
    pub(crate) cs_service_status: Text,
    pub(crate) agent_version: Text,
    pub(crate) last_heartbeat: When,
}

/// An account that a configuration server knows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) account_id: Text,
    pub(crate) account_name: Text,
}

/// A part of an appliance, a classic process server or a master target.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Component {
    pub(crate) id: Text,
    pub(crate) name: Text,
    /// Classic process servers.
    pub(crate) friendly_name: Text,
    /// Appliances.
    pub(crate) ip_addresses: Many<Text>,
    /// Classic.
    pub(crate) ip_address: Text,
    /// Classic.
    pub(crate) os_type: Text,
    /// Classic process servers.
    pub(crate) ps_service_status: Text,
    pub(crate) bios_id: Text,
    /// `…/machines/{vcenter}_{instance uuid}`.
    pub(crate) fabric_object_id: Text,
    pub(crate) vcenter_id: Text,
    pub(crate) version: Text,
    /// Classic.
    pub(crate) agent_version: Text,
    pub(crate) last_heartbeat_utc: When,
    /// Classic.
    pub(crate) last_heartbeat: When,
    /// Master targets have none.
    pub(crate) health: Text,
    pub(crate) health_errors: Many<Part<HealthError>>,
    /// Master targets.
    pub(crate) validation_errors: Many<Part<HealthError>>,
    pub(crate) protected_item_count: Count,
    pub(crate) accessible_datastores: Many<Text>,
    /// Master targets.
    pub(crate) data_stores: Many<Part<DataStore>>,
    /// Master targets.
    pub(crate) retention_volumes: Many<Part<Volume>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DataStore {
    pub(crate) symbolic_name: Text,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Volume {
    pub(crate) volume_name: Text,
    pub(crate) capacity_in_bytes: Count,
    pub(crate) free_space_in_bytes: Count,
}
