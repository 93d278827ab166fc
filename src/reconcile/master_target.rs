//! A master target: tell how it stands.

use std::sync::Arc;

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Error,
    context::{Context, key_of},
    opening,
};
use crate::{
    api::MasterTarget,
    core::{
        decide::{
            RESYNC, forgets,
            target::{Described, Missing, Surroundings, TargetInput, decide, find},
        },
        join::{Inventory, TargetMarks},
        observed::{Fact, OnPremisesVm},
    },
    inventory::{Interest, Key, VCenterInventory, Wake},
    kube_io::feed::lookup,
};

pub(super) async fn reconcile(target: Arc<MasterTarget>, context: Arc<Context>) -> Result<Action, Error> {
    let key = key_of(target.as_ref())?;
    // Asked before the look: what is read in between is not in it.
    let awaits = opening::awaits_target(&context, &key, &target);
    let found = described(&context, &key, &target);
    let surroundings = surroundings(&context, &key, &target, &found);
    let load = match found.value() {
        Some(Ok(described)) => context.roster().load(&described.target.id),
        Some(Err(_)) | None => Default::default(),
    };
    let before = target.status.clone().unwrap_or_default();
    let after = decide(&TargetInput {
        spec: &target.spec,
        before: &before,
        generation: target.metadata.generation,
        found: &found,
        surroundings: &surroundings,
        load,
        now: context.clock.now(),
    });
    let of_this = before.observed_generation == target.metadata.generation;
    let less = of_this && forgets((&before.conditions, &before.checks), (&after.conditions, &after.checks));
    if less && awaits {
        return Ok(Action::requeue(opening::AGAIN));
    }
    context.write_status(&key, target.as_ref(), &before, &after).await?;
    Ok(Action::requeue(context.clock.wall(RESYNC)))
}

/// The component that the object describes.
pub(super) fn described(context: &Context, key: &Key, target: &MasterTarget) -> Fact<Result<Described, Missing>> {
    let vault = Key { namespace: key.namespace.clone(), name: target.spec.vault_ref.name.clone() };
    match context.registry.vault(&vault) {
        Some(inventory) => inventory.view().fabrics.map(|fabrics| find(&target.spec, fabrics)),
        None if context.vault_object(&vault.namespace, &vault.name).is_none() => {
            Fact::unknown(format!("spec.vaultRef: there is no RecoveryVault \"{}\" in this namespace.", vault.name))
        }
        None => Fact::unknown(format!("RecoveryVault \"{}\" is not connected.", vault.name)),
    }
}

/// What vCenter shows around it. Tells that vCenter, and no other, what is looked at.
fn surroundings(
    context: &Context,
    key: &Key,
    target: &MasterTarget,
    found: &Fact<Result<Described, Missing>>,
) -> Fact<Surroundings> {
    let reader = Wake::Target(key.clone());
    context.registry.unwatch_vcenters(&reader);
    let described = match found.known() {
        Ok(Ok(described)) => described,
        Ok(Err(missing)) => return Fact::unknown(missing.message.clone()),
        Err(why) => return Fact::unknown(why),
    };
    let vcenter = match vcenter(context, key, target) {
        Ok(vcenter) => vcenter,
        Err(why) => return Fact::Unknown(why),
    };
    let marks = TargetMarks::of(&described.target, target.spec.vm_name.as_deref());
    let datastores = described.target.datastores.clone();
    let interest = Interest { targets: vec![marks.clone()], datastores: datastores.clone(), ..Interest::default() };
    vcenter.watch(reader, interest);
    vcenter.look(|inventory| look(inventory, &marks, &datastores))
}

fn look(inventory: &Inventory, marks: &TargetMarks, datastores: &[String]) -> Surroundings {
    let vm = marks.find(inventory.vms.values());
    let host = match &vm {
        OnPremisesVm::Found(vm) => vm.host.as_ref().and_then(|moref| inventory.hosts.get(moref)).cloned(),
        OnPremisesVm::NotFound | OnPremisesVm::Ambiguous(_) => None,
    };
    let named = inventory.datastores.values().filter(|store| datastores.contains(&store.name));
    Surroundings { vm, host, datastores: named.cloned().collect() }
}

/// The vCenter that its VM lives in: the declared one, else the only one of the namespace.
fn vcenter(context: &Context, key: &Key, target: &MasterTarget) -> Result<Arc<VCenterInventory>, String> {
    let name = match &target.spec.vcenter_ref {
        Some(reference) if lookup(&context.stores.vcenters, &key.namespace, &reference.name).is_none() => {
            return Err(format!("spec.vcenterRef: there is no VCenter \"{}\" in this namespace.", reference.name));
        }
        Some(reference) => reference.name.clone(),
        None => {
            let vcenters = context.stores.vcenters.state();
            let mut here = vcenters.iter().filter(|vcenter| vcenter.namespace().as_ref() == Some(&key.namespace));
            match (here.next(), here.next()) {
                (Some(only), None) => only.name_any(),
                (None, _) => return Err("spec.vcenterRef: this namespace has no VCenter.".to_owned()),
                (Some(_), Some(_)) => {
                    return Err(
                        "spec.vcenterRef: this namespace has several VCenters; name the one that its VM lives in."
                            .to_owned(),
                    );
                }
            }
        }
    };
    let key = Key { namespace: key.namespace.clone(), name };
    context.registry.vcenter(&key).ok_or_else(|| format!("VCenter \"{}\" is not connected.", key.name))
}
