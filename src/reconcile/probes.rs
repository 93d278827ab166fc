//! Looks at machines that came home, beside the passes: these read what was seen, and are woken when it changes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinHandle,
};

use kube::{Resource, ResourceExt};

use super::job_probes::{About, JobLooks};
use crate::{
    api::{CheckResult, Probe, ReplicatedItem},
    core::{
        conditions,
        facts::ItemFacts,
        jobs,
        observed::{Fact, Replication},
        probes::{ProbeFact, ProbeSeen},
        stage::Stage,
    },
    inventory::{Key, Wake, patience},
    kube_io::jobs::JobWatch,
    ports::{Leadership, Prober, SharedClock},
};

/// How many looks are under way at the same time.
const AT_ONCE: usize = 64;
/// How many Jobs that look are under way at the same time in one namespace: each is a pod, and may take an hour, so that
/// those of one namespace take no place of the others'.
const JOBS_AT_ONCE: usize = 16;

/// What the looks of one machine are about. When it changes, what was seen before says nothing any more.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subject {
    pub(super) probes: Vec<Probe>,
    pub(super) moref: String,
    pub(super) guest_ip: Option<String>,
    /// What Jobs are told of it, where one of the probes is a Job.
    pub(super) about: Option<About>,
}

/// What is to be looked at: a machine that was failed back and is not committed, under a plan.
pub(super) fn subject(item: &ReplicatedItem, facts: &ItemFacts) -> Option<Subject> {
    let claimed = item.status.as_ref().is_some_and(|status| status.claim.is_some());
    let at_home = facts.replication.value().is_some_and(came_home);
    let wanted = claimed && at_home && item.metadata.deletion_timestamp.is_none();
    let probes = item.spec.verification.as_ref().map(|asked| asked.probes.clone()).filter(|asked| !asked.is_empty())?;
    let vm = facts.home_vm().filter(|_| wanted)?;
    let by_job = probes.iter().any(|probe| probe.job.is_some());
    let about = by_job.then(|| about(item, vm.ip_address.as_deref())).flatten();
    Some(Subject { probes, moref: vm.moref.clone(), guest_ip: vm.ip_address.clone(), about })
}

fn came_home(seen: &Replication) -> bool {
    Stage::of(seen) == Stage::FailedBack && !seen.failback_incomplete()
}

/// The probes of a machine that is recorded as verified, as it is declared now: they passed when they looked last.
pub(super) fn passed_before(item: &ReplicatedItem) -> Passed {
    let Some(status) = &item.status else { return Passed::new() };
    let verified = conditions::find(&status.conditions, "Verified").filter(|verified| verified.status == "True");
    let Some(verified) = verified.filter(|_| status.observed_generation == item.metadata.generation) else {
        return Passed::new();
    };
    let passed = status.probes.iter().filter(|row| row.result == CheckResult::Passed);
    passed.map(|row| (row.name.clone(), verified.last_transition_time.0)).collect()
}

/// Probes by name, and since when they are recorded to pass.
pub(super) type Passed = HashMap<String, Timestamp>;

fn about(item: &ReplicatedItem, guest_ip: Option<&str>) -> Option<About> {
    let status = item.status.as_ref()?;
    let claim = status.claim.as_ref()?;
    let mut environment = jobs::of_item(&item.name_any(), &item.spec, status, guest_ip);
    environment.insert("FAILBACK_NAMESPACE", item.namespace()?);
    environment.insert("FAILBACK_PLAN", claim.plan.clone());
    environment.insert("FAILBACK_WAVE", claim.wave.clone());
    Some(About { uid: item.meta().uid.clone()?, environment })
}

