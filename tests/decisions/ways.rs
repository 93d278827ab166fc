//! Ways home that are not the plain one: as a new VM, undone again, and with an agent that is late.

use failback::{
    api::{Claim, DecidedLocation, DesiredPhase, OperationOutcome},
    core::{
        action::Verb,
        conditions,
        facts::HomeIdentity,
        observed::{
            ActiveLocation, AzurePower, AzureVm, CurrentScenario, Fact, HealthError, JobState, OnPremisesVm, Operation,
            RunsIn, VirtualMachine,
        },
        stage::Stage,
    },
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::support::{
    AZURE_VM, DISK, change_item, claim, classic::classic, home_vm, job, list_job, only_to_be_undone, plans::Case,
    replication, run_job, status, story::Story,
};

fn cancelled(up_to: DesiredPhase) -> Option<Claim> {
    Some(Claim { cancel: Some("The application does not start.".to_owned()), ..claim(up_to) })
}

/// The VM that a reprotect to an alternate location makes: new UUIDs, the disks that site recovery names.
fn new_vm(stage: Stage) -> VirtualMachine {
    VirtualMachine {
        moref: "vm-900".to_owned(),
        instance_uuid: Some("50130000-0000-4000-8000-00000000beef".to_owned()),
        bios_uuid: Some("42130000-0000-4000-8000-00000000beef".to_owned()),
        ..home_vm(stage)
    }
}

/// Looks for the machine at home among these VMs, as the gathering does.
fn look(story: &mut Story, vms: &[VirtualMachine]) {
    let identity = HomeIdentity::of(story.facts.replication.value(), &story.status.identity);
    let found = identity.find(vms.iter());
    if matches!(found, OnPremisesVm::NotFound) {
        story.facts.home_datastores.clear();
    }
    story.facts.on_premises = Fact::seen(found, story.now());
}

#[test]
fn a_machine_whose_vm_is_gone_comes_home_as_a_new_one() {
    let mut story = Story::begin(Stage::FailedOver, status(Stage::FailedOver, Some(claim(DesiredPhase::Committed))));
    look(&mut story, &[]);
    assert!(story.pass("the original VM is gone"));
    let location = story.status.location.clone().unwrap();
    assert_eq!(location.decided, DecidedLocation::Alternate);
    story.answered(Ok("j1"));
    let done = job("j1", Verb::Reprotect, JobState::Succeeded, story.now());
    list_job(&mut story.facts, done);
    story.later(10, Stage::SyncingToVMware);
    look(&mut story, &[]);
    story.pass("replicates to VMware; the new VM does not show yet");
    story.later(10, Stage::ReadyToFailBack);
    // An old backup that carries the UUID of the machine that once was is not the machine any more.
    let clone = VirtualMachine { moref: "vm-77".to_owned(), disks: Vec::new(), ..home_vm(Stage::ReadyToFailBack) };
    look(&mut story, &[new_vm(Stage::ReadyToFailBack), clone]);
    assert!(story.pass("synchronised; the new VM is found by its disks"));
    assert_eq!(story.status.identity.moref.as_deref(), Some("vm-900"));
    assert_eq!(story.status.location.as_ref().map(|location| location.decided), Some(DecidedLocation::Alternate));
    story.answered(Ok("j2"));
    let done = job("j2", Verb::FailBack, JobState::Succeeded, story.now());
    list_job(&mut story.facts, done);
    story.later(10, Stage::FailedBack);
    look(&mut story, &[new_vm(Stage::FailedBack)]);
    assert!(story.pass("home; the commit is for the new VM"));
    insta::assert_snapshot!(story.told());
}

#[test]
fn the_new_vm_is_not_found_by_less_than_all_of_its_disks() {
    let mut story = Story::begin(Stage::SyncingToVMware, status(Stage::SyncingToVMware, None));
    story.status.identity.instance_uuid = None;
    change_item(&mut story.facts, |item| item.disks.push(item.disks[0].clone()));
    look(&mut story, &[new_vm(Stage::SyncingToVMware)]);
    assert_eq!(story.facts.on_premises.value(), Some(&OnPremisesVm::NotFound), "it has one disk only: {DISK}");
}

#[test]
fn a_failback_is_undone_when_the_plan_asks_and_does_not_begin_again() {
    let mut story = Story::begin(Stage::FailedBack, status(Stage::FailedBack, cancelled(DesiredPhase::FailedBack)));
    let failed_back = story_record(&story);
    story.status.operation = Some(failed_back);
    assert!(story.pass("the plan asks to undo it"));
    story.answered(Ok("j9"));
    let begun = story.now();
    run_job(&mut story.facts, job("j9", Verb::Cancel, JobState::InProgress, begun));
    story.pass("its job runs");
    story.facts.jobs = Fact::seen(vec![job("j9", Verb::Cancel, JobState::Succeeded, begun)], begun);
    assert!(!story.later(10, Stage::ReadyToFailBack).pass("back in Azure"));
    story.status.claim = Some(claim(DesiredPhase::FailedBack));
    assert!(!story.later(10, Stage::ReadyToFailBack).pass("the plan no longer asks; nobody said to try again"));
    story.status.claim = Some(Claim { retry_token: "again".to_owned(), ..claim(DesiredPhase::FailedBack) });
    assert!(story.later(10, Stage::ReadyToFailBack).pass("a new retry token"));
    insta::assert_snapshot!(story.told());
}

#[test]
fn what_is_allowed_tells_that_a_machine_came_home_whatever_the_active_location() {
    for stage in [Stage::FailedBack, Stage::HomeCommitted] {
        let mut item = replication(stage);
        for location in [ActiveLocation::Recovery, ActiveLocation::Primary] {
            item.active_location = Some(location);
            assert_eq!((Stage::of(&item), item.runs_in()), (stage, Some(RunsIn::VMware)), "{location:?}");
        }
    }
    // A job that ends a failback is no synchronisation.
    let mut item = replication(Stage::FailedBack);
    item.active_location = Some(ActiveLocation::Primary);
    item.allowed.clear();
    for name in ["CommitFailover", "CancelFailover", "PlannedFailover"] {
        item.scenario = Some(CurrentScenario { name: name.to_owned(), job_id: None, started: None });
        assert_eq!(Stage::of(&item), Stage::InTransition, "{name}");
    }
    // Towards Azure the same words are of the failover.
    let mut item = replication(Stage::FailedOver);
    item.allowed.push(Operation::Commit);
    assert_eq!((Stage::of(&item), item.runs_in()), (Stage::FailedOver, Some(RunsIn::Azure)));
}

/// Site recovery could neither end the failback nor revert it.
#[test]
fn a_failback_that_did_not_complete_is_not_home_and_can_be_undone() {
    let mut failed = crate::support::record(Verb::FailBack, OperationOutcome::Failed, crate::support::at(-40));
    failed.message = "Job j2: The disks could not be reverted (code 1).".to_owned();
    let before = status(Stage::ReadyToFailBack, Some(claim(DesiredPhase::FailedBack)));
    let before = failback::api::ReplicatedItemStatus { operation: Some(failed), ..before };
    // What is allowed may show one by one.
    let mut early = before.clone();
    early.operation.as_mut().unwrap().ended_at = Some(Time(crate::support::at(-1)));
    let mut story = Story::begin(Stage::FailedBack, early);
    only_to_be_undone(&mut story.facts);
    assert!(!story.pass("only to be undone, a moment after its end"));
    assert!(!conditions::is_true(&story.status.conditions, "Stalled"));

    let mut story = Story::begin(Stage::FailedBack, before);
    for location in [ActiveLocation::Primary, ActiveLocation::Recovery] {
        change_item(&mut story.facts, |item| item.active_location = Some(location));
        only_to_be_undone(&mut story.facts);
        assert!(!story.pass("only to be undone"));
        assert!(conditions::is_true(&story.status.conditions, "Stalled"));
        for condition in ["FailedBack", "Verified", "Committed"] {
            assert!(!conditions::is_true(&story.status.conditions, condition), "{condition}");
        }
        assert_eq!(story.status.runs_in, None);
    }
    story.status.claim = Some(claim(DesiredPhase::Committed));
    assert!(!story.pass("nor is it committed"));

    // The plan does not take it for home, and a person can ask for its undoing.
    let mut case = Case::new("FailedBack", &[&[("a", Stage::FailedBack)]]);
    case.items.insert("a".to_owned(), story.status.clone());
    case.pass();
    assert!(!conditions::is_true(&case.status.conditions, "Ready"), "{:?}", case.status);
    case.spec.cancel = serde_json::from_value(serde_json::json!([{ "reason": "It did not complete." }])).unwrap();
    case.pass();
    story.status.claim = case.items["a"].claim.clone();
    assert_eq!(story.status.claim.as_ref().and_then(|claim| claim.cancel.as_deref()), Some("It did not complete."));
    assert!(story.pass("the plan asks to undo it"));
    story.answered(Ok("j9"));
    let done = job("j9", Verb::Cancel, JobState::Succeeded, story.now());
    list_job(&mut story.facts, done);
    assert!(!story.later(10, Stage::ReadyToFailBack).pass("back in Azure"));
    insta::assert_snapshot!(story.told());
}

#[test]
fn a_failback_is_undone_once_the_machine_is_seen_running_in_azure() {
    let mut story = Story::begin(Stage::FailedBack, status(Stage::FailedBack, cancelled(DesiredPhase::FailedBack)));
    let failed_back = story_record(&story);
    story.status.operation = Some(failed_back);
    assert!(story.pass("the plan asks to undo it"));
    story.answered(Ok("j9"));
    let done = job("j9", Verb::Cancel, JobState::Succeeded, story.now());
    list_job(&mut story.facts, done);
    let azure = |story: &mut Story, power| {
        let vm = AzureVm::Present { id: AZURE_VM.to_owned(), power, disks: None };
        story.facts.azure_vm = Fact::seen(vm, story.now());
    };
    let source = |story: &Story| {
        let stopped = conditions::find(&story.status.conditions, "SourceStopped").unwrap();
        format!("{} {}: {}", stopped.status, stopped.reason, stopped.message)
    };
    story.later(5, Stage::ReadyToFailBack);
    azure(&mut story, AzurePower::Deallocated);
    assert!(!story.pass("its job succeeded; the VM is not seen running yet"));
    assert_eq!(source(&story), "True Stopped: The machine in Azure is deallocated.");
    story.later(5, Stage::ReadyToFailBack);
    story.facts.azure_vm = Fact::unknown("Azure refuses to read the VM (403).");
    assert!(!story.pass("the VM cannot be read"));
    assert_eq!(source(&story), "Unknown NotObserved: Azure refuses to read the VM (403).");
    story.later(20, Stage::ReadyToFailBack);
    azure(&mut story, AzurePower::Deallocated);
    assert!(!story.pass("nor is it after a quarter of an hour"));
    assert!(conditions::is_true(&story.status.conditions, "Stalled"));
    story.facts.azure_vm = Fact::seen(AzureVm::Absent, story.now());
    assert!(!story.pass("somebody deleted it"));
    story.later(5, Stage::ReadyToFailBack);
    assert!(!story.pass("somebody started it"));
    assert_eq!(source(&story), "False RunsInAzure: The machine runs in Azure.");
    insta::assert_snapshot!(story.told());
}

fn story_record(story: &Story) -> failback::api::OperationRecord {
    crate::support::record(
        Verb::FailBack,
        OperationOutcome::Succeeded,
        story.now() - jiff::SignedDuration::from_mins(60),
    )
}

#[test]
fn what_keeps_a_failback_from_being_undone() {
    let mut told = Vec::new();
    let mut tell = |what: &str, spoil: &dyn Fn(&mut Story)| {
        let mut story = Story::begin(Stage::FailedBack, status(Stage::FailedBack, cancelled(DesiredPhase::Committed)));
        spoil(&mut story);
        assert!(!story.pass(what), "{what}: it acts");
        told.push(story.told());
    };
    tell("the classic generation", &|story| story.facts = classic(Stage::FailedBack, story.now()));
    tell("it is not offered", &|story| {
        change_item(&mut story.facts, |item| item.allowed.retain(|word| word.to_string() == "Commit"));
    });
    tell("the Azure VM is gone", &|story| {
        story.facts.azure_vm = Fact::seen(failback::core::observed::AzureVm::Absent, story.now());
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_agent_that_is_late_is_waited_for_and_one_that_never_comes_is_a_failure() {
    let mut story = Story::begin(Stage::FailedOver, status(Stage::FailedOver, Some(claim(DesiredPhase::Reprotected))));
    let mut attempts = 0;
    while story.minute < 600 {
        if story.pass("ready") {
            attempts += 1;
            let id = format!("j{attempts}");
            story.answered(Ok(&id));
            let mut failed = job(&id, Verb::Reprotect, JobState::Failed, story.now());
            failed.errors.push(HealthError {
                code: "95226".to_owned(),
                message: "The mobility agent is not installed on the machine".to_owned(),
                ..HealthError::default()
            });
            list_job(&mut story.facts, failed);
        }
        story.later(5, Stage::FailedOver);
    }
    let told = story.told();
    assert!(told.contains("AgentNotRegistered"));
    let (waits, failures) = (told.matches("takes up to 15 minutes").count(), told.matches("OperationFailed").count());
    assert!(waits >= 3 && failures >= 1 && attempts >= 6, "{waits} {failures} {attempts}\n{told}");
}
