//! What changes a plan or approves it. Nothing here decides: the controller does, by what it then reads.

use std::io::{BufRead, Write};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use serde_json::{Value, json};

use super::{
    AbandonFlags, ApproveFlags, CancelFlags,
    cluster::{APPROVALS, Cluster, ITEMS, PLANS},
    outcome::{Asked, Stop},
    pretty,
    status::View,
};
use crate::{
    api::{
        ABANDON_ANNOTATION, FailbackApproval, FailbackApprovalSpec, FailbackPlan, FailbackPlanSpec, HookOutcome,
        HookStatus, OnHookFailure, Reference, ReplicatedItem,
    },
    core::{
        conditions,
        found::STATUS_LOST,
        undo::{self, Undo},
    },
};

/// Field manager of all changes.
const MANAGER: &str = "kubectl-failback";
const EDITOR: &str = "failback-editor";
const APPROVER: &str = "failback-approver";

/// What was done.
pub(super) struct Done {
    pub(super) text: String,
    facts: Value,
}

impl Done {
    fn new(cluster: &Cluster, action: &str, plan: &str, changed: bool, text: String) -> Self {
        Self::to(cluster, action, ("plan", plan), changed, text)
    }

    /// The same of an object of another kind.
    fn to(cluster: &Cluster, action: &str, (kind, name): (&str, &str), changed: bool, text: String) -> Self {
        let facts = json!({
            "action": action,
            kind: name,
            "namespace": cluster.namespace,
            "changed": changed,
            "message": text,
        });
        Self { text, facts }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        if let Some(facts) = self.facts.as_object_mut() {
            facts.insert(key.to_owned(), value);
        }
        self
    }

    pub(super) fn json(&self) -> String {
        pretty(&self.facts)
    }
}

/// Changes a plan as it is read, and once more when somebody was faster. `make` says what to change, `None` where
/// nothing is to be. Objects are taken as they are, so that no field is lost that this program does not know.
async fn change(
    cluster: &Cluster,
    name: &str,
    make: impl Fn(&Value) -> Result<Option<Value>, Stop>,
) -> Result<(Value, bool), Stop> {
    change_of(cluster, &ApiResource::erase::<FailbackPlan>(&()), PLANS, ("plan", name), make).await
}

/// The same of an object of any kind.
async fn change_of(
    cluster: &Cluster,
    kind: &ApiResource,
    resource: &'static str,
    (noun, name): (&str, &str),
    make: impl Fn(&Value) -> Result<Option<Value>, Stop>,
) -> Result<(Value, bool), Stop> {
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, kind);
    let asked = |verb| Asked { role: EDITOR, ..cluster.asked(verb, resource, name) };
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let unreadable = |error: serde_json::Error| Stop::failed(format!("{noun} {name} cannot be read: {error}"));
    let mut again = true;
    loop {
        let object = api.get(name).await.map_err(|error| cluster.asked("get", resource, name).refused(&error))?;
        let version = object.metadata.resource_version.clone();
        let before = serde_json::to_value(object).map_err(unreadable)?;
        let Some(mut body) = make(&before)? else { return Ok((before, false)) };
        if let Some(metadata) =
            body.as_object_mut().and_then(|body| body.entry("metadata").or_insert(json!({})).as_object_mut())
        {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        match api.patch(name, &params, &Patch::Merge(&body)).await {
            Ok(after) => return Ok((serde_json::to_value(after).map_err(unreadable)?, true)),
            Err(kube::Error::Api(answer)) if answer.code == 409 && again => again = false,
            Err(error) => return Err(asked("patch").refused(&error)),
        }
    }
}

pub(super) async fn suspend(cluster: &Cluster, plan: &str, wanted: bool) -> Result<Done, Stop> {
    let make = |before: &Value| {
        let is = before.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or_default();
        Ok((is != wanted).then(|| json!({ "spec": { "suspend": wanted } })))
    };
    let (_, changed) = change(cluster, plan, make).await?;
    let text = match (wanted, changed) {
        (true, true) => format!("plan {plan} is suspended: nothing new starts; what runs in Azure ends by itself"),
        (true, false) => format!("plan {plan} was suspended already"),
        (false, true) => format!("plan {plan} is resumed"),
        (false, false) => format!("plan {plan} was not suspended"),
    };
    Ok(Done::new(cluster, if wanted { "suspend" } else { "resume" }, plan, changed, text))
}

