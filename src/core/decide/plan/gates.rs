//! How far a plan's own gates let a machine go: suspension, dry run, deletion, approvals, the window.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::PlanInput;
use crate::{
    api::{Approval, ApprovalStep, DesiredPhase, FailbackApprovalSpec, FailbackPlanSpec},
    core::{
        schedule::window::{self, Opening},
        waiting::by_waiver,
    },
};

/// How far a machine may go, and what holds it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ceiling {
    pub(super) up_to: DesiredPhase,
    pub(super) held_by: &'static str,
    pub(super) message: String,
}

impl Ceiling {
    pub(super) fn new(up_to: DesiredPhase, held_by: &'static str, message: impl Into<String>) -> Self {
        Self { up_to, held_by, message: message.into() }
    }

    /// The lower of two. Where they are equal, what a person can do something about comes first.
    pub(super) fn or_lower(self, other: Self) -> Self {
        if other.up_to < self.up_to { other } else { self }
    }
}

/// The gates for a machine that has reached a phase: an approval is for a step that lies ahead, and may end after it.
pub(super) fn ceiling(input: &PlanInput<'_>, reached: DesiredPhase) -> Ceiling {
    let desired = input.spec.desired_phase;
    let nothing = DesiredPhase::Assessed;
    if input.deleting {
        // An approved commit lets those go on that were failed back; nothing else starts.
        let commit = reached >= DesiredPhase::FailedBack
            && closed_to_commit(input).is_empty()
            && lacking_for_commit(input).is_none();
        let up_to = if commit { DesiredPhase::Committed } else { nothing };
        let gate = Ceiling::new(up_to, "PlanDeleted", "The plan is being deleted; nothing new starts.");
        return match closed(input, reached) {
            Some(closed) => gate.or_lower(closed),
            None => gate,
        };
    }
    if input.spec.dry_run {
        let message = "The plan is a dry run: it shows what it would do, and does nothing until spec.dryRun is false.";
        return Ceiling::new(nothing, "DryRun", message);
    }
    if input.spec.suspend {
        let resume = format!("kubectl failback resume {} (with GitOps: set spec.suspend to false)", input.name);
        return Ceiling::new(
            nothing,
            "Suspended",
            format!("The plan is suspended; nothing new starts. Run: {resume}."),
        );
    }
    let free = Ceiling::new(desired, "", "");
    let consent = unapproved(input, reached)
        .map_or(free.clone(), |(up_to, message)| Ceiling::new(up_to, "ApprovalRequired", message));
    consent.or_lower(closed(input, reached).unwrap_or(free))
}

