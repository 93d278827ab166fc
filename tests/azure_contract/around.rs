//! What lies around an item: vCenters, policies, recovery points, locks.

use failback::{
    core::{
        action::{Action, RecoveryPoint},
        observed::{AzureVm, Generation},
    },
    ports::{FailureClass, SiteRecovery},
};
use serde_json::json;

use crate::{Fixture, World};

#[tokio::test]
async fn what_lies_around_a_modernized_machine_is_read() {
    let yaml = "azure: {locks: [{name: keep}]}\nmachines: [{name: web}]";
    let home = Fixture::with(World::from_yaml(yaml).unwrap()).await;
    let fabrics = home.vault.fabrics().await.unwrap();
    let fabric = &fabrics.entries[0];
    let kinds: Vec<_> = fabric.targets[0].components.iter().map(|part| part.kind).collect();
    assert!(kinds.contains(&"proxy") && kinds.contains(&"reprotect agent"), "{kinds:?}");
    let [vcenter] = fabric.vcenters.value().unwrap().as_slice() else { panic!("{:?}", fabric.vcenters) };
    assert!(vcenter.instance_uuid.is_some() && vcenter.health_errors.is_empty(), "{vcenter:?}");
    assert_eq!(fabric.targets[0].vcenter_name.as_deref(), Some(vcenter.name.as_str()));
    assert!(home.vault.policies().await.unwrap().entries.iter().any(|policy| policy.instance_type == "InMageRcm"));

    let item = home.item().await;
    assert_eq!((item.physical, item.azure_vm_id_named), (Some(false), false));
    let AzureVm::Present { disks: Some(disks), .. } = home.azure_vm().await else { panic!() };
    assert!(disks.iter().all(|disk| disk.capacity_bytes.is_some()) && !disks.is_empty());
    let locks = home.vault.locks(&item.azure_vm_id.unwrap()).await.unwrap();
    assert!(locks.entries.len() == 1 && locks.entries[0].starts_with("keep (CanNotDelete on resourceGroups/"));

    // Who may not read the vCenters learns that of them alone.
    let denied = json!({"type": "status", "status": 403, "code": "AuthorizationFailed"});
    home.inject(json!({"method": "GET", "path": "*/vcenters", "effect": denied}));
    let fabrics = home.vault.fabrics().await.unwrap();
    let why = fabrics.entries[0].vcenters.known().unwrap_err();
    assert!(why.contains("AuthorizationFailed") && !fabrics.entries[0].targets.is_empty(), "{why}");
}

#[tokio::test]
async fn what_lies_around_a_classic_machine_is_read() {
    let yaml = "fabrics: [{name: cs, generation: classic}]\nmachines: [{name: old, state: Reprotected}]";
    let home = Fixture::with(World::from_yaml(yaml).unwrap()).await;
    let fabrics = home.vault.fabrics().await.unwrap();
    let fabric = &fabrics.entries[0];
    assert_eq!(fabric.configuration_server.as_ref().unwrap().service_status, "Running");
    assert!(!fabric.run_as_accounts.is_empty() && !fabric.process_servers.is_empty());
    assert!(fabric.targets.iter().any(|target| target.retention.as_ref().is_some_and(|all| !all.is_empty())));
    assert_eq!(fabric.vcenters.value().unwrap().len(), 1);

    let item = home.item().await;
    assert!(item.master_target_id.is_some() && item.process_server_id.is_some() && item.physical.is_none());
    let points = home.vault.recovery_points(&item.id).await.unwrap();
    assert!(points.odd.is_empty() && !points.entries.is_empty(), "{points:?}");
    assert!(points.entries.windows(2).all(|pair| pair[0].time >= pair[1].time), "newest first");
    let foreign = points.entries[0].id.replace("/recoveryPoints/", "x/recoveryPoints/");
    let custom = |id: String| Action::FailBack { generation: Generation::Classic, point: RecoveryPoint::Custom(id) };
    let refused = home.vault.submit(&item.id, &custom(foreign), &|| Ok(())).await.unwrap_err();
    assert!(refused.class == FailureClass::Invalid && home.calls("unplannedFailover").0 == 0, "{refused}");
    home.vault.submit(&item.id, &custom(points.entries[0].id.clone()), &|| Ok(())).await.unwrap();
}
