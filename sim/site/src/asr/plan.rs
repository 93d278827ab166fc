//! Recovery plans: groups of items that go one after another, each member by a job of its own.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::job::Outcome;
use super::{JobError, JobState, Order, Step, Work, allowed_operations};
use crate::scenario::{self, Generation};
use crate::world::{Stage, World};

/// A recovery plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) vault: String,
    pub(crate) name: String,
    pub(crate) primary_fabric: String,
    pub(crate) recovery_fabric: String,
    pub(crate) deployment_model: String,
    pub(crate) groups: Vec<Group>,
    pub(crate) last_planned: Option<jiff::Timestamp>,
    pub(crate) last_unplanned: Option<jiff::Timestamp>,
    pub(crate) last_test: Option<jiff::Timestamp>,
}

/// A boot group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Indexes of machines.
    pub(crate) machines: Vec<usize>,
    /// Actions as they were put; only the manual ones hold the plan up.
    pub(crate) before: Vec<Value>,
    pub(crate) after: Vec<Value>,
}

/// A verb of a plan, as its job carries it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanRun {
    pub(crate) verb: PlanVerb,
    /// Members of each group.
    pub(crate) groups: Vec<Vec<usize>>,
    /// Groups that wait for a person first.
    pub(crate) manual: Vec<bool>,
    /// The kind of recovery point for each provider.
    pub(crate) points: Vec<(String, String)>,
    pub(crate) shutdown: bool,
    /// Children of the group at work.
    pub(crate) children: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PlanVerb {
    Reprotect,
    PlannedFailover,
    UnplannedFailover,
    TestFailover,
    TestFailoverCleanup,
    Commit,
    Cancel,
}

impl PlanVerb {
    /// The operation that each member must allow.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            PlanVerb::Reprotect => "SwitchProtection",
            PlanVerb::PlannedFailover => "PlannedFailover",
            PlanVerb::UnplannedFailover => "UnplannedFailover",
            PlanVerb::TestFailover => "TestFailover",
            PlanVerb::TestFailoverCleanup => "TestFailoverCleanup",
            PlanVerb::Commit => "Commit",
            PlanVerb::Cancel => "CancelFailover",
        }
    }
}

impl PlanRun {
    pub(super) fn scenario(&self) -> (&'static str, &'static str) {
        match self.verb {
            PlanVerb::Reprotect => ("SwitchReplicationGroupProtection", "Reprotect"),
            PlanVerb::PlannedFailover => ("PlannedFailover", "Planned failover"),
            PlanVerb::UnplannedFailover => ("UnplannedFailover", "Failover"),
            PlanVerb::TestFailover => ("TestFailover", "Test failover"),
            PlanVerb::TestFailoverCleanup => ("TestFailoverCleanup", "Test failover cleanup"),
            PlanVerb::Commit => ("CommitFailover", "Commit"),
            PlanVerb::Cancel => ("CancelFailover", "Cancel failover"),
        }
    }

    pub(super) fn details(&self) -> &'static str {
        match self.verb {
            PlanVerb::PlannedFailover | PlanVerb::UnplannedFailover => "FailoverJobDetails",
            PlanVerb::TestFailover => "TestFailoverJobDetails",
            PlanVerb::Reprotect | PlanVerb::TestFailoverCleanup | PlanVerb::Commit | PlanVerb::Cancel => {
                "AsrJobDetails"
            }
        }
    }

    pub(super) fn steps(&self) -> Vec<(Step, SignedDuration)> {
        let mut steps = Vec::new();
        for (number, manual) in self.manual.iter().enumerate() {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            if *manual && matches!(self.verb, PlanVerb::PlannedFailover | PlanVerb::UnplannedFailover) {
                steps.push((Step::ManualAction(number), SignedDuration::from_secs(1)));
            }
            steps.push((Step::PlanGroup(number), SignedDuration::from_secs(1)));
        }
        steps
    }
}

impl World {
    /// A plan's step: start the members' jobs, wait for them, or wait for a person.
    pub(super) fn plan_step(&mut self, job: &str, step: Step) -> Result<Outcome, Box<JobError>> {
        let Step::PlanGroup(number) = step else { return Ok(Outcome::Suspend) };
        let Some(Work::Plan(run)) = self.jobs.get(job).map(|job| job.work.clone()) else { return Ok(Outcome::Done) };
        if run.children.is_empty() {
            let members = run.groups.get(usize::from(number)).cloned().unwrap_or_default();
            let mut children = Vec::new();
            for index in members {
                if let Some(work) = self.member_work(index, &run) {
                    children.push(self.start_item_job(index, work, Some(job.to_owned()), None));
                }
            }
            if children.is_empty() {
                return Ok(Outcome::Done);
            }
            self.set_children(job, children);
            return Ok(Outcome::Wait(SignedDuration::from_hours(24 * 365)));
        }
        let states: Vec<JobState> =
            run.children.iter().filter_map(|child| self.jobs.get(child)).map(|child| child.state).collect();
        if states.iter().any(|state| !state.is_over()) {
            return Ok(Outcome::Wait(SignedDuration::from_hours(24 * 365)));
        }
        self.set_children(job, Vec::new());
        if states.iter().all(|state| *state == JobState::Succeeded) {
            return Ok(Outcome::Done);
        }
        Err(JobError::new(
            "RecoveryPlanGroupFailed",
            "The operation failed for one or more members of the group.",
            "See the errors of the members' jobs.",
            "Resolve them, then retry.",
        ))
    }

    fn set_children(&mut self, job: &str, children: Vec<String>) {
        if let Some(Work::Plan(run)) = self.jobs.get_mut(job).map(|job| &mut job.work) {
            run.children = children;
        }
    }

