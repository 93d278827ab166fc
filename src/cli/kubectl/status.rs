//! Where a plan and its machines stand, wave by wave.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::style::{Style, Tone, columns};
use crate::{
    api::{FailbackPlan, Progress, ReplicatedItem, ReplicatedItemStatus},
    core::{conditions, estimate::span, preview},
};

/// A machine by the name of its ReplicatedItem, with its status; `None` where there is no such object.
type Machine = (String, Option<ReplicatedItemStatus>);

/// A plan with its machines.
#[derive(Clone, Debug)]
pub(super) struct View {
    plan: FailbackPlan,
    /// Per wave, in the plan's order.
    waves: Vec<(String, Vec<Machine>)>,
}

impl View {
    /// The machines that the waves name or find by their labels, and those that the plan has claimed. A plan that is
    /// complete has let go of its claims, and is about the machines that it had found when it started.
    pub(super) fn of(plan: &FailbackPlan, items: &[ReplicatedItem]) -> Self {
        let uid = plan.uid().unwrap_or_default();
        let labels = items.iter().map(|item| (item.name_any(), item.labels().clone())).collect();
        let found = preview::found(plan, &labels);
        let mut left: BTreeMap<String, ReplicatedItemStatus> =
            items.iter().map(|item| (item.name_any(), item.status.clone().unwrap_or_default())).collect();
        let mut waves = Vec::new();
        for (wave, names) in preview::members(&plan.spec, &found) {
            let mut machines: Vec<Machine> =
                names.into_iter().map(|name| (name.to_owned(), left.remove(name))).collect();
            let claimed = |status: &ReplicatedItemStatus| {
                status.claim.as_ref().is_some_and(|claim| claim.plan_uid == uid && claim.wave == wave.name)
            };
            let more: Vec<String> = left.iter().filter(|(_, s)| claimed(s)).map(|(name, _)| name.clone()).collect();
            machines.extend(more.into_iter().map(|name| (name.clone(), left.remove(&name))));
            waves.push((wave.name.clone(), machines));
        }
        Self { plan: plan.clone(), waves }
    }

    /// The names of its machines.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.waves.iter().flat_map(|(_, machines)| machines).map(|(name, _)| name.as_str())
    }

    /// Whether the plan is where it should be (`true`), needs a person (`false`), or goes on.
    pub(super) fn settled(&self) -> Option<bool> {
        let status = self.plan.status.as_ref()?;
        if status.observed_generation != self.plan.metadata.generation {
            return None;
        }
        let is = |kind| conditions::is_true(&status.conditions, kind);
        if is("Ready") { Some(true) } else { is("Stalled").then_some(false) }
    }

    pub(super) fn json(&self) -> Value {
        let machine = |(name, status): &Machine| {
            let Some(status) = status else { return json!({ "item": name, "found": false }) };
            let ready = conditions::find(&status.conditions, "Ready");
            json!({
                "item": name,
                "found": true,
                "phase": status.phase,
                "runsIn": status.runs_in,
                "progress": status.progress,
                "reason": ready.map(|ready| &ready.reason),
                "message": ready.map(|ready| &ready.message),
            })
        };
        let waves: Vec<Value> = self
            .waves
            .iter()
            .map(|(name, machines)| json!({ "name": name, "machines": machines.iter().map(machine).collect::<Vec<_>>() }))
            .collect();
        json!({
            "plan": self.plan.name_any(),
            "namespace": self.plan.namespace(),
            "desiredPhase": self.plan.spec.desired_phase,
            "status": self.plan.status,
            "waves": waves,
        })
    }

    pub(super) fn text(&self, style: Style, now: Timestamp) -> String {
        let mut lines = self.headline(style, now);
        for (name, machines) in &self.waves {
            let wanted = self.plan.spec.desired_phase;
            let reached = self.plan.status.iter().flat_map(|s| &s.waves).find(|wave| wave.name == *name);
            let reached = reached.map_or_else(String::new, |wave| format!(", {} {}", wave.reached, wanted.as_str()));
            lines.push(String::new());
            lines.push(style.paint(Tone::Strong, &format!("Wave {name}: {} machine(s){reached}", machines.len())));
            let heading =
                ["MACHINE", "PHASE", "RUNS IN", "PROGRESS", "TIME LEFT", "REASON"].map(str::to_owned).to_vec();
            let rows: Vec<Vec<String>> =
                machines.iter().map(|(name, status)| row(name, status.as_ref(), style, now)).collect();
            let table: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
            lines.extend(columns(&table, "  "));
        }
        lines.join("\n")
    }

    fn headline(&self, style: Style, now: Timestamp) -> Vec<String> {
        let name = self.plan.name_any();
        let desired = self.plan.spec.desired_phase.as_str();
        let status = self.plan.status.clone().unwrap_or_default();
        let ends = status.estimated_completion.filter(|at| at.0 > now);
        let ends = ends.map(|at| format!(", done in about {}", span(now.duration_until(at.0).as_secs())));
        let counts = format!(
            "Plan {name}: {} of {} machines have reached {desired} ({} moving, {} waiting, {} need a person){}",
            status.summary.reached,
            status.summary.total,
            status.summary.moving,
            status.summary.waiting,
            status.summary.stalled,
            ends.unwrap_or_default(),
        );
        let mut lines = Vec::new();
        match conditions::find(&status.conditions, "Ready") {
            None => lines.push(format!("Plan {name}: wants {desired}; the controller has not processed it yet.")),
            Some(ready) => {
                lines.push(style.paint(Tone::Strong, &counts));
                let tone = match self.settled() {
                    Some(true) => Tone::Good,
                    Some(false) => Tone::Bad,
                    None => Tone::Faint,
                };
                lines.push(format!("{}: {}", style.paint(tone, &ready.reason), ready.message));
                if status.observed_generation != self.plan.metadata.generation {
                    lines.push("The plan was changed; the controller has not processed the change yet.".to_owned());
                }
            }
        }
        lines
    }

    /// One line per machine, by its name.
    pub(super) fn lines(&self, style: Style, now: Timestamp) -> BTreeMap<String, Line> {
        let of = |(name, status): &Machine| {
            let line = status.as_ref().map_or_else(|| Line::plain("ItemNotFound".to_owned()), |s| line(s, style, now));
            (name.clone(), line)
        };
        let mut lines: BTreeMap<String, Line> = self.waves.iter().flat_map(|(_, m)| m).map(of).collect();
        let status = self.plan.status.as_ref();
        if let Some(ready) = status.and_then(|status| conditions::find(&status.conditions, "Ready")) {
            let done = status.map(|status| status.summary.done.as_str()).unwrap_or_default();
            lines.insert(format!("plan/{}", self.plan.name_any()), Line::plain(format!("{done} {}", ready.reason)));
        }
        lines
    }
}

