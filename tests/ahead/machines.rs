//! How far one machine's step has come.

use failback::{
    api::{DesiredPhase, EstimateBasis, OperationOutcome, Progress, ReplicatedItemStatus},
    core::{
        action::Verb,
        observed::{Details, Fact, Job, JobState, ReplicatedDisk, ReplicationProgress, Scenario},
        stage::Stage,
    },
};
use jiff::Timestamp;

use crate::support::{at, claim, decide_on, facts, record, replication, status};

const GIB: u64 = 1 << 30;

/// A machine of 100 GiB that has compared so much.
fn seen(
    status: &ReplicatedItemStatus,
    minute: i64,
    processed: Option<u64>,
    percent: Option<u8>,
) -> ReplicatedItemStatus {
    let mut facts = facts(Stage::SyncingToVMware, at(minute));
    let mut item = replication(Stage::SyncingToVMware);
    item.disks = vec![ReplicatedDisk { capacity_bytes: Some(100 * GIB), ..ReplicatedDisk::default() }];
    item.progress = ReplicationProgress { percent, processed_bytes: processed, transferred_bytes: None };
    facts.replication = Fact::seen(item, at(minute));
    decide_on(status, &facts, at(minute)).status
}

fn progress(status: &ReplicatedItemStatus) -> Progress {
    status.progress.clone().unwrap()
}

fn time(status: &ReplicatedItemStatus) -> Option<Timestamp> {
    progress(status).estimated_completion.map(|at| at.0)
}

fn unclaimed() -> ReplicatedItemStatus {
    ReplicatedItemStatus { progress: None, ..status(Stage::SyncingToVMware, None) }
}

#[test]
fn the_rate_is_measured_from_where_it_was_first_seen() {
    let first = seen(&unclaimed(), 0, Some(40 * GIB), Some(40));
    let shown = progress(&first);
    assert_eq!((shown.step.as_str(), shown.text.as_str(), shown.percent), ("SyncToVMware", "40%", Some(40)));
    assert_eq!((shown.since.unwrap().0, shown.bytes_total), (at(0), Some(100 * GIB as i64)));
    assert_eq!((shown.estimated_completion, shown.bytes_per_second), (None, None), "one look is no rate");
    // 10 GiB in ten minutes: the 50 that are left take 50 more. The 40 before are no measure.
    let second = seen(&first, 10, Some(50 * GIB), Some(50));
    assert_eq!(progress(&second).bytes_per_second, Some(17_800_000));
    assert_eq!(progress(&second).estimate_basis, Some(EstimateBasis::Measured));
    let minutes = at(10).duration_until(time(&second).unwrap()).as_mins();
    assert!((50..=52).contains(&minutes), "{minutes}");
}

#[test]
fn without_bytes_the_percentage_tells() {
    let mut before = seen(&unclaimed(), 0, None, Some(20));
    before.progress.as_mut().unwrap().bytes_total = None;
    let mut facts = facts(Stage::SyncingToVMware, at(10));
    let mut item = replication(Stage::SyncingToVMware);
    item.progress = ReplicationProgress { percent: Some(40), ..ReplicationProgress::default() };
    facts.replication = Fact::seen(item, at(10));
    let after = decide_on(&before, &facts, at(10)).status;
    assert_eq!(time(&after), Some(at(40)), "20 % in ten minutes");
}

#[test]
fn a_world_that_stands_still_writes_nothing_until_the_time_has_passed() {
    let moving = seen(&seen(&unclaimed(), 0, Some(10 * GIB), Some(10)), 10, Some(20 * GIB), Some(20));
    let ends = time(&moving).unwrap();
    for minute in [11, 30, 60] {
        assert_eq!(seen(&moving, minute, Some(20 * GIB), Some(20)).progress, moving.progress, "minute {minute}");
    }
    let little = seen(&moving, 12, Some(20 * GIB + GIB / 2), Some(20));
    assert_eq!(little.progress, moving.progress, "less than a per cent is not worth a write");
    let overdue = seen(&moving, 200, Some(20 * GIB), Some(20));
    assert!(ends < at(200));
    assert_eq!((time(&overdue), progress(&overdue).estimate_basis), (None, None));
}

