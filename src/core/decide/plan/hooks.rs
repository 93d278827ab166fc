//! The plan's hooks: which of them runs now, what each holds until it has ended, and how its runs are recorded.
//!
//! A run is recorded before its Job is made: of a plan or wave in the plan's status, of a machine in its claim, so that a
//! thousand machines make no rows in the plan. The Job's name follows from plan, hook, what it runs for and retry token,
//! so that a second attempt to make it finds the first. What has ended is known from the record, also when the Job is
//! gone.

mod record;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) use self::record::next_look;
use self::record::{
    For, applies, brief, holds, is_of, job_name, known, not_yet, observed, sentence, step_from, step_to, still_counts,
    title,
};
use super::{
    PlanInput, cancel,
    waves::{Resolved, Standing},
};
use crate::{
    api::{ApprovalStep, Cancelled, DesiredPhase, Hook, HookOutcome, HookScope, HookStatus, HookTime, OnHookFailure},
    core::jobs::JobsSeen,
};

/// A hold: reason and sentence.
pub(super) type Hold = (&'static str, String);

/// A Job to be made, unless it is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRun {
    /// Name of the hook.
    pub hook: String,
    /// The wave that it runs for; empty for the whole plan.
    pub wave: String,
    /// The machine that it runs for.
    pub item: Option<String>,
    /// The machines of the wave, where it runs for one.
    pub items: Vec<String>,
    /// Name of the Job.
    pub job: String,
}

const STEPS: [ApprovalStep; 4] =
    [ApprovalStep::Reprotect, ApprovalStep::FailBack, ApprovalStep::Commit, ApprovalStep::Protect];

