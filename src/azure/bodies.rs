//! The requests for each action: the verb in the path, and the body (protocol reference §1.2 and §1.3).

use serde_json::{Value, json};

use crate::core::{
    action::{Action, RecoveryPoint, ReprotectWith},
    failure::{Failure, FailureClass, Remote},
    observed::Generation,
};

/// A mutating call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Last segment of the path.
    pub(crate) verb: &'static str,
    /// `None`: the verb takes no body.
    pub(crate) body: Option<Value>,
}

/// The request of an action.
pub(crate) fn request(action: &Action) -> Result<Request, Failure> {
    let (verb, body) = match action {
        Action::Commit => ("failoverCommit", None),
        Action::Cancel => ("failoverCancel", None),
        Action::FailBack { generation: Generation::Modernized, point } => ("plannedFailover", Some(planned(point)?)),
        Action::FailBack { generation: Generation::Classic, point } => ("unplannedFailover", Some(unplanned(point))),
        Action::Reprotect { target_id, datastore, with: ReprotectWith::Appliance { log_storage_account_id } } => {
            required("a reprotect agent", target_id)?;
            required("a datastore", datastore)?;
            required("a cache storage account", log_storage_account_id)?;
            ("reProtect", Some(reprotect(target_id, datastore, log_storage_account_id)))
        }
        Action::Reprotect {
            target_id,
            datastore,
            with:
                ReprotectWith::MasterTarget {
                    process_server_id,
                    retention_drive,
                    failback_policy_id,
                    run_as_account_id,
                    disks,
                },
        } => {
            let mut details = reprotect_classic([
                ("a master target", "masterTargetId", target_id),
                ("a datastore", "datastoreName", datastore),
                ("a process server", "processServerId", process_server_id),
                ("a retention volume", "retentionDrive", retention_drive),
                ("a failback policy", "profileId", failback_policy_id),
            ])?;
            insert(&mut details, "runAsAccountId", run_as_account_id.as_deref());
            include(&mut details, disks.as_deref())?;
            ("reProtect", Some(towards_primary(&details)))
        }
        Action::Protect { generation, process_server_id, policy_id, run_as_account_id } => {
            required("a process server", process_server_id)?;
            required("a replication policy", policy_id)?;
            let account = run_as_account_id.as_deref();
            let details = match generation {
                Generation::Modernized => protect(process_server_id, policy_id, account),
                Generation::Classic => protect_classic(process_server_id, policy_id, account),
            };
            ("reProtect", Some(details))
        }
    };
    Ok(Request { verb, body })
}

/// `InMageRcm` is the provider that the item has now, not the one that it is to get (recorded).
fn reprotect(agent: &str, datastore: &str, log_storage_account_id: &str) -> Value {
    towards_primary(&json!({
        "instanceType": "InMageRcm",
        "reprotectAgentId": agent,
        "datastoreName": datastore,
        "logStorageAccountId": log_storage_account_id,
    }))
}

/// The provider is the one that the item is to get (recorded), the opposite of the modernized convention. The temporary
/// disk of the Azure VM, by the label that Azure gives it, is left out: it holds nothing that belongs home.
fn reprotect_classic(fields: [(&str, &str, &String); 5]) -> Result<Value, Failure> {
    let mut details = json!({
        "instanceType": "InMage",
        "diskExclusionInput": {
            "volumeOptions": [{"volumeLabel": "Temporary Storage", "onlyExcludeIfSingleVolume": "Yes"}]
        },
    });
    for (what, key, value) in fields {
        required(what, value)?;
        insert(&mut details, key, Some(value));
    }
    Ok(details)
}

/// Without a list the service takes every disk.
fn include(details: &mut Value, disks: Option<&[String]>) -> Result<(), Failure> {
    match disks {
        None => {}
        Some([]) => return Err(missing("at least one disk")),
        Some(disks) => {
            if let Some(details) = details.as_object_mut() {
                details.insert("disksToInclude".to_owned(), json!(disks));
            }
        }
    }
    Ok(())
}

