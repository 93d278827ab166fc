//! What people hold a plan back by, or have to consent to.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{Approval, ApprovalStep, Window},
    core::{
        action::Verb,
        decide::plan::{Asked, PlanInput, why_invalid},
        preview::Preview,
        schedule::window::{self, Opening},
    },
};

/// A gate of a plan.
pub(super) struct Gate {
    /// What it is.
    pub(super) told: String,
    /// What is waited for, where it is closed and something lies behind it.
    pub(super) waits_for: Option<String>,
}

pub(super) fn gates(input: &PlanInput<'_>, ahead: &Preview) -> Vec<Gate> {
    let spec = input.spec;
    let calls = |verb: Verb| {
        let mut machines = ahead.waves.iter().flat_map(|wave| &wave.machines);
        machines.any(|machine| machine.calls.iter().any(|call| call.verb == verb.as_str()))
    };
    let any = [Verb::Reprotect, Verb::FailBack, Verb::Commit, Verb::Protect].into_iter().any(calls);
    let mut gates = Vec::new();
    let mut gate = |told: String, waits_for: Option<String>| gates.push(Gate { told, waits_for });
    if spec.suspend {
        let waits_for = any.then(|| format!("somebody to resume it (kubectl failback resume {})", input.name));
        gate("The plan is suspended: nothing new starts.".to_owned(), waits_for);
    }
    if spec.dry_run {
        let waits_for = any.then(|| "somebody to set spec.dryRun to false".to_owned());
        gate("The plan is a dry run: no call is made.".to_owned(), waits_for);
    }
    if let Some(window) = &spec.window {
        let opens = opens(window, input.now).filter(|_| calls(Verb::FailBack) || calls(Verb::Commit));
        gate(told(window), opens.map(|at| format!("the window, which opens at {at}")));
    }
    let wanted = |step: ApprovalStep| Verb::parse(step.as_str()).filter(|verb| verb.leads_to() <= spec.desired_phase);
    for demanded in &spec.approvals {
        let Some(verb) = wanted(demanded.step) else { continue };
        let (step, count, given) = (demanded.step.as_str(), demanded.count, given(input, demanded));
        let others = if demanded.forbid_requester { ", the plan's requester not counted" } else { "" };
        let lacks = calls(verb) && i32::try_from(given).unwrap_or(i32::MAX) < count.max(1);
        gate(
            format!("{step} needs {count} approval(s){others}; {given} given."),
            lacks.then(|| format!("approval of {step} (kubectl failback approve {} --step {step})", input.name)),
        );
    }
    gates
}

/// How many people approved the step.
fn given(input: &PlanInput<'_>, demanded: &Approval) -> usize {
    let asked = Asked { uid: input.uid, spec: input.spec, spec_hash: input.spec_hash, requester: input.requester };
    let counts = input
        .approvals
        .iter()
        .filter(|approval| approval.step == demanded.step && why_invalid(approval, &asked, input.now).is_none());
    counts.map(|approval| approval.approver.as_str()).collect::<BTreeSet<_>>().len()
}

/// When a window opens that is closed.
fn opens(window: &Window, now: Timestamp) -> Option<String> {
    match window::look(window, now) {
        Ok(Opening::Opens(at)) => Some(window::told(window, at)),
        Ok(Opening::Open(_) | Opening::Past) | Err(_) => None,
    }
}

/// When steps start that need the window.
fn told(window: &Window) -> String {
    let zone = &window.time_zone;
    let often = window.cron.as_ref().map(|cron| {
        let minutes = window.duration_minutes.unwrap_or_default();
        format!("at \"{cron}\" ({zone}), for {minutes} minutes each")
    });
    let once = || {
        let at = |time: &Option<Time>| time.as_ref().map_or("any time".to_owned(), |time| format!("{:.0}", time.0));
        format!("from {} to {}", at(&window.start), at(&window.end))
    };
    format!("FailBack and Commit start only inside the window: {}.", often.unwrap_or_else(once))
}
