//! The failed-over machine (protocol reference §9).

use serde_json::Value;

use crate::core::observed::{AzurePower, AzureVm};

/// Reads a VM that was asked for with its instance view. `None` when the answer is not a VM.
pub(crate) fn observe(body: &Value) -> Option<AzureVm> {
    let id = body.get("id")?.as_str()?.to_owned();
    Some(AzureVm::Present { id, power: power(body), disks: None })
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
