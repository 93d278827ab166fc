//! Fabrics, containers, providers, appliances and vCenters. LIST shows a fabric without its components, GET all of them (recorded).

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::rcm_item::{beat, vcenter_arm_id};
use super::{Context, Refusal, classic_item, items, policies};
use crate::asr::{Chore, Order, Passing, Work};
use crate::clock::{azure_time, before};
use crate::scenario::Generation;
use crate::wire::Answer;
use crate::world::{Fabric, Role, Server, World, stable_id};

/// Index of a fabric of this vault, by its ARM name.
fn index_of(context: &Context<'_>, name: &str) -> Result<usize, Refusal> {
    let found = context
        .world
        .fabrics
        .iter()
        .position(|fabric| fabric.vault == context.vault && fabric.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| Refusal::unknown_item(name))
}

/// `replicationFabrics` and everything below.
pub(crate) fn answer(context: &mut Context<'_>, rest: &[&str], lower: &[&str]) -> Result<Answer, Refusal> {
    if lower.is_empty() {
        if context.method != "GET" {
            return Err(Refusal::no_such_type());
        }
        let world = &*context.world;
        let fabrics: Vec<&Fabric> = world.fabrics.iter().filter(|fabric| fabric.vault == context.vault).collect();
        return Ok(context.page(&fabrics, |fabric| render(world, fabric, false)));
    }
    let name = rest.first().copied().unwrap_or_default();
    let fabric = index_of(context, name)?;
    let lower = lower.get(1..).unwrap_or_default();
    let rest = rest.get(1..).unwrap_or_default();
    match (context.method, lower) {
        ("GET", []) => {
            let found = context.world.fabrics.get(fabric).ok_or_else(|| Refusal::unknown_item(name))?;
            Ok(Answer::json(200, &render(context.world, found, true)))
        }
        ("POST", ["checkconsistency"]) => Ok(pass(context, Passing::CheckConsistency, name)),
        ("GET", ["operationresults", job]) => super::jobs::operation_result(context, job),
        ("GET", ["replicationvcenters"]) => Ok(vcenters(context, Some(fabric))),
        ("GET", ["replicationvcenters", id]) => one_vcenter(context, fabric, id),
        ("GET", ["replicationrecoveryservicesproviders"]) => Ok(providers(context, Some(fabric))),
        ("POST", ["replicationrecoveryservicesproviders", _, "refreshprovider"]) => {
            Ok(pass(context, Passing::Refresh, name))
        }
        ("GET", ["replicationprotectioncontainers"]) => Ok(containers(context, Some(fabric))),
        (_, ["replicationprotectioncontainers", container, ..]) => {
            let known = context.world.fabrics.get(fabric);
            // A classic item's and a recovery point's container is `cloud_…`, even where the fabric's own has another name (recorded).
            let matches = known.is_some_and(|fabric| {
                fabric.container.eq_ignore_ascii_case(container)
                    || format!("cloud_{}", fabric.internal_id) == *container
            });
            if !matches {
                return Err(Refusal::unknown_item(container));
            }
            container_below(context, fabric, rest.get(2..).unwrap_or_default(), lower.get(2..).unwrap_or_default())
        }
        _ => Err(Refusal::no_such_type()),
    }
}

fn container_below(context: &mut Context<'_>, fabric: usize, rest: &[&str], lower: &[&str]) -> Result<Answer, Refusal> {
    match (context.method, lower) {
        ("GET", []) => {
            let found = context.world.fabrics.get(fabric).ok_or_else(|| Refusal::unknown_item(""))?;
            Ok(Answer::json(200, &container(context.world, fabric, found)))
        }
        ("GET", ["replicationprotecteditems"]) => Ok(items::list(context, Some(fabric))),
        (_, ["replicationprotecteditems", _, ..]) => {
            let name = rest.get(1).copied().unwrap_or_default();
            items::one(context, fabric, name, rest.get(2..).unwrap_or_default(), lower.get(2..).unwrap_or_default())
        }
        (_, ["replicationprotectioncontainermappings", ..]) => {
            policies::mappings(context, fabric, rest.get(1..).unwrap_or_default(), lower.get(1..).unwrap_or_default())
        }
        _ => Err(Refusal::no_such_type()),
    }
}

