//! Anything that a machine's world and records can look like, sane or not.

use failback::{
    api::{
        ApprovalStep, Claim, ClaimWaiver, DesiredPhase, Found, OperationOutcome, OperationRecord, ReplicatedItemStatus,
    },
    core::{
        action::Verb,
        checks::CHECKS,
        facts::{GroupMember, ItemFacts},
        observed::{
            ActiveLocation, AzureDisk, AzurePower, AzureVm, CurrentScenario, Direction, Fact, Generation, Health, Job,
            JobState, OnPremisesVm, Operation, PlannedFailoverStatus, Power, Replication, Scenario, Tools,
        },
        stage::Stage,
        waiting::HELD_REASONS,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::{prelude::*, sample::select};

use crate::support::{
    AZURE_VM, PHASES, at, change_site, change_targets, claim, facts, home_vm, job_of, record, status,
};

/// What goes into a decision.
#[derive(Clone, Debug)]
pub struct Anything {
    pub status: ReplicatedItemStatus,
    pub facts: ItemFacts,
}

pub fn anything() -> impl Strategy<Value = Anything> {
    // Mostly the recorded stage is the one that is seen.
    (stage(), stage(), 0..8u8)
        .prop_flat_map(|(seen, recorded, odd)| (any_status(if odd == 0 { recorded } else { seen }), any_facts(seen)))
        .prop_map(|(status, facts)| Anything { status, facts })
}

/// Mostly minutes ago, sometimes days, sometimes in the future of a clock that is wrong.
fn minute() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -45i64..=0, 1 => -5000i64..-45, 1 => 0i64..20]
}

fn stage() -> impl Strategy<Value = Stage> {
    select(Stage::ALL.to_vec())
}

fn verb() -> impl Strategy<Value = Verb> {
    select(Verb::ALL.to_vec())
}

/// Seen at some time, or unknown for a reason.
fn fact<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Fact<T>> {
    prop_oneof![
        7 => (value, minute()).prop_map(|(value, minute)| Fact::seen(value, at(minute))),
        1 => Just(Fact::unknown("It was not read.")),
    ]
}

fn any_job() -> impl Strategy<Value = Job> {
    let scenario = prop_oneof![
        6 => verb().prop_map(|verb| verb.scenario(Generation::Modernized)),
        1 => select(vec![Scenario::UnplannedFailover, Scenario::InitialReplication, Scenario::Other("Test".to_owned())]),
    ];
    let state = select(vec![
        JobState::NotStarted,
        JobState::InProgress,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Cancelled,
        JobState::Suspended,
        JobState::Other("Cancelling".to_owned()),
    ]);
    (select(vec!["j1", "j2", "j3", "J1"]), scenario, state, minute())
        .prop_map(|(id, scenario, state, minute)| job_of(id, scenario, state, at(minute)))
}

/// An item at some stage, on which some fields are something else.
fn any_item(stage: Stage) -> impl Strategy<Value = Replication> {
    let words = ["SwitchProtection", "PlannedFailover", "Commit", "CancelFailover", "CompleteMigration"];
    let change = (any::<u8>(), prop::sample::subsequence(words.to_vec(), 0..=5), minute(), any::<bool>());
    prop::collection::vec(change, 0..3).prop_map(move |changes| {
        let mut item = crate::support::replication(stage);
        for (field, words, minute, yes) in changes {
            match field % 20 {
                0 => item.allowed = words.into_iter().map(Operation::from).collect(),
                1 => item.complete = false,
                2 => item.generation = yes.then_some(Generation::Classic),
                3 => item.direction = yes.then_some(Direction::ToVMware),
                4 => item.active_location = yes.then_some(ActiveLocation::Primary),
                5 => item.protection_state = if yes { "Protected" } else { "Something new" }.to_owned(),
                6 => item.health = if yes { Health::Critical } else { Health::Unclear(String::new()) },
                7 => item.scenario = Some(CurrentScenario { name: "Busy".to_owned(), job_id: None, started: None }),
                8 => item.agent_registered = yes.then_some(false),
                9 => item.agent_heartbeat = yes.then(|| at(minute)),
                10 => {
                    let ended = if yes { PlannedFailoverStatus::Failed } else { PlannedFailoverStatus::Cancelled };
                    item.last_planned_failover = Some((ended, Some(at(minute))));
                }
                11 => item.azure_vm_id = None,
                12 => item.log_storage_account_id = None,
                13 => item.last_used_policy_id = None,
                14 => item.appliance_id = None,
                16 => item.physical = Some(yes),
                17 => item.os_name = Some("Microsoft Windows Server 2008 R2".to_owned()),
                18 => item.group = Some("group".to_owned()),
                19 => item.azure_vm_id_named = yes,
                _ => item.id = "/another".to_owned(),
            }
        }
        item
    })
}

