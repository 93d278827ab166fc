//! The failed-over machine's power state, from Microsoft.Compute.

use crate::{
    azure::{arm_error, ids::ArmId, observe, pipeline::Arm},
    core::{
        failure::{Failure, FailureClass},
        observed::AzureVm,
    },
};

/// The version of Microsoft.Compute's API that is spoken.
const API_VERSION: &str = "2024-03-01";

/// Reads a VM with its instance view. Only ARM's own word that it, or its group, does not exist makes it absent.
pub(crate) async fn azure_vm(arm: &Arm, id: &ArmId) -> Result<AzureVm, Failure> {
    let query = [("$expand", "instanceView"), ("api-version", API_VERSION)];
    let url = arm.endpoints.arm(id.segments().iter().map(String::as_str), &query);
    match arm.read(&url).await {
        Ok(body) => observe::vm::observe(&body).ok_or_else(|| arm_error::unexpected("the machine in Azure")),
        Err(failure) if is_absence(&failure) => Ok(AzureVm::Absent),
        Err(failure) => Err(failure),
    }
}

fn is_absence(failure: &Failure) -> bool {
    failure.class == FailureClass::NotFound
        && (failure.has_code("ResourceNotFound") || failure.has_code("ResourceGroupNotFound"))
}