/// A line of a log that somebody follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// It is written anew when this changes: each tenth of a transfer, and not each percent of hundreds of machines.
    pub(super) mark: String,
}

impl Line {
    fn plain(text: String) -> Self {
        Self { mark: text.clone(), text }
    }
}

fn line(status: &ReplicatedItemStatus, style: Style, now: Timestamp) -> Line {
    let stands = format!("{:?} {}", status.phase, reason(status));
    let Some(progress) = &status.progress else { return Line::plain(stands) };
    let mark = progress.percent.map_or_else(|| progress.text.clone(), |percent| (percent / 10).to_string());
    let left = left(progress, now).map(|left| format!("  {left} left")).unwrap_or_default();
    Line { text: format!("{stands}  {}{left}", bar(progress, style)), mark: format!("{stands} {mark}") }
}

/// How long a step still takes, by the estimate.
fn left(progress: &Progress, now: Timestamp) -> Option<String> {
    let ends = progress.estimated_completion.as_ref().filter(|at| at.0 > now)?;
    Some(span(now.duration_until(ends.0).as_secs()))
}

fn reason(status: &ReplicatedItemStatus) -> String {
    conditions::find(&status.conditions, "Ready").map_or_else(String::new, |ready| ready.reason.clone())
}

fn row(name: &str, status: Option<&ReplicatedItemStatus>, style: Style, now: Timestamp) -> Vec<String> {
    let Some(status) = status else {
        return vec![
            name.to_owned(),
            "-".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            "ItemNotFound".to_owned(),
        ];
    };
    let progress = status.progress.as_ref();
    let reason = reason(status);
    let stalled = conditions::is_true(&status.conditions, "Stalled");
    vec![
        name.to_owned(),
        format!("{:?}", status.phase),
        status.runs_in.clone().unwrap_or_default(),
        progress.map(|progress| bar(progress, style)).unwrap_or_default(),
        progress.and_then(|progress| left(progress, now)).unwrap_or_default(),
        if stalled { style.paint(Tone::Bad, &reason) } else { reason },
    ]
}

fn bar(progress: &Progress, style: Style) -> String {
    progress.percent.map_or_else(|| progress.text.clone(), |percent| style.bar(percent))
}

/// All plans of a namespace.
pub(super) fn list(plans: &[FailbackPlan], namespace: &str, now: Timestamp) -> String {
    if plans.is_empty() {
        return format!("There is no plan in namespace \"{namespace}\".");
    }
    let heading = ["PLAN", "DESIRED", "PHASE", "DONE", "TIME LEFT", "REASON"].map(str::to_owned).to_vec();
    let rows = plans.iter().map(|plan| {
        let status = plan.status.clone().unwrap_or_default();
        let ends = status.estimated_completion.as_ref().filter(|at| at.0 > now);
        vec![
            plan.name_any(),
            plan.spec.desired_phase.as_str().to_owned(),
            status.phase.as_str().to_owned(),
            status.summary.done.clone(),
            ends.map(|at| span(now.duration_until(at.0).as_secs())).unwrap_or_default(),
            conditions::find(&status.conditions, "Ready").map(|ready| ready.reason.clone()).unwrap_or_default(),
        ]
    });
    let table: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    columns(&table, "").join("\n")
}
