//! What each step changes.

use failback::{
    api::{DesiredPhase, OperationOutcome},
    core::{
        action::Verb,
        decide::{Next, item::push_record},
        failure::{Failure, FailureClass, Remote},
        journal,
        stage::{Stage, is_legal},
    },
};

use crate::{
    steps::{Build, End, Fate, Lag, Meddling, Step, Thought, World},
    translate::{self, claims, compare, decide, decided, entry, guarded, record, time, to_status},
    world::{Answer, AzureSide, Cache, Hand, JobEnd, Machine, Object, State, Tick},
};

impl World {
    pub fn apply(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Watch(p, m) => state.processes[p].caches[m].object = state.machines[m].object.clone(),
            Step::Look(p, m) => {
                let seen = state.machines[m].truth.seen();
                state.processes[p].caches[m].item = Some((seen, state.now));
                if !self.torn {
                    self.apply(state, Step::List(p, m, Lag::None))?;
                }
            }
            Step::List(p, m, lag) => {
                let mut jobs = state.machines[m].truth.jobs.clone();
                if lag == Lag::Newest {
                    jobs.pop_if(|job| job.started == state.now)?;
                }
                state.processes[p].caches[m].jobs = Some((jobs, state.now));
            }
            Step::Decide(p, m) => self.decide(state, p, m)?,
            Step::Call(p, fate) => self.call(state, p, fate)?,
            Step::Record(p) => self.record(state, p)?,
            Step::Crash(p) => {
                state.mischief = state.mischief.checked_sub(1)?;
                state.processes[p].hand = None;
            }
            Step::JobEnds(m, j, end) => job_ends(state, m, j, end)?,
            Step::Synchronised(m) => {
                let truth = &mut state.machines[m].truth;
                truth.running().is_none().then_some(())?;
                let ways = [
                    (Stage::SyncingToVMware, Stage::ReadyToFailBack),
                    (Stage::SyncingToAzure, Stage::ProtectedToAzure),
                ];
                truth.stage = ways.into_iter().find(|(from, _)| *from == truth.stage)?.1;
            }
            Step::Meddle(m, what) => meddle(state, m, what)?,
            Step::PlanPass => {
                let claims = claims(state, &self.names());
                for (m, claim) in claims {
                    state.machines[m].object.claim = claim;
                }
            }
            Step::Raise => {
                let next = DesiredPhase::ALL.into_iter().find(|phase| *phase > state.plan.desired)?;
                state.plan.desired = Some(next).filter(|next| *next <= self.most_desired)?;
            }
            Step::NewToken => {
                let stalled = state.machines.iter().any(|machine| machine.object.stalled);
                state.plan.token = (stalled && state.plan.token < self.tokens).then_some(state.plan.token + 1)?;
            }
            Step::Tick => {
                // A process that is about to call does so before its lease could have run out, or not at all; and
                // the answer of a call is awaited for less than a tick.
                let busy = state.processes.iter().any(|process| process.hand.is_some());
                // Without an open or failed attempt, and without meddling, nothing waits for time.
                let waits = |machine: &Machine| {
                    machine.object.operation.as_ref().is_some_and(|entry| entry.outcome != OperationOutcome::Succeeded)
                };
                let matters = state.meddled || state.machines.iter().any(waits);
                state.now = (!busy && matters && state.now < self.ticks).then_some(state.now + 1)?;
            }
        }
        Some(())
    }

    /// One pass of the reconciler: decide on what is cached, and record or intend.
    fn decide(&self, state: &mut State, p: usize, m: usize) -> Option<()> {
        if !self.stale_objects {
            self.apply(state, Step::Watch(p, m))?;
        }
        let cache = &state.processes[p].caches[m];
        let (read, seen) = (cache.object.clone(), cache.item);
        let (mut after, intent) = self.thought(cache, state.now);
        let Some(entry) = intent else {
            return write(state, p, m, &read, after);
        };
        if self.build != Build::Forgetful {
            let (operation, history) = push_record(&to_status(&read), record(&entry));
            after.operation = operation.as_ref().map(translate::entry);
            after.history = history.iter().map(translate::entry).collect();
            let read = if self.build == Build::Overwriting { state.machines[m].object.clone() } else { read };
            write(state, p, m, &read, after)?;
        }
        let (seen, _) = seen?;
        state.processes[p].hand = Some((m, Hand::Intended { entry, seen }));
        Some(())
    }

    /// The real decision. It is a function of its input, so that each input is decided on once.
    fn thought(&self, cache: &Cache, now: Tick) -> Thought {
        let known = (cache.clone(), now);
        if let Some(thought) = self.thoughts.lock().unwrap().get(&known) {
            return thought.clone();
        }
        let decision = decide(&self.spec, cache, self.permissive, now);
        let intent = match &decision.next {
            Next::Act(action, intent) => {
                let entry = entry(intent);
                assert_eq!(**action, guarded(entry.verb), "the rebuilt action is not the decided one");
                Some(entry)
            }
            Next::Again | Next::Wait(..) | Next::Done => None,
        };
        let thought = (decided(&decision, &cache.object), intent);
        self.thoughts.lock().unwrap().insert(known, thought.clone());
        thought
    }

    /// Comparison and call, in the moment that the lease allows. The plan's consent, which is asked for again before
    /// them, is left out: the decision alone must keep within it.
    fn call(&self, state: &mut State, p: usize, fate: Fate) -> Option<()> {
        let (m, Hand::Intended { entry, seen }) = state.processes[p].hand.clone()? else { return None };
        if fate != Fate::Answered {
            state.mischief = state.mischief.checked_sub(1)?;
        }
        let Machine { truth, object } = &mut state.machines[m];
        let read = if self.build == Build::Blind { seen } else { truth.seen() };
        let compared = compare(entry.verb, &read, self.permissive);
        let answer = if compared.is_err() {
            (fate == Fate::Answered).then_some(Answer::Refused)?
        } else if fate == Fate::LostBefore {
            Answer::Lost
        } else {
            let safe = truth.azure != AzureSide::Running && truth.home_on && !truth.half_failed;
            let again = truth.jobs.iter().any(|job| job.key == Some(entry.key()));
            let done = object.operation.iter().chain(&object.history).any(|old| {
                (old.verb, old.token, old.outcome) == (entry.verb, entry.token, OperationOutcome::Succeeded)
            });
            match truth.begin_job(entry.verb, Some(entry.key()), state.now) {
                None => Answer::Refused,
                Some(job) => {
                    state.wrong.unsafe_commit |= entry.verb == Verb::Commit && !safe;
                    state.wrong.attempt_accepted_twice |= again;
                    state.wrong.success_repeated |= done;
                    state.wrong.beyond_the_plan |= state.plan.desired < entry.verb.leads_to();
                    let running = truth.jobs.iter().filter(|job| job.state == JobEnd::Runs).count();
                    state.wrong.two_jobs |= running > 1;
                    if fate == Fate::LostAfter { Answer::Lost } else { Answer::Accepted(job) }
                }
            }
        };
        state.processes[p].hand = Some((m, Hand::Answered { entry, answer }));
        Some(())
    }

    /// Writes the answer, whatever else changed, unless the journal has gone on.
    fn record(&self, state: &mut State, p: usize) -> Option<()> {
        let (m, Hand::Answered { entry, answer }) = state.processes[p].hand.take()? else { return None };
        let failed = |class| Err(Failure::new(Remote::Arm, class, "-"));
        let result = match answer {
            Answer::Accepted(job) => Ok(Some(format!("job-{job}"))),
            Answer::Lost => failed(FailureClass::Lost),
            Answer::Refused => failed(FailureClass::Conflict),
        };
        let concluded = translate::entry(&journal::after_call(&record(&entry), &result, time(state.now)));
        let object = &mut state.machines[m].object;
        let ours = object.operation.as_ref().is_some_and(|open| open.key() == entry.key());
        if ours || self.build == Build::Forgetful {
            object.operation = Some(concluded);
        }
        Some(())
    }
}