/// The looks of one machine; they end when this is dropped.
struct Watched {
    /// The latest, for the looks to come.
    subject: watch::Sender<Subject>,
    seen: Arc<Mutex<Vec<ProbeFact>>>,
    /// When they began, where they passed for another process before.
    taken_over: Option<Instant>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What probes saw, of every machine that is looked at.
pub(super) struct Board {
    looker: Arc<Looker>,
    machines: Mutex<HashMap<Key, Watched>>,
    /// The machines that this process has looked at: of these it knows more than is recorded.
    begun: Mutex<HashSet<Key>>,
}

struct Looker {
    prober: Arc<dyn Prober>,
    jobs: Arc<JobWatch>,
    clock: SharedClock,
    leadership: Arc<dyn Leadership>,
    wake: mpsc::UnboundedSender<Wake>,
    room: Arc<Semaphore>,
    jobs_rooms: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Board {
    pub(super) fn new(
        prober: Arc<dyn Prober>,
        jobs: Arc<JobWatch>,
        clock: SharedClock,
        leadership: Arc<dyn Leadership>,
        wake: mpsc::UnboundedSender<Wake>,
    ) -> Self {
        let (room, jobs_rooms) = (Arc::new(Semaphore::new(AT_ONCE)), Mutex::default());
        let looker = Looker { prober, jobs, clock, leadership, wake, room, jobs_rooms };
        Self { looker: Arc::new(looker), machines: Mutex::default(), begun: Mutex::default() }
    }

    /// Looks at a machine from now on, or not any more. Looks that are about the same go on. `passed` names the probes
    /// that are recorded to pass: that counts where this process has not looked before.
    pub(super) fn watch(&self, key: &Key, subject: Option<Subject>, passed: &Passed) {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        match subject {
            None => drop(machines.remove(key)),
            Some(subject) => match machines.get(key).filter(|watched| *watched.subject.borrow() == subject) {
                Some(watched) => drop(watched.subject.send_replace(subject)),
                None => {
                    let first = self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
                    let passed = if first { passed } else { &Passed::new() };
                    drop(machines.insert(key.clone(), self.start(key, subject, passed)));
                }
            },
        }
    }

    /// The object is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.watch(key, None, &Passed::new());
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Whether probes that passed for another process are yet to look for the first time.
    pub(super) fn awaits(&self, key: &Key) -> bool {
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = patience(self.looker.clock.as_ref());
        let taken_over = |watched: &&Watched| watched.taken_over.is_some_and(|began| began.elapsed() < longest);
        machines.get(key).filter(taken_over).is_some_and(|watched| {
            let seen = watched.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.iter().any(|probe| probe.at.is_none())
        })
    }

    /// What the declared probes say now.
    pub(super) fn facts(&self, key: &Key, declared: &[Probe]) -> Fact<Vec<ProbeFact>> {
        let now = self.looker.clock.now();
        if declared.is_empty() {
            return Fact::seen(Vec::new(), now);
        }
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        match machines.get(key).filter(|watched| watched.subject.borrow().probes == declared) {
            Some(watched) => Fact::seen(watched.seen.lock().unwrap_or_else(PoisonError::into_inner).clone(), now),
            None => Fact::unknown("No probe has looked yet: they begin when the machine is seen at home."),
        }
    }

    fn start(&self, key: &Key, subject: Subject, passed: &Passed) -> Watched {
        let before = |probe: &Probe| {
            let fact = ProbeFact::before_first(probe);
            match passed.get(&probe.name) {
                Some(since) => fact.passed_before(probe, *since),
                None => fact,
            }
        };
        let before: Vec<ProbeFact> = subject.probes.iter().map(before).collect();
        let taken_over = (!passed.is_empty()).then(Instant::now);
        let seen = Arc::new(Mutex::new(before));
        let probes = subject.probes.clone();
        let (subject, latest) = watch::channel(subject);
        let tasks = probes
            .into_iter()
            .map(|probe| {
                let (looker, key) = (Arc::clone(&self.looker), key.clone());
                tokio::spawn(looker.look_on(key, probe, latest.clone(), Arc::clone(&seen)))
            })
            .collect();
        Watched { subject, seen, taken_over, tasks }
    }
}

impl Looker {
    async fn look_on(
        self: Arc<Self>,
        key: Key,
        probe: Probe,
        subject: watch::Receiver<Subject>,
        seen: Arc<Mutex<Vec<ProbeFact>>>,
    ) {
        let interval = Duration::from_secs(u64::try_from(probe.interval_seconds).unwrap_or(5).max(5));
        loop {
            if self.leadership.is_valid_now() {
                let wake = || self.wake.send(Wake::Item(key.clone()));
                // Who is gone does not listen after the look either.
                let waits = |why: &str| drop(note(&seen, &probe, |fact| fact.waiting(why)).then(wake));
                let saw = self.look(&key, &probe, &subject, &seen, &waits).await;
                let now = self.clock.now();
                if note(&seen, &probe, |fact| fact.after(&probe, saw, now)) && wake().is_err() {
                    return;
                }
            }
            tokio::time::sleep(self.clock.wall(interval)).await;
        }
    }

