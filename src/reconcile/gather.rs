//! Puts together what is known of one machine, from the shared inventories.

use jiff::Timestamp;

use super::context::Context;
use crate::{
    api::ReplicatedItem,
    core::{
        facts::{HomeIdentity, ItemFacts},
        observed::Fact,
    },
    inventory::Key,
    kube_io::feed::lookup,
};

/// Everything known of the machine. What cannot be told is Unknown with its reason.
pub(super) fn facts(context: &Context, key: &Key, item: &ReplicatedItem) -> ItemFacts {
    let known = item.status.clone().unwrap_or_default().identity;
    let vault_key = Key { namespace: key.namespace.clone(), name: item.spec.vault_ref.name.clone() };
    let mut facts = match context.registry.vault(&vault_key) {
        Some(vault) => {
            let view = vault.item(&item.spec.machine);
            ItemFacts {
                replication: view.replication,
                jobs: view.jobs,
                azure_vm: view.azure_vm,
                fabric: view.fabric,
                ..ItemFacts::unknown("")
            }
        }
        None if lookup(&context.stores.vaults, &vault_key.namespace, &vault_key.name).is_none() => ItemFacts::unknown(
            &format!("spec.vaultRef: there is no RecoveryVault \"{}\" in this namespace.", vault_key.name),
        ),
        None => ItemFacts::unknown(&format!("RecoveryVault \"{}\" is not connected.", vault_key.name)),
    };
    home(context, key, item, &known, &mut facts);
    let verification = item.spec.verification.as_ref();
    facts.probes = context.stores.probes.facts(key, verification.map_or(&[], |asked| asked.probes.as_slice()));
    facts.appliance = appliance(context, key, item, context.clock.now());
    facts
}

fn home(context: &Context, key: &Key, item: &ReplicatedItem, known: &crate::api::Identity, facts: &mut ItemFacts) {
    let name = &item.spec.vcenter_ref.name;
    let vcenter_key = Key { namespace: key.namespace.clone(), name: name.clone() };
    let Some(vcenter) = context.registry.vcenter(&vcenter_key) else {
        let why = if lookup(&context.stores.vcenters, &key.namespace, name).is_none() {
            format!("spec.vcenterRef: there is no VCenter \"{name}\" in this namespace.")
        } else {
            format!("VCenter \"{name}\" is not connected.")
        };
        facts.vcenter = Fact::unknown(why.clone());
        facts.on_premises = Fact::unknown(why);
        return;
    };
    let identity = HomeIdentity::of(facts.replication.value(), known);
    facts.vcenter = vcenter.about();
    (facts.on_premises, facts.home_datastores) = vcenter.find(&identity);
    vcenter.watch(key, identity);
}

fn appliance(context: &Context, key: &Key, item: &ReplicatedItem, now: Timestamp) -> Fact<Option<String>> {
    let Some(reference) = &item.spec.master_target_ref else { return Fact::seen(None, now) };
    match lookup(&context.stores.targets, &key.namespace, &reference.name) {
        None => Fact::unknown(format!(
            "spec.masterTargetRef: there is no MasterTarget \"{}\" in this namespace.",
            reference.name
        )),
        Some(target) if target.spec.vault_ref != item.spec.vault_ref => Fact::unknown(format!(
            "spec.masterTargetRef: MasterTarget \"{}\" belongs to RecoveryVault \"{}\", not to \"{}\".",
            reference.name, target.spec.vault_ref.name, item.spec.vault_ref.name
        )),
        Some(target) => Fact::seen(Some(target.spec.appliance.clone()), now),
    }
}
