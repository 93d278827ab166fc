//! What is to be said of a master target. It never acts, so this yields conditions only.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{MasterTargetSpec, MasterTargetStatus},
    core::{
        conditions::{self, Draft, Truth, summary},
        observed::{Fabric, Fact, Health, ReprotectTarget},
    },
};

/// Heartbeats of healthy components were 3 to 6 minutes old in recordings; health counts more than this.
const FRESH: SignedDuration = SignedDuration::from_mins(15);

/// Decides the status of a master target from all fabrics of its vault.
pub fn decide(
    spec: &MasterTargetSpec,
    before: &MasterTargetStatus,
    generation: Option<i64>,
    fabrics: &Fact<Vec<Fabric>>,
    now: Timestamp,
) -> MasterTargetStatus {
    let found = fabrics.map(|fabrics| {
        let mut matching = fabrics.iter().flat_map(|fabric| &fabric.targets).filter(|agent| {
            agent.name.eq_ignore_ascii_case(&spec.appliance) || agent.id.eq_ignore_ascii_case(&spec.appliance)
        });
        matching.next().cloned().ok_or_else(|| {
            let names: Vec<_> =
                fabrics.iter().flat_map(|fabric| &fabric.targets).map(|agent| agent.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("spec.appliance: the vault has no appliance \"{}\"; it has: {names}.", spec.appliance)
        })
    });
    let drafts = match found.known() {
        Err(why) => vec![
            Draft::new("Ready", Truth::Unknown, "NotObserved", why),
            Draft::new("Healthy", Truth::Unknown, "NotObserved", why),
            Draft::new("DatastoresAccessible", Truth::Unknown, "NotObserved", why),
        ],
        Ok(Err(missing)) => {
            let mut drafts = summary(false, false, true, "ApplianceNotFound", missing);
            drafts.push(Draft::new("Healthy", Truth::Unknown, "ApplianceNotFound", missing.clone()));
            drafts.push(Draft::new("DatastoresAccessible", Truth::Unknown, "ApplianceNotFound", missing.clone()));
            drafts
        }
        Ok(Ok(agent)) => of_agent(agent, now),
    };
    let agent = match found.value() {
        Some(Ok(agent)) => Some(agent),
        Some(Err(_)) | None => None,
    };
    MasterTargetStatus {
        observed_generation: generation,
        conditions: conditions::merge(&before.conditions, drafts, generation, now),
        id: agent.map(|agent| agent.id.clone()).or_else(|| before.id.clone()),
        version: agent.map(|agent| agent.version.clone()).or_else(|| before.version.clone()),
        datastores: agent.map_or_else(|| before.datastores.clone(), |agent| agent.datastores.clone()),
        protected_items: agent.and_then(|agent| agent.protected_items).map(i64::from).or(before.protected_items),
    }
}

fn of_agent(agent: &ReprotectTarget, now: Timestamp) -> Vec<Draft> {
    let healthy = health(agent, now);
    let datastores = if agent.datastores.is_empty() {
        Draft::new(
            "DatastoresAccessible",
            false,
            "NoDatastores",
            "The appliance reaches no datastore: its vCenter account is read-only, its host shares no storage, or discovery has not run.",
        )
    } else {
        Draft::new("DatastoresAccessible", true, "Accessible", format!("Reaches {}.", agent.datastores.join(", ")))
    };
    let first_bad = [&healthy, &datastores].into_iter().find(|draft| draft.status != Truth::True).cloned();
    let mut drafts = match first_bad {
        None => summary(true, false, false, "Usable", "Machines can come home through this appliance."),
        Some(bad) => summary(false, false, false, bad.reason, &bad.message),
    };
    drafts.push(healthy);
    drafts.push(datastores);
    drafts
}

fn health(agent: &ReprotectTarget, now: Timestamp) -> Draft {
    let kind = "Healthy";
    if agent.health != Health::Normal {
        let what = agent
            .health_errors
            .first()
            .map_or_else(String::new, |error| format!(": {} (code {}) {}", error.message, error.code, error.action));
        return Draft::new(kind, false, "Unhealthy", format!("The reprotect agent is {}{what}.", agent.health));
    }
    match agent.heartbeat {
        Some(beat) if beat + FRESH < now => Draft::new(
            kind,
            false,
            "HeartbeatStale",
            "The reprotect agent's last heartbeat is more than 15 minutes old.",
        ),
        Some(_) => Draft::new(kind, true, "Normal", "The reprotect agent is healthy."),
        None => {
            Draft::new(kind, Truth::Unknown, "NoHeartbeat", "The vault reports no heartbeat of the reprotect agent.")
        }
    }
}
