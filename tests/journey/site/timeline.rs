//! The run as text that is the same in every run: what came in which order, how many, and why it waited.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use failback::api::FailbackPlanStatus;
use jiff::Timestamp;

use super::{
    record::{Record, STEPS},
    world::{FAILING, WAVES, machines},
};

/// Holds that a run passes in the same order each time.
const GATES: [&str; 4] = ["HookRunning", "WaveNotStarted", "ApprovalRequired", "WindowClosed"];
/// Holds of which each run has some; which comes first is chance. Others come and go as places come free.
const ALSO: [&str; 3] = ["OperationFailed", "Quarantined", "RecoveryPointsMissing"];

/// What the plan said while it ran.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// What held the plan, in the order in which it came first; and what else did.
    gates: Vec<String>,
    also: BTreeSet<String>,
    approved: BTreeMap<String, Timestamp>,
}

impl Timeline {
    /// Takes in what the plan shows; returns the step that it asks consent for.
    pub(super) fn look(&mut self, status: &FailbackPlanStatus, now: Timestamp) -> Option<String> {
        let mut asked = None;
        for issue in &status.issues {
            let mut told = issue.reason.clone();
            if issue.reason == "ApprovalRequired" {
                let step = issue.message.split(' ').next().unwrap_or_default().to_owned();
                told = format!("{told} for {step}");
                if !self.approved.contains_key(&step) {
                    self.approved.insert(step.clone(), now);
                    asked = Some(step);
                }
            }
            if GATES.contains(&issue.reason.as_str()) && !self.gates.contains(&told) {
                self.gates.push(told);
            } else if ALSO.contains(&issue.reason.as_str()) {
                self.also.insert(told);
            }
        }
        asked
    }

    /// When a step was approved.
    pub(super) fn approved(&self, step: &str) -> Timestamp {
        self.approved[step]
    }
}

/// The whole run: `first` is the record up to the moment at which only those that failed were not home.
pub(super) fn of_run(first: &Record, record: &Record, timeline: &Timeline) -> String {
    let also: Vec<_> = timeline.also.iter().map(String::as_str).collect();
    let mut text = format!("gates, as they came: {}\nalso held by: {}\n", timeline.gates.join(", "), list(&also));
    for (index, wave) in WAVES.iter().enumerate() {
        let names: Vec<String> =
            machines().into_iter().filter(|machine| machine.wave == index).map(|machine| machine.name).collect();
        writeln!(text, "wave {}: {} machines, after {}", wave.name, names.len(), list(wave.after)).unwrap();
        for step in STEPS {
            let done: Vec<_> = names.iter().filter_map(|name| first.done(name, step)).collect();
            writeln!(text, "  {step} {}", done.len()).unwrap();
        }
        writeln!(text, "  {}", order(first, &names, wave.after)).unwrap();
    }
    for (machine, step, _) in FAILING {
        let failed: Vec<_> = first.0[machine].iter().filter(|job| job.failed.is_some()).collect();
        let codes: BTreeSet<_> = failed.iter().filter_map(|job| job.failed.clone()).collect();
        writeln!(text, "{machine}: {step} failed {} time(s) with {codes:?}, then set aside", failed.len()).unwrap();
        let more: Vec<_> = record.0[machine][first.0[machine].len()..].iter().map(|job| job.step).collect();
        writeln!(text, "  tried again: {}", list(&more)).unwrap();
    }
    text
}

/// What a wave waited for, by the site's record.
fn order(record: &Record, names: &[String], after: &[&str]) -> String {
    let ends = |names: &[String], step: &str| {
        names.iter().filter_map(|name| record.done(name, step)).map(|job| job.ends).max().unwrap_or_default()
    };
    let starts = |step: &str| names.iter().filter_map(|name| record.done(name, step)).map(|job| job.starts).min();
    let of = |wave: &str| -> Vec<String> {
        machines().into_iter().filter(|m| WAVES[m.wave].name == wave).map(|machine| machine.name).collect()
    };
    let begins = starts("Reprotect").unwrap_or_default();
    let waited = after.iter().all(|wave| ends(&of(wave), "FailBack") < begins);
    let points = ends(names, "SyncToVMware") < starts("FailBack").unwrap_or_default();
    format!(
        "began {}; failed back {}",
        if waited { "once those before it were home" } else { "TOO EARLY" },
        if points { "once each had a recovery point" } else { "TOO EARLY" },
    )
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
