//! What lies around items and fabrics: vCenters, recovery points, policies, locks.

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Odd, decode, health};
use crate::{
    azure::{
        ids::{before_type, last_segment},
        quote::quote,
        wire::{
            around::{self as wire, Resource, SiteError},
            item::Item,
            lenient::Part,
        },
    },
    core::observed::{HealthError, KnownVCenter, Policy, RecoveryPointSeen},
};

/// A resource with its id and properties, without which nothing can be told of it.
fn resource<P: DeserializeOwned>(value: Value) -> Result<(String, P), Odd> {
    let resource: Resource<P> = decode(value)?;
    let id = resource.id.get().ok_or_else(|| Odd::new(resource.name.get(), "no id"))?.to_owned();
    match resource.properties {
        Part::There(properties) => Ok((id, properties)),
        Part::Absent | Part::Odd => Err(Odd::new(Some(&id), "no properties")),
    }
}

/// Reads a vCenter of either generation.
pub(crate) fn vcenter(value: Value) -> Result<KnownVCenter, Odd> {
    let (id, vcenter) = resource::<wire::VCenter>(value)?;
    let name = last_segment(&id).ok_or_else(|| Odd::new(Some(&id), "no name"))?.to_owned();
    let mut errors = health::errors(&vcenter.health_errors);
    vcenter.errors.iter().filter_map(Part::get).for_each(|error| health::push(&mut errors, site_error(error)));
    let address = vcenter.fqdn.get().or(vcenter.friendly_name.get()).unwrap_or(&name).to_owned();
    Ok(KnownVCenter {
        address,
        name,
        ip_address: vcenter.ip_address.owned(),
        infrastructure_id: vcenter.infrastructure_id.owned(),
        instance_uuid: vcenter.instance_uuid.get().map(str::to_ascii_lowercase),
        discovery: vcenter.discovery_status.get().map(quote),
        heartbeat: vcenter.last_heartbeat.0,
        health_errors: errors,
    })
}

fn site_error(error: &SiteError) -> HealthError {
    let message = if error.message.get().is_some() { &error.message } else { &error.summary_message };
    HealthError {
        code: health::said(&error.code),
        message: health::said(message),
        causes: health::said(&error.possible_causes),
        action: health::said(&error.recommended_action),
        level: health::said(&error.severity),
    }
}

/// Reads a recovery point. Any type but the application-consistent one promises no more than crash consistency.
pub(crate) fn recovery_point(value: Value) -> Result<RecoveryPointSeen, Odd> {
    let (id, point) = resource::<wire::RecoveryPoint>(value)?;
    let time = point.recovery_point_time.0.ok_or_else(|| Odd::new(Some(&id), "no recoveryPointTime"))?;
    let kind = point.recovery_point_type.get().unwrap_or_default();
    let details = point.provider_specific_details.get();
    Ok(RecoveryPointSeen {
        id,
        time,
        app_consistent: kind.eq_ignore_ascii_case("ApplicationConsistent"),
        group: details.is_some_and(|details| details.is_multi_vm_sync_point.0 == Some(true)),
    })
}

/// The `consistencyPoints` of the classic provider towards VMware: a map from tag to time. Tags are what `LatestTag`
/// chooses from, hence application-consistent. They have no ARM id, so that none of them can be asked for by name, and
/// nothing tells whether the other machines of a group have the same.
///
/// The times are recorded five hours ahead of the same answer's `lastUpdateReceivedTime`: local time with a `Z`. The
/// tags end in the moment at which they were set, as seconds since 1970 in hex (recorded: `fileSystem606c46c6`, 19
/// minutes before the answer), which counts where it can be that.
pub(crate) fn consistency_points(value: Value) -> Result<Vec<RecoveryPointSeen>, Odd> {
    let item: Item = decode(value)?;
    let provider = item.properties.get().and_then(|properties| properties.provider_specific_details.get());
    let tags = match provider.map(|provider| &provider.consistency_points) {
        None | Some(Part::Absent) => return Ok(Vec::new()),
        Some(Part::There(tags)) => tags,
        Some(Part::Odd) => return Err(Odd::new(item.id.get(), "unreadable consistencyPoints")),
    };
    let timed = tags.iter().filter_map(|(tag, when)| Some((tag, set_at(tag, when.0?))));
    let point =
        |(tag, time): (&String, _)| RecoveryPointSeen { id: quote(tag), time, app_consistent: true, group: false };
    Ok(timed.map(point).collect())
}

/// When a tag was set: by its name, if that is within a day of the time that is told, more than any time zone makes.
fn set_at(tag: &str, told: Timestamp) -> Timestamp {
    let digits = tag.len().checked_sub(8).and_then(|at| tag.get(at..));
    let seconds = digits.and_then(|digits| i64::from_str_radix(digits, 16).ok());
    let named = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    named.filter(|at| at.duration_until(told).abs() <= SignedDuration::from_hours(24)).unwrap_or(told)
}

/// Reads a replication policy.
pub(crate) fn policy(value: Value) -> Result<Policy, Odd> {
    let (id, policy) = resource::<wire::Policy>(value)?;
    let name = policy.friendly_name.get().or(last_segment(&id)).unwrap_or_default().to_owned();
    let details = policy.provider_specific_details.get();
    let instance_type = details.map(|details| details.instance_type.or_empty()).unwrap_or_default();
    Ok(Policy { id, name, instance_type })
}

