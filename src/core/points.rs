//! The recovery point of the upcoming failback, and what is lost by going back to it.
//!
//! The vendor's rules ("Fail back VMware VMs to an on-premises site"): "latest" is crash-consistent, and each machine
//! of a consistency group goes to its own. "Latest app-consistent" lies behind it; a group goes to its newest common
//! one. The modernized service makes a fresh point during the planned failover, and lists none.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    action::{RecoveryPoint, Verb},
    facts::Machine,
    journal::CLOCK_SKEW,
    observed::{Generation, RecoveryPointSeen},
    refusal::Refusal,
    stage::Stage,
};
use crate::api::{RecoveryPointChoice, RecoveryPointStatus};

/// A choice: what the call names, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// For the call.
    pub point: RecoveryPoint,
    /// For people.
    pub status: RecoveryPointStatus,
}

/// Chooses the point for a failback that began now.
///
/// # Errors
/// Why there is none, or why it cannot be told.
pub fn choose(machine: &Machine<'_>) -> Result<Choice, Refusal> {
    let item = machine.facts.replication.known()?;
    let generation = item.generation.ok_or(Refusal::from("The item's provider is unknown."))?;
    match (machine.spec.recovery_point, generation) {
        (RecoveryPointChoice::Latest, _) => Ok(latest(item.group.as_deref())),
        (RecoveryPointChoice::LatestAppConsistent, Generation::Modernized) => Ok(made_by_the_service()),
        (RecoveryPointChoice::LatestAppConsistent, Generation::Classic) => match item.group.as_deref() {
            None => newest_of_its_own(machine),
            Some(group) => common(machine, group),
        },
        (RecoveryPointChoice::Custom, Generation::Classic) => custom(machine),
        (RecoveryPointChoice::Custom, Generation::Modernized) => Err(Refusal::refused(
            "spec.recoveryPoint: Custom is not possible: in the modernized generation no point can be named.",
            "Choose Latest or LatestAppConsistent.",
        )),
    }
}

/// What to show and, once the failback was begun, to keep as its result.
pub fn standing(machine: &Machine<'_>) -> Option<RecoveryPointStatus> {
    let begun = machine.running == Some(Verb::FailBack);
    match machine.stage {
        Stage::FailedOver => None,
        Stage::SyncingToVMware | Stage::ReadyToFailBack if !begun => choose(machine).ok().map(|choice| choice.status),
        Stage::SyncingToVMware
        | Stage::ReadyToFailBack
        | Stage::FailedBack
        | Stage::HomeCommitted
        | Stage::SyncingToAzure
        | Stage::ProtectedToAzure
        | Stage::InTransition
        | Stage::Unknown => machine.status.recovery_point.clone(),
    }
}

fn latest(group: Option<&str>) -> Choice {
    let message = match group {
        None => "The latest point, crash-consistent: nothing that was replicated is lost.".to_owned(),
        Some(group) => format!(
            "The machine's own latest point, crash-consistent: nothing that was replicated is lost. Each member of group \"{group}\" goes to its own."
        ),
    };
    let status = RecoveryPointStatus {
        choice: RecoveryPointChoice::Latest,
        loss_seconds: Some(0),
        message,
        ..RecoveryPointStatus::default()
    };
    Choice { point: RecoveryPoint::Latest, status }
}

fn made_by_the_service() -> Choice {
    let status = RecoveryPointStatus {
        choice: RecoveryPointChoice::LatestAppConsistent,
        message:
            "Site recovery makes an application-consistent point during the failover; what is written after it is lost."
                .to_owned(),
        ..RecoveryPointStatus::default()
    };
    Choice { point: RecoveryPoint::LatestAppConsistent, status }
}

