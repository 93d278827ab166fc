//! The job that a machine waits for, which is read by itself.

use super::*;

/// A reprotect of the machine "a" as the list shows it.
fn listed(state: JobState) -> Job {
    let begun = Timestamp::from_second(1_000_000).unwrap();
    let ended = matches!(state, JobState::Succeeded | JobState::Failed | JobState::Cancelled);
    Job {
        id: "J1".to_owned(),
        scenario: Scenario::Reprotect,
        state,
        state_description: String::new(),
        target_id: String::new(),
        target_name: "a".to_owned(),
        started: Some(begun),
        ended: ended.then_some(begun),
        current_task: None,
        errors: Vec::new(),
        details: Details::Listed,
    }
}

impl Bench {
    /// One whose machine waits for a job.
    async fn following(state: JobState) -> Self {
        let mut bench = Self::of(vec![classic("a")]);
        bench.change(|site| site.jobs = vec![listed(state)]);
        bench.inventory.follow(&key("a"), Some("j1"));
        bench.inventory.watch(&key("a"), "a", Some("/vm"), true);
        bench.round(0).await;
        bench
    }

    /// The job as the machine is shown it.
    fn job(&self) -> Job {
        self.inventory.item("a").jobs.value().unwrap()[0].clone()
    }
}

/// A list tells neither errors nor tasks. The budget: once a minute while it runs, once more when it failed.
#[tokio::test]
async fn a_followed_job_is_read_by_itself() {
    let mut bench = Bench::following(JobState::InProgress).await;
    assert_eq!(bench.job().current_task.as_deref(), Some("Copying"));
    for _ in 0..20 {
        assert_eq!(bench.round(15).await, 0, "nothing is new");
    }
    assert_eq!(bench.port.count("job"), 6, "once, and once a minute for five");

    bench.change(|site| site.jobs = vec![listed(JobState::Failed)]);
    bench.round(15).await;
    let job = bench.job();
    let codes: Vec<_> = job.errors.iter().map(|error| error.code.as_str()).collect();
    assert_eq!((&job.state, &job.details, codes), (&JobState::Failed, &Details::Read, vec!["95226"]));
    for _ in 0..20 {
        bench.round(15).await;
    }
    assert_eq!(bench.port.count("job"), 7, "an end is read once");
    bench.inventory.follow(&key("a"), None);
    bench.round(60).await;
    assert_eq!(bench.job().details, Details::Listed, "nobody follows it any more");
    assert_eq!(bench.port.count("job"), 7);
}

#[tokio::test]
async fn a_job_that_succeeded_or_that_nobody_follows_is_not_read_by_itself() {
    let mut bench = Bench::following(JobState::Succeeded).await;
    bench.round(60).await;
    bench.inventory.follow(&key("a"), None);
    bench.change(|site| site.jobs = vec![listed(JobState::Failed)]);
    bench.round(60).await;
    assert_eq!(bench.port.count("job"), 0);
}

#[tokio::test]
async fn a_job_that_cannot_be_read_says_why_and_harms_nothing_else() {
    let mut bench = Bench::of(vec![classic("a")]);
    bench.change(|site| {
        site.jobs = vec![listed(JobState::Failed)];
        site.job_refused = Some(FailureClass::Denied);
    });
    bench.inventory.follow(&key("a"), Some("j1"));
    bench.inventory.watch(&key("a"), "a", Some("/vm"), true);
    bench.round(0).await;
    let since = bench.clock.now();
    bench.round(60).await;
    let refused = Details::Refused { since, why: "Not this job.".to_owned() };
    assert_eq!(bench.job().details, refused, "since the first time");
    assert!(bench.inventory.item("a").replication.value().is_some_and(|item| item.complete));
    bench.change(|site| site.job_refused = Some(FailureClass::NotFound));
    bench.round(15).await;
    assert_eq!((bench.job().details, bench.job().errors.len()), (Details::Read, 0), "there is no more to be read");
    let asked = bench.port.count("job");
    bench.round(15).await;
    assert_eq!(bench.port.count("job"), asked);
}
