//! The failed-over machine (protocol reference §9).

use serde_json::Value;

use crate::core::observed::{AzureDisk, AzurePower, AzureVm};

/// Reads a VM that was asked for with its instance view. `None` when the answer is not a VM.
pub(crate) fn observe(body: &Value) -> Option<AzureVm> {
    let id = body.get("id")?.as_str()?.to_owned();
    Some(AzureVm::Present { id, power: power(body), disks: disks(body) })
}

/// The OS disk first. One that cannot be read makes all of them unknown: a disk that is left out would look as if it
/// were not there, and what was added in Azure is lost with the commit. Unmanaged disks count too, for the same reason.
fn disks(body: &Value) -> Option<Vec<AzureDisk>> {
    let storage = body.pointer("/properties/storageProfile")?;
    let data = match storage.get("dataDisks") {
        None | Some(Value::Null) => &[],
        Some(disks) => disks.as_array()?.as_slice(),
    };
    std::iter::once(storage.get("osDisk")?).chain(data).map(disk).collect()
}

/// The size is not told of every machine that is deallocated.
fn disk(value: &Value) -> Option<AzureDisk> {
    let gibibytes = value.get("diskSizeGB").and_then(Value::as_u64);
    let name = value.get("name")?.as_str()?.to_owned();
    Some(AzureDisk { name, capacity_bytes: gibibytes.and_then(|size| size.checked_mul(1 << 30)) })
}

/// The entry can be missing while the host is unknown; that is neither running nor stopped.
fn power(body: &Value) -> AzurePower {
    let statuses = body.pointer("/properties/instanceView/statuses").and_then(Value::as_array);
    let code =
        statuses.into_iter().flatten().filter_map(|status| status.get("code")?.as_str()).find_map(|code| {
            code.get(..11).filter(|head| head.eq_ignore_ascii_case("PowerState/")).and(code.get(11..))
        });
    match code.unwrap_or_default() {
        word if word.eq_ignore_ascii_case("running") => AzurePower::Running,
        word if word.eq_ignore_ascii_case("stopped") => AzurePower::Stopped,
        word if word.eq_ignore_ascii_case("deallocated") => AzurePower::Deallocated,
        word => AzurePower::Between(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn power_of(codes: Value) -> AzurePower {
        let statuses: Vec<_> = codes.as_array().unwrap().iter().map(|code| json!({"code": code})).collect();
        match observe(&json!({"id": "/vm", "properties": {"instanceView": {"statuses": statuses}}})) {
            Some(AzureVm::Present { power, .. }) => power,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn disks_are_all_told_or_none() {
        let of = |storage: Value| match observe(&json!({"id": "/vm", "properties": {"storageProfile": storage}})) {
            Some(AzureVm::Present { disks, .. }) => {
                disks.map(|disks| disks.into_iter().map(|disk| (disk.name, disk.capacity_bytes)).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        };
        let os = json!({"name": "os", "diskSizeGB": 127, "managedDisk": {"id": "/d"}});
        let (os_disk, data_disk) = (("os".to_owned(), Some(127 << 30)), ("data".to_owned(), None));
        let both = json!({"osDisk": os, "dataDisks": [{"name": "data"}]});
        assert_eq!(of(both), Some(vec![os_disk.clone(), data_disk]));
        assert_eq!(of(json!({"osDisk": os})), Some(vec![os_disk]));
        assert_eq!(of(json!({"osDisk": os, "dataDisks": [7]})), None);
        assert_eq!(of(json!({"dataDisks": []})), None);
        assert_eq!(of(json!(null)), None);
    }

    #[test]
    fn power_comes_from_the_instance_view() {
        assert_eq!(power_of(json!(["ProvisioningState/succeeded", "PowerState/running"])), AzurePower::Running);
        assert_eq!(power_of(json!(["PowerState/stopped"])), AzurePower::Stopped);
        assert_eq!(power_of(json!(["powerstate/Deallocated"])), AzurePower::Deallocated);
        assert_eq!(power_of(json!(["PowerState/deallocating"])), AzurePower::Between("deallocating".into()));
        assert_eq!(power_of(json!(["ProvisioningState/updating", 7, null])), AzurePower::Between(String::new()));
        assert_eq!(observe(&json!({"name": "no id"})), None);
        let bare = observe(&json!({"id": "/vm"}));
        assert_eq!(
            bare,
            Some(AzureVm::Present { id: "/vm".into(), power: AzurePower::Between(String::new()), disks: None })
        );
    }
}
