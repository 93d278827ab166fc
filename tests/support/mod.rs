//! A healthy world at each stage of the journey, and what is declared and recorded about it. Tests take it and change
//! what they are about.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod classic;
pub mod plans;
pub mod show;
pub mod story;

use failback::{
    api::{
        Claim, DesiredPhase, Identity, ItemPhase, OperationOutcome, OperationRecord, Reference, ReplicatedItemSpec,
        ReplicatedItemStatus,
    },
    core::{
        action::Verb,
        decide::item::{ItemDecision, ItemInput, decide},
        facts::{ItemFacts, SiteFacts, TargetFacts},
        journal,
        observed::{
            ActiveLocation, AzureDisk, AzurePower, AzureVm, Component, CurrentScenario, Datastore, Details, Direction,
            Fabric, Fact, Generation, Health, Host, Job, JobState, KnownVCenter, Mount, OnPremisesVm, Operation,
            OsFamily, PlannedFailoverStatus, Power, ProcessServer, ReplicatedDisk, Replication, ReplicationProgress,
            ReprotectTarget, Scenario, Tools, VCenterAbout, VirtualDisk, VirtualMachine,
        },
        stage::Stage,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub const ITEM: &str = "/Subscriptions/s/vaults/v/replicationFabrics/f/replicationProtectedItems/web-01";
pub const AZURE_VM: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web-01";
pub const UUID: &str = "5013a427-875d-d00f-8488-ae04c6780453";
/// UUID of its virtual disk at home.
pub const DISK: &str = "6000c29a-0000-4000-8000-000000000001";
pub const PLAN: &str = "c0ffee00-0000-4000-8000-000000000001";

/// Minutes after the beginning of a test's time.
pub fn at(minutes: i64) -> Timestamp {
    let begin: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    begin + SignedDuration::from_mins(minutes)
}

/// What is declared of the machine: nothing that could be found out.
pub fn spec() -> ReplicatedItemSpec {
    let reference = |name: &str| Reference { name: name.to_owned() };
    ReplicatedItemSpec {
        vault_ref: reference("vault"),
        vcenter_ref: reference("vcenter"),
        machine: "web-01".to_owned(),
        ..ReplicatedItemSpec::default()
    }
}

/// The replicated item at a stage, as the modernized generation shows it.
pub fn replication(stage: Stage) -> Replication {
    use ActiveLocation::{Primary, Recovery};
    use Direction::{ToAzure, ToVMware};
    let (direction, active, state, allowed): (_, _, _, &[&str]) = match stage {
        Stage::FailedOver => {
            (ToAzure, Recovery, "UnplannedFailoverCommitted", &["CompleteMigration", "SwitchProtection"])
        }
        Stage::SyncingToVMware => (ToVMware, Primary, "InitialReplicationInProgress", &["DisableProtection"]),
        Stage::ReadyToFailBack => (ToVMware, Primary, "Protected", &["PlannedFailover", "DisableProtection"]),
        Stage::FailedBack => (ToVMware, Recovery, "PlannedFailoverCommitPending", &["Commit", "CancelFailover"]),
        Stage::HomeCommitted => {
            (ToVMware, Recovery, "PlannedFailoverCommitted", &["DisableProtection", "SwitchProtection"])
        }
        Stage::SyncingToAzure => (ToAzure, Primary, "InitialReplicationInProgress", &["DisableProtection"]),
        Stage::ProtectedToAzure => (ToAzure, Primary, "Protected", &["UnplannedFailover", "TestFailover"]),
        Stage::InTransition | Stage::Unknown => (ToVMware, Recovery, "PlannedFailoverCommitPending", &[]),
    };
    let known = stage != Stage::Unknown;
    let syncing = matches!(stage, Stage::SyncingToVMware | Stage::SyncingToAzure);
    let came_home = matches!(stage, Stage::FailedBack | Stage::HomeCommitted);
    Replication {
        id: ITEM.to_owned(),
        name: "web-01-item".to_owned(),
        friendly_name: "web-01".to_owned(),
        complete: true,
        generation: known.then_some(Generation::Modernized),
        direction: known.then_some(direction),
        instance_type: match (known, direction) {
            (false, _) => "A2A",
            (true, ToAzure) => "InMageRcm",
            (true, ToVMware) => "InMageRcmFailback",
        }
        .to_owned(),
        active_location: Some(active),
        protection_state: state.to_owned(),
        protection_state_description: String::new(),
        allowed: allowed.iter().map(|word| Operation::from(*word)).collect(),
        health: Health::Normal,
        health_errors: Vec::new(),
        scenario: None,
        agent_registered: (direction == ToAzure).then_some(true),
        agent_heartbeat: Some(at(-1)),
        last_planned_failover: came_home.then(|| (PlannedFailoverStatus::Succeeded, Some(at(-30)))),
        last_failover: Some(at(-600)),
        progress: ReplicationProgress { percent: syncing.then_some(40), ..ReplicationProgress::default() },
        os: Some(OsFamily::Linux),
        azure_vm_id: Some(AZURE_VM.to_owned()),
        instance_uuid: (direction == ToAzure).then(|| UUID.to_owned()),
        vcenter_name: Some("vcenter01".to_owned()),
        target_vm_name: Some("web-01".to_owned()),
        datastores: vec!["datastore1".to_owned()],
        disks: vec![ReplicatedDisk {
            id: "disk-0".to_owned(),
            name: "web-01-os".to_owned(),
            capacity_bytes: Some(40 << 30),
            vmdk_uuid: (direction == ToVMware).then(|| DISK.to_owned()),
        }],
        log_storage_account_id: Some("/storageAccounts/cache".to_owned()),
        last_used_policy_id: Some("/replicationPolicies/forward".to_owned()),
        policy_id: Some("/replicationPolicies/current".to_owned()),
        appliance_id: Some("appliance-1".to_owned()),
        azure_vm_id_named: true,
        fabric_id: "/replicationFabrics/f".to_owned(),
        ..Replication::default()
    }
}

/// The failed-over machine as it is at a stage.
pub fn azure_vm(stage: Stage) -> AzureVm {
    let power = match stage {
        Stage::FailedOver | Stage::SyncingToVMware | Stage::ReadyToFailBack | Stage::Unknown => AzurePower::Running,
        Stage::FailedBack | Stage::InTransition => AzurePower::Deallocated,
        Stage::HomeCommitted | Stage::SyncingToAzure | Stage::ProtectedToAzure => return AzureVm::Absent,
    };
    let disk = AzureDisk { name: "web-01-os".to_owned(), capacity_bytes: Some(40 << 30) };
    AzureVm::Present { id: AZURE_VM.to_owned(), power, disks: Some(vec![disk]) }
}

/// The VM at home as it is at a stage.
pub fn home_vm(stage: Stage) -> VirtualMachine {
    let runs = !matches!(stage, Stage::FailedOver | Stage::SyncingToVMware | Stage::ReadyToFailBack | Stage::Unknown);
    VirtualMachine {
        moref: "vm-62".to_owned(),
        name: "web-01".to_owned(),
        instance_uuid: Some(UUID.to_owned()),
        power: Some(if runs { Power::On } else { Power::Off }),
        tools: Some(if runs { Tools::Running } else { Tools::NotRunning }),
        host: Some("host-1".to_owned()),
        datastores: vec!["datastore-1".to_owned()],
        disks: vec![VirtualDisk {
            label: "Hard disk 1".to_owned(),
            uuid: Some(DISK.to_owned()),
            capacity_bytes: Some(40 << 30),
            datastore: Some("datastore-1".to_owned()),
            ..VirtualDisk::default()
        }],
        ..VirtualMachine::default()
    }
}

/// The fabric with one appliance in it, at the beginning of a test's time.
pub fn fabric() -> Fabric {
    fabric_at(at(0))
}

/// The fabric, whose parts were heard a minute before.
pub fn fabric_at(now: Timestamp) -> Fabric {
    let heard = Some(now - SignedDuration::from_mins(1));
    let component = |kind| Component {
        kind,
        name: "appliance01".to_owned(),
        health: Health::Normal,
        health_errors: Vec::new(),
        heartbeat: heard,
    };
    let vcenter = KnownVCenter {
        name: "vcenter01".to_owned(),
        address: "vcenter01.example.com".to_owned(),
        instance_uuid: Some("vc-1".to_owned()),
        heartbeat: heard,
        ..KnownVCenter::default()
    };
    Fabric {
        id: "/replicationFabrics/f".to_owned(),
        name: "fabric".to_owned(),
        generation: Some(Generation::Modernized),
        health: Health::Normal,
        targets: vec![ReprotectTarget {
            id: "appliance-1".to_owned(),
            name: "appliance01".to_owned(),
            health: Health::Normal,
            health_errors: Vec::new(),
            heartbeat: heard,
            version: "9.1".to_owned(),
            datastores: vec!["datastore1".to_owned()],
            protected_items: Some(1),
            vcenter_name: Some("vcenter01".to_owned()),
            components: vec![component("process server"), component("reprotect agent")],
            ..ReprotectTarget::default()
        }],
        process_servers: vec![ProcessServer {
            id: "appliance-1".to_owned(),
            name: "appliance01".to_owned(),
            health: Health::Normal,
            heartbeat: heard,
        }],
        vcenters: Fact::seen(vec![vcenter], now),
        ..Fabric::default()
    }
}

/// What vCenter has around the machine: one host with one datastore, the appliance's VM on it.
pub fn site_at(now: Timestamp) -> SiteFacts {
    let datastore = Datastore {
        moref: "datastore-1".to_owned(),
        name: "datastore1".to_owned(),
        kind: Some("VMFS".to_owned()),
        accessible: Some(true),
        free_bytes: Some(1 << 42),
        capacity_bytes: Some(1 << 43),
        mounts: Some(vec![Mount { host: "host-1".to_owned(), writable: true, usable: true }]),
    };
    let host = Host {
        moref: "host-1".to_owned(),
        name: "esx01.example.com".to_owned(),
        connection: Some("connected".to_owned()),
        maintenance: Some(false),
        datastores: vec!["datastore-1".to_owned()],
        cluster: Some("cluster01".to_owned()),
        unreadable: Vec::new(),
    };
    let appliance = VirtualMachine {
        moref: "vm-7".to_owned(),
        name: "appliance01".to_owned(),
        host: Some("host-1".to_owned()),
        power: Some(Power::On),
        snapshots: Some(0),
        disk_enable_uuid: Some(true),
        ..VirtualMachine::default()
    };
    let target = TargetFacts {
        target: fabric_at(now).targets.remove(0),
        object: None,
        vm: Fact::seen(OnPremisesVm::Found(Box::new(appliance)), now),
        disks_attached: 0,
        disks_planned: 0,
        disks_own: 0,
        disk_limit: 60,
    };
    SiteFacts {
        datastores: vec![datastore.into()],
        hosts: vec![host.into()],
        targets: vec![target],
        namesakes: Vec::new(),
    }
}

/// Everything, seen at `now`, of a healthy machine at a stage.
pub fn facts(stage: Stage, now: Timestamp) -> ItemFacts {
    let about =
        VCenterAbout { instance_uuid: "vc-1".to_owned(), version: "8.0.3".to_owned(), full_name: String::new() };
    let replication = Replication { agent_heartbeat: Some(now.max(at(-1))), ..replication(stage) };
    ItemFacts {
        replication: Fact::seen(replication, now),
        unread: None,
        described_by: None,
        jobs: Fact::seen(Vec::new(), now),
        azure_vm: Fact::seen(azure_vm(stage), now),
        vcenter: Fact::seen(about, now),
        on_premises: Fact::seen(OnPremisesVm::Found(Box::new(home_vm(stage))), now),
        home_datastores: vec!["datastore1".to_owned()],
        fabric: Fact::seen(fabric_at(now), now),
        appliance: Fact::seen(None, now),
        site: Fact::seen(site_at(now), now),
        recovery_points: Fact::seen(Vec::new(), now),
        locks: Fact::seen(Vec::new(), now),
        policies: Fact::seen(Vec::new(), now),
        group: Fact::seen(Vec::new(), now),
        configuration_server_backup: None,
        probes: Fact::seen(Vec::new(), now),
    }
}

/// Changes the targets of the fabric as they were seen, everywhere.
pub fn change_targets(facts: &mut ItemFacts, change: impl Fn(&mut TargetFacts)) {
    change_site(facts, |site| site.targets.iter_mut().for_each(change));
}

/// Changes what vCenter has around the machine.
pub fn change_site(facts: &mut ItemFacts, change: impl FnOnce(&mut SiteFacts)) {
    let Fact::Seen { value, .. } = &mut facts.site else { panic!("the site was not seen") };
    change(value);
}

/// Changes the fabric as it was seen.
pub fn change_fabric(facts: &mut ItemFacts, change: impl FnOnce(&mut Fabric)) {
    let Fact::Seen { value, .. } = &mut facts.fabric else { panic!("the fabric was not seen") };
    change(value);
}

/// Changes the item as it was seen.
pub fn change_item(facts: &mut ItemFacts, change: impl FnOnce(&mut Replication)) {
    let Fact::Seen { value, .. } = &mut facts.replication else { panic!("the item was not seen") };
    change(value);
}

/// A failback that did not complete: all that is allowed is to undo it.
pub fn only_to_be_undone(facts: &mut ItemFacts) {
    change_item(facts, |item| item.allowed = vec![Operation::CancelFailover]);
}

/// Changes the VM at home as it was seen.
pub fn change_home(facts: &mut ItemFacts, change: impl FnOnce(&mut VirtualMachine)) {
    let Fact::Seen { value: OnPremisesVm::Found(vm), .. } = &mut facts.on_premises else { panic!("no VM at home") };
    change(vm);
}

/// What Azure shows while a job runs: the item busy with it, nothing allowed.
pub fn run_job(facts: &mut ItemFacts, job: Job) {
    let scenario =
        CurrentScenario { name: format!("{:?}", job.scenario), job_id: Some(job.id.clone()), started: job.started };
    change_item(facts, |item| {
        item.scenario = Some(scenario);
        item.allowed.clear();
    });
    list_job(facts, job);
}

/// Puts a job at the head of the vault's list.
pub fn list_job(facts: &mut ItemFacts, job: Job) {
    let Fact::Seen { value, .. } = &mut facts.jobs else { panic!("no jobs were seen") };
    value.insert(0, job);
}

/// A job of a verb.
pub fn job(id: &str, verb: Verb, state: JobState, started: Timestamp) -> Job {
    job_of(id, verb.scenario(Generation::Modernized), state, started)
}

/// A job of any scenario.
pub fn job_of(id: &str, scenario: Scenario, state: JobState, started: Timestamp) -> Job {
    let ended = matches!(state, JobState::Succeeded | JobState::Failed | JobState::Cancelled);
    Job {
        id: id.to_owned(),
        scenario,
        ended: ended.then(|| started + SignedDuration::from_mins(3)),
        state,
        state_description: String::new(),
        target_id: "web-01-item".to_owned(),
        target_name: "web-01".to_owned(),
        started: Some(started),
        current_task: None,
        errors: Vec::new(),
        details: Details::Read,
    }
}

/// A plan's claim that lets the item go so far.
pub fn claim(up_to: DesiredPhase) -> Claim {
    Claim {
        plan: "plan".to_owned(),
        plan_uid: PLAN.to_owned(),
        up_to,
        held_by: String::new(),
        held_message: String::new(),
        ..Claim::default()
    }
}

/// A claim that holds the item where it is.
pub fn held(by: &str) -> Claim {
    Claim { held_by: by.to_owned(), held_message: format!("Because of {by}."), ..claim(DesiredPhase::Assessed) }
}

/// A record of the journal.
pub fn record(verb: Verb, outcome: OperationOutcome, intended: Timestamp) -> OperationRecord {
    let ended = matches!(outcome, OperationOutcome::Succeeded | OperationOutcome::Failed | OperationOutcome::NotMade);
    OperationRecord {
        outcome,
        ended_at: ended.then(|| Time(intended + SignedDuration::from_mins(3))),
        message: if ended { "As told.".to_owned() } else { String::new() },
        ..journal::intend(verb, &claim(DesiredPhase::Protected), None, intended)
    }
}

/// Who the machine is, once it was seen.
pub fn identity() -> Identity {
    Identity {
        item_id: Some(ITEM.to_owned()),
        azure_vm_id: Some(AZURE_VM.to_owned()),
        instance_uuid: Some(UUID.to_owned()),
        bios_uuid: None,
        moref: Some("vm-62".to_owned()),
    }
}

/// The status of an item that was seen at a stage some passes ago. One that was failed back was so by the plan.
pub fn status(stage: Stage, claim: Option<Claim>) -> ReplicatedItemStatus {
    let failed_back = record(Verb::FailBack, OperationOutcome::Succeeded, at(-90));
    let history = if stage == Stage::FailedBack { vec![failed_back] } else { Vec::new() };
    let fresh =
        ReplicatedItemStatus { phase: stage.phase(), identity: identity(), history, ..ReplicatedItemStatus::default() };
    let seen = decide_on(&fresh, &facts(stage, at(-60)), at(-60)).status;
    ReplicatedItemStatus { claim, ..seen }
}

/// Decides.
pub fn decide_on(status: &ReplicatedItemStatus, facts: &ItemFacts, now: Timestamp) -> ItemDecision {
    decide_with(&spec(), status, facts, now)
}

/// Decides on what is declared beside that.
pub fn decide_with(
    spec: &ReplicatedItemSpec,
    status: &ReplicatedItemStatus,
    facts: &ItemFacts,
    now: Timestamp,
) -> ItemDecision {
    decide(&ItemInput { spec, status, generation: Some(1), facts, leading_since: Timestamp::UNIX_EPOCH, now })
}

/// Every phase that an item can show.
pub const PHASES: [ItemPhase; 11] = [
    ItemPhase::Unknown,
    ItemPhase::FailedOver,
    ItemPhase::Reprotecting,
    ItemPhase::Reprotected,
    ItemPhase::FailingBack,
    ItemPhase::FailedBack,
    ItemPhase::Cancelling,
    ItemPhase::Committing,
    ItemPhase::Committed,
    ItemPhase::Protecting,
    ItemPhase::Protected,
];
