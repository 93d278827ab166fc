//! Replicated items: their common properties in every list and on GET, recovery points, target sizes, and the verbs.

use serde_json::{Value, json};

use super::{Context, Refusal, classic_item, rcm_item};
use crate::asr::{Chore, Order, Point, Work, active_location, instance_type, protection_state};
use crate::clock::azure_time;
use crate::fault::Target;
use crate::scenario::Generation;
use crate::wire::Answer;
use crate::world::{Machine, Stage, World};

/// An idle item's job (recorded).
const NEVER: &str = "1753-01-01T01:01:01Z";

/// Lists of items are summaries: components come out empty, GET is complete (protocol reference §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Summary,
    Full,
}

/// Indexes of the items of a vault, or of one of its fabrics.
pub(crate) fn indexes(world: &World, vault: &str, fabric: Option<usize>) -> Vec<usize> {
    world
        .machines
        .iter()
        .enumerate()
        .filter(|(_, machine)| !machine.removed)
        .filter(|(_, machine)| match fabric {
            Some(fabric) => machine.fabric == fabric,
            None => world.fabric_of(machine).is_some_and(|fabric| fabric.vault == vault),
        })
        .map(|(index, _)| index)
        .collect()
}

/// One item as JSON.
pub(crate) fn render(world: &World, index: usize, view: View) -> Value {
    let Some(machine) = world.machines.get(index) else { return Value::Null };
    let Some(fabric) = world.fabric_of(machine) else { return Value::Null };
    let vault = world.vault_id(&fabric.vault);
    let fabric_id = world.fabric_id(fabric);
    let container_id = world.container_id(fabric);
    let (state, description) = protection_state(fabric.generation, machine, &world.unknowns);
    let reverse = machine.stage.is_reverse();
    let classic = fabric.generation == Generation::Classic;
    let busy = machine.operation.as_ref().and_then(|id| world.jobs.get(id));
    let allowed = match busy {
        Some(_) => Vec::new(),
        None => world.item_allows(index),
    };
    let scenario = match busy {
        Some(job) => {
            json!({"scenarioName": job.work.scenario().0, "jobId": format!("{vault}/replicationJobs/{}", job.id), "startTime": azure_time(job.started)})
        }
        None => json!({"scenarioName": "None", "jobId": format!("{vault}/replicationJobs/None"), "startTime": NEVER}),
    };
    let policy_name = machine.policy.rsplit('/').next().unwrap_or_default();
    let container_name = if classic { &fabric.friendly } else { &fabric.container };
    let (recovery_fabric, recovery_id, recovery_container, recovery_container_id) = if reverse {
        (fabric.friendly.clone(), fabric_id.clone(), container_name.clone(), container_id.clone())
    } else {
        // Azure's own fabric has a hash for a name and a container with a GUID (recorded).
        let hash = format!("{}{}", fabric.internal_id.replace('-', ""), fabric.internal_id.replace('-', ""));
        let cloud = crate::world::stable_id("azure-container", &fabric.name);
        (
            "Microsoft Azure".to_owned(),
            "Microsoft Azure".to_owned(),
            "Microsoft Azure".to_owned(),
            format!("{vault}/replicationFabrics/{hash}/replicationProtectionContainers/{cloud}"),
        )
    };
    let provider = match fabric.generation {
        Generation::Modernized => world.appliance_of(machine).map(|server| server.id.clone()).unwrap_or_default(),
        Generation::Classic => fabric.internal_id.clone(),
    };
    let point = match (machine.stage, &machine.failover_point) {
        (
            Stage::FailedOver | Stage::FailedOverCommitted | Stage::FailedBack | Stage::FailedBackCommitted,
            Some(point),
        ) => json!(point),
        (stage, _) if stage.is_reverse() => json!(""),
        (Stage::FailedOver | Stage::FailedOverCommitted, None) => {
            world.newest_point(machine).map_or(Value::Null, |point| json!(world.point_id(machine, &point.id)))
        }
        _ => Value::Null,
    };
    let details = match fabric.generation {
        _ if fabric.hyper_v => json!({"instanceType": "HyperVReplicaAzure", "vmId": machine.internal_id}),
        Generation::Modernized => rcm_item::details(world, machine, fabric, view),
        Generation::Classic => classic_item::details(world, machine, fabric, view),
    };
    let (health, mut errors) = health(world, machine);
    let unknown = classic && !machine.spec.known_to_configuration_server;
    if let (true, Some(errors)) = (unknown, errors.as_array_mut()) {
        errors.push(unknown_to_configuration_server(machine));
    }
    let mut properties = json!({
        "friendlyName": machine.spec.name,
        "protectedItemType": "",
        "protectableItemId": if classic { json!(format!("{container_id}/replicationProtectableItems/{}", crate::world::stable_id("protectable", &machine.spec.name))) } else { Value::Null },
        "recoveryServicesProviderId": format!("{fabric_id}/replicationRecoveryServicesProviders/{provider}"),
        "primaryFabricFriendlyName": fabric.friendly,
        "primaryFabricProvider": if fabric.hyper_v { "HyperVSite" } else if classic { "InMageFabric" } else { "InMageRcmFabric" },
        "recoveryFabricFriendlyName": recovery_fabric,
        "recoveryFabricId": recovery_id,
        "primaryProtectionContainerFriendlyName": container_name,
        "recoveryProtectionContainerFriendlyName": recovery_container,
        "protectionState": state,
        "protectionStateDescription": description,
        "activeLocation": active_location(fabric.generation, machine.stage, &world.unknowns),
        "testFailoverState": machine.test_failover,
        "testFailoverStateDescription": if machine.test_failover == "WaitingForCompletion" { "Waiting for user input" } else { "None" },
        "allowedOperations": allowed,
        "replicationHealth": health,
        "failoverHealth": if unknown { "Critical" } else { "Normal" },
        "healthErrors": errors,
        "policyId": machine.policy,
        "policyFriendlyName": policy_name,
        "currentScenario": scenario,
        "failoverRecoveryPointId": point,
        "providerSpecificDetails": details,
        "recoveryContainerId": recovery_container_id,
        "eventCorrelationId": machine.correlation,
    });
    if let Some(properties) = properties.as_object_mut() {
        // The classic recordings, of an older version, lack these two.
        if !classic {
            properties.insert("switchProviderState".to_owned(), json!("None"));
            properties.insert("switchProviderStateDescription".to_owned(), Value::Null);
        }
        // Present only once there was a failover (recorded), and gone again after reprotect.
        if let Some(at) = machine.failover_time.filter(|_| {
            matches!(
                machine.stage,
                Stage::FailedOver | Stage::FailedOverCommitted | Stage::FailedBack | Stage::FailedBackCommitted
            )
        }) {
            properties.insert("lastSuccessfulFailoverTime".to_owned(), json!(azure_time(at)));
        }
    }
    json!({
        "id": world.item_id(machine),
        "name": machine.item,
        "type": "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectedItems",
        "properties": properties,
    })
}