fn container(world: &World, index: usize, fabric: &Fabric) -> Value {
    let items = world.machines.iter().filter(|machine| machine.fabric == index && !machine.removed).count();
    json!({
        "id": world.container_id(fabric),
        "name": fabric.container,
        "type": "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers",
        "properties": {
            "fabricFriendlyName": fabric.friendly,
            "friendlyName": if fabric.generation == Generation::Classic { &fabric.friendly } else { &fabric.container },
            "fabricType": if fabric.generation == Generation::Classic { "VMware" } else { "InMageRcm" },
            "protectedItemCount": items,
            "pairingStatus": "Paired",
            "role": "Primary",
            "fabricSpecificDetails": Value::Null,
        },
    })
}

/// Containers of the vault or of one fabric.
pub(crate) fn containers(context: &Context<'_>, only: Option<usize>) -> Answer {
    let world = &*context.world;
    let all: Vec<(usize, &Fabric)> = world
        .fabrics
        .iter()
        .enumerate()
        .filter(|(index, fabric)| fabric.vault == context.vault && only.is_none_or(|only| only == *index))
        .collect();
    context.page(&all, |(index, fabric)| container(world, *index, fabric))
}

/// A housekeeping job on a fabric.
pub(crate) fn pass(context: &mut Context<'_>, scenario: Passing, name: &str) -> Answer {
    let order = Order {
        vault: context.vault.clone(),
        work: Work::Chore(Chore::Pass { scenario }),
        machine: None,
        plan: None,
        parent: None,
        resource: context.path.rsplit_once('/').map(|(resource, _)| resource.to_owned()).unwrap_or_default(),
        target_id: name.to_owned(),
        target_name: name.to_owned(),
        call: Some((context.method, context.path)),
    };
    let job = context.world.start_job(order);
    context.accepted(&job)
}

fn render(world: &World, fabric: &Fabric, full: bool) -> Value {
    let details = match fabric.generation {
        _ if fabric.hyper_v => json!({"instanceType": "HyperVSite", "hyperVHosts": []}),
        Generation::Modernized => rcm_details(world, fabric, full),
        Generation::Classic => classic_item::fabric_details(world, fabric, full),
    };
    json!({
        "name": fabric.name,
        "type": "Microsoft.RecoveryServices/vaults/replicationFabrics",
        "id": world.fabric_id(fabric),
        "properties": {
            "friendlyName": fabric.friendly,
            "encryptionDetails": {"kekState": "None", "kekCertThumbprint": Value::Null},
            "rolloverEncryptionDetails": {"kekState": "None", "kekCertThumbprint": Value::Null},
            "internalIdentifier": fabric.internal_id,
            "bcdrState": "Valid",
            "customDetails": details,
            "healthErrorDetails": [],
            "health": fabric_health(fabric),
        },
    })
}

fn fabric_health(fabric: &Fabric) -> &'static str {
    let broken = |server: &Server| {
        server.health == "Critical" || !server.heartbeat || server.parts.values().any(|part| part.health == "Critical")
    };
    if fabric.servers.iter().any(broken) { "Critical" } else { "Normal" }
}

fn identity(world: &World, name: &str) -> Value {
    let tenant = &world.azure.tenant;
    json!({
        "tenantId": tenant, "applicationId": stable_id("application", name), "objectId": stable_id("object", name),
        "audience": format!("api://{tenant}/{name}"), "aadAuthority": format!("https://login.microsoftonline.com/{tenant}"),
    })
}