#[test]
fn a_small_change_of_the_estimate_is_not_told() {
    let before = seen(&seen(&unclaimed(), 0, Some(0), Some(0)), 60, Some(20 * GIB), Some(20));
    let slightly = seen(&before, 63, Some(21 * GIB + GIB / 5), Some(21));
    assert_eq!(time(&slightly), time(&before), "within five per cent of what is left");
    let much = seen(&before, 66, Some(40 * GIB), Some(40));
    assert!(time(&much) < time(&before));
    assert_eq!(time(&much).unwrap().as_second() % 60, 0, "to the minute");
}

#[test]
fn nothing_reported_is_no_percentage() {
    let quiet = seen(&unclaimed(), 0, None, None);
    let shown = progress(&quiet);
    assert_eq!((shown.text.as_str(), shown.percent, shown.bytes_done), ("synchronising", None, None));
    let later = seen(&quiet, 30, None, None);
    assert_eq!(later.progress, quiet.progress);
}

#[test]
fn what_is_not_seen_just_now_may_go_on() {
    let before = seen(&unclaimed(), 0, Some(40 * GIB), Some(40));
    let mut unseen = facts(Stage::SyncingToVMware, at(5));
    unseen.replication = Fact::unknown("the vault does not answer");
    assert_eq!(decide_on(&before, &unseen, at(5)).status.progress, before.progress);
}

#[test]
fn a_job_has_the_typical_time_and_says_so() {
    let mut before = status(Stage::ReadyToFailBack, Some(claim(DesiredPhase::FailedBack)));
    let mut running = record(Verb::FailBack, OperationOutcome::Submitted, at(0));
    running.job_id = Some("job-1".to_owned());
    before.operation = Some(running);
    let at_minute = |minute| {
        let mut facts = facts(Stage::InTransition, at(minute));
        let job = Job {
            id: "job-1".to_owned(),
            scenario: Scenario::PlannedFailover,
            state: JobState::InProgress,
            state_description: String::new(),
            target_id: String::new(),
            target_name: "web-01".to_owned(),
            started: Some(at(0)),
            ended: None,
            current_task: Some("Shut down".to_owned()),
            errors: Vec::new(),
            details: Details::Read,
        };
        facts.jobs = Fact::seen(vec![job], at(minute));
        decide_on(&before, &facts, at(minute)).status
    };
    let shown = progress(&at_minute(5));
    assert_eq!((shown.text.as_str(), shown.step.as_str()), ("Shut down", "FailBack"));
    assert_eq!((shown.since.unwrap().0, shown.estimated_completion.unwrap().0), (at(0), at(21)));
    assert_eq!(shown.estimate_basis, Some(EstimateBasis::Typical));
    let late = progress(&at_minute(25));
    assert_eq!((late.estimated_completion, late.estimate_basis), (None, None));
}

#[test]
fn what_ended_well_is_timed_once() {
    let before = seen(&unclaimed(), 0, Some(0), Some(0));
    let ready = facts(Stage::ReadyToFailBack, at(30));
    let after = decide_on(&before, &ready, at(30)).status;
    let timing = after.timings[0].clone();
    assert_eq!((timing.verb.as_str(), timing.seconds, timing.bytes), ("SyncToVMware", 1800, Some(100 * GIB as i64)));
    let again = decide_on(&after, &facts(Stage::ReadyToFailBack, at(31)), at(31)).status;
    assert_eq!(again.timings, after.timings);

    let mut commits = status(Stage::HomeCommitted, None);
    for number in 0..12 {
        commits.operation = Some(record(Verb::Commit, OperationOutcome::Succeeded, at(number * 10)));
        commits = decide_on(&commits, &facts(Stage::HomeCommitted, at(200)), at(200)).status;
    }
    assert_eq!(commits.timings.len(), 10);
    assert_eq!((commits.timings[0].started_at.0, commits.timings[0].seconds), (at(110), 180), "newest first");
    let mut failed = status(Stage::FailedBack, None);
    failed.operation = Some(record(Verb::Commit, OperationOutcome::Failed, at(0)));
    assert!(decide_on(&failed, &facts(Stage::FailedBack, at(9)), at(9)).status.timings.is_empty());
}