/// Nobody has published how the service says this: as an error of the failover's health (which a failback depends on), while
/// replication, which runs without the database, stays as it is.
fn unknown_to_configuration_server(machine: &Machine) -> Value {
    json!({
        "innerHealthErrors": [], "errorSource": "Fabric", "errorType": "FabricHealth", "errorLevel": "Error", "errorCategory": "FabricInfrastructure",
        "errorCode": "ConfigurationServerUnknownMachine",
        "summaryMessage": "The configuration server does not know the machine.",
        "errorMessage": format!("'{}' was not found in the database of the configuration server.", machine.spec.name),
        "possibleCauses": "The configuration server was installed anew, or restored from a backup that is older than the protection.",
        "recommendedAction": "Restore the configuration server from its backup, with the same IP address.",
        "creationTimeUtc": azure_time(machine.since), "recoveryProviderErrorMessage": Value::Null, "entityId": machine.internal_id,
        "errorId": crate::world::stable_id("unknown", &machine.spec.name), "customerResolvability": "NotAllowed",
    })
}

/// A critical health error appears when the agent has not registered long after the boot (protocol reference §8.3).
fn health(world: &World, machine: &Machine) -> (String, Value) {
    let waited = world.now.duration_since(machine.since);
    if machine.stage.runs_in_azure() && !machine.agent_registered && waited > jiff::SignedDuration::from_mins(30) {
        let error = json!({
            "innerHealthErrors": [], "errorSource": "Replication", "errorType": "AgentHealth", "errorLevel": "Error", "errorCategory": "Replication",
            "errorCode": "InMageRcmMobilityAgentNotRegistered",
            "summaryMessage": "The mobility agent has not registered after failover.",
            "errorMessage": format!("The mobility agent of '{}' has not registered after failover.", machine.spec.name),
            "possibleCauses": "The agent cannot reach the service from Azure.",
            "recommendedAction": "Allow outbound access to the service's URLs; registration is retried.",
            "creationTimeUtc": azure_time(crate::clock::after(machine.since, jiff::SignedDuration::from_mins(30))),
            "recoveryProviderErrorMessage": Value::Null, "entityId": machine.internal_id, "errorId": crate::world::stable_id("health", &machine.spec.name),
            "customerResolvability": "NotAllowed",
        });
        return ("Critical".to_owned(), json!([error]));
    }
    if machine.health == "Normal" {
        return ("Normal".to_owned(), json!([]));
    }
    let error = json!({
        "innerHealthErrors": [], "errorSource": "Replication", "errorType": "ReplicationHealth", "errorLevel": if machine.health == "Critical" { "Error" } else { "Warning" },
        "errorCategory": "Replication", "errorCode": "ReplicationNotHealthy", "summaryMessage": "Replication is not healthy.",
        "errorMessage": format!("Replication of '{}' is not healthy.", machine.spec.name),
        "possibleCauses": "The source does not run, or data cannot be transferred.", "recommendedAction": "Start the source and check its network.",
        "creationTimeUtc": azure_time(machine.since), "recoveryProviderErrorMessage": Value::Null, "entityId": machine.internal_id,
        "errorId": crate::world::stable_id("health", &machine.spec.name), "customerResolvability": "NotAllowed",
    });
    (machine.health.clone(), json!([error]))
}

