//! Reads of other providers that failback looks at: OffAzure sites, locks, the resource group.

use serde_json::{Value, json};

use super::rcm_item::vcenter_arm_id;
use super::{Context, Refusal};
use crate::clock::azure_time;
use crate::wire::Answer;
use crate::world::{Fabric, World, stable_id};

/// `Microsoft.OffAzure/VMwareSites/{site}` and below.
pub(crate) fn off_azure(context: &Context<'_>, rest: &[&str], lower: &[&str]) -> Result<Answer, Refusal> {
    let world = &*context.world;
    let site = rest.first().copied().unwrap_or_default();
    let Some((index, fabric)) =
        world.fabrics.iter().enumerate().find(|(_, fabric)| fabric.site.eq_ignore_ascii_case(site))
    else {
        return Err(Refusal::arm(
            404,
            "ResourceNotFound",
            format!("The Resource 'Microsoft.OffAzure/VMwareSites/{site}' was not found."),
        ));
    };
    if context.method != "GET" {
        return Err(Refusal::arm(
            404,
            "InvalidResourceType",
            "The resource type could not be found in the namespace 'Microsoft.OffAzure'.",
        ));
    }
    let list = |value: Vec<Value>| Answer::json(200, &json!({"value": value, "nextLink": Value::Null}));
    match lower.get(1..).unwrap_or_default() {
        [] => Ok(Answer::json(
            200,
            &json!({"id": world.provider_id(&format!("Microsoft.OffAzure/VMwareSites/{site}")), "name": fabric.site, "type": "Microsoft.OffAzure/VMwareSites",
            "location": world.azure.location, "properties": {"serviceEndpoint": "https://site.simulated.invalid"}}),
        )),
        ["vcenters"] => Ok(list(vec![vcenter(world, fabric)])),
        ["vcenters", _] => Ok(Answer::json(200, &vcenter(world, fabric))),
        ["runasaccounts"] => Ok(list(vec![
            json!({"id": run_as(world, fabric), "name": stable_id("runas", &fabric.name), "type": "Microsoft.OffAzure/VMwareSites/runasaccounts",
            "properties": {"displayName": "windows-account", "credentialType": "WindowsGuest", "createdTimestamp": azure_time(world.start), "updatedTimestamp": azure_time(world.start)}}),
        ])),
        ["machines"] => {
            let machines: Vec<usize> = (0..world.machines.len())
                .filter(|at| world.machines.get(*at).is_some_and(|m| m.fabric == index && m.discovered_as.is_some()))
                .collect();
            Ok(context.page(&machines, |at| machine(world, fabric, *at)))
        }
        ["machines", name] => {
            let found = world.machines.iter().position(|machine| {
                machine.fabric == index && machine.discovered_as.as_ref().is_some_and(|uuid| name.ends_with(uuid))
            });
            found
                .map(|at| Answer::json(200, &machine(world, fabric, at)))
                .ok_or_else(|| Refusal::arm(404, "ResourceNotFound", format!("The machine '{name}' was not found.")))
        }
        _ => Err(Refusal::arm(
            404,
            "InvalidResourceType",
            "The resource type could not be found in the namespace 'Microsoft.OffAzure'.",
        )),
    }
}

fn run_as(world: &World, fabric: &Fabric) -> String {
    world.provider_id(&format!(
        "Microsoft.OffAzure/VMwareSites/{}/runasaccounts/{}",
        fabric.site,
        stable_id("runas", &fabric.name)
    ))
}

fn vcenter(world: &World, fabric: &Fabric) -> Value {
    let Some(known) = world.vcenters.get(fabric.vcenter) else { return Value::Null };
    let id = vcenter_arm_id(world, fabric);
    let errors = if known.connected {
        json!([])
    } else {
        json!([{"id": 1, "code": "VCenterNotConnected", "message": "The vCenter server cannot be reached.", "severity": "Error"}])
    };
    json!({"name": id.rsplit('/').next(), "id": id, "type": "Microsoft.OffAzure/VMwareSites/vcenters",
        "properties": {"fqdn": known.name, "port": "443", "instanceUuid": fabric.vcenter_known_as, "version": known.version, "friendlyName": known.name, "perfStatisticsLevel": "1",
            "runAsAccountId": run_as(world, fabric), "errors": errors, "createdTimestamp": azure_time(world.start), "updatedTimestamp": azure_time(world.start)}})
}

