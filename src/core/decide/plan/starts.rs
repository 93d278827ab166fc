//! Which machines take their next step now, and why the others do not.

use jiff::Timestamp;

use super::{
    PlanInput, cancel, failures, found,
    gates::{Ceiling, ceiling},
    hooks::{Hold, Hooks},
    waves::{Resolved, Standing, is_verified, stuck, unsettled},
};
use crate::{
    api::{Cancelled, CheckStatus, Claim, ClaimWaiver, DesiredPhase, HookOutcome},
    core::{
        checks, conditions,
        probes::soaks_until,
        schedule::load::{self, Full, Load, MASTER_TARGET_FULL, WAITING_FOR_OBSERVATION},
        waiting::WaitingOn,
    },
};

/// Every machine of the plan with its claim: waves in their order, machines in theirs.
pub(super) fn standings<'a>(
    input: &PlanInput<'a>,
    waves: &[Resolved<'a>],
    invalid: Option<&str>,
    cancelled: &[Cancelled],
    hooks: &mut Hooks<'_, 'a>,
) -> Vec<Standing<'a>> {
    let moving = waves.iter().flat_map(|wave| &wave.machines).filter(|machine| machine.moving).count();
    let most = input.spec.max_concurrent.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(1));
    let mut room = Room { load: input.load.clone(), plan: most.saturating_sub(moving) };
    let stops = failures::stops(input, waves);
    let mut all = Vec::new();
    for (index, wave) in waves.iter().enumerate() {
        let mut starts = OfWave::new(input, wave, cancelled);
        starts.waits_for = unsettled(input, waves, hooks, index);
        let before = || waves.iter().filter(|wave| starts.waits_for.contains(&wave.wave.name.as_str()));
        let machines = || before().flat_map(|wave| wave.counting(input));
        let missing = machines().filter(|machine| !is_verified(machine));
        starts.waits_behind = stuck(input, cancelled, machines().count(), missing);
        starts.stopped = stops.as_deref();
        starts.invalid = invalid;
        for machine in &wave.machines {
            let claim = starts.claim(machine, &mut room, hooks);
            let starts = claim.as_ref().is_some_and(|claim| claim.up_to > machine.reached);
            let moving = !machine.stalled && claim.is_some() && (machine.operating || starts);
            let arrived = machine.arrived && hooks.after(machine).is_none();
            all.push(Standing { claim, moving, arrived, ..machine.clone() });
        }
    }
    all
}

/// Until when a machine's verification must hold, while that is all that it waits for.
pub(super) fn soak_of(input: &PlanInput<'_>, machine: &Standing<'_>) -> Option<Timestamp> {
    let waits = machine.reached == DesiredPhase::FailedBack && input.spec.desired_phase > DesiredPhase::FailedBack;
    let status = machine.status.filter(|_| waits)?;
    // What single looks of probes saw the machine knows, which has the last word.
    soaks_until(&status.conditions, &[], input.spec.commit.soak())
}

/// What is left for machines that start.
struct Room {
    load: Load,
    plan: usize,
}

/// What the machines of one wave have in common.
struct OfWave<'i, 'a> {
    input: &'i PlanInput<'a>,
    wave: &'i Resolved<'a>,
    cancelled: &'i [Cancelled],
    invalid: Option<&'i str>,
    stopped: Option<&'i str>,
    waits_for: Vec<&'a str>,
    /// Which machines of these cannot go on, as a sentence.
    waits_behind: String,
    recovery_points: bool,
    /// Which machines without a recovery point cannot go on, as a sentence.
    pointless: String,
    /// It had begun before this pass.
    had_begun: bool,
    begun: bool,
    /// Whether it may begin, or why not, once that was found out.
    disks: Option<Result<(), Hold>>,
    room: usize,
}

impl<'i, 'a> OfWave<'i, 'a> {
    fn new(input: &'i PlanInput<'a>, wave: &'i Resolved<'a>, cancelled: &'i [Cancelled]) -> Self {
        let moving = wave.machines.iter().filter(|machine| machine.moving).count();
        Self {
            input,
            wave,
            cancelled,
            invalid: None,
            stopped: None,
            waits_for: Vec::new(),
            waits_behind: String::new(),
            recovery_points: wave.without_recovery_point(input, cancelled).next().is_none(),
            pointless: stuck(
                input,
                cancelled,
                wave.counting(input).count(),
                wave.without_recovery_point(input, cancelled),
            ),
            had_begun: wave.has_begun(),
            begun: wave.has_begun(),
            disks: None,
            room: usize::try_from(wave.wave.max_concurrent).unwrap_or(1).max(1).saturating_sub(moving),
        }
    }