fn rcm_details(world: &World, fabric: &Fabric, full: bool) -> Value {
    let mut details = json!({
        "instanceType": "InMageRcm",
        "vmwareSiteId": world.provider_id(&format!("Microsoft.OffAzure/VMwareSites/{}", fabric.site)),
        "physicalSiteId": world.provider_id(&format!("Microsoft.OffAzure/ServerSites/{}physicalsite", fabric.friendly)),
        "serviceEndpoint": "https://srs.simulated.invalid",
        "serviceResourceId": "8238764630195140046",
        "serviceContainerId": "5269262064710",
        "dataPlaneUri": "https://prot.simulated.invalid",
        "controlPlaneUri": "https://rcm.simulated.invalid",
        "sourceAgentIdentityDetails": Value::Null,
        "processServers": [], "rcmProxies": [], "pushInstallers": [], "replicationAgents": [], "reprotectAgents": [], "marsAgents": [], "dras": [], "agentDetails": [],
    });
    let Some(map) = details.as_object_mut() else { return details };
    if full {
        map.insert(
            "sourceAgentIdentityDetails".to_owned(),
            identity(world, &format!("{}failbackagentauthaadapp", fabric.friendly)),
        );
        for (kind, key) in COMPONENTS {
            let listed = fabric.servers.iter().filter(|server| server.discovered || *kind != "reprotectAgent");
            let all: Vec<Value> = listed.map(|server| component(world, fabric, server, kind)).collect();
            map.insert((*key).to_owned(), json!(all));
        }
    }
    details
}

/// Components of an appliance; all share its id (recorded).
const COMPONENTS: &[(&str, &str)] = &[
    ("processServer", "processServers"),
    ("rcmProxy", "rcmProxies"),
    ("pushInstaller", "pushInstallers"),
    ("replicationAgent", "replicationAgents"),
    ("reprotectAgent", "reprotectAgents"),
    ("marsAgent", "marsAgents"),
    ("dra", "dras"),
];

pub(crate) fn heartbeat(world: &World, server: &Server, kind: &str) -> String {
    match server.parts.get(kind).map_or(server.silent_since, |part| part.silent_since) {
        Some(since) => azure_time(since),
        None => beat(world.now, &format!("{}{kind}", server.name), 240),
    }
}

fn server_errors(server: &Server, kind: &str) -> Value {
    let mut errors: Vec<Value> = server.errors.iter().map(|text| health_error("ComponentNotHealthy", text)).collect();
    if !beats(server, kind) {
        errors.push(health_error("NoHeartbeat", &format!("No heartbeat from '{}'.", server.name)));
    }
    json!(errors)
}

fn health_error(code: &str, text: &str) -> Value {
    json!({"innerHealthErrors": [], "errorSource": "Fabric", "errorType": "FabricHealth", "errorLevel": "Error", "errorCategory": "FabricInfrastructure", "errorCode": code,
        "summaryMessage": text, "errorMessage": text, "possibleCauses": "", "recommendedAction": "", "creationTimeUtc": Value::Null, "recoveryProviderErrorMessage": Value::Null,
        "entityId": Value::Null, "errorId": stable_id("error", text), "customerResolvability": "NotAllowed"})
}

fn beats(server: &Server, kind: &str) -> bool {
    server.parts.get(kind).map_or(server.heartbeat, |part| part.silent_since.is_none())
}

fn health<'a>(server: &'a Server, kind: &str) -> &'a str {
    let own = server.parts.get(kind).map_or(&server.health, |part| &part.health);
    if beats(server, kind) { own } else { "Critical" }
}