    async fn look(
        &self,
        key: &Key,
        probe: &Probe,
        subject: &watch::Receiver<Subject>,
        seen: &Mutex<Vec<ProbeFact>>,
        waits: &(dyn Fn(&str) + Send + Sync),
    ) -> ProbeSeen {
        of_probe(seen, probe, |fact| fact.queued_since = Some(self.clock.now()));
        let room = self.room(key, probe).await;
        of_probe(seen, probe, |fact| fact.begins(self.clock.now()));
        let subject = subject.borrow().clone();
        match (room, &probe.job, &subject.about) {
            (Some(_room), Some(job), Some(about)) => {
                let (clock, leadership) = (self.clock.as_ref(), self.leadership.as_ref());
                JobLooks { watch: &self.jobs, clock, leadership, waits }.look(key, about, probe, job).await
            }
            (Some(_room), _, _) => self.prober.look(probe, subject.guest_ip.as_deref()).await,
            (None, _, _) => ProbeSeen::Inconclusive("The controller is stopping.".to_owned()),
        }
    }

    /// Waits for a place.
    async fn room(&self, key: &Key, probe: &Probe) -> Option<OwnedSemaphorePermit> {
        let room = if probe.job.is_some() { self.jobs_room(&key.namespace) } else { Arc::clone(&self.room) };
        room.acquire_owned().await.ok()
    }

    fn jobs_room(&self, namespace: &str) -> Arc<Semaphore> {
        let mut rooms = self.jobs_rooms.lock().unwrap_or_else(PoisonError::into_inner);
        // Kept while somebody is in, or waits.
        rooms.retain(|_, room| Arc::strong_count(room) > 1);
        Arc::clone(rooms.entry(namespace.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(JOBS_AT_ONCE))))
    }
}

/// Notes what was seen. True when it shows: the time of a look alone does not.
fn note(seen: &Mutex<Vec<ProbeFact>>, probe: &Probe, change: impl FnOnce(&ProbeFact) -> ProbeFact) -> bool {
    let noted = of_probe(seen, probe, |fact| {
        let next = change(fact);
        let stood = std::mem::replace(fact, next);
        let shows = |fact: &ProbeFact| (fact.result, fact.message.clone(), fact.successes);
        // Whoever waited for a look that counts is told that there is one.
        shows(&stood) != shows(fact) || fact.at.is_some_and(|at| stood.is_stale(at))
    });
    noted.unwrap_or_default()
}

/// What is known of one probe of the machine.
fn of_probe<T>(seen: &Mutex<Vec<ProbeFact>>, probe: &Probe, with: impl FnOnce(&mut ProbeFact) -> T) -> Option<T> {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.iter_mut().find(|fact| fact.name == probe.name).map(with)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::ports::Clock;

    /// Time stands, and every look is good.
    struct Still;

    #[async_trait]
    impl Prober for Still {
        async fn look(&self, _: &Probe, _: Option<&str>) -> ProbeSeen {
            ProbeSeen::Good("It answers.".to_owned())
        }
    }

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn wall(&self, span: Duration) -> Duration {
            span
        }
    }

    impl Leadership for Still {
        fn is_valid_now(&self) -> bool {
            true
        }
    }