/// `GET` of a list of items.
pub(crate) fn list(context: &mut Context<'_>, fabric: Option<usize>) -> Answer {
    if let Some(frozen) = stale(context, fabric) {
        return frozen;
    }
    let mut all = indexes(context.world, &context.vault, fabric);
    if let Some(filter) = context.request.query("$filter") {
        all.retain(|index| matches_filter(context.world, *index, filter));
    }
    context.page(&all, |index| render(context.world, *index, View::Summary))
}

/// Lists that lag behind show the world as it was.
fn stale(context: &mut Context<'_>, fabric: Option<usize>) -> Option<Answer> {
    let target = Target { method: context.method, path: context.path, soap: None, machine: None };
    let frozen = context.world.faults.stale(target)?;
    let wanted = match fabric.and_then(|fabric| context.world.fabrics.get(fabric)) {
        Some(fabric) => context.world.container_id(fabric),
        None => context.vault_id(),
    };
    let all: Vec<&Value> = frozen
        .as_array()?
        .iter()
        .filter(|item| item.get("id").and_then(Value::as_str).is_some_and(|id| id.starts_with(&wanted)))
        .collect();
    Some(context.page(&all, |item| (*item).clone()))
}

/// What an observer of the lists sees now, to be shown later.
pub(crate) fn freeze(world: &World) -> Value {
    Value::Array(
        (0..world.machines.len())
            .filter(|index| world.machines.get(*index).is_some_and(|m| !m.removed))
            .map(|index| render(world, index, View::Summary))
            .collect(),
    )
}

/// `field eq 'value'` joined by `and`, on the few fields that the query parameter has.
fn matches_filter(world: &World, index: usize, filter: &str) -> bool {
    let Some(machine) = world.machines.get(index) else { return false };
    filter.split(" and ").all(|term| {
        let mut words = term.trim().splitn(3, ' ');
        let (Some(field), Some(operator), Some(value)) = (words.next(), words.next(), words.next()) else {
            return true;
        };
        if !operator.eq_ignore_ascii_case("eq") {
            return true;
        }
        let value = value.trim_matches('\'');
        let is = match field.to_ascii_lowercase().as_str() {
            "instancetype" => instance_type(
                world.fabric_of(machine).map_or(Generation::Modernized, |fabric| fabric.generation),
                machine.stage,
            )
            .to_owned(),
            "sourcefabricname" => world.fabric_of(machine).map(|fabric| fabric.friendly.clone()).unwrap_or_default(),
            "multivmgroupname" => machine.spec.group.clone().unwrap_or_default(),
            _ => return true,
        };
        is.eq_ignore_ascii_case(value)
    })
}

fn render_point(context: &Context<'_>, machine: &Machine, point: &Point) -> Value {
    let generation = context.world.fabric_of(machine).map_or(Generation::Modernized, |fabric| fabric.generation);
    let instance = instance_type(generation, machine.stage);
    let mut properties = json!({
        "recoveryPointTime": azure_time(point.at),
        "recoveryPointType": if point.app_consistent { "ApplicationConsistent" } else { "CrashConsistent" },
    });
    // The specification has no point details for the classic failback provider.
    if instance != "InMage"
        && let Some(properties) = properties.as_object_mut()
    {
        properties.insert(
            "providerSpecificDetails".to_owned(),
            json!({"instanceType": instance, "isMultiVmSyncPoint": if point.multi_vm { "true" } else { "false" }}),
        );
    }
    json!({
        "id": context.world.point_id(machine, &point.id),
        "name": point.id,
        "type": "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectedItems/recoveryPoints",
        "properties": properties,
    })
}