pub(super) async fn retry(cluster: &Cluster, plan: &str) -> Result<Done, Stop> {
    let token = format!("retry-{}", cluster.clock.now().strftime("%Y%m%dT%H%M%S.%3fZ"));
    let (after, changed) = change(cluster, plan, |_| Ok(Some(json!({ "spec": { "retryToken": token } })))).await?;
    let retried: FailbackPlan = serde_json::from_value(after).map_err(|error| {
        Stop::failed(format!("plan {plan} was given another retry token, and cannot be read: {error}"))
    })?;
    let Again { stalled, found, undone, hooks } = Again::of(&retried, &cluster.items().await?);
    let said = [
        ("tried again", &stalled),
        ("failed back again, where that was undone", &undone),
        ("hooks run again", &hooks),
        (&format!("released from {STATUS_LOST}, continuing from their current state"), &found),
    ];
    let said = said.into_iter().filter(|(_, names)| !names.is_empty());
    let said: Vec<String> = said.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
    let said = if said.is_empty() { "no machine needs a person now".to_owned() } else { said.join("; ") };
    let text = format!("plan {plan} has the retry token {token}; {said}");
    let done = Done::new(cluster, "retry", plan, changed, text).with("retryToken", json!(token));
    let done = done.with("items", json!(stalled)).with("found", json!(found));
    Ok(done.with("undone", json!(undone)).with("hooks", json!(hooks)))
}

/// What a new retry token lets go on.
#[derive(Default)]
struct Again {
    /// Machines that need a person.
    stalled: Vec<String>,
    /// Machines that no record explains.
    found: Vec<String>,
    /// Machines whose failback was undone, or is to be.
    undone: Vec<String>,
    /// Hooks that failed, and for what they ran.
    hooks: Vec<String>,
}

impl Again {
    fn of(plan: &FailbackPlan, items: &[ReplicatedItem]) -> Self {
        let (uid, status) = (plan.uid().unwrap_or_default(), plan.status.clone().unwrap_or_default());
        let holds = |row: &&HookStatus| {
            let hook = plan.spec.hooks.iter().find(|hook| hook.name == row.name);
            row.outcome == HookOutcome::Failed && hook.is_some_and(|hook| hook.on_failure == OnHookFailure::Hold)
        };
        // What the token before it kept from being made again.
        let spec = FailbackPlanSpec { retry_token: status.retry_token.clone(), ..plan.spec.clone() };
        let undo = Undo { uid: &uid, spec: &spec, cancelled: &status.cancelled };
        let mut again = Self::default();
        for row in status.hooks.iter().filter(holds) {
            let of_wave = if row.wave.is_empty() { String::new() } else { format!(" of wave {}", row.wave) };
            again.hooks.push(format!("{}{of_wave}", row.name));
        }
        for item in items {
            let (name, Some(status)) = (item.name_any(), &item.status) else { continue };
            let Some(claim) = status.claim.as_ref().filter(|claim| claim.plan_uid == uid) else { continue };
            again.hooks.extend(claim.hooks.iter().filter(holds).map(|row| format!("{} of {name}", row.name)));
            let stalled = conditions::find(&status.conditions, "Stalled").filter(|stalled| stalled.status == "True");
            match stalled {
                Some(stalled) if stalled.reason == STATUS_LOST => again.found.push(name),
                Some(_) => again.stalled.push(name),
                None if undo::asked(&spec, &name).is_none() && undo.why(&name, Some(status)).is_some() => {
                    again.undone.push(name);
                }
                None => {}
            }
        }
        again
    }
}

