//! Jobs: the only trace of an operation that outlives its request.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Step, Work};
use crate::clock::after;
use crate::fault::{Effect, Target};
use crate::world::{Event, MOST_JOBS, World};

/// State and description of a job that succeeded, with warnings.
const REMARKED: &str = "CompletedWithInformation";

/// State of a job or task, as the service words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JobState {
    NotStarted,
    InProgress,
    Succeeded,
    Failed,
    Cancelled,
    Suspended,
    /// Seen on tasks that were skipped.
    Other,
}

impl JobState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            JobState::NotStarted => "NotStarted",
            JobState::InProgress => "InProgress",
            JobState::Succeeded => "Succeeded",
            JobState::Failed => "Failed",
            JobState::Cancelled => "Cancelled",
            JobState::Suspended => "Suspended",
            JobState::Other => "Other",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        match self {
            JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Other => true,
            JobState::NotStarted | JobState::InProgress | JobState::Suspended => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobTask {
    pub(crate) id: String,
    pub(crate) step: Step,
    pub(crate) state: JobState,
    pub(crate) description: String,
    pub(crate) planned: SignedDuration,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) causes: String,
    pub(crate) action: String,
    pub(crate) at: Option<Timestamp>,
    pub(crate) task: Option<String>,
    /// "Error", or "Warning" on a job that goes on.
    pub(crate) level: String,
}

impl JobError {
    pub(crate) fn new(code: &str, message: impl Into<String>, causes: &str, action: &str) -> Box<JobError> {
        Box::new(JobError {
            code: code.to_owned(),
            message: message.into(),
            causes: causes.to_owned(),
            action: action.to_owned(),
            at: None,
            task: None,
            level: "Error".to_owned(),
        })
    }
}

/// A fault that was laid on a job when it started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobFault {
    /// Name of the task that it strikes; absent: the first.
    pub(crate) task: Option<String>,
    /// Absent: the job hangs there.
    pub(crate) error: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) vault: String,
    pub(crate) work: Work,
    pub(crate) machine: Option<usize>,
    pub(crate) plan: Option<String>,
    /// The plan's job that this one is a child of.
    pub(crate) parent: Option<String>,
    pub(crate) state: JobState,
    pub(crate) description: String,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) tasks: Vec<JobTask>,
    pub(crate) errors: Vec<JobError>,
    pub(crate) activity: String,
    pub(crate) target_id: String,
    pub(crate) target_name: String,
    pub(crate) fault: Option<JobFault>,
    /// It hangs since a stuck-job fault struck at this task.
    pub(crate) stuck_at: Option<usize>,
    /// ARM id of the resource that the operation is about, for its result URL.
    pub(crate) resource: String,
}

impl Job {
    /// Its state on the wire: one that succeeded and has something to remark says so (recorded).
    pub(crate) fn state_word(&self) -> &'static str {
        let remarked = self.state == JobState::Succeeded && !self.errors.is_empty();
        if remarked { REMARKED } else { self.state.name() }
    }
}

/// What a job is started with.
#[derive(Debug, Clone)]
pub(crate) struct Order<'a> {
    pub(crate) vault: String,
    pub(crate) work: Work,
    pub(crate) machine: Option<usize>,
    pub(crate) plan: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) resource: String,
    pub(crate) target_id: String,
    pub(crate) target_name: String,
    /// Method and path of the call that asked for it, for faults.
    pub(crate) call: Option<(&'a str, &'a str)>,
}

