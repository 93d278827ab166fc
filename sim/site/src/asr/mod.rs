//! Site Recovery: what its verbs do to the world, as jobs made of tasks.

mod chores;
mod conditions;
mod finish;
mod job;
mod places;
mod plan;
mod points;
mod progress;
mod states;
mod steps;
mod verbs;

pub(crate) use chores::{Chore, Mapping, Passing, Policy, add_policies};
pub(crate) use job::{Job, JobError, JobState, Order};
pub(crate) use plan::{Group, Plan, PlanRun, PlanVerb, add_plan, plan_allowed};
pub(crate) use points::Point;
pub(crate) use states::{active_location, allowed_operations, instance_type, protection_state};
pub(crate) use steps::{Step, Work};
