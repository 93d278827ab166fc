//! One row for each check.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use failback::{
    api::{CheckResult, LocationChoice, OperationOutcome, Probe, VerificationSpec},
    core::{
        action::Verb,
        checks::CHECKS,
        facts::GroupMember,
        observed::{
            AzureDisk, AzurePower, AzureVm, Fact, Generation, Health, HealthError, OnPremisesVm, OsFamily,
            PlannedFailoverStatus, Power, Tools, VirtualMachine,
        },
        probes::{ProbeFact, ProbeSeen},
        stage::Stage::{self, FailedBack, FailedOver, ReadyToFailBack},
    },
};

use crate::{
    Case,
    support::{
        AZURE_VM, at, change_fabric, change_home, change_item, change_site, change_targets, only_to_be_undone, record,
    },
};

type Change = fn(&mut Case);

/// A check, where it is told, what makes it apply, what makes it fail, and what hides what it looks at.
type Row = (&'static str, Generation, Stage, Change, Change, Change);

const C: Generation = Generation::Classic;
const M: Generation = Generation::Modernized;

const AS_IT_IS: Change = |_| {};
const UNREAD_ITEM: Change = |case| case.facts.replication = Fact::unknown("The vault does not answer.");
const UNREAD_FABRIC: Change = |case| case.facts.fabric = Fact::unknown("The fabric was not read.");
const UNREAD_SITE: Change = |case| case.facts.site = Fact::unknown("vCenter does not answer.");
const UNREAD_VM: Change = |case| case.facts.azure_vm = Fact::unknown("Azure refuses to read the VM (403).");
const UNREAD_HOME: Change = |case| case.facts.on_premises = Fact::unknown("vCenter does not answer.");
const UNREAD_GROUP: Change = |case| case.facts.group = Fact::unknown("The group was not read.");
const NO_TARGET_VM: Change = |case| change_targets(&mut case.facts, |t| t.vm = Fact::unknown("It was not looked for."));
const GONE: Change = |case| case.facts.on_premises = Fact::seen(OnPremisesVm::NotFound, at(0));
const IN_A_GROUP: Change = |case| {
    change_item(&mut case.facts, |item| item.group = Some("tier".to_owned()));
    let member = GroupMember {
        machine: "web-02".to_owned(),
        claimed: Some(("plan".to_owned(), String::new())),
        os: Some(OsFamily::Linux),
        target_id: Some("appliance-1".to_owned()),
        ready: true,
        recovery_points: Fact::seen(Vec::new(), at(0)),
    };
    case.facts.group = Fact::seen(vec![member], at(0));
};

const PROBED: Change = |case| {
    case.spec.verification = Some(VerificationSpec { probes: vec![probe()] });
    case.facts.probes = probed(&[ProbeSeen::Good("10.1.2.3:443 accepts connections.".to_owned())]);
};

fn probe() -> Probe {
    serde_json::from_value(serde_json::json!({ "name": "https", "tcp": { "port": 443 }, "failureThreshold": 1 }))
        .unwrap()
}

/// What the probe says after these looks.
fn probed(looks: &[ProbeSeen]) -> Fact<Vec<ProbeFact>> {
    let before = ProbeFact::before_first(&probe());
    let after = looks.iter().fold(before, |fact, seen| fact.after(&probe(), seen.clone(), at(0)));
    Fact::seen(vec![after], at(0))
}

fn member(case: &mut Case, change: impl FnOnce(&mut GroupMember)) {
    let Fact::Seen { value, .. } = &mut case.facts.group else { panic!("no group") };
    change(&mut value[0]);
}

fn azure(power: AzurePower, disks: Option<Vec<AzureDisk>>) -> Fact<AzureVm> {
    Fact::seen(AzureVm::Present { id: AZURE_VM.to_owned(), power, disks }, at(0))
}

fn disk(name: &str) -> AzureDisk {
    AzureDisk { name: name.to_owned(), capacity_bytes: None }
}

fn error(code: &str, message: &str) -> HealthError {
    HealthError { code: code.to_owned(), message: message.to_owned(), ..HealthError::default() }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("DescribedOnce", M, FailedOver, AS_IT_IS,
        |c| c.facts.described_by = Some("other/web-01".to_owned()), UNREAD_ITEM),
    ("NotMigrated", M, FailedOver, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| item.protection_state = "MigrationCompleted".to_owned()), UNREAD_ITEM),
    ("TargetIsVMware", M, FailedOver, AS_IT_IS, |c| change_fabric(&mut c.facts, |fabric| fabric.generation = None), UNREAD_FABRIC),
    ("OsSupported", M, FailedOver, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| {
            item.os_name = Some("Microsoft Windows Server 2008 R2 (64-bit)".to_owned());
            item.physical = Some(true);
        }),
        |c| {
            change_item(&mut c.facts, |item| {
                item.os_name = Some("Microsoft Windows Server 2008 R2 (64-bit)".to_owned());
                item.instance_uuid = None;
            });
            UNREAD_HOME(c);
        }),
    ("AzureVmPresent", M, FailedOver, AS_IT_IS, |c| c.facts.azure_vm = Fact::seen(AzureVm::Absent, at(0)), UNREAD_VM),
    ("AzureVmRunning", M, FailedOver, AS_IT_IS, |c| c.facts.azure_vm = azure(AzurePower::Deallocated, None), UNREAD_VM),
    ("AgentRegistered", M, FailedOver, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| {
            item.agent_registered = Some(false);
            item.last_failover = Some(at(-5));
        }),
        |c| change_item(&mut c.facts, |item| item.agent_registered = None)),
    ("AgentRegistered", C, FailedOver, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| item.agent_heartbeat = Some(at(-700))),
        |c| change_item(&mut c.facts, |item| item.agent_heartbeat = None)),
    ("OriginalVCenter", M, FailedOver, AS_IT_IS,
        |c| change_fabric(&mut c.facts, |fabric| {
            let Fact::Seen { value, .. } = &mut fabric.vcenters else { panic!("no vCenters") };
            value[0].instance_uuid = Some("vc-2".to_owned());
        }),
        |c| {
            change_fabric(&mut c.facts, |fabric| fabric.vcenters = Fact::unknown("It may not be read (403)."));
            GONE(c);
        }),
    ("VCenterConnected", M, FailedOver, AS_IT_IS,
        |c| change_fabric(&mut c.facts, |fabric| {
            let Fact::Seen { value, .. } = &mut fabric.vcenters else { panic!("no vCenters") };
            value[0].health_errors = vec![error("VC01", "The account was refused.")];
        }),
        |c| c.facts.vcenter = Fact::unknown("vCenter does not answer.")),
    ("ConfigurationServerAvailable", C, FailedOver, AS_IT_IS,
        |c| change_fabric(&mut c.facts, |fabric| fabric.configuration_server.as_mut().unwrap().heartbeat = Some(at(-90))),
        |c| change_fabric(&mut c.facts, |fabric| fabric.configuration_server.as_mut().unwrap().heartbeat = None)),
    ("KnownToConfigurationServer", C, FailedOver, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| item.infrastructure_vm_id = None),
        |c| change_item(&mut c.facts, |item| item.complete = false)),
    ("ConfigurationServerBackedUp", C, FailedOver, AS_IT_IS,
        |c| c.facts.configuration_server_backup = Some(at(-60 * 24 * 90)),
        |c| c.facts.configuration_server_backup = None),
    ("ApplianceHealthy", M, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| {
            t.target.components[0].health = Health::Critical;
            t.target.components[0].health_errors = vec![error("RcmProxy", "It cannot be reached.")];
        }),
        |c| change_targets(&mut c.facts, |t| t.target.components[1].heartbeat = None)),
    ("ProcessServerAvailable", M, FailedOver, AS_IT_IS,
        |c| change_fabric(&mut c.facts, |fabric| fabric.process_servers[0].health = Health::Critical),
        |c| change_fabric(&mut c.facts, |fabric| fabric.process_servers[0].heartbeat = None)),
    ("MasterTargetDiscovered", M, FailedOver, AS_IT_IS, |c| change_site(&mut c.facts, |site| site.targets.clear()), UNREAD_SITE),
    ("MasterTargetOsMatches", C, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| t.target.os = Some(OsFamily::Windows)),
        |c| change_targets(&mut c.facts, |t| t.target.os = None)),
    ("MasterTargetHealthy", M, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| t.target.heartbeat = Some(at(-40))),
        |c| change_targets(&mut c.facts, |t| t.target.health = Health::Unclear(String::new()))),
    ("MasterTargetHealthy", C, ReadyToFailBack, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| t.target.version = "9.60.0.1".to_owned()),
        |c| change_targets(&mut c.facts, |t| t.target.heartbeat = None)),
    ("MasterTargetNoSnapshots", M, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| {
            let Fact::Seen { value: OnPremisesVm::Found(vm), .. } = &mut t.vm else { panic!("no VM") };
            vm.snapshots = Some(2);
        }),
        NO_TARGET_VM),
    ("MasterTargetDiskSlots", M, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| t.disks_attached = 60),
        |c| {
            change_item(&mut c.facts, |item| item.disks.clear());
            UNREAD_HOME(c);
            UNREAD_VM(c);
        }),
    ("MasterTargetRetention", C, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| t.target.retention = Some(Vec::new())),
        |c| change_targets(&mut c.facts, |t| t.target.retention = None)),
    ("MasterTargetController", C, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| {
            let Fact::Seen { value: OnPremisesVm::Found(vm), .. } = &mut t.vm else { panic!("no VM") };
            vm.disks[0].controller = Some("ParaVirtualSCSIController".to_owned());
        }),
        NO_TARGET_VM),
    ("EsxHostDiscovered", C, FailedOver, |c| change_item(&mut c.facts, |item| item.physical = Some(true)),
        |c| change_site(&mut c.facts, |site| Arc::make_mut(&mut site.hosts[0]).datastores.clear()), NO_TARGET_VM),
    ("LocationPossible", M, FailedOver, AS_IT_IS, |c| c.spec.location = LocationChoice::Alternate, UNREAD_HOME),
    ("DatastoreReachable", M, FailedOver, AS_IT_IS,
        |c| change_targets(&mut c.facts, |t| t.target.datastores.clear()), UNREAD_HOME),
    ("DatastoreIsVmfs", M, FailedOver, GONE,
        |c| change_site(&mut c.facts, |site| Arc::make_mut(&mut site.datastores[0]).kind = Some("NFS".to_owned())),
        |c| change_site(&mut c.facts, |site| Arc::make_mut(&mut site.datastores[0]).kind = None)),
    ("DatastoreHasSpace", M, FailedOver, GONE,
        |c| change_site(&mut c.facts, |site| Arc::make_mut(&mut site.datastores[0]).free_bytes = Some(1 << 34)),
        |c| change_site(&mut c.facts, |site| Arc::make_mut(&mut site.datastores[0]).free_bytes = None)),
    ("SpecialDisksAttached", M, FailedOver, AS_IT_IS, |c| change_home(&mut c.facts, |vm| vm.disks.clear()), UNREAD_HOME),
    ("VmNameFree", M, FailedOver, GONE,
        |c| change_site(&mut c.facts, |site| {
            let host = Some("host-1".to_owned());
            let other = VirtualMachine { name: "web-01".to_owned(), moref: "vm-9".to_owned(), host, ..VirtualMachine::default() };
            site.namesakes.push(other);
        }),
        NO_TARGET_VM),
    ("ReplicationGroupTogether", M, FailedOver, IN_A_GROUP,
        |c| member(c, |member| member.claimed = Some(("plan".to_owned(), "late".to_owned()))), UNREAD_GROUP),
    ("DisksUnchanged", M, ReadyToFailBack, AS_IT_IS,
        |c| c.facts.azure_vm = azure(AzurePower::Running, Some(vec![disk("web-01-os"), disk("web-01-new")])),
        |c| c.facts.azure_vm = azure(AzurePower::Running, None)),
    ("ReprotectComplete", M, ReadyToFailBack, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| item.health = Health::Critical), UNREAD_ITEM),
    ("ReplicationHealthy", M, ReadyToFailBack, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| {
            item.health = Health::Warning;
            item.health_errors = vec![
                HealthError { action: "Upgrade the agent.".to_owned(), ..error("28007", "The agent's version expires.") },
                error("28008", "Little space is left."),
            ];
        }),
        |c| change_item(&mut c.facts, |item| item.health = Health::Unclear("None".to_owned()))),
    ("RecoveryPointAvailable", M, ReadyToFailBack, IN_A_GROUP, |c| member(c, |member| member.ready = false), UNREAD_GROUP),
    ("FailbackSucceeded", M, FailedBack, AS_IT_IS,
        |c| change_item(&mut c.facts, |item| item.last_planned_failover = Some((PlannedFailoverStatus::Failed, None))), UNREAD_ITEM),
    ("AzureVmStopped", M, FailedBack, AS_IT_IS, |c| c.facts.azure_vm = azure(AzurePower::Running, None), UNREAD_VM),
    ("NoDeleteLock", M, FailedBack, AS_IT_IS,
        |c| c.facts.locks = Fact::seen(vec!["keep-it".to_owned()], at(0)),
        |c| c.facts.locks = Fact::unknown("The locks may not be read (403).")),
    ("OnPremisesVmRunning", M, FailedBack, AS_IT_IS, |c| change_home(&mut c.facts, |vm| vm.power = Some(Power::Off)), UNREAD_HOME),
    ("VMwareToolsRunning", M, FailedBack, AS_IT_IS,
        |c| change_home(&mut c.facts, |vm| vm.tools = Some(Tools::NotRunning)), UNREAD_HOME),
    ("ProbesPassed", M, FailedBack, PROBED,
        |c| c.facts.probes = probed(&[ProbeSeen::Bad("10.1.2.3:443 cannot be connected to: refused.".to_owned())]),
        |c| c.facts.probes = probed(&[])),
];

