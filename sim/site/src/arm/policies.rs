//! Replication policies and container mappings.

use serde_json::{Value, json};

use super::{Context, Refusal, plans};
use crate::asr::{Chore, Mapping, Policy};
use crate::wire::Answer;
use crate::world::World;

pub(crate) fn render(world: &World, policy: &Policy) -> Value {
    let id = format!("{}/replicationPolicies/{}", world.vault_id(&policy.vault), policy.name);
    let mut details = json!({"instanceType": policy.provider});
    if let (Some(details), Some(own)) = (details.as_object_mut(), policy.details.as_object()) {
        details.extend(own.clone());
        // The modernized providers say more (recorded).
        if policy.provider.starts_with("InMageRcm") {
            let users = world.machines.iter().filter(|machine| !machine.removed && machine.policy == id).count();
            if policy.provider == "InMageRcm" {
                details.insert("status".to_owned(), json!(false));
                details.insert("associatedItemsCount".to_owned(), json!(users));
                details.insert("dataSourceType".to_owned(), json!("VM"));
            }
        }
    }
    json!({"id": id, "name": policy.name, "type": "Microsoft.RecoveryServices/vaults/replicationPolicies",
        "properties": {"friendlyName": policy.name, "providerSpecificDetails": details}})
}

pub(crate) fn render_mapping(world: &World, mapping: &Mapping) -> Value {
    let Some(fabric) = world.fabrics.get(mapping.fabric) else { return Value::Null };
    json!({
        "id": format!("{}/replicationProtectionContainerMappings/{}", world.container_id(fabric), mapping.name),
        "name": mapping.name,
        "type": "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectionContainerMappings",
        "properties": {
            "targetProtectionContainerId": "Microsoft Azure",
            "targetProtectionContainerFriendlyName": "Microsoft Azure",
            "providerSpecificDetails": mapping.details,
            "health": "Normal",
            "healthErrorDetails": [],
            "policyId": mapping.policy,
            "state": "Paired",
            "sourceProtectionContainerFriendlyName": fabric.container,
            "sourceFabricFriendlyName": fabric.friendly,
            "targetFabricFriendlyName": "Microsoft Azure",
            "policyFriendlyName": mapping.policy.rsplit('/').next(),
        },
    })
}

/// `replicationPolicies` and everything below.
pub(crate) fn answer(context: &mut Context<'_>, rest: &[&str], lower: &[&str]) -> Result<Answer, Refusal> {
    let name = rest.first().copied().unwrap_or_default();
    match (context.method, lower) {
        ("GET", []) => {
            let policies: Vec<&Policy> =
                context.world.policies.iter().filter(|policy| policy.vault == context.vault).collect();
            Ok(context.page(&policies, |policy| render(context.world, policy)))
        }
        ("GET", [_]) => match context.world.policy(&context.vault, name) {
            Some(policy) => Ok(Answer::json(200, &render(context.world, policy))),
            None => Err(Refusal::unknown_item(name)),
        },
        ("PUT" | "PATCH", [_]) => {
            let input = context.body.as_ref().and_then(|body| {
                body.pointer("/properties/providerSpecificInput")
                    .or_else(|| body.pointer("/properties/replicationProviderSettings"))
            });
            let Some(provider) = input.and_then(|input| input.get("instanceType")).and_then(Value::as_str) else {
                return Err(Refusal::invalid_input(
                    "The required property 'providerSpecificInput.instanceType' is missing.",
                ));
            };
            let mut details = input.cloned().unwrap_or_default();
            if let Some(details) = details.as_object_mut() {
                details.remove("instanceType");
            }
            let policy =
                Policy { vault: context.vault.clone(), name: name.to_owned(), details, provider: provider.to_owned() };
            let resource = format!("{}/replicationPolicies/{name}", context.vault_id());
            Ok(plans::chore(context, Chore::PutPolicy(policy), resource, name))
        }
        ("DELETE", [_]) => {
            let resource = format!("{}/replicationPolicies/{name}", context.vault_id());
            let chore = Chore::DeletePolicy { vault: context.vault.clone(), name: name.to_owned() };
            Ok(plans::chore(context, chore, resource, name))
        }
        ("GET", [_, "operationresults", job]) => super::jobs::operation_result(context, job),
        _ => Err(Refusal::no_such_type()),
    }
}

/// `…/replicationProtectionContainerMappings` of a container, and everything below.
pub(crate) fn mappings(
    context: &mut Context<'_>,
    fabric: usize,
    rest: &[&str],
    lower: &[&str],
) -> Result<Answer, Refusal> {
    let name = rest.first().copied().unwrap_or_default();
    let container =
        context.world.fabrics.get(fabric).map(|fabric| context.world.container_id(fabric)).unwrap_or_default();
    let resource = format!("{container}/replicationProtectionContainerMappings/{name}");
    match (context.method, lower) {
        ("GET", []) => {
            let mappings: Vec<&Mapping> =
                context.world.mappings.iter().filter(|mapping| mapping.fabric == fabric).collect();
            Ok(context.page(&mappings, |mapping| render_mapping(context.world, mapping)))
        }
        ("GET", [_]) => match context
            .world
            .mappings
            .iter()
            .find(|mapping| mapping.fabric == fabric && mapping.name.eq_ignore_ascii_case(name))
        {
            Some(mapping) => Ok(Answer::json(200, &render_mapping(context.world, mapping))),
            None => Err(Refusal::unknown_item(name)),
        },
        ("PUT", [_]) => {
            let body = context.body.as_ref();
            let Some(policy) = body.and_then(|body| body.pointer("/properties/policyId")).and_then(Value::as_str)
            else {
                return Err(Refusal::invalid_input("The required property 'policyId' is missing."));
            };
            let details = body
                .and_then(|body| body.pointer("/properties/providerSpecificInput"))
                .cloned()
                .unwrap_or_else(|| json!({"instanceType": "InMageRcm"}));
            let mapping = Mapping { fabric, name: name.to_owned(), policy: policy.to_owned(), details };
            Ok(plans::chore(context, Chore::PutMapping(mapping), resource, name))
        }
        ("DELETE", [_]) | ("POST", [_, "remove"]) => {
            Ok(plans::chore(context, Chore::DeleteMapping { fabric, name: name.to_owned() }, resource, name))
        }
        ("GET", [_, "operationresults", job]) => super::jobs::operation_result(context, job),
        _ => Err(Refusal::no_such_type()),
    }
}
