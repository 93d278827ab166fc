//! What a plan lets each of its machines do. It never calls Azure itself: it hands out claims, and machines act on
//! them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

use super::plan_status;
use crate::{
    api::{
        Approval, ApprovalStep, Claim, DeletionPolicy, DesiredPhase, FailbackApprovalSpec, FailbackPlanSpec,
        FailbackPlanStatus, ItemPhase, ReplicatedItemStatus, Wave,
    },
    core::{action::Verb, conditions, journal},
};

/// A machine that a plan names.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Name of the ReplicatedItem.
    pub name: &'a str,
    /// Its status; `None` when there is no such object.
    pub status: Option<&'a ReplicatedItemStatus>,
}

/// Everything that a decision about a plan depends on.
#[derive(Clone, Debug)]
pub struct PlanInput<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `metadata.uid`.
    pub uid: &'a str,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// What is declared.
    pub spec: &'a FailbackPlanSpec,
    /// What was recorded.
    pub status: &'a FailbackPlanStatus,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The value of the abandon annotation.
    pub abandon: Option<&'a str>,
    /// The status of every item that the spec names; items without an object are missing here.
    pub items: &'a std::collections::BTreeMap<String, ReplicatedItemStatus>,
    /// Approvals that name this plan.
    pub approvals: &'a [FailbackApprovalSpec],
    /// The time.
    pub now: Timestamp,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanDecision {
    /// The status to record.
    pub status: FailbackPlanStatus,
    /// Claims to write: item name, and the claim, or `None` to release it. Only those that change.
    pub claims: Vec<(String, Option<Claim>)>,
    /// Whether a plan that is being deleted may go.
    pub release: bool,
    /// When an approval ends that counts now.
    pub recheck: Option<Timestamp>,
}

/// A member with what was decided for it.
#[derive(Clone, Debug)]
pub(super) struct Standing<'a> {
    pub(super) name: &'a str,
    pub(super) wave: &'a str,
    pub(super) status: Option<&'a ReplicatedItemStatus>,
    pub(super) reached: bool,
    pub(super) stalled: bool,
    pub(super) moving: bool,
    pub(super) claim: Option<Claim>,
    /// Another plan has it.
    pub(super) claimed_by: Option<&'a str>,
}

/// Decides.
pub fn decide(input: &PlanInput<'_>) -> PlanDecision {
    let members = members(input);
    let lowest = members.iter().map(|(_, member)| member.status.map_or(DesiredPhase::Assessed, phase_reached)).min();
    let ceiling = ceiling(input, lowest.unwrap_or_default());
    let mut standings: Vec<Standing<'_>> = Vec::with_capacity(members.len());
    let any_stalled = members.iter().any(|(_, member)| member.status.is_some_and(is_stalled));
    let mut waves_settled = true;
    for wave in &input.spec.waves {
        let in_wave: Vec<&Member<'_>> =
            members.iter().filter(|(of, _)| std::ptr::eq(*of, wave)).map(|(_, member)| member).collect();
        let settled = in_wave.iter().all(|member| is_settled(input, member));
        standings.extend(wave_standings(input, wave, &in_wave, waves_settled, any_stalled));
        waves_settled = waves_settled && settled;
    }
    let complete = input.spec.desired_phase == DesiredPhase::Protected
        && !standings.is_empty()
        && standings.iter().all(|standing| standing.reached);
    let completed = input.status.completed_at.is_some() || complete;
    if completed {
        // One bounded execution: what happens to the machines from now on is another plan's matter.
        standings.iter_mut().for_each(|standing| standing.claim = None);
    }
    let release = input.deleting && may_go(input, &standings);
    let claims = changed_claims(input, &standings, completed || release);
    let starts = standings.iter().any(|s| s.claim.as_ref().is_some_and(|c| c.up_to > DesiredPhase::Assessed));
    let status = plan_status::status(
        input,
        &standings,
        &ceiling,
        plan_status::Times {
            started_at: input.status.started_at.clone().or_else(|| starts.then_some(Time(input.now))),
            completed_at: input.status.completed_at.clone().or_else(|| complete.then_some(Time(input.now))),
        },
    );
    let recheck = input.approvals.iter().map(|approval| approval.expires_at.0).filter(|at| *at > input.now).min();
    PlanDecision { status, claims, release, recheck }
}

