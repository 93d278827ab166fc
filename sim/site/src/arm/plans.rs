//! Recovery plans.

use serde_json::{Value, json};

use super::{Context, Refusal};
use crate::asr::{Chore, Group, Order, Plan, PlanRun, PlanVerb, Work, instance_type, plan_allowed};
use crate::clock::azure_time;
use crate::scenario::{Generation, PlanDirection};
use crate::wire::Answer;
use crate::world::World;

pub(crate) fn render_named(world: &World, vault: &str, name: &str) -> Option<Value> {
    world
        .plans
        .iter()
        .find(|plan| plan.vault == vault && plan.name.eq_ignore_ascii_case(name))
        .map(|plan| render(world, plan, true))
}

/// GET shows all groups with Shutdown and Failover before the boot groups, LIST none (recorded).
fn render(world: &World, plan: &Plan, full: bool) -> Value {
    let mut providers: Vec<&str> = Vec::new();
    for index in plan.groups.iter().flat_map(|group| &group.machines) {
        let Some(machine) = world.machines.get(*index) else { continue };
        let provider = instance_type(
            world.fabric_of(machine).map_or(Generation::Modernized, |fabric| fabric.generation),
            machine.stage,
        );
        if !providers.contains(&provider) {
            providers.push(provider);
        }
    }
    let friendly = |id: &str| match world.fabrics.iter().find(|fabric| world.fabric_id(fabric).eq_ignore_ascii_case(id))
    {
        Some(fabric) => fabric.friendly.clone(),
        None => id.to_owned(),
    };
    let job = world.plan_job(&plan.name);
    let running = job.filter(|job| !job.state.is_over());
    let mut groups = Vec::new();
    if full {
        for kind in ["Shutdown", "Failover"] {
            groups.push(json!({"groupType": kind, "replicationProtectedItems": [], "startGroupActions": [], "endGroupActions": []}));
        }
        for group in &plan.groups {
            let members: Vec<Value> = group
                .machines
                .iter()
                .filter_map(|index| world.machines.get(*index))
                .map(|machine| json!({"id": world.item_id(machine), "virtualMachineId": machine.internal_id}))
                .collect();
            groups.push(json!({"groupType": "Boot", "replicationProtectedItems": members, "startGroupActions": group.before, "endGroupActions": group.after}));
        }
    }
    let mut properties = json!({
        "friendlyName": plan.name,
        "primaryFabricId": plan.primary_fabric,
        "primaryFabricFriendlyName": friendly(&plan.primary_fabric),
        "recoveryFabricId": plan.recovery_fabric,
        "recoveryFabricFriendlyName": friendly(&plan.recovery_fabric),
        "failoverDeploymentModel": plan.deployment_model,
        "replicationProviders": providers,
        "allowedOperations": plan_allowed(world, plan),
        "currentScenario": running.map_or(Value::Null, |job| json!({"scenarioName": job.work.scenario().0,
            "jobId": format!("{}/replicationJobs/{}", world.vault_id(&plan.vault), job.id), "startTime": azure_time(job.started)})),
        "currentScenarioStatus": running.map_or(Value::Null, |job| json!(job.state.name())),
        "currentScenarioStatusDescription": running.map_or(Value::Null, |job| json!(job.description)),
        "groups": groups,
        "providerSpecificDetails": [],
    });
    if let Some(properties) = properties.as_object_mut() {
        for (name, at) in [
            ("lastPlannedFailoverTime", plan.last_planned),
            ("lastUnplannedFailoverTime", plan.last_unplanned),
            ("lastTestFailoverTime", plan.last_test),
        ] {
            if let Some(at) = at {
                properties.insert(name.to_owned(), json!(azure_time(at)));
            }
        }
    }
    json!({"id": format!("{}/replicationRecoveryPlans/{}", world.vault_id(&plan.vault), plan.name), "name": plan.name,
        "type": "Microsoft.RecoveryServices/vaults/replicationRecoveryPlans", "properties": properties})
}

