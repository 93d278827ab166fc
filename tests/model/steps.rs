//! What can happen next: to the controllers, to Azure, to the plan, and to time.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Mutex,
};

use failback::{
    api::{DesiredPhase, OperationOutcome, ReplicatedItemSpec},
    core::{action::Verb, stage::Stage},
};
use stateright::{Model, Property};

use crate::{
    support::spec,
    translate::{begin_object, claims},
    world::{
        Brought, Cache, Claimed, Entry, Gate, Hand, JobEnd, Machine, Noted, Object, Plan, Process, State, Tick, Truth,
        Wrong,
    },
};

/// How a controller is built: as it is, or with one of its precautions left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    AsItIs,
    /// Calls on what its cache says, without comparing.
    Blind,
    /// Writes nothing ahead of a call.
    Forgetful,
    /// Writes the intent whatever happened to the object since it was read.
    Overwriting,
    /// Takes whatever it finds failed back for the plan's own doing.
    Presuming,
    /// Acts on its claim without asking the plan again.
    Trusting,
    /// Hands out claims that lead to the end, whatever they depend on, and asks nobody again.
    Boundless,
    /// Sends a call however long ago it compared.
    Late,
    /// Hands out claims whether it holds the lease or not.
    Leaderless,
    /// Does not list the jobs once more before a call.
    Jobless,
}

/// What is explored: where it begins, how far it goes, and how much may go wrong.
#[derive(Debug)]
pub struct World {
    pub build: Build,
    pub begin: Vec<Stage>,
    pub processes: usize,
    pub desired: DesiredPhase,
    pub most_desired: DesiredPhase,
    pub mischief: u8,
    pub ticks: Tick,
    pub tokens: u8,
    pub people: u8,
    pub losses: u8,
    /// Whether the plan demands an approval of the commit.
    pub demands: bool,
    /// Whether each machine is a wave of its own, rather than all of them one that moves one at a time.
    pub waves: bool,
    /// Whether each decision is made on what is true at that moment. Older readings are what worlds of one machine are
    /// about.
    pub fresh: bool,
    /// Whether a process may decide on an object that has changed. Its write is then refused, so that this only makes a
    /// difference to a controller that overwrites.
    pub stale_objects: bool,
    /// Whether the item and the list of jobs are read at different times.
    pub torn: bool,
    /// Whether Azure goes on permitting a step while its job runs.
    pub permissive: bool,
    /// Whether time may pass between the intent, the comparison and the call.
    pub late: bool,
    /// Whether the item shows a job only once it has ended, in the reading right before a call too.
    pub item_lags: bool,
    pub spec: ReplicatedItemSpec,
    pub thoughts: Thoughts,
    pub passes: Passes,
    pub consents: Consents,
}

/// The object after a decision, and the intent when a call was decided.
pub type Thought = (Object, Option<Entry>);
pub type Thoughts = Mutex<HashMap<(Cache, Tick, Tick), Thought>>;
/// The claims that a plan changes, by its machines and itself.
pub type Passes = Mutex<HashMap<(Vec<Object>, Plan, bool), Vec<(usize, Option<Claimed>)>>>;
/// What a plan says when it is asked once more.
pub type Consents = Mutex<HashMap<(Option<Noted>, Plan, Verb), bool>>;

impl World {
    pub fn new(build: Build, begin: Stage, processes: usize) -> Self {
        Self {
            build,
            begin: vec![begin],
            processes,
            desired: DesiredPhase::Protected,
            most_desired: DesiredPhase::Protected,
            mischief: 1,
            ticks: 2,
            tokens: 0,
            people: 0,
            losses: 0,
            demands: false,
            waves: false,
            fresh: false,
            stale_objects: false,
            torn: true,
            permissive: false,
            late: false,
            item_lags: false,
            spec: spec(),
            thoughts: Thoughts::default(),
            passes: Passes::default(),
            consents: Consents::default(),
        }
    }

    /// Several machines that begin alike.
    pub fn of_two(build: Build, begin: Stage) -> Self {
        Self { begin: vec![begin; 2], fresh: true, torn: false, ..Self::new(build, begin, 1) }
    }

    /// Two machines beside two processes that see objects as late as they like.
    pub fn of_two_by_two(build: Build, begin: Stage) -> Self {
        Self { processes: 2, stale_objects: true, ..Self::of_two(build, begin) }
    }

