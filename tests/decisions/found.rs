//! Machines that are found where no record says that their plan brought them: after the loss of a status, the return of
//! an old one, or another's deed.

use failback::{
    api::{ApprovalStep, Claim, DesiredPhase, FailbackApprovalSpec, Found, OperationOutcome, OperationRecord},
    core::{
        action::Verb,
        conditions,
        decide::Next,
        found::{STATUS_LOST, step_in_doubt, unexplained},
        observed::{Fact, Generation, Job, JobState},
        stage::Stage,
    },
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::support::{PLAN, at, change_item, claim, decide_on, facts, job, plans::Case, record, status, story::Story};

/// A plan that finds machine `a` without a journal.
fn lost(desired: &str, stage: Stage) -> Case {
    let mut case = Case::new(desired, &[&[("a", stage)]]);
    case.items.get_mut("a").unwrap().history.clear();
    case
}

fn found(case: &Case) -> Option<&Found> {
    case.items["a"].claim.as_ref()?.found.as_ref()
}

fn up_to(case: &Case) -> DesiredPhase {
    case.items["a"].claim.as_ref().unwrap().up_to
}

#[test]
fn a_machine_that_is_found_failed_back_waits_for_a_persons_word() {
    let mut told = Vec::new();
    let mut case = lost("Protected", Stage::FailedBack);
    case.items.get_mut("a").unwrap().unexplained =
        Some("a failback of 2026-03-01T11:00:00Z, job j7, which ended as Succeeded".to_owned());
    case.approve(ApprovalStep::Commit, "ann");
    told.push(case.tell("found failed back; an approval stands from before"));
    assert_eq!(found(&case).unwrap().approvals.len(), 1);
    assert!(case.permits("a", Verb::Commit).is_err());
    case.now = at(5);
    told.push(case.tell("five minutes later: noticed once"));
    assert_eq!(found(&case).unwrap().at, Time(at(0)));

    type Spoil = fn(&mut FailbackApprovalSpec);
    let spoil: [(&str, Spoil); 5] = [
        ("for another plan", |approval| approval.plan_uid = "another".to_owned()),
        ("for the plan as it was before", |approval| approval.spec_hash = "0123456789abcdef".to_owned()),
        ("expired", |approval| approval.expires_at = Time(at(0))),
        ("of another step", |approval| approval.step = ApprovalStep::FailBack),
        ("ann's, applied again", |approval| approval.approver = "ann".to_owned()),
    ];
    for (why, spoil) in spoil {
        let mut with = case.clone();
        with.approve(ApprovalStep::Commit, "bob");
        spoil(with.approvals.last_mut().unwrap());
        with.pass();
        assert!(up_to(&with) <= DesiredPhase::FailedBack, "{why}");
        assert!(with.permits("a", Verb::Commit).is_err(), "{why}");
    }

    let mut approved = case.clone();
    approved.approve(ApprovalStep::Commit, "bob");
    told.push(approved.tell("bob approves the commit"));
    told.push(format!("      consent: {}\n", found(&approved).unwrap().consent.as_deref().unwrap()));
    assert!(approved.permits("a", Verb::Commit).is_ok());
    approved.now = at(601);
    told.push(approved.tell("the approval has ended, and the commit was not made"));
    assert!(approved.permits("a", Verb::Commit).is_err());

    case.spec.retry_token = "again".to_owned();
    told.push(case.tell("a new retry token"));
    told.push(format!("      consent: {}\n", found(&case).unwrap().consent.as_deref().unwrap()));
    assert!(case.permits("a", Verb::Commit).is_ok());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn demanded_approvals_are_demanded_anew() {
    let mut case = lost("Committed", Stage::FailedBack);
    case.spec.approvals =
        serde_json::from_value(serde_json::json!([{ "step": "Commit", "count": 2, "forbidRequester": true }])).unwrap();
    case.requester = Some("eve".to_owned());
    case.approve(ApprovalStep::Commit, "ann");
    case.approve(ApprovalStep::Commit, "bob");
    case.pass();
    assert!(case.permits("a", Verb::Commit).is_err(), "both were given before the status was lost");
    for (approver, enough) in [("eve", false), ("carl", false), ("dora", true)] {
        case.approve(ApprovalStep::Commit, approver);
        case.pass();
        assert_eq!(up_to(&case) > DesiredPhase::FailedBack, enough, "{approver}");
    }
}

#[test]
fn more_approvals_than_are_remembered_count_for_nothing() {
    let mut case = lost("Committed", Stage::FailedBack);
    for number in 0..40 {
        case.approve(ApprovalStep::Commit, &format!("person-{number}"));
    }
    case.pass();
    case.approve(ApprovalStep::Commit, "one-more");
    case.pass();
    assert!(up_to(&case) <= DesiredPhase::FailedBack);
    case.spec.retry_token = "again".to_owned();
    case.pass();
    assert!(up_to(&case) > DesiredPhase::FailedBack);
}

#[test]
fn what_is_in_doubt_does_not_stop_the_others_and_is_no_failure() {
    let stages = [("a", Stage::FailedBack), ("b", Stage::FailedOver)];
    let mut case = Case::new("Protected", &[&stages]);
    case.items.get_mut("a").unwrap().history.clear();
    let before = case.tell("a was found failed back; b goes on");
    let mut item = case.items["a"].clone();
    item.phase = Stage::FailedBack.phase();
    let shown = decide_on(&item, &facts(Stage::FailedBack, at(0)), at(0)).status;
    assert_eq!(conditions::find(&shown.conditions, "Stalled").unwrap().reason, STATUS_LOST);
    case.items.insert("a".to_owned(), shown);
    let after = case.tell("a shows it");
    case.move_to("b", Stage::FailedBack);
    let both = case.tell("b is there too, by this plan");
    insta::assert_snapshot!([before, after, both].join("\n"));
}

#[test]
fn what_cannot_be_told_for_a_while_takes_no_word_back() {
    let mut case = lost("Protected", Stage::FailedBack);
    case.pass();
    case.spec.retry_token = "again".to_owned();
    case.pass();
    let noticed = found(&case).cloned();
    assert!(noticed.as_ref().unwrap().consent.is_some());
    let journal = case.items["a"].history.clone();
    case.move_to("a", Stage::Unknown);
    case.pass();
    assert_eq!(found(&case).cloned(), noticed);
    case.move_to("a", Stage::FailedBack);
    case.items.get_mut("a").unwrap().history = journal;
    case.pass();
    assert_eq!(found(&case).cloned(), noticed);
    assert!(up_to(&case) > DesiredPhase::FailedBack);
}

#[test]
fn a_failback_that_others_made_is_undone_on_request_and_not_for_its_probes() {
    let mut case = lost("Protected", Stage::FailedBack);
    case.spec.commit.on_probe_failure = failback::api::OnProbeFailure::Cancel;
    let item = case.items.get_mut("a").unwrap();
    item.generation = Some("Modernized".to_owned());
    let verified = item.conditions.iter_mut().find(|condition| condition.type_ == "Verified").unwrap();
    (verified.status, verified.reason) = ("False".to_owned(), "ProbesFailed".to_owned());
    case.pass();
    assert!(case.status.cancelled.is_empty(), "nobody said that this plan may undo it");
    let mut adopted = case.clone();
    adopted.spec.retry_token = "again".to_owned();
    adopted.pass();
    assert_eq!(adopted.status.cancelled.len(), 1);
    case.spec.cancel = serde_json::from_value(serde_json::json!([{ "reason": "not today" }])).unwrap();
    case.pass();
    assert_eq!(case.items["a"].claim.as_ref().unwrap().cancel.as_deref(), Some("not today"));
    assert!(case.permits("a", Verb::Cancel).is_ok());
}

/// What a journal says, and what Azure shows.
struct Seen {
    what: &'static str,
    stage: Stage,
    records: Vec<OperationRecord>,
    jobs: Vec<Job>,
    doubt: Option<ApprovalStep>,
}

fn done(verb: Verb, job: Option<&str>, minute: i64) -> OperationRecord {
    OperationRecord { job_id: job.map(str::to_owned), ..record(verb, OperationOutcome::Succeeded, at(minute)) }
}

fn ran(id: &str, verb: Verb, state: JobState, minute: i64) -> Job {
    Job { ended: Some(at(minute) + SignedDuration::from_mins(2)), ..job(id, verb, state, at(minute)) }
}

#[test]
fn what_a_journal_explains_and_what_it_does_not() {
    use JobState::{Failed, Succeeded};
    use Stage::{FailedBack, ReadyToFailBack};
    let other = |record: OperationRecord| OperationRecord { plan_uid: "earlier".to_owned(), ..record };
    let (commit, fail_back) = (Some(ApprovalStep::Commit), Some(ApprovalStep::FailBack));
    let row = |what, stage, records, jobs, doubt| Seen { what, stage, records, jobs, doubt };
    let rows = [
        row("nothing is known", FailedBack, vec![], vec![], commit),
        row(
            "the plan's own failback",
            FailedBack,
            vec![done(Verb::FailBack, Some("j1"), -60)],
            vec![ran("j1", Verb::FailBack, Succeeded, -60)],
            None,
        ),
        row(
            "its own, of which only the effect was found",
            FailedBack,
            vec![done(Verb::FailBack, None, -60)],
            vec![ran("j1", Verb::FailBack, Succeeded, -59)],
            None,
        ),
        row(
            "its own, still running while the effect shows",
            FailedBack,
            vec![record(Verb::FailBack, OperationOutcome::Submitted, at(-5))],
            vec![],
            None,
        ),
        row(
            "a call that was not made, and yet a machine at home",
            FailedBack,
            vec![record(Verb::FailBack, OperationOutcome::NotMade, at(-60))],
            vec![],
            commit,
        ),
        row(
            "another plan's failback",
            FailedBack,
            vec![other(done(Verb::FailBack, Some("j1"), -60))],
            vec![ran("j1", Verb::FailBack, Succeeded, -60)],
            commit,
        ),
        row(
            "a failback in the portal that the plan followed",
            FailedBack,
            vec![OperationRecord { foreign: true, ..done(Verb::FailBack, Some("j1"), -60) }],
            vec![ran("j1", Verb::FailBack, Succeeded, -60)],
            commit,
        ),
        row(
            "the plan's failback of another machine that the object named before",
            FailedBack,
            vec![OperationRecord { item_id: "/another".to_owned(), ..done(Verb::FailBack, Some("j1"), -60) }],
            vec![],
            commit,
        ),
        row(
            "undone in the portal, and made again there, which the plan followed",
            FailedBack,
            vec![
                OperationRecord { foreign: true, ..done(Verb::FailBack, Some("j3"), -60) },
                done(Verb::FailBack, Some("j1"), -600),
            ],
            vec![ran("j3", Verb::FailBack, Succeeded, -60)],
            commit,
        ),
        row(
            "an old journal: undone and made again since, by others",
            FailedBack,
            vec![done(Verb::FailBack, Some("j1"), -600)],
            vec![
                ran("j3", Verb::FailBack, Succeeded, -60),
                ran("j2", Verb::Cancel, Succeeded, -120),
                ran("j1", Verb::FailBack, Succeeded, -600),
            ],
            commit,
        ),
        row(
            "an old journal that ends before the failback",
            FailedBack,
            vec![done(Verb::Reprotect, Some("j1"), -600)],
            vec![ran("j2", Verb::FailBack, Succeeded, -60), ran("j1", Verb::Reprotect, Succeeded, -600)],
            commit,
        ),
        row(
            "an old journal that ends before a commit that failed",
            FailedBack,
            vec![done(Verb::FailBack, Some("j1"), -60)],
            vec![ran("j2", Verb::Commit, Failed, -30), ran("j1", Verb::FailBack, Succeeded, -60)],
            commit,
        ),
        row(
            "a commit of its own that failed",
            FailedBack,
            vec![
                OperationRecord { outcome: OperationOutcome::Failed, ..done(Verb::Commit, Some("j2"), -30) },
                done(Verb::FailBack, Some("j1"), -60),
            ],
            vec![ran("j2", Verb::Commit, Failed, -30), ran("j1", Verb::FailBack, Succeeded, -60)],
            None,
        ),
        row(
            "reprotected, by whomever",
            ReadyToFailBack,
            vec![],
            vec![ran("j1", Verb::Reprotect, Succeeded, -60)],
            None,
        ),
        row("no jobs are left in the list", ReadyToFailBack, vec![], vec![], None),
        row(
            "a failback was made and undone before",
            ReadyToFailBack,
            vec![],
            vec![ran("j2", Verb::Cancel, Succeeded, -60), ran("j1", Verb::FailBack, Succeeded, -120)],
            fail_back,
        ),
        row(
            "a failback failed before",
            ReadyToFailBack,
            vec![],
            vec![ran("j1", Verb::FailBack, Failed, -120)],
            fail_back,
        ),
        row(
            "reprotected since",
            ReadyToFailBack,
            vec![],
            vec![ran("j3", Verb::Reprotect, Succeeded, -10), ran("j2", Verb::Cancel, Succeeded, -60)],
            None,
        ),
        row(
            "undone by an earlier plan, on record",
            ReadyToFailBack,
            vec![other(done(Verb::Cancel, Some("j2"), -60))],
            vec![ran("j2", Verb::Cancel, Succeeded, -60)],
            None,
        ),
        row(
            "undone in the portal after the plan's own failback",
            ReadyToFailBack,
            vec![done(Verb::FailBack, Some("j1"), -120)],
            vec![ran("j2", Verb::Cancel, Succeeded, -60)],
            None,
        ),
    ];
    for Seen { what, stage, records, jobs, doubt } in rows {
        let mut status = status(stage, Some(claim(DesiredPhase::Protected)));
        status.history = records;
        let mut seen = facts(stage, at(0));
        seen.jobs = Fact::seen(jobs, at(0));
        let shown = unexplained(&status, &seen, stage);
        let reached = stage.reached().unwrap();
        assert_eq!(step_in_doubt(&status, shown.as_deref(), PLAN, reached), doubt, "{what}: {shown:?}");
    }
}

#[test]
fn the_failover_to_azure_of_the_classic_generation_is_no_failback() {
    let stage = Stage::ReadyToFailBack;
    let status = status(stage, Some(claim(DesiredPhase::Protected)));
    let mut seen = facts(stage, at(0));
    change_item(&mut seen, |item| item.generation = Some(Generation::Classic));
    let forward = Job {
        scenario: Verb::FailBack.scenario(Generation::Classic),
        ..ran("j1", Verb::FailBack, JobState::Succeeded, -600)
    };
    let reprotect = ran("j2", Verb::Reprotect, JobState::Succeeded, -300);
    let back = Job { id: "j3".to_owned(), started: Some(at(-60)), ..forward.clone() };
    seen.jobs = Fact::seen(vec![reprotect.clone(), forward.clone()], at(0));
    assert_eq!(unexplained(&status, &seen, stage), None);
    seen.jobs = Fact::seen(vec![back, reprotect, forward], at(0));
    assert!(unexplained(&status, &seen, stage).is_some());
}

#[test]
fn what_was_seen_stays_when_its_job_leaves_the_list_until_the_machine_is_reprotected() {
    let stage = Stage::ReadyToFailBack;
    let mut status = status(stage, Some(claim(DesiredPhase::Protected)));
    let mut seen = facts(stage, at(0));
    seen.jobs = Fact::seen(vec![ran("j2", Verb::Cancel, JobState::Succeeded, -60)], at(0));
    status.unexplained = unexplained(&status, &seen, stage);
    assert!(status.unexplained.is_some());
    for jobs in [Fact::seen(Vec::new(), at(0)), Fact::unknown("the vault does not answer")] {
        seen.jobs = jobs;
        assert_eq!(unexplained(&status, &seen, stage), status.unexplained);
        assert_eq!(unexplained(&status, &seen, Stage::Unknown), status.unexplained);
    }
    assert_eq!(unexplained(&status, &seen, Stage::FailedOver), None);
    seen.jobs = Fact::seen(vec![ran("j3", Verb::Reprotect, JobState::Succeeded, -1)], at(0));
    assert_eq!(unexplained(&status, &seen, stage), None);
}

#[test]
fn a_machine_without_a_word_commits_under_no_claim() {
    let mut told = Vec::new();
    let mut story = Story::begin(Stage::FailedBack, status(Stage::FailedBack, Some(claim(DesiredPhase::Protected))));
    story.status.history.clear();
    assert!(!story.pass("an old claim that leads past the commit, and no journal"));
    let noted = Found {
        step: ApprovalStep::Commit,
        at: Time(at(0)),
        retry_token: String::new(),
        approvals: vec![],
        consent: None,
    };
    let with = |found| Some(Claim { found: Some(found), ..claim(DesiredPhase::Protected) });
    story.status.claim = with(noted.clone());
    assert!(!story.pass("the plan has noted it"));
    story.status.claim = with(Found {
        step: ApprovalStep::FailBack,
        consent: Some("approval of FailBack by ann".to_owned()),
        ..noted.clone()
    });
    assert!(!story.pass("a word about another step"));
    story.status.claim = with(Found { consent: Some("approval of Commit by ann".to_owned()), ..noted });
    assert!(story.pass("a person's word"));
    told.push(story.told());

    let mut own = Story::begin(Stage::FailedBack, status(Stage::FailedBack, Some(claim(DesiredPhase::Protected))));
    assert!(own.pass("by the plan itself: nothing is asked"));
    told.push(own.told());
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn a_deleted_plan_says_that_an_older_approval_is_no_word() {
    let mut case = lost("Protected", Stage::FailedBack);
    case.approve(ApprovalStep::Commit, "ann");
    case.pass();
    case.deleting = true;
    let before = case.tell("deleted, and approved before the status was lost");
    case.approve(ApprovalStep::Commit, "bob");
    let after = case.tell("approved since");
    assert!(case.permits("a", Verb::Commit).is_ok());
    insta::assert_snapshot!([before, after].join("\n"));
}

#[test]
fn a_word_is_for_the_plan_as_it_is() {
    let mut case = lost("Protected", Stage::FailedBack);
    case.pass();
    case.approve(ApprovalStep::Commit, "ann");
    case.pass();
    assert!(up_to(&case) > DesiredPhase::FailedBack);
    let hash = case.hash();
    case.spec.commit.soak_seconds += 1;
    assert_ne!(hash, case.hash());
    case.pass();
    assert!(case.permits("a", Verb::Commit).is_err());
    assert!(matches!(
        decide_on(&case.items["a"], &facts(Stage::FailedBack, at(0)), at(0)).next,
        Next::Wait(on, _) if on.reason() == STATUS_LOST
    ));
}
