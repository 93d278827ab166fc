//! What is known of a vCenter's inventory, and how updates change it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    collector::Update,
    properties::{CLUSTER, DATASTORE, HOST, Object, VM},
    rows::{Cluster, Row},
    xml::MoRef,
};
use crate::{
    core::observed::{Datastore, Host, VirtualMachine},
    ports::VCenterChange,
};

#[derive(Debug, Default)]
pub(super) struct Known {
    vms: BTreeMap<String, VirtualMachine>,
    hosts: BTreeMap<String, Host>,
    datastores: BTreeMap<String, Datastore>,
    clusters: BTreeMap<String, Cluster>,
}

/// What a batch of updates did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Objects whose rows differ from before.
    changed: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// Objects whose update cannot be understood by itself.
    pub(super) unclear: Vec<MoRef>,
}

impl Known {
    /// Takes over an object with all its properties.
    pub(super) fn put(&mut self, object: &Object, touched: &mut Touched) {
        let id = &object.reference.id;
        let differs = match object.reference.kind.as_str() {
            kind if kind == VM.kind => replace(&mut self.vms, object),
            kind if kind == HOST.kind => replace(&mut self.hosts, object),
            kind if kind == DATASTORE.kind => replace(&mut self.datastores, object),
            kind if kind == CLUSTER.kind => replace(&mut self.clusters, object),
            _ => false,
        };
        touched.gone.remove(id);
        if differs {
            self.touch(id, touched);
        }
    }

    /// A cluster is shown by its hosts alone.
    fn touch(&self, id: &str, touched: &mut Touched) {
        let members = self.hosts.values().filter(|host| host.cluster.as_deref() == Some(id));
        touched.changed.extend(members.map(|host| host.moref.clone()));
        if !self.clusters.contains_key(id) {
            touched.changed.insert(id.to_owned());
        }
    }

    pub(super) fn apply(&mut self, update: Update, touched: &mut Touched) {
        match update {
            Update::Enter(object) => self.put(&object, touched),
            Update::Leave(object) => self.forget(&object, touched),
            Update::Modify(object) => {
                let outcome = match object.reference.kind.as_str() {
                    kind if kind == VM.kind => modify(&mut self.vms, &object),
                    kind if kind == HOST.kind => modify(&mut self.hosts, &object),
                    kind if kind == DATASTORE.kind => modify(&mut self.datastores, &object),
                    kind if kind == CLUSTER.kind => modify(&mut self.clusters, &object),
                    _ => Modified::Same,
                };
                match outcome {
                    Modified::Same => {}
                    Modified::Differs => self.touch(&object.reference.id, touched),
                    Modified::Unclear => touched.unclear.push(object.reference),
                }
            }
        }
    }

    /// Forgets an object that is positively gone.
    pub(super) fn forget(&mut self, object: &MoRef, touched: &mut Touched) {
        let known = self.vms.remove(&object.id).is_some()
            | self.hosts.remove(&object.id).is_some()
            | self.datastores.remove(&object.id).is_some();
        // Its hosts have left it, and say so themselves.
        self.clusters.remove(&object.id);
        touched.changed.remove(&object.id);
        if known {
            touched.gone.insert(object.id.clone());
        }
    }

    pub(super) fn all(&self) -> VCenterChange {
        VCenterChange::All {
            vms: self.vms.values().cloned().collect(),
            hosts: self.hosts.values().map(|host| self.named(host)).collect(),
            datastores: self.datastores.values().cloned().collect(),
        }
    }

    /// A host with the name of its cluster; with the cluster's id where the name may not be read.
    fn named(&self, host: &Host) -> Host {
        let name = |id: &String| self.clusters.get(id).and_then(|cluster| cluster.name.clone());
        let cluster = host.cluster.as_ref().map(|id| name(id).unwrap_or_else(|| id.clone()));
        Host { cluster, ..host.clone() }
    }

    /// The messages that tell what was touched; that all is well when nothing was.
    pub(super) fn tell(&self, touched: &Touched) -> Vec<VCenterChange> {
        let mut messages = Vec::new();
        if !touched.changed.is_empty() {
            messages.push(VCenterChange::Changed {
                vms: pick(&self.vms, &touched.changed),
                hosts: pick(&self.hosts, &touched.changed).iter().map(|host| self.named(host)).collect(),
                datastores: pick(&self.datastores, &touched.changed),
            });
        }
        if !touched.gone.is_empty() {
            messages.push(VCenterChange::Gone(touched.gone.iter().cloned().collect()));
        }
        if messages.is_empty() {
            messages.push(VCenterChange::Alive);
        }
        messages
    }
}

fn replace<R: Row + PartialEq>(rows: &mut BTreeMap<String, R>, object: &Object) -> bool {
    let row = R::complete(object);
    let differs = rows.get(&object.reference.id) != Some(&row);
    rows.insert(object.reference.id.clone(), row);
    differs
}

enum Modified {
    Same,
    Differs,
    Unclear,
}

fn modify<R: Row + Clone + PartialEq>(rows: &mut BTreeMap<String, R>, object: &Object) -> Modified {
    let Some(row) = rows.get_mut(&object.reference.id) else { return Modified::Unclear };
    let before = row.clone();
    if !row.update(object) {
        // Half of an update would be neither the old nor the new state.
        *row = before;
        return Modified::Unclear;
    }
    if *row == before { Modified::Same } else { Modified::Differs }
}

fn pick<R: Clone>(rows: &BTreeMap<String, R>, ids: &BTreeSet<String>) -> Vec<R> {
    ids.iter().filter_map(|id| rows.get(id)).cloned().collect()
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
