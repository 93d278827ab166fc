//! Policies and container mappings, and the jobs that keep house.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Plan;
use crate::scenario::Generation;
use crate::world::World;

/// A replication policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub(crate) vault: String,
    pub(crate) name: String,
    pub(crate) details: Value,
    pub(crate) provider: String,
}

/// A mapping of a protection container to Azure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mapping {
    pub(crate) fabric: usize,
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) details: Value,
}

/// A resource operation that is a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Chore {
    PutPolicy(Policy),
    DeletePolicy {
        vault: String,
        name: String,
    },
    PutMapping(Mapping),
    DeleteMapping {
        fabric: usize,
        name: String,
    },
    PutPlan(Plan),
    DeletePlan {
        vault: String,
        name: String,
    },
    /// Nothing but time: a refresh, a consistency check, a job verb.
    Pass {
        scenario: Passing,
    },
}

/// Housekeeping that leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Passing {
    Refresh,
    CheckConsistency,
    ResolveHealthErrors,
    UpdateMobilityService,
    UpdateAppliance,
    UpdateItem,
    RefreshHealth,
    JobVerb,
}

impl Chore {
    pub(super) fn scenario(&self) -> (&'static str, &'static str) {
        match self {
            Chore::PutPolicy(_) => ("AddProtectionProfile", "Create replication policy"),
            Chore::DeletePolicy { .. } => ("RemoveProtectionProfile", "Delete replication policy"),
            Chore::PutMapping(_) => ("PairClouds", "Associate replication policy"),
            Chore::DeleteMapping { .. } => ("UnpairClouds", "Dissociate replication policy"),
            Chore::PutPlan(_) => ("SaveRecoveryPlan", "Save a recovery plan"),
            Chore::DeletePlan { .. } => ("DeleteRecoveryPlan", "Delete a recovery plan"),
            Chore::Pass { scenario } => match scenario {
                Passing::Refresh => ("RefreshServer", "Refresh server"),
                Passing::CheckConsistency => ("CheckConsistency", "Check consistency"),
                Passing::ResolveHealthErrors => ("ResolveHealthErrors", "Resolve health errors"),
                Passing::UpdateMobilityService => ("UpdateMobilityService", "Update mobility service"),
                Passing::UpdateAppliance => ("UpdateAppliance", "Update appliance"),
                Passing::UpdateItem => ("UpdateVmProperties", "Update virtual machine properties"),
                Passing::RefreshHealth => ("RefreshVaultHealth", "Refresh vault health"),
                Passing::JobVerb => ("UpdateJob", "Update job"),
            },
        }
    }
}

impl World {
    pub(super) fn carry_out_chore(&mut self, chore: &Chore) {
        match chore {
            Chore::PutPolicy(policy) => {
                self.policies
                    .retain(|known| !(known.vault == policy.vault && known.name.eq_ignore_ascii_case(&policy.name)));
                self.policies.push(policy.clone());
            }
            Chore::DeletePolicy { vault, name } => {
                self.policies.retain(|known| !(&known.vault == vault && known.name.eq_ignore_ascii_case(name)))
            }
            Chore::PutMapping(mapping) => {
                self.mappings.retain(|known| {
                    !(known.fabric == mapping.fabric && known.name.eq_ignore_ascii_case(&mapping.name))
                });
                self.mappings.push(mapping.clone());
            }
            Chore::DeleteMapping { fabric, name } => {
                self.mappings.retain(|known| !(known.fabric == *fabric && known.name.eq_ignore_ascii_case(name)))
            }
            Chore::PutPlan(plan) => {
                self.plans.retain(|known| !(known.vault == plan.vault && known.name.eq_ignore_ascii_case(&plan.name)));
                self.plans.push(plan.clone());
            }
            Chore::DeletePlan { vault, name } => {
                self.plans.retain(|known| !(&known.vault == vault && known.name.eq_ignore_ascii_case(name)))
            }
            Chore::Pass { .. } => {}
        }
    }

    pub(crate) fn policy(&self, vault: &str, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.vault == vault && policy.name.eq_ignore_ascii_case(name))
    }
}

/// The policies that a vault has: the forward one of each fabric, and those for failback that the service makes beside it.
pub(crate) fn add_policies(world: &mut World) {
    let retention = world.durations.point_retention.0.as_mins();
    let app = world.durations.app_point_every.0.as_mins();
    let crash = world.durations.crash_point_every.0.as_mins();
    let mut policies: Vec<Policy> = Vec::new();
    let mut mappings: Vec<Mapping> = Vec::new();
    for (index, fabric) in world.fabrics.iter().enumerate() {
        let mut add = |name: String, provider: &str, details: Value| {
            if !policies.iter().any(|policy| policy.vault == fabric.vault && policy.name == name) {
                policies.push(Policy { vault: fabric.vault.clone(), name, details, provider: provider.to_owned() });
            }
        };
        match fabric.generation {
            Generation::Modernized => {
                add(
                    fabric.policy.clone(),
                    "InMageRcm",
                    json!({"recoveryPointHistoryInMinutes": retention, "appConsistentFrequencyInMinutes": app, "crashConsistentFrequencyInMinutes": crash, "enableMultiVmSync": "true"}),
                );
                add(
                    "crashconsistency-policy-failback".to_owned(),
                    "InMageRcmFailback",
                    json!({"appConsistentFrequencyInMinutes": 0, "crashConsistentFrequencyInMinutes": 5}),
                );
                add(
                    "appconsistency-policy-failback".to_owned(),
                    "InMageRcmFailback",
                    json!({"appConsistentFrequencyInMinutes": 60, "crashConsistentFrequencyInMinutes": 5}),
                );
            }
            Generation::Classic => {
                add(
                    fabric.policy.clone(),
                    "InMageAzureV2",
                    json!({"crashConsistentFrequencyInMinutes": crash, "recoveryPointThresholdInMinutes": 15, "recoveryPointHistory": retention, "appConsistentFrequencyInMinutes": app, "multiVmSyncStatus": "Enabled"}),
                );
                add(
                    format!("{}-failback", fabric.policy),
                    "InMage",
                    json!({"recoveryPointThresholdInMinutes": 15, "recoveryPointHistory": 1440, "appConsistentFrequencyInMinutes": 60, "multiVmSyncStatus": "Enabled"}),
                );
            }
        }
        let details = match fabric.generation {
            Generation::Modernized => json!({"instanceType": "InMageRcm", "enableAgentAutoUpgrade": "true"}),
            Generation::Classic => json!({"instanceType": "VMwareCbt"}),
        };
        mappings.push(Mapping {
            fabric: index,
            name: format!("{}-mapping", fabric.policy),
            policy: format!("{}/replicationPolicies/{}", world.vault_id(&fabric.vault), fabric.policy),
            details,
        });
    }
    world.policies = policies;
    world.mappings = mappings;
}