pub(super) async fn cancel(cluster: &Cluster, flags: &CancelFlags) -> Result<Done, Stop> {
    let CancelFlags { plan, items, reason } = flags;
    if reason.trim().is_empty() || reason.chars().count() > 512 {
        return Err(Stop::usage("--reason: between 1 and 512 characters are expected."));
    }
    let request =
        if items.is_empty() { json!({ "reason": reason }) } else { json!({ "items": items, "reason": reason }) };
    let known = machines(cluster, plan).await?;
    if let Some(stranger) = items.iter().find(|item| !known.contains(item)) {
        return Err(Stop::usage(format!(
            "--item {stranger}: plan {plan} has no such machine. It has {}.",
            known.iter().take(20).cloned().collect::<Vec<_>>().join(", ")
        )));
    }
    let requests = |plan: &Value| plan.pointer("/spec/cancel").and_then(Value::as_array).cloned().unwrap_or_default();
    let make = |before: &Value| {
        let mut asked = requests(before);
        if asked.contains(&request) {
            return Ok(None);
        }
        asked.push(request.clone());
        Ok(Some(json!({ "spec": { "cancel": asked } })))
    };
    let (after, changed) = change(cluster, plan, make).await?;
    if changed && !requests(&after).contains(&request) {
        return Err(Stop::failed(
            "the cluster's definition of FailbackPlan has no spec.cancel, and dropped it; nothing is cancelled. Update the definitions: failback crds | kubectl apply --server-side -f -",
        ));
    }
    let what = if items.is_empty() { "all machines that are not committed".to_owned() } else { items.join(", ") };
    let text = if changed {
        format!("plan {plan} is asked to undo the failback of {what}")
    } else {
        format!("plan {plan} was asked for that already")
    };
    Ok(Done::new(cluster, "cancel", plan, changed, text).with("request", request))
}

