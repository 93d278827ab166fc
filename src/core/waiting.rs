//! Everything that a machine or a plan can wait for.
//!
//! One enum yields the condition's reason, the event's reason, the metric's label and the row in the docs, so that no
//! wait is without a name, a sentence and a remedy.

use jiff::Timestamp;

use super::action::Verb;

mod reasons;

pub(crate) use reasons::by_waiver;
use reasons::row;
pub use reasons::{HELD_REASONS, REASONS, ReasonRow, VAULT_UNREADABLE, remedy};

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingOn {
    /// No plan has claimed the item.
    Plan,
    /// The plan holds the item back; its reason and sentence.
    Held {
        /// The plan's reason, one of [`HELD_REASONS`].
        reason: &'static str,
        /// The plan's sentence.
        message: String,
    },
    /// Something that must be known first is not: the item in the vault, its jobs, the machine in Azure.
    Observation(String),
    /// The item's provider is none that this operator handles.
    UnsupportedProvider(String),
    /// Site recovery is between two states.
    Transition(String),
    /// These checks, which gate the step, have not passed.
    Checks {
        /// The step.
        step: Verb,
        /// The checks' names with their messages.
        failing: Vec<String>,
    },
    /// A value that the step's call needs is neither declared nor known.
    Input {
        /// The step.
        step: Verb,
        /// Field and remedy.
        message: String,
    },
    /// A job runs.
    Job {
        /// What it does.
        verb: Verb,
        /// Its id, once known.
        job_id: String,
        /// The vendor's task at hand.
        task: String,
    },
    /// The job waits for a person to resume it.
    JobSuspended {
        /// What it does.
        verb: Verb,
        /// Its id.
        job_id: String,
    },
    /// A job that this operator did not start and will not adopt.
    AnotherOperation(String),
    /// The job ended and the item does not show its effect yet.
    Settling(Verb),
    /// The failback was committed, and the machine in Azure is still there.
    AzureVmRemains {
        /// Its name.
        vm: String,
        /// When the commit ended.
        since: Timestamp,
    },
    /// The first synchronisation after a reprotect.
    Synchronisation {
        /// Percentage or state, for people.
        progress: String,
    },
    /// Verification must hold a while longer.
    Soak {
        /// Until when.
        until: Timestamp,
    },
    /// A call was refused for now, or a job failed, and it is tried again.
    Retry {
        /// What is tried again.
        verb: Verb,
        /// When.
        at: Timestamp,
        /// Why.
        message: String,
    },
    /// A call was sent, no answer came, and its effect is being looked for.
    Outcome(Verb),
    /// The last step failed; a person decides.
    OperationFailed {
        /// The step.
        verb: Verb,
        /// The vendor's words.
        message: String,
    },
    /// It cannot be found out whether a call took effect; a person decides.
    OperationOutcomeUnknown {
        /// The step.
        verb: Verb,
        /// What is known.
        message: String,
    },
    /// Somebody undid what the plan had done.
    ExternalChange(String),
    /// The failback was undone as asked, or is not to begin: why.
    Cancelled(String),
    /// The failback is to be undone, and cannot be.
    CannotCancel(String),
    /// A failback did not complete, and was not reverted: what is known.
    FailbackIncomplete(String),
    /// The failback was undone, and the machine in Azure does not run: what is seen.
    NotRunningInAzure(String),
}

