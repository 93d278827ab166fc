//! The CustomResourceDefinitions, as checked in under `crds/` and installed by the chart.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::json;

use super::{FailbackApproval, FailbackPlan, MasterTarget, RecoveryVault, ReplicatedItem, VCenter};

/// All definitions, in the order in which they are best applied.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        RecoveryVault::crd(),
        VCenter::crd(),
        MasterTarget::crd(),
        ReplicatedItem::crd(),
        FailbackPlan::crd(),
        FailbackApproval::crd(),
    ]
    .into_iter()
    .map(with_unobserved_default)
    .collect()
}

/// Every definition as (file name, YAML).
///
/// # Errors
/// When a definition cannot be written as YAML, which no definition of ours does.
pub fn crds_yaml() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    crds()
        .iter()
        .map(|crd| {
            let name = format!("{}_{}.yaml", super::GROUP, crd.spec.names.plural);
            Ok((name, serde_yaml::to_string(crd)?))
        })
        .collect()
}

/// `status.observedGeneration: -1` by default, so that an object just applied is not read as done (kstatus).
fn with_unobserved_default(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let status = root.and_then(|root| root.properties.as_mut()).and_then(|props| props.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON(json!({
                "observedGeneration": -1
            })));
            status.nullable = None;
        }
    }
    crd
}
