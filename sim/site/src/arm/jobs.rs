//! Jobs, operation status and operation results.

use serde_json::{Value, json};

use super::{Context, Refusal, items};
use crate::asr::{Chore, Job, JobError, JobState, Order, Passing, Work};
use crate::clock::azure_time;
use crate::fault::Target;
use crate::scenario::Generation;
use crate::wire::Answer;
use crate::world::World;

/// The tail of an id that stands for "no job" (recorded).
const NONE: &str = "none";

fn time(at: Option<jiff::Timestamp>) -> Value {
    at.map_or(Value::Null, |at| json!(azure_time(at)))
}

fn error(job: &Job, error: &JobError) -> Value {
    // Errors of the older providers are numbers, those of the modernized one are symbols (protocol reference §5).
    let number: i64 = error.code.parse().unwrap_or(0);
    json!({
        "serviceErrorDetails": {"code": error.code, "message": error.message, "possibleCauses": error.causes, "recommendedAction": error.action, "activityId": job.activity},
        "providerErrorDetails": {"errorCode": number, "errorMessage": error.message, "errorId": error.code, "possibleCauses": error.causes, "recommendedAction": error.action},
        "errorLevel": error.level,
        "creationTime": time(error.at),
        "taskId": error.task.clone().unwrap_or_default(),
    })
}

fn tasks(world: &World, job: &Job) -> Vec<Value> {
    job.tasks
        .iter()
        .map(|task| {
            let (name, friendly) = task.step.wire();
            let errors: Vec<Value> = job
                .errors
                .iter()
                .filter(|error| error.task.as_ref() == Some(&task.id))
                .map(|known| error(job, known))
                .collect();
            let mut value = json!({
                "taskId": task.id,
                "name": name,
                "startTime": time(task.started),
                "endTime": time(task.ended),
                "allowedActions": if task.state == JobState::Suspended { json!(["Resume"]) } else { json!([]) },
                "friendlyName": friendly,
                "state": task.state.name(),
                "stateDescription": task.description,
                "taskType": "TaskDetails",
                "customDetails": Value::Null,
                "groupTaskCustomDetails": Value::Null,
                "errors": errors,
            });
            if let (crate::asr::Step::PlanGroup(number), Some(value)) = (task.step, value.as_object_mut()) {
                value.insert("taskType".to_owned(), json!("GroupTaskDetails"));
                value.insert("groupTaskCustomDetails".to_owned(), group_task(world, job, number));
            }
            value
        })
        .collect()
}

/// The members' jobs of a plan's group.
fn group_task(world: &World, job: &Job, number: u8) -> Value {
    let Work::Plan(run) = &job.work else { return Value::Null };
    let members = run.groups.get(usize::from(number)).cloned().unwrap_or_default();
    let children: Vec<Value> = world
        .job_order
        .iter()
        .filter_map(|id| world.jobs.get(id))
        .filter(|child| child.parent.as_deref() == Some(&job.id) && child.machine.is_some_and(|machine| members.contains(&machine)))
        .map(|child| {
            json!({
                "taskId": child.id, "name": child.work.scenario().0, "startTime": time(Some(child.started)), "endTime": time(child.ended),
                "allowedActions": [], "friendlyName": child.work.scenario().1, "state": child.state.name(), "stateDescription": child.description,
                "taskType": "JobTaskDetails",
                "customDetails": {"instanceType": "JobTaskDetails", "jobTask": {
                    "jobId": format!("{}/replicationJobs/{}", world.vault_id(&child.vault), child.id), "jobFriendlyName": child.work.scenario().1,
                    "targetObjectId": child.target_id, "targetObjectName": child.target_name, "targetInstanceType": "ProtectionEntity", "jobScenarioName": child.work.scenario().0}},
                "groupTaskCustomDetails": Value::Null, "errors": [],
            })
        })
        .collect();
    json!({"instanceType": "RecoveryPlanGroupTaskDetails", "name": format!("Group {}", number + 1), "groupId": format!("{number}"), "rpGroupType": "Boot", "childTasks": children})
}

