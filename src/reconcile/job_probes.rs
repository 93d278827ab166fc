//! A Job as a probe: each look is a Job, which passes by being complete.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    api::{JobProbe, Probe},
    core::{
        jobs::{self, Environment, JobEnd, JobOrder, PROBE_LABEL},
        probes::ProbeSeen,
    },
    inventory::Key,
    kube_io::jobs::{JobWatch, Listing, NotMade},
    ports::{Clock, Leadership},
};

/// A look's Job goes so long after its end: it was seen by then, and the next one comes.
const TTL: i64 = 120;
/// How long the listing of Jobs may take, and Kubernetes to say that a Job has passed its deadline.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the pods of a Job are looked at, of which none has been seen to run.
const PODS_AGAIN: Duration = Duration::from_secs(5);

/// The machine that is looked at.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) uid: String,
    pub(super) environment: Environment,
}

/// The same machine, whatever is told of it: its phase changes while it is looked at, and what was seen holds on.
impl PartialEq for About {
    fn eq(&self, other: &Self) -> bool {
        self.uid == other.uid
    }
}

/// What looks need.
pub(super) struct JobLooks<'a> {
    pub(super) watch: &'a JobWatch,
    pub(super) clock: &'a dyn Clock,
    pub(super) leadership: &'a dyn Leadership,
    /// Is told what a Job waits for, of which no container has run yet.
    pub(super) waits: &'a (dyn Fn(&str) + Send + Sync),
}