    /// Whether plans decide on what a process sees of their machines, rather than on what is so.
    pub fn is_led(&self) -> bool {
        self.stale_objects && self.begin.len() > 1
    }

    /// Whether a machine of the plan is as good as any other: then only one order of them is explored.
    fn alike(&self) -> bool {
        self.fresh && !self.waves && self.begin.windows(2).all(|pair| pair[0] == pair[1])
    }

    pub fn names(&self) -> Vec<String> {
        (0..self.begin.len()).map(|index| format!("item-{index}")).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A process reads: an object through its watch, an item with both machines, the list of jobs.
    Watch(usize, usize),
    Look(usize, usize),
    /// The list may lag: a job that was begun in this tick may be missing from it.
    List(usize, usize, Lag),
    Decide(usize, usize),
    Compare(usize),
    Call(usize, Fate),
    Record(usize),
    Crash(usize),
    JobEnds(usize, usize, End),
    Synchronised(usize),
    Meddle(usize, Meddling),
    /// A process lets the plan decide, over its machines in their order or in the other one.
    PlanPass(usize, bool),
    /// A process takes the lease, and lists all objects.
    Lead(usize),
    Raise,
    NewToken,
    Tick,
    Say(Word),
    /// Nothing but the spec is left of an object; or it is what it was in the beginning.
    Lose(usize),
    ComeBack(usize),
}

/// What people do to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Approve,
    /// Take the approval away, or let it end.
    Withdraw,
    Suspend,
    Resume,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    None,
    Newest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// The request never arrived.
    LostBefore,
    /// It arrived, and its answer did not.
    LostAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Well,
    Badly,
    HalfDone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    Start(Verb),
    StartAzureVm,
    StopHomeVm,
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let machines: Vec<Machine> = self
            .begin
            .iter()
            .map(|stage| {
                let truth = Truth::begin(*stage);
                Machine { object: begin_object(&truth), truth, brought: Brought::ByPlan }
            })
            .collect();
        let caches = machines
            .iter()
            .map(|machine| Cache { object: machine.object.clone(), item: None, jobs: None })
            .collect::<Vec<_>>();
        let processes = (0..self.processes).map(|_| Process { caches: caches.clone(), since: 0, hand: None }).collect();
        let mut state = State {
            machines,
            processes,
            plan: Plan { desired: self.desired, token: 0, approval: None, approvals: 0, gate: Gate::Open },
            leader: 0,
            now: 0,
            mischief: self.mischief,
            people: self.people,
            losses: self.losses,
            meddled: false,
            wrong: Wrong::default(),
        };
        // Where plans decide on what a process sees, the first claims are theirs too.
        if !self.is_led() {
            for (m, claim) in claims(self, state.objects(), &state, false) {
                state.machines[m].object.claim = claim;
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let machines = 0..state.machines.len();
        for (p, process) in state.processes.iter().enumerate() {
            match &process.hand {
                Some((_, Hand::Answered { .. })) => {
                    steps.push(Step::Record(p));
                    steps.push(Step::Crash(p));
                }
                Some((_, Hand::Intended { .. })) if self.late => steps.extend([Step::Compare(p), Step::Crash(p)]),
                Some((_, Hand::Intended { .. } | Hand::Compared { .. })) => {
                    steps.extend([Fate::Answered, Fate::LostBefore, Fate::LostAfter].map(|fate| Step::Call(p, fate)));
                    steps.push(Step::Crash(p));
                }
                None => {
                    for m in machines.clone() {
                        steps.extend(self.stale_objects.then_some(Step::Watch(p, m)));
                        steps.push(Step::Decide(p, m));
                        steps.extend((!self.fresh).then_some(Step::Look(p, m)));
                        if self.torn {
                            steps.extend([Lag::None, Lag::Newest].map(|lag| Step::List(p, m, lag)));
                        }
                    }
                }
            }
        }
        for m in machines {
            steps.extend([Step::Lose(m), Step::ComeBack(m)]);
            let truth = &state.machines[m].truth;
            for (j, _) in truth.jobs.iter().enumerate().filter(|(_, job)| job.state == JobEnd::Runs) {
                steps.extend([End::Well, End::Badly, End::HalfDone].map(|end| Step::JobEnds(m, j, end)));
            }
            steps.push(Step::Synchronised(m));
            steps.extend(Verb::ALL.map(|verb| Step::Meddle(m, Meddling::Start(verb))));
            steps.extend([Meddling::StartAzureVm, Meddling::StopHomeVm].map(|what| Step::Meddle(m, what)));
        }
        let leads = |p: &usize| *p == state.leader || self.build == Build::Leaderless;
        for p in (0..self.processes).filter(leads) {
            steps.push(Step::PlanPass(p, false));
            steps.extend(self.alike().then_some(Step::PlanPass(p, true)));
        }
        steps.extend((0..self.processes).filter(|p| self.is_led() && *p != state.leader).map(Step::Lead));
        steps.extend([Step::Raise, Step::NewToken, Step::Tick]);
        steps.extend([Word::Approve, Word::Withdraw, Word::Suspend, Word::Resume, Word::Delete].map(Step::Say));
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        self.apply(&mut state, step)?;
        if self.alike() {
            sort(&mut state);
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("at most one job runs on a machine", |_, s: &State| !s.wrong.two_jobs),
            Property::always("no attempt is accepted twice", |_, s: &State| !s.wrong.attempt_accepted_twice),
            Property::always("no step that succeeded is repeated", |_, s: &State| !s.wrong.success_repeated),
            Property::always("no unsafe commit", |_, s: &State| !s.wrong.unsafe_commit),
            Property::always("nothing beyond the desired phase", |_, s: &State| !s.wrong.beyond_the_plan),
            Property::always("never both copies on", |_, s: &State| !s.wrong.both_copies_on),
            Property::always("phases follow the table", |_, s: &State| !s.wrong.illegal_phase),
            Property::always("no success without effect", |_, s: &State| !s.wrong.success_without_effect),
            Property::always("no commit of what was found without a word", |_, s: &State| !s.wrong.unasked_commit),
            Property::always("nothing against the plan's gates", |_, s: &State| !s.wrong.against_a_gate),
            Property::always("one machine of a wave at a time", |_, s: &State| !s.wrong.too_many_at_a_time),
            Property::always("waves in their order", |_, s: &State| !s.wrong.out_of_order),
            Property::sometimes("the end is reached", |world: &Self, s: &State| {
                s.plan.desired == world.most_desired
                    && s.machines.iter().all(|m| m.object.reached == world.most_desired)
            }),
            Property::sometimes("a lost call is found again", |_, s: &State| {
                any_entry(s, |entry| entry.adopted && entry.outcome == OperationOutcome::Succeeded)
            }),
            Property::sometimes("a call that never arrived is made again", |_, s: &State| {
                any_entry(s, |entry| entry.attempt == 2 && entry.outcome == OperationOutcome::Succeeded)
            }),
        ];
        if self.tokens > 0 {
            properties.push(Property::sometimes("a person lets a failed step be tried again", |_, s: &State| {
                any_entry(s, |entry| entry.token > 0 && entry.outcome == OperationOutcome::Succeeded)
            }));
        }
        if self.losses > 0 {
            properties.push(Property::sometimes("a person's word lets it go on", |_, s: &State| {
                s.machines.iter().any(|m| {
                    matches!(m.brought, Brought::Approved | Brought::Told) && m.truth.stage == Stage::HomeCommitted
                })
            }));
        }
        properties
    }
}

/// Of machines that are alike, one order stands for all.
fn sort(state: &mut State) {
    let rank = |index: usize| {
        let mut hasher = DefaultHasher::new();
        state.machines[index].hash(&mut hasher);
        for process in &state.processes {
            process.caches[index].hash(&mut hasher);
            process.hand.iter().filter(|(m, _)| *m == index).for_each(|(_, hand)| hand.hash(&mut hasher));
        }
        hasher.finish()
    };
    let mut order: Vec<usize> = (0..state.machines.len()).collect();
    order.sort_by_key(|index| rank(*index));
    state.machines = order.iter().map(|index| state.machines[*index].clone()).collect();
    for process in &mut state.processes {
        process.caches = order.iter().map(|index| process.caches[*index].clone()).collect();
        if let Some((m, _)) = &mut process.hand {
            *m = order.iter().position(|index| index == m).unwrap();
        }
    }
}

fn any_entry(state: &State, test: impl Fn(&Entry) -> bool) -> bool {
    state.machines.iter().any(|machine| machine.object.operation.as_ref().is_some_and(&test))
}