impl World {
    /// Starts a job and tells its id.
    pub(crate) fn start_job(&mut self, order: Order<'_>) -> String {
        let id = self.fresh_id();
        let activity = format!("{} ActivityId: {}", self.fresh_id(), self.fresh_id());
        let mut tasks = Vec::new();
        for (step, planned) in self.steps_of(&order.work, order.machine) {
            let id = self.fresh_id();
            tasks.push(JobTask {
                id,
                step,
                state: JobState::NotStarted,
                description: "NotStarted".to_owned(),
                planned,
                started: None,
                ended: None,
            });
        }
        let fault = self.job_fault(&order);
        if let Some(machine) = order.machine.and_then(|index| self.machines.get_mut(index))
            && order.work.is_a_scenario()
        {
            machine.operation = Some(id.clone());
        }
        let job = Job {
            id: id.clone(),
            vault: order.vault,
            work: order.work,
            machine: order.machine,
            plan: order.plan,
            parent: order.parent,
            state: JobState::InProgress,
            description: "InProgress".to_owned(),
            started: self.now,
            ended: None,
            tasks,
            errors: Vec::new(),
            activity,
            target_id: order.target_id,
            target_name: order.target_name,
            fault,
            stuck_at: None,
            resource: order.resource,
        };
        self.jobs.insert(id.clone(), job);
        self.job_order.push(id.clone());
        self.forget_jobs(MOST_JOBS);
        self.revision += 1;
        self.begin_task(&id, 0);
        id
    }

    /// Starts a job on a machine's item.
    pub(crate) fn start_item_job(
        &mut self,
        index: usize,
        work: Work,
        parent: Option<String>,
        call: Option<(&str, &str)>,
    ) -> String {
        let (vault, resource, target_id, target_name) = match self.machines.get(index) {
            Some(machine) => (
                self.fabric_of(machine).map(|fabric| fabric.vault.clone()).unwrap_or_default(),
                self.item_id(machine),
                machine.internal_id.clone(),
                machine.spec.name.clone(),
            ),
            None => Default::default(),
        };
        self.start_job(Order {
            vault,
            work,
            machine: Some(index),
            plan: None,
            parent,
            resource,
            target_id,
            target_name,
            call,
        })
    }

    fn job_fault(&mut self, order: &Order<'_>) -> Option<JobFault> {
        let machine = order.machine.and_then(|index| self.machines.get(index)).map(|machine| machine.spec.name.clone());
        let scenario = format!("/{}", order.work.scenario().0);
        let (method, path) = order.call.unwrap_or(("JOB", scenario.as_str()));
        let target = Target { method, path, soap: None, machine: machine.as_deref() };
        let effect = self.faults.strike(target, Effect::is_of_the_job).into_iter().next()?;
        if let Effect::JobFails { code, message, task } = effect {
            return Some(JobFault { task, error: Some((code, message)) });
        }
        let Effect::JobStuck { task } = effect else { return None };
        Some(JobFault { task, error: None })
    }