/// The part of the spec that an approval is for: which machines, in which order, how verified. How far the plan goes,
/// whether it is suspended, and retries are other people's gates.
pub fn spec_hash(spec: &FailbackPlanSpec) -> String {
    let approved = serde_json::json!({ "waves": spec.waves, "skip": spec.skip, "commit": spec.commit });
    let digest = Sha256::digest(approved.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Every member once, with its wave: an item that two waves name belongs to the first.
fn members<'a>(input: &PlanInput<'a>) -> Vec<(&'a Wave, Member<'a>)> {
    let mut seen = std::collections::BTreeSet::new();
    input
        .spec
        .waves
        .iter()
        .flat_map(|wave| wave.items.iter().map(move |name| (wave, name)))
        .filter(|(_, name)| !input.spec.skip.contains(name) && seen.insert(name.as_str()))
        .map(|(wave, name)| (wave, Member { name, status: input.items.get(name) }))
        .collect()
}

/// How far the plan's own gates let a machine go, and what holds it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ceiling {
    pub(super) up_to: DesiredPhase,
    pub(super) held_by: &'static str,
    pub(super) message: String,
}

/// The gates for a machine that has reached a phase: an approval is for a step that lies ahead, and may end after it.
pub(super) fn ceiling(input: &PlanInput<'_>, reached: DesiredPhase) -> Ceiling {
    let desired = input.spec.desired_phase;
    if input.deleting {
        let demanded = input.spec.approvals.iter().find(|approval| approval.step == ApprovalStep::Commit);
        let commit = approved(input, ApprovalStep::Commit, demanded.map_or(1, |approval| approval.count));
        let message = "The plan is being deleted; nothing new starts.".to_owned();
        // An approved commit lets those go on that were failed back; nothing else starts.
        let commit = commit && !input.spec.suspend && reached >= DesiredPhase::FailedBack;
        let up_to = if commit { DesiredPhase::Committed.min(desired) } else { DesiredPhase::Assessed };
        return Ceiling { up_to, held_by: "PlanDeleted", message };
    }
    if input.spec.suspend {
        let message = "The plan is suspended; nothing new starts.".to_owned();
        return Ceiling { up_to: DesiredPhase::Assessed, held_by: "Suspended", message };
    }
    match unapproved(input, reached) {
        Some((up_to, message)) => Ceiling { up_to, held_by: "ApprovalRequired", message },
        None => Ceiling { up_to: desired, held_by: "", message: String::new() },
    }
}

/// How far the plan may go without the first approval that it lacks, and what to do about it.
pub(super) fn unapproved(input: &PlanInput<'_>, reached: DesiredPhase) -> Option<(DesiredPhase, String)> {
    in_order(&input.spec.approvals).into_iter().find_map(|Approval { step, count }| {
        let (below, at) = match step {
            ApprovalStep::Reprotect => (DesiredPhase::Assessed, DesiredPhase::Reprotected),
            ApprovalStep::FailBack => (DesiredPhase::Reprotected, DesiredPhase::FailedBack),
            ApprovalStep::Commit => (DesiredPhase::FailedBack, DesiredPhase::Committed),
            ApprovalStep::Protect => (DesiredPhase::Committed, DesiredPhase::Protected),
        };
        let lacking = reached < at && input.spec.desired_phase >= at && !approved(input, step, count);
        lacking.then(|| {
            let message = format!(
                "{} needs {count} approval(s): create a FailbackApproval with planUid {}, specHash {} and step {}.",
                step.as_str(),
                input.uid,
                spec_hash(input.spec),
                step.as_str()
            );
            (below, message)
        })
    })
}

fn in_order(approvals: &[Approval]) -> Vec<Approval> {
    let mut ordered = approvals.to_vec();
    ordered.sort_by_key(|approval| approval.step);
    ordered
}

/// Whether enough different people approved the step.
fn approved(input: &PlanInput<'_>, step: ApprovalStep, count: i32) -> bool {
    let approvers: std::collections::BTreeSet<&str> = input
        .approvals
        .iter()
        .filter(|approval| approval.step == step && why_invalid(approval, input.uid, input.spec, input.now).is_none())
        .map(|approval| approval.approver.as_str())
        .collect();
    i32::try_from(approvers.len()).is_ok_and(|found| found >= count)
}

