//! The failed-over machine: its power state and disks from Microsoft.Compute, and the locks on it.

use crate::{
    azure::{
        arm_error,
        ids::ArmId,
        observe,
        paging::{Next, pages},
        pipeline::Arm,
    },
    core::{
        failure::{Failure, FailureClass},
        observed::AzureVm,
    },
    ports::Listing,
};

/// The version of Microsoft.Compute's API that is spoken.
const API_VERSION: &str = "2024-03-01";

/// The version of Microsoft.Authorization's API that is spoken.
const LOCKS_API_VERSION: &str = "2020-05-01";

/// The locks that a machine is under. Documented of this list: the locks on the resource, on its resource group and
/// below the resource. Not established: whether it shows those on the subscription, and what is locked beside the
/// machine (its disks, its network interface) and would be deleted with it. Such a lock shows as the commit's failure.
pub(crate) async fn locks(arm: &Arm, vm: &ArmId) -> Result<Listing<String>, Failure> {
    let segments = vm.segments().iter().map(String::as_str);
    let list = segments.chain(["providers", "Microsoft.Authorization", "locks"]);
    let url = arm.endpoints.arm(list, &[("api-version", LOCKS_API_VERSION)]);
    let mut listing = Listing { entries: Vec::new(), odd: Vec::new() };
    pages(arm, url, |entries| {
        for entry in entries {
            match observe::around::lock(entry) {
                Ok(lock) => listing.entries.extend(lock),
                Err(odd) => listing.odd.push(odd.to_string()),
            }
        }
        Next::More
    })
    .await?;
    Ok(listing)
}

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