    fn begin_task(&mut self, id: &str, number: usize) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(task) = job.tasks.get_mut(number) else {
            self.end_job(id, JobState::Succeeded);
            return;
        };
        task.state = JobState::InProgress;
        task.description = "InProgress".to_owned();
        task.started = Some(now);
        let (step, planned, machine) = (task.step, task.planned, job.machine);
        self.queue.put(after(now, planned), Event::TaskEnds { job: id.to_owned(), task: number });
        if let Some(machine) = machine {
            self.step_begins(machine, step);
        }
    }

    /// A task's time is over: its effect, or the fault that was laid on it.
    pub(crate) fn task_ends(&mut self, id: &str, number: usize) {
        let now = self.now;
        let Some(job) = self.jobs.get(id) else { return };
        let Some(task) = job.tasks.get(number) else { return };
        if job.state.is_over() || task.state != JobState::InProgress || job.stuck_at.is_some() {
            return;
        }
        let step = task.step;
        let struck = job.fault.as_ref().filter(|fault| match &fault.task {
            None => number == 0,
            Some(name) => name.eq_ignore_ascii_case(step.wire().0),
        });
        match struck.map(|fault| fault.error.clone()) {
            Some(None) => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.stuck_at = Some(number);
                }
                return;
            }
            Some(Some((code, message))) => {
                let error = JobError::new(
                    &code,
                    message,
                    "The operation failed on purpose: a fault was injected.",
                    "Retry the operation.",
                );
                self.fail_job(id, number, *error);
                return;
            }
            None => {}
        }
        match self.step_ends(id, step) {
            Ok(Outcome::Done) => self.close_task(id, number, JobState::Succeeded, "Completed", now),
            Ok(Outcome::Skipped) => self.close_task(id, number, JobState::Other, "Skipped", now),
            Ok(Outcome::Wait(length)) => {
                self.queue.put(after(now, length), Event::TaskEnds { job: id.to_owned(), task: number });
                return;
            }
            Ok(Outcome::Suspend) => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.state = JobState::Suspended;
                    job.description = "WaitingForManualAction".to_owned();
                    if let Some(task) = job.tasks.get_mut(number) {
                        task.state = JobState::Suspended;
                    }
                }
                return;
            }
            Err(error) => {
                self.fail_job(id, number, *error);
                return;
            }
        }
        self.begin_task(id, number + 1);
    }

    fn close_task(&mut self, id: &str, number: usize, state: JobState, description: &str, now: Timestamp) {
        if let Some(task) = self.jobs.get_mut(id).and_then(|job| job.tasks.get_mut(number)) {
            task.state = state;
            task.description = description.to_owned();
            task.ended = Some(now);
        }
    }

    fn fail_job(&mut self, id: &str, number: usize, mut error: JobError) {
        let now = self.now;
        error.at = Some(now);
        self.close_task(id, number, JobState::Failed, "Failed", now);
        let mut step = None;
        if let Some(job) = self.jobs.get_mut(id) {
            error.task = job.tasks.get(number).map(|task| task.id.clone());
            step = job.tasks.get(number).map(|task| task.step);
            job.errors.push(error);
            for task in job.tasks.iter_mut().skip(number + 1) {
                task.description = "Aborted".to_owned();
            }
        }
        self.end_job(id, JobState::Failed);
        if let Some(step) = step {
            self.after_failure(id, step);
        }
    }

    /// Ends a job, frees its machine and tells its plan.
    pub(crate) fn end_job(&mut self, id: &str, state: JobState) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.state = state;
        job.ended = Some(now);
        job.description = match state {
            JobState::Succeeded if job.errors.is_empty() => "Completed",
            JobState::Succeeded => REMARKED,
            JobState::Cancelled => "Cancelled",
            JobState::Failed | JobState::NotStarted | JobState::InProgress | JobState::Suspended | JobState::Other => {
                "Failed"
            }
        }
        .to_owned();
        let (machine, parent, friendly) = (job.machine, job.parent.clone(), job.work.scenario().1);
        if let Some(index) = machine {
            if let Some(machine) = self.machines.get_mut(index)
                && machine.operation.as_deref() == Some(id)
            {
                machine.operation = None;
            }
            let (word, severity) =
                if state == JobState::Succeeded { ("Succeeded", "OK") } else { ("Failed", "Critical") };
            self.log_event(index, "JobStatus", format!("{friendly} - {word}"), severity);
        }
        if let Some(parent) = parent {
            self.child_ended(&parent, state);
        }
    }

    /// Lets a stuck job go on.
    pub(crate) fn release_job(&mut self, id: &str) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.fault = None;
        if let Some(task) = job.stuck_at.take() {
            self.queue.put(now, Event::TaskEnds { job: id.to_owned(), task });
        }
    }

    /// A suspended job goes on.
    pub(crate) fn resume_job(&mut self, id: &str) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.state != JobState::Suspended {
            return;
        }
        job.state = JobState::InProgress;
        job.description = "InProgress".to_owned();
        let Some(number) = job.tasks.iter().position(|task| task.state == JobState::Suspended) else { return };
        self.close_task(id, number, JobState::Succeeded, "Completed", now);
        self.begin_task(id, number + 1);
    }
}

/// How a task came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Skipped,
    /// Not yet: ask again after so long.
    Wait(SignedDuration),
    /// A person has to resume it.
    Suspend,
}