    fn claim(&mut self, machine: &Standing<'a>, room: &mut Room, hooks: &mut Hooks<'_, 'a>) -> Option<Claim> {
        let spec = self.input.spec;
        if spec.desired_phase == DesiredPhase::Assessed || machine.status.is_none() || machine.claimed_by.is_some() {
            return None;
        }
        let half_way = machine.operating || machine.ours.is_some_and(load::begins);
        if self.input.status.started_at.is_none() && (spec.dry_run || self.invalid.is_some()) && !half_way {
            // It takes no machine from another plan as long as it does nothing. One that has started keeps its own; so
            // does one whose status was lost, of those that it had let go on.
            return None;
        }
        let undo = cancel::why(self.input, self.cancelled, machine.name);
        let gate = match self.invalid {
            Some(why) => Ceiling::new(DesiredPhase::Assessed, "InvalidSpec", why),
            None => ceiling(self.input, machine.reached),
        };
        let most = gate.up_to;
        let found = found::found(self.input, machine);
        // What is asked for by name needs no other word.
        let doubt = found.as_ref().filter(|found| found.consent.is_none() && undo.is_none());
        let next = self.next_step(machine, undo, hooks);
        let next = doubt.map(|doubt| found::hold(self.input, machine, doubt).or_lower(next.clone())).unwrap_or(next);
        let mut held = gate.or_lower(next);
        if let Some((held_by, message)) = hooks.after(machine) {
            held = Ceiling::new(machine.reached, held_by, message).or_lower(held);
        }
        if let Some((held_by, message)) = self.late(machine, &mut room.load) {
            held = Ceiling::new(machine.reached, held_by, message);
        } else if held.up_to > machine.reached {
            if machine.failed {
                held = self.failed(machine, held);
            } else if !machine.granted
                && let Some((held_by, message)) = self.start(machine, held.up_to, room, hooks)
            {
                held = Ceiling::new(machine.reached, held_by, message);
            }
        }
        if let Some(ours) = machine.ours.filter(|_| machine.unclear && undo.is_none()) {
            // What cannot be told takes no claim back: the machine may be on its way.
            held.up_to = held.up_to.max(ours.up_to.min(most));
        }
        if held.up_to <= machine.reached {
            // What was reached shows that its wave has begun, also while nothing may start.
            held.up_to = if self.begun { machine.reached.min(spec.desired_phase) } else { DesiredPhase::Assessed };
        }
        // Undoing what is not final needs no gate beside being asked for, also while the plan is being deleted.
        let open = !spec.suspend && !spec.dry_run;
        let cancel = undo.filter(|_| open && cancel::can_be_undone(machine)).map(str::to_owned);
        Some(Claim { found, hooks: hooks.records(machine.name), ..self.written(machine, held, cancel) })
    }

    /// One that failed keeps the claim under which it did, so that it goes on needing a person.
    fn failed(&self, machine: &Standing<'_>, next: Ceiling) -> Ceiling {
        let (held_by, message) = if failures::sets_aside(self.input) {
            ("Quarantined", format!("It failed, and is set aside; wave \"{}\" goes on without it.", machine.wave))
        } else if let Some(hook) = &machine.hook_failed {
            ("HookFailed", hook.clone())
        } else {
            ("ItemFailed", "It failed, and needs a person.".to_owned())
        };
        let raised = machine.ours.is_some_and(|ours| ours.up_to > machine.reached);
        Ceiling::new(if raised { next.up_to } else { machine.reached }, held_by, message)
    }

    /// How far the next step leads, and what a machine waits for after it.
    fn next_step(&self, machine: &Standing<'_>, undo: Option<&str>, hooks: &Hooks<'_, '_>) -> Ceiling {
        let wave = &self.wave.wave.name;
        let undone =
            |at, why: &str| Ceiling::new(at, "Cancelled", format!("Its failback is undone, or not made: {why}"));
        match (machine.reached, undo) {
            // One that was not turned round yet is left in Azure as it is.
            (at @ (DesiredPhase::Assessed | DesiredPhase::Reprotected | DesiredPhase::FailedBack), Some(why)) => {
                undone(at, why)
            }
            (DesiredPhase::Reprotected, None) if self.recovery_points => Ceiling::new(
                DesiredPhase::FailedBack,
                "NotVerified",
                "The commit waits until the machine is verified at home.",
            ),
            (DesiredPhase::Assessed | DesiredPhase::Reprotected, None) => Ceiling::new(
                DesiredPhase::Reprotected,
                "RecoveryPointsMissing",
                format!(
                    "Wave \"{wave}\" is failed back once each of its machines has a recovery point.{}",
                    self.pointless
                ),
            ),
            (DesiredPhase::FailedBack, None) => self.commit(machine, hooks),
            (DesiredPhase::Committed | DesiredPhase::Protected, _) => Ceiling::new(DesiredPhase::Protected, "", ""),
        }
    }