/// Writes an object if it is still what was read, as a resourceVersion does.
fn write(state: &mut State, p: usize, m: usize, read: &Object, after: Object) -> Option<()> {
    let machine = &mut state.machines[m];
    if machine.object != *read {
        return None;
    }
    let claim = machine.object.claim;
    let before = std::mem::replace(&mut machine.object, Object { claim, ..after });
    // Two controllers may take turns in showing what each of them saw last.
    let alone = state.processes.len() == 1 && !state.meddled;
    state.wrong.illegal_phase |= alone && !is_legal(before.phase, machine.object.phase);
    let succeeded = machine.object.operation.iter().filter(|entry| entry.outcome == OperationOutcome::Succeeded);
    state.wrong.success_without_effect |= succeeded.clone().any(|entry| !machine.truth.had_effect(entry.verb));
    // A write answers with what was written.
    state.processes[p].caches[m].object = machine.object.clone();
    Some(())
}

fn job_ends(state: &mut State, m: usize, j: usize, end: End) -> Option<()> {
    let (now, truth) = (state.now, &mut state.machines[m].truth);
    match end {
        End::Well => truth.succeed(j, now),
        End::Badly | End::HalfDone => {
            let half = end == End::HalfDone;
            if half && truth.jobs[j].verb != Verb::FailBack {
                return None;
            }
            state.mischief = state.mischief.checked_sub(1)?;
            truth.fail(j, half, now);
        }
    }
    state.wrong.both_copies_on |= truth.both_on() && !state.meddled;
    Some(())
}

/// Somebody acts in the portal or in vCenter.
fn meddle(state: &mut State, m: usize, what: Meddling) -> Option<()> {
    state.mischief = state.mischief.checked_sub(1)?;
    let (now, truth) = (state.now, &mut state.machines[m].truth);
    match what {
        // The portal offers nothing while a job runs.
        Meddling::Start(verb) => {
            truth.running().is_none().then_some(())?;
            truth.begin_job(verb, None, now)?;
        }
        Meddling::StartAzureVm => {
            (truth.azure == AzureSide::Off).then_some(())?;
            truth.azure = AzureSide::Running;
        }
        Meddling::StopHomeVm => {
            (truth.home_on && truth.running().is_none()).then_some(())?;
            truth.home_on = false;
        }
    }
    state.meddled = true;
    Some(())
}
