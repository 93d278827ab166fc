//! What happens to one machine over time, told pass by pass.

use failback::{
    api::{Claim, DesiredPhase, LocationChoice, OperationOutcome, ReplicatedItemStatus},
    core::{
        action::Verb,
        conditions,
        decide::{
            Next,
            item::{ItemInput, decide},
        },
        failure::FailureClass,
        journal::settled_at,
        observed::{
            AzurePower, AzureVm, Details, Fact, Health, HealthError, Job, JobState, OnPremisesVm,
            PlannedFailoverStatus, Scenario,
        },
        stage::Stage,
        waiting::WaitingOn,
    },
};

use jiff::{SignedDuration, Timestamp};

use crate::support::{
    AZURE_VM, at, change_home, change_item, change_targets, claim, facts, held, job, job_of, list_job,
    only_to_be_undone, record, run_job, spec, status, story::Story,
};

fn to(phase: DesiredPhase) -> Option<Claim> {
    Some(claim(phase))
}

fn story(stage: Stage, claim: Option<Claim>) -> Story {
    Story::begin(stage, status(stage, claim))
}

#[test]
fn the_whole_journey() {
    let mut story = Story::begin(Stage::FailedOver, ReplicatedItemStatus::default());
    story.pass("seen for the first time, unclaimed");
    story.status.claim = to(DesiredPhase::Protected);
    let legs = [
        (Verb::Reprotect, "j1", Stage::SyncingToVMware),
        (Verb::FailBack, "j2", Stage::FailedBack),
        (Verb::Commit, "j3", Stage::HomeCommitted),
        (Verb::Protect, "j4", Stage::SyncingToAzure),
    ];
    let mut called = story.pass("claimed");
    for (verb, id, arrives) in legs {
        assert!(called, "{verb} is not called");
        story.answered(Ok(id));
        let started = story.now();
        run_job(&mut story.facts, job(id, verb, JobState::InProgress, started));
        story.pass("its job runs");
        story.facts.jobs = Fact::seen(vec![job(id, verb, JobState::Succeeded, started)], started);
        called = story.later(10, arrives).pass("its job succeeded");
        if arrives == Stage::SyncingToVMware {
            called = story.later(10, Stage::ReadyToFailBack).pass("synchronised");
        }
    }
    story.later(10, Stage::ProtectedToAzure).pass("synchronised");
    insta::assert_snapshot!(story.told());
}

#[test]
fn a_lost_answer_is_adopted() {
    let mut story = story(Stage::ReadyToFailBack, to(DesiredPhase::FailedBack));
    story.pass("ready");
    story.answered(Err(FailureClass::Lost)).pass("no answer came");
    let started = story.now();
    story.later(1, Stage::ReadyToFailBack);
    run_job(&mut story.facts, job("j1", Verb::FailBack, JobState::InProgress, started));
    story.pass("the vault lists a job");
    insta::assert_snapshot!(story.told());
}

#[test]
fn a_queued_job_that_has_no_start_yet_is_adopted() {
    let mut story = story(Stage::ReadyToFailBack, to(DesiredPhase::FailedBack));
    story.pass("ready");
    story.answered(Err(FailureClass::Lost)).later(3, Stage::ReadyToFailBack);
    let queued = job("j1", Verb::FailBack, JobState::NotStarted, story.now());
    list_job(&mut story.facts, Job { started: None, ..queued });
    assert!(!story.pass("the item does not show it"), "nothing is called again");
    let record = story.status.operation.unwrap();
    assert_eq!((record.outcome, record.job_id.as_deref()), (OperationOutcome::Submitted, Some("j1")));
}

#[test]
fn nothing_was_started_so_the_call_is_made_again() {
    let mut story = story(Stage::ReadyToFailBack, to(DesiredPhase::FailedBack));
    story.pass("ready; the process dies after it wrote the intent");
    story.later(1, Stage::ReadyToFailBack).pass("started again; too early to tell");
    story.later(3, Stage::ReadyToFailBack).pass("neither a job nor an effect");
    story.later(1, Stage::ReadyToFailBack).pass("after a pause");
    insta::assert_snapshot!(story.told());
}

