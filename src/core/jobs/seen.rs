//! How a Job stands, as Kubernetes tells it.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStatus, Pod},
};

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Complete.
    Succeeded,
    /// Failed: Kubernetes' reason and sentence.
    Failed(String),
}

/// A Job that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSeen {
    /// Its UID.
    pub uid: String,
    /// How it ended, if it did.
    pub end: Option<JobEnd>,
    /// What it waits for, where nothing of it runs.
    pub waits: Option<String>,
}

/// The Jobs of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JobsSeen {
    /// They have not been listed yet.
    #[default]
    NotYet,
    /// They cannot be listed: why, and what to do about it.
    Unreadable(String),
    /// By name.
    Listed {
        /// Those that are there.
        jobs: BTreeMap<String, JobSeen>,
        /// Those that could not be made a moment ago, and why.
        refused: BTreeMap<String, Refusal>,
    },
}

/// Why a Job could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the API server said.
    pub why: String,
    /// It was refused for what it is. Otherwise the API server was busy or broken, and the same Job may be made later.
    pub lasting: bool,
}

/// Reads a Job. `waits` tells what its pods wait for, where that was looked for.
pub fn look(job: &Job, waits: Option<String>) -> JobSeen {
    let status = job.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let met = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
    let end = if met("Complete").is_some() {
        Some(JobEnd::Succeeded)
    } else {
        met("Failed").map(|failed| {
            let (reason, message) = (failed.reason.as_deref(), failed.message.as_deref());
            JobEnd::Failed(format!("{}: {}", reason.unwrap_or("Failed"), message.unwrap_or("no message")))
        })
    };
    let waits = if end.is_some() {
        None
    } else if met("Suspended").is_some() {
        Some("The Job is suspended.".to_owned())
    } else {
        waits
    };
    JobSeen { uid: job.metadata.uid.clone().unwrap_or_default(), end, waits }
}

/// What the pods of a Job wait for, none of which runs: the kubelet's reason. Stays the same while that does.
pub fn why_waiting(pods: &[Pod]) -> String {
    let Some(newest) = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0)) else {
        return "It has no pod yet.".to_owned();
    };
    let status = newest.status.as_ref();
    let of = |list: Option<&Vec<ContainerStatus>>| list.into_iter().flatten().find_map(stuck);
    let container = status.and_then(|status| {
        of(status.init_container_statuses.as_ref()).or_else(|| of(status.container_statuses.as_ref()))
    });
    let unscheduled = || {
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
        (scheduled.status == "False").then(|| {
            let why = scheduled.message.as_deref().or(scheduled.reason.as_deref()).unwrap_or("no reason given");
            format!("Its pod is not scheduled: {}", clipped(why))
        })
    };
    // Turned away by the kubelet, or evicted.
    let refused = || {
        let status = status.filter(|status| status.phase.as_deref() == Some("Failed"))?;
        let (reason, why) = (status.reason.as_deref()?, status.message.as_deref().unwrap_or_default());
        Some(format!("Its pod failed: {reason} {}", clipped(why)).trim_end().to_owned())
    };
    container.or_else(unscheduled).or_else(refused).unwrap_or_else(|| "Its pod starts.".to_owned())
}

/// Whether a container of these pods ran: what it was made for, and not one that only prepares that. One that could not
/// be started has ended, and did not run.
pub fn has_run(pods: &[Pod]) -> bool {
    let ran = |container: &ContainerStatus| {
        let state = [container.state.as_ref(), container.last_state.as_ref()];
        let mut ended = state.into_iter().flatten().filter_map(|state| state.terminated.as_ref());
        let running = container.state.as_ref().is_some_and(|state| state.running.is_some());
        running || ended.any(|ended| !never_started(ended.reason.as_deref()))
    };
    let containers = |pod: &Pod| pod.status.as_ref().and_then(|status| status.container_statuses.clone());
    pods.iter().filter_map(containers).flatten().any(|container| ran(&container))
}

/// The runtime's reasons for a container that ended without having run: its command is not there, or is no program.
fn never_started(reason: Option<&str>) -> bool {
    matches!(reason, Some("StartError" | "ContainerCannotRun"))
}

fn stuck(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    if let Some(ended) = state.terminated.as_ref().filter(|ended| never_started(ended.reason.as_deref())) {
        let why = clipped(ended.message.as_deref().unwrap_or_default());
        return Some(format!("Container \"{}\" cannot be started: {why}", container.name).trim_end().to_owned());
    }
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    match reason {
        "" | "PodInitializing" | "ContainerCreating" => None,
        // The kubelet goes to and fro between these two, each with other words.
        "ErrImagePull" | "ImagePullBackOff" => {
            Some(format!("The image \"{}\" cannot be pulled (ImagePullBackOff).", container.image))
        }
        _ => {
            let why = waiting.message.as_deref().unwrap_or_default();
            Some(format!("Container \"{}\" waits: {reason} {}", container.name, clipped(why)).trim_end().to_owned())
        }
    }
}

fn clipped(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(160).collect()
}
