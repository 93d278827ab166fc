//! Looks at machines that came home, beside the passes: these read what was seen, and are woken when it changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use kube::{Resource, ResourceExt};

use super::job_probes::{About, JobLooks};
use crate::{
    api::{Probe, ReplicatedItem},
    core::{
        facts::ItemFacts,
        jobs,
        observed::Fact,
        probes::{ProbeFact, ProbeSeen},
        stage::Stage,
    },
    inventory::{Key, Wake},
    kube_io::jobs::JobWatch,
    ports::{Leadership, Prober, SharedClock},
};

/// How many looks are under way at the same time.
const AT_ONCE: usize = 64;
/// How many Jobs that look are under way at the same time: each is a pod.
const JOBS_AT_ONCE: usize = 32;

/// What the looks of one machine are about. When it changes, what was seen before says nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    let at_home = facts.replication.value().is_some_and(|seen| Stage::of(seen) == Stage::FailedBack);
    let wanted = claimed && at_home && item.metadata.deletion_timestamp.is_none();
    let probes = item.spec.verification.as_ref().map(|asked| asked.probes.clone()).filter(|asked| !asked.is_empty())?;
    let vm = facts.home_vm().filter(|_| wanted)?;
    let by_job = probes.iter().any(|probe| probe.job.is_some());
    let about = by_job.then(|| about(item, vm.ip_address.as_deref())).flatten();
    Some(Subject { probes, moref: vm.moref.clone(), guest_ip: vm.ip_address.clone(), about })
}

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
    subject: Subject,
    seen: Arc<Mutex<Vec<ProbeFact>>>,
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
}

struct Looker {
    prober: Arc<dyn Prober>,
    jobs: Arc<JobWatch>,
    clock: SharedClock,
    leadership: Arc<dyn Leadership>,
    wake: mpsc::UnboundedSender<Wake>,
    room: Semaphore,
    jobs_room: Semaphore,
}

impl Board {
    pub(super) fn new(
        prober: Arc<dyn Prober>,
        jobs: Arc<JobWatch>,
        clock: SharedClock,
        leadership: Arc<dyn Leadership>,
        wake: mpsc::UnboundedSender<Wake>,
    ) -> Self {
        let (room, jobs_room) = (Semaphore::new(AT_ONCE), Semaphore::new(JOBS_AT_ONCE));
        let looker = Looker { prober, jobs, clock, leadership, wake, room, jobs_room };
        Self { looker: Arc::new(looker), machines: Mutex::default() }
    }

    /// Looks at a machine from now on, or not any more. Looks that are about the same go on.
    pub(super) fn watch(&self, key: &Key, subject: Option<Subject>) {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        match subject {
            None => drop(machines.remove(key)),
            Some(subject) if machines.get(key).is_some_and(|watched| watched.subject == subject) => {}
            Some(subject) => drop(machines.insert(key.clone(), self.start(key, subject))),
        }
    }

    /// What the declared probes say now.
    pub(super) fn facts(&self, key: &Key, declared: &[Probe]) -> Fact<Vec<ProbeFact>> {
        let now = self.looker.clock.now();
        if declared.is_empty() {
            return Fact::seen(Vec::new(), now);
        }
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        match machines.get(key).filter(|watched| watched.subject.probes == declared) {
            Some(watched) => Fact::seen(watched.seen.lock().unwrap_or_else(PoisonError::into_inner).clone(), now),
            None => Fact::unknown("No probe has looked yet: they begin when the machine is seen at home."),
        }
    }

    fn start(&self, key: &Key, subject: Subject) -> Watched {
        let before: Vec<ProbeFact> = subject.probes.iter().map(ProbeFact::before_first).collect();
        let seen = Arc::new(Mutex::new(before));
        let tasks = subject
            .probes
            .iter()
            .map(|probe| {
                let (looker, key, probe) = (Arc::clone(&self.looker), key.clone(), probe.clone());
                tokio::spawn(looker.look_on(key, probe, subject.clone(), Arc::clone(&seen)))
            })
            .collect();
        Watched { subject, seen, tasks }
    }
}

impl Looker {
    async fn look_on(self: Arc<Self>, key: Key, probe: Probe, subject: Subject, seen: Arc<Mutex<Vec<ProbeFact>>>) {
        let interval = Duration::from_secs(u64::try_from(probe.interval_seconds).unwrap_or(5).max(5));
        loop {
            if self.leadership.is_valid_now() {
                let saw = self.look(&key, &probe, &subject).await;
                if note(&seen, &probe, saw, self.clock.now()) && self.wake.send(Wake::Item(key.clone())).is_err() {
                    return;
                }
            }
            tokio::time::sleep(self.clock.wall(interval)).await;
        }
    }

    async fn look(&self, key: &Key, probe: &Probe, subject: &Subject) -> ProbeSeen {
        let room = if probe.job.is_some() { &self.jobs_room } else { &self.room };
        match (room.acquire().await, &probe.job, &subject.about) {
            (Ok(_room), Some(job), Some(about)) => {
                let (clock, leadership) = (self.clock.as_ref(), self.leadership.as_ref());
                JobLooks { watch: &self.jobs, clock, leadership }.look(key, about, probe, job).await
            }
            (Ok(_room), _, _) => self.prober.look(probe, subject.guest_ip.as_deref()).await,
            (Err(_), _, _) => ProbeSeen::Inconclusive("The controller is stopping.".to_owned()),
        }
    }
}

/// Notes what was seen. True when it shows: the time of a look alone does not.
fn note(seen: &Mutex<Vec<ProbeFact>>, probe: &Probe, saw: ProbeSeen, now: jiff::Timestamp) -> bool {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(fact) = seen.iter_mut().find(|fact| fact.name == probe.name) else { return false };
    let stood = std::mem::replace(fact, fact.after(probe, saw, now));
    let shows = |fact: &ProbeFact| (fact.result, fact.message.clone(), fact.successes);
    shows(&stood) != shows(fact) || stood.is_stale(now)
}