    /// The commit is let through once the machine is verified, and was so for long enough.
    fn commit(&self, machine: &Standing<'_>, hooks: &Hooks<'_, '_>) -> Ceiling {
        let at = DesiredPhase::FailedBack;
        if !is_verified(machine) {
            let verified = machine.status.and_then(|status| conditions::find(&status.conditions, "Verified"));
            // The check's name alone: what it observed changes often, and is shown by the machine.
            let check = verified.and_then(|verified| verified.message.split(':').next()).unwrap_or("not observed");
            return Ceiling::new(at, "NotVerified", format!("The commit waits until it is verified at home: {check}."));
        }
        match soak_of(self.input, machine).filter(|until| *until > self.input.now) {
            Some(until) => {
                let soak = WaitingOn::Soak { until };
                Ceiling::new(at, soak.reason(), soak.message())
            }
            None => match hooks.stop_after(at) {
                Some(phase) => Ceiling::new(phase, "HookRunning", format!("Hooks run once it is {}.", phase.as_str())),
                None => Ceiling::new(DesiredPhase::Protected, "", ""),
            },
        }
    }

    /// Lets a machine start a step, and takes what that needs; or says what holds it.
    fn start(
        &mut self,
        machine: &Standing<'a>,
        up_to: DesiredPhase,
        room: &mut Room,
        hooks: &mut Hooks<'_, 'a>,
    ) -> Option<Hold> {
        let name = &self.wave.wave.name;
        if !self.waits_for.is_empty() {
            let waves = self.waits_for.join(", ");
            return Some((
                "WaveNotStarted",
                format!("Wave \"{name}\" waits until all of these are verified: {waves}.{}", self.waits_behind),
            ));
        }
        if let Some(stopped) = self.stopped {
            return Some(("ItemFailed", stopped.to_owned()));
        }
        if machine.operating {
            return Some(("StepEnding", "The step before has not ended yet.".to_owned()));
        }
        // The disks are asked for of all plans first: who waits for them is in line, and not overtaken.
        if let Some(check) = blocking(machine).find(|check| check.name != checks::DISK_SLOTS) {
            return Some(forbids(check));
        }
        if let Some(lacking) = machine.status.and_then(load::lacks_input) {
            return Some(("WaitingForInput", lacking.to_owned()));
        }
        if self.room == 0 {
            let most = self.wave.wave.max_concurrent;
            return Some(("ConcurrencyLimit", format!("Wave \"{name}\" moves {most} machine(s) at a time.")));
        }
        if room.plan == 0 {
            let most = self.input.spec.max_concurrent.unwrap_or_default();
            return Some(("ConcurrencyLimit", format!("The plan moves {most} machine(s) at a time.")));
        }
        if machine.reached < DesiredPhase::FailedBack
            && let Some(hold) = self.hold_by_disks(machine, &mut room.load)
        {
            return Some(hold);
        }
        if let Some(check) = blocking(machine).next() {
            return Some(forbids(check));
        }
        if let Err(Full { limit, of, .. }) = room.load.has_call(machine.vault) {
            let message = format!("{limit} calls are in flight in the vault \"{of}\", which is the most at a time.");
            return Some(("VaultBusy", message));
        }
        let powers_on = machine.reached == DesiredPhase::Reprotected && up_to >= DesiredPhase::FailedBack;
        let host = machine.status.and_then(load::host).filter(|_| powers_on);
        if let Some(host) = host
            && let Err(Full { limit, of, .. }) = room.load.has_start(host)
        {
            let message =
                format!("{limit} machines are being powered on at host \"{of}\", which is the most at a time.");
            return Some(("HostBusy", message));
        }
        let hold = hooks.before(machine);
        let prepares = || hooks.records(machine.name).iter().any(|row| row.outcome == HookOutcome::Running);
        if hold.is_some() && !prepares() {
            return hold;
        }
        // What a hook of its own makes ready for the step has its places from then on.
        if let Some(host) = host {
            room.load.take_start(host);
        }
        room.load.take_call(machine.vault);
        room.plan -= 1;
        self.room -= 1;
        self.begun |= hold.is_none();
        hold
    }