fn newest_of_its_own(machine: &Machine<'_>) -> Result<Choice, Refusal> {
    let points = machine.facts.recovery_points.known()?;
    let newest = points.iter().filter(|point| point.app_consistent).max_by_key(|point| point.time);
    let point = newest.ok_or_else(|| {
        Refusal::refused(
            format!("None of the {} recovery points is application-consistent.", points.len()),
            "Wait for one, or set spec.recoveryPoint to Latest.",
        )
    })?;
    let status =
        described(machine, RecoveryPointChoice::LatestAppConsistent, point, "newest application-consistent point");
    Ok(Choice { point: RecoveryPoint::LatestAppConsistent, status: RecoveryPointStatus { id: None, ..status } })
}

fn common(machine: &Machine<'_>, group: &str) -> Result<Choice, Refusal> {
    let own = machine.facts.recovery_points.known()?;
    let members = machine.facts.group.known()?;
    let theirs: Vec<&[RecoveryPointSeen]> = members
        .iter()
        .map(|member| {
            let of = |why| Refusal::Unknown(format!("The recovery points of {} are unknown: {why}", member.machine));
            member.recovery_points.known().map(Vec::as_slice).map_err(of)
        })
        .collect::<Result<_, _>>()?;
    let point = newest_common(own, &theirs).ok_or_else(|| {
        Refusal::refused(
            format!("The {} members of group \"{group}\" share no application-consistent point.", members.len() + 1),
            "Wait for one, or set spec.recoveryPoint to Latest for all of them.",
        )
    })?;
    let what = format!("newest application-consistent point that all members of group \"{group}\" share");
    let status = described(machine, RecoveryPointChoice::LatestAppConsistent, point, &what);
    Ok(Choice { point: RecoveryPoint::Custom(point.id.clone()), status })
}

/// The newest of a machine's own app-consistent group points that every other member has too: made at the same time.
pub fn newest_common<'a>(
    own: &'a [RecoveryPointSeen],
    others: &[&[RecoveryPointSeen]],
) -> Option<&'a RecoveryPointSeen> {
    let shares = |point: &RecoveryPointSeen| point.app_consistent && point.group;
    own.iter()
        .filter(|point| shares(point))
        .filter(|point| {
            others.iter().all(|theirs| theirs.iter().any(|other| shares(other) && other.time == point.time))
        })
        .max_by_key(|point| point.time)
}

fn custom(machine: &Machine<'_>) -> Result<Choice, Refusal> {
    let wanted = machine.spec.recovery_point_id.as_deref().unwrap_or_default();
    let points = machine.facts.recovery_points.known()?;
    let point = points.iter().find(|point| point.id.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
        let ids: Vec<_> = points.iter().map(|point| point.id.as_str()).collect();
        Refusal::missing("spec.recoveryPointId", "recovery point of this machine", wanted, &ids)
    })?;
    let status = described(machine, RecoveryPointChoice::Custom, point, "point that spec.recoveryPointId names");
    Ok(Choice { point: RecoveryPoint::Custom(point.id.clone()), status })
}

fn described(
    machine: &Machine<'_>,
    choice: RecoveryPointChoice,
    point: &RecoveryPointSeen,
    what: &str,
) -> RecoveryPointStatus {
    let loss = loss(point.time, machine.facts.recovery_points.at().unwrap_or(machine.now));
    let lost = loss.map_or_else(
        || "that is later than when it was seen, so that how much is lost is not known.".to_owned(),
        |loss| format!("the {} minutes since then are lost.", loss / 60),
    );
    RecoveryPointStatus {
        choice,
        id: Some(point.id.clone()),
        time: Some(Time(point.time)),
        loss_seconds: loss,
        message: format!("The {what}, of {:.0}: {lost}", point.time),
    }
}

/// Seconds between a point and the moment when it was looked at, in whole minutes, so that a status is not written
/// anew at every look. `None` where its time cannot be right: the classic provider is recorded to write local time as UTC.
fn loss(point: Timestamp, seen: Timestamp) -> Option<i64> {
    let since = point.duration_until(seen);
    (since >= -CLOCK_SKEW).then(|| since.as_secs().max(0) / 60 * 60)
}