impl JobLooks<'_> {
    /// One look. A Job of this probe that still runs, from before a restart, is that look.
    pub(super) async fn look(&self, key: &Key, about: &About, probe: &Probe, job: &JobProbe) -> ProbeSeen {
        if let Some(why) = jobs::unfit(&job.job_template) {
            return ProbeSeen::Inconclusive(format!("job.{why}"));
        }
        if let Err(seen) = self.listed(key, about).await {
            return seen;
        }
        let name = match self.running(key, about, probe) {
            Some(name) => name,
            None => match self.make(key, about, probe, job).await {
                Ok(name) => name,
                Err(seen) => return seen,
            },
        };
        let limit = Duration::from_secs(u64::try_from(probe.timeout_seconds).unwrap_or(10).max(10));
        let (end, ran) = self.ended(key, about, &name, Instant::now() + self.clock.wall(limit) + PATIENCE).await;
        match (end, ran) {
            (Some(JobEnd::Succeeded), _) => ProbeSeen::Good("Its Job succeeded.".to_owned()),
            (Some(JobEnd::Failed(why)), Ok(())) => {
                ProbeSeen::Bad(format!("Its Job failed: {}.", why.trim_end_matches('.')))
            }
            // A registry that is down says nothing about the machine.
            (Some(JobEnd::Failed(why)), Err(last)) => ProbeSeen::Inconclusive(format!(
                "Its Job failed, and none of its containers was seen to run ({}). {last}",
                why.trim_end_matches('.')
            )),
            (None, Ok(())) => ProbeSeen::Inconclusive("Its Job was not seen to end within its time.".to_owned()),
            (None, Err(last)) => {
                ProbeSeen::Inconclusive(format!("Its Job was not seen to end within its time. {last}"))
            }
        }
    }

    /// How a Job ended, and whether a container of it ran, or what it waited for last. Pods that never ran are gone once
    /// their Job has passed its deadline, so that they are looked at before.
    async fn ended(
        &self,
        key: &Key,
        about: &About,
        name: &str,
        limit: Instant,
    ) -> (Option<JobEnd>, Result<(), String>) {
        let mut ran = Err("Its pods were not seen.".to_owned());
        loop {
            let next = limit.min(Instant::now() + self.clock.wall(PODS_AGAIN));
            let end = self.until(key, if ran.is_ok() { limit } else { next }, || {
                let (_, found) = self.watch.of_owner(&key.namespace, &about.uid);
                jobs::look(found.iter().find(|job| job.name_any() == name)?, None).end
            });
            let end = end.await;
            if let Err(last) = &mut ran
                && end != Some(JobEnd::Succeeded)
            {
                match timeout_at(Instant::now() + PATIENCE, self.watch.pods(&key.namespace, name)).await {
                    Ok(Ok(pods)) if jobs::has_run(&pods) => ran = Ok(()),
                    Ok(Ok(pods)) if pods.is_empty() => {}
                    Ok(Ok(pods)) => *last = jobs::why_waiting(&pods),
                    Ok(Err(error)) => *last = format!("Its pods cannot be listed: {error}."),
                    Err(_) => *last = "Its pods could not be listed in time.".to_owned(),
                }
                if let Err(last) = &ran {
                    (self.waits)(last);
                }
            }
            if end.is_some() || Instant::now() >= limit {
                return (end, ran);
            }
        }
    }

    /// Waits until Jobs can be seen.
    async fn listed(&self, key: &Key, about: &About) -> Result<(), ProbeSeen> {
        let listing =
            self.until(key, Instant::now() + PATIENCE, || match self.watch.of_owner(&key.namespace, &about.uid).0 {
                Listing::NotYet => None,
                Listing::Done => Some(Ok(())),
                Listing::Refused(why) => Some(Err(ProbeSeen::Inconclusive(format!("Jobs cannot be seen: {why}")))),
            });
        let slow = || Err(ProbeSeen::Inconclusive("The Jobs of this namespace are not listed yet.".to_owned()));
        listing.await.unwrap_or_else(slow)
    }

    /// Asks again after each change, until there is an answer or the time is over.
    async fn until<T>(&self, key: &Key, limit: Instant, ask: impl Fn() -> Option<T>) -> Option<T> {
        let mut changes = self.watch.changes(&key.namespace);
        loop {
            changes.mark_unchanged();
            if let Some(answer) = ask() {
                return Some(answer);
            }
            if timeout_at(limit, changes.changed()).await.ok()?.is_err() {
                // The namespace is listed anew.
                timeout_at(limit, sleep(Duration::from_secs(1))).await.ok()?;
                changes = self.watch.changes(&key.namespace);
            }
        }
    }

    fn running(&self, key: &Key, about: &About, probe: &Probe) -> Option<String> {
        let (_, found) = self.watch.of_owner(&key.namespace, &about.uid);
        let is_it = |job: &&Arc<Job>| {
            job.labels().get(PROBE_LABEL) == Some(&label(probe)) && jobs::look(job, None).end.is_none()
        };
        found.iter().find(is_it).map(|job| job.name_any())
    }

    async fn make(&self, key: &Key, about: &About, probe: &Probe, job: &JobProbe) -> Result<String, ProbeSeen> {
        let at = self.clock.now().to_string();
        let name = jobs::name(&format!("probe-{}", label(probe)), &[&about.uid, &probe.name, &at]);
        let mut environment = about.environment.clone();
        environment.insert("FAILBACK_PROBE", probe.name.clone());
        let body = jobs::body(&JobOrder {
            name: &name,
            namespace: &key.namespace,
            template: &job.job_template,
            owner: ["failback.dev/v1alpha1", "ReplicatedItem", &key.name, &about.uid],
            labels: &[(PROBE_LABEL, label(probe))],
            environment: &environment,
            timeout_seconds: probe.timeout_seconds,
            least_ttl: TTL,
            ttl: Some(TTL),
        });
        if !self.leadership.is_valid_now() {
            return Err(ProbeSeen::Inconclusive("This process no longer holds the lease.".to_owned()));
        }
        match self.watch.make(&key.namespace, &body).await {
            Ok(_) => Ok(name),
            Err(NotMade::Refused(why)) => Err(ProbeSeen::Inconclusive(format!("Its Job cannot be made: {why}"))),
            Err(NotMade::Failed(error)) => {
                tracing::warn!(%error, item = %key.name, namespace = %key.namespace, probe = %probe.name, "a probe's Job was not made");
                Err(ProbeSeen::Inconclusive("Its Job could not be made: the API server did not answer.".to_owned()))
            }
        }
    }
}

/// The name of a probe as a label's value and as a part of a Job's name: it may be any text.
fn label(probe: &Probe) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let plain: String = probe.name.chars().map(fits).take(30).collect();
    let plain = plain.trim_matches('-');
    if plain == probe.name { plain.to_owned() } else { jobs::name(plain, &[&probe.name]).trim_matches('-').to_owned() }
}
