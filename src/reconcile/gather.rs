//! Puts together what is known of one machine, from the shared inventories and from the objects beside it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    context::Context,
    join::{describes, item_key},
};
use crate::{
    api::{MasterTarget, ReplicatedItem},
    core::{
        decide::target::generation,
        facts::{GroupMember, HomeIdentity, ItemFacts, SiteFacts, TargetFacts},
        join::{TargetMarks, members, namesakes},
        observed::{Fabric, Fact, Generation, Replication, ReprotectTarget},
        schedule::load::DISKS_PER_TARGET,
    },
    inventory::{Interest, Key, VCenterInventory, VaultInventory, Wake},
    kube_io::feed::lookup,
};

/// Everything known of the machine. What cannot be told is Unknown with its reason.
pub(super) fn facts(context: &Context, key: &Key, item: &ReplicatedItem) -> ItemFacts {
    let vault_key = Key { namespace: key.namespace.clone(), name: item.spec.vault_ref.name.clone() };
    let object = context.vault_object(&vault_key.namespace, &vault_key.name);
    let mut facts = match context.registry.vault(&vault_key) {
        Some(vault) => of_vault(context, &vault, item),
        None if object.is_none() => ItemFacts::unknown(&format!(
            "spec.vaultRef: there is no RecoveryVault \"{}\" in this namespace.",
            vault_key.name
        )),
        None => ItemFacts::unknown(&format!("RecoveryVault \"{}\" is not connected.", vault_key.name)),
    };
    let backed_up = object.and_then(|vault| vault.spec.configuration_server_backed_up_at.clone());
    facts.configuration_server_backup = backed_up.map(|time| time.0);
    if let Some(seen) = facts.replication.value() {
        let roster = context.roster();
        let first = roster.goes_before(&seen.id, &item_key(key));
        facts.described_by = first.map(|(namespace, name)| format!("{namespace}/{name}"));
    }
    let objects = context.targets_of(&vault_key);
    facts.appliance = declared_target(context, key, item, &facts.fabric, context.clock.now());
    home(context, key, item, &objects, &mut facts);
    let verification = item.spec.verification.as_ref();
    facts.probes = context.stores.probes.facts(key, verification.map_or(&[], |asked| asked.probes.as_slice()));
    facts
}

fn of_vault(context: &Context, vault: &VaultInventory, item: &ReplicatedItem) -> ItemFacts {
    let view = vault.item(&item.spec.machine);
    let group = group(context, vault, item, &view.replication);
    ItemFacts {
        replication: view.replication,
        unread: vault.unread(),
        jobs: view.jobs,
        azure_vm: view.azure_vm,
        fabric: view.fabric,
        group,
        recovery_points: view.recovery_points,
        locks: view.locks,
        policies: vault.policies(),
        ..ItemFacts::unknown("Not looked for yet.")
    }
}

/// The other members of its consistency group; none without a group.
fn group(
    context: &Context,
    vault: &VaultInventory,
    item: &ReplicatedItem,
    replication: &Fact<Replication>,
) -> Fact<Vec<GroupMember>> {
    let own = match replication.known() {
        Ok(own) => own,
        Err(why) => return Fact::unknown(why),
    };
    if own.group.is_none() {
        return replication.map(|_| Vec::new());
    }
    vault.group(&item.spec.machine).map(|shown| members(&own.id, shown, &context.roster()))
}

/// The machine at home, and what is around it.
fn home(context: &Context, key: &Key, item: &ReplicatedItem, objects: &[Arc<MasterTarget>], facts: &mut ItemFacts) {
    let name = &item.spec.vcenter_ref.name;
    let vcenter_key = Key { namespace: key.namespace.clone(), name: name.clone() };
    let Some(vcenter) = context.registry.vcenter(&vcenter_key) else {
        let why = if lookup(&context.stores.vcenters, &key.namespace, name).is_none() {
            format!("spec.vcenterRef: there is no VCenter \"{name}\" in this namespace.")
        } else {
            format!("VCenter \"{name}\" is not connected.")
        };
        facts.vcenter = Fact::unknown(why.clone());
        facts.on_premises = Fact::unknown(why.clone());
        facts.site = Fact::Unknown(why);
        return;
    };
    let known = item.status.as_ref().map(|status| status.identity.clone()).unwrap_or_default();
    let identity = HomeIdentity::of(facts.replication.value(), &known);
    facts.vcenter = vcenter.about();
    (facts.on_premises, facts.home_datastores) = vcenter.find(&identity);
    let mut interest = Interest { identity, ..Interest::default() };
    interest.name = vm_name(item, facts.replication.value());
    interest.datastores = facts.home_datastores.iter().chain(&item.spec.datastore).cloned().collect();
    interest.datastores.extend(facts.replication.value().into_iter().flat_map(|item| item.datastores.iter().cloned()));
    facts.site = site(context, key, &vcenter, objects, facts, &mut interest);
    vcenter.watch(Wake::Item(key.clone()), interest);
}