    /// What holds a machine that came to its wave after that had begun: there was no such object, another plan had it, or
    /// its master target was not known. Its disks are asked for whatever else holds it, since a claim that is held by
    /// anything else shows that it has them.
    fn late(&self, machine: &Standing<'a>, load: &mut Load) -> Option<Hold> {
        let status = machine.status?;
        let came_late = self.had_begun && machine.ours.is_none_or(load::lacks_disks);
        let goes_on = machine.reached < DesiredPhase::FailedBack && !machine.failed && !machine.operating;
        if !came_late || !goes_on || load::is_attached(status.phase) {
            return None;
        }
        if let Some(hold) = no_target(machine).or_else(|| self.wave.too_large(self.input, load.limits())) {
            return Some(hold);
        }
        load.take_disks(&self.wave.disks(self.input, |other| other.name == machine.name)).err().map(|of| self.full(&of))
    }

    /// A wave begins only when the disks of all of its machines fit, and has them then.
    fn hold_by_disks(&mut self, machine: &Standing<'a>, load: &mut Load) -> Option<Hold> {
        if let Some(hold) = no_target(machine) {
            return Some(hold);
        }
        if self.had_begun {
            return None;
        }
        if self.disks.is_none() {
            let hold = self.begin(load);
            self.disks = Some(hold.map_or(Ok(()), Err));
        }
        self.disks.clone().and_then(Result::err)
    }

    /// Takes the disks of the whole wave, or says what keeps it from beginning.
    fn begin(&self, load: &mut Load) -> Option<Hold> {
        let wave = &self.wave.wave.name;
        if let Some(name) = self.wave.without_target(self.input) {
            let message =
                format!("Wave \"{wave}\" begins once it is known through which master target {name} comes home.");
            return Some((WAITING_FOR_OBSERVATION, message));
        }
        let missing =
            |machine: &Standing<'a>| !machine.status.is_some_and(|status| load::attached(status, machine.ours));
        self.wave
            .too_large(self.input, load.limits())
            .or_else(|| load.take_disks(&self.wave.disks(self.input, missing)).err().map(|of| self.full(&of)))
    }

    fn full(&self, Full { of, limit, asked }: &Full) -> Hold {
        let name = self.wave.target_name(of);
        let message = format!(
            "The master target \"{name}\" carries {limit} disks at a time; the {asked} that are needed now do not fit beside those that are attached there or reserved. It goes on by itself when machines that came home through it are committed."
        );
        (MASTER_TARGET_FULL, message)
    }

    fn written(&self, machine: &Standing<'_>, held: Ceiling, cancel: Option<String>) -> Claim {
        let spec = self.input.spec;
        let waived = spec.waivers.iter().filter(|waiver| waiver.is_for(machine.name));
        Claim {
            plan: self.input.name.to_owned(),
            plan_uid: self.input.uid.to_owned(),
            up_to: held.up_to,
            held_by: held.held_by.to_owned(),
            held_message: held.message,
            soak_seconds: spec.commit.soak(),
            retry_token: spec.retry_token.clone(),
            wave: self.wave.wave.name.clone(),
            waivers: waived
                .map(|waiver| ClaimWaiver { check: waiver.check.clone(), reason: waiver.reason.clone() })
                .collect(),
            cancel,
            found: None,
            hooks: Vec::new(),
        }
    }
}

/// The checks that forbid a machine its next step.
fn blocking<'s>(machine: &Standing<'s>) -> impl Iterator<Item = &'s CheckStatus> {
    machine.status.into_iter().flat_map(load::blocking)
}

fn forbids(check: &CheckStatus) -> Hold {
    let CheckStatus { name, message, remedy, .. } = check;
    ("WaitingForChecks", format!("Its checks forbid the next step. {name}: {message} {remedy}").trim_end().to_owned())
}

/// A machine whose disks cannot be counted takes no step that attaches them.
fn no_target(machine: &Standing<'_>) -> Option<Hold> {
    let status = machine.status?;
    let unknown = load::target(status).is_none() && !load::attached(status, machine.ours);
    unknown
        .then(|| (WAITING_FOR_OBSERVATION, "It is not known yet through which master target it comes home.".to_owned()))
}