/// Why an approval does not count: reason and sentence.
pub fn why_invalid(
    approval: &FailbackApprovalSpec,
    plan_uid: &str,
    spec: &FailbackPlanSpec,
    now: Timestamp,
) -> Option<(&'static str, String)> {
    if approval.plan_uid != plan_uid {
        let message = format!("spec.planUid is {}; the plan's UID is {plan_uid}.", approval.plan_uid);
        return Some(("OtherPlan", message));
    }
    let hash = spec_hash(spec);
    if approval.spec_hash != hash {
        let message = format!("spec.specHash is {}; the plan's is {hash}: it was changed.", approval.spec_hash);
        return Some(("PlanChanged", message));
    }
    if approval.expires_at.0 <= now {
        return Some(("Expired", format!("It ended at {:.0}.", approval.expires_at.0)));
    }
    None
}

fn is_stalled(status: &ReplicatedItemStatus) -> bool {
    conditions::is_true(&status.conditions, "Stalled")
}

/// The plan's phase that a machine has reached, from its conditions.
pub(super) fn phase_reached(status: &ReplicatedItemStatus) -> DesiredPhase {
    let is = |kind| conditions::is_true(&status.conditions, kind);
    if is("Protected") {
        DesiredPhase::Protected
    } else if is("Committed") {
        DesiredPhase::Committed
    } else if is("FailedBack") {
        DesiredPhase::FailedBack
    } else if is("Reprotected") {
        DesiredPhase::Reprotected
    } else {
        DesiredPhase::Assessed
    }
}

/// Whether a later wave may start: verified at home, or as far as the plan goes when that is less.
fn is_settled(input: &PlanInput<'_>, member: &Member<'_>) -> bool {
    member.status.is_some_and(|status| {
        let reached = phase_reached(status);
        if input.spec.desired_phase < DesiredPhase::FailedBack {
            reached >= input.spec.desired_phase
        } else {
            reached >= DesiredPhase::FailedBack && conditions::is_true(&status.conditions, "Verified")
        }
    })
}

fn wave_standings<'a>(
    input: &PlanInput<'a>,
    wave: &'a Wave,
    members: &[&Member<'a>],
    earlier_settled: bool,
    any_stalled: bool,
) -> Vec<Standing<'a>> {
    let ours = |status: &ReplicatedItemStatus| status.claim.as_ref().is_some_and(|c| c.plan_uid == input.uid);
    let is_moving = |status: &ReplicatedItemStatus| {
        let operating = status.operation.as_ref().is_some_and(journal::is_open);
        ours(status)
            && !is_stalled(status)
            && (operating || status.claim.as_ref().is_some_and(|c| c.up_to > phase_reached(status)))
    };
    let mut room = usize::try_from(wave.max_concurrent)
        .unwrap_or(1)
        .max(1)
        .saturating_sub(members.iter().filter(|member| member.status.is_some_and(is_moving)).count());
    members
        .iter()
        .map(|member| {
            let status = member.status;
            let reached_phase = status.map_or(DesiredPhase::Assessed, phase_reached);
            // The CRD's default is -1: not observed yet.
            let observed = status.and_then(|status| status.observed_generation).is_some_and(|seen| seen >= 0);
            let reached = observed && reached_phase >= input.spec.desired_phase;
            let claimed_by = status
                .and_then(|status| status.claim.as_ref())
                .filter(|claim| claim.plan_uid != input.uid)
                .map(|claim| claim.plan.as_str());
            let moving = status.is_some_and(is_moving);
            let wants = input.spec.desired_phase > DesiredPhase::Assessed && status.is_some() && claimed_by.is_none();
            let claim = wants.then(|| {
                let mut held = ceiling(input, reached_phase);
                let starts = held.up_to > reached_phase && !moving && !status.is_some_and(is_stalled);
                if starts {
                    let hold = if !earlier_settled {
                        Some(("WaveNotStarted", "An earlier wave is not verified at home yet.".to_owned()))
                    } else if any_stalled {
                        Some((
                            "ItemFailed",
                            "Another machine of this plan needs a person; nothing new starts.".to_owned(),
                        ))
                    } else if room == 0 {
                        Some((
                            "ConcurrencyLimit",
                            format!("Wave \"{}\" moves {} machine(s) at a time.", wave.name, wave.max_concurrent),
                        ))
                    } else {
                        room -= 1;
                        None
                    };
                    if let Some((held_by, message)) = hold {
                        held = Ceiling { up_to: DesiredPhase::Assessed, held_by, message };
                    }
                }
                Claim {
                    plan: input.name.to_owned(),
                    plan_uid: input.uid.to_owned(),
                    up_to: held.up_to,
                    held_by: held.held_by.to_owned(),
                    held_message: held.message,
                    soak_seconds: input.spec.commit.soak_seconds,
                    retry_token: input.spec.retry_token.clone(),
                    wave: wave.name.clone(),
                    waivers: Vec::new(),
                    cancel: None,
                }
            });
            Standing {
                name: member.name,
                wave: &wave.name,
                status,
                reached,
                stalled: status.is_some_and(is_stalled),
                moving,
                claim,
                claimed_by,
            }
        })
        .collect()
}

