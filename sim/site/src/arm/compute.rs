//! Microsoft.Compute: reads of failed-over VMs, start and deallocate. The site never deletes a VM for a client.

use serde_json::{Value, json};

use super::{Context, Refusal};
use crate::clock::{after, azure_time};
use crate::wire::Answer;
use crate::world::{AzurePower, ComputeOperation, Event, Machine, World};

fn find(world: &World, group: &str, name: &str) -> Option<usize> {
    world.machines.iter().position(|machine| {
        machine.azure.exists
            && machine.azure.name.eq_ignore_ascii_case(name)
            && machine.azure.resource_group.eq_ignore_ascii_case(group)
    })
}

/// `…/virtualMachines` and everything below.
pub(crate) fn virtual_machine(
    context: &mut Context<'_>,
    group: &str,
    rest: &[&str],
    lower: &[&str],
) -> Result<Answer, Refusal> {
    let known_group = group.eq_ignore_ascii_case(&context.world.azure.resource_group)
        || context.world.machines.iter().any(|m| m.azure.resource_group.eq_ignore_ascii_case(group));
    if !known_group {
        return Err(Refusal::arm(
            404,
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        ));
    }
    if let ("GET", []) = (context.method, lower) {
        let all: Vec<usize> = (0..context.world.machines.len())
            .filter(|index| {
                context
                    .world
                    .machines
                    .get(*index)
                    .is_some_and(|m| m.azure.exists && m.azure.resource_group.eq_ignore_ascii_case(group))
            })
            .collect();
        return Ok(context.page(&all, |index| {
            context.world.machines.get(*index).map_or(Value::Null, |machine| render(context.world, machine, false))
        }));
    }
    let name = rest.first().copied().unwrap_or_default();
    let index = find(context.world, group, name).ok_or_else(|| {
        Refusal::arm(
            404,
            "ResourceNotFound",
            format!("The Resource 'Microsoft.Compute/virtualMachines/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"),
        )
    })?;
    let expand = context.request.query("$expand").is_some_and(|expand| expand.eq_ignore_ascii_case("instanceView"));
    match (context.method, lower) {
        ("GET", [_]) => Ok(Answer::json(
            200,
            &context.world.machines.get(index).map_or(Value::Null, |machine| render(context.world, machine, expand)),
        )),
        ("GET", [_, "instanceview"]) => Ok(Answer::json(
            200,
            &context.world.machines.get(index).map_or(Value::Null, |machine| instance_view(context.world, machine)),
        )),
        ("POST", [_, "start"]) => Ok(power(context, index, AzurePower::Starting, AzurePower::Running)),
        ("POST", [_, "deallocate" | "poweroff"]) => {
            Ok(power(context, index, AzurePower::Deallocating, AzurePower::Deallocated))
        }
        ("DELETE" | "PUT" | "PATCH", [_]) => Err(Refusal::arm(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{}' does not have authorization to perform action 'Microsoft.Compute/virtualMachines/{}' over scope '{}'.",
                context.world.azure.client_id,
                if context.method == "DELETE" { "delete" } else { "write" },
                context.path
            ),
        )),
        _ => Err(Refusal::arm(
            404,
            "InvalidResourceType",
            "The resource type could not be found in the namespace 'Microsoft.Compute'.",
        )),
    }
}

fn power(context: &mut Context<'_>, index: usize, meanwhile: AzurePower, goal: AzurePower) -> Answer {
    let world = &mut *context.world;
    let id = world.fresh_id();
    let now = world.now;
    let is = world.machines.get(index).map(|machine| machine.azure.power);
    let mut operation = ComputeOperation { started: now, ended: None, machine: index };
    if is == Some(goal) {
        operation.ended = Some(now);
    } else {
        let length = if goal == AzurePower::Running {
            world.durations.azure_start.0
        } else {
            world.durations.azure_deallocate.0
        };
        world.set_azure_power(index, meanwhile);
        world.queue.put(after(now, length), Event::AzurePower { machine: index, operation: id.clone(), power: goal });
    }
    world.compute_operations.insert(id.clone(), operation);
    let url = format!(
        "{}/subscriptions/{}/providers/Microsoft.Compute/locations/{}/operations/{id}?p={}&api-version={}",
        context.base,
        world.azure.subscription,
        world.azure.location,
        crate::world::stable_id("compute", &id),
        context.version
    );
    Answer::empty(202)
        .with("azure-asyncoperation", url.clone())
        .with("location", format!("{url}&monitor=true"))
        .with("x-ms-request-id", id)
}

