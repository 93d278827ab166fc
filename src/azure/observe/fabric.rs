//! A fabric with its components.

use serde_json::Value;

use super::{Odd, decode, health, os_family};
use crate::{
    azure::{
        ids::{discovered_machine, last_segment},
        wire::{
            fabric::{Component, DataStore, Details, Fabric, Volume},
            lenient::{Many, Part, Text},
        },
    },
    core::observed::{
        Component as ApplianceComponent, ConfigurationServer, Fabric as Observed, Generation, Health, HealthError,
        ProcessServer, ReprotectTarget, RetentionVolume, RunAsAccount,
    },
};

/// Reads a fabric.
pub(crate) fn observe(value: Value) -> Result<Observed, Odd> {
    let fabric: Fabric = decode(value)?;
    let id = fabric.id.get().ok_or_else(|| Odd::new(fabric.name.get(), "no id"))?;
    let Part::There(properties) = &fabric.properties else { return Err(Odd::new(Some(id), "no properties")) };
    let none = Details::default();
    let details = properties.custom_details.get().unwrap_or(&none);
    let generation = match details.instance_type.get() {
        Some("InMageRcm") => Some(Generation::Modernized),
        Some("VMware") => Some(Generation::Classic),
        Some(_) | None => None,
    };
    let name = properties.friendly_name.get().or(fabric.name.get()).or(last_segment(id));
    Ok(Observed {
        id: id.to_owned(),
        name: name.unwrap_or_default().to_owned(),
        generation,
        health: Health::from(properties.health.get().unwrap_or_default()),
        targets: match generation {
            Some(Generation::Modernized) => appliances(details),
            Some(Generation::Classic) => each(&details.master_target_servers, master_target),
            None => Vec::new(),
        },
        process_servers: each(&details.process_servers, process_server),
        configuration_server: match generation {
            Some(Generation::Classic) => Some(configuration_server(details)),
            Some(Generation::Modernized) | None => None,
        },
        run_as_accounts: run_as_accounts(details),
        ..Observed::default()
    })
}

/// The details of a classic fabric are those of its configuration server.
fn configuration_server(details: &Details) -> ConfigurationServer {
    ConfigurationServer {
        name: details.host_name.or_empty(),
        ip_address: details.ip_address.owned(),
        service_status: details.cs_service_status.or_empty(),
        heartbeat: details.last_heartbeat.0,
        version: details.agent_version.or_empty(),
    }
}

fn run_as_accounts(details: &Details) -> Vec<RunAsAccount> {
    let accounts = details.run_as_accounts.iter().filter_map(Part::get);
    let named = accounts.filter_map(|account| {
        Some(RunAsAccount { id: account.account_id.owned()?, name: account.account_name.or_empty() })
    });
    named.collect()
}

/// The reprotect agents, each with the parts of its appliance: all of one appliance share an id (recorded).
fn appliances(details: &Details) -> Vec<ReprotectTarget> {
    let with_parts = |mut target: ReprotectTarget| {
        target.components = kinds(details).into_iter().flat_map(|(kind, list)| parts(kind, list, &target.id)).collect();
        target.ip_addresses = ip_addresses(details, &target.id);
        target
    };
    each(&details.reprotect_agents, reprotect_agent).into_iter().map(with_parts).collect()
}

