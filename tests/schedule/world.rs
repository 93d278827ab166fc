//! Machines that take the steps that their claims let them take, in their time, beside plans that are decided in turn.

use std::collections::{BTreeMap, BTreeSet};

use failback::{
    api::{
        CheckResult, CheckStatus, Claim, DesiredPhase, FailbackPlanSpec, FailbackPlanStatus, ItemPhase,
        OperationOutcome, OperationRecord, ReplicatedItemStatus, TargetStatus,
    },
    core::{
        action::Verb,
        conditions::{self, Draft},
        decide::plan::{Declared, PlanDecision, PlanInput, decide, spec_hash},
        schedule::load::{Limits, Load, Machine, begins},
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::support::{at, record};

/// A machine and the minutes that its steps take. A reprotect's data is synchronised after its job.
#[derive(Clone, Debug)]
pub struct Thing {
    pub plan: usize,
    pub wave: String,
    pub disks: i32,
    pub target: String,
    pub host: String,
    pub job: [i64; 4],
    pub sync: i64,
    /// The step that fails.
    pub fails: Option<usize>,
    /// The step that a check forbids, until that minute or for ever.
    pub forbids: Option<(usize, Option<i64>)>,
    pub reached: DesiredPhase,
    pub running: Option<(usize, Timestamp, Timestamp)>,
    pub failed: bool,
    pub status: ReplicatedItemStatus,
}

pub const VERBS: [Verb; 4] = [Verb::Reprotect, Verb::FailBack, Verb::Commit, Verb::Protect];

impl Thing {
    pub fn new(plan: usize, wave: &str, job: [i64; 4], sync: i64) -> Self {
        Self {
            plan,
            wave: wave.to_owned(),
            disks: 1,
            target: "mt".to_owned(),
            host: "esx".to_owned(),
            job,
            sync,
            fails: None,
            forbids: None,
            reached: DesiredPhase::Assessed,
            running: None,
            failed: false,
            status: ReplicatedItemStatus::default(),
        }
    }

    pub fn step(&self) -> usize {
        DesiredPhase::ALL.iter().position(|phase| *phase == self.reached).unwrap()
    }

    /// A call of it is in flight: its job runs.
    pub fn calling(&self, now: Timestamp) -> bool {
        self.running.is_some_and(|(_, job, _)| job > now)
    }

    /// A check forbids its next step.
    pub fn forbidden(&self, now: Timestamp) -> bool {
        self.running.is_none()
            && self
                .forbids
                .is_some_and(|(step, until)| step == self.step() && until.is_none_or(|minute| now < at(minute)))
    }

    /// Its disks are attached to the master target.
    pub fn attached(&self) -> bool {
        let replicates = matches!(self.reached, DesiredPhase::Reprotected | DesiredPhase::FailedBack);
        replicates || self.running.is_some_and(|(step, ..)| step == 0)
    }

    fn show(&mut self, now: Timestamp) {
        let since = |phase| self.reached >= phase;
        let forbidden = self.forbidden(now);
        let verified = since(DesiredPhase::FailedBack) && !(forbidden && self.step() == 2);
        self.status.checks = vec![CheckStatus {
            name: "AzureVmPresent".to_owned(),
            result: if forbidden { CheckResult::Failed } else { CheckResult::Passed },
            message: "It is as it is.".to_owned(),
            remedy: String::new(),
            waived: None,
            gates: VERBS.get(self.step()).map(|verb| verb.as_str().to_owned()).into_iter().collect(),
            observed_at: Time(now),
        }];
        let drafts = vec![
            Draft::new("Reprotected", since(DesiredPhase::Reprotected), "World", "-"),
            Draft::new("FailedBack", since(DesiredPhase::FailedBack), "World", "-"),
            Draft::new("Verified", verified, "World", "-"),
            Draft::new("Committed", since(DesiredPhase::Committed), "World", "-"),
            Draft::new("Protected", since(DesiredPhase::Protected), "World", "-"),
            Draft::new("Stalled", self.failed, "OperationFailed", "It failed."),
        ];
        self.status.observed_generation = Some(1);
        self.status.disks = Some(self.disks);
        self.status.target = Some(TargetStatus {
            appliance_id: self.target.clone(),
            host: Some(self.host.clone()),
            ..TargetStatus::default()
        });
        self.status.conditions = conditions::merge(&self.status.conditions, drafts, Some(1), now);
        let resting = [
            ItemPhase::FailedOver,
            ItemPhase::Reprotected,
            ItemPhase::FailedBack,
            ItemPhase::Committed,
            ItemPhase::Protected,
        ];
        self.status.phase = match self.running {
            Some((step, ..)) => VERBS[step].running_phase(),
            None => resting[self.step()],
        };
        self.status.operation = self.running.map(|(step, job, _)| {
            let outcome = if job > now { OperationOutcome::Submitted } else { OperationOutcome::Succeeded };
            record(VERBS[step], outcome, now)
        });
        if since(DesiredPhase::FailedBack) {
            let done = record(Verb::FailBack, OperationOutcome::Succeeded, at(0));
            self.status.history = vec![OperationRecord { plan_uid: format!("uid-{}", self.plan), ..done }];
        }
    }
}

/// Plans and their machines.
#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    pub limits: Limits,
    pub plans: Vec<(FailbackPlanSpec, FailbackPlanStatus)>,
    pub things: BTreeMap<String, Thing>,
}

impl World {
    pub fn new(limits: Limits, plans: Vec<FailbackPlanSpec>, things: BTreeMap<String, Thing>) -> Self {
        let plans = plans.into_iter().map(|spec| (spec, FailbackPlanStatus::default())).collect();
        let mut world = Self { now: at(0), limits, plans, things };
        let now = world.now;
        world.things.values_mut().for_each(|thing| thing.show(now));
        world
    }

    fn decide(&self, plan: usize) -> PlanDecision {
        let machines: Vec<Machine<'_>> = self
            .things
            .values()
            .map(|thing| Machine { vault: "vault", status: &thing.status, claim: thing.status.claim.as_ref() })
            .collect();
        let uids: Vec<String> = (0..self.plans.len()).map(|index| format!("uid-{index}")).collect();
        let older: BTreeSet<&str> = uids[..plan].iter().map(String::as_str).collect();
        let load = Load::of(self.limits.clone(), &machines, &older);
        let of_plan = self.things.iter().filter(|(_, thing)| thing.plan == plan);
        let items: BTreeMap<_, _> = of_plan.map(|(name, thing)| (name.clone(), thing.status.clone())).collect();
        let declared = items
            .keys()
            .map(|name| (name.clone(), Declared { vault: "vault".to_owned(), ..Declared::default() }))
            .collect();
        decide(&PlanInput {
            name: &uids[plan],
            uid: &uids[plan],
            generation: Some(1),
            spec: &self.plans[plan].0,
            spec_hash: &spec_hash(&self.plans[plan].0, &Default::default()),
            status: &self.plans[plan].1,
            deleting: false,
            abandon: None,
            requester: None,
            items: &items,
            declared: &declared,
            load: &load,
            measured: &Default::default(),
            jobs: &failback::core::jobs::JobsSeen::NotYet,
            approvals: &[],
            now: self.now,
        })
    }

    /// Every plan in turn, until none changes a claim any more. The youngest goes first, to be tempted.
    pub fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 20, "the plans do not come to rest");
            let mut changed = false;
            for plan in (0..self.plans.len()).rev() {
                let decision = self.decide(plan);
                changed |= !decision.claims.is_empty();
                self.overtakes_nobody(plan, &decision.claims);
                self.plans[plan].1 = decision.status;
                for (name, claim) in decision.claims {
                    self.things.get_mut(&name).unwrap().status.claim = claim;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// A plan begins no wave at a master target that has too few disks left for a wave of an older plan, which waits.
    fn overtakes_nobody(&self, plan: usize, claims: &[(String, Option<Claim>)]) {
        let begun = |things: &[&Thing]| things.iter().any(|thing| thing.status.claim.as_ref().is_some_and(begins));
        let lets_begin = |claim: &Option<Claim>| claim.as_ref().is_some_and(begins);
        let mut waves: BTreeMap<(usize, &str), Vec<&Thing>> = BTreeMap::new();
        for thing in self.things.values() {
            waves.entry((thing.plan, &thing.wave)).or_default().push(thing);
        }
        let of = |target: &str, counts: &dyn Fn(&Thing) -> bool, things: &[&Thing]| -> u32 {
            let counted = things.iter().filter(|thing| thing.target == target && counts(thing));
            counted.map(|thing| thing.disks as u32).sum()
        };
        let held = |thing: &Thing, by: &str| thing.status.claim.as_ref().is_some_and(|claim| claim.held_by == by);
        for (name, _) in claims.iter().filter(|(_, claim)| lets_begin(claim)) {
            let thing = &self.things[name];
            if begun(&waves[&(thing.plan, thing.wave.as_str())]) {
                continue;
            }
            let in_use: u32 = waves
                .values()
                .map(|wave| {
                    let spoken_for =
                        |thing: &Thing| begun(wave) && thing.step() < 2 && !held(thing, "Quarantined") && !thing.failed;
                    of(&thing.target, &|thing| thing.attached() || spoken_for(thing), wave)
                })
                .sum();
            for ((older, wave), things) in waves.iter().filter(|((older, _), _)| *older < plan) {
                let waits = !begun(things) && things.iter().any(|thing| held(thing, "MasterTargetFull"));
                let needs = of(&thing.target, &|thing| !thing.attached() && !thing.failed, things);
                assert!(
                    !waits || needs == 0 || in_use + needs <= self.limits.disks_per_target,
                    "plan {plan} begins {name} at {}, where wave {wave} of plan {older} needs {needs} beside {in_use}",
                    thing.target
                );
            }
        }
    }

    /// Machines begin what their claims let them.
    pub fn begin(&mut self) {
        let now = self.now;
        for thing in self.things.values_mut() {
            let up_to = thing.status.claim.as_ref().map_or(DesiredPhase::Assessed, |claim| claim.up_to);
            if thing.running.is_none() && !thing.failed && up_to > thing.reached && !thing.forbidden(now) {
                let step = thing.step();
                let job = now + SignedDuration::from_mins(thing.job[step]);
                let sync = if step == 0 { thing.sync } else { 0 };
                thing.running = Some((step, job, job + SignedDuration::from_mins(sync)));
                thing.show(now);
            }
        }
    }

    /// Time goes on to the next end of anything. False when nothing runs, and no check will pass.
    pub fn pass_time(&mut self) -> bool {
        let now = self.now;
        let ends = self.things.values().filter_map(|thing| thing.running).flat_map(|(_, job, end)| [job, end]);
        let passes = self.things.values().filter_map(|thing| thing.forbids?.1).map(at);
        let Some(next) = ends.chain(passes).filter(|time| *time > now).min() else {
            return false;
        };
        self.now = next;
        for thing in self.things.values_mut() {
            if let Some((step, _, end)) = thing.running
                && end <= next
            {
                thing.running = None;
                if thing.fails == Some(step) {
                    thing.failed = true;
                } else {
                    thing.reached = DesiredPhase::ALL[step + 1];
                }
            }
            thing.show(next);
        }
        true
    }
}
