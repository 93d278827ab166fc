//! A machine's story, told pass by pass: the status is recorded as the reconciler would, and the log is the golden file.

use failback::{
    api::{ItemPhase, ReplicatedItemSpec, ReplicatedItemStatus},
    core::{
        conditions,
        decide::{Next, events, item::push_record},
        facts::ItemFacts,
        failure::{Failure, FailureClass, Remote},
        journal,
        stage::Stage,
    },
};
use jiff::Timestamp;

use super::{at, decide_with, facts, show, spec};

/// A machine, its world, and what was told so far.
pub struct Story {
    pub spec: ReplicatedItemSpec,
    pub status: ReplicatedItemStatus,
    pub facts: ItemFacts,
    pub minute: i64,
    log: Vec<String>,
}

impl Story {
    /// Begins with a machine at a stage, seen before, and its claim.
    pub fn begin(stage: Stage, status: ReplicatedItemStatus) -> Self {
        Self { spec: spec(), status, facts: facts(stage, at(0)), minute: 0, log: Vec::new() }
    }

    pub fn now(&self) -> Timestamp {
        at(self.minute)
    }

    /// Time passes, and everything is read anew: a healthy machine at this stage.
    pub fn later(&mut self, minutes: i64, stage: Stage) -> &mut Self {
        self.minute += minutes;
        let jobs = self.facts.jobs.value().cloned().unwrap_or_default();
        self.facts = facts(stage, self.now());
        self.facts.jobs = failback::core::observed::Fact::seen(jobs, self.now());
        self
    }

    /// Decides until there is nothing more to record, and records. Returns whether a call is to be made.
    pub fn pass(&mut self, what: &str) -> bool {
        self.log.push(format!("{:>4} min: {what}", self.minute));
        for _ in 0..4 {
            let decision = decide_with(&self.spec, &self.status, &self.facts, self.now());
            for event in events::of_item(&self.status, &decision.status) {
                self.log.push(format!("          event {}: {}", event.reason, event.note));
            }
            let phase = decision.status.phase;
            let before = std::mem::replace(&mut self.status, decision.status);
            match decision.next {
                Next::Again => self.log.push(format!("          {phase:?}, looks again")),
                Next::Act(_, intent) => {
                    let (operation, history) = push_record(&self.status, *intent);
                    self.status.operation = operation;
                    self.status.history = history;
                    self.tell(phase, "calls");
                    return true;
                }
                Next::Wait(on, recheck) => {
                    self.tell(phase, &format!("waits {}s: {}: {}", recheck.as_secs(), on.reason(), on.message()));
                    return false;
                }
                Next::Done => {
                    let ready = conditions::find(&self.status.conditions, "Ready").map(|c| c.message.clone());
                    self.tell(phase, &format!("done: {}", ready.unwrap_or_default()));
                    return false;
                }
            }
            assert_ne!(before, self.status, "it looks again and nothing changed");
        }
        panic!("no end of looking again: {}", self.log.join("\n"));
    }

    fn tell(&mut self, phase: ItemPhase, what: &str) {
        let journal = self.status.operation.as_ref().map_or_else(|| "empty".to_owned(), show::record);
        self.log.push(format!("          {phase:?}, journal {journal}"));
        self.log.push(format!("          {what}"));
    }

    /// The call is answered: with a job's id, or with a failure.
    pub fn answered(&mut self, answer: Result<&str, FailureClass>) -> &mut Self {
        let result = answer
            .map(|job| Some(job.to_owned()))
            .map_err(|class| Failure::new(Remote::Arm, class, format!("It was {}.", class.label())));
        let open = self.status.operation.clone().unwrap();
        let concluded = journal::after_call(&open, &result, self.now());
        self.log.push(format!("          answered: {}", show::record(&concluded)));
        self.status.operation = Some(concluded);
        self
    }

    /// The story as text.
    pub fn told(self) -> String {
        self.log.join("\n")
    }
}
