//! The same healthy world in the classic generation: configuration server, process server, master target.

use failback::core::{
    facts::{ItemFacts, TargetFacts},
    observed::{
        ConfigurationServer, Direction, Fact, Generation, OnPremisesVm, Operation, OsFamily, Policy, RecoveryPointSeen,
        RetentionVolume, RunAsAccount, VirtualDisk,
    },
    stage::Stage,
};
use jiff::{SignedDuration, Timestamp};

use super::{change_fabric, change_item, change_site, facts};

/// Everything, seen at `now`, of a healthy machine at a stage.
pub fn classic(stage: Stage, now: Timestamp) -> ItemFacts {
    let mut facts = facts(stage, now);
    change_item(&mut facts, |item| {
        item.generation = Some(Generation::Classic);
        let to_azure = item.direction == Some(Direction::ToAzure);
        item.instance_type = if to_azure { "InMageAzureV2" } else { "InMage" }.to_owned();
        item.agent_registered = None;
        item.agent_heartbeat = Some(now);
        item.last_planned_failover = None;
        item.last_used_policy_id = None;
        item.policy_id = Some(if to_azure { "/policies/daily" } else { "/policies/daily-failback" }.to_owned());
        item.process_server_id = Some("ps-1".to_owned());
        item.infrastructure_vm_id = Some("infrastructure-1".to_owned());
        item.master_target_id = (!to_azure).then(|| "mt-1".to_owned());
        if stage == Stage::ReadyToFailBack {
            item.allowed = vec![Operation::UnplannedFailover];
        }
        if stage == Stage::FailedBack {
            item.allowed = vec![Operation::Commit];
        }
    });
    change_fabric(&mut facts, |fabric| {
        fabric.generation = Some(Generation::Classic);
        fabric.configuration_server = Some(ConfigurationServer {
            name: "cs01".to_owned(),
            ip_address: Some("10.0.0.4".to_owned()),
            service_status: "Running".to_owned(),
            heartbeat: Some(now),
            version: "9.56.0.1".to_owned(),
        });
        fabric.process_servers[0].id = "ps-1".to_owned();
        fabric.process_servers[0].name = "ps01".to_owned();
        fabric.run_as_accounts = vec![RunAsAccount { id: "2".to_owned(), name: "linux".to_owned() }];
    });
    change_site(&mut facts, |site| site.targets.iter_mut().for_each(master_target));
    let policy = |name: &str, of: &str| Policy {
        id: format!("/policies/{name}"),
        name: name.to_owned(),
        instance_type: of.to_owned(),
    };
    let policies = vec![policy("daily", "InMageAzureV2"), policy("daily-failback", "InMage")];
    facts.policies = Fact::seen(policies, now);
    facts.configuration_server_backup = Some(now - SignedDuration::from_hours(24));
    facts
}

fn master_target(of: &mut TargetFacts) {
    of.target.id = "mt-1".to_owned();
    of.target.name = "mt01".to_owned();
    of.target.version = "9.56.0.1".to_owned();
    of.target.os = Some(OsFamily::Linux);
    of.target.components.clear();
    let volume = |name: &str, free| RetentionVolume {
        name: name.to_owned(),
        capacity_bytes: Some(1 << 40),
        free_bytes: Some(free),
    };
    of.target.retention = Some(vec![volume("/mnt/small", 1 << 30), volume("/mnt/retention", 1 << 39)]);
    if let Fact::Seen { value: OnPremisesVm::Found(vm), .. } = &mut of.vm {
        vm.name = "mt01".to_owned();
        let controller = Some("VirtualLsiLogicController".to_owned());
        vm.disks = vec![VirtualDisk { controller, ..VirtualDisk::default() }];
    }
}

/// A recovery point.
pub fn point(id: &str, time: Timestamp, app_consistent: bool, group: bool) -> RecoveryPointSeen {
    RecoveryPointSeen { id: id.to_owned(), time, app_consistent, group }
}
