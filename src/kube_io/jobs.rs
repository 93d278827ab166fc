//! The Jobs of ours in one namespace, watched from the first time that somebody needs them: where no plan has hooks and
//! no machine a Job as a probe, the controller asks for no Job and needs no right to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, LogParams, PostParams},
    runtime::{WatchStreamExt, reflector, reflector::Store, watcher, watcher::Event},
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::write::in_time;
use crate::core::jobs::{OWNER_LABEL, RIGHTS, label_of_owner, tail};

/// How far the listing of a namespace's Jobs has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Not done yet.
    NotYet,
    /// Refused: why, and what to do about it.
    Refused(String),
    /// Done, and watched.
    Done,
}

/// What happened to Jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A Job of this owner changed: namespace, kind and name.
    Owner(String, String, String),
    /// The listing of a namespace came further.
    Listing(String),
}

/// Why a Job was not made.
#[derive(Debug)]
pub enum NotMade {
    /// The API server will not have it: a sentence with what to do about it.
    Refused(String),
    /// It did not answer, or not now.
    Failed(Box<kube::Error>),
}

/// How long a refused watch is left to itself. One that was refused while it went on is not listed anew by itself, and
/// would stay refused for ever.
const ANEW: Duration = Duration::from_secs(60);

/// How a namespace's Jobs stand.
#[derive(Debug)]
pub struct Watching {
    listing: Listing,
    since: Instant,
    /// Grows with every change of a Job.
    version: u64,
}

struct Namespace {
    store: Store<Job>,
    watching: watch::Receiver<Watching>,
    task: JoinHandle<()>,
}

impl Namespace {
    fn is_stuck(&self) -> bool {
        let watching = self.watching.borrow();
        matches!(watching.listing, Listing::Refused(_)) && watching.since.elapsed() > ANEW
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All Jobs of ours.
pub struct JobWatch {
    client: Client,
    tell: mpsc::UnboundedSender<Told>,
    namespaces: Mutex<HashMap<String, Namespace>>,
}

impl JobWatch {
    /// Nothing is watched yet. What happens is told to the receiver.
    pub fn new(client: Client) -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self { client, tell, namespaces: Mutex::default() }, told)
    }

    /// How far the listing is, and the Jobs of an owner by its UID.
    pub fn of_owner(&self, namespace: &str, uid: &str) -> (Listing, Vec<Arc<Job>>) {
        self.with(namespace, |watched| {
            let jobs = watched.store.state().into_iter();
            let ours = jobs.filter(|job| label_of_owner(job.labels()) == Some(uid)).collect();
            (watched.watching.borrow().listing.clone(), ours)
        })
    }

    /// Changes with every change of a Job in the namespace; ends when the namespace is listed anew.
    pub fn changes(&self, namespace: &str) -> watch::Receiver<Watching> {
        self.with(namespace, |watched| watched.watching.clone())
    }

    fn with<T>(&self, namespace: &str, see: impl FnOnce(&Namespace) -> T) -> T {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if namespaces.get(namespace).is_some_and(Namespace::is_stuck) {
            namespaces.remove(namespace);
        }
        see(namespaces.entry(namespace.to_owned()).or_insert_with(|| self.start(namespace)))
    }

    fn start(&self, namespace: &str) -> Namespace {
        let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        let (store, writer) = reflector::store();
        let begun = Watching { listing: Listing::NotYet, since: Instant::now(), version: 0 };
        let (sender, watching) = watch::channel(begun);
        let events = watcher::watcher(api, watcher::Config::default().labels(OWNER_LABEL).timeout(200))
            .default_backoff()
            .modify(|job| job.managed_fields_mut().clear())
            .reflect(writer);
        let task = tokio::spawn(follow(events.boxed(), namespace.to_owned(), sender, self.tell.clone()));
        Namespace { store, watching, task }
    }

    /// Makes a Job. One of that name that is the same owner's is it already: `false`.
    ///
    /// # Errors
    /// When it is not there after that.
    pub async fn make(&self, namespace: &str, body: &Value) -> Result<bool, NotMade> {
        let resource = ApiResource::erase::<Job>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let job: DynamicObject = serde_json::from_value(body.clone())
            .map_err(|error| NotMade::Refused(format!("jobTemplate cannot be read: {error}.")))?;
        let (name, uid) = (job.name_any(), label_of_owner(job.labels()).map(str::to_owned));
        match in_time(api.create(&PostParams::default(), &job)).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let there = in_time(api.get(&name)).await.map_err(|error| NotMade::Failed(Box::new(error)))?;
                if label_of_owner(there.labels()) == uid.as_deref() {
                    return Ok(false);
                }
                Err(NotMade::Refused(format!(
                    "There is a Job of this name already that is not this one's: it lacks the label {OWNER_LABEL}. Rename or delete it."
                )))
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Err(NotMade::Refused(with_rights(&status.message, "cannot create resource")))
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404 | 413 | 422) => {
                Err(NotMade::Refused(status.message.clone()))
            }
            Err(error) => Err(NotMade::Failed(Box::new(error))),
        }
    }

    /// The pods of a Job.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn pods(&self, namespace: &str, job: &str) -> Result<Vec<Pod>, kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let chosen = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}")).limit(20);
        Ok(in_time(api.list(&chosen)).await?.items)
    }

    /// The last lines of a Job's log; empty where there is none, or it cannot be read in time.
    pub async fn tail(&self, namespace: &str, job: &str) -> String {
        let read = async {
            let pods = self.pods(namespace, job).await?;
            let newest = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
            let Some(pod) = newest else { return Ok(String::new()) };
            let container = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|first| first.name.clone());
            let wanted =
                LogParams { tail_lines: Some(20), limit_bytes: Some(16 << 10), container, ..LogParams::default() };
            let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            api.logs(&pod.name_any(), &wanted).await
        };
        match tokio::time::timeout(Duration::from_secs(10), read).await {
            Ok(Ok(log)) => tail(&log),
            Ok(Err(error)) => {
                tracing::debug!(%error, job, "the log of a Job cannot be read");
                String::new()
            }
            Err(_) => String::new(),
        }
    }
}

