//! The Jobs of a plan's hooks: how they stand, making those that are due, and telling how they ended.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1::Job, core::v1::ObjectReference};
use kube::{Resource, ResourceExt};

use super::{context::Context, gather};
use crate::{
    api::{FailbackPlan, Hook, HookOutcome, HookStatus, ReplicatedItem},
    core::{
        decide::{
            events::EventDraft,
            plan::{HookRun, REFUSED_AGAIN},
        },
        jobs::{self, HOOK_LABEL, JobOrder, JobsSeen, Refusal},
    },
    inventory::Key,
    kube_io::{
        jobs::{JobWatch, Listing, NotMade, Told},
        write::WriteError,
    },
};

/// A Job must be there for an hour after its end, so that its end is seen also by a controller that was away.
const LEAST_TTL: i64 = 3600;
/// Pods are not looked at before: most start.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// How often the pods of one Job are looked at.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// How many Jobs' pods one pass looks at.
const MOST_LOOKS: usize = 8;

/// What is known of a Job whose pods do not run.
#[derive(Clone, Debug)]
struct Waiting {
    since: Timestamp,
    looked: Option<Timestamp>,
    what: Option<String>,
}

/// A Job that could not be made.
#[derive(Clone, Debug)]
struct Refused {
    refusal: Refusal,
    at: Timestamp,
    generation: Option<i64>,
}

/// The Jobs of hooks and probes, and what no object remembers of them.
pub(super) struct Jobs {
    pub(super) watch: Arc<JobWatch>,
    waiting: Mutex<HashMap<String, Waiting>>,
    refused: Mutex<HashMap<Key, Refused>>,
}

impl Jobs {
    pub(super) fn new(watch: Arc<JobWatch>) -> Self {
        Self { watch, waiting: Mutex::default(), refused: Mutex::default() }
    }

    /// How the Jobs of a plan stand. Without hooks nobody asks.
    pub(super) async fn of_plan(&self, key: &Key, plan: &FailbackPlan, uid: &str, now: Timestamp) -> JobsSeen {
        if plan.spec.hooks.is_empty() {
            return JobsSeen::NotYet;
        }
        let (listing, found) = self.watch.of_owner(&key.namespace, uid);
        match listing {
            Listing::NotYet => return JobsSeen::NotYet,
            Listing::Refused(why) => return JobsSeen::Unreadable(why),
            Listing::Done => {}
        }
        self.forget(now);
        let mut seen = BTreeMap::new();
        let mut looks = MOST_LOOKS;
        for job in found {
            let waits = if idle(&job) { self.waits(key, &job, now, &mut looks).await } else { None };
            if waits.is_none() && !idle(&job) {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&job.uid().unwrap_or_default());
            }
            seen.insert(job.name_any(), jobs::look(&job, waits));
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let of_here = refused.iter().filter(|(of, _)| of.namespace == key.namespace);
        JobsSeen::Listed {
            jobs: seen,
            refused: of_here.map(|(of, no)| (of.name.clone(), no.refusal.clone())).collect(),
        }
    }

    /// Jobs that are gone leave nothing behind: one that waits ends within a day by its timeout, and one that is still
    /// refused is noted anew each minute.
    fn forget(&self, now: Timestamp) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, known| known.since + SignedDuration::from_hours(24) > now);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, known| known.at + SignedDuration::from_hours(1) > now);
    }

    /// What a Job waits for, none of whose pods runs.
    async fn waits(&self, key: &Key, job: &Job, now: Timestamp, looks: &mut usize) -> Option<String> {
        let uid = job.uid()?;
        let known = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.entry(uid.clone()).or_insert(Waiting { since: now, looked: None, what: None }).clone()
        };
        let due = known.looked.is_none_or(|looked| looked + LOOK_AGAIN <= now) && known.since + PATIENCE <= now;
        if !due || *looks == 0 {
            return known.what;
        }
        *looks -= 1;
        let what = match self.watch.pods(&key.namespace, &job.name_any()).await {
            Ok(pods) => Some(jobs::why_waiting(&pods)),
            Err(error) => {
                tracing::debug!(%error, job = %job.name_any(), "the pods of a Job cannot be listed");
                known.what
            }
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(uid, Waiting { looked: Some(now), what: what.clone(), ..known });
        what
    }

    /// Whether a Job was refused a moment ago, and nothing was changed since.
    fn refused_lately(&self, job: &Key, plan: &FailbackPlan, now: Timestamp) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(job).is_some_and(|no| no.at + REFUSED_AGAIN > now && no.generation == plan.metadata.generation)
    }

    fn note(&self, job: Key, refused: Option<Refused>) {
        let mut known = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match refused {
            Some(refused) => drop(known.insert(job, refused)),
            None => drop(known.remove(&job)),
        }
    }
}

/// Whether nothing of a Job runs, and it has not ended.
fn idle(job: &Job) -> bool {
    let status = job.status.as_ref();
    let ready = status.and_then(|status| status.ready).unwrap_or_default();
    ready == 0 && jobs::look(job, None).end.is_none()
}

