//! What a plan lets each of its machines do. It never calls Azure itself: it hands out claims, and machines act on
//! them.
//!
//! A claim lets a machine take its next step and no more, so that each step starts only where the plan's gates
//! (`gates`), the order of its waves (`waves`), what failed (`failures`) and what all plans share
//! ([`crate::core::schedule::load`]) allow it. `starts` puts these together.

mod cancel;
mod consent;
mod deletion;
mod failures;
mod found;
mod gates;
mod hooks;
mod issues;
mod starts;
mod status;
mod stops;
mod validity;
mod waves;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

pub use self::{
    consent::{may_still, permits},
    found::digest,
    gates::{Asked, Consent, consent_to, why_invalid},
    hooks::{HookRun, REFUSED_AGAIN},
    stops::stops,
    waves::names_item,
};
use self::{hooks::Hooks, waves::Standing};
use crate::{
    api::{
        Claim, DesiredPhase, FailbackApprovalSpec, FailbackPlanSpec, FailbackPlanStatus, HookStatus,
        ReplicatedItemStatus,
    },
    core::{estimate::Measured, jobs::JobsSeen, preview::Found, schedule::load::Load},
};

/// What is declared of a machine, as far as it concerns plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its vault, by a name that is unique among all namespaces.
    pub vault: String,
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
    /// Its [`spec_hash`]: made once a pass, since the gates of each machine ask for it.
    pub spec_hash: &'a str,
    /// What was recorded.
    pub status: &'a FailbackPlanStatus,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The value of the abandon annotation.
    pub abandon: Option<&'a str>,
    /// Who asked for the plan: the value of the annotation that the admission policy holds to the user's name.
    pub requester: Option<&'a str>,
    /// The status of every item that the plan names, finds by label, or has claimed; items without an object are
    /// missing here.
    pub items: &'a BTreeMap<String, ReplicatedItemStatus>,
    /// What is declared of the same items.
    pub declared: &'a BTreeMap<String, Declared>,
    /// What all plans have in use of what they share.
    pub load: &'a Load,
    /// What was measured on machines of the namespace, of this plan or not.
    pub measured: &'a Measured,
    /// The Jobs of the plan's hooks.
    pub jobs: &'a JobsSeen,
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
    /// Jobs to make, once the records of their runs are written.
    pub runs: Vec<HookRun>,
    /// Whether a plan that is being deleted may go.
    pub release: bool,
    /// When time alone will change the decision: an approval ends, a window opens or closes, a soak time is over.
    pub recheck: Option<Timestamp>,
}

/// Decides.
pub fn decide(input: &PlanInput<'_>) -> PlanDecision {
    let found = waves::found(input);
    let mut waves = waves::resolve(input, &found);
    let invalid = validity::why_invalid(input, &waves);
    let cancelled = cancel::remembered(input, &waves);
    let mut hooks = Hooks::new(input, &mut waves, invalid.as_deref(), &cancelled);
    let mut standings = starts::standings(input, &waves, invalid.as_deref(), &cancelled, &mut hooks);
    let (records, runs, hooks_failed) = hooks.concluded();
    let complete = input.spec.desired_phase == DesiredPhase::Protected
        && !standings.is_empty()
        && standings.iter().all(|standing| standing.arrived);
    let completed = input.status.completed_at.is_some() || complete;
    if completed {
        // One bounded execution: what happens to the machines from now on is another plan's matter.
        standings.iter_mut().for_each(|standing| standing.claim = None);
    }
    let release = input.deleting && deletion::may_go(input, &standings);
    let claims = changed_claims(input, &standings, completed || release);
    let starts = standings.iter().any(|s| s.claim.as_ref().is_some_and(|c| c.up_to > DesiredPhase::Assessed));
    let run = status::Run {
        started_at: input.status.started_at.clone().or_else(|| (starts || !runs.is_empty()).then_some(Time(input.now))),
        completed_at: input.status.completed_at.clone().or_else(|| complete.then_some(Time(input.now))),
        cancelled,
        hooks: records,
        hooks_failed,
    };
    let recheck = recheck(input, &standings, &run.hooks);
    let status = status::status(input, &found, &waves, &standings, invalid.as_deref(), run);
    PlanDecision { status, claims, runs, release, recheck }
}

/// What an approval is for: which machines, in which order, when, and how verified. How far the plan goes, whether it
/// is suspended, and retries are other people's gates.
///
/// `found` is what the selectors find, by the wave's name, and what they had found once the plan has started: a label
/// that somebody else gives puts no machine under an approval that was given before.
pub fn spec_hash(spec: &FailbackPlanSpec, found: &Found) -> String {
    let mut approved = serde_json::json!({
        "waves": spec.waves,
        "skip": spec.skip,
        "maxConcurrent": spec.max_concurrent,
        "onItemFailure": spec.on_item_failure,
        "failureBudget": spec.failure_budget,
        "window": spec.window,
        "commit": spec.commit,
        "waivers": spec.waivers,
    });
    if !spec.hooks.is_empty()
        && let Some(approved) = approved.as_object_mut()
    {
        // Left out where there are none: a plan that knows no hooks keeps the hash that its approvals quote.
        approved.insert("hooks".to_owned(), serde_json::json!(spec.hooks));
    }
    let by_label = spec.waves.iter().filter(|wave| wave.selector.is_some()).map(|wave| {
        let names: BTreeSet<&String> = found.get(&wave.name).into_iter().flatten().collect();
        (&wave.name, names)
    });
    let by_label: BTreeMap<_, _> = by_label.collect();
    if !by_label.is_empty()
        && let Some(approved) = approved.as_object_mut()
    {
        approved.insert("found".to_owned(), serde_json::json!(by_label));
    }
    let digest = Sha256::digest(approved.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The claims that differ from what is recorded, releases included.
fn changed_claims(
    input: &PlanInput<'_>,
    standings: &[Standing<'_>],
    release_all: bool,
) -> Vec<(String, Option<Claim>)> {
    let wanted: BTreeMap<&str, &Claim> =
        standings.iter().filter_map(|standing| Some((standing.name, standing.claim.as_ref()?))).collect();
    input
        .items
        .iter()
        .filter_map(|(name, status)| {
            let ours = status.claim.as_ref().filter(|claim| claim.plan_uid == input.uid);
            let claim = wanted.get(name.as_str()).copied().filter(|_| !release_all);
            (claim != ours).then(|| (name.clone(), claim.cloned()))
        })
        .collect()
}

/// The next time at which the clock alone changes something.
fn recheck(input: &PlanInput<'_>, standings: &[Standing<'_>], hooks: &[HookStatus]) -> Option<Timestamp> {
    let of_items = standings.iter().filter_map(|standing| standing.claim.as_ref()).flat_map(|claim| &claim.hooks);
    // Of what a pod waits for nobody tells; a refusal may be over.
    let jobs = hooks::next_look(hooks.iter().chain(of_items), input.now);
    let approvals = input.approvals.iter().map(|approval| approval.expires_at.0);
    let window = gates::window_changes(input);
    let soaks = standings.iter().filter_map(|standing| starts::soak_of(input, standing));
    approvals.chain(window).chain(soaks).chain(jobs).filter(|at| *at > input.now).min()
}