fn any_azure_vm() -> impl Strategy<Value = AzureVm> {
    let power = select(vec![
        AzurePower::Running,
        AzurePower::Stopped,
        AzurePower::Deallocated,
        AzurePower::Between("deallocating".to_owned()),
    ]);
    prop_oneof![
        4 => power.prop_map(|power| {
            let disk = AzureDisk { name: "web-01-os".to_owned(), capacity_bytes: None };
            AzureVm::Present { id: AZURE_VM.to_owned(), power, disks: Some(vec![disk]) }
        }),
        1 => Just(AzureVm::Absent),
    ]
}

fn any_home() -> impl Strategy<Value = OnPremisesVm> {
    let power = select(vec![None, Some(Power::On), Some(Power::On), Some(Power::Off), Some(Power::Suspended)]);
    let tools = select(vec![None, Some(Tools::Running), Some(Tools::NotRunning), Some(Tools::ExecutingScripts)]);
    prop_oneof![
        6 => (power, tools).prop_map(|(power, tools)| {
            let mut vm = home_vm(Stage::FailedBack);
            (vm.power, vm.tools) = (power, tools);
            OnPremisesVm::Found(Box::new(vm))
        }),
        1 => Just(OnPremisesVm::NotFound),
        1 => Just(OnPremisesVm::Ambiguous(vec!["a".to_owned(), "b".to_owned()])),
    ]
}

/// What can be wrong around a machine.
fn any_trouble() -> impl Strategy<Value = fn(&mut ItemFacts)> {
    let troubles: Vec<fn(&mut ItemFacts)> = vec![
        |facts| {
            if let Fact::Seen { value: item, .. } = &mut facts.replication {
                (item.log_storage_account_id, item.last_used_policy_id) = (None, None);
            }
        },
        |facts| facts.site = Fact::unknown("vCenter was not read."),
        |facts| facts.locks = Fact::unknown("The locks were not read."),
        |facts| facts.locks = Fact::seen(vec!["keep".to_owned()], at(0)),
        |facts| facts.group = Fact::seen(vec![GroupMember::default()], at(0)),
        |facts| facts.home_datastores = vec!["another".to_owned()],
        |facts| change_site(facts, |site| site.targets.clear()),
        |facts| change_site(facts, |site| site.datastores.clear()),
        |facts| change_targets(facts, |target| target.disks_attached = 60),
        |facts| change_targets(facts, |target| target.target.heartbeat = None),
        |facts| change_targets(facts, |target| target.vm = Fact::seen(OnPremisesVm::NotFound, at(0))),
    ];
    select(troubles)
}

/// A healthy world in which some things are something else.
fn any_facts(stage: Stage) -> impl Strategy<Value = ItemFacts> {
    let seldom = || prop::bool::weighted(0.2);
    let parts = (
        prop::option::weighted(0.4, fact(any_item(stage))),
        prop::option::weighted(0.4, fact(prop::collection::vec(any_job(), 0..3))),
        prop::option::weighted(0.2, fact(any_azure_vm())),
        prop::option::weighted(0.2, fact(any_home())),
        (seldom(), seldom(), prop::option::weighted(0.2, any_trouble())),
    );
    parts.prop_map(move |(item, jobs, azure_vm, home, (fabric, vcenter, trouble))| {
        let mut facts = facts(stage, at(0));
        facts.replication = item.unwrap_or(facts.replication);
        facts.jobs = jobs.unwrap_or(facts.jobs);
        facts.azure_vm = azure_vm.unwrap_or(facts.azure_vm);
        facts.on_premises = home.unwrap_or(facts.on_premises);
        if fabric {
            facts.fabric = Fact::unknown("The fabric was not read.");
            facts.home_datastores.clear();
        }
        if vcenter {
            facts.vcenter = Fact::unknown("vCenter does not answer.");
        }
        if let Some(spoil) = trouble {
            spoil(&mut facts);
        }
        facts
    })
}