async fn follow(
    mut events: futures::stream::BoxStream<'static, watcher::Result<Event<Job>>>,
    namespace: String,
    watching: watch::Sender<Watching>,
    tell: mpsc::UnboundedSender<Told>,
) {
    let come = |now: Listing| {
        watching.send_if_modified(|watching| {
            let changed = watching.listing != now;
            if changed {
                *watching = Watching { listing: now, since: Instant::now(), version: watching.version + 1 };
            }
            changed
        })
    };
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(Event::Init) => None,
            Ok(Event::InitDone) => come(Listing::Done).then(|| Told::Listing(namespace.clone())),
            Ok(Event::Apply(job) | Event::InitApply(job) | Event::Delete(job)) => {
                watching.send_modify(|watching| watching.version += 1);
                job.owner_references()
                    .first()
                    .map(|owner| Told::Owner(namespace.clone(), owner.kind.clone(), owner.name.clone()))
            }
            Err(error) => {
                tracing::warn!(%error, namespace, "the watch of Jobs failed; it is tried again");
                let why = forbidden(&error).map(|said| format!("{}. {RIGHTS}", said.trim_end_matches('.')));
                why.and_then(|why| come(Listing::Refused(why)).then(|| Told::Listing(namespace.clone())))
            }
        };
        if told.is_some_and(|told| tell.send(told).is_err()) {
            return;
        }
    }
}

/// What the API server said, and the rights that are needed where it is these that are missing: a quota or an admission
/// policy refuses with the same code.
fn with_rights(said: &str, missing: &str) -> String {
    if said.contains(missing) { format!("{}. {RIGHTS}", said.trim_end_matches('.')) } else { said.to_owned() }
}

/// What the API server said, when it said that we may not. A token that it does not take (401) is soon another one.
fn forbidden(error: &watcher::Error) -> Option<String> {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    let status = match error {
        InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) => status,
        WatchError(status) => status,
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => return None,
    };
    (status.code == 403).then(|| status.message.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An API server whose first watch of Jobs is refused, and every list is good.
    fn client(lists: Arc<AtomicUsize>, watches: Arc<AtomicUsize>) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let counter = if is_watch { &watches } else { &lists };
            let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                let (code, answer) = match (is_watch, first) {
                    (true, true) => (
                        StatusCode::FORBIDDEN,
                        json!({ "kind": "Status", "status": "Failure", "code": 403, "message": "jobs.batch is forbidden", "reason": "Forbidden" }),
                    ),
                    (true, false) => std::future::pending().await,
                    (false, _) => (
                        StatusCode::OK,
                        json!({ "apiVersion": "batch/v1", "kind": "JobList", "metadata": { "resourceVersion": "1" }, "items": [] }),
                    ),
                };
                Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_whose_watch_was_refused_is_listed_anew_after_a_while() {
        let lists = Arc::new(AtomicUsize::new(0));
        let (jobs, mut told) = JobWatch::new(client(Arc::clone(&lists), Arc::default()));
        let listing = || jobs.of_owner("dr", "uid").0;
        assert_eq!(listing(), Listing::NotYet);
        let mut come = Vec::new();
        for _ in 0..2 {
            told.recv().await.unwrap();
            come.push(listing());
        }
        assert!(
            matches!(come.last(), Some(Listing::Refused(why)) if why.contains("jobs.batch is forbidden")),
            "{come:?}"
        );
        tokio::time::sleep(ANEW / 2).await;
        assert!(matches!(listing(), Listing::Refused(_)), "it is left to itself for a while");
        tokio::time::sleep(ANEW).await;
        assert_eq!(listing(), Listing::NotYet);
        told.recv().await.unwrap();
        assert_eq!((listing(), lists.load(Ordering::SeqCst)), (Listing::Done, 2));
    }

    #[test]
    fn the_rights_are_named_where_they_are_missing_alone() {
        let missing = r#"jobs.batch is forbidden: User "x" cannot create resource "jobs" in API group "batch""#;
        assert!(with_rights(missing, "cannot create resource").ends_with(RIGHTS));
        let quota = "jobs.batch \"a\" is forbidden: exceeded quota: pods";
        assert_eq!(with_rights(quota, "cannot create resource"), quota);
    }
}
