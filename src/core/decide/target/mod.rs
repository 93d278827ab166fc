//! What is to be said of a master target. It never acts, so this yields a status only.

mod find;
mod rules;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use self::find::{Described, Missing, find, generation};
use crate::{
    api::{MasterTargetSpec, MasterTargetStatus, TargetDatastore, TargetDisks, TargetKind, TargetVm, TargetVolume},
    core::{
        conditions,
        facts::TargetFacts,
        observed::{Datastore, Fact, Host, OnPremisesVm, OsFamily, ReprotectTarget},
        roster::Load,
        target::{is_fresh, occupied, reaches, undeclared},
    },
};

/// What vCenter shows of a master target.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// Its VM.
    pub vm: OnPremisesVm,
    /// The host that the VM is on.
    pub host: Option<Arc<Host>>,
    /// The datastores that bear the names of those that it can write to.
    pub datastores: Vec<Arc<Datastore>>,
}

/// What a decision about a master target depends on.
pub struct TargetInput<'a> {
    /// What is declared.
    pub spec: &'a MasterTargetSpec,
    /// What was recorded.
    pub before: &'a MasterTargetStatus,
    /// The object's generation.
    pub generation: Option<i64>,
    /// The component that it describes, from all fabrics of its vault.
    pub found: &'a Fact<Result<Described, Missing>>,
    /// What vCenter shows around it.
    pub surroundings: &'a Fact<Surroundings>,
    /// What it carries.
    pub load: Load,
    /// Now.
    pub now: Timestamp,
}

/// Decides the status.
pub fn decide(input: &TargetInput<'_>) -> MasterTargetStatus {
    let TargetInput { spec, before, generation, now, .. } = *input;
    let kind = spec.component().map(|(kind, _)| kind);
    let (drafts, outcomes, seen) = match input.found.known() {
        Err(why) => {
            let outcomes = rules::unobserved(kind, why);
            (rules::drafts(&outcomes, kind.unwrap_or(TargetKind::Appliance)), outcomes, before.clone())
        }
        Ok(Err(missing)) => {
            (rules::missing(missing), rules::unobserved(kind, &missing.message), MasterTargetStatus::default())
        }
        Ok(Ok(described)) => {
            let surroundings = input.surroundings.value();
            let facts = TargetFacts {
                target: described.target.clone(),
                object: None,
                vm: input.surroundings.map(|around| around.vm.clone()),
                disks_attached: input.load.attached,
                disks_planned: 0,
                disks_own: 0,
                disk_limit: spec.disk_limit(),
            };
            let datastores = surroundings.map(|around| around.datastores.as_slice());
            let outcomes = rules::judge(described, &facts, datastores, now);
            (rules::drafts(&outcomes, described.kind), outcomes, seen(input, described, &facts))
        }
    };
    MasterTargetStatus {
        observed_generation: generation,
        conditions: conditions::merge(&before.conditions, drafts, generation, now),
        checks: rules::checks(&before.checks, &outcomes, now),
        ..seen
    }
}

/// Everything that is shown beside conditions and checks.
fn seen(input: &TargetInput<'_>, described: &Described, facts: &TargetFacts) -> MasterTargetStatus {
    let Described { kind, target, .. } = described;
    let load = input.load;
    let stale = target.heartbeat.filter(|beat| !is_fresh(*beat, input.now));
    let (limit, undeclared) = (i64::from(facts.disk_limit), undeclared(facts));
    MasterTargetStatus {
        id: Some(target.id.clone()),
        kind: Some(format!("{kind:?}")),
        generation: Some(format!("{:?}", generation(*kind))),
        version: Some(target.version.clone()).filter(|version| !version.is_empty()),
        os: match (kind, target.os) {
            (TargetKind::Appliance, _) => Some("Any".to_owned()),
            (TargetKind::MasterTargetServer, Some(OsFamily::Windows)) => Some("Windows".to_owned()),
            (TargetKind::MasterTargetServer, Some(OsFamily::Linux)) => Some("Linux".to_owned()),
            (TargetKind::MasterTargetServer, None) => None,
        },
        vm: vm(input, facts),
        heartbeat: stale.map(Time),
        datastores: datastores(input, facts),
        retention: volumes(&input.before.retention, target),
        disks: Some(TargetDisks {
            text: format!("{}/{limit}", occupied(facts)),
            attached: load.attached.into(),
            undeclared: undeclared.into(),
            planned: load.planned.into(),
            limit,
        }),
        protected_items: Some(target.protected_items.unwrap_or(load.machines).into()),
        ..MasterTargetStatus::default()
    }
}

/// Its VM; the one seen last while vCenter cannot be read.
fn vm(input: &TargetInput<'_>, facts: &TargetFacts) -> Option<TargetVm> {
    let Some(around) = input.surroundings.value() else { return input.before.vm.clone() };
    let vm = facts.machine()?;
    let host = around.host.as_ref().map(|host| host.name.clone());
    Some(TargetVm { name: vm.name.clone(), moref: vm.moref.clone(), host })
}

/// The schema's limit.
const MOST_ROWS: usize = 256;

fn datastores(input: &TargetInput<'_>, facts: &TargetFacts) -> Vec<TargetDatastore> {
    let before: BTreeMap<&str, &TargetDatastore> =
        input.before.datastores.iter().map(|row| (row.name.as_str(), row)).collect();
    let host = facts.machine().and_then(|vm| vm.host.as_deref());
    let names = facts.target.datastores.iter().take(MOST_ROWS);
    names
        .map(|name| {
            let before = before.get(name.as_str()).copied();
            let bare = || TargetDatastore { name: name.clone(), ..TargetDatastore::default() };
            let Some(around) = input.surroundings.value() else { return before.cloned().unwrap_or_else(bare) };
            let mut named = around.datastores.iter().filter(|datastore| datastore.name == *name);
            let on_host =
                |datastore: &&Arc<Datastore>| host.is_some_and(|host| datastore.writable_on(host) == Some(true));
            let Some(store) = named.clone().find(on_host).or_else(|| named.next()) else { return bare() };
            let capacity = store.capacity_bytes.and_then(|bytes| i64::try_from(bytes).ok());
            TargetDatastore {
                name: name.clone(),
                r#type: store.kind.clone(),
                free_bytes: settled(before.and_then(|row| row.free_bytes), store.free_bytes, capacity),
                capacity_bytes: capacity,
                accessible: reaches(host, name, &around.datastores),
            }
        })
        .collect()
}

fn volumes(before: &[TargetVolume], target: &ReprotectTarget) -> Vec<TargetVolume> {
    let volumes = target.retention.iter().flatten().take(64);
    volumes
        .map(|volume| {
            let before = before.iter().find(|row| row.name == volume.name);
            let capacity = volume.capacity_bytes.and_then(|bytes| i64::try_from(bytes).ok());
            TargetVolume {
                name: volume.name.clone(),
                free_bytes: settled(before.and_then(|row| row.free_bytes), volume.free_bytes, capacity),
                capacity_bytes: capacity,
            }
        })
        .collect()
}

/// Free space changes all the time: what was recorded stays until it is off by 1 GiB and 1 % of the capacity.
fn settled(before: Option<i64>, now: Option<u64>, capacity: Option<i64>) -> Option<i64> {
    let now = now.and_then(|bytes| i64::try_from(bytes).ok())?;
    let slack = (capacity.unwrap_or_default() / 100).max(1 << 30);
    Some(before.filter(|before| before.abs_diff(now) < slack.unsigned_abs()).unwrap_or(now))
}