fn custom_details(world: &World, job: &Job) -> Value {
    let machine = job.machine.and_then(|index| world.machines.get(index));
    let mut value = json!({"instanceType": job.work.details(), "affectedObjectDetails": {}});
    let Some(map) = value.as_object_mut() else { return value };
    if let Some((machine, fabric)) = machine.and_then(|machine| Some((machine, world.fabric_of(machine)?))) {
        map.insert(
            "affectedObjectDetails".to_owned(),
            json!({"protectionEntityId": machine.internal_id, "protectionEntityName": machine.spec.name, "fabricId": fabric.internal_id, "fabricName": fabric.friendly,
                "fabricProvider": if fabric.generation == Generation::Classic { "InMageFabric" } else { "InMageRcmFabric" }}),
        );
        match job.work.details() {
            "SwitchProtectionJobDetails" => {
                map.insert("newReplicationProtectedItemId".to_owned(), json!(world.item_id(machine)));
            }
            "FailoverJobDetails" => {
                map.insert(
                    "protectedItemDetails".to_owned(),
                    json!([{"name": machine.item, "friendlyName": machine.spec.name, "testVmName": "", "testVmFriendlyName": "", "networkConnectionStatus": "NotConnected",
                        "networkFriendlyName": "", "subnet": "", "recoveryPointId": machine.failover_point, "recoveryPointTime": time(machine.failover_time)}]),
                );
            }
            _ => {}
        }
    }
    value
}

/// How much of a job is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// An entry of a list, which names neither errors nor tasks, even of a job that failed (recorded).
    Listed,
    /// All of it.
    Full,
}

fn render(world: &World, job: &Job, view: View) -> Value {
    let allowed = match job.state {
        JobState::Suspended => json!(["Resume"]),
        JobState::Failed => json!(["Restart"]),
        JobState::InProgress => json!(["Cancel"]),
        JobState::NotStarted | JobState::Succeeded | JobState::Cancelled | JobState::Other => json!([]),
    };
    let instance = match (&job.work, job.machine.and_then(|index| world.machines.get(index))) {
        (Work::Plan(_), _) => "RecoveryPlan",
        (_, Some(_)) => "ProtectionEntity",
        (Work::Chore(Chore::PutPolicy(_) | Chore::DeletePolicy { .. }), _) => "ProtectionProfile",
        (Work::Chore(Chore::PutPlan(_) | Chore::DeletePlan { .. }), _) => "RecoveryPlan",
        _ => "Cloud",
    };
    let errors: Vec<Value> = job.errors.iter().map(|known| error(job, known)).collect();
    let full = view == View::Full;
    json!({
        "id": format!("{}/replicationJobs/{}", world.vault_id(&job.vault), job.id),
        "name": job.id,
        "type": "Microsoft.RecoveryServices/vaults/replicationJobs",
        "properties": {
            "activityId": full.then_some(&job.activity),
            "scenarioName": job.work.scenario().0,
            "friendlyName": job.work.scenario().1,
            "state": job.state_word(),
            "stateDescription": job.description,
            "tasks": if full { tasks(world, job) } else { Vec::new() },
            "errors": if full { errors } else { Vec::new() },
            "startTime": azure_time(job.started),
            "endTime": time(job.ended),
            "allowedActions": allowed,
            "targetObjectId": job.target_id,
            "targetObjectName": job.target_name,
            "targetInstanceType": instance,
            "customDetails": if full { custom_details(world, job) } else { Value::Null },
        },
    })
}

