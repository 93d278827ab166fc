//! What belongs together although no system says so: a target and its VM, a machine and its namesakes, a group's
//! members and the objects that describe them.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use super::{
    action::Verb,
    facts::GroupMember,
    observed::{
        Datastore, Direction, Fact, Host, OnPremisesVm, RecoveryPointSeen, Replication, ReprotectTarget, RunsIn,
        VirtualMachine,
    },
    roster::Roster,
};

/// All that a vCenter has, by managed object id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// VMs, templates among them.
    pub vms: BTreeMap<String, VirtualMachine>,
    /// Hosts, each shared by everybody who looks at it.
    pub hosts: BTreeMap<String, Arc<Host>>,
    /// Datastores, shared likewise: each names all of its hosts.
    pub datastores: BTreeMap<String, Arc<Datastore>>,
}

/// By what the VM of an appliance or of a master target is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetMarks {
    instance_uuid: Option<String>,
    bios_uuid: Option<String>,
    /// Its VM's name, as a person declared it.
    declared: Option<String>,
    /// Its own name, which its VM often bears too.
    name: String,
    addresses: Vec<String>,
}

impl TargetMarks {
    /// The marks that the vault shows, and the VM's name where one is declared.
    pub fn of(target: &ReprotectTarget, vm_name: Option<&str>) -> Self {
        Self {
            instance_uuid: target.instance_uuid.clone(),
            bios_uuid: target.bios_uuid.clone(),
            declared: vm_name.map(ToOwned::to_owned),
            name: target.name.clone(),
            addresses: target.ip_addresses.clone(),
        }
    }

    /// Whether a change of this VM may change what [`Self::find`] says.
    pub fn concerns(&self, vm: &VirtualMachine) -> bool {
        let same = |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours == theirs;
        same(&self.instance_uuid, &vm.instance_uuid)
            || self.has_bios_of(vm)
            || self.is_named(vm)
            || self.has_address_of(vm)
    }

    /// Finds the VM by the strongest mark that is known: instance UUID, else BIOS UUID, else address and name. More
    /// than one is ambiguous unless the declared name tells them apart. A template is not a machine.
    pub fn find<'a>(&self, vms: impl Iterator<Item = &'a VirtualMachine>) -> OnPremisesVm {
        let machines = vms.filter(|vm| !vm.template);
        let found: Vec<&VirtualMachine> = if self.instance_uuid.is_some() {
            machines.filter(|vm| vm.instance_uuid == self.instance_uuid).collect()
        } else if self.bios_uuid.is_some() {
            machines.filter(|vm| self.has_bios_of(vm)).collect()
        } else {
            return only(&self.by_address_and_name(machines.filter(|vm| self.is_named(vm) || self.has_address_of(vm))));
        };
        only(&self.narrowed(found))
    }

    /// A VM with both marks is it. Else one with either may be, if it is the only one and the other mark does not
    /// contradict: the address of a VM that is off is not known, and its name need not be the server's.
    fn by_address_and_name<'a>(&self, vms: impl Iterator<Item = &'a VirtualMachine>) -> Vec<&'a VirtualMachine> {
        let (both, either): (Vec<_>, Vec<_>) = vms.partition(|vm| self.is_named(vm) && self.has_address_of(vm));
        if !both.is_empty() {
            return both;
        }
        if self.declared.is_some() {
            // A person's word; the address that vCenter shows may be that of another network card.
            return either.into_iter().filter(|vm| self.is_named(vm)).collect();
        }
        let contradicted = |vm: &VirtualMachine| vm.ip_address.is_some() && !self.addresses.is_empty();
        either.into_iter().filter(|vm| self.has_address_of(vm) || !contradicted(vm)).collect()
    }

    /// Several that share a UUID, such as clones: the declared name may tell them apart.
    fn narrowed<'a>(&self, found: Vec<&'a VirtualMachine>) -> Vec<&'a VirtualMachine> {
        if found.len() < 2 || self.declared.is_none() {
            return found;
        }
        found.into_iter().filter(|vm| self.is_named(vm)).collect()
    }

    /// The fabric shows the BIOS UUID as SMBIOS lays it out, the first three fields little-endian: the appliance that is
    /// recorded as `D96E1342-C1A3-A90C-…` is `42136ed9-a3c1-0ca9-…` in vCenter, whose own UUIDs begin with `42`. Whether
    /// every version does so is not known, hence either order counts.
    fn has_bios_of(&self, vm: &VirtualMachine) -> bool {
        let Some((ours, theirs)) = self.bios_uuid.as_deref().zip(vm.bios_uuid.as_deref()) else { return false };
        ours == theirs || swapped(ours).is_some_and(|swapped| swapped == theirs)
    }

    fn is_named(&self, vm: &VirtualMachine) -> bool {
        vm.name.eq_ignore_ascii_case(self.declared.as_deref().unwrap_or(&self.name))
    }

    fn has_address_of(&self, vm: &VirtualMachine) -> bool {
        vm.ip_address.as_ref().is_some_and(|address| self.addresses.contains(address))
    }
}

