//! Who looks at what in a vCenter, and whom a change concerns.

use std::{collections::HashMap, sync::Arc};

use crate::{
    core::{
        facts::HomeIdentity,
        join::{Inventory, TargetMarks},
        observed::{Datastore, Host, VirtualMachine},
    },
    inventory::Wake,
};

/// What an object looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interest {
    /// Its own machine.
    pub identity: HomeIdentity,
    /// The name that no other VM should bear.
    pub name: Option<String>,
    /// The appliances or master targets that matter to it.
    pub targets: Vec<TargetMarks>,
    /// Display names of the datastores whose free space matters to it.
    pub datastores: Vec<String>,
}

impl Interest {
    fn concerns(&self, vm: &VirtualMachine) -> bool {
        self.identity.matches(vm)
            || self.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&vm.name))
            || self.targets.iter().any(|target| target.concerns(vm))
    }
}

/// Everybody who looks.
pub(super) type Watchers = HashMap<Wake, Interest>;

/// What changed, as far as anybody may care.
#[derive(Debug, Default)]
pub(super) struct News {
    /// VMs as they were and as they are.
    vms: Vec<VirtualMachine>,
    /// Display names of datastores whose free space moved.
    moved: Vec<String>,
    /// A VM is new, or a host or datastore changed in more than its free space.
    pub(super) everybody: bool,
    /// A VM is new.
    pub(super) new_vm: bool,
}

impl News {
    /// Who has to look again.
    pub(super) fn readers(&self, watchers: &Watchers) -> Vec<Wake> {
        watchers
            .iter()
            .filter(|(_, interest)| {
                self.everybody
                    || self.vms.iter().any(|vm| interest.concerns(vm))
                    || self.moved.iter().any(|name| interest.datastores.contains(name))
            })
            .map(|(reader, _)| reader.clone())
            .collect()
    }
}

/// The free space that was told last, by managed object id of the datastore.
pub(super) type Told = HashMap<String, u64>;

/// Takes changed objects in, and says what is new about them.
pub(super) fn take_in(
    inventory: &mut Inventory,
    told: &mut Told,
    vms: Vec<VirtualMachine>,
    hosts: Vec<Host>,
    datastores: Vec<Datastore>,
) -> News {
    let mut news = News::default();
    for vm in vms {
        match inventory.vms.insert(vm.moref.clone(), vm.clone()) {
            None => news.new_vm = true,
            Some(before) if before == vm => continue,
            // It may have lost the name that made it matter.
            Some(before) => news.vms.push(before),
        }
        news.vms.push(vm);
    }
    news.everybody = news.new_vm;
    for host in hosts {
        news.everybody |= inventory.hosts.get(&host.moref).is_none_or(|before| **before != host);
        inventory.hosts.insert(host.moref.clone(), Arc::new(host));
    }
    for store in datastores {
        let before = inventory.datastores.get(&store.moref);
        news.everybody |= before.is_none_or(|before| !same_but_for_space(before, &store));
        if has_moved(told, &store) {
            news.moved.push(store.name.clone());
        }
        inventory.datastores.insert(store.moref.clone(), Arc::new(store));
    }
    news
}

fn same_but_for_space(before: &Datastore, now: &Datastore) -> bool {
    let told = (before.free_bytes.is_some(), now.free_bytes.is_some());
    told.0 == told.1 && Datastore { free_bytes: now.free_bytes, ..before.clone() } == *now
}

/// Whether free space is off what was told last by 1 GiB and 1 % of the capacity; it is told then. Free space changes
/// all the time, and nobody is to be woken by each block that is written.
fn has_moved(told: &mut Told, store: &Datastore) -> bool {
    let Some(free) = store.free_bytes else { return told.remove(&store.moref).is_some() };
    let slack = (store.capacity_bytes.unwrap_or_default() / 100).max(1 << 30);
    if told.get(&store.moref).is_some_and(|last| last.abs_diff(free) < slack) {
        return false;
    }
    told.insert(store.moref.clone(), free).is_some()
}

/// Starts telling anew: what was read completely is known to everybody.
pub(super) fn tell_all(told: &mut Told, datastores: &[Datastore]) {
    told.clear();
    told.extend(datastores.iter().filter_map(|store| Some((store.moref.clone(), store.free_bytes?))));
}
