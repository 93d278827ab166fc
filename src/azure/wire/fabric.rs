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
    /// Modernized.
    pub(crate) reprotect_agents: Many<Part<Component>>,
    /// Classic.
    pub(crate) master_target_servers: Many<Part<Component>>,
}

/// A process server, reprotect agent or master target.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Component {
    pub(crate) id: Text,
    pub(crate) name: Text,
    /// Classic process servers.
    pub(crate) friendly_name: Text,
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
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DataStore {
    pub(crate) symbolic_name: Text,
}