/// `replicationRecoveryPlans` and everything below.
pub(crate) fn answer(context: &mut Context<'_>, rest: &[&str], lower: &[&str]) -> Result<Answer, Refusal> {
    let name = rest.first().copied().unwrap_or_default();
    let found =
        context.world.plans.iter().position(|plan| plan.vault == context.vault && plan.name.eq_ignore_ascii_case(name));
    let resource = format!("{}/replicationRecoveryPlans/{name}", context.vault_id());
    match (context.method, lower) {
        ("GET", []) => {
            let plans: Vec<&Plan> = context.world.plans.iter().filter(|plan| plan.vault == context.vault).collect();
            Ok(context.page(&plans, |plan| render(context.world, plan, false)))
        }
        ("GET", [_]) => match found.and_then(|index| context.world.plans.get(index)) {
            Some(plan) => Ok(Answer::json(200, &render(context.world, plan, true))),
            None => Err(Refusal::unknown_item(name)),
        },
        ("GET", [_, "operationresults", job]) => super::jobs::operation_result(context, job),
        ("PUT" | "PATCH", [_]) => {
            let plan = read_plan(context, name, found)?;
            Ok(chore(context, Chore::PutPlan(plan), resource, name))
        }
        ("DELETE", [_]) => {
            let chore_work = Chore::DeletePlan { vault: context.vault.clone(), name: name.to_owned() };
            Ok(chore(context, chore_work, resource, name))
        }
        ("POST", [_, verb]) => {
            let index = found.ok_or_else(|| Refusal::unknown_item(name))?;
            run(context, index, verb)
        }
        _ => Err(Refusal::no_such_type()),
    }
}

/// Begins work of the vault itself, about a policy, a mapping or a plan.
pub(super) fn chore(context: &mut Context<'_>, chore: Chore, resource: String, name: &str) -> Answer {
    let order = Order {
        vault: context.vault.clone(),
        work: Work::Chore(chore),
        machine: None,
        plan: None,
        parent: None,
        resource,
        target_id: name.to_owned(),
        target_name: name.to_owned(),
        call: Some((context.method, context.path)),
    };
    let job = context.world.start_job(order);
    context.accepted(&job)
}

fn read_plan(context: &Context<'_>, name: &str, found: Option<usize>) -> Result<Plan, Refusal> {
    let world = &*context.world;
    let properties = context
        .body
        .as_ref()
        .and_then(|body| body.get("properties"))
        .ok_or_else(|| Refusal::invalid_input("The required property 'properties' is missing."))?;
    let known = found.and_then(|index| world.plans.get(index));
    let text = |key: &str| properties.get(key).and_then(Value::as_str).map(str::to_owned);
    let required = |key: &str, kept: Option<String>| {
        text(key).or(kept).ok_or_else(|| Refusal::invalid_input(format!("The required property '{key}' is missing.")))
    };
    let mut groups = Vec::new();
    let wanted = properties
        .get("groups")
        .and_then(Value::as_array)
        .ok_or_else(|| Refusal::invalid_input("The required property 'groups' is missing."))?;
    for group in
        wanted.iter().filter(|group| group.get("groupType").and_then(Value::as_str).is_some_and(|kind| kind == "Boot"))
    {
        let mut machines = Vec::new();
        for member in group.get("replicationProtectedItems").and_then(Value::as_array).into_iter().flatten() {
            let id = member.get("id").and_then(Value::as_str).unwrap_or_default();
            let index = world
                .machines
                .iter()
                .position(|machine| !machine.removed && world.item_id(machine).eq_ignore_ascii_case(id));
            machines.push(index.ok_or_else(|| {
                Refusal::invalid_input(format!("The replication protected item '{id}' was not found."))
            })?);
        }
        let actions = |key: &str| group.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        groups.push(Group { machines, before: actions("startGroupActions"), after: actions("endGroupActions") });
    }
    if groups.len() > 7 {
        return Err(Refusal::invalid_input("A recovery plan has at most 7 groups."));
    }
    Ok(Plan {
        vault: context.vault.clone(),
        name: name.to_owned(),
        primary_fabric: required("primaryFabricId", known.map(|plan| plan.primary_fabric.clone()))?,
        recovery_fabric: required("recoveryFabricId", known.map(|plan| plan.recovery_fabric.clone()))?,
        deployment_model: text("failoverDeploymentModel").unwrap_or_else(|| "ResourceManager".to_owned()),
        groups,
        last_planned: known.and_then(|plan| plan.last_planned),
        last_unplanned: known.and_then(|plan| plan.last_unplanned),
        last_test: known.and_then(|plan| plan.last_test),
    })
}