/// Everything below one item. `name` is as the client wrote it.
pub(crate) fn one(
    context: &mut Context<'_>,
    fabric: usize,
    name: &str,
    rest: &[&str],
    lower: &[&str],
) -> Result<Answer, Refusal> {
    let Some(index) = context.world.item(fabric, name) else {
        // Disabled items are gone, but the operation that removed one can still be followed.
        if let ["operationresults", job] = lower {
            return super::jobs::operation_result(context, job);
        }
        if let ("PUT", []) = (context.method, lower) {
            let body = context.body.clone();
            let job = context.world.enable(fabric, name, body.as_ref(), (context.method, context.path))?;
            return Ok(context.accepted(&job));
        }
        return Err(Refusal::unknown_item(name));
    };
    let method = context.method;
    match (method, lower) {
        ("GET", []) => Ok(Answer::json(200, &render(context.world, index, View::Full))),
        ("GET", ["recoverypoints"]) => {
            let machine = context.world.machines.get(index).ok_or_else(|| Refusal::unknown_item(name))?;
            let points = context.world.points(machine);
            Ok(context.page(&points, |point| render_point(context, machine, point)))
        }
        ("GET", ["recoverypoints", id]) => {
            let machine = context.world.machines.get(index).ok_or_else(|| Refusal::unknown_item(name))?;
            match context.world.points(machine).iter().find(|point| point.id == *id) {
                Some(point) => Ok(Answer::json(200, &render_point(context, machine, point))),
                None => Err(Refusal::unknown_item(id)),
            }
        }
        ("GET", ["targetcomputesizes"]) => Ok(target_sizes()),
        ("GET", ["operationresults", job]) => super::jobs::operation_result(context, job),
        ("POST", [_verb]) => verb(context, index, rest.first().copied().unwrap_or_default()),
        ("PATCH", []) => Ok(chore(context, index, crate::asr::Passing::UpdateItem)),
        ("DELETE", []) => {
            let job = context.world.item_verb(index, "remove", None, (method, context.path))?;
            Ok(context.accepted(&job))
        }
        _ => Err(Refusal::no_such_type()),
    }
}

fn verb(context: &mut Context<'_>, index: usize, verb: &str) -> Result<Answer, Refusal> {
    let passing = match verb.to_ascii_lowercase().as_str() {
        "resolvehealtherrors" => Some(crate::asr::Passing::ResolveHealthErrors),
        "updatemobilityservice" => Some(crate::asr::Passing::UpdateMobilityService),
        "updateappliance" => Some(crate::asr::Passing::UpdateAppliance),
        _ => None,
    };
    if let Some(passing) = passing {
        return Ok(chore(context, index, passing));
    }
    let body = context.body.clone();
    let job = context.world.item_verb(index, verb, body.as_ref(), (context.method, context.path))?;
    Ok(context.accepted(&job))
}

fn chore(context: &mut Context<'_>, index: usize, scenario: crate::asr::Passing) -> Answer {
    let (resource, name) = match context.world.machines.get(index) {
        Some(machine) => (context.world.item_id(machine), machine.spec.name.clone()),
        None => Default::default(),
    };
    let order = Order {
        vault: context.vault.clone(),
        work: Work::Chore(Chore::Pass { scenario }),
        machine: Some(index),
        plan: None,
        parent: None,
        resource,
        target_id: name.clone(),
        target_name: name,
        call: Some((context.method, context.path)),
    };
    let job = context.world.start_job(order);
    context.accepted(&job)
}

fn target_sizes() -> Answer {
    let sizes: Vec<Value> = [("Standard_D2s_v5", 2, 8.0), ("Standard_D4s_v5", 4, 16.0), ("Standard_F4s_v2", 4, 8.0)]
        .iter()
        .map(|(name, cpus, memory)| {
            json!({"id": Value::Null, "name": name, "type": "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectedItems/targetComputeSizes",
                "properties": {"name": name, "friendlyName": name, "cpuCoresCount": cpus, "memoryInGB": memory, "maxDataDiskCount": 16, "maxNicsCount": 2, "errors": [], "highIopsSupported": "Supported", "hyperVGenerations": ["V1", "V2"]}})
        })
        .collect();
    Answer::json(200, &json!({"value": sizes, "nextLink": Value::Null}))
}
