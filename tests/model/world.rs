//! The state that is explored: what is true in Azure and vCenter, what the API server holds, what each process believes.
//!
//! Everything about a machine sits in a row of its own, so that more machines are more rows.

use failback::{
    api::{DesiredPhase, ItemPhase, OperationOutcome},
    core::{action::Verb, stage::Stage},
};

/// A coarse step of time: longer than Azure's lists lag, and than a process may act after its lease has run out.
pub type Tick = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub machines: Vec<Machine>,
    pub processes: Vec<Process>,
    /// Which of them holds the lease, where that matters.
    pub leader: usize,
    pub plan: Plan,
    pub now: Tick,
    /// How many more things may go wrong.
    pub mischief: u8,
    /// How many more times people may approve, withdraw, suspend, resume or delete.
    pub people: u8,
    /// How many more times a status may be lost, or an old one come back.
    pub losses: u8,
    /// Whether somebody else acted on a machine.
    pub meddled: bool,
    pub wrong: Wrong,
}

/// A machine: the truth, and its object in the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    pub truth: Truth,
    pub object: Object,
    pub brought: Brought,
}

/// How a machine came home, as one knows who saw it all: what a commit of it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Brought {
    /// By the plan, which remembers it; or it did not come home yet.
    ByPlan,
    /// By somebody else; or by the plan, and nothing remembers it. Nobody has said a word since.
    Somehow,
    /// The same, and there is an approval since, which holds.
    Approved,
    /// The same, and there is another retry token since.
    Told,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Truth {
    pub stage: Stage,
    pub jobs: Vec<JobRow>,
    pub azure: AzureSide,
    pub home_on: bool,
    /// A failover failed half-way, and its remains can be committed.
    pub half_failed: bool,
    /// Somebody switched the machine in Azure on.
    pub switched_on: bool,
    /// A bit for each verb that ever took effect.
    pub effects: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AzureSide {
    Running,
    Off,
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobRow {
    pub verb: Verb,
    /// Whose it is: a key of our journal, or somebody's in the portal.
    pub key: Option<Key>,
    pub state: JobEnd,
    pub started: Tick,
    pub ended: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobEnd {
    Runs,
    Succeeded,
    Failed,
}

/// What makes an attempt one and the same: its verb, the retry token, and its number.
pub type Key = (Verb, u8, i32);

/// The status of a ReplicatedItem, as far as decisions depend on it. Its version is its content: a write is refused
/// when the content is no longer what was read, which allows no less than a version number would.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    pub phase: ItemPhase,
    pub claim: Option<Claimed>,
    pub operation: Option<Entry>,
    pub history: Vec<Entry>,
    pub unexplained: bool,
    pub reached: DesiredPhase,
    pub verified: bool,
    pub stalled: bool,
    /// It is stalled because a person's word lacks.
    pub waits_for_word: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claimed {
    pub up_to: DesiredPhase,
    pub token: u8,
    /// The plan holds it until a person says a word.
    pub held: bool,
    pub found: Option<Noted>,
}

/// What the plan noted of a machine that no record explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Noted {
    pub step: Verb,
    pub token: u8,
    /// The approval that stood then, by its number.
    pub approval: Option<u8>,
    pub consent: bool,
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub verb: Verb,
    pub token: u8,
    pub attempt: i32,
    pub outcome: OperationOutcome,
    pub job: Option<u8>,
    pub adopted: bool,
    pub foreign: bool,
    pub intended: Tick,
    pub ended: Option<Tick>,
}

impl Entry {
    pub const fn key(&self) -> Key {
        (self.verb, self.token, self.attempt)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    pub desired: DesiredPhase,
    pub token: u8,
    /// The approval of the commit that holds, by its number.
    pub approval: Option<u8>,
    /// How many there were.
    pub approvals: u8,
    pub gate: Gate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    Open,
    Suspended,
    Deleted,
}

/// A controller. Its caches are as old as it likes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub caches: Vec<Cache>,
    /// When it was started last.
    pub since: Tick,
    /// What it is in the middle of: the machine, and how far it came.
    pub hand: Option<(usize, Hand)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cache {
    pub object: Object,
    /// The item and both machines, with when they were seen.
    pub item: Option<(Seen, Tick)>,
    /// The vault's jobs, with when they were listed.
    pub jobs: Option<(Vec<JobRow>, Tick)>,
}

/// What a reading of the item and of both machines shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    pub stage: Stage,
    pub busy: Option<u8>,
    pub azure: AzureSide,
    pub home_on: bool,
    pub half_failed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hand {
    /// The intent is decided and, unless the variant forgets it, written. `seen` is what it was decided on.
    Intended { entry: Entry, seen: Seen },
    /// Everything was read again and allows the call. Only where a call may leave later than that.
    Compared { entry: Entry },
    /// The call was answered, or was not made.
    Answered { entry: Entry, answer: Answer },
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Accepted(u8),
    Lost,
    Refused,
}

/// What must never be. Each is set at the moment it happens, and stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrong {
    pub two_jobs: bool,
    pub attempt_accepted_twice: bool,
    pub success_repeated: bool,
    pub unsafe_commit: bool,
    pub beyond_the_plan: bool,
    pub both_copies_on: bool,
    pub illegal_phase: bool,
    pub success_without_effect: bool,
    pub unasked_commit: bool,
    pub against_a_gate: bool,
    pub too_many_at_a_time: bool,
    pub out_of_order: bool,
}

impl State {
    /// All objects, as they are.
    pub fn objects(&self) -> Vec<Object> {
        self.machines.iter().map(|machine| machine.object.clone()).collect()
    }

    /// A process lists all objects.
    pub fn list(&mut self, p: usize) {
        for (cache, machine) in self.processes[p].caches.iter_mut().zip(&self.machines) {
            cache.object = machine.object.clone();
        }
    }
}

impl Truth {
    pub fn begin(stage: Stage) -> Self {
        let home = !matches!(stage, Stage::FailedOver | Stage::SyncingToVMware | Stage::ReadyToFailBack);
        let azure = match stage {
            Stage::FailedOver | Stage::SyncingToVMware | Stage::ReadyToFailBack => AzureSide::Running,
            Stage::FailedBack => AzureSide::Off,
            Stage::HomeCommitted | Stage::SyncingToAzure | Stage::ProtectedToAzure => AzureSide::Absent,
            Stage::InTransition | Stage::Unknown => panic!("nothing begins at {stage:?}"),
        };
        Self { stage, jobs: Vec::new(), azure, home_on: home, half_failed: false, switched_on: false, effects: 0 }
    }

    pub fn running(&self) -> Option<usize> {
        self.jobs.iter().position(|job| job.state == JobEnd::Runs)
    }

    pub fn seen(&self) -> Seen {
        let busy = self.running().map(|index| u8::try_from(index).unwrap());
        let Self { stage, azure, home_on, half_failed, .. } = *self;
        Seen { stage, busy, azure, home_on, half_failed }
    }

    pub fn had_effect(&self, verb: Verb) -> bool {
        self.effects & (1 << verb as u8) != 0
    }

    /// Azure begins a job. It is careless: it takes whatever the stage permits, even beside another job, so that
    /// nothing but our own care keeps two from running.
    pub fn begin_job(&mut self, verb: Verb, key: Option<Key>, now: Tick) -> Option<u8> {
        if self.stage != verb.starts_from() || self.jobs.len() >= 8 {
            return None;
        }
        self.jobs.push(JobRow { verb, key, state: JobEnd::Runs, started: now, ended: 0 });
        // The side that is left is switched off first, and the other one on at the end.
        match verb {
            Verb::FailBack => self.azure = AzureSide::Off,
            Verb::Reprotect | Verb::Cancel => self.home_on = false,
            Verb::Commit | Verb::Protect => {}
        }
        u8::try_from(self.jobs.len() - 1).ok()
    }

    /// A job ends well, and its effect shows.
    pub fn succeed(&mut self, job: usize, now: Tick) {
        let verb = self.jobs[job].verb;
        self.jobs[job].state = JobEnd::Succeeded;
        self.jobs[job].ended = now;
        self.effects |= 1 << verb as u8;
        match verb {
            Verb::Reprotect => self.stage = Stage::SyncingToVMware,
            Verb::FailBack => {
                (self.stage, self.home_on) = (Stage::FailedBack, true);
                self.half_failed = false;
            }
            Verb::Commit => (self.stage, self.azure) = (Stage::HomeCommitted, AzureSide::Absent),
            Verb::Cancel => {
                (self.stage, self.azure) = (Stage::ReadyToFailBack, AzureSide::Running);
                self.half_failed = false;
            }
            Verb::Protect => self.stage = Stage::SyncingToAzure,
        }
    }

    /// A job fails, and leaves things as they were, or a failback half done.
    pub fn fail(&mut self, job: usize, half: bool, now: Tick) {
        self.jobs[job].state = JobEnd::Failed;
        self.jobs[job].ended = now;
        match self.jobs[job].verb {
            Verb::FailBack if half => {
                (self.stage, self.home_on) = (Stage::FailedBack, true);
                self.half_failed = true;
            }
            // What was switched off is switched on again.
            Verb::FailBack => self.azure = AzureSide::Running,
            Verb::Cancel => self.home_on = true,
            Verb::Reprotect | Verb::Commit | Verb::Protect => {}
        }
    }

    /// It runs at home, and its copy in Azure does not.
    pub fn is_home(&self) -> bool {
        self.home_on && self.azure != AzureSide::Running && !self.half_failed
    }

    pub fn both_on(&self) -> bool {
        self.azure == AzureSide::Running && self.home_on
    }
}
