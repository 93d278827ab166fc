//! What lies around items and fabrics: vCenters, recovery points, policies, locks.

use serde::Deserialize;

use super::{
    item::HealthError,
    lenient::{Flag, Many, Part, Text, When},
};

/// Anything that ARM lists: an id, a name, and properties of its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "P: serde::de::DeserializeOwned")]
pub(crate) struct Resource<P> {
    #[serde(default)]
    pub(crate) id: Text,
    #[serde(default)]
    pub(crate) name: Text,
    #[serde(default = "absent")]
    pub(crate) properties: Part<P>,
}

const fn absent<P>() -> Part<P> {
    Part::Absent
}

/// `replicationvCenters/{name}` (classic) and `VMwareSites/{site}/vcenters/{name}` (modernized).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct VCenter {
    pub(crate) friendly_name: Text,
    /// Modernized.
    pub(crate) fqdn: Text,
    /// Classic; a host name as well as an address (documented example).
    pub(crate) ip_address: Text,
    /// Modernized.
    /// Classic.
    pub(crate) infrastructure_id: Text,
    pub(crate) instance_uuid: Text,
    /// Classic.
    pub(crate) discovery_status: Text,
    /// Classic.
    pub(crate) last_heartbeat: When,
    /// Classic.
    pub(crate) health_errors: Many<Part<HealthError>>,
    /// Modernized.
    pub(crate) errors: Many<Part<SiteError>>,
}

/// An error as Microsoft.OffAzure words it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SiteError {
    pub(crate) code: Text,
    pub(crate) severity: Text,
    pub(crate) message: Text,
    pub(crate) summary_message: Text,
    pub(crate) possible_causes: Text,
    pub(crate) recommended_action: Text,
}

/// `{item}/recoveryPoints/{name}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RecoveryPoint {
    pub(crate) recovery_point_time: When,
    pub(crate) recovery_point_type: Text,
    pub(crate) provider_specific_details: Part<RecoveryPointDetails>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RecoveryPointDetails {
    pub(crate) is_multi_vm_sync_point: Flag,
}

/// `replicationPolicies/{name}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Policy {
    pub(crate) friendly_name: Text,
    pub(crate) provider_specific_details: Part<PolicyDetails>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PolicyDetails {
    pub(crate) instance_type: Text,
}

/// `{scope}/providers/Microsoft.Authorization/locks/{name}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Lock {
    pub(crate) level: Text,
}