fn component(world: &World, fabric: &Fabric, server: &Server, kind: &str) -> Value {
    let bios = stable_id("bios", &server.name).to_ascii_uppercase();
    let mut value = json!({
        "id": server.id, "name": server.name, "biosId": bios,
        "fabricObjectId": format!("{}_{}", vcenter_arm_id(world, fabric).replace("/vcenters/", "/machines/"), stable_id("instance", &server.name)),
        "fqdn": server.name, "version": server.version, "lastHeartbeatUtc": heartbeat(world, server, kind), "health": health(server, kind), "healthErrors": server_errors(server, kind),
    });
    let Some(map) = value.as_object_mut() else { return value };
    match kind {
        "processServer" => {
            let more = json!({
                "ipAddresses": [server.ip], "totalMemoryInBytes": 34_359_738_368_u64, "availableMemoryInBytes": 30_000_000_000_u64, "usedMemoryInBytes": 4_359_738_368_u64,
                "memoryUsagePercentage": 12.7, "totalSpaceInBytes": 665_717_829_632_u64, "availableSpaceInBytes": 660_626_316_629_u64, "usedSpaceInBytes": 5_091_513_003_u64,
                "freeSpacePercentage": 99.2, "throughputUploadPendingDataInBytes": 0, "throughputInBytes": 0, "processorUsagePercentage": 1.0, "throughputStatus": "Healthy",
                "systemLoad": 0, "systemLoadStatus": "Healthy", "diskUsageStatus": "Healthy", "memoryUsageStatus": "Healthy", "processorUsageStatus": "Healthy", "historicHealth": "Normal",
            });
            if let Some(more) = more.as_object() {
                map.extend(more.clone());
            }
        }
        "rcmProxy" => {
            map.insert("clientAuthenticationType".to_owned(), json!("Certificate"));
        }
        "reprotectAgent" => {
            let seen = match &server.datastores {
                Some(names) => names.clone(),
                None => world
                    .vcenters
                    .get(fabric.vcenter)
                    .map(|vcenter| vcenter.writable_on(server.host))
                    .unwrap_or_default(),
            };
            map.insert("accessibleDatastores".to_owned(), json!(seen));
            map.insert("vcenterId".to_owned(), json!(vcenter_arm_id(world, fabric)));
            // What was discovered stays while vCenter cannot be reached, and grows old.
            let connected = world.vcenters.get(fabric.vcenter).is_some_and(|vcenter| vcenter.connected);
            let discovered = if connected { beat(world.now, &server.name, 1_800) } else { long_ago(world) };
            map.insert("lastDiscoveryInUtc".to_owned(), json!(discovered));
        }
        "dra" => {
            map.remove("fabricObjectId");
            map.remove("fqdn");
        }
        _ => {}
    }
    value
}

/// One call that shows every component of each appliance.
pub(crate) fn appliances(context: &Context<'_>) -> Answer {
    let world = &*context.world;
    let mut all = Vec::new();
    for fabric in world
        .fabrics
        .iter()
        .filter(|fabric| fabric.vault == context.vault && fabric.generation == Generation::Modernized)
    {
        for server in &fabric.servers {
            let mut value = json!({"id": server.id, "name": server.name, "fabricArmId": world.fabric_id(fabric), "switchProviderBlockingErrorDetails": []});
            if let Some(map) = value.as_object_mut() {
                for (kind, _) in COMPONENTS {
                    map.insert((*kind).to_owned(), component(world, fabric, server, kind));
                }
            }
            all.push(value);
        }
    }
    Answer::json(
        200,
        &json!({"value": [{"properties": {"providerSpecificDetails": {"instanceType": "InMageRcm", "appliances": all}}}], "nextLink": Value::Null}),
    )
}

/// vCenters as ASR knows them; classic fabrics only in practice.
pub(crate) fn vcenters(context: &Context<'_>, only: Option<usize>) -> Answer {
    let world = &*context.world;
    let all: Vec<&Fabric> = world
        .fabrics
        .iter()
        .enumerate()
        .filter(|(index, fabric)| {
            fabric.vault == context.vault
                && fabric.generation == Generation::Classic
                && only.is_none_or(|only| only == *index)
        })
        .map(|(_, fabric)| fabric)
        .collect();
    context.page(&all, |fabric| vcenter(world, fabric))
}