fn machine(world: &World, fabric: &Fabric, index: usize) -> Value {
    let Some(machine) = world.machines.get(index) else { return Value::Null };
    let vm = world.on_prem(machine);
    let id = format!(
        "{}_{}",
        vcenter_arm_id(world, fabric).replace("/vcenters/", "/machines/"),
        machine.discovered_as.as_deref().unwrap_or_default()
    );
    json!({"name": id.rsplit('/').next(), "id": id, "type": "Microsoft.OffAzure/VMwareSites/machines",
        "properties": {"displayName": machine.spec.name, "vCenterId": vcenter_arm_id(world, fabric), "vCenterFQDN": world.vcenters.get(fabric.vcenter).map(|v| v.name.as_str()),
            "biosGuid": vm.map(|vm| vm.uuid.as_str()), "instanceUuid": vm.map(|vm| vm.instance_uuid.as_str()), "isDeleted": vm.is_none(),
            "powerStatus": if vm.is_some_and(|vm| vm.powered_on) { "ON" } else { "OFF" }, "vmwareToolsStatus": if vm.is_some_and(|vm| vm.tools) { "OK" } else { "NotRunning" },
            "hostName": vm.and_then(|vm| world.vcenters.get(fabric.vcenter)?.hosts.get(vm.host)).map(|host| host.name.as_str())}})
}

/// Locks at any scope below the subscription.
pub(crate) fn locks(context: &Context<'_>, lower: &[&str]) -> Result<Answer, Refusal> {
    if context.method != "GET" {
        return Err(Refusal::arm(
            403,
            "AuthorizationFailed",
            "The client does not have authorization to perform action 'Microsoft.Authorization/locks/write'.",
        ));
    }
    let vm = lower.iter().position(|segment| *segment == "virtualmachines").and_then(|at| lower.get(at + 1));
    Ok(all_locks(context, vm.copied()))
}

/// The locks that cover a VM, or all of the resource group and what it holds.
pub(crate) fn all_locks(context: &Context<'_>, vm: Option<&str>) -> Answer {
    let world = &*context.world;
    let group = format!("/subscriptions/{}/resourceGroups/{}", world.azure.subscription, world.azure.resource_group);
    let value: Vec<Value> = world
        .locks
        .iter()
        .filter(|lock| match (&lock.vm, vm) {
            (Some(on), Some(wanted)) => on.eq_ignore_ascii_case(wanted),
            (None, _) | (Some(_), None) => true,
        })
        .map(|lock| {
            let scope = match &lock.vm {
                _ if lock.subscription => format!("/subscriptions/{}", world.azure.subscription),
                Some(vm) => format!("{group}/providers/Microsoft.Compute/virtualMachines/{vm}"),
                None => group.clone(),
            };
            json!({"id": format!("{scope}/providers/Microsoft.Authorization/locks/{}", lock.name), "name": lock.name, "type": "Microsoft.Authorization/locks",
                "properties": {"level": lock.level, "notes": ""}})
        })
        .collect();
    Answer::json(200, &json!({"value": value}))
}

/// The resource group itself.
pub(crate) fn resource_group(context: &Context<'_>) -> Result<Answer, Refusal> {
    let world = &*context.world;
    Ok(Answer::json(
        200,
        &json!({"id": format!("/subscriptions/{}/resourceGroups/{}", world.azure.subscription, world.azure.resource_group), "name": world.azure.resource_group,
        "type": "Microsoft.Resources/resourceGroups", "location": world.azure.location, "properties": {"provisioningState": "Succeeded"}}),
    ))
}
