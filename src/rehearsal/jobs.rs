//! Plays the Job controller and the kubelet for a rehearsal, on the site's clock. Nothing is executed: of a container's
//! command it understands `true`, `false`, `sleep N` and `sh -c` with lines of `echo`, `sleep`, `exit`, `true` and
//! `false`. An image of a registry `….invalid` cannot be pulled.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Container, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde_json::{Value, json};

use crate::ports::SharedClock;

/// Runs the Jobs of all namespaces until dropped.
pub(super) async fn play(client: Client, clock: SharedClock) {
    let events = watcher::watcher(Api::<Job>::all(client.clone()), watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(job) | Event::InitApply(job)) = event else { continue };
        let suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or_default();
        if !suspended && !has_ended(&job) && job.uid().is_some_and(|uid| seen.insert(uid)) {
            let stage = Play { client: client.clone(), clock: SharedClock::clone(&clock), job };
            tokio::spawn(async move {
                if let Err(error) = stage.run().await {
                    tracing::debug!(%error, "a Job of the rehearsal went away");
                }
            });
        }
    }
}

fn has_ended(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed"))
}

struct Play {
    client: Client,
    clock: SharedClock,
    job: Job,
}

/// How a container ended.
struct Ended {
    log: String,
    code: i32,
}

impl Play {
    fn name(&self) -> String {
        self.job.name_any()
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.job.namespace().unwrap_or_default())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.job.namespace().unwrap_or_default())
    }

    async fn run(self) -> Result<(), kube::Error> {
        let spec = self.job.spec.clone().unwrap_or_default();
        let seconds = spec.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let limit = seconds.map_or(Duration::from_secs(86_400), Duration::from_secs);
        let ended = tokio::time::timeout(self.clock.wall(limit), self.attempts(spec.backoff_limit.unwrap_or(6))).await;
        let condition = match ended {
            Ok(Ok(true)) => json!({ "type": "Complete", "status": "True" }),
            Ok(Ok(false)) => json!({
                "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                "message": "Job has reached the specified backoff limit",
            }),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                self.end_pods().await?;
                json!({
                    "type": "Failed", "status": "True", "reason": "DeadlineExceeded",
                    "message": "Job was active longer than specified deadline",
                })
            }
        };
        self.report(json!({ "active": 0, "ready": 0, "conditions": [condition] })).await?;
        if let Some(ttl) = spec.ttl_seconds_after_finished.and_then(|seconds| u64::try_from(seconds).ok()) {
            tokio::time::sleep(self.clock.wall(Duration::from_secs(ttl))).await;
            self.jobs().delete(&self.name(), &DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// One pod after the other, until one succeeds.
    async fn attempts(&self, backoff_limit: i32) -> Result<bool, kube::Error> {
        self.report(json!({ "active": 1, "ready": 0, "startTime": Timestamp::now().to_string() })).await?;
        for attempt in 0..=backoff_limit {
            if self.pod(attempt).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn report(&self, status: Value) -> Result<(), kube::Error> {
        let patch = Patch::Merge(json!({ "status": status }));
        self.jobs().patch_status(&self.name(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// What has not ended by the deadline is deleted, as Kubernetes does.
    async fn end_pods(&self) -> Result<(), kube::Error> {
        let ours = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", self.name()));
        for pod in self.pods().list(&ours).await? {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if !matches!(phase, Some("Succeeded" | "Failed")) {
                self.pods().delete(&pod.name_any(), &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }

    /// Whether one pod succeeds.
    async fn pod(&self, attempt: i32) -> Result<bool, kube::Error> {
        let template = self.job.spec.clone().unwrap_or_default().template.spec.unwrap_or_default();
        let name = format!("{}-{attempt}", self.name());
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "batch.kubernetes.io/job-name": self.name() } },
            "spec": template,
        }))
        .map_err(kube::Error::SerdeError)?;
        self.pods().create(&PostParams::default(), &pod).await?;
        let Some(container) = template.containers.into_iter().next() else { return Ok(false) };
        let image = container.image.clone().unwrap_or_default();
        let status = |state: Value, phase: &str| {
            json!({ "status": { "phase": phase, "containerStatuses": [{
                "name": container.name, "image": image, "imageID": "", "ready": phase == "Running", "restartCount": 0,
                "state": state,
            }] } })
        };
        let show = async |status: Value| {
            self.pods().patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
        };
        if image.split('/').next().is_some_and(|registry| registry.ends_with(".invalid")) {
            let why = json!({ "waiting": { "reason": "ErrImagePull", "message": "no such host" } });
            show(status(why, "Pending")).await?;
            return std::future::pending().await;
        }
        show(status(json!({ "running": {} }), "Running")).await?;
        self.report(json!({ "ready": 1 })).await?;
        let Ended { log, code } = self.execute(&container).await;
        let log = Patch::Merge(json!({ "metadata": { "annotations": { "sim-apiserver/log": log } } }));
        self.pods().patch(&name, &PatchParams::default(), &log).await?;
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        show(status(json!({ "terminated": { "exitCode": code } }), phase)).await?;
        Ok(code == 0)
    }

    async fn execute(&self, container: &Container) -> Ended {
        let words: Vec<String> = container.command.iter().chain(&container.args).flatten().cloned().collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let script = match words.as_slice() {
            ["sh" | "/bin/sh", "-c", script] => (*script).to_owned(),
            words => words.join(" "),
        };
        let env: BTreeMap<&str, &str> =
            container.env.iter().flatten().filter_map(|var| Some((var.name.as_str(), var.value.as_deref()?))).collect();
        let mut log = String::new();
        for line in script.split(['\n', ';']).flat_map(|line| line.split("&&")).map(str::trim) {
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            let code = match command {
                "" | "true" | "set" => continue,
                "echo" => {
                    log.push_str(&expanded(rest.trim().trim_matches('"'), &env));
                    log.push('\n');
                    continue;
                }
                "sleep" => {
                    let seconds = rest.trim().parse().unwrap_or(0);
                    tokio::time::sleep(self.clock.wall(Duration::from_secs(seconds))).await;
                    continue;
                }
                "exit" => rest.trim().parse().unwrap_or(2),
                "false" => 1,
                other => {
                    log.push_str(&format!("sh: {other}: not found\n"));
                    127
                }
            };
            return Ended { log, code };
        }
        Ended { log, code: 0 }
    }
}

/// `$NAME` and `${NAME}` in a text.
fn expanded(text: &str, env: &BTreeMap<&str, &str>) -> String {
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, rest) = braced.unwrap_or_else(|| {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            part.split_at(end)
        });
        out.push_str(env.get(name).copied().unwrap_or_default());
        out.push_str(rest);
    }
    out
}