fn one_vcenter(context: &Context<'_>, fabric: usize, name: &str) -> Result<Answer, Refusal> {
    let found = context.world.fabrics.get(fabric).filter(|fabric| fabric.generation == Generation::Classic);
    let body = found
        .map(|fabric| vcenter(context.world, fabric))
        .filter(|body| body.get("name").and_then(Value::as_str).is_some_and(|is| is.eq_ignore_ascii_case(name)));
    body.map(|body| Answer::json(200, &body)).ok_or_else(|| Refusal::unknown_item(name))
}

fn long_ago(world: &World) -> String {
    azure_time(before(world.start, SignedDuration::from_hours(3)))
}

fn vcenter(world: &World, fabric: &Fabric) -> Value {
    let Some(known) = world.vcenters.get(fabric.vcenter) else { return Value::Null };
    let name = known.name.split('.').next().unwrap_or_default();
    json!({
        "id": format!("{}/replicationvCenters/{name}", world.fabric_id(fabric)), "name": name, "type": "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationvCenters",
        "properties": {
            "friendlyName": name, "internalId": fabric.vcenter_known_as,
            "lastHeartbeat": if known.connected { beat(world.now, name, 300) } else { long_ago(world) },
            "discoveryStatus": if known.connected { known.discovery.as_ref().unwrap_or(&world.unknowns.discovery_status) } else { "Failed" },
            "processServerId": fabric.servers.first().map(|server| server.id.as_str()), "ipAddress": known.name, "infrastructureId": fabric.vcenter_known_as, "port": "443", "runAsAccountId": "1",
            "fabricArmResourceName": fabric.name,
            "healthErrors": if known.connected { json!([]) } else { json!([health_error("VCenterNotConnected", "The vCenter server cannot be reached.")]) },
        },
    })
}

/// Providers: a DRA per appliance, or the one of the configuration server.
pub(crate) fn providers(context: &Context<'_>, only: Option<usize>) -> Answer {
    let world = &*context.world;
    let mut all: Vec<(usize, &Fabric, &Server)> = Vec::new();
    for (index, fabric) in world
        .fabrics
        .iter()
        .enumerate()
        .filter(|(index, fabric)| fabric.vault == context.vault && only.is_none_or(|only| only == *index))
    {
        all.extend(
            fabric
                .servers
                .iter()
                .filter(|server| matches!(server.role, Role::Appliance | Role::ConfigurationServer))
                .map(|server| (index, fabric, server)),
        );
    }
    context.page(&all, |(index, fabric, server)| {
        let name = match fabric.generation {
            Generation::Modernized => format!("{}dra", server.name),
            Generation::Classic => fabric.internal_id.clone(),
        };
        json!({
            "id": format!("{}/replicationRecoveryServicesProviders/{name}", world.fabric_id(fabric)),
            "type": "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationRecoveryServicesProviders",
            "name": name,
            "properties": {
                "fabricType": if fabric.generation == Generation::Classic { "VMware" } else { "InMageRcm" },
                "friendlyName": server.name, "providerVersion": "5.24.1100.3", "serverVersion": "0.0", "providerVersionState": "Latest",
                "providerVersionExpiryDate": "9999-12-31T23:59:59.9999999", "fabricFriendlyName": fabric.friendly, "lastHeartBeat": heartbeat(world, server, "dra"),
                "connectionStatus": if server.heartbeat { "Connected" } else { "NotConnected" },
                "protectedItemCount": world.machines.iter().filter(|machine| machine.fabric == *index && !machine.removed).count(),
                "allowedScenarios": ["Refresh"], "healthErrorDetails": [], "draIdentifier": server.id, "machineId": server.id, "machineName": server.name,
                "biosId": stable_id("bios", &server.name).to_ascii_uppercase(),
                "authenticationIdentityDetails": identity(world, "agentauthaadapp"), "resourceAccessIdentityDetails": identity(world, "failbackagentauthaadapp"),
                "dataPlaneAuthenticationIdentityDetails": identity(world, "RecoveryServiceContainerV2"),
                "providerVersionDetails": {"version": "5.24.1100.3", "expiryDate": "9999-12-31T23:59:59.9999999", "status": "Supported"},
            },
        })
    })
}
