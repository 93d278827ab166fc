//! What is left of a machine's way, and what that rests on.

use failback::{
    api::{
        DecidedLocation, DesiredPhase, EstimateBasis, ItemPhase, LocationStatus, OperationOutcome, Progress,
        ReplicatedItemStatus, StepTiming, Transfer,
    },
    core::{
        action::Verb,
        estimate::{Measured, Step, machine, remaining, settled, size, span},
        stage::Stage,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::support::{PHASES, at, record, status};

fn of_size(stage: Stage, bytes: i64, transfer: Transfer) -> ReplicatedItemStatus {
    let location = LocationStatus {
        decided: DecidedLocation::Original,
        reason: String::new(),
        transfer,
        bytes: Some(bytes),
        estimated_seconds: None,
    };
    let generation = Some("Modernized".to_owned());
    ReplicatedItemStatus { location: Some(location), generation, ..status(stage, None) }
}

fn timing(verb: &str, seconds: i64, bytes: Option<i64>) -> StepTiming {
    StepTiming { verb: verb.to_owned(), started_at: Time(at(0)), ended_at: Time(at(60)), seconds, bytes }
}

/// Each step as `Step seconds basis`, or why it is not known.
fn told(status: &ReplicatedItemStatus, desired: DesiredPhase, measured: &Measured, minute: i64) -> Vec<String> {
    let steps = machine(status, desired, 60, measured, at(minute)).unwrap();
    let tell = |time: Result<_, String>| match time {
        Ok(failback::core::estimate::Timed { seconds, basis }) => format!("{seconds} {basis:?}"),
        Err(why) => why,
    };
    steps.into_iter().map(|step| format!("{} {}", step.step.as_str(), tell(step.time))).collect()
}

#[test]
fn without_a_measurement_jobs_are_typical_and_transfers_unknown() {
    let item = of_size(Stage::FailedOver, 40_000_000_000, Transfer::Full);
    let expected = [
        "Reprotect 720 Typical",
        "SyncToVMware SyncToVMware: no transfer rate was measured yet",
        "FailBack 1260 Typical",
        "Soak 60 Declared",
        "Commit 120 Typical",
    ];
    assert_eq!(told(&item, DesiredPhase::Committed, &Measured::default(), 0), expected);
    let classic = ReplicatedItemStatus { generation: Some("Classic".to_owned()), ..item };
    let steps = told(&classic, DesiredPhase::FailedBack, &Measured::default(), 0);
    assert_eq!(steps[2], "FailBack FailBack was not measured on any machine yet");
}

#[test]
fn what_other_machines_measured_is_used() {
    let mut done = of_size(Stage::ReadyToFailBack, 1, Transfer::Full);
    let sync = timing("SyncToVMware", 100, Some(1_000_000_000));
    done.timings =
        vec![timing("Reprotect", 600, None), timing("Reprotect", 660, None), timing("Reprotect", 9000, None), sync];
    let measured = Measured::of([&done]);
    let full = of_size(Stage::FailedOver, 40_000_000_000, Transfer::Full);
    let expected = ["Reprotect 660 MeasuredElsewhere", "SyncToVMware 4000 MeasuredElsewhere"];
    assert_eq!(told(&full, DesiredPhase::Reprotected, &measured, 0), expected, "the median; ten megabytes a second");
    let changes = of_size(Stage::FailedOver, 40_000_000_000, Transfer::Changes);
    let steps = told(&changes, DesiredPhase::Reprotected, &measured, 0);
    assert_eq!(steps[1], "SyncToVMware SyncToVMware: no transfer rate was measured yet", "comparing is another speed");
    let unsized_ = ReplicatedItemStatus { location: None, ..full };
    let steps = told(&unsized_, DesiredPhase::Reprotected, &measured, 0);
    assert_eq!(steps[1], "SyncToVMware SyncToVMware: the size of the machine's disks is not known yet");
}

#[test]
fn its_own_progress_comes_first() {
    let mut item = of_size(Stage::SyncingToVMware, 40_000_000_000, Transfer::Full);
    item.progress = Some(Progress {
        step: "SyncToVMware".to_owned(),
        estimated_completion: Some(Time(at(30))),
        estimate_basis: Some(EstimateBasis::Measured),
        ..Progress::default()
    });
    assert_eq!(told(&item, DesiredPhase::Reprotected, &Measured::default(), 0), ["SyncToVMware 1800 Measured"]);
    let late = told(&item, DesiredPhase::Reprotected, &Measured::default(), 31);
    assert_eq!(late, ["SyncToVMware SyncToVMware: no transfer rate was measured yet"]);
    let progress = item.progress.as_mut().unwrap();
    (progress.since, progress.percent, progress.percent_at_start) = (Some(Time(at(0))), Some(90), Some(0));
    let late = told(&item, DesiredPhase::Reprotected, &Measured::default(), 36);
    assert_eq!(late, ["SyncToVMware 240 Measured"], "90 % in 36 minutes");
}

#[test]
fn a_running_job_has_less_left_and_a_late_one_is_about_to_end() {
    let mut item = of_size(Stage::ReadyToFailBack, 1, Transfer::Full);
    item.phase = ItemPhase::FailingBack;
    item.operation = Some(record(Verb::FailBack, OperationOutcome::Submitted, at(0)));
    let left = |measured: &Measured, minute: i64| told(&item, DesiredPhase::FailedBack, measured, minute);
    assert_eq!(left(&Measured::default(), 6), ["FailBack 900 Typical"]);
    assert_eq!(left(&Measured::default(), 22), ["FailBack 126 Typical"], "a tenth of what is usual");
    assert_eq!(left(&Measured::default(), 90), ["FailBack 126 Typical"]);
    let of =
        |minutes: i64| ReplicatedItemStatus { timings: vec![timing("FailBack", minutes * 60, None)], ..item.clone() };
    let measured = Measured::of(&[of(10), of(20), of(30), of(40), of(50)]);
    let expected = [(0, 1_800), (9, 1_260), (15, 1_500), (29, 660), (31, 1_140), (49, 180), (51, 180)];
    for (minute, seconds) in expected {
        // By those that took longer than so many minutes.
        assert_eq!(left(&measured, minute), [format!("FailBack {seconds} MeasuredElsewhere")], "{minute}");
    }
}

#[test]
fn steps_are_those_between_here_and_there() {
    for phase in PHASES {
        let item = ReplicatedItemStatus { phase, ..ReplicatedItemStatus::default() };
        for desired in DesiredPhase::ALL {
            let Ok(steps) = remaining(&item, desired) else {
                assert!(matches!(phase, ItemPhase::Unknown | ItemPhase::Cancelling));
                continue;
            };
            assert!(steps.windows(2).all(|pair| pair[0].0 < pair[1].0), "{phase:?} {desired:?}");
            assert!(steps.iter().skip(1).all(|(_, running)| !running), "only the first one runs");
            if desired == DesiredPhase::Assessed || phase == ItemPhase::Protected {
                assert_eq!(steps, []);
            }
        }
    }
    let home = ReplicatedItemStatus { phase: ItemPhase::Committed, ..ReplicatedItemStatus::default() };
    assert_eq!(
        remaining(&home, DesiredPhase::Protected).unwrap(),
        [(Step::Protect, false), (Step::SyncToAzure, false)]
    );
}

#[test]
fn times_are_settled_to_the_minute() {
    let second = jiff::SignedDuration::from_secs(1);
    assert_eq!(settled(None, at(10) + second, at(0)).0, at(11));
    assert_eq!(settled(None, at(10), at(0)).0, at(10));
    let old = Time(at(100));
    assert_eq!(settled(Some(&old), at(104), at(0)).0, at(100), "five per cent");
    assert_eq!(settled(Some(&old), at(106), at(0)).0, at(106));
    assert_eq!(settled(Some(&Time(at(10))), at(11), at(0)).0, at(11), "a minute");
    assert_eq!(settled(Some(&Time(at(1))), at(1) + second, at(2)).0, at(2), "a time that has passed is not kept");
}

#[test]
fn people_read_spans_and_sizes() {
    let spans = [(-5, "0 s"), (45, "45 s"), (90, "2 min"), (3_569, "59 min"), (3_570, "1 h"), (12_000, "3 h 20 min")];
    for (seconds, text) in spans {
        assert_eq!(span(seconds), text);
    }
    assert_eq!(span(187_200), "2 d 4 h");
    for (bytes, text) in
        [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (40 << 30, "40 GiB"), (i64::MAX, "8191 PiB")]
    {
        assert_eq!(size(bytes), text);
    }
}
