//! What people hold a plan back by, or have to consent to.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::Window,
    core::{
        action::Verb,
        decide::plan::{PlanInput, consent_to},
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
    for demanded in spec.approvals.iter().filter(|demanded| demanded.step.ends().1 <= spec.desired_phase) {
        let (step, consent) = (demanded.step.as_str(), consent_to(input, demanded.step, |_| true));
        let others = if demanded.forbid_requester { ", the plan's requester not counted" } else { "" };
        let lacks = Verb::parse(step).is_some_and(calls) && !consent.is_enough();
        gate(
            format!("{step} needs {} approval(s){others}; {} given.", consent.wanted, consent.by.len()),
            lacks.then(|| format!("approval of {step} (kubectl failback approve {} --step {step})", input.name)),
        );
    }
    gates
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
