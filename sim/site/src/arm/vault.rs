//! What a vault holds: the routes below `…/vaults/{vault}`.

use serde_json::{Value, json};

use super::{Context, Refusal, fabrics, items, jobs, neighbours, plans, policies};
use crate::clock::azure_time;
use crate::wire::Answer;

/// Answers a path below a vault. `rest` is as the client wrote it, `lower` the same in lower case.
pub(crate) fn answer(context: &mut Context<'_>, rest: &[&str], lower: &[&str]) -> Result<Answer, Refusal> {
    let below = |from: usize| (rest.get(from..).unwrap_or_default(), lower.get(from..).unwrap_or_default());
    match (context.method, lower) {
        ("GET", []) => Ok(vault(context)),
        ("GET", ["replicationprotecteditems"]) => Ok(items::list(context, None)),
        ("GET", ["replicationprotectioncontainers"]) => Ok(fabrics::containers(context, None)),
        ("GET", ["replicationprotectioncontainermappings"]) => {
            let mappings: Vec<_> = context
                .world
                .mappings
                .iter()
                .filter(|m| context.world.fabrics.get(m.fabric).is_some_and(|f| f.vault == context.vault))
                .collect();
            Ok(context.page(&mappings, |mapping| policies::render_mapping(context.world, mapping)))
        }
        ("GET", ["replicationappliances"]) => Ok(fabrics::appliances(context)),
        ("GET", ["replicationvcenters"]) => Ok(fabrics::vcenters(context, None)),
        ("GET", ["replicationrecoveryservicesproviders"]) => Ok(fabrics::providers(context, None)),
        ("GET", ["replicationvaulthealth"]) => Ok(health(context)),
        ("POST", ["replicationvaulthealth", "default", "refresh"]) => {
            Ok(fabrics::pass(context, crate::asr::Passing::RefreshHealth, "default"))
        }
        ("GET", ["replicationevents"]) => Ok(events(context)),
        ("GET", ["replicationevents", id]) => {
            let events = &context.world.events;
            let found =
                events.iter().find(|event| event.vault == context.vault && event_name(event).eq_ignore_ascii_case(id));
            found.map(|event| Answer::json(200, &event_body(context, event))).ok_or_else(|| Refusal::unknown_item(id))
        }
        ("GET", ["replicationoperationstatus", job]) => jobs::operation_status(context, job),
        (_, ["replicationjobs", ..]) => jobs::answer(context, below(1).1),
        (_, ["replicationpolicies", ..]) => policies::answer(context, below(1).0, below(1).1),
        (_, ["replicationrecoveryplans", ..]) => plans::answer(context, below(1).0, below(1).1),
        (_, ["replicationfabrics", ..]) => fabrics::answer(context, below(1).0, below(1).1),
        ("GET", ["providers", "microsoft.authorization", "locks"]) => Ok(neighbours::all_locks(context, None)),
        (_, [kind, ..]) if kind.starts_with("replication") => Err(Refusal::no_such_type()),
        _ => Err(Refusal::no_such_type()),
    }
}

fn vault(context: &Context<'_>) -> Answer {
    let world = &*context.world;
    Answer::json(
        200,
        &json!({
            "id": context.vault_id().replace("/Subscriptions/", "/subscriptions/"),
            "name": context.vault,
            "type": "Microsoft.RecoveryServices/vaults",
            "location": world.azure.location,
            "etag": format!("W/\"datetime'{}'\"", azure_time(world.start)),
            "sku": {"name": "RS0", "tier": "Standard"},
            "tags": {},
            "properties": {
                "provisioningState": "Succeeded",
                "privateEndpointStateForBackup": "None",
                "privateEndpointStateForSiteRecovery": "None",
                "publicNetworkAccess": "Enabled",
                "redundancySettings": {"standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Disabled"},
            },
        }),
    )
}

fn health(context: &Context<'_>) -> Answer {
    let world = &*context.world;
    let items = items::indexes(world, &context.vault, None);
    let broken: Vec<&str> = items
        .iter()
        .filter_map(|index| world.machines.get(*index))
        .filter(|machine| machine.health != "Normal")
        .map(|machine| machine.correlation.as_str())
        .collect();
    let issues = if broken.is_empty() {
        json!([])
    } else {
        json!([{"affectedResourceCorrelationIds": broken, "affectedResourceSubtype": "", "affectedResourceType": "replicationProtectedItems", "category": "Replication",
            "severity": "Error", "summaryCode": "ReplicationNotHealthy", "summaryMessage": "Replication is not healthy"}])
    };
    let fabrics = world.fabrics.iter().filter(|fabric| fabric.vault == context.vault).count();
    Answer::json(
        200,
        &json!({
            "id": format!("{}/replicationVaultHealth/Default", context.vault_id()), "name": "Default", "type": "Microsoft.RecoveryServices/vaults/replicationVaultHealth",
            "properties": {"vaultErrors": [], "protectedItemsHealth": {"resourceCount": items.len(), "issues": issues},
                "fabricsHealth": {"resourceCount": fabrics, "issues": []}, "containersHealth": {"resourceCount": fabrics, "issues": []}},
        }),
    )
}

fn event_name(event: &crate::world::SiteEvent) -> String {
    let kind = if event.kind == "JobStatus" { "JobStatusMonitoringEvent" } else { "VmMonitoringEvent" };
    format!("{kind};{}_{}", i64::MAX - event.at.as_millisecond(), event.id)
}

fn event_body(context: &Context<'_>, event: &crate::world::SiteEvent) -> Value {
    let name = event_name(event);
    json!({
        "id": format!("{}/replicationEvents/{name}", context.vault_id()), "name": name, "type": "Microsoft.RecoveryServices/vaults/replicationEvents",
        "properties": {
            "eventCode": crate::world::stable_id("event-code", &event.description), "description": event.description, "eventType": event.kind,
            "affectedObjectFriendlyName": event.object, "affectedObjectCorrelationId": crate::world::stable_id("correlation", &event.object),
            "severity": event.severity, "timeOfOccurrence": azure_time(event.at), "fabricId": event.fabric,
            "providerSpecificDetails": {"instanceType": event.provider}, "eventSpecificDetails": {"instanceType": "JobStatus"}, "healthErrors": [],
        },
    })
}

fn events(context: &Context<'_>) -> Answer {
    let events: Vec<_> = context.world.events.iter().rev().filter(|event| event.vault == context.vault).collect();
    context.page(&events, |event| event_body(context, event))
}