/// The name that the machine's VM has at home, or would get there.
fn vm_name(item: &ReplicatedItem, replication: Option<&Replication>) -> Option<String> {
    match replication {
        Some(seen) => seen.target_vm_name.clone().or_else(|| Some(seen.friendly_name.clone())),
        None => Some(item.spec.machine.clone()).filter(|machine| !machine.starts_with('/')),
    }
}

/// All of the vCenter that a way home may depend on, and the targets of the item's fabric.
fn site(
    context: &Context,
    key: &Key,
    vcenter: &VCenterInventory,
    objects: &[Arc<MasterTarget>],
    facts: &ItemFacts,
    interest: &mut Interest,
) -> Fact<SiteFacts> {
    let fabric = match facts.fabric.known() {
        Ok(fabric) => fabric,
        Err(why) => return Fact::unknown(why),
    };
    let described: Vec<(&ReprotectTarget, Option<&MasterTarget>)> =
        fabric.targets.iter().map(|target| (target, describes(objects, fabric, target))).collect();
    interest.targets = described.iter().map(|(target, object)| marks(target, *object)).collect();
    let name = interest.name.as_deref().unwrap_or_default();
    let seen = vcenter.look(|inventory| {
        let vms: Vec<_> = interest.targets.iter().map(|marks| marks.find(inventory.vms.values())).collect();
        let site = SiteFacts {
            datastores: inventory.datastores.values().cloned().collect(),
            hosts: inventory.hosts.values().cloned().collect(),
            targets: Vec::new(),
            namesakes: namesakes(name, facts.home_vm(), inventory),
        };
        (site, vms)
    });
    let (mut site, vms, at) = match seen {
        Fact::Seen { value: (site, vms), at } => (site, vms, at),
        Fact::Unknown(why) => return Fact::Unknown(why),
    };
    let roster = context.roster();
    for ((target, object), vm) in described.into_iter().zip(vms) {
        let limit = object.map_or(DISKS_PER_TARGET, |object| object.spec.disk_limit());
        let taken = roster.taken(&target.id, &item_key(key), limit);
        site.targets.push(TargetFacts {
            target: target.clone(),
            object: object.and_then(|object| object.metadata.name.clone()),
            vm: elsewhere(object, vcenter.name()).map_or(Fact::seen(vm, at), Fact::Unknown),
            disks_attached: taken.attached,
            disks_planned: taken.planned,
            disks_own: taken.own,
            disk_limit: limit,
        });
    }
    Fact::seen(site, at)
}

fn marks(target: &ReprotectTarget, object: Option<&MasterTarget>) -> TargetMarks {
    TargetMarks::of(target, object.and_then(|object| object.spec.vm_name.as_deref()))
}

/// Why a target's VM cannot be looked for in this vCenter: it lives in another one.
fn elsewhere(object: Option<&MasterTarget>, vcenter: &str) -> Option<String> {
    let object = object?;
    let declared = object.spec.vcenter_ref.as_ref().filter(|reference| reference.name != vcenter)?;
    Some(format!(
        "MasterTarget \"{}\" lives in VCenter \"{}\", and the machine comes home to \"{vcenter}\".",
        object.metadata.name.as_deref().unwrap_or_default(),
        declared.name
    ))
}

/// Name or id of the target that the machine is declared to come home through.
fn declared_target(
    context: &Context,
    key: &Key,
    item: &ReplicatedItem,
    fabric: &Fact<Fabric>,
    now: Timestamp,
) -> Fact<Option<String>> {
    let Some(reference) = &item.spec.master_target_ref else { return Fact::seen(None, now) };
    let name = &reference.name;
    let Some(target) = lookup(&context.stores.targets, &key.namespace, name) else {
        return Fact::unknown(format!("spec.masterTargetRef: there is no MasterTarget \"{name}\" in this namespace."));
    };
    if target.spec.vault_ref != item.spec.vault_ref {
        return Fact::unknown(format!(
            "spec.masterTargetRef: MasterTarget \"{name}\" belongs to RecoveryVault \"{}\", not to \"{}\".",
            target.spec.vault_ref.name, item.spec.vault_ref.name
        ));
    }
    let Some((kind, component)) = target.spec.component() else {
        return Fact::unknown(format!(
            "spec.masterTargetRef: MasterTarget \"{name}\" must set exactly one of appliance and masterTargetServer."
        ));
    };
    match fabric.value().and_then(|fabric| fabric.generation) {
        Some(other) if other != generation(kind) => Fact::unknown(format!(
            "spec.masterTargetRef: MasterTarget \"{name}\" describes {} \"{component}\", and the machine is protected by the {} generation; \
             name one with spec.{} set.",
            kind.noun(),
            match other {
                Generation::Classic => "classic",
                Generation::Modernized => "modernized",
            },
            match other {
                Generation::Classic => "masterTargetServer",
                Generation::Modernized => "appliance",
            },
        )),
        Some(_) | None => Fact::seen(Some(component.to_owned()), now),
    }
}