/// What was decided about the hooks.
pub(super) struct Hooks<'i, 'a> {
    input: &'i PlanInput<'a>,
    /// Whether new Jobs may be made, and why not.
    closed: Option<&'static str>,
    rows: Vec<HookStatus>,
    of_items: BTreeMap<&'a str, Vec<HookStatus>>,
    runs: Vec<HookRun>,
    /// How many more Jobs of machines may run in a wave.
    room: BTreeMap<&'a str, usize>,
    members: BTreeMap<&'a str, Vec<&'a str>>,
    after_item: BTreeMap<&'a str, Hold>,
    after_wave: BTreeMap<(&'a str, ApprovalStep), Hold>,
    after_plan: BTreeMap<ApprovalStep, Hold>,
    failed: Vec<String>,
}

impl<'i, 'a> Hooks<'i, 'a> {
    /// Takes in how the Jobs stand, and begins what follows steps that have ended.
    pub(super) fn new(
        input: &'i PlanInput<'a>,
        waves: &mut [Resolved<'a>],
        invalid: Option<&str>,
        cancelled: &[Cancelled],
    ) -> Self {
        let spec = input.spec;
        let closed = if input.deleting {
            Some("a plan that is being deleted runs no hooks")
        } else if spec.suspend {
            Some("the plan is suspended")
        } else {
            None
        };
        // A plan that does nothing at all holds nothing either.
        let idle = spec.dry_run
            || invalid.is_some()
            || spec.desired_phase == DesiredPhase::Assessed
            || input.status.completed_at.is_some();
        let mut hooks = Self {
            input,
            closed,
            rows: input.status.hooks.iter().filter_map(|row| known(input, row)).collect(),
            of_items: BTreeMap::new(),
            runs: Vec::new(),
            room: BTreeMap::new(),
            members: BTreeMap::new(),
            after_item: BTreeMap::new(),
            after_wave: BTreeMap::new(),
            after_plan: BTreeMap::new(),
            failed: Vec::new(),
        };
        if spec.hooks.is_empty() {
            return hooks;
        }
        hooks.read_items(waves);
        if !idle {
            hooks.follow(waves, cancelled);
        }
        hooks
    }

    /// The records of machines, with what their Jobs show; a machine whose hook failed needs a person.
    fn read_items(&mut self, waves: &mut [Resolved<'a>]) {
        for wave in waves {
            let name = wave.wave.name.as_str();
            let mut running = 0;
            for machine in &mut wave.machines {
                let rows: Vec<HookStatus> = machine
                    .ours
                    .map(|claim| claim.hooks.as_slice())
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|row| {
                        let hook = self.input.spec.hooks.iter().find(|hook| hook.name == row.name)?;
                        let counts = hook.scope == HookScope::Item
                            && is_of(self.input, hook, For::Item(name, machine.name), row)
                            && still_counts(machine, hook, row);
                        counts.then(|| observed(self.input, hook, row.clone()))
                    })
                    .collect();
                running += rows.iter().filter(|row| row.outcome == HookOutcome::Running).count();
                let failed = rows.iter().find_map(|row| {
                    let hook = self.input.spec.hooks.iter().find(|hook| hook.name == row.name)?;
                    let fails = row.outcome == HookOutcome::Failed && holds(self.input, hook, row);
                    fails.then(|| sentence(hook, For::Item(name, machine.name), row))
                });
                if let Some(failed) = &failed
                    && !machine.operating
                {
                    self.failed.push(failed.clone());
                    machine.failed = true;
                    machine.stalled = true;
                    machine.hook_failed = Some(failed.clone());
                }
                self.of_items.insert(machine.name, rows);
            }
            let most = usize::try_from(wave.wave.max_concurrent).unwrap_or(1).max(1);
            self.room.insert(name, most.saturating_sub(running));
            self.members.insert(name, wave.counting(self.input).map(|machine| machine.name).collect());
        }
    }

    /// What runs after steps: of machines, then of waves, then of the plan.
    fn follow(&mut self, waves: &[Resolved<'a>], cancelled: &[Cancelled]) {
        let input = self.input;
        let undone = |machine: &Standing<'_>| cancel::why(input, cancelled, machine.name).is_some();
        // One whose failback is undone, or not made, comes no further than it is, or than reprotected.
        let set_aside = |machine: &Standing<'_>, step| {
            let stays = step != ApprovalStep::Reprotect || machine.reached == DesiredPhase::Assessed;
            stays && machine.reached <= DesiredPhase::FailedBack && undone(machine)
        };
        for wave in waves {
            for machine in &wave.machines {
                let rests = machine.reached <= self.input.spec.desired_phase
                    && may_act(machine)
                    && !machine.operating
                    && !machine.unclear
                    && !undone(machine);
                let Some(step) = step_to(machine.reached).filter(|_| rests) else { continue };
                let target = For::Item(&wave.wave.name, machine.name);
                if let Some(hold) = self.all(HookTime::After, step, HookScope::Item, target) {
                    self.after_item.insert(machine.name, hold);
                }
            }
        }
        for wave in waves {
            let name = wave.wave.name.as_str();
            for step in STEPS {
                let machines = wave.counting(self.input).filter(|machine| !set_aside(machine, step)).collect();
                if let Some(hold) = self.after_all(step, HookScope::Wave, For::Wave(name), machines) {
                    self.after_wave.insert((name, step), hold);
                }
            }
        }
        for step in STEPS {
            let all = waves.iter().flat_map(|wave| wave.counting(self.input));
            let machines = all.filter(|machine| !set_aside(machine, step)).collect();
            if let Some(hold) = self.after_all(step, HookScope::Plan, For::Plan, machines) {
                self.after_plan.insert(step, hold);
            }
        }
    }

    /// Hooks of several machines after a step: they run once all of these have taken it, and what follows for each of
    /// them has ended.
    fn after_all(
        &mut self,
        step: ApprovalStep,
        scope: HookScope,
        target: For<'a>,
        machines: Vec<&Standing<'a>>,
    ) -> Option<Hold> {
        let first = self.input.spec.hooks.iter().find(|hook| applies(hook, HookTime::After, step, scope, target))?;
        let (_, phase) = step.ends();
        // Somebody else led them further on: there is nothing to hold.
        if phase > self.input.spec.desired_phase || !machines.iter().any(|machine| machine.reached == phase) {
            return None;
        }
        let begun = self.rows.iter().any(|row| row.name == first.name && row.wave == target.wave());
        let missing: Vec<&str> = machines
            .iter()
            .filter(|machine| {
                machine.reached < phase
                    || !may_act(machine)
                    || machine.reached == phase
                        && (machine.operating
                            || machine.unclear
                            || self.after_item.contains_key(machine.name)
                            || scope == HookScope::Plan && self.after_wave.contains_key(&(machine.wave, step)))
            })
            .map(|machine| machine.name)
            .collect();
        if begun || missing.is_empty() {
            return self.all(HookTime::After, step, scope, target);
        }
        Some(("HookRunning", not_yet(first, target, phase, &missing)))
    }

    /// What holds a machine at the phase that it has reached.
    pub(super) fn after(&self, machine: &Standing<'_>) -> Option<Hold> {
        let step = step_to(machine.reached)?;
        let of_item = self.after_item.get(machine.name);
        let of_wave = || self.after_wave.iter().find(|((wave, of), _)| *wave == machine.wave && *of == step);
        of_item.or_else(|| of_wave().map(|(_, hold)| hold)).or_else(|| self.after_plan.get(&step)).cloned()
    }

    /// Whether waves that depend on this one wait for its hooks: those up to the phase at which it is verified.
    pub(super) fn pending(&self, wave: &Resolved<'_>) -> bool {
        let Some(step) = step_to(self.input.spec.desired_phase.min(DesiredPhase::FailedBack)) else { return false };
        let (_, phase) = step.ends();
        let name = wave.wave.name.as_str();
        let held = |machine: &Standing<'_>| machine.reached == phase && self.after_item.contains_key(machine.name);
        self.after_wave.keys().any(|(of, after)| *of == name && *after == step) || wave.counting(self.input).any(held)
    }

    /// What holds a machine before its next step, which nothing else does.
    pub(super) fn before(&mut self, machine: &Standing<'a>) -> Option<Hold> {
        let step = step_from(machine.reached)?;
        let scopes = [
            (HookScope::Plan, For::Plan),
            (HookScope::Wave, For::Wave(machine.wave)),
            (HookScope::Item, For::Item(machine.wave, machine.name)),
        ];
        let any = |(scope, target)| {
            self.input.spec.hooks.iter().any(|hook| applies(hook, HookTime::Before, step, scope, target))
        };
        if machine.unclear && scopes.into_iter().any(any) {
            // It may be past this step.
            let (step, name) = (step.as_str(), machine.name);
            return Some(("HookRunning", format!("Hooks before {step} wait until it is seen where {name} stands.")));
        }
        scopes.into_iter().find_map(|(scope, target)| self.all(HookTime::Before, step, scope, target))
    }

    /// How far one claim may lead from a phase: not past a step that hooks follow or come before.
    pub(super) fn stop_after(&self, reached: DesiredPhase) -> Option<DesiredPhase> {
        let (_, phase) = step_from(reached)?.ends();
        let between = |hook: &&Hook| match hook.when {
            HookTime::After => hook.step.ends().1 == phase,
            HookTime::Before => hook.step.ends().0 == phase,
        };
        self.input.spec.hooks.iter().any(|hook| between(&hook)).then_some(phase)
    }

    /// The records to keep of a machine.
    pub(super) fn records(&self, item: &str) -> Vec<HookStatus> {
        self.of_items.get(item).cloned().unwrap_or_default()
    }

    /// The plan's own records, the Jobs to make, and what failed.
    pub(super) fn concluded(self) -> (Vec<HookStatus>, Vec<HookRun>, Vec<String>) {
        (self.rows.into_iter().map(brief).collect(), self.runs, self.failed)
    }

    /// Runs the hooks of one scope, one after the other, up to the first that has not ended.
    fn all(&mut self, when: HookTime, step: ApprovalStep, scope: HookScope, target: For<'a>) -> Option<Hold> {
        let spec = self.input.spec;
        spec.hooks
            .iter()
            .filter(|hook| applies(hook, when, step, scope, target))
            .find_map(|hook| self.one(hook, target))
    }

    /// How one hook stands; begins it, where it is due.
    fn one(&mut self, hook: &Hook, target: For<'a>) -> Option<Hold> {
        let token = &self.input.spec.retry_token;
        let before = self.row(hook, target);
        let again = before.as_ref().is_some_and(|row| {
            row.outcome == HookOutcome::Failed && hook.on_failure == OnHookFailure::Hold && row.retry_token != *token
        });
        let row = match before.filter(|_| !again) {
            Some(row) => row,
            None => match self.begin(hook, target) {
                Ok(row) => row,
                Err(hold) => return Some(hold),
            },
        };
        self.put(target, row.clone());
        match row.outcome {
            HookOutcome::Succeeded => None,
            HookOutcome::Failed if !holds(self.input, hook, &row) => None,
            HookOutcome::Failed | HookOutcome::Refused => {
                let message = sentence(hook, target, &row);
                if row.outcome == HookOutcome::Refused || !matches!(target, For::Item(..)) {
                    self.failed.push(message.clone());
                }
                self.make(&row, target);
                Some(("HookFailed", message))
            }
            HookOutcome::Running => {
                self.make(&row, target);
                Some(("HookRunning", sentence(hook, target, &row)))
            }
        }
    }

    /// A new record, if a Job may be made now.
    fn begin(&mut self, hook: &Hook, target: For<'a>) -> Result<HookStatus, Hold> {
        let title = title(hook, target);
        if let Some(why) = self.closed {
            return Err(("HookRunning", format!("{title} is to run, and does not: {why}.")));
        }
        if let For::Item(wave, _) = target {
            let room = self.room.entry(wave).or_default();
            if *room == 0 {
                return Err(("HookRunning", format!("{title} waits: wave \"{wave}\" runs no more at a time.")));
            }
            *room -= 1;
        }
        let token = &self.input.spec.retry_token;
        let row = HookStatus {
            name: hook.name.clone(),
            wave: if matches!(target, For::Wave(_)) { target.wave().to_owned() } else { String::new() },
            outcome: HookOutcome::Running,
            job: job_name(self.input, hook, target, token),
            job_uid: None,
            retry_token: token.clone(),
            message: String::new(),
            began_at: Time(self.input.now),
            ended_at: None,
        };
        Ok(observed(self.input, hook, row))
    }

    /// The Job is made where it is not there: its name keeps it from being made twice.
    fn make(&mut self, row: &HookStatus, target: For<'a>) {
        let JobsSeen::Listed { jobs, .. } = self.input.jobs else { return };
        let open = matches!(row.outcome, HookOutcome::Running | HookOutcome::Refused);
        let asked = self.runs.iter().any(|run| run.job == row.job);
        if !open || asked || self.closed.is_some() || row.job_uid.is_some() || jobs.contains_key(&row.job) {
            return;
        }
        let (item, items) = match target {
            For::Plan => (None, Vec::new()),
            For::Wave(wave) => {
                let members = self.members.get(wave).into_iter().flatten();
                (None, members.map(|name| (*name).to_owned()).collect())
            }
            For::Item(_, item) => (Some(item.to_owned()), Vec::new()),
        };
        let (hook, wave, job) = (row.name.clone(), target.wave().to_owned(), row.job.clone());
        self.runs.push(HookRun { hook, wave, item, items, job });
    }

    fn row(&self, hook: &Hook, target: For<'_>) -> Option<HookStatus> {
        match target {
            For::Plan => self.rows.iter().find(|row| row.name == hook.name && row.wave.is_empty()),
            For::Wave(wave) => self.rows.iter().find(|row| row.name == hook.name && row.wave == wave),
            For::Item(_, item) => self.of_items.get(item)?.iter().find(|row| row.name == hook.name),
        }
        .cloned()
    }

    fn put(&mut self, target: For<'a>, row: HookStatus) {
        let rows = match target {
            For::Plan | For::Wave(_) => &mut self.rows,
            For::Item(_, item) => self.of_items.entry(item).or_default(),
        };
        match rows.iter_mut().find(|old| old.name == row.name && old.wave == row.wave) {
            Some(old) => *old = row,
            None => rows.push(row),
        }
    }
}

fn may_act(machine: &Standing<'_>) -> bool {
    machine.status.is_some() && machine.claimed_by.is_none()
}

/// How soon a Job that was refused is tried again.
pub const REFUSED_AGAIN: SignedDuration = SignedDuration::from_secs(60);