fn towards_primary(details: &Value) -> Value {
    json!({"properties": {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": details}})
}

/// Without a direction (recorded), and without a recovery point id: the service makes a fresh point.
fn planned(point: &RecoveryPoint) -> Result<Value, Failure> {
    let point = match point {
        RecoveryPoint::Latest => "CrashConsistent",
        RecoveryPoint::LatestAppConsistent => "ApplicationConsistent",
        RecoveryPoint::Custom(_) => return Err(missing("no recovery point id: the service makes the point itself")),
    };
    Ok(json!({"properties": {
        "providerSpecificDetails": {"instanceType": "InMageRcmFailback", "recoveryPointType": point}
    }}))
}

/// After a classic reprotect the service calls Azure the primary side, hence this direction (recorded).
fn unplanned(point: &RecoveryPoint) -> Value {
    let word = match point {
        RecoveryPoint::Latest => "LatestTime",
        RecoveryPoint::LatestAppConsistent => "LatestTag",
        RecoveryPoint::Custom(_) => "Custom",
    };
    let mut details = json!({"instanceType": "InMage", "recoveryPointType": word});
    if let RecoveryPoint::Custom(id) = point {
        insert(&mut details, "recoveryPointId", Some(id));
    }
    json!({"properties": {
        "failoverDirection": "PrimaryToRecovery",
        "sourceSiteOperations": "NotRequired",
        "providerSpecificDetails": details
    }})
}

/// Never recorded publicly; composed from the service's models and the vendor's PowerShell source.
fn protect(process_server: &str, policy: &str, account: Option<&str>) -> Value {
    let mut details = json!({
        "instanceType": "InMageRcmFailback",
        "processServerId": process_server,
        "policyId": policy,
    });
    insert(&mut details, "runAsAccountId", account);
    json!({"properties": {"failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": details}})
}

/// Here `masterTargetId` is the process server's id too (recorded), and the provider is the one that the item is to
/// get.
fn protect_classic(process_server: &str, policy: &str, account: Option<&str>) -> Value {
    let mut details = json!({
        "instanceType": "InMageAzureV2",
        "masterTargetId": process_server,
        "processServerId": process_server,
        "policyId": policy,
    });
    insert(&mut details, "runAsAccountId", account);
    towards_primary(&details)
}

fn insert(details: &mut Value, key: &str, value: Option<&str>) {
    if let (Some(details), Some(value)) = (details.as_object_mut(), value) {
        details.insert(key.to_owned(), Value::from(value));
    }
}

fn required(what: &str, value: &str) -> Result<(), Failure> {
    if value.trim().is_empty() { Err(missing(what)) } else { Ok(()) }
}

fn missing(what: &str) -> Failure {
    Failure::new(Remote::Arm, FailureClass::Invalid, format!("the call cannot be made: it needs {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::testing::{classic_requests, recorded};

    fn reprotect_action() -> Action {
        let account = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rgtestsrv2arcm/providers/\
                       Microsoft.Storage/storageAccounts/cliteststoragev2arcm1";
        Action::Reprotect {
            target_id: "83629832-8201-4d31-b9cd-a644185d035a".into(),
            datastore: "Datastore 3".into(),
            with: ReprotectWith::Appliance { log_storage_account_id: account.into() },
        }
    }

    fn reprotect_classic_action(disks: Option<Vec<String>>) -> Action {
        let policy = "/Subscriptions/b8aef8e1-37df-4f17-a537-f10e183c8eca/resourceGroups/PwsTestRG/providers/\
                      Microsoft.RecoveryServices/vaults/PwsTestVault/replicationPolicies/Ploicyv2a-failback";
        Action::Reprotect {
            target_id: "30AE6187-5869-8E44-B8AF6AA66E3ECC8F".into(),
            datastore: "datastore1".into(),
            with: ReprotectWith::MasterTarget {
                process_server_id: "14968BDF-E18E-7F45-A9B0E3EFAC2DDCA2".into(),
                retention_drive: "F".into(),
                failback_policy_id: policy.into(),
                run_as_account_id: Some("2".into()),
                disks,
            },
        }
    }

    const fn fail_back(generation: Generation, point: RecoveryPoint) -> Action {
        Action::FailBack { generation, point }
    }

    fn body(action: &Action) -> Value {
        request(action).unwrap().body.unwrap()
    }

    #[test]
    fn modernized_bodies_equal_the_recorded_ones() {
        let fail_back = fail_back(Generation::Modernized, RecoveryPoint::Latest);
        for (number, action, verb) in [("132", reprotect_action(), "reProtect"), ("163", fail_back, "plannedFailover")]
        {
            let Some(exchange) = recorded(number) else { return };
            assert_eq!(request(&action).unwrap().verb, verb);
            assert_eq!(body(&action), exchange["requestBody"]);
        }
    }

    #[test]
    fn classic_bodies_equal_the_recorded_ones() {
        let Some(requests) = classic_requests() else { return };
        let fail_back = fail_back(Generation::Classic, RecoveryPoint::Latest);
        assert_eq!(request(&fail_back).unwrap().verb, "unplannedFailover");
        assert_eq!(body(&fail_back), requests["unplannedFailover_failback"]);
        assert_eq!(body(&reprotect_classic_action(None)), requests["reProtect_azure_to_onprem"]);
        let recorded = &requests["reProtect_onprem_to_azure"];
        let policy = recorded.pointer("/properties/providerSpecificDetails/policyId").unwrap();
        let protect = Action::Protect {
            generation: Generation::Classic,
            process_server_id: "14968BDF-E18E-7F45-A9B0E3EFAC2DDCA2".into(),
            policy_id: policy.as_str().unwrap().into(),
            run_as_account_id: Some("2".into()),
        };
        assert_eq!(&body(&protect), recorded);
    }

    #[test]
    fn protection_to_azure_is_as_documented() {
        let protect = |account: Option<&str>| {
            body(&Action::Protect {
                generation: Generation::Modernized,
                process_server_id: "ps".into(),
                policy_id: "/policy".into(),
                run_as_account_id: account.map(str::to_owned),
            })
        };
        assert_eq!(
            protect(Some("/account")),
            json!({"properties": {"failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": {
                "instanceType": "InMageRcmFailback", "processServerId": "ps", "policyId": "/policy",
                "runAsAccountId": "/account"}}})
        );
        assert_eq!(protect(None).pointer("/properties/providerSpecificDetails/runAsAccountId"), None);
    }

    #[test]
    fn points_are_named_in_each_generations_words() {
        let word = |generation| {
            let body = body(&fail_back(generation, RecoveryPoint::LatestAppConsistent));
            body.pointer("/properties/providerSpecificDetails/recoveryPointType").unwrap().clone()
        };
        assert_eq!(word(Generation::Modernized), "ApplicationConsistent");
        assert_eq!(word(Generation::Classic), "LatestTag");
    }

    #[test]
    fn chosen_disks_and_a_chosen_point_are_named() {
        let disks = body(&reprotect_classic_action(Some(vec!["{A}".into()])));
        assert_eq!(disks.pointer("/properties/providerSpecificDetails/disksToInclude"), Some(&json!(["{A}"])));
        let none = request(&reprotect_classic_action(Some(vec![]))).unwrap_err();
        assert!(none.message.contains("at least one disk"), "{none}");
        let custom = |generation| request(&fail_back(generation, RecoveryPoint::Custom("/point".into())));
        assert_eq!(
            custom(Generation::Classic).unwrap().body,
            Some(json!({"properties": {
                "failoverDirection": "PrimaryToRecovery",
                "sourceSiteOperations": "NotRequired",
                "providerSpecificDetails": {
                    "instanceType": "InMage", "recoveryPointType": "Custom", "recoveryPointId": "/point"},
            }}))
        );
        assert_eq!(custom(Generation::Modernized).unwrap_err().class, FailureClass::Invalid);
    }

    #[test]
    fn commit_and_cancel_have_no_body() {
        assert_eq!(request(&Action::Commit), Ok(Request { verb: "failoverCommit", body: None }));
        assert_eq!(request(&Action::Cancel), Ok(Request { verb: "failoverCancel", body: None }));
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = Action::Reprotect {
            target_id: "a".into(),
            datastore: " ".into(),
            with: ReprotectWith::Appliance { log_storage_account_id: "b".into() },
        };
        let failure = request(&without).unwrap_err();
        assert_eq!(failure.class, FailureClass::Invalid);
        assert!(failure.message.contains("a datastore"), "{failure}");
    }
}