pub fn any_claim() -> impl Strategy<Value = Option<Claim>> {
    let words = [""; 20].into_iter().chain(HELD_REASONS).chain(["A word of another version"]);
    let word = select(words.collect::<Vec<_>>());
    let parts = (
        select(DesiredPhase::ALL.to_vec()),
        word,
        select(vec!["", "again"]),
        select(vec![0, 600]),
        any::<bool>(),
        prop::option::weighted(0.2, Just("It does not work.".to_owned())),
        any_waivers(),
        prop::option::weighted(0.3, any_found()),
    );
    prop::option::weighted(
        0.9,
        parts.prop_map(|(up_to, held_by, token, soak, ours, cancel, waivers, found)| Claim {
            found,
            cancel,
            waivers,
            plan_uid: if ours { claim(up_to).plan_uid } else { "another".to_owned() },
            held_by: held_by.to_owned(),
            retry_token: token.to_owned(),
            soak_seconds: soak,
            ..claim(up_to)
        }),
    )
}

/// What a plan noted of a machine, with a person's word or without.
fn any_found() -> impl Strategy<Value = Found> {
    let step = select(vec![ApprovalStep::FailBack, ApprovalStep::Commit]);
    (step, prop::option::of(Just("approval of Commit by ann".to_owned()))).prop_map(|(step, consent)| Found {
        step,
        at: Time(at(0)),
        retry_token: String::new(),
        approvals: Vec::new(),
        consent,
    })
}

/// Mostly none; else some checks, whether they may be waived or not.
fn any_waivers() -> impl Strategy<Value = Vec<ClaimWaiver>> {
    let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    let waive = |check: &str| ClaimWaiver { check: check.to_owned(), reason: "It is known.".to_owned() };
    let some = prop::sample::subsequence(names, 1..10);
    prop_oneof![
        4 => Just(Vec::new()),
        1 => some.prop_map(move |names| names.into_iter().map(waive).collect()),
    ]
}

fn any_record() -> impl Strategy<Value = OperationRecord> {
    let outcome = select(vec![
        OperationOutcome::Intended,
        OperationOutcome::Submitted,
        OperationOutcome::Succeeded,
        OperationOutcome::Failed,
        OperationOutcome::NotMade,
    ]);
    (verb(), outcome, minute(), select(vec![None, Some("j1"), Some("j2"), Some("gone")]), 1..7i32, any::<bool>())
        .prop_map(|(verb, outcome, minute, job, attempt, odd)| {
            let mut record = record(verb, outcome, at(minute));
            record.job_id = job.map(str::to_owned);
            record.attempt = attempt;
            record.key = format!("{}/{attempt}", record.key);
            if odd && attempt == 6 {
                record.verb = "Teleport".to_owned();
                record.ended_at = None;
            }
            record
        })
}

fn any_status(stage: Stage) -> impl Strategy<Value = ReplicatedItemStatus> {
    let operation = prop::option::weighted(0.4, any_record());
    let parts = (select(PHASES.to_vec()), any_claim(), operation, prop::collection::vec(any_record(), 0..3));
    (parts, any::<u8>()).prop_map(move |((phase, claim, operation, mut history), kind)| {
        let mut status = if kind % 8 == 0 { ReplicatedItemStatus::default() } else { status(stage, None) };
        if kind % 8 == 1 {
            status.phase = phase;
        }
        if kind % 2 == 0 {
            history.extend(status.history);
        }
        if kind % 16 == 3 {
            status.unexplained = Some("a failback, job j3, which ended as Failed".to_owned());
        }
        ReplicatedItemStatus { claim, operation, history, ..status }
    })
}
