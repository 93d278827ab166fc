//! What the world looks like at the start. A scenario is YAML; every field but the names has a default, an unknown field is
//! refused with its path.

mod azure;
mod check;
mod fabrics;
mod machines;
mod onprem;
mod timing;
mod units;

use serde::{Deserialize, Serialize};

pub use azure::{Azure, FederatedCredential, ResourceLock, TokenBuckets};
pub use fabrics::{Appliance, ConfigurationServer, Fabric, Health, MasterTarget, Part, ProcessServer, RetentionVolume};
pub use machines::{AgentRegistration, Disk, DiskKind, Generation, Machine, Os, Plan, PlanGroup, StartState};
pub use onprem::{Datastore, DatastoreKind, Host, VCenter, Vm};
pub use timing::{CommitWithoutVm, ConcurrentOperation, Durations, PlanDirection, Unknowns};
pub use units::{Size, Span};

use crate::fault::Fault;

/// The start of a world.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Scenario {
    /// One line about this world, for people.
    pub description: String,
    /// Identifiers and credentials on the Azure side.
    pub azure: Azure,
    /// The vCenters. The first answers at `/sdk`, each at `/vcenters/{name}/sdk` too. Default: one, `vcenter.example.com`, with one host and one datastore.
    pub vcenters: Vec<VCenter>,
    /// Replication fabrics: a modernized one has appliances, a classic one is a configuration server. Default: one modernized fabric with one appliance.
    pub fabrics: Vec<Fabric>,
    /// The replicated machines.
    pub machines: Vec<Machine>,
    /// Recovery plans that exist at the start.
    pub plans: Vec<Plan>,
    /// How long things take.
    pub durations: Durations,
    /// What to do where nobody has published what the service does (one knob each).
    pub unknowns: Unknowns,
    /// Faults that are armed from the start.
    pub faults: Vec<Fault>,
}

/// Why a scenario was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Not YAML, a field that does not exist, or a value of the wrong kind. The message begins with the path of the field.
    #[error("the scenario cannot be read: {0}")]
    Syntax(String),
    /// A world that cannot exist.
    #[error("the scenario is impossible: {path}: {message}")]
    Impossible {
        /// Path of the field, as in `machines[2].datastore`.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

impl ScenarioError {
    pub(crate) fn impossible(path: impl Into<String>, message: impl Into<String>) -> ScenarioError {
        ScenarioError::Impossible { path: path.into(), message: message.into() }
    }
}

impl Scenario {
    /// Reads a scenario from YAML and checks that such a world can exist.
    pub fn from_yaml(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario = if text.trim().is_empty() {
            Scenario::default()
        } else {
            serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
                let path = error.path().to_string();
                ScenarioError::Syntax(format!("{path}: {}", error.into_inner()))
            })?
        };
        scenario.completed()
    }

    /// One 40 GB Windows machine that was failed over and committed, with its original VM still in vCenter.
    pub fn demo() -> Result<Scenario, ScenarioError> {
        Scenario::from_yaml(include_str!("../../../../examples/scenarios/one-machine.yaml"))
    }

    /// Fills in what was left to the defaults (a vCenter, a fabric), multiplies `count`, and checks the references.
    pub fn completed(mut self) -> Result<Scenario, ScenarioError> {
        if self.vcenters.is_empty() {
            self.vcenters.push(VCenter::default());
        }
        if self.fabrics.is_empty() {
            self.fabrics.push(Fabric::default());
        }
        for vcenter in &mut self.vcenters {
            vcenter.complete();
        }
        let entries = check::expand(&mut self)?;
        check::references(&mut self, &entries)?;
        Ok(self)
    }
}