/// What an appliance consists of, in the vendor's words.
const fn kinds(details: &Details) -> [(&'static str, &Many<Part<Component>>); 7] {
    [
        ("process server", &details.process_servers),
        ("proxy", &details.rcm_proxies),
        ("push installer", &details.push_installers),
        ("replication agent", &details.replication_agents),
        ("reprotect agent", &details.reprotect_agents),
        ("MARS agent", &details.mars_agents),
        ("DRA", &details.dras),
    ]
}

/// Those of an id in any case.
fn of_id<'a>(list: &'a Many<Part<Component>>, id: &'a str) -> impl Iterator<Item = &'a Component> {
    let is_it = move |component: &&Component| component.id.get().is_some_and(|its| its.eq_ignore_ascii_case(id));
    list.iter().filter_map(Part::get).filter(is_it)
}

fn parts(kind: &'static str, list: &Many<Part<Component>>, id: &str) -> Vec<ApplianceComponent> {
    let part = |component: &Component| ApplianceComponent {
        kind,
        name: name(component, id),
        health: Health::from(component.health.get().unwrap_or_default()),
        health_errors: health::errors(&component.health_errors),
        heartbeat: component.last_heartbeat_utc.0,
    };
    of_id(list, id).map(part).collect()
}

/// Only the process server tells the appliance's addresses (recorded).
fn ip_addresses(details: &Details, id: &str) -> Vec<String> {
    of_id(&details.process_servers, id).flat_map(|server| server.ip_addresses.texts()).collect()
}

fn each<T>(components: &Many<Part<Component>>, read: fn(&Component, &str) -> T) -> Vec<T> {
    // Without an id nothing could be sent to it.
    components.iter().filter_map(Part::get).filter_map(|c| Some(read(c, c.id.get()?))).collect()
}

fn name(component: &Component, id: &str) -> String {
    component.name.get().or(component.friendly_name.get()).unwrap_or(id).to_owned()
}

fn reprotect_agent(component: &Component, id: &str) -> ReprotectTarget {
    let machine = component.fabric_object_id.get().and_then(discovered_machine);
    let vcenter = component.vcenter_id.get().and_then(last_segment).map(str::to_owned);
    ReprotectTarget {
        id: id.to_owned(),
        name: name(component, id),
        health: Health::from(component.health.get().unwrap_or_default()),
        health_errors: health::errors(&component.health_errors),
        heartbeat: component.last_heartbeat_utc.0,
        version: component.version.or_empty(),
        datastores: component.accessible_datastores.texts(),
        protected_items: component.protected_item_count.get().and_then(|count| u32::try_from(count).ok()),
        bios_uuid: component.bios_id.get().map(str::to_ascii_lowercase),
        instance_uuid: machine.as_ref().map(|(_, uuid)| uuid.clone()),
        vcenter_name: vcenter.or(machine.map(|(vcenter, _)| vcenter)),
        ..ReprotectTarget::default()
    }
}

fn master_target(component: &Component, id: &str) -> ReprotectTarget {
    let mut errors = health::errors(&component.validation_errors);
    for error in health::errors(&component.health_errors) {
        health::push(&mut errors, error);
    }
    ReprotectTarget {
        id: id.to_owned(),
        name: name(component, id),
        health: master_target_health(component, &errors),
        health_errors: errors,
        heartbeat: component.last_heartbeat.0,
        version: component.agent_version.or_empty(),
        // An empty list is recorded of a configuration server that cannot be failed back to.
        datastores: component.data_stores.iter().filter_map(Part::get).filter_map(store_name).collect(),
        os: component.os_type.get().and_then(os_family),
        ip_addresses: addresses(&component.ip_address),
        retention: retention(&component.retention_volumes),
        ..ReprotectTarget::default()
    }
}

/// Several addresses come as one text, joined by `_` (protocol reference §2.2).
fn addresses(joined: &Text) -> Vec<String> {
    let all = joined.get().unwrap_or_default().split('_').map(str::trim);
    all.filter(|address| !address.is_empty()).map(str::to_owned).collect()
}

/// A volume appears up to 15 minutes after it was made, so that an empty list is an answer and a missing one is none.
fn retention(volumes: &Many<Part<Volume>>) -> Option<Vec<RetentionVolume>> {
    let volume = |volume: &Volume| {
        Some(RetentionVolume {
            name: volume.volume_name.owned()?,
            capacity_bytes: volume.capacity_in_bytes.get(),
            free_bytes: volume.free_space_in_bytes.get(),
        })
    };
    volumes.given.then(|| volumes.iter().filter_map(Part::get).filter_map(volume).collect())
}

fn store_name(store: &DataStore) -> Option<String> {
    store.symbolic_name.owned()
}

/// Master targets have no health of their own: it follows from their errors. That there are none must have been said:
/// lists that are not there say nothing.
fn master_target_health(component: &Component, errors: &[HealthError]) -> Health {
    if errors.iter().any(|error| !error.level.eq_ignore_ascii_case("warning")) {
        Health::Critical
    } else if !errors.is_empty() {
        Health::Warning
    } else if component.health_errors.given && component.validation_errors.given {
        Health::Normal
    } else {
        Health::Unclear(String::new())
    }
}

fn process_server(component: &Component, id: &str) -> ProcessServer {
    ProcessServer {
        id: id.to_owned(),
        name: name(component, id),
        health: process_server_health(component),
        heartbeat: component.last_heartbeat_utc.0.or(component.last_heartbeat.0),
    }
}

/// A classic process server tells its service's state beside its health: one whose service does not run receives
/// nothing, whatever its health was when it was computed last.
fn process_server_health(component: &Component) -> Health {
    match component.ps_service_status.get() {
        Some(status) if !status.eq_ignore_ascii_case("running") => Health::Critical,
        Some(_) | None => Health::from(component.health.get().unwrap_or_default()),
    }
}

/// The type of a fabric in a list, to see whether its details are worth a GET.
pub(crate) fn is_vmware(value: &Value) -> bool {
    let kind = value.pointer("/properties/customDetails/instanceType").and_then(Value::as_str);
    matches!(kind, Some("InMageRcm" | "VMware"))
}

/// The site in Microsoft.OffAzure that a modernized fabric's vCenters are listed in.
pub(crate) fn vmware_site(value: &Value) -> Option<&str> {
    value.pointer("/properties/customDetails/vmwareSiteId").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::observed::OsFamily;

    fn target(component: Value) -> ReprotectTarget {
        let fabric = json!({"id": "/f", "properties": {"customDetails": {
            "instanceType": "VMware", "masterTargetServers": [component]}}});
        observe(fabric).unwrap().targets.remove(0)
    }

    #[test]
    fn a_master_targets_health_follows_from_its_errors() {
        let health = |errors: Value| target(json!({"id": "mt", "healthErrors": errors, "validationErrors": []})).health;
        assert_eq!(health(json!([])), Health::Normal);
        assert_eq!(health(json!([{"errorCode": "1", "errorLevel": "Warning"}])), Health::Warning);
        assert_eq!(health(json!([{"errorCode": "1", "errorLevel": "Error"}])), Health::Critical);
        assert_eq!(target(json!({"id": "mt"})).health, Health::Unclear(String::new()));
    }

    #[test]
    fn a_master_target_tells_its_volumes_and_addresses() {
        let it = target(json!({"id": "mt", "osType": "linux", "ipAddress": "10.0.0.4_fe80::1",
            "retentionVolumes": [{"volumeName": "/mnt/retention", "capacityInBytes": "1099511627776",
                "freeSpaceInBytes": -1}, {"capacityInBytes": 1}, 7]}));
        assert_eq!(it.os, Some(OsFamily::Linux));
        assert_eq!(it.ip_addresses, ["10.0.0.4", "fe80::1"]);
        let volume = RetentionVolume { name: "/mnt/retention".into(), capacity_bytes: Some(1 << 40), free_bytes: None };
        assert_eq!(it.retention, Some(vec![volume]));
        assert_eq!(target(json!({"id": "mt", "retentionVolumes": []})).retention, Some(vec![]));
        assert_eq!(target(json!({"id": "mt"})).retention, None);
    }

    #[test]
    fn a_process_server_whose_service_does_not_run_is_critical() {
        let health = |status: Value| {
            let server = json!({"id": "ps", "health": "Normal", "psServiceStatus": status});
            let details = json!({"instanceType": "VMware", "processServers": [server]});
            observe(json!({"id": "/f", "properties": {"customDetails": details}})).unwrap().process_servers.remove(0)
        };
        assert_eq!(health(json!("Running")).health, Health::Normal);
        assert_eq!(health(json!(null)).health, Health::Normal);
        assert_eq!(health(json!("Stopped")).health, Health::Critical);
    }

    #[test]
    fn an_appliance_has_the_parts_that_share_its_id() {
        let details = json!({"instanceType": "InMageRcm",
            "reprotectAgents": [{"id": "A", "health": "Normal"}],
            "rcmProxies": [{"id": "b", "health": "Normal"}, {"id": "a", "health": "Critical",
                "healthErrors": [{"errorCode": "1", "errorLevel": "Error"}]}],
            "processServers": [{"id": "a", "ipAddresses": ["10.0.0.5"]}]});
        let fabric = observe(json!({"id": "/f", "properties": {"customDetails": details}})).unwrap();
        let [appliance] = fabric.targets.as_slice() else { panic!("{fabric:?}") };
        assert_eq!(appliance.ip_addresses, ["10.0.0.5"]);
        let parts: Vec<_> = appliance.components.iter().map(|part| (part.kind, &part.health)).collect();
        let unclear = Health::Unclear(String::new());
        let expected =
            [("process server", &unclear), ("proxy", &Health::Critical), ("reprotect agent", &Health::Normal)];
        assert_eq!(parts, expected);
        assert_eq!(appliance.components[1].health_errors.len(), 1);
    }

    #[test]
    fn a_fabric_of_another_kind_is_shown_without_components() {
        let fabric = json!({"id": "/x/replicationFabrics/f", "properties": {
            "customDetails": {"instanceType": "HyperVSite"}}});
        assert!(!is_vmware(&fabric));
        let fabric = observe(fabric).unwrap();
        assert_eq!((fabric.name.as_str(), fabric.generation), ("f", None));
    }

    #[test]
    fn a_component_without_an_id_is_left_out() {
        let agent = json!({"id": "/f", "properties": {"customDetails": {
            "instanceType": "InMageRcm", "reprotectAgents": [{"id": "a"}, {"name": "no id"}, 7]}}});
        let targets = observe(agent).unwrap().targets;
        assert_eq!(targets.len(), 1);
        assert_eq!(targets[0].name, "a");
    }
}
