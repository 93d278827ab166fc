//! A fabric with its components.

use serde_json::Value;

use super::{Odd, decode, health};
use crate::{
    azure::{
        ids::{discovered_machine, last_segment},
        wire::{
            fabric::{Component, DataStore, Details, Fabric},
            lenient::{Many, Part},
        },
    },
    core::observed::{Fabric as Observed, Generation, Health, HealthError, ProcessServer, ReprotectTarget},
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
            Some(Generation::Modernized) => each(&details.reprotect_agents, reprotect_agent),
            Some(Generation::Classic) => each(&details.master_target_servers, master_target),
            None => Vec::new(),
        },
        process_servers: each(&details.process_servers, process_server),
        ..Observed::default()
    })
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
        protected_items: None,
        bios_uuid: None,
        instance_uuid: None,
        ..ReprotectTarget::default()
    }
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
        health: Health::from(component.health.get().unwrap_or_default()),
        heartbeat: component.last_heartbeat_utc.0.or(component.last_heartbeat.0),
    }
}

/// The type of a fabric in a list, to see whether its details are worth a GET.
pub(crate) fn is_vmware(value: &Value) -> bool {
    let kind = value.pointer("/properties/customDetails/instanceType").and_then(Value::as_str);
    matches!(kind, Some("InMageRcm" | "VMware"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