#[test]
fn each_check_passes_fails_and_does_not_know() {
    let mut text = String::new();
    for (check, generation, stage, applies, failing, unknown) in ROWS {
        writeln!(text, "{check} ({generation:?}, {stage:?})").unwrap();
        let worlds =
            [(AS_IT_IS, CheckResult::Passed), (*failing, CheckResult::Failed), (*unknown, CheckResult::Unknown)];
        for (change, expected) in worlds {
            let mut case = if *generation == C { Case::classic(*stage) } else { Case::at(*stage) };
            applies(&mut case);
            change(&mut case);
            let outcome = case.outcome(check).unwrap_or_else(|| panic!("{check} is not told, {expected:?}"));
            assert_eq!(outcome.result, expected, "{check}: {outcome:?}");
            assert_eq!(outcome.remedy.is_empty(), expected == CheckResult::Passed, "{check}: {outcome:?}");
            writeln!(text, "  {expected:?}: {}{}", outcome.message, remedy(&outcome.remedy)).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

fn remedy(remedy: &str) -> String {
    if remedy.is_empty() { String::new() } else { format!("\n      > {remedy}") }
}

#[test]
fn no_check_is_left_out() {
    let told: BTreeSet<_> = ROWS.iter().map(|row| row.0).collect();
    let all: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(told, all);
}

#[test]
fn a_healthy_machine_passes_everything_in_both_generations() {
    for stage in Stage::ALL {
        for case in [Case::at(stage), Case::classic(stage)] {
            for outcome in case.outcomes() {
                let still_synchronising = stage == Stage::SyncingToVMware;
                assert!(outcome.result == CheckResult::Passed || still_synchronising, "{stage:?}: {outcome:?}");
            }
        }
    }
}

#[test]
fn probes_are_told_of_only_where_some_are_declared_and_an_old_look_does_not_count() {
    let mut case = Case::at(FailedBack);
    assert_eq!(case.outcome("ProbesPassed"), None);
    PROBED(&mut case);
    assert_eq!(case.outcome("ProbesPassed").unwrap().result, CheckResult::Passed);
    let Fact::Seen { value, .. } = &mut case.facts.probes else { panic!("no probes") };
    value[0].at = Some(at(-2));
    let old = case.outcome("ProbesPassed").unwrap();
    assert_eq!(
        (old.result, old.message.as_str()),
        (CheckResult::Unknown, "Probe \"https\": its last look is too old.")
    );
}

#[test]
fn what_is_for_one_generation_is_not_told_of_the_other() {
    for (case, other) in [(Case::at(FailedOver), C), (Case::classic(FailedOver), M)] {
        assert!(case.outcomes().iter().all(|outcome| outcome.check.generation != Some(other)));
    }
}

#[test]
fn a_derived_name_of_the_azure_vm_proves_no_absence() {
    let mut case = Case::at(FailedOver);
    case.facts.azure_vm = Fact::seen(AzureVm::Absent, at(0));
    change_item(&mut case.facts, |item| item.azure_vm_id_named = false);
    let outcome = case.outcome("AzureVmPresent").unwrap();
    assert_eq!(outcome.result, CheckResult::Unknown);
    assert!(outcome.remedy.contains("spec.azureVmId"), "{outcome:?}");
    case.spec.azure_vm_id = Some(AZURE_VM.to_owned());
    assert_eq!(case.outcome("AzureVmPresent").unwrap().result, CheckResult::Failed);
}

#[test]
fn a_completed_migration_is_told_when_nothing_is_offered_any_more() {
    let mut case = Case::at(Stage::InTransition);
    assert!(case.outcomes().is_empty());
    change_item(&mut case.facts, |item| item.protection_state = "MigrationCompleted".to_owned());
    assert_eq!(case.outcome("NotMigrated").unwrap().result, CheckResult::Failed);
}

#[test]
fn a_critical_replication_is_told_once_and_by_what_cannot_be_waived() {
    let mut case = Case::at(ReadyToFailBack);
    change_item(&mut case.facts, |item| item.health = Health::Critical);
    assert_eq!(case.outcome("ReplicationHealthy"), None);
    assert_eq!(case.outcome("ReprotectComplete").unwrap().result, CheckResult::Failed);
    change_item(&mut case.facts, |item| item.health = Health::Warning);
    assert_eq!(case.outcome("ReprotectComplete").unwrap().result, CheckResult::Passed);
}

#[test]
fn a_failback_that_can_only_be_undone_did_not_succeed() {
    let mut case = Case::at(FailedBack);
    only_to_be_undone(&mut case.facts);
    let told = case.outcome("FailbackSucceeded").unwrap();
    assert_eq!(told.result, CheckResult::Failed);
    assert!(told.remedy.contains("kubectl failback cancel"), "{told:?}");
    // While a call runs nothing is allowed, which says nothing.
    change_item(&mut case.facts, |item| item.allowed.clear());
    assert_eq!(case.outcome("FailbackSucceeded").unwrap().result, CheckResult::Passed);
}

/// The vault's word may be an old one: in a recording a reprotect succeeds after it.
#[test]
fn an_agent_that_is_denied_for_long_is_left_to_the_step() {
    let denied = |minutes: i64, direction: Stage| {
        let mut case = Case::at(direction);
        change_item(&mut case.facts, |item| {
            item.agent_registered = Some(false);
            item.last_failover = Some(at(-minutes)).filter(|_| direction == FailedOver);
            item.last_planned_failover = Some((PlannedFailoverStatus::Succeeded, Some(at(-minutes))));
        });
        case.outcome("AgentRegistered").unwrap().result
    };
    for stage in [FailedOver, Stage::HomeCommitted] {
        assert_eq!((denied(19, stage), denied(20, stage)), (CheckResult::Failed, CheckResult::Passed), "{stage:?}");
    }
    let mut case = Case::at(FailedOver);
    change_item(&mut case.facts, |item| (item.agent_registered, item.last_failover) = (Some(false), None));
    assert_eq!(case.outcome("AgentRegistered").unwrap().result, CheckResult::Failed, "nobody knows since when");
}

/// The agent in Azure sends heartbeats until it is shut down, in the middle of the failback.
#[test]
fn a_heartbeat_during_the_failback_is_not_that_of_the_agent_at_home() {
    let beat = |make: fn(Stage) -> Case, began: i64, at_minute: i64| {
        let mut case = make(Stage::HomeCommitted);
        // `record` ends three minutes after it began.
        case.status.history = vec![record(Verb::FailBack, OperationOutcome::Succeeded, at(began))];
        change_item(&mut case.facts, |item| {
            item.agent_heartbeat = Some(at(at_minute));
            if item.generation == Some(M) {
                item.last_planned_failover = Some((PlannedFailoverStatus::Succeeded, Some(at(began))));
            }
        });
        case.outcome("AgentRegistered").unwrap().result
    };
    for make in [Case::at, Case::classic] {
        assert_eq!(beat(make, -10, -8), CheckResult::Failed, "shut down at minute -7");
        assert_eq!(beat(make, -10, -6), CheckResult::Passed);
    }
    assert_eq!(beat(Case::at, -30, -28), CheckResult::Passed, "after 20 minutes the step tells");
    assert_eq!(beat(Case::at, -30, -31), CheckResult::Failed, "none since the failback began");
}