/// Makes the Jobs that are due. True when one was refused: the plan says so in its next pass.
///
/// # Errors
/// The first answer that never came or was a failure; the others are tried all the same.
pub(super) async fn carry_out(
    context: &Context,
    key: &Key,
    plan: &FailbackPlan,
    uid: &str,
    items: &BTreeMap<String, Arc<ReplicatedItem>>,
    runs: Vec<HookRun>,
) -> Result<bool, WriteError> {
    let refusal = |why, lasting| {
        let refusal = Refusal { why, lasting };
        Some(Refused { refusal, at: context.clock.now(), generation: plan.metadata.generation })
    };
    let (mut refused, mut failed) = (false, None);
    for run in runs {
        let job = Key { namespace: key.namespace.clone(), name: run.job.clone() };
        let Some(hook) = plan.spec.hooks.iter().find(|hook| hook.name == run.hook) else { continue };
        if context.stores.jobs.refused_lately(&job, plan, context.clock.now()) {
            continue;
        }
        let item = run.item.as_ref().and_then(|name| items.get(name));
        let body = body(context, key, uid, hook, &run, item.map(Arc::as_ref));
        if !context.leadership.is_valid_now() {
            break;
        }
        match context.stores.jobs.watch.make(&key.namespace, &body).await {
            Ok(made) => {
                context.stores.jobs.note(job, None);
                if made {
                    tracing::info!(plan = %key.name, namespace = %key.namespace, hook = %run.hook, job = %run.job, "a hook's Job was made");
                    let note = format!("Hook \"{}\" runs as Job \"{}\".", run.hook, run.job);
                    let about = item.map_or_else(|| plan.object_ref(&()), |item| item.object_ref(&()));
                    context.events.publish_with(
                        about,
                        Some(job_reference(&key.namespace, &run.job)),
                        vec![EventDraft::normal("HookStarted", "RunHook", note)],
                    );
                }
            }
            Err(NotMade::Refused(why)) => {
                tracing::warn!(plan = %key.name, namespace = %key.namespace, hook = %run.hook, job = %run.job, why, "a hook's Job was refused");
                context.stores.jobs.note(job, refusal(why, true));
                refused = true;
            }
            Err(NotMade::Failed(error)) => {
                if let kube::Error::Api(status) = error.as_ref() {
                    let why = format!("The API server answers {}: {}", status.code, status.message);
                    context.stores.jobs.note(job, refusal(why, false));
                }
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(refused), |error| Err(WriteError::Kube(error)))
}

fn body(
    context: &Context,
    key: &Key,
    uid: &str,
    hook: &Hook,
    run: &HookRun,
    item: Option<&ReplicatedItem>,
) -> serde_json::Value {
    let mut environment = jobs::of_hook(&key.namespace, &key.name, hook, &run.wave);
    if !run.items.is_empty() {
        environment.insert("FAILBACK_ITEMS", run.items.join(" "));
    }
    if let Some(item) = item {
        let of = Key { namespace: key.namespace.clone(), name: item.name_any() };
        let facts = gather::facts(context, &of, item);
        let guest = facts.home_vm().and_then(|vm| vm.ip_address.as_deref());
        let status = item.status.clone().unwrap_or_default();
        environment.extend(jobs::of_item(&of.name, &item.spec, &status, guest));
    }
    jobs::body(&JobOrder {
        name: &run.job,
        namespace: &key.namespace,
        template: &hook.job_template,
        owner: ["failback.dev/v1alpha1", "FailbackPlan", &key.name, uid],
        labels: &[(HOOK_LABEL, hook.name.clone())],
        environment: &environment,
        timeout_seconds: hook.timeout_seconds,
        least_ttl: LEAST_TTL,
        ttl: None,
    })
}

/// Tells of hooks that have ended, or could not be run, with the end of the Job's log.
pub(super) fn tell(
    context: &Arc<Context>,
    namespace: &str,
    about: &ObjectReference,
    before: &[HookStatus],
    after: &[HookStatus],
) {
    let stood = |row: &HookStatus| {
        let same = |old: &&HookStatus| old.name == row.name && old.wave == row.wave && old.job == row.job;
        before.iter().find(same).map(|old| old.outcome)
    };
    let news = after.iter().filter(|row| row.outcome != HookOutcome::Running && stood(row) != Some(row.outcome));
    for row in news.cloned() {
        let (context, namespace, about) = (Arc::clone(context), namespace.to_owned(), about.clone());
        tokio::spawn(async move {
            let of_wave = if row.wave.is_empty() { String::new() } else { format!(" of wave \"{}\"", row.wave) };
            let title = format!("Hook \"{}\"{of_wave}, Job \"{}\"", row.name, row.job);
            let log = match row.outcome {
                HookOutcome::Refused | HookOutcome::Running => String::new(),
                HookOutcome::Succeeded | HookOutcome::Failed => {
                    context.stores.jobs.watch.tail(&namespace, &row.job).await
                }
            };
            let log = if log.is_empty() { log } else { format!("\n{log}") };
            let event = if row.outcome == HookOutcome::Succeeded {
                EventDraft::normal("HookSucceeded", "RunHook", format!("{title} succeeded.{log}"))
            } else {
                EventDraft::warning("HookFailed", "RunHook", format!("{title}: {}{log}", row.message))
            };
            context.events.publish_with(about, Some(job_reference(&namespace, &row.job)), vec![event]);
        });
    }
}

fn job_reference(namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// The plans that a change of Jobs concerns.
pub(super) fn plans_of_jobs(context: Arc<Context>) -> impl Fn(Told) -> Vec<(String, String)> + Send {
    move |told| match told {
        Told::Owner(namespace, kind, name) if kind == "FailbackPlan" => vec![(namespace, name)],
        Told::Owner(..) => vec![],
        Told::Listing(namespace) => context
            .stores
            .plans
            .state()
            .into_iter()
            .filter(|plan| plan.namespace().as_deref() == Some(namespace.as_str()) && !plan.spec.hooks.is_empty())
            .map(|plan| (namespace.clone(), plan.name_any()))
            .collect(),
    }
}