/// `replicationJobs` and everything below.
pub(crate) fn answer(context: &mut Context<'_>, lower: &[&str]) -> Result<Answer, Refusal> {
    match (context.method, lower) {
        ("GET", []) => {
            let target = Target { method: context.method, path: context.path, soap: None, machine: None };
            let late = context.world.faults.late_jobs(target);
            let world = &*context.world;
            let newest = world.now - jiff::SignedDuration::from_secs(late.into());
            let filter = context.request.query("$filter").unwrap_or_default().to_owned();
            let jobs: Vec<&Job> = world
                .job_order
                .iter()
                .rev()
                .filter_map(|id| world.jobs.get(id))
                .filter(|job| job.vault == context.vault && matches_filter(job, &filter))
                .filter(|job| job.started <= newest)
                .collect();
            Ok(context.page(&jobs, |job| render(world, job, View::Listed)))
        }
        ("GET", [id]) => {
            let job = find(context, id)?;
            Ok(Answer::json(200, &render(context.world, job, View::Full)))
        }
        ("POST", ["export"]) => Ok(pass(context, "export")),
        ("POST", [id, verb @ ("cancel" | "restart" | "resume")]) => {
            let id = find(context, id)?.id.clone();
            job_verb(context, &id, verb)
        }
        ("GET", [_, "operationresults", id]) => operation_result(context, id),
        _ => Err(Refusal::no_such_type()),
    }
}

fn find<'c>(context: &'c Context<'_>, id: &str) -> Result<&'c Job, Refusal> {
    if id.eq_ignore_ascii_case(NONE) {
        return Err(Refusal::unknown_item(id));
    }
    context.world.jobs.get(id).filter(|job| job.vault == context.vault).ok_or_else(|| Refusal::unknown_item(id))
}

/// `jobStatus eq 'InProgress'` and the like; the syntax is not documented, other terms are passed over.
fn matches_filter(job: &Job, filter: &str) -> bool {
    filter.split(" and ").all(|term| {
        let mut words = term.trim().splitn(3, ' ');
        let (Some(field), Some(operator), Some(value)) = (words.next(), words.next(), words.next()) else {
            return true;
        };
        let value = value.trim_matches('\'');
        match (field.to_ascii_lowercase().as_str(), operator.to_ascii_lowercase().as_str()) {
            ("jobstatus" | "state", "eq") => job.state_word().eq_ignore_ascii_case(value),
            ("jobname" | "scenarioname", "eq") => job.work.scenario().0.eq_ignore_ascii_case(value),
            ("starttime", "ge" | "gt") => value.parse::<jiff::Timestamp>().is_ok_and(|since| job.started >= since),
            ("endtime", "le" | "lt") => value.parse::<jiff::Timestamp>().is_ok_and(|until| job.started <= until),
            _ => true,
        }
    })
}

fn pass(context: &mut Context<'_>, name: &str) -> Answer {
    let order = Order {
        vault: context.vault.clone(),
        work: Work::Chore(Chore::Pass { scenario: Passing::JobVerb }),
        machine: None,
        plan: None,
        parent: None,
        resource: format!("{}/replicationJobs/{name}", context.vault_id()),
        target_id: name.to_owned(),
        target_name: name.to_owned(),
        call: Some((context.method, context.path)),
    };
    let job = context.world.start_job(order);
    context.accepted(&job)
}

fn job_verb(context: &mut Context<'_>, id: &str, verb: &str) -> Result<Answer, Refusal> {
    let state = context.world.jobs.get(id).map(|job| job.state);
    let refuse = |message: &str| {
        Err(Refusal::asr(
            400,
            "BadRequest",
            "JobActionNotAllowed",
            format!("The action '{verb}' is not allowed on the job: {message}."),
        ))
    };
    match (verb, state) {
        ("cancel", Some(JobState::InProgress | JobState::Suspended)) => context.world.end_job(id, JobState::Cancelled),
        ("resume", Some(JobState::Suspended)) => context.world.resume_job(id),
        ("restart", Some(JobState::Failed)) => {
            let Some((work, machine, plan)) =
                context.world.jobs.get(id).map(|job| (job.work.clone(), job.machine, job.plan.clone()))
            else {
                return Err(Refusal::unknown_item(id));
            };
            match (machine, plan) {
                (Some(index), _)
                    if context.world.machines.get(index).is_some_and(|machine| machine.operation.is_some()) =>
                {
                    return refuse("the item is busy");
                }
                (Some(index), _) => {
                    context.world.start_item_job(index, work, None, None);
                }
                _ => return refuse("it cannot be restarted"),
            }
        }
        _ => return refuse("its state does not allow it"),
    }
    Ok(pass(context, id))
}

