//! What each step changes.

use failback::{
    api::{DesiredPhase, OperationOutcome},
    core::{
        action::Verb,
        decide::{Next, item::push_record},
        failure::{Failure, FailureClass, Remote},
        journal,
        stage::{Stage, is_legal},
        waiting::REASONS,
    },
};
use stateright::Model;

use crate::{
    steps::{Build, End, Fate, Lag, Meddling, Step, Thought, Word, World},
    translate::{
        self, blank, claims, compare, decide, decided, entry, guarded, permitted, record, time, to_status, unnoticed,
    },
    world::{
        Answer, AzureSide, Brought, Cache, Claimed, Entry, Gate, Hand, JobEnd, Machine, Object, Seen, State, Tick,
        Truth,
    },
};

impl World {
    pub fn apply(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Watch(p, m) => state.processes[p].caches[m].object = state.machines[m].object.clone(),
            Step::Look(p, m) => {
                let seen = state.machines[m].truth.seen();
                let seen = if self.item_lags { Seen { busy: None, ..seen } } else { seen };
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
            Step::Compare(p) => {
                let (m, Hand::Intended { entry, seen }) = state.processes[p].hand.clone()? else { return None };
                let hand = if self.refuses(state, m, &entry, &seen) {
                    Hand::Answered { entry, answer: Answer::Refused }
                } else {
                    Hand::Compared { entry }
                };
                state.processes[p].hand = Some((m, hand));
            }
            Step::Call(p, fate) => self.call(state, p, fate)?,
            Step::Record(p) => self.record(state, p)?,
            Step::Crash(p) => {
                state.mischief = state.mischief.checked_sub(1)?;
                // What starts again knows nothing but what it reads.
                state.processes[p].hand = None;
                state.processes[p].since = state.now;
                for cache in &mut state.processes[p].caches {
                    (cache.item, cache.jobs) = (None, None);
                }
                if self.is_led() {
                    state.list(p);
                }
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
            // Between the last look and the call nothing but Azure itself can keep somebody's job from running beside ours.
            Step::Meddle(m, what) => (!self.late).then(|| meddle(state, m, what)).flatten()?,
            Step::PlanPass(p, reversed) => self.plan(state, p, reversed),
            Step::Lead(p) => {
                state.leader = p;
                state.list(p);
            }
            Step::Say(word) => say(state, word)?,
            Step::Lose(m) => self.forget(state, m, blank())?,
            Step::ComeBack(m) => {
                let before = self.init_states()[0].machines[m].object.clone();
                self.forget(state, m, before)?;
            }
            Step::Raise => {
                let next = DesiredPhase::ALL.into_iter().find(|phase| *phase > state.plan.desired)?;
                state.plan.desired = Some(next).filter(|next| *next <= self.most_desired)?;
            }
            Step::NewToken => {
                let stalled = state.machines.iter().any(|machine| machine.object.stalled);
                state.plan.token = (stalled && state.plan.token < self.tokens).then_some(state.plan.token + 1)?;
                for machine in state.machines.iter_mut().filter(|machine| machine.brought != Brought::ByPlan) {
                    machine.brought = Brought::Told;
                }
            }
            Step::Tick => {
                // A process that is about to call does so before its lease could have run out, or not at all; and
                // the answer of a call is awaited for less than a tick.
                let busy = state.processes.iter().any(|process| match process.hand {
                    None => false,
                    Some((_, Hand::Intended { .. } | Hand::Compared { .. })) => !self.late,
                    Some((_, Hand::Answered { .. })) => true,
                });
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
        if self.fresh {
            self.apply(state, Step::Look(p, m))?;
        }
        let cache = &state.processes[p].caches[m];
        let (read, seen) = (cache.object.clone(), cache.item);
        let (mut after, intent) = self.thought(cache, state.processes[p].since, state.now);
        if self.fresh {
            // It is read anew before the next decision, so that there is nothing to remember.
            let cache = &mut state.processes[p].caches[m];
            (cache.item, cache.jobs) = (None, None);
        }
        let Some(entry) = intent else {
            return write(state, p, m, &read, after);
        };
        if self.build != Build::Forgetful {
            let (operation, history) = push_record(&to_status(&read, Build::AsItIs), record(&entry));
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
    fn thought(&self, cache: &Cache, since: Tick, now: Tick) -> Thought {
        let known = (cache.clone(), since, now);
        if let Some(thought) = self.thoughts.lock().unwrap().get(&known) {
            return thought.clone();
        }
        let decision = decide(self, cache, since, now);
        let intent = match &decision.next {
            Next::Act(action, intent) => {
                let entry = entry(intent);
                assert_eq!(**action, guarded(entry.verb), "the rebuilt action is not the decided one");
                Some(entry)
            }
            Next::Wait(on, _) => {
                assert!(REASONS.iter().any(|row| row.0 == on.reason()) && !on.message().is_empty(), "{on:?}");
                None
            }
            Next::Again | Next::Done => None,
        };
        let thought = (decided(&decision, &cache.object), intent);
        self.thoughts.lock().unwrap().insert(known, thought.clone());
        thought
    }

    /// A process lets the plan decide, and writes the claims, each under the version of the object that it decided on.
    /// What it has written it knows.
    fn plan(&self, state: &mut State, p: usize, reversed: bool) {
        let objects = if self.is_led() {
            state.processes[p].caches.iter().map(|cache| cache.object.clone()).collect()
        } else {
            state.objects()
        };
        for (m, claim) in claims(self, objects.clone(), state, reversed) {
            let boundless = |claim| Claimed { up_to: DesiredPhase::Protected, ..claim };
            let claim = if self.build == Build::Boundless { claim.map(boundless) } else { claim };
            if objects[m] == state.machines[m].object {
                state.machines[m].object.claim = claim;
                if self.is_led() {
                    state.processes[p].caches[m].object.claim = claim;
                }
            }
        }
    }

    /// What is asked before a call: the plan's consent, what item and machines show now, and whether there is news.
    fn refuses(&self, state: &State, m: usize, entry: &Entry, seen: &Seen) -> bool {
        let Machine { truth, object, .. } = &state.machines[m];
        let asks = !matches!(self.build, Build::Trusting | Build::Boundless | Build::Presuming);
        let on_record = object.operation.as_ref().is_some_and(|open| open.key() == entry.key());
        let forgets = self.build == Build::Forgetful;
        let refused = !forgets && !on_record || asks && !permitted(self, state, m, entry.verb);
        let shown = if self.item_lags { Seen { busy: None, ..truth.seen() } } else { truth.seen() };
        let read = if self.build == Build::Blind { *seen } else { shown };
        let runs = !matches!(self.build, Build::Blind | Build::Jobless) && truth.running().is_some();
        let looks = entry.verb == Verb::Commit && !matches!(self.build, Build::Blind | Build::Presuming);
        refused
            || runs
            || compare(entry.verb, &read, self.permissive).is_err()
            || looks && unnoticed(self, object, truth, state.now)
    }

    /// The call. Where everything is compared in the same moment, that comes first; where time may have passed since,
    /// the permit is asked that every call needs to leave.
    fn call(&self, state: &mut State, p: usize, fate: Fate) -> Option<()> {
        let (m, hand) = state.processes[p].hand.clone()?;
        if fate != Fate::Answered {
            state.mischief = state.mischief.checked_sub(1)?;
        }
        let (entry, refused) = match hand {
            Hand::Intended { entry, seen } => {
                let refused = self.refuses(state, m, &entry, &seen);
                (entry, refused)
            }
            Hand::Compared { entry } => {
                let refused = entry.intended != state.now && self.build != Build::Late;
                (entry, refused)
            }
            Hand::Answered { .. } => return None,
        };
        let answer = if refused {
            (fate == Fate::Answered).then_some(Answer::Refused)?
        } else if fate == Fate::LostBefore {
            Answer::Lost
        } else {
            match self.arrives(state, m, &entry) {
                None => Answer::Refused,
                Some(_) if fate == Fate::LostAfter => Answer::Lost,
                Some(job) => Answer::Accepted(job),
            }
        };
        state.processes[p].hand = Some((m, Hand::Answered { entry, answer }));
        Some(())
    }

    /// A call arrives. When Azure accepts it, it is judged.
    fn arrives(&self, state: &mut State, m: usize, entry: &Entry) -> Option<u8> {
        let [unasked, gate, many, order] = self.trespasses(state, m, entry.verb);
        let Machine { truth, object, brought } = &mut state.machines[m];
        let safe = truth.azure != AzureSide::Running && truth.home_on && !truth.half_failed;
        let again = truth.jobs.iter().any(|job| job.key == Some(entry.key()));
        let done =
            object.operation.iter().chain(&object.history).any(|old| {
                (old.verb, old.token, old.outcome) == (entry.verb, entry.token, OperationOutcome::Succeeded)
            });
        let job = truth.begin_job(entry.verb, Some(entry.key()), state.now)?;
        if entry.verb == Verb::FailBack {
            *brought = Brought::ByPlan;
        }
        let running = truth.jobs.iter().filter(|job| job.state == JobEnd::Runs).count();
        let wrong = &mut state.wrong;
        wrong.unasked_commit |= unasked;
        wrong.against_a_gate |= gate;
        wrong.too_many_at_a_time |= many;
        wrong.out_of_order |= order;
        wrong.unsafe_commit |= entry.verb == Verb::Commit && !safe;
        // What was lost is not counted on.
        wrong.attempt_accepted_twice |= again && state.losses == self.losses;
        wrong.success_repeated |= done;
        wrong.beyond_the_plan |= state.plan.desired < entry.verb.leads_to();
        wrong.two_jobs |= running > 1;
        Some(job)
    }

    /// What a call would do that the plan does not allow now: a commit without a word, a step against its gates, one
    /// machine too many, a wave too early. What was lost lets nobody tell who moves.
    fn trespasses(&self, state: &State, m: usize, verb: Verb) -> [bool; 4] {
        let (plan, whole) = (&state.plan, !state.meddled);
        let commit = verb == Verb::Commit;
        let unapproved = self.demands && commit && plan.approval.is_none();
        let closed = match plan.gate {
            Gate::Open => false,
            Gate::Suspended => true,
            Gate::Deleted => !commit || plan.approval.is_none(),
        };
        let moves = |truth: &Truth| truth.jobs.iter().any(|job| job.state == JobEnd::Runs && job.key.is_some());
        let mut others = state.machines.iter().enumerate().filter(|(other, _)| *other != m);
        let many = others.any(|(_, other)| moves(&other.truth));
        let before = &state.machines[..m];
        // A later wave follows once the one before is home; or, in a plan that goes no further, has replicated.
        let wants_home = plan.desired >= DesiredPhase::FailedBack;
        let settled = |truth: &Truth| truth.is_home() || !wants_home && truth.stage == Stage::ReadyToFailBack;
        let early = before.iter().any(|earlier| !settled(&earlier.truth));
        [
            commit && state.machines[m].brought == Brought::Somehow,
            unapproved || closed,
            whole && !self.waves && many,
            whole && self.waves && early,
        ]
    }

    /// The status of an object is lost, or an old one comes back.
    fn forget(&self, state: &mut State, m: usize, object: Object) -> Option<()> {
        state.losses = state.losses.checked_sub(1)?;
        state.meddled = true;
        let Machine { truth, brought, .. } = &state.machines[m];
        let home = truth.stage == Stage::FailedBack;
        let on_its_way = truth.jobs.iter().any(|job| job.state == JobEnd::Runs && job.verb == Verb::FailBack);
        // An old status that has the plan's failback on record vouches for it as the lost one did.
        let own = |entry: &Entry| entry.verb == Verb::FailBack && !entry.foreign;
        let vouches = object.operation.iter().chain(&object.history).any(own);
        let brought = if (home || on_its_way) && !vouches { Brought::Somehow } else { *brought };
        state.machines[m] = Machine { object, brought, truth: truth.clone() };
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
        let open = |open: &Entry| open.key() == entry.key() && open.outcome == OperationOutcome::Intended;
        if object.operation.as_ref().is_some_and(open) || self.build == Build::Forgetful {
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
    state.wrong.both_copies_on |= truth.both_on() && !truth.switched_on;
    Some(())
}

/// What people do to the plan.
fn say(state: &mut State, word: Word) -> Option<()> {
    state.people = state.people.checked_sub(1)?;
    let plan = &mut state.plan;
    let (from, to) = match word {
        Word::Approve => {
            plan.approval.is_none().then_some(())?;
            plan.approvals += 1;
            plan.approval = Some(plan.approvals);
            (Brought::Somehow, Brought::Approved)
        }
        Word::Withdraw => {
            plan.approval.take()?;
            (Brought::Approved, Brought::Somehow)
        }
        Word::Suspend | Word::Resume | Word::Delete => {
            plan.gate = match (word, plan.gate) {
                (Word::Suspend, Gate::Open) => Gate::Suspended,
                (Word::Resume, Gate::Suspended) => Gate::Open,
                (Word::Delete, Gate::Open | Gate::Suspended) => Gate::Deleted,
                _ => return None,
            };
            return Some(());
        }
    };
    for machine in state.machines.iter_mut().filter(|machine| machine.brought == from) {
        machine.brought = to;
    }
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
            // One that begins when a call of ours may have arrived, whose answer nobody has, is taken for that call: it
            // is the step that the plan had just begun.
            let awaited = |entry: &Entry| {
                entry.verb == verb && entry.outcome == OperationOutcome::Intended && now <= entry.intended + 1
            };
            if verb == Verb::FailBack && !state.machines[m].object.operation.as_ref().is_some_and(awaited) {
                state.machines[m].brought = Brought::Somehow;
            }
        }
        Meddling::StartAzureVm => {
            (truth.azure == AzureSide::Off).then_some(())?;
            (truth.azure, truth.switched_on) = (AzureSide::Running, true);
        }
        Meddling::StopHomeVm => {
            (truth.home_on && truth.running().is_none()).then_some(())?;
            truth.home_on = false;
        }
    }
    state.meddled = true;
    Some(())
}