/// A UUID with its first three fields in the other byte order.
fn swapped(uuid: &str) -> Option<String> {
    let reverse = |field: &str| -> Option<String> {
        let bytes = (0..field.len()).step_by(2).rev();
        bytes.map(|at| field.get(at..at + 2)).collect()
    };
    let fields: Vec<&str> = uuid.splitn(4, '-').collect();
    let [first, second, third, rest] = fields.as_slice() else { return None };
    Some(format!("{}-{}-{}-{rest}", reverse(first)?, reverse(second)?, reverse(third)?))
}

fn only(found: &[&VirtualMachine]) -> OnPremisesVm {
    match found {
        [] => OnPremisesVm::NotFound,
        [one] => OnPremisesVm::Found(Box::new((*one).clone())),
        many => OnPremisesVm::Ambiguous(many.iter().map(|vm| format!("{} ({})", vm.name, vm.moref)).collect()),
    }
}

/// VMs and templates of this name, other than the machine's own.
pub fn namesakes(name: &str, own: Option<&VirtualMachine>, inventory: &Inventory) -> Vec<VirtualMachine> {
    inventory
        .vms
        .values()
        .filter(|vm| vm.name.eq_ignore_ascii_case(name) && own.is_none_or(|own| own.moref != vm.moref))
        .cloned()
        .collect()
}

/// The other members of a group, from what the vault shows of each and what the objects that describe them record.
pub fn members(
    own_id: &str,
    shown: &[(Replication, Fact<Vec<RecoveryPointSeen>>)],
    roster: &Roster,
) -> Vec<GroupMember> {
    shown
        .iter()
        .filter(|(item, _)| !item.id.eq_ignore_ascii_case(own_id))
        .map(|(item, points)| {
            let object = roster.of_item(&item.id);
            GroupMember {
                machine: item.friendly_name.clone(),
                claimed: object.and_then(|object| object.claimed.clone()),
                os: item.os,
                target_id: used_target(item).or_else(|| object.and_then(|object| object.target_id.clone())),
                // One that came home already waits for nobody.
                ready: item.runs_in() == Some(RunsIn::VMware)
                    || item.generation.is_some_and(|generation| item.allows(&Verb::FailBack.operation(generation))),
                recovery_points: points.clone(),
            }
        })
        .collect()
}

/// The target that an item replicates through. Towards Azure its appliance is a process server.
fn used_target(item: &Replication) -> Option<String> {
    match item.direction {
        Some(Direction::ToVMware) => item.master_target_id.clone().or_else(|| item.appliance_id.clone()),
        Some(Direction::ToAzure) | None => None,
    }
}

/// `"a", "b" and 3 more`, or `none`.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names.iter().take(SHOWN).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => text.push_str("none"),
        many if many > SHOWN => write!(text, " and {} more", many - SHOWN).unwrap_or_default(),
        _ => {}
    }
    text
}
