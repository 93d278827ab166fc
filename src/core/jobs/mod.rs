//! The user's own Jobs, as hooks of a plan and probes of a machine: what they are called, what they are told, and how
//! they stand.

mod body;
mod env;
mod seen;
mod tail;

pub use self::{
    body::{JobOrder, MOST_BYTES, body, label_of_owner, name, unfit},
    env::{ENVIRONMENT, Environment, of_hook, of_item},
    seen::{JobEnd, JobSeen, JobsSeen, Refusal, has_run, look, why_waiting},
    tail::tail,
};

/// Label of every Job of ours, with the UID of the plan or machine that it runs for. What is watched is chosen by it.
pub const OWNER_LABEL: &str = "failback.dev/owner-uid";
/// Label with the name of the hook.
pub const HOOK_LABEL: &str = "failback.dev/hook";
/// Label with the name of the probe.
pub const PROBE_LABEL: &str = "failback.dev/probe";
/// What the controller must be allowed to do for Jobs; said where it is not.
pub const RIGHTS: &str = "The controller needs a Role in this namespace with jobs.batch: create, get, list, watch; pods: \
     list; pods/log: get (the chart's value jobs.namespaces).";