/// The claims that differ from what is recorded, releases included.
fn changed_claims(
    input: &PlanInput<'_>,
    standings: &[Standing<'_>],
    release_all: bool,
) -> Vec<(String, Option<Claim>)> {
    let wanted = |name: &str| {
        if release_all {
            return None;
        }
        standings.iter().find(|standing| standing.name == name).and_then(|standing| standing.claim.clone())
    };
    input
        .items
        .iter()
        .filter_map(|(name, status)| {
            let ours = status.claim.as_ref().filter(|claim| claim.plan_uid == input.uid);
            let claim = wanted(name);
            (claim.as_ref() != ours).then(|| (name.clone(), claim))
        })
        .collect()
}

/// Whether a deleted plan may go: nothing that it began is between the failback and its commit.
pub(super) fn may_go(input: &PlanInput<'_>, standings: &[Standing<'_>]) -> bool {
    input.spec.deletion_policy == DeletionPolicy::Abandon
        || input.abandon == Some(input.uid)
        || blocking_deletion(input, standings).is_empty()
}

/// Machines that keep a deleted plan: failing back, or failed back and not committed, under this plan.
pub(super) fn blocking_deletion<'a>(input: &PlanInput<'_>, standings: &[Standing<'a>]) -> Vec<&'a str> {
    standings
        .iter()
        .filter(|standing| {
            standing.status.is_some_and(|status| {
                status.claim.as_ref().is_some_and(|claim| claim.plan_uid == input.uid)
                    && matches!(
                        status.phase,
                        ItemPhase::FailingBack | ItemPhase::FailedBack | ItemPhase::Committing | ItemPhase::Cancelling
                    )
            })
        })
        .map(|standing| standing.name)
        .collect()
}

/// Whether a plan, read again right before a call, still wants a step of a machine.
///
/// # Errors
/// A sentence that says why not.
pub fn may_still(spec: &FailbackPlanSpec, deleting: bool, item: &str, verb: Verb) -> Result<(), String> {
    if deleting && verb != Verb::Commit {
        return Err("The plan is being deleted.".to_owned());
    }
    if spec.suspend {
        return Err("The plan is suspended.".to_owned());
    }
    if spec.skip.iter().any(|name| name == item) {
        return Err("The plan skips this machine.".to_owned());
    }
    if !spec.waves.iter().any(|wave| wave.items.iter().any(|name| name == item)) {
        return Err("The plan does not name this machine.".to_owned());
    }
    if spec.desired_phase < verb.leads_to() {
        return Err(format!("The plan wants {} only.", spec.desired_phase.as_str()));
    }
    Ok(())
}

/// Whether a plan, read again with its approvals right before a call, still lets a machine take a step.
///
/// # Errors
/// A sentence that says why not.
pub fn permits(input: &PlanInput<'_>, item: &str, verb: Verb) -> Result<(), String> {
    may_still(input.spec, input.deleting, item, verb)?;
    let before = match verb {
        Verb::Reprotect => DesiredPhase::Assessed,
        Verb::FailBack => DesiredPhase::Reprotected,
        Verb::Commit | Verb::Cancel => DesiredPhase::FailedBack,
        Verb::Protect => DesiredPhase::Committed,
    };
    let gate = ceiling(input, before);
    if gate.up_to < verb.leads_to() {
        return Err(gate.message);
    }
    Ok(())
}