/// `replicationOperationStatus/{job}`: the words of ARM's asynchronous operations.
pub(crate) fn operation_status(context: &Context<'_>, id: &str) -> Result<Answer, Refusal> {
    context.expect_signature()?;
    let job = find(context, id)?;
    let status = match job.state {
        JobState::NotStarted => "NotStarted",
        JobState::InProgress | JobState::Suspended => "InProgress",
        JobState::Succeeded | JobState::Other => "Succeeded",
        JobState::Failed => "Failed",
        JobState::Cancelled => "Canceled",
    };
    // Warnings are there while it runs and when it has succeeded (recorded): only the status decides.
    let error = job.errors.first().map_or(Value::Null, |error| {
        json!({"code": error.code, "message": error.message,
            "details": [{"code": error.code, "message": error.message, "possibleCauses": error.causes, "recommendedAction": error.action,
                "clientRequestId": Value::Null, "activityId": job.activity, "target": Value::Null}]})
    });
    let answer = Answer::json(
        200,
        &json!({"id": Value::Null, "name": job.id, "status": status, "startTime": azure_time(job.started), "endTime": time(job.ended),
            "percentComplete": Value::Null, "properties": Value::Null, "error": error}),
    );
    Ok(match context.world.azure.retry_after.filter(|_| !job.state.is_over()) {
        Some(seconds) => answer.with("retry-after", seconds.to_string()),
        None => answer,
    })
}

/// `…/operationresults/{job}`: 202 while it runs, then the resource, or 204 when it is gone.
pub(crate) fn operation_result(context: &Context<'_>, id: &str) -> Result<Answer, Refusal> {
    context.expect_signature()?;
    let job = find(context, id)?;
    if !job.state.is_over() {
        return Ok(context.accepted(id));
    }
    if let Some(error) = job.errors.first().filter(|_| job.state == JobState::Failed) {
        return Err(Refusal::asr(400, "BadRequest", &error.code, error.message.clone()));
    }
    match job.machine {
        Some(index) if context.world.machines.get(index).is_some_and(|machine| !machine.removed) => {
            Ok(Answer::json(200, &items::render(context.world, index, items::View::Full)))
        }
        Some(_) => Ok(Answer::empty(204)),
        None => {
            let world = &*context.world;
            let body = match (&job.plan, &job.work) {
                (Some(name), _) => super::plans::render_named(world, &job.vault, name),
                (None, Work::Chore(chore)) => chore_result(world, job, chore),
                (None, _) => None,
            };
            Ok(body.map_or_else(|| Answer::empty(204), |body| Answer::json(200, &body)))
        }
    }
}

/// What a resource operation has made; nothing after a delete.
fn chore_result(world: &World, job: &Job, chore: &Chore) -> Option<Value> {
    match chore {
        Chore::PutPlan(plan) => super::plans::render_named(world, &job.vault, &plan.name),
        Chore::PutPolicy(policy) => Some(super::policies::render(world, policy)),
        Chore::PutMapping(mapping) => Some(super::policies::render_mapping(world, mapping)),
        Chore::Pass { .. } => Some(render(world, job, View::Full)),
        Chore::DeletePolicy { .. } | Chore::DeleteMapping { .. } | Chore::DeletePlan { .. } => None,
    }
}