    fn board() -> (Board, mpsc::UnboundedReceiver<Wake>) {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, std::convert::Infallible>>()
        });
        let (jobs, _) = JobWatch::new(kube::Client::new(nobody, "default"));
        let (wake, woken) = mpsc::unbounded_channel();
        (Board::new(Arc::new(Still), Arc::new(jobs), Arc::new(Still), Arc::new(Still), wake), woken)
    }

    fn subject(uid: &str, phase: &str) -> Subject {
        let probe = json!({ "name": "port", "tcp": { "port": 443 } });
        let about = About { uid: uid.to_owned(), environment: [("FAILBACK_PHASE", phase.to_owned())].into() };
        Subject {
            probes: vec![serde_json::from_value(probe).unwrap()],
            moref: "vm-1".to_owned(),
            guest_ip: None,
            about: Some(about),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_holds_on_while_the_phase_changes() {
        let (board, mut woken) = board();
        let key = Key { namespace: "dr".to_owned(), name: "web-01".to_owned() };
        let first = subject("one", "FailingBack");
        let successes = || board.facts(&key, &first.probes).value().unwrap()[0].successes;
        board.watch(&key, Some(first.clone()), &Passed::new());
        woken.recv().await.unwrap();
        assert_eq!(successes(), 1);
        board.watch(&key, Some(subject("one", "FailedBack")), &Passed::new());
        assert_eq!(successes(), 1, "the same machine");
        let told = board.machines.lock().unwrap()[&key].subject.borrow().about.clone().unwrap();
        assert_eq!(told.environment["FAILBACK_PHASE"], "FailedBack", "looks to come are told the latest");
        board.watch(&key, Some(subject("two", "FailedBack")), &Passed::new());
        assert_eq!(successes(), 0, "another machine of that name");
    }

    #[tokio::test(start_paused = true)]
    async fn what_passed_for_another_process_passes_at_the_first_good_look_and_not_before() {
        let (board, mut woken) = board();
        let key = Key { namespace: "dr".to_owned(), name: "web-01".to_owned() };
        let mut first = subject("one", "FailedBack");
        first.probes[0].success_threshold = 3;
        let fact = || board.facts(&key, &first.probes).value().unwrap()[0].clone();
        board.watch(&key, Some(first.clone()), &Passed::from([("port".to_owned(), Timestamp::UNIX_EPOCH)]));
        assert!(board.awaits(&key));
        assert_eq!(fact().result, CheckResult::Unknown, "this process has not looked");
        woken.recv().await.unwrap();
        assert!(!board.awaits(&key));
        assert_eq!(fact().result, CheckResult::Passed);
        // What is recorded says nothing of another machine, nor of one that this process has looked at.
        let other = Subject { moref: "vm-2".to_owned(), ..first.clone() };
        board.watch(&key, Some(other), &Passed::from([("port".to_owned(), Timestamp::UNIX_EPOCH)]));
        assert!(!board.awaits(&key));
        woken.recv().await.unwrap();
        assert_eq!(fact().result, CheckResult::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_without_a_place_shows_that_it_waits_for_one() {
        let (board, mut woken) = board();
        let key = Key { namespace: "dr".to_owned(), name: "web-01".to_owned() };
        let wanted = subject("one", "FailedBack");
        let queued = || board.facts(&key, &wanted.probes).value().unwrap()[0].queued_since.is_some();
        let others = Arc::clone(&board.looker.room).acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        board.watch(&key, Some(wanted.clone()), &Passed::new());
        tokio::task::yield_now().await;
        assert!(queued());
        drop(others);
        woken.recv().await.unwrap();
        assert!(!queued());
    }

    #[test]
    fn a_first_look_that_takes_long_says_what_it_waits_for() {
        let probe = subject("one", "FailedBack").probes.remove(0);
        let seen = Mutex::new(vec![ProbeFact::before_first(&probe)]);
        let message = || seen.lock().unwrap()[0].message.clone();
        let waits = || note(&seen, &probe, |fact| fact.waiting("The image \"x\" cannot be pulled."));
        assert!(waits() && !waits(), "told once");
        assert_eq!(message(), "Its first look waits: The image \"x\" cannot be pulled.");
        let good = ProbeSeen::Good("It answers.".to_owned());
        assert!(note(&seen, &probe, |fact| fact.after(&probe, good, Timestamp::UNIX_EPOCH)));
        assert!(!waits(), "later looks leave what was seen");
        assert_eq!(message(), "It answers.");
    }

    #[tokio::test]
    async fn jobs_of_one_namespace_take_no_place_of_the_others() {
        let (board, _) = board();
        let take = |namespace: &str| board.looker.jobs_room(namespace).try_acquire_owned();
        let taken: Vec<_> = (0..JOBS_AT_ONCE).map(|_| take("one").unwrap()).collect();
        assert!(take("one").is_err() && take("two").is_ok());
        drop(taken);
        assert!(take("one").is_ok());
    }
}