#[test]
fn an_outcome_that_nobody_can_tell_waits_for_a_person() {
    let mut story = story(Stage::FailedBack, to(DesiredPhase::Committed));
    story.pass("ready");
    story.answered(Err(FailureClass::Lost));
    story.later(31, Stage::FailedBack).facts.jobs = Fact::unknown("the vault refuses to list its jobs (403)");
    story.pass("half an hour without a list of jobs");
    story.status.claim = Some(Claim { retry_token: "looked-into-it".to_owned(), ..claim(DesiredPhase::Committed) });
    story.pass("a new retry token; the jobs are still unknown");
    story.facts.jobs = Fact::seen(Vec::new(), story.now());
    story.pass("the jobs can be read again");
    insta::assert_snapshot!(story.told());
}

#[test]
fn a_failed_failback_waits_for_a_retry_token() {
    let mut story = story(Stage::ReadyToFailBack, to(DesiredPhase::Protected));
    story.pass("ready");
    story.answered(Ok("j1"));
    let mut failed = job("j1", Verb::FailBack, JobState::Failed, story.now());
    failed.errors.push(HealthError {
        code: "8038".to_owned(),
        message: "The virtual machine could not be started".to_owned(),
        causes: "The host lacks memory.".to_owned(),
        action: "Free memory on the host.".to_owned(),
        level: "Error".to_owned(),
    });
    list_job(&mut story.facts, failed);
    story.later(10, Stage::ReadyToFailBack).pass("the job failed and was reverted");
    story.later(600, Stage::ReadyToFailBack).pass("ten hours later");
    story.status.claim = Some(Claim { retry_token: "again".to_owned(), ..claim(DesiredPhase::Protected) });
    story.pass("a new retry token");
    insta::assert_snapshot!(story.told());
}

#[test]
fn what_a_failed_failback_left_at_home_is_not_committed() {
    let mut ours = story(Stage::ReadyToFailBack, to(DesiredPhase::Committed));
    ours.pass("ready");
    ours.answered(Ok("j1"));
    let failed = job("j1", Verb::FailBack, JobState::Failed, ours.now());
    list_job(&mut ours.facts, failed);
    ours.later(10, Stage::FailedBack).pass("our job failed, and a commit is offered all the same");

    let mut portal = story(Stage::FailedBack, to(DesiredPhase::Committed));
    change_item(&mut portal.facts, |item| item.last_planned_failover = Some((PlannedFailoverStatus::Failed, None)));
    portal.pass("somebody's failover failed, and a commit is offered all the same");
    insta::assert_snapshot!([ours.told(), portal.told()].join("\n\n"));
}

#[test]
fn what_is_reverted_in_the_portal_is_not_done_again() {
    let mut story = story(Stage::ReadyToFailBack, to(DesiredPhase::FailedBack));
    story.pass("ready");
    story.answered(Ok("j1"));
    let done = job("j1", Verb::FailBack, JobState::Succeeded, story.now());
    list_job(&mut story.facts, done);
    story.later(10, Stage::FailedBack).pass("home");
    story.later(5, Stage::FailedBack);
    let cancel = job("j2", Verb::Cancel, JobState::InProgress, story.now());
    run_job(&mut story.facts, cancel);
    story.pass("somebody cancels in the portal");
    let cancelled = job("j2", Verb::Cancel, JobState::Succeeded, story.now());
    story.facts.jobs = Fact::seen(vec![cancelled], story.now());
    story.later(10, Stage::ReadyToFailBack).pass("back in Azure");
    story.status.claim = Some(Claim { retry_token: "again".to_owned(), ..claim(DesiredPhase::FailedBack) });
    story.pass("a new retry token");
    insta::assert_snapshot!(story.told());
}