impl WaitingOn {
    /// The reason word: condition reason, event reason and metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Plan => "NotClaimed",
            Self::Held { reason, .. } => reason,
            Self::Observation(_) => "WaitingForObservation",
            Self::UnsupportedProvider(_) => "UnsupportedProvider",
            Self::Transition(_) => "WaitingForTransition",
            Self::Checks { .. } => "WaitingForChecks",
            Self::Input { .. } => "WaitingForInput",
            Self::Job { .. } => "WaitingForJob",
            Self::JobSuspended { .. } => "JobSuspended",
            Self::AnotherOperation(_) => "WaitingForAnotherOperation",
            Self::Settling(_) => "WaitingForSettling",
            Self::AzureVmRemains { .. } => "AzureVmRemains",
            Self::Synchronisation { .. } => "WaitingForSynchronisation",
            Self::Soak { .. } => "WaitingForSoak",
            Self::Retry { .. } => "WaitingForRetry",
            Self::Outcome(_) => "WaitingForOutcome",
            Self::OperationFailed { .. } => "OperationFailed",
            Self::OperationOutcomeUnknown { .. } => "OperationOutcomeUnknown",
            Self::ExternalChange(_) => "ExternalChange",
            Self::Cancelled(_) => "FailbackCancelled",
            Self::CannotCancel(_) => "CancelNotPossible",
            Self::FailbackIncomplete(_) => "FailbackIncomplete",
            Self::NotRunningInAzure(_) => "NotRunningInAzure",
        }
    }

    /// Whether the plan holds the item back because of a hook.
    pub fn is_of_hook(&self) -> bool {
        matches!(self, Self::Held { reason: "HookRunning" | "HookFailed", .. })
    }

    /// Whether it ends by what the vault shows.
    pub const fn is_for_vault(&self) -> bool {
        matches!(
            self,
            Self::Observation(_)
                | Self::Transition(_)
                | Self::Job { .. }
                | Self::AnotherOperation(_)
                | Self::Settling(_)
                | Self::AzureVmRemains { .. }
                | Self::Synchronisation { .. }
                | Self::Outcome(_)
        )
    }

    /// Whether only a person can move it on.
    pub fn stalled(&self) -> bool {
        row(self.reason()).is_some_and(|row| row.3)
    }

    /// A sentence for a person, remedy included where there is one.
    pub fn message(&self) -> String {
        self.message_of(None)
    }

    /// The same of a machine that a plan has claimed: commands name the plan.
    pub fn message_of(&self, plan: Option<&str>) -> String {
        let what = match self {
            Self::Plan => "No plan has claimed this machine; it is only observed.".to_owned(),
            Self::Held { reason, message } if message.is_empty() => {
                row(reason).map_or_else(|| (*reason).to_owned(), |row| row.1.to_owned())
            }
            Self::Held { message, .. } => message.clone(),
            Self::Observation(why) => format!("Not observed yet: {why}"),
            Self::UnsupportedProvider(provider) => {
                format!("The item is protected by the provider \"{provider}\", which failback does not handle.")
            }
            Self::Transition(state) => format!("Site recovery is between two states: {state}."),
            Self::Checks { step, failing } => format!("{step} waits for: {}", failing.join("; ")),
            Self::Input { step, message } => format!("{step} waits for a value: {message}"),
            Self::Job { verb, job_id, task } if task.is_empty() => format!("{verb} runs as job {job_id}."),
            Self::Job { verb, job_id, task } => format!("{verb} runs as job {job_id}: {task}."),
            Self::JobSuspended { verb, job_id } => format!("{verb}: job {job_id} is suspended."),
            Self::AnotherOperation(what) => format!("{what}; nothing is started beside it."),
            Self::Settling(verb) => format!("The job of {verb} ended; the item does not show its effect yet."),
            Self::AzureVmRemains { vm, since } => {
                format!("The failback was committed at {since:.0}, and Azure VM {vm} still exists.")
            }
            Self::Synchronisation { progress } => format!("Data is being synchronised: {progress}."),
            Self::Soak { until } => format!("Verified; the commit follows if it stays so until {until:.0}."),
            Self::Retry { verb, at, message } => format!("{verb} is tried again at {at:.0}: {message}"),
            Self::Outcome(verb) => {
                format!("{verb} was sent and no answer came; its job is being looked for before anything else.")
            }
            Self::OperationFailed { verb, message } => format!("{verb} failed: {message}"),
            Self::OperationOutcomeUnknown { verb, message } => {
                format!("It cannot be told whether {verb} took effect: {message}")
            }
            Self::ExternalChange(what)
            | Self::CannotCancel(what)
            | Self::FailbackIncomplete(what)
            | Self::NotRunningInAzure(what) => what.clone(),
            Self::Cancelled(why) => format!("The failback is cancelled and does not begin again: {why}"),
        };
        // A plan's sentence has its own remedies.
        let told = matches!(self, Self::Held { .. });
        match row(self.reason()).filter(|row| row.3 && !told) {
            Some((_, _, remedy, _)) => format!("{what} Remedy: {}", remedy.replace("PLAN", plan.unwrap_or("PLAN"))),
            None => what,
        }
    }
}
