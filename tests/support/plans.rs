//! A plan with its machines, and what it decides as text.

use std::collections::BTreeMap;

use failback::{
    api::{
        ApprovalStep, Claim, FailbackApprovalSpec, FailbackPlan, FailbackPlanSpec, FailbackPlanStatus, Reference,
        ReplicatedItemStatus,
    },
    core::{
        action::Verb,
        conditions,
        decide::plan::{Asked, Declared, PlanDecision, PlanInput, decide, permits, spec_hash, why_invalid},
        estimate::Measured,
        jobs::JobsSeen,
        preview,
        schedule::load::{Limits, Load, Machine},
        stage::Stage,
    },
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{PLAN, at, status};

/// A plan in a namespace.
#[derive(Clone, Debug)]
pub struct Case {
    pub spec: FailbackPlanSpec,
    pub status: FailbackPlanStatus,
    pub items: BTreeMap<String, ReplicatedItemStatus>,
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Machines of other plans, of the same vault and namespace.
    pub others: Vec<ReplicatedItemStatus>,
    /// Plans that come before this one.
    pub older: Vec<String>,
    pub limits: Limits,
    pub requester: Option<String>,
    pub approvals: Vec<FailbackApprovalSpec>,
    pub jobs: JobsSeen,
    pub deleting: bool,
    pub abandon: Option<String>,
    pub now: Timestamp,
}

/// A spec from its YAML-like form, with what is missing defaulted.
pub fn plan_spec(body: Value) -> FailbackPlanSpec {
    serde_json::from_value(body).unwrap()
}

impl Case {
    /// A plan to this phase, over waves of machines that stand at these stages.
    pub fn new(desired: &str, waves: &[&[(&str, Stage)]]) -> Self {
        let named: Vec<Value> = waves
            .iter()
            .enumerate()
            .map(|(index, items)| {
                let names: Vec<&str> = items.iter().map(|(name, _)| *name).collect();
                json!({ "name": format!("wave-{}", index + 1), "items": names })
            })
            .collect();
        let at_stage = |(name, stage): &(&str, Stage)| ((*name).to_owned(), status(*stage, None));
        Self {
            spec: plan_spec(json!({ "desiredPhase": desired, "waves": named })),
            status: FailbackPlanStatus::default(),
            items: waves.iter().flat_map(|items| items.iter().map(at_stage)).collect(),
            labels: BTreeMap::new(),
            others: Vec::new(),
            older: Vec::new(),
            limits: Limits::default(),
            requester: None,
            approvals: Vec::new(),
            jobs: JobsSeen::NotYet,
            deleting: false,
            abandon: None,
            now: at(0),
        }
    }

    pub fn decide(&self) -> PlanDecision {
        self.with_input(decide)
    }

    /// Asks for consent, as is done right before a call.
    pub fn permits(&self, item: &str, verb: Verb) -> Result<(), String> {
        self.with_input(|input| permits(input, item, verb))
    }

    pub fn with_input<T>(&self, ask: impl FnOnce(&PlanInput<'_>) -> T) -> T {
        let labels = |name: &String| self.labels.get(name).cloned().unwrap_or_default();
        let declare = |name: &String| (name.clone(), Declared { labels: labels(name), vault: "ns/vault".to_owned() });
        let declared = self.items.keys().map(declare).collect();
        let machines: Vec<Machine<'_>> = self.items.values().chain(&self.others).map(of_vault).collect();
        let older = self.older.iter().map(String::as_str).collect();
        ask(&PlanInput {
            name: "plan",
            uid: PLAN,
            generation: Some(1),
            spec: &self.spec,
            spec_hash: &self.hash(),
            status: &self.status,
            deleting: self.deleting,
            abandon: self.abandon.as_deref(),
            requester: self.requester.as_deref(),
            items: &self.items,
            declared: &declared,
            load: &Load::of(self.limits.clone(), &machines, &older),
            measured: &Measured::of(self.items.values().chain(&self.others)),
            jobs: &self.jobs,
            approvals: &self.approvals,
            now: self.now,
        })
    }

    /// Decides, and writes what is decided as the reconciler would.
    pub fn pass(&mut self) -> PlanDecision {
        let decision = self.decide();
        self.status = decision.status.clone();
        for (name, claim) in &decision.claims {
            self.items.get_mut(name).unwrap().claim = claim.clone();
        }
        decision
    }

    /// What approvals of the plan as it is must quote.
    pub fn hash(&self) -> String {
        let mut plan = FailbackPlan::new("plan", self.spec.clone());
        plan.status = Some(self.status.clone());
        let labels = self.labels.iter().filter(|(name, _)| self.items.contains_key(*name));
        let labels = labels.map(|(name, labels)| (name.clone(), labels.clone())).collect();
        spec_hash(&self.spec, &preview::found(&plan, &labels))
    }

    /// Moves a machine, keeping its claim.
    pub fn move_to(&mut self, name: &str, stage: Stage) {
        let claim = self.items[name].claim.clone();
        self.items.insert(name.to_owned(), status(stage, claim));
    }

    /// A person approves the plan as it is.
    pub fn approve(&mut self, step: ApprovalStep, approver: &str) {
        self.approvals.push(FailbackApprovalSpec {
            plan_ref: Reference { name: "plan".to_owned() },
            plan_uid: PLAN.to_owned(),
            spec_hash: self.hash(),
            step,
            approver: approver.to_owned(),
            expires_at: Time(at(600)),
            comment: String::new(),
        });
    }

    /// Why an approval does not count: reason and sentence.
    pub fn why_invalid(&self, approval: &FailbackApprovalSpec, now: Timestamp) -> Option<(&'static str, String)> {
        let (spec_hash, requester) = (&self.hash(), self.requester.as_deref());
        why_invalid(approval, &Asked { uid: PLAN, spec: &self.spec, spec_hash, requester }, now)
    }

    /// Decides, records, and tells.
    pub fn tell(&mut self, what: &str) -> String {
        let decision = self.pass();
        let status = &decision.status;
        let mut lines = vec![format!("# {what}")];
        let ready = conditions::find(&status.conditions, "Ready").unwrap();
        let of = |kind| if conditions::is_true(&status.conditions, kind) { format!(" {kind}") } else { String::new() };
        lines.push(format!(
            "plan: {} {} Ready={} {}{}{}{}{}",
            status.phase.as_str(),
            status.summary.done,
            ready.status,
            ready.reason,
            of("Reconciling"),
            of("Stalled"),
            if status.started_at.is_some() { " (started)" } else { "" },
            if decision.release { " (let go)" } else { "" },
        ));
        lines.push(format!("      {}", ready.message));
        for (name, item) in &self.items {
            lines.push(format!("  {name}: {:?}: {}", item.phase, claim_text(item.claim.as_ref())));
        }
        for issue in &status.issues {
            lines.push(format!(
                "  issue {} ×{} [{}]: {}",
                issue.reason,
                issue.count,
                issue.items.join(" "),
                issue.message
            ));
        }
        lines.join("\n") + "\n"
    }
}

fn of_vault(status: &ReplicatedItemStatus) -> Machine<'_> {
    Machine { vault: "ns/vault", status, claim: status.claim.as_ref() }
}

fn claim_text(claim: Option<&Claim>) -> String {
    match claim {
        None => "not claimed".to_owned(),
        Some(claim) if claim.plan_uid != PLAN => format!("claimed by {}", claim.plan),
        Some(claim) if claim.held_by.is_empty() => format!("up to {}", claim.up_to.as_str()),
        Some(claim) => format!("up to {}, {}", claim.up_to.as_str(), claim.held_by),
    }
}