#[test]
fn jobs_that_others_start() {
    // Each shows an item that is busy, so that nothing is permitted.
    let mut told = Vec::new();
    let cases = [
        ("reprotected in the portal", Stage::FailedOver, Scenario::Reprotect, DesiredPhase::Reprotected),
        ("failed back in the portal", Stage::ReadyToFailBack, Scenario::PlannedFailover, DesiredPhase::Protected),
        ("failed back, beyond the claim", Stage::ReadyToFailBack, Scenario::PlannedFailover, DesiredPhase::Reprotected),
        ("committed in the portal", Stage::FailedBack, Scenario::Commit, DesiredPhase::Committed),
        ("cancelled in the portal", Stage::FailedBack, Scenario::Cancel, DesiredPhase::Protected),
        ("protected in the portal", Stage::HomeCommitted, Scenario::Reprotect, DesiredPhase::Protected),
        ("its failover to Azure committed", Stage::FailedOver, Scenario::Commit, DesiredPhase::Protected),
        ("failed over to Azure again", Stage::ProtectedToAzure, Scenario::UnplannedFailover, DesiredPhase::Protected),
    ];
    for (what, stage, scenario, up_to) in cases {
        let mut story = story(stage, to(up_to));
        run_job(&mut story.facts, job_of("p1", scenario, JobState::InProgress, at(0)));
        story.pass(what);
        told.push(story.told());
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_keeps_a_machine_from_its_next_step() {
    let mut told = Vec::new();
    let mut tell = |what: &str, stage: Stage, up_to: DesiredPhase, spoil: &dyn Fn(&mut Story)| {
        let mut story = story(stage, to(up_to));
        spoil(&mut story);
        assert!(!story.pass(what), "{what}: it acts");
        told.push(story.told());
    };
    let on = |power| Fact::seen(AzureVm::Present { id: AZURE_VM.to_owned(), power, disks: None }, at(0));

    tell("the Azure VM runs after the failback", Stage::FailedBack, DesiredPhase::Committed, &|story| {
        story.facts.azure_vm = on(AzurePower::Running);
    });
    tell("the Azure VM is on its way down", Stage::FailedBack, DesiredPhase::Committed, &|story| {
        story.facts.azure_vm = on(AzurePower::Between("deallocating".to_owned()));
    });
    tell("Tools do not run yet", Stage::FailedBack, DesiredPhase::Committed, &|story| {
        change_home(&mut story.facts, |vm| vm.tools = None);
    });
    tell("two VMs at home have the UUID", Stage::FailedBack, DesiredPhase::Committed, &|story| {
        let twins = vec!["web-01 (vm-62)".to_owned(), "web-01-copy (vm-70)".to_owned()];
        story.facts.on_premises = Fact::seen(OnPremisesVm::Ambiguous(twins), at(0));
    });
    tell("two VMs at home have the UUID", Stage::FailedOver, DesiredPhase::Reprotected, &|story| {
        let twins = vec!["web-01 (vm-62)".to_owned(), "web-01-copy (vm-70)".to_owned()];
        story.facts.on_premises = Fact::seen(OnPremisesVm::Ambiguous(twins), at(0));
    });
    tell("the original VM is asked for, and is gone", Stage::FailedOver, DesiredPhase::Reprotected, &|story| {
        story.spec.location = LocationChoice::Original;
        story.facts.on_premises = Fact::seen(OnPremisesVm::NotFound, at(0));
    });
    tell("the agent has not registered", Stage::FailedOver, DesiredPhase::Reprotected, &|story| {
        change_item(&mut story.facts, |item| {
            item.agent_registered = Some(false);
            item.last_failover = Some(at(-5));
        });
    });
    tell("the datastore is out of the appliance's reach", Stage::FailedOver, DesiredPhase::Reprotected, &|story| {
        story.facts.home_datastores = vec!["vsan-1".to_owned()];
    });
    tell("no appliance works", Stage::FailedOver, DesiredPhase::Reprotected, &|story| {
        change_targets(&mut story.facts, |target| target.target.health = Health::Critical);
    });
    tell("vCenter cannot be reached", Stage::ReadyToFailBack, DesiredPhase::FailedBack, &|story| {
        story.facts.vcenter = Fact::unknown("vCenter does not answer.");
    });
    tell("a person has to confirm a job", Stage::ReadyToFailBack, DesiredPhase::FailedBack, &|story| {
        run_job(&mut story.facts, job("p1", Verb::FailBack, JobState::Suspended, at(0)));
    });
    tell("only the list was read", Stage::ReadyToFailBack, DesiredPhase::FailedBack, &|story| {
        change_item(&mut story.facts, |item| item.complete = false);
    });
    tell("the jobs are unknown", Stage::ReadyToFailBack, DesiredPhase::FailedBack, &|story| {
        story.facts.jobs = Fact::unknown("The jobs have not been read.");
    });
    tell("not in the vault", Stage::Unknown, DesiredPhase::FailedBack, &|story| {
        story.facts.replication = Fact::unknown("The vault has no item \"web-01\".");
    });
    tell("committed, the copy in Azure lingers", Stage::HomeCommitted, DesiredPhase::Committed, &|story| {
        story.facts.azure_vm = on(AzurePower::Deallocated);
    });
    tell("held back by a wave", Stage::ReadyToFailBack, DesiredPhase::FailedBack, &|story| {
        story.status.claim = Some(held("WaveNotStarted"));
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_commit_waits_until_verification_has_held() {
    let soak = Claim { soak_seconds: 600, ..claim(DesiredPhase::Committed) };
    let before = status(Stage::ReadyToFailBack, Some(soak));
    let journal = status(Stage::FailedBack, None).history;
    let mut story = Story::begin(Stage::FailedBack, ReplicatedItemStatus { history: journal, ..before });
    story.pass("came home");
    story.later(5, Stage::FailedBack).pass("five minutes later");
    change_home(&mut story.facts, |vm| vm.tools = None);
    story.pass("Tools stop");
    story.later(6, Stage::FailedBack).pass("Tools run again; the ten minutes begin anew");
    story.later(10, Stage::FailedBack);
    assert!(story.pass("ten minutes without a break"));
    insta::assert_snapshot!(story.told());
}

#[test]
fn refused_calls_are_tried_again_and_a_failed_reprotect_five_times() {
    let mut story = story(Stage::FailedOver, to(DesiredPhase::Reprotected));
    for class in [FailureClass::Conflict, FailureClass::Unauthenticated, FailureClass::Transient] {
        assert!(story.pass("ready"));
        story.answered(Err(class)).pass("refused");
        story.later(15, Stage::FailedOver);
    }
    let mut failures = 0;
    while story.pass("ready") {
        failures += 1;
        let id = format!("j{failures}");
        story.answered(Ok(&id));
        let failed = job(&id, Verb::Reprotect, JobState::Failed, story.now());
        list_job(&mut story.facts, failed);
        story.later(5, Stage::FailedOver).pass("the job failed");
        story.later(20, Stage::FailedOver);
    }
    assert_eq!(failures, 5, "refusals are no failures");
    let outcomes: Vec<_> = story.status.history.iter().map(|old| old.outcome).collect();
    assert_eq!(outcomes, [OperationOutcome::Failed; 4], "refusals leave no history");
    insta::assert_snapshot!(story.told());
}

fn reason(story: &Story) -> (&str, &str) {
    let ready = conditions::find(&story.status.conditions, "Ready").unwrap();
    (ready.reason.as_str(), ready.message.as_str())
}

#[test]
fn a_call_that_is_refused_again_and_again_is_left_to_a_person() {
    let mut story = story(Stage::FailedOver, to(DesiredPhase::Reprotected));
    let (mut calls, mut last) = (0, 0);
    while story.minute < 24 * 60 {
        if story.pass("refused each time") {
            (calls, last) = (calls + 1, story.minute);
            story.answered(Err(FailureClass::Conflict));
        }
        if calls == 3 && story.minute < 6 * 60 {
            // Azure is not to be read for six hours: what was seen last grows old, and nothing is called.
            story.minute += 6 * 60;
            assert!(!story.pass("an outage"));
        }
        story.later(1, Stage::FailedOver);
    }
    assert_eq!(calls, 10);
    assert!(last - 6 * 60 > 45, "not within a few minutes: {last}");
    let (why, message) = reason(&story);
    assert_eq!(why, "OperationFailed");
    assert!(message.contains("not made in 10 attempts in a row. The last: It was conflict."), "{message}");
    assert!(message.contains("spec.retryToken"), "{message}");
    assert!(conditions::is_true(&story.status.conditions, "Stalled"), "so that onItemFailure applies");
    story.status.claim.as_mut().unwrap().retry_token = "again".to_owned();
    assert!(story.pass("a person saw to it"));
    assert_eq!(story.status.operation.as_ref().unwrap().attempt, 1);
}

/// That of a failback at once. One of a reprotect is tried five times, as its failed jobs are: Azure says in the same way
/// that something else is under way.
#[test]
fn a_failback_that_is_refused_for_good_is_not_repeated() {
    for class in [FailureClass::Denied, FailureClass::Invalid, FailureClass::NotFound] {
        let mut story = story(Stage::ReadyToFailBack, to(DesiredPhase::FailedBack));
        assert!(story.pass("ready"));
        story.answered(Err(class));
        for _ in 0..10 {
            story.later(20, Stage::ReadyToFailBack);
            assert!(!story.pass("refused"), "{class:?}");
        }
        assert_eq!(reason(&story).0, "OperationFailed", "{class:?}");
        story.status.claim.as_mut().unwrap().retry_token = "again".to_owned();
        assert!(story.pass("a person saw to it"), "{class:?}");
    }
}

#[test]
fn refusals_count_anew_after_a_job() {
    let mut story = story(Stage::FailedOver, to(DesiredPhase::Reprotected));
    let refused = |story: &mut Story| {
        let mut calls = 0;
        for _ in 0..9 {
            assert!(story.pass("ready"));
            story.answered(Err(FailureClass::Transient)).later(20, Stage::FailedOver);
            calls += 1;
        }
        calls
    };
    assert_eq!(refused(&mut story), 9);
    assert!(story.pass("the tenth is made"));
    story.answered(Ok("j1"));
    let failed = job("j1", Verb::Reprotect, JobState::Failed, story.now());
    list_job(&mut story.facts, failed);
    story.later(5, Stage::FailedOver).pass("its job failed");
    story.later(20, Stage::FailedOver);
    assert_eq!(refused(&mut story), 9);
    assert!(story.pass("the tenth"));
}

#[test]
fn an_item_that_is_lost_and_found_is_placed_from_azure_alone() {
    // All of the cluster's state is gone; the plan was applied again and has a new UID.
    let mut told = Vec::new();
    for stage in Stage::ALL {
        let before = ReplicatedItemStatus { claim: to(DesiredPhase::FailedBack), ..ReplicatedItemStatus::default() };
        let mut story = Story::begin(stage, before);
        story.pass(&format!("no status, {stage:?}"));
        told.push(story.told());
    }
    insta::assert_snapshot!(told.join("\n"));
}

/// Its clock may have been slow, and its last call may have left a moment before it was replaced.
#[test]
fn an_intent_of_another_process_is_judged_by_the_own_clock() {
    let (began, stage) = (at(60), Stage::ReadyToFailBack);
    let before = ReplicatedItemStatus {
        operation: Some(record(Verb::FailBack, OperationOutcome::Intended, at(0))),
        ..status(stage, to(DesiredPhase::FailedBack))
    };
    let outcome = |seen: Timestamp, leading_since: Timestamp| {
        let facts = facts(stage, seen);
        let spec = spec();
        let input =
            ItemInput { spec: &spec, status: &before, generation: Some(1), facts: &facts, leading_since, now: seen };
        let decision = decide(&input);
        // However old the intent is, it has been looked for since this process began.
        assert!(!matches!(decision.next, Next::Wait(WaitingOn::OperationOutcomeUnknown { .. }, _)), "{decision:?}");
        decision.status.operation.map(|operation| operation.outcome)
    };
    let settled = settled_at(at(0), began);
    let almost = settled - SignedDuration::from_secs(1);
    assert_eq!(outcome(almost, began), Some(OperationOutcome::Intended));
    assert_eq!(outcome(settled, began), Some(OperationOutcome::NotMade));
    assert_eq!(outcome(almost, at(0)), Some(OperationOutcome::NotMade), "its own is judged by its age");
}

/// Whoever was away for hours finds what people did meanwhile.
#[test]
fn a_failback_that_began_when_the_call_could_no_longer_arrive_is_somebody_elses() {
    for (minutes, foreign) in [(6, false), (7, true)] {
        let mut story = story(Stage::ReadyToFailBack, to(DesiredPhase::Committed));
        story.pass("ready; the process dies after it wrote the intent");
        let began = at(minutes);
        story.later(120, Stage::ReadyToFailBack);
        run_job(&mut story.facts, job("j1", Verb::FailBack, JobState::InProgress, began));
        story.pass("started again");
        let adopted = story.status.operation.clone().unwrap();
        assert_eq!((adopted.job_id.as_deref(), adopted.adopted, adopted.foreign), (Some("j1"), true, foreign));
    }
}

/// The list of jobs has no errors. What comes next depends on them: they are waited for, and not without end.
#[test]
fn a_failed_job_is_judged_by_its_errors_and_not_by_their_absence_from_the_list() {
    let begin = |details: Details| {
        let mut story = story(Stage::FailedOver, to(DesiredPhase::Reprotected));
        assert!(story.pass("ready"));
        story.answered(Ok("j1"));
        let failed = Job { details, ..job("j1", Verb::Reprotect, JobState::Failed, story.now()) };
        list_job(&mut story.facts, failed);
        story.later(5, Stage::FailedOver).pass("its job failed");
        story
    };
    let outcome = |story: &Story| story.status.operation.as_ref().unwrap().outcome;

    let mut story = begin(Details::Listed);
    assert_eq!(outcome(&story), OperationOutcome::Submitted);
    assert_eq!(
        reason(&story),
        ("WaitingForObservation", "Not observed yet: why job j1 did not succeed: its errors have not been read.")
    );
    let Fact::Seen { value: jobs, .. } = &mut story.facts.jobs else { panic!("no jobs") };
    jobs[0].details = Details::Read;
    jobs[0].errors.push(HealthError { code: "95226".to_owned(), ..HealthError::default() });
    story.pass("its errors were read");
    assert!(story.status.operation.as_ref().unwrap().agent_missing, "the agent is waited for");
    // Longer while the vault denies it too.
    story.later(6, Stage::FailedOver);
    change_item(&mut story.facts, |item| item.agent_registered = Some(false));
    assert!(!story.pass("the vault denies it"), "{:?}", reason(&story));
    change_item(&mut story.facts, |item| item.agent_registered = Some(true));
    assert!(story.pass("the vault does not deny it"), "{:?}", reason(&story));

    let mut story = begin(Details::Refused { since: at(4), why: "403 Forbidden.".to_owned() });
    assert_eq!(outcome(&story), OperationOutcome::Submitted, "refused for a minute");
    story.later(9, Stage::FailedOver).pass("refused for ten");
    assert_eq!(outcome(&story), OperationOutcome::Failed);
    let message = &story.status.operation.unwrap().message;
    assert_eq!(message, "Job j1 ended as Failed, and its errors cannot be read: 403 Forbidden.");
}

/// `CompletedWithInformation` is read as a success. Of other words an end is one; what a step that cannot be taken back
/// did is not concluded from them.
#[test]
fn a_job_that_ended_in_an_unknown_word_is_judged_by_its_effect() {
    let end = |verb: Verb, from: Stage, arrives: Stage| {
        let mut story = story(from, to(verb.leads_to()));
        assert!(story.pass("ready"));
        story.answered(Ok("j1"));
        let job = job("j1", verb, JobState::Other("PartiallySucceeded".to_owned()), story.now());
        list_job(&mut story.facts, Job { ended: Some(at(3)), ..job });
        story.later(10, arrives).pass("it ended");
        story
    };
    let reprotected = end(Verb::Reprotect, Stage::FailedOver, Stage::SyncingToVMware);
    assert_eq!(reprotected.status.operation.unwrap().outcome, OperationOutcome::Succeeded);
    let mut story = end(Verb::Reprotect, Stage::FailedOver, Stage::FailedOver);
    assert_eq!(reason(&story).0, "WaitingForSettling");
    story.later(10, Stage::FailedOver).pass("and has no effect");
    assert_eq!(reason(&story).0, "OperationOutcomeUnknown");
    // Nor does a success that can only be undone count as one, or wait without end.
    let mut story = self::story(Stage::ReadyToFailBack, to(DesiredPhase::FailedBack));
    assert!(story.pass("ready"));
    story.answered(Ok("j1"));
    let done = job("j1", Verb::FailBack, JobState::Succeeded, story.now());
    list_job(&mut story.facts, Job { ended: Some(at(3)), ..done });
    only_to_be_undone(&mut story.later(10, Stage::FailedBack).facts);
    story.pass("its job succeeded");
    assert_eq!(story.status.operation.as_ref().unwrap().outcome, OperationOutcome::Submitted);
    only_to_be_undone(&mut story.later(10, Stage::FailedBack).facts);
    story.pass("it stays so");
    assert_eq!(story.status.operation.as_ref().unwrap().outcome, OperationOutcome::Failed);
    assert_eq!(reason(&story).0, "WaitingForSettling");
    only_to_be_undone(&mut story.later(10, Stage::FailedBack).facts);
    story.pass("and can be undone");
    assert_eq!(reason(&story).0, "FailbackIncomplete");

    let failed_back = end(Verb::FailBack, Stage::ReadyToFailBack, Stage::FailedBack);
    assert_eq!(failed_back.status.operation.unwrap().outcome, OperationOutcome::Failed);

    let mut past = self::story(Stage::ReadyToFailBack, to(DesiredPhase::FailedBack));
    let update = Scenario::Other("UpdateMobilityService".to_owned());
    let job = job_of("u1", update, JobState::Other("CompletedInANewWay".to_owned()), at(-300));
    list_job(&mut past.facts, Job { ended: Some(at(-290)), ..job });
    assert!(past.pass("an old job of another kind"), "is not waited for");
}

#[test]
fn an_azure_vm_that_outlives_its_commit_is_told_and_its_end_goes_on_by_itself() {
    let lingers = |story: &mut Story| {
        let vm = AzureVm::Present { id: AZURE_VM.to_owned(), power: AzurePower::Deallocated, disks: None };
        story.facts.azure_vm = Fact::seen(vm, story.now());
    };
    let committed = |by_us: bool| {
        let mut story = story(Stage::HomeCommitted, to(DesiredPhase::Protected));
        if by_us {
            story.status.operation = Some(record(Verb::Commit, OperationOutcome::Succeeded, at(-3)));
        } else {
            let job = job("p1", Verb::Commit, JobState::Succeeded, at(-3));
            story.facts.jobs = Fact::seen(vec![job], at(0));
        }
        story
    };
    for by_us in [true, false] {
        let mut story = committed(by_us);
        lingers(&mut story);
        story.pass("committed just now");
        assert_eq!(reason(&story).0, "WaitingForSettling");
        story.later(31, Stage::HomeCommitted);
        lingers(&mut story);
        story.pass("half an hour later");
        let (reason, message) = reason(&story);
        assert_eq!(reason, "AzureVmRemains");
        assert!(message.contains("Azure VM web-01 still exists") && message.contains("Remove the locks"), "{message}");
        let stalled = conditions::find(&story.status.conditions, "Stalled").unwrap();
        assert_eq!(stalled.status, "True");
        story.later(5, Stage::HomeCommitted);
        assert!(story.pass("it is gone"), "protected again");
    }
}