/// The machines of a plan. For one that it skips nothing is done, and nothing undone.
async fn machines(cluster: &Cluster, name: &str) -> Result<Vec<String>, Stop> {
    let plan = cluster.plan(name).await?;
    let view = View::of(&plan, &cluster.items().await?);
    let skipped = |name: &&str| plan.spec.skip.iter().any(|skip| skip == name);
    let mut names: Vec<String> = view.names().filter(|name| !skipped(name)).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

pub(super) async fn abandon(cluster: &Cluster, flags: &AbandonFlags) -> Result<Done, Stop> {
    let (kind, resource, noun, name) = match (&flags.item, &flags.plan) {
        (Some(item), _) => (ApiResource::erase::<ReplicatedItem>(&()), ITEMS, "machine", item),
        (None, Some(plan)) => (ApiResource::erase::<FailbackPlan>(&()), PLANS, "plan", plan),
        (None, None) => return Err(Stop::usage("a plan, or a machine with --item, is expected.")),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &kind);
    let current = api.get(name).await.map_err(|error| cluster.asked("get", resource, name).refused(&error))?;
    if !flags.yes && !confirmed(noun, name)? {
        return Err(Stop::failed(format!("what was typed is not \"{name}\"; nothing was changed.")));
    }
    // The object that was shown and confirmed, and not one that took its name meanwhile.
    let uid = current.metadata.uid.unwrap_or_default();
    let make = |before: &Value| {
        let text = |pointer: &str| before.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("/metadata/uid") != uid {
            return Err(Stop::failed(format!(
                "{noun} {name} was deleted and made anew meanwhile; nothing was changed."
            )));
        }
        let annotations = before.pointer("/metadata/annotations").and_then(Value::as_object);
        let is = annotations.and_then(|annotations| annotations.get(ABANDON_ANNOTATION)).and_then(Value::as_str);
        let wanted = json!({ "metadata": { "annotations": { ABANDON_ANNOTATION: uid } } });
        Ok((is != Some(uid.as_str())).then_some(wanted))
    };
    let (after, changed) = change_of(cluster, &kind, resource, (noun, name), make).await?;
    let deleting = after.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
    let is_plan = flags.item.is_none();
    let text = match (changed, deleting) {
        (false, _) => format!("{noun} {name} was marked abandoned already"),
        (true, true) if is_plan => {
            format!("plan {name} is marked abandoned: it is deleted now, and its machines stay where they are")
        }
        (true, true) => {
            format!("machine {name} is marked abandoned: it is deleted now, and nobody follows what was called for it")
        }
        (true, false) => {
            let (what, short) = if is_plan { ("its machines", "fbp") } else { ("the open call", "rpi") };
            format!(
                "{noun} {name} is marked abandoned: deleting it no longer waits for {what}. To delete it: kubectl delete {short} {name} -n {}",
                cluster.namespace
            )
        }
    };
    let (kind, uid_of) = if is_plan { ("plan", "planUid") } else { ("item", "itemUid") };
    Ok(Done::to(cluster, "abandon", (kind, name), changed, text).with(uid_of, json!(uid)))
}

/// Asks for the object's name.
fn confirmed(noun: &str, name: &str) -> Result<bool, Stop> {
    let means = if noun == "plan" {
        "An abandoned plan can be deleted while machines are failed back but not committed: they stay where they are, and nothing finishes them."
    } else {
        "An abandoned machine's object can be deleted while a call for it is open: what was called goes on in Azure, and nobody follows it."
    };
    let ask = format!("{means}\nType the name of the {noun} to abandon it: ");
    let mut stderr = std::io::stderr();
    let mut typed = String::new();
    let read = stderr
        .write_all(ask.as_bytes())
        .and_then(|()| stderr.flush())
        .and_then(|()| std::io::stdin().lock().read_line(&mut typed));
    read.map_err(|error| Stop::failed(format!("no answer could be read: {error}. Give --yes to go on without.")))?;
    Ok(typed.trim() == name)
}

/// The machines that wait for this approval since they were found where no record says that the plan brought them. Who
/// may approve need not be allowed to see them.
async fn waiting_for(cluster: &Cluster, approval: &FailbackApprovalSpec) -> Vec<String> {
    let waits = |item: &ReplicatedItem| {
        let claim = item.status.as_ref().and_then(|status| status.claim.as_ref());
        let found = claim.filter(|claim| claim.plan_uid == approval.plan_uid).and_then(|claim| claim.found.as_ref());
        found.is_some_and(|found| found.step == approval.step && found.consent.is_none())
    };
    let items = cluster.items().await.unwrap_or_default();
    items.into_iter().filter(waits).filter_map(|item| item.metadata.name).collect()
}

pub(super) async fn approve(cluster: &Cluster, flags: &ApproveFlags) -> Result<Done, Stop> {
    let name = &flags.plan;
    let plan = cluster.plan(name).await?;
    let status = plan.status.clone().unwrap_or_default();
    let seen = status.observed_generation == plan.metadata.generation;
    let (Some(spec_hash), true, Some(plan_uid)) = (status.spec_hash, seen, plan.metadata.uid) else {
        return Err(Stop::failed(format!(
            "the controller has not processed the current version of plan {name} yet; try again, or check that it runs."
        )));
    };
    let approver = match &flags.approver {
        Some(approver) => approver.clone(),
        None => cluster.whoami().await?,
    };
    let expires: Timestamp = cluster
        .clock
        .now()
        .checked_add(flags.expires)
        .map_err(|_| Stop::usage("--expires: the time is too far away."))?;
    let expires = Timestamp::from_second(expires.as_second()).unwrap_or(expires);
    let step = flags.step.as_str();
    let spec = FailbackApprovalSpec {
        plan_ref: Reference { name: name.clone() },
        plan_uid,
        spec_hash,
        step: flags.step,
        approver,
        expires_at: Time(expires),
        comment: flags.comment.clone(),
    };
    // Room for what the server adds, within the 253 characters of a name.
    let prefix: String = name.chars().take(200).collect();
    let metadata = ObjectMeta {
        generate_name: Some(format!("{prefix}-{}-", step.to_lowercase())),
        namespace: Some(cluster.namespace.clone()),
        ..ObjectMeta::default()
    };
    let approval = FailbackApproval { metadata, spec, status: None };
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let asked = Asked { role: APPROVER, ..cluster.asked("create", APPROVALS, "") };
    let made = cluster.api().create(&params, &approval).await.map_err(|error| asked.refused(&error))?;
    let made_name = made.metadata.name.unwrap_or_default();
    let demanded = plan.spec.approvals.iter().any(|approval| approval.step == flags.step);
    let waiting = waiting_for(cluster, &made.spec).await;
    let note = match (demanded, waiting.is_empty()) {
        (_, false) => {
            format!("; released from {STATUS_LOST}, continuing from their current state: {}", waiting.join(", "))
        }
        (true, true) => String::new(),
        (false, true) => "; the plan does not ask for an approval of this step".to_owned(),
    };
    let text = format!(
        "{step} of plan {name} is approved by {} until {expires}: failbackapproval {made_name}{note}",
        made.spec.approver
    );
    let done = Done::new(cluster, "approve", name, true, text);
    Ok(done.with("approval", json!(made_name)).with("spec", json!(made.spec)))
}
