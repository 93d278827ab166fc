//! The rules about a master target as its rows of checks and its conditions.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::find::{Described, Missing, generation};
use crate::{
    api::{CheckResult, CheckStatus, TargetKind},
    core::{
        action::Verb,
        conditions::{Draft, Truth, summary},
        facts::TargetFacts,
        observed::Datastore,
        target::{self, Finding},
    },
};

/// A rule, and where it shows.
pub(super) struct Rule {
    check: &'static str,
    /// The condition that tells it; those without one show in `Ready` and among the checks.
    condition: Option<&'static str>,
    /// The condition's reason when it holds, and when not.
    reasons: (&'static str, &'static str),
    gates: &'static [Verb],
    /// Whether the target is unusable without it. One that is full for now is not.
    vital: bool,
}

const RULES: [Rule; 6] = [
    Rule {
        check: "MasterTargetHealthy",
        condition: Some("Healthy"),
        reasons: ("Normal", "Unhealthy"),
        gates: &[Verb::Reprotect, Verb::FailBack],
        vital: true,
    },
    Rule {
        check: "MasterTargetNoSnapshots",
        condition: Some("NoSnapshots"),
        reasons: ("NoSnapshots", "HasSnapshots"),
        gates: &[Verb::Reprotect, Verb::FailBack],
        vital: true,
    },
    Rule {
        check: "MasterTargetDiskSlots",
        condition: Some("CapacityAvailable"),
        reasons: ("SlotsFree", "NoSlotFree"),
        gates: &[Verb::Reprotect],
        vital: false,
    },
    Rule {
        check: "DatastoresAccessible",
        condition: Some("DatastoresAccessible"),
        reasons: ("Accessible", "NoDatastores"),
        gates: &[Verb::Reprotect],
        vital: true,
    },
    Rule {
        check: CONTROLLER,
        condition: None,
        reasons: ("Suitable", "UnsuitableController"),
        gates: &[Verb::Reprotect],
        vital: true,
    },
    Rule {
        check: RETENTION,
        condition: None,
        reasons: ("Present", "NoRetentionVolume"),
        gates: &[Verb::Reprotect],
        vital: true,
    },
];
const CONTROLLER: &str = "MasterTargetController";
const RETENTION: &str = "MasterTargetRetention";

/// How the rules that mean something for this kind came out, in the order of [`RULES`].
pub(super) type Outcomes = Vec<(&'static Rule, Finding)>;

pub(super) fn judge(
    described: &Described,
    facts: &TargetFacts,
    datastores: Option<&[Arc<Datastore>]>,
    now: Timestamp,
) -> Outcomes {
    let findings = [
        healthy(described, now),
        target::snapshots(facts),
        target::slots(facts, 1),
        target::datastores(facts, datastores),
        target::controller(facts),
        match target::best_volume(&described.target) {
            Ok(volume) => target::retention(&described.target, volume),
            Err(refusal) => refusal.into(),
        },
    ];
    RULES.iter().zip(findings).filter(|(rule, _)| means_something(rule, described.kind)).collect()
}

/// The component itself, and all parts of an appliance.
fn healthy(described: &Described, now: Timestamp) -> Finding {
    let Described { kind, target, server } = described;
    match (target::health(target, Some(generation(*kind)), server.as_ref(), now), kind) {
        (Finding::Ok(_), TargetKind::Appliance) => target::parts(target, now),
        (finding, _) => finding,
    }
}

/// Nothing could be looked at.
pub(super) fn unobserved(kind: Option<TargetKind>, why: &str) -> Outcomes {
    RULES
        .iter()
        .filter(|rule| kind.is_some_and(|kind| means_something(rule, kind)))
        .map(|rule| (rule, Finding::Unknown { why: why.to_owned(), remedy: String::new() }))
        .collect()
}

/// An appliance attaches disks in another way, and keeps no history.
fn means_something(rule: &Rule, kind: TargetKind) -> bool {
    match kind {
        TargetKind::MasterTargetServer => true,
        TargetKind::Appliance => rule.check != CONTROLLER && rule.check != RETENTION,
    }
}

/// The conditions: `Ready` by the first vital rule that does not hold, else by the first that cannot be told.
pub(super) fn drafts(outcomes: &Outcomes, kind: TargetKind) -> Vec<Draft> {
    let vital = || outcomes.iter().filter(|(rule, _)| rule.vital);
    let bad = vital().find(|(_, finding)| matches!(finding, Finding::Bad { .. }));
    let unclear = || vital().find(|(_, finding)| matches!(finding, Finding::Unknown { .. }));
    let mut drafts = match bad.or_else(unclear) {
        None => {
            let message = format!("Machines can come home through this {}.", kind.noun());
            summary(true, false, false, "Usable", &message)
        }
        Some((rule, finding)) => vec![draft("Ready", rule, finding)],
    };
    drafts.extend(
        outcomes.iter().filter_map(|(rule, finding)| rule.condition.map(|condition| draft(condition, rule, finding))),
    );
    drafts
}

/// The conditions of an object that describes nothing.
pub(super) fn missing(missing: &Missing) -> Vec<Draft> {
    let mut drafts = summary(false, false, true, missing.reason, &missing.message);
    let unknown = |condition| Draft::new(condition, Truth::Unknown, missing.reason, missing.message.clone());
    drafts.extend(RULES.iter().filter_map(|rule| rule.condition).map(unknown));
    drafts
}

fn draft(condition: &'static str, rule: &Rule, finding: &Finding) -> Draft {
    let (held, broken) = rule.reasons;
    match finding {
        Finding::Ok(saw) => Draft::new(condition, true, held, saw.clone()),
        Finding::Bad { saw, remedy } => Draft::new(condition, false, broken, with_remedy(saw, remedy)),
        Finding::Unknown { why, remedy } => {
            Draft::new(condition, Truth::Unknown, "NotObserved", with_remedy(why, remedy))
        }
    }
}

fn with_remedy(saw: &str, remedy: &str) -> String {
    if remedy.is_empty() { saw.to_owned() } else { format!("{saw} Remedy: {remedy}") }
}

/// The rows of checks; each keeps its time for as long as it says the same.
pub(super) fn checks(before: &[CheckStatus], outcomes: &Outcomes, now: Timestamp) -> Vec<CheckStatus> {
    outcomes
        .iter()
        .map(|(rule, finding)| {
            let (result, message, remedy) = match finding {
                Finding::Ok(saw) => (CheckResult::Passed, saw.clone(), String::new()),
                Finding::Bad { saw, remedy } => (CheckResult::Failed, saw.clone(), remedy.clone()),
                Finding::Unknown { why, remedy } => (CheckResult::Unknown, why.clone(), remedy.clone()),
            };
            let same =
                before.iter().find(|old| old.name == rule.check && old.result == result && old.message == message);
            CheckStatus {
                name: rule.check.to_owned(),
                result,
                message,
                remedy,
                waived: None,
                gates: rule.gates.iter().map(ToString::to_string).collect(),
                observed_at: same.map_or(Time(now), |old| old.observed_at.clone()),
            }
        })
        .collect()
}