/// What to change in the spec of a plan that is being deleted, so that an approved commit is made. Its approvals stay
/// valid: none of this is part of what they are for.
pub(super) fn closed_to_commit(input: &PlanInput<'_>) -> Vec<&'static str> {
    let spec = input.spec;
    [
        (spec.desired_phase < DesiredPhase::Committed, "set spec.desiredPhase to Committed"),
        (spec.suspend, "set spec.suspend to false"),
        (spec.dry_run, "set spec.dryRun to false"),
    ]
    .into_iter()
    .filter_map(|(closed, remedy)| closed.then_some(remedy))
    .collect()
}

/// The approvals of the commit of a plan that is being deleted, given and wanted, where they are not enough: it needs
/// one in any case.
pub(super) fn lacking_for_commit(input: &PlanInput<'_>) -> Option<(usize, usize)> {
    let consent = consent_to(input, ApprovalStep::Commit, |_| true);
    (!consent.is_enough()).then_some((consent.by.len(), consent.wanted))
}

/// The window's gate, before a failback and before a commit.
pub(super) fn closed(input: &PlanInput<'_>, reached: DesiredPhase) -> Option<Ceiling> {
    let window = input.spec.window.as_ref()?;
    let below = match reached {
        DesiredPhase::Assessed | DesiredPhase::Reprotected => DesiredPhase::Reprotected,
        DesiredPhase::FailedBack => DesiredPhase::FailedBack,
        DesiredPhase::Committed | DesiredPhase::Protected => return None,
    };
    let message = match window::look(window, input.now) {
        Ok(Opening::Open(_)) => return None,
        Ok(Opening::Opens(at)) => {
            let at = window::told(window, at);
            format!("The window is closed; failbacks and commits start from {at} on.")
        }
        Ok(Opening::Past) => PAST.to_owned(),
        Err(why) => why,
    };
    (input.spec.desired_phase > below).then(|| Ceiling::new(below, "WindowClosed", message))
}

/// What is said of a window that was.
pub(super) const PAST: &str =
    by_waiver!("spec.window.end has passed, and the window never opens again: set a later one.");

/// When the window opens or closes next.
pub(super) fn window_changes(input: &PlanInput<'_>) -> Option<Timestamp> {
    match window::look(input.spec.window.as_ref()?, input.now) {
        Ok(Opening::Open(at) | Opening::Opens(at)) => Some(at),
        Ok(Opening::Past) | Err(_) => None,
    }
}

/// How far the plan may go without the first approval that it lacks, and what to do about it.
pub(super) fn unapproved(input: &PlanInput<'_>, reached: DesiredPhase) -> Option<(DesiredPhase, String)> {
    in_order(&input.spec.approvals).into_iter().find_map(|approval| {
        let step = approval.step;
        let (below, at) = step.ends();
        let ahead = reached < at && input.spec.desired_phase >= at;
        let lacking = ahead && !consent_to(input, step, |_| true).is_enough();
        lacking.then(|| {
            let others = if approval.forbid_requester { ", the plan's requester not counted" } else { "" };
            let (count, step, plan) = (approval.count, step.as_str(), input.name);
            let message = format!(
                "{step} needs {count} approval(s){others}. Somebody with the approver role runs: kubectl failback approve {plan} --step {step}. Or creates a FailbackApproval with planUid {}, specHash {} and step {step}.",
                input.uid, input.spec_hash
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

/// The consent to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent<'a> {
    /// Who approved it.
    pub by: BTreeSet<&'a str>,
    /// How many different people must: one, where the plan does not demand it.
    pub wanted: usize,
}

impl Consent<'_> {
    /// Whether enough different people approved the step.
    pub fn is_enough(&self) -> bool {
        self.by.len() >= self.wanted
    }
}

/// Who approved a step, by approvals that are valid and of which `counts`.
pub fn consent_to<'a>(
    input: &PlanInput<'a>,
    step: ApprovalStep,
    counts: impl Fn(&FailbackApprovalSpec) -> bool,
) -> Consent<'a> {
    let demanded = input.spec.approvals.iter().find(|approval| approval.step == step);
    let wanted = demanded.and_then(|demanded| usize::try_from(demanded.count).ok()).unwrap_or(1).max(1);
    let asked = Asked { uid: input.uid, spec: input.spec, spec_hash: input.spec_hash, requester: input.requester };
    let valid = |approval: &&FailbackApprovalSpec| {
        approval.step == step && why_invalid(approval, &asked, input.now).is_none() && counts(approval)
    };
    let by = input.approvals.iter().filter(valid).map(|approval| approval.approver.as_str()).collect();
    Consent { by, wanted }
}

/// What an approval is held against: the plan as it is.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// UID of the plan.
    pub uid: &'a str,
    /// The plan.
    pub spec: &'a FailbackPlanSpec,
    /// Its [`spec_hash`](super::spec_hash).
    pub spec_hash: &'a str,
    /// Who asked for it, where that is known.
    pub requester: Option<&'a str>,
}

/// Why an approval does not count: reason and sentence.
pub fn why_invalid(
    approval: &FailbackApprovalSpec,
    plan: &Asked<'_>,
    now: Timestamp,
) -> Option<(&'static str, String)> {
    if approval.plan_uid != plan.uid {
        let message = format!("spec.planUid is {}; the plan's UID is {}.", approval.plan_uid, plan.uid);
        return Some(("OtherPlan", message));
    }
    let hash = plan.spec_hash;
    if approval.spec_hash != hash {
        let what =
            if plan.spec.finds_by_label() { "it, or what its selectors find, was changed" } else { "it was changed" };
        let message = format!("spec.specHash is {}; the plan's is {hash}: {what}.", approval.spec_hash);
        return Some(("PlanChanged", message));
    }
    if approval.expires_at.0 <= now {
        return Some(("Expired", format!("It ended at {:.0}.", approval.expires_at.0)));
    }
    let by_others = plan.spec.approvals.iter().any(|asked| asked.step == approval.step && asked.forbid_requester);
    match plan.requester.filter(|name| !name.is_empty()) {
        None if by_others => Some((
            "RequesterUnknown",
            "The plan wants it from somebody else than who asked for it, and does not say who that was: annotate the plan with failback.dev/requested-by.".to_owned(),
        )),
        Some(requester) if by_others && requester == approval.approver => Some((
            "ByRequester",
            format!("{requester} asked for the plan, which wants this approval from somebody else."),
        )),
        None | Some(_) => None,
    }
}