fn run(context: &mut Context<'_>, index: usize, verb: &str) -> Result<Answer, Refusal> {
    let verb = match verb {
        "reprotect" => PlanVerb::Reprotect,
        "plannedfailover" => PlanVerb::PlannedFailover,
        "unplannedfailover" => PlanVerb::UnplannedFailover,
        "testfailover" => PlanVerb::TestFailover,
        "testfailovercleanup" => PlanVerb::TestFailoverCleanup,
        "failovercommit" => PlanVerb::Commit,
        "failovercancel" => PlanVerb::Cancel,
        _ => return Err(Refusal::no_such_type()),
    };
    let properties = context.body.as_ref().and_then(|body| body.get("properties")).cloned().unwrap_or(Value::Null);
    let points = read_points(&properties);
    check_body(context, verb, &properties)?;
    let Some(plan) = context.world.plans.get(index).cloned() else { return Err(Refusal::unknown_item("")) };
    if let Some(job) = context.world.plan_job(&plan.name).filter(|job| !job.state.is_over()) {
        return Err(Refusal::asr(
            409,
            "Conflict",
            "OperationInProgress",
            format!(
                "Another operation '{}' is in progress on the recovery plan '{}'.",
                job.work.scenario().0,
                plan.name
            ),
        ));
    }
    let allowed = plan_allowed(context.world, &plan);
    if !allowed.contains(&verb.operation()) {
        return Err(Refusal::asr(
            400,
            "BadRequest",
            "OperationNotAllowed",
            format!(
                "The operation '{}' is not allowed on the recovery plan in its current state. Allowed operations: {}.",
                verb.operation(),
                allowed.join(", ")
            ),
        ));
    }
    // Without a body there is no datastore and no target: users report that reprotect of a plan does not work toward VMware (protocol reference §1.4).
    let toward_vmware = plan
        .groups
        .iter()
        .flat_map(|group| &group.machines)
        .filter_map(|index| context.world.machines.get(*index))
        .any(|machine| !machine.stage.is_reverse());
    if verb == PlanVerb::Reprotect && toward_vmware {
        return Err(Refusal::asr(
            400,
            "BadRequest",
            "506",
            "The ReplicationProviderInput is invalid for the parameters: reprotect each member by itself.",
        ));
    }
    let shutdown = properties
        .get("sourceSiteOperations")
        .and_then(Value::as_str)
        .is_some_and(|wish| wish.eq_ignore_ascii_case("Required"));
    let run = PlanRun {
        verb,
        groups: plan.groups.iter().map(|group| group.machines.clone()).collect(),
        manual: plan.groups.iter().map(|group| has_manual_action(&group.before)).collect(),
        points,
        shutdown,
        children: Vec::new(),
    };
    let call = (context.method, context.path);
    let job = context.world.start_plan(index, run, Some(call)).ok_or_else(|| Refusal::unknown_item(&plan.name))?;
    Ok(context.accepted(&job))
}

fn has_manual_action(actions: &[Value]) -> bool {
    actions.iter().any(|action| {
        action.pointer("/customDetails/instanceType").and_then(Value::as_str) == Some("ManualActionDetails")
    })
}

fn read_points(properties: &Value) -> Vec<(String, String)> {
    let text = |details: &Value, key: &str| details.get(key).and_then(Value::as_str).map(str::to_owned);
    let details = properties.get("providerSpecificDetails").and_then(Value::as_array);
    details
        .into_iter()
        .flatten()
        .filter_map(|details| Some((text(details, "instanceType")?, text(details, "recoveryPointType")?)))
        .collect()
}

fn check_body(context: &Context<'_>, verb: PlanVerb, properties: &Value) -> Result<(), Refusal> {
    let direction = properties.get("failoverDirection").and_then(Value::as_str);
    match verb {
        PlanVerb::PlannedFailover => {
            let Some(direction) = direction else {
                return Err(Refusal::invalid_input("The required property 'failoverDirection' is missing."));
            };
            let good = match context.world.unknowns.plan_failback_direction {
                PlanDirection::RecoveryToPrimary => direction == "RecoveryToPrimary",
                PlanDirection::PrimaryToRecovery => direction == "PrimaryToRecovery",
                PlanDirection::Either => matches!(direction, "RecoveryToPrimary" | "PrimaryToRecovery"),
            };
            if good {
                Ok(())
            } else {
                Err(Refusal::invalid_input(format!(
                    "The failover direction '{direction}' is not valid for the recovery plan."
                )))
            }
        }
        PlanVerb::UnplannedFailover | PlanVerb::TestFailover => {
            if direction.is_none() {
                return Err(Refusal::invalid_input("The required property 'failoverDirection' is missing."));
            }
            Ok(())
        }
        PlanVerb::Reprotect | PlanVerb::TestFailoverCleanup | PlanVerb::Commit | PlanVerb::Cancel => Ok(()),
    }
}