/// An operation of compute.
pub(crate) fn operation(context: &Context<'_>, id: &str) -> Result<Answer, Refusal> {
    let Some(operation) = context.world.compute_operations.get(id) else {
        return Err(Refusal::arm(404, "NotFound", format!("The operation '{id}' was not found.")));
    };
    if context.request.query("monitor").is_some() {
        return Ok(Answer::empty(if operation.ended.is_some() { 200 } else { 202 }));
    }
    let mut body = json!({"startTime": azure_time(operation.started), "status": if operation.ended.is_some() { "Succeeded" } else { "InProgress" }, "name": id});
    if let (Some(ended), Some(body)) = (operation.ended, body.as_object_mut()) {
        body.insert("endTime".to_owned(), json!(azure_time(ended)));
    }
    Ok(Answer::json(200, &body))
}

fn instance_view(world: &World, machine: &Machine) -> Value {
    let power = machine.azure.power;
    let since = azure_time(machine.since.max(world.start));
    let mut view = json!({
        "hyperVGeneration": "V1",
        "disks": machine.spec.disks.iter().enumerate().map(|(number, _)| json!({"name": format!("{}-disk{number}", machine.azure.name),
            "statuses": [{"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": since}]})).collect::<Vec<_>>(),
        "statuses": [
            {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": since},
            {"code": format!("PowerState/{}", power.name()), "level": "Info", "displayStatus": format!("VM {}", power.name())},
        ],
    });
    if let Some(view) = view.as_object_mut()
        && power == AzurePower::Running
    {
        view.insert("computerName".to_owned(), json!(machine.spec.name));
        view.insert("osName".to_owned(), json!(machine.spec.os.name()));
        view.insert(
            "vmAgent".to_owned(),
            json!({"vmAgentVersion": "2.7.41491.1121", "statuses": [{"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Ready", "message": "GuestAgent is running and processing the extensions.", "time": azure_time(world.now)}]}),
        );
    }
    view
}

fn render(world: &World, machine: &Machine, expand: bool) -> Value {
    let name = &machine.azure.name;
    let replicated = machine.spec.disks.iter().filter(|disk| !disk.added_in_azure).map(|disk| disk.size.0);
    let sizes: Vec<u64> = replicated.chain(machine.added_in_azure.iter().copied()).collect();
    let disk = |number: usize, size: u64, added: bool| {
        let id = if added { format!("{name}-added{number}") } else { format!("{name}-disk{number}") };
        json!({"lun": number.saturating_sub(1), "name": id, "createOption": "Attach", "caching": "None", "diskSizeGB": size >> 30,
            "managedDisk": {"storageAccountType": "Premium_LRS", "id": world.provider_id(&format!("Microsoft.Compute/disks/{id}"))}, "deleteOption": "Detach", "toBeDetached": false})
    };
    let own = sizes.len() - machine.added_in_azure.len();
    let data: Vec<Value> =
        sizes.iter().enumerate().skip(1).map(|(number, size)| disk(number, *size, number >= own)).collect();
    let mut os = disk(0, sizes.first().copied().unwrap_or(0), false);
    if let Some(os) = os.as_object_mut() {
        os.remove("lun");
        os.insert("osType".to_owned(), json!(machine.spec.os.name()));
    }
    let mut properties = json!({
        "vmId": machine.azure.vm_id,
        "provisioningState": "Succeeded",
        "hardwareProfile": {"vmSize": "Standard_F4s_v2"},
        "storageProfile": {"osDisk": os, "dataDisks": data},
        "networkProfile": {"networkInterfaces": [{"id": world.provider_id(&format!("Microsoft.Network/networkInterfaces/{name}-nic"))}]},
        "timeCreated": azure_time(machine.failover_time.unwrap_or(machine.since)),
    });
    if expand && let Some(properties) = properties.as_object_mut() {
        properties.insert("instanceView".to_owned(), instance_view(world, machine));
    }
    json!({"name": name, "id": world.azure_vm_id(machine), "type": "Microsoft.Compute/virtualMachines", "location": world.azure.location, "tags": {}, "properties": properties})
}
