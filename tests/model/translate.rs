//! Between the explored state and the types that the real core decides on.

use std::collections::BTreeMap;

use failback::{
    api::{
        ApprovalStep, Claim, DesiredPhase, FailbackApprovalSpec, FailbackPlanSpec, FailbackPlanStatus, Found,
        ItemPhase, OperationOutcome, OperationRecord, Reference, ReplicatedItemStatus, TargetStatus,
    },
    core::{
        action::{Action, RecoveryPoint, ReprotectWith, Verb},
        conditions::{self, Draft},
        decide::{
            item::{ItemDecision, ItemInput},
            plan::{PlanDecision, PlanInput, digest, permits, spec_hash},
        },
        facts::{HomeIdentity, ItemFacts},
        found::{self, STATUS_LOST},
        guard::{Fresh, Guarded, Precondition},
        observed::{
            AzureDisk, AzurePower, AzureVm, CurrentScenario, Fact, Generation, Job, JobState, OnPremisesVm,
            PlannedFailoverStatus, Power, Replication, Tools, VirtualMachine,
        },
        schedule::load::Load,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::{
    steps::{Build, World},
    support::{
        self, AZURE_VM, DISK, ITEM, PLAN, UUID, at, claim, facts, home_vm, job, plans::plan_spec, replication, status,
    },
    world::{AzureSide, Cache, Claimed, Entry, Gate, JobEnd, JobRow, Noted, Object, Plan, Seen, State, Tick, Truth},
};

/// A tick is longer than a call may take to settle, and shorter than clocks may differ.
const MINUTES: i64 = 4;

pub fn time(tick: Tick) -> Timestamp {
    at(i64::from(tick) * MINUTES)
}

/// What ends within a tick ends late in it: only a look in a later tick comes after it.
fn end(tick: Tick) -> Timestamp {
    time(tick) + SignedDuration::from_mins(1)
}

fn tick(time: Timestamp) -> Tick {
    // What was before the beginning is not told apart.
    let minutes = at(0).duration_until(time).as_mins().max(0);
    Tick::try_from(minutes / MINUTES).unwrap()
}

fn job_id(index: u8) -> String {
    format!("job-{index}")
}

pub fn begin_object(truth: &Truth) -> Object {
    let seen = status(truth.stage, None);
    let mut begin = object(&seen, None);
    // The job of what was done before is in no list any more, and no other job is taken for it.
    begin.history.iter_mut().for_each(|entry| entry.job = Some(99));
    begin
}

/// An object of which only the spec is left.
pub fn blank() -> Object {
    object(&ReplicatedItemStatus::default(), None)
}

fn object(status: &ReplicatedItemStatus, claim: Option<Claimed>) -> Object {
    let is = |kind| conditions::is_true(&status.conditions, kind);
    let reached = [
        ("Protected", DesiredPhase::Protected),
        ("Committed", DesiredPhase::Committed),
        ("FailedBack", DesiredPhase::FailedBack),
        ("Reprotected", DesiredPhase::Reprotected),
    ];
    Object {
        phase: status.phase,
        claim,
        operation: status.operation.as_ref().map(entry),
        history: status.history.iter().map(entry).collect(),
        unexplained: status.unexplained.is_some(),
        reached: reached.into_iter().find(|(kind, _)| is(kind)).map_or(DesiredPhase::Assessed, |(_, phase)| phase),
        verified: is("Verified"),
        stalled: is("Stalled"),
        waits_for_word: conditions::find(&status.conditions, "Stalled").is_some_and(|c| c.reason == STATUS_LOST),
    }
}

/// The object as it stands after a decision. The claim has another owner.
pub fn decided(decision: &ItemDecision, before: &Object) -> Object {
    object(&decision.status, before.claim)
}

pub fn entry(record: &OperationRecord) -> Entry {
    Entry {
        verb: Verb::parse(&record.verb).unwrap(),
        token: record.retry_token.parse().unwrap_or(0),
        attempt: record.attempt,
        outcome: record.outcome,
        job: record.job_id.as_ref().map(|id| id.strip_prefix("job-").unwrap().parse().unwrap()),
        adopted: record.adopted,
        foreign: record.foreign,
        intended: tick(record.intended_at.0),
        ended: record.ended_at.as_ref().map(|at| tick(at.0)),
    }
}

pub fn record(entry: &Entry) -> OperationRecord {
    let (verb, token, attempt) = entry.key();
    OperationRecord {
        key: format!("{PLAN}/{verb}/{token}/{attempt}"),
        attempt,
        job_id: entry.job.map(job_id),
        adopted: entry.adopted,
        foreign: entry.foreign,
        retry_token: token.to_string(),
        item_id: ITEM.to_owned(),
        ended_at: entry.ended.map(|tick| Time(time(tick))),
        message: String::new(),
        ..support::record(verb, entry.outcome, time(entry.intended))
    }
}

/// The status. A build that presumes takes whatever it finds failed back for its own doing.
pub fn to_status(object: &Object, build: Build) -> ReplicatedItemStatus {
    let since = |phase| object.reached >= phase;
    let drafts = vec![
        Draft::new("Reprotected", since(DesiredPhase::Reprotected), "Model", "-"),
        Draft::new("FailedBack", since(DesiredPhase::FailedBack), "Model", "-"),
        Draft::new("Committed", since(DesiredPhase::Committed), "Model", "-"),
        Draft::new("Protected", since(DesiredPhase::Protected), "Model", "-"),
        Draft::new("Verified", object.verified, "Model", "-"),
        Draft::new("Stalled", object.stalled, if object.waits_for_word { STATUS_LOST } else { "Model" }, "-"),
    ];
    let mut history: Vec<OperationRecord> = object.history.iter().map(record).collect();
    let presumes = build == Build::Presuming;
    if presumes && object.reached == DesiredPhase::FailedBack {
        history.insert(0, support::record(Verb::FailBack, OperationOutcome::Succeeded, at(-60)));
    }
    ReplicatedItemStatus {
        observed_generation: (object.phase != ItemPhase::Unknown).then_some(1),
        phase: object.phase,
        conditions: conditions::merge(&[], drafts, Some(1), at(-60)),
        claim: object.claim.map(to_claim),
        operation: object.operation.as_ref().map(record),
        history,
        unexplained: (object.unexplained && !presumes).then(|| "a failback".to_owned()),
        identity: support::identity(),
        // It is decided in the pass that sees where the machine stands.
        target: (object.phase != ItemPhase::Unknown)
            .then(|| TargetStatus { appliance_id: "appliance-1".to_owned(), ..TargetStatus::default() }),
        ..ReplicatedItemStatus::default()
    }
}

/// The item. Whether Azure goes on permitting operations while a job runs was never recorded: both are explored.
fn item(seen: &Seen, permissive: bool) -> Replication {
    let mut item = replication(seen.stage);
    if let Some(id) = seen.busy {
        item.scenario = Some(CurrentScenario { name: "Busy".to_owned(), job_id: Some(job_id(id)), started: None });
        if !permissive {
            item.allowed.clear();
        }
    }
    if seen.half_failed {
        item.last_planned_failover = Some((PlannedFailoverStatus::Failed, Some(at(-30))));
    }
    item
}

fn azure_vm(seen: &Seen) -> AzureVm {
    let disks = Some(vec![AzureDisk { name: "web-01-os".to_owned(), capacity_bytes: None }]);
    let on = |power| AzureVm::Present { id: AZURE_VM.to_owned(), power, disks };
    match seen.azure {
        AzureSide::Running => on(AzurePower::Running),
        AzureSide::Off => on(AzurePower::Deallocated),
        AzureSide::Absent => AzureVm::Absent,
    }
}

fn vm(seen: &Seen) -> VirtualMachine {
    let (power, tools) = if seen.home_on { (Power::On, Tools::Running) } else { (Power::Off, Tools::NotRunning) };
    VirtualMachine { power: Some(power), tools: Some(tools), ..home_vm(seen.stage) }
}

fn to_job((index, row): (usize, &JobRow)) -> Job {
    let state = match row.state {
        JobEnd::Runs => JobState::InProgress,
        JobEnd::Succeeded => JobState::Succeeded,
        JobEnd::Failed => JobState::Failed,
    };
    let ended = (row.state != JobEnd::Runs).then(|| end(row.ended));
    Job { ended, ..job(&job_id(u8::try_from(index).unwrap()), row.verb, state, time(row.started)) }
}

/// What a process knows of a machine.
pub fn to_facts(cache: &Cache, permissive: bool) -> ItemFacts {
    let mut known = ItemFacts::unknown("not read yet");
    if let Some((seen, tick)) = &cache.item {
        let at = time(*tick);
        known = facts(seen.stage, at);
        known.replication = Fact::seen(item(seen, permissive), at);
        known.azure_vm = Fact::seen(azure_vm(seen), at);
        known.on_premises = Fact::seen(OnPremisesVm::Found(Box::new(vm(seen))), at);
    }
    known.jobs = match &cache.jobs {
        Some((jobs, seen)) => Fact::seen(jobs.iter().enumerate().map(to_job).rev().collect(), time(*seen)),
        None => Fact::unknown("not listed yet"),
    };
    known
}

/// Lets the real core decide.
pub fn decide(world: &World, cache: &Cache, since: Tick, now: Tick) -> ItemDecision {
    let (status, mut facts) = (to_status(&cache.object, world.build), to_facts(cache, world.permissive));
    if world.build == Build::Presuming {
        // Nor does it look for what others did.
        let ours = |job: &Job| status.operation.iter().any(|record| record.job_id.as_ref() == Some(&job.id));
        facts.jobs = facts.jobs.map(|jobs| jobs.iter().filter(|job| ours(job) || job.in_flight()).cloned().collect());
    }
    failback::core::decide::item::decide(&ItemInput {
        spec: &world.spec,
        status: &status,
        generation: Some(1),
        facts: &facts,
        leading_since: time(since),
        now: time(now),
    })
}

/// The guarded action that the core decides for a verb in this world, so that a step need not carry it.
pub fn guarded(verb: Verb) -> Guarded {
    let generation = Generation::Modernized;
    let identity = HomeIdentity {
        instance_uuid: Some(UUID.to_owned()),
        disk_uuids: vec![DISK.to_owned()],
        ..HomeIdentity::default()
    };
    let action = match verb {
        Verb::Reprotect => Action::Reprotect {
            target_id: "appliance-1".to_owned(),
            datastore: "datastore1".to_owned(),
            with: ReprotectWith::Appliance { log_storage_account_id: "/storageAccounts/cache".to_owned() },
        },
        Verb::FailBack => Action::FailBack { generation, point: RecoveryPoint::Latest },
        Verb::Commit => Action::Commit,
        Verb::Cancel => Action::Cancel,
        Verb::Protect => Action::Protect {
            generation,
            process_server_id: "appliance-1".to_owned(),
            policy_id: "/replicationPolicies/forward".to_owned(),
            run_as_account_id: None,
        },
    };
    let expect = Precondition {
        item_id: ITEM.to_owned(),
        generation,
        stage: verb.starts_from(),
        azure_vm_id: Some(AZURE_VM.to_owned()),
        home_vm: (verb == Verb::Commit).then(|| ("vm-62".to_owned(), identity)),
    };
    Guarded { action, expect }
}

/// The uncached reading right before a call.
pub fn compare(verb: Verb, seen: &Seen, permissive: bool) -> Result<(), String> {
    let home_vm = (verb == Verb::Commit).then(|| Some(vm(seen)));
    guarded(verb).check(&Fresh { item: item(seen, permissive), azure_vm: Some(azure_vm(seen)), home_vm })
}

/// What the jobs, listed right before a commit, show that nobody has looked at yet.
pub fn unnoticed(world: &World, object: &Object, truth: &Truth, now: Tick) -> bool {
    let (item, jobs) = (Some((truth.seen(), now)), Some((truth.jobs.clone(), now)));
    let facts = to_facts(&Cache { object: object.clone(), item, jobs }, world.permissive);
    found::unnoticed(&to_status(object, world.build), &facts, truth.seen().stage).is_some()
}

fn to_claim(claimed: Claimed) -> Claim {
    let Claimed { up_to, token, held, found } = claimed;
    let found = found.map(|Noted { step, token, approval, consent }| Found {
        step: if step == Verb::FailBack { ApprovalStep::FailBack } else { ApprovalStep::Commit },
        at: Time(at(0)),
        retry_token: token.to_string(),
        approvals: approval.into_iter().map(|number| number.to_string()).collect(),
        consent: consent.then(|| "a word".to_owned()),
    });
    let held_by = if held { STATUS_LOST.to_owned() } else { String::new() };
    Claim { retry_token: token.to_string(), held_by, found, ..claim(up_to) }
}

fn claimed(claim: &Claim, spec: &FailbackPlanSpec) -> Claimed {
    let number = |known: &String| (1..9).find(|number| digest(&approval(spec, *number)) == *known).unwrap();
    let found = claim.found.as_ref().map(|found| Noted {
        step: Verb::parse(found.step.as_str()).unwrap(),
        token: found.retry_token.parse().unwrap(),
        approval: found.approvals.first().map(number),
        consent: found.consent.is_some(),
    });
    let held = claim.held_by == STATUS_LOST;
    Claimed { up_to: claim.up_to, token: claim.retry_token.parse().unwrap(), held, found }
}

/// Lets the real plan decide on objects as somebody sees them, and gives the claims that change. It is a function of its
/// input, so that each input is decided on once.
pub fn claims(world: &World, objects: Vec<Object>, state: &State, reversed: bool) -> Vec<(usize, Option<Claimed>)> {
    let known = (objects, state.plan.clone(), reversed);
    if let Some(claims) = world.passes.lock().unwrap().get(&known) {
        return claims.clone();
    }
    let claims = decide_claims(world, &known.0, state, reversed);
    world.passes.lock().unwrap().insert(known, claims.clone());
    claims
}

fn decide_claims(world: &World, objects: &[Object], state: &State, reversed: bool) -> Vec<(usize, Option<Claimed>)> {
    let names = world.names();
    let decide = failback::core::decide::plan::decide;
    let decision: PlanDecision = with_plan(world, objects, state, reversed, decide);
    let index = |name: &String| names.iter().position(|other| other == name).unwrap();
    let spec = to_plan(world, &state.plan, reversed);
    let short = |claim: &Option<Claim>| claim.as_ref().map(|claim| claimed(claim, &spec));
    let changes = decision.claims.iter().map(|(name, claim)| (index(name), short(claim)));
    changes.filter(|(index, claim)| objects[*index].claim != *claim).collect()
}

/// The plan's consent, asked once more right before a call.
pub fn permitted(world: &World, state: &State, machine: usize, verb: Verb) -> bool {
    let found = state.machines[machine].object.claim.and_then(|claim| claim.found);
    let known = (found, state.plan.clone(), verb);
    if let Some(permitted) = world.consents.lock().unwrap().get(&known) {
        return *permitted;
    }
    let permitted = asked(world, state, machine, verb);
    world.consents.lock().unwrap().insert(known, permitted);
    permitted
}

fn asked(world: &World, state: &State, machine: usize, verb: Verb) -> bool {
    with_plan(world, &state.objects(), state, false, |input| permits(input, &world.names()[machine], verb).is_ok())
}

fn with_plan<T>(
    world: &World,
    objects: &[Object],
    state: &State,
    reversed: bool,
    ask: impl FnOnce(&PlanInput<'_>) -> T,
) -> T {
    let names = world.names();
    let spec = to_plan(world, &state.plan, reversed);
    let approvals: Vec<_> = state.plan.approval.into_iter().map(|number| approval(&spec, number)).collect();
    // A note holds a digest of each approval that stood: the number stands for it here.
    let digests = |found: &mut Found| {
        for known in &mut found.approvals {
            *known = digest(&approval(&spec, known.parse().unwrap()));
        }
    };
    let items = names.iter().cloned().zip(objects.iter().map(|object| {
        let mut status = to_status(object, world.build);
        status.claim.iter_mut().filter_map(|claim| claim.found.as_mut()).for_each(digests);
        status
    }));
    ask(&PlanInput {
        name: "plan",
        uid: PLAN,
        generation: Some(1),
        spec: &spec,
        spec_hash: &spec_hash(&spec, &Default::default()),
        status: &FailbackPlanStatus::default(),
        deleting: state.plan.gate == Gate::Deleted,
        abandon: None,
        requester: None,
        items: &items.collect(),
        declared: &BTreeMap::new(),
        load: &Load::default(),
        measured: &Default::default(),
        jobs: &failback::core::jobs::JobsSeen::NotYet,
        approvals: &approvals,
        now: time(state.now),
    })
}

fn to_plan(world: &World, plan: &Plan, reversed: bool) -> FailbackPlanSpec {
    let mut names = world.names();
    if reversed {
        names.reverse();
    }
    let waves: Vec<Value> = if world.waves {
        let wave = |name: &String| json!({ "name": name, "items": [name], "maxConcurrent": 1 });
        names.iter().map(wave).collect()
    } else {
        vec![json!({ "name": "all", "items": names, "maxConcurrent": 1 })]
    };
    let approvals = if world.demands { json!([{ "step": "Commit" }]) } else { json!([]) };
    plan_spec(json!({
        "desiredPhase": plan.desired,
        "waves": waves,
        "approvals": approvals,
        "suspend": plan.gate == Gate::Suspended,
        "commit": { "soakSeconds": 0 },
        "retryToken": plan.token.to_string(),
    }))
}

fn approval(spec: &FailbackPlanSpec, number: u8) -> FailbackApprovalSpec {
    FailbackApprovalSpec {
        plan_ref: Reference { name: "plan".to_owned() },
        plan_uid: PLAN.to_owned(),
        spec_hash: spec_hash(spec, &Default::default()),
        step: ApprovalStep::Commit,
        approver: "ann".to_owned(),
        expires_at: Time(at(60_000)),
        comment: number.to_string(),
    }
}