/// Reads a lock: its name, with where it lies. `None` when it locks nothing. A level that cannot be read is odd, since
/// it may be one that keeps the VM.
pub(crate) fn lock(value: Value) -> Result<Option<String>, Odd> {
    let (id, lock) = resource::<wire::Lock>(value)?;
    let level = match lock.level.get() {
        Some(level @ ("CanNotDelete" | "ReadOnly")) => level,
        Some("NotSpecified") => return Ok(None),
        Some(_) | None => return Err(Odd::new(Some(&id), "an unknown level of lock")),
    };
    let name = last_segment(&id).ok_or_else(|| Odd::new(Some(&id), "no name"))?;
    let scope = before_type(&id, "providers/Microsoft.Authorization/locks").unwrap_or_default();
    let mut at = scope.rsplit('/');
    let on = match (at.next(), at.next()) {
        (Some(of), Some(kind)) if !of.is_empty() => format!(" on {kind}/{of}"),
        _ => String::new(),
    };
    Ok(Some(quote(&format!("{name} ({level}{on})"))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn vcenters_of_both_generations_are_read() {
        let classic = vcenter(json!({"id": "/f/replicationvCenters/vc", "properties": {"friendlyName": "vc.example",
            "ipAddress": "10.0.0.2", "discoveryStatus": "Pending", "lastHeartbeat": "2026-01-01T00:00:00Z",
            "healthErrors": [{"errorCode": "9", "errorMessage": "Cannot be reached."}]}}));
        let classic = classic.unwrap();
        assert_eq!((classic.name.as_str(), classic.address.as_str()), ("vc", "vc.example"));
        assert_eq!((classic.ip_address.as_deref(), classic.discovery.as_deref()), (Some("10.0.0.2"), Some("Pending")));
        assert_eq!(classic.heartbeat, "2026-01-01T00:00:00Z".parse().ok());
        assert_eq!(classic.health_errors[0].code, "9");
        let modernized = vcenter(json!({"id": "/s/vcenters/vc", "properties": {"fqdn": "vc.example",
            "friendlyName": "home", "instanceUuid": "ABC", "errors": [{"code": "VCenterNotConnected",
            "severity": "Error", "message": "No answer."}, 7]}}));
        let modernized = modernized.unwrap();
        assert_eq!((modernized.address.as_str(), modernized.instance_uuid.as_deref()), ("vc.example", Some("abc")));
        let [error] = modernized.health_errors.as_slice() else { panic!("{modernized:?}") };
        assert_eq!((error.code.as_str(), error.level.as_str()), ("VCenterNotConnected", "Error"));
        assert!(vcenter(json!({"properties": {}})).is_err() && vcenter(json!({"id": "/s/vcenters/vc"})).is_err());
    }

    #[test]
    fn a_point_without_a_time_is_odd() {
        let point = |properties: Value| recovery_point(json!({"id": "/i/recoveryPoints/p", "properties": properties}));
        let read = point(json!({"recoveryPointTime": "2026-01-01T00:00:00Z",
            "recoveryPointType": "ApplicationConsistent", "providerSpecificDetails": {"isMultiVmSyncPoint": "True"}}));
        let read = read.unwrap();
        assert!(read.app_consistent && read.group);
        let crash = point(json!({"recoveryPointTime": "2026-01-01T00:00:00Z", "recoveryPointType": "CrashConsistent"}));
        assert!(crash.is_ok_and(|point| !point.app_consistent && !point.group));
        let odd = point(json!({"recoveryPointTime": "0001-01-01T00:00:00"})).unwrap_err();
        assert_eq!(odd.to_string(), "/i/recoveryPoints/p: no recoveryPointTime");
    }

    #[test]
    fn tags_of_the_classic_provider_are_points() {
        let item = |points: Value| json!({"id": "/i", "properties": {"providerSpecificDetails": {"consistencyPoints": points}}});
        let read = consistency_points(item(json!({"tag": "2021-04-06T16:52:06Z", "none": ""}))).unwrap();
        let [point] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((point.id.as_str(), point.app_consistent), ("tag", true));
        assert_eq!(point.time, "2021-04-06T16:52:06Z".parse().unwrap());
        assert_eq!(consistency_points(item(json!(null))), Ok(vec![]));
        assert!(consistency_points(item(json!([1]))).is_err());
    }

    #[test]
    fn a_tag_tells_when_it_was_set_better_than_the_local_time_beside_it() {
        let set = |tag: &str| set_at(tag, "2021-04-06T16:52:06Z".parse().unwrap()).to_string();
        assert_eq!(set("fileSystem606c46c6"), "2021-04-06T11:32:22Z");
        assert_eq!(set("systemLevelTag606c3e8d"), "2021-04-06T10:57:17Z");
        // Eight digits that are no such moment, and none.
        for tag in ["tagdeadbeef", "nightly", "é606c46c6", "tag", "tag-60c46c6"] {
            let expected = if tag.ends_with("606c46c6") { "2021-04-06T11:32:22Z" } else { "2021-04-06T16:52:06Z" };
            assert_eq!(set(tag), expected, "{tag}");
        }
    }

    #[test]
    fn a_lock_tells_where_it_lies() {
        let lock = |scope: &str, level: Value| {
            let id = format!("{scope}/providers/Microsoft.Authorization/locks/keep");
            super::lock(json!({"id": id, "properties": {"level": level}}))
        };
        let group = "/subscriptions/s/resourceGroups/g";
        let on_group = lock(group, json!("CanNotDelete"));
        assert_eq!(on_group, Ok(Some("keep (CanNotDelete on resourceGroups/g)".to_owned())));
        let vm = format!("{group}/providers/Microsoft.Compute/virtualMachines/vm");
        let on_vm = lock(&vm, json!("ReadOnly"));
        assert_eq!(on_vm, Ok(Some("keep (ReadOnly on virtualMachines/vm)".to_owned())));
        assert_eq!(lock(group, json!("NotSpecified")), Ok(None));
        assert!(lock(group, json!("Sealed")).is_err() && lock(group, json!(null)).is_err());
    }
}