    fn member_work(&self, index: usize, run: &PlanRun) -> Option<Work> {
        let machine = self.machines.get(index).filter(|machine| !machine.removed)?;
        let provider = super::instance_type(self.generation(index), machine.stage);
        let point = run.points.iter().find(|(instance, _)| instance == provider).map(|(_, point)| point.clone());
        Some(match run.verb {
            PlanVerb::PlannedFailover => {
                Work::PlannedFailover { point: point.unwrap_or_else(|| "CrashConsistent".to_owned()) }
            }
            PlanVerb::UnplannedFailover if machine.stage.is_reverse() => Work::ClassicFailback { point },
            PlanVerb::UnplannedFailover => Work::UnplannedFailover { shutdown: run.shutdown, point },
            PlanVerb::TestFailover => Work::TestFailover,
            PlanVerb::TestFailoverCleanup => Work::TestFailoverCleanup,
            PlanVerb::Commit => Work::Commit,
            PlanVerb::Cancel => Work::Cancel,
            // Without a body there is nothing to say where to: only the direction to Azure has defaults enough.
            PlanVerb::Reprotect if machine.stage == Stage::FailedBackCommitted => {
                Work::Protect { policy: machine.forward_policy.clone(), process_server: machine.process_server.clone() }
            }
            PlanVerb::Reprotect => return None,
        })
    }

    /// A member's job has ended: the plan looks again.
    pub(super) fn child_ended(&mut self, parent: &str, _state: JobState) {
        let Some(job) = self.jobs.get(parent) else { return };
        let Some(number) = job.tasks.iter().position(|task| task.state == JobState::InProgress) else { return };
        self.queue.put(self.now, crate::world::Event::TaskEnds { job: parent.to_owned(), task: number });
    }

    /// Starts the job of a plan's verb.
    pub(crate) fn start_plan(&mut self, plan: usize, run: PlanRun, call: Option<(&str, &str)>) -> Option<String> {
        let now = self.now;
        let verb = run.verb;
        let known = self.plans.get_mut(plan)?;
        match verb {
            PlanVerb::PlannedFailover => known.last_planned = Some(now),
            PlanVerb::UnplannedFailover => known.last_unplanned = Some(now),
            PlanVerb::TestFailover => known.last_test = Some(now),
            PlanVerb::Reprotect | PlanVerb::TestFailoverCleanup | PlanVerb::Commit | PlanVerb::Cancel => {}
        }
        let (vault, name) = (known.vault.clone(), known.name.clone());
        let resource = format!("{}/replicationRecoveryPlans/{name}", self.vault_id(&vault));
        let target_id = crate::world::stable_id("plan", &name);
        let order = Order {
            vault,
            work: Work::Plan(run),
            machine: None,
            plan: Some(name.clone()),
            parent: None,
            resource,
            target_id,
            target_name: name,
            call,
        };
        Some(self.start_job(order))
    }

    /// The running job of a plan.
    pub(crate) fn plan_job(&self, name: &str) -> Option<&super::Job> {
        self.job_order
            .iter()
            .rev()
            .filter_map(|id| self.jobs.get(id))
            .find(|job| job.plan.as_deref().is_some_and(|plan| plan.eq_ignore_ascii_case(name)))
    }
}

/// What all members of a plan allow.
pub(crate) fn plan_allowed<'a>(world: &'a World, plan: &Plan) -> Vec<&'a str> {
    let members: BTreeSet<usize> = plan.groups.iter().flat_map(|group| group.machines.iter().copied()).collect();
    if world.plan_job(&plan.name).is_some_and(|job| !job.state.is_over()) {
        return Vec::new();
    }
    let mut common: Option<Vec<&str>> = None;
    for index in members {
        let Some(machine) = world.machines.get(index) else { continue };
        let allowed = if machine.operation.is_some() {
            Vec::new()
        } else {
            allowed_operations(world.generation(index), machine, &world.unknowns)
        };
        common = Some(match common {
            None => allowed,
            Some(before) => before.into_iter().filter(|operation| allowed.contains(operation)).collect(),
        });
    }
    // A plan offers no operation that belongs to a single item (recorded: UnplannedFailover and TestFailover of a protected item).
    let mut operations = common.unwrap_or_default();
    operations.retain(|operation| !matches!(*operation, "DisableProtection" | "CompleteMigration" | "ChangePit"));
    operations
}

/// A plan of the scenario.
pub(crate) fn add_plan(world: &mut World, spec: &scenario::Plan) {
    let groups: Vec<Group> = spec
        .groups
        .iter()
        .map(|group| Group {
            machines: group.machines.iter().filter_map(|name| world.machine_named(name)).collect(),
            before: group
                .manual_action
                .iter()
                .map(|text| {
                    json!({"actionName": text, "failoverTypes": ["PlannedFailover", "UnplannedFailover"], "failoverDirections": ["PrimaryToRecovery", "RecoveryToPrimary"],
                        "customDetails": {"instanceType": "ManualActionDetails", "description": text}})
                })
                .collect(),
            after: Vec::new(),
        })
        .collect();
    let fabric = groups
        .first()
        .and_then(|group| group.machines.first())
        .and_then(|index| world.machines.get(*index))
        .and_then(|machine| world.fabric_of(machine));
    let Some(fabric) = fabric.or_else(|| world.fabrics.first()) else { return };
    let plan = Plan {
        vault: fabric.vault.clone(),
        name: spec.name.clone(),
        primary_fabric: world.fabric_id(fabric),
        recovery_fabric: if fabric.generation == Generation::Modernized || fabric.generation == Generation::Classic {
            "Microsoft Azure".to_owned()
        } else {
            String::new()
        },
        deployment_model: "ResourceManager".to_owned(),
        groups,
        last_planned: None,
        last_unplanned: None,
        last_test: None,
    };
    world.plans.push(plan);
}
