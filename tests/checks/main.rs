//! Every check in a world in which it passes, one in which it fails, and one in which it cannot be told; and the choices
//! that checks look at. What is said is a golden file: read it as a person at a console would.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

mod catalogue;
mod choices;
#[path = "../support/mod.rs"]
mod support;
mod waivers;

use failback::{
    api::{ReplicatedItemSpec, ReplicatedItemStatus},
    core::{
        checks::{self, CheckOutcome},
        facts::{ItemFacts, Machine},
        stage::Stage,
    },
};

use support::{at, claim, classic::classic, facts, spec};

/// A machine's world at a stage.
pub struct Case {
    pub spec: ReplicatedItemSpec,
    pub status: ReplicatedItemStatus,
    pub facts: ItemFacts,
    pub stage: Stage,
}

impl Case {
    /// Healthy, claimed by a plan.
    pub fn at(stage: Stage) -> Self {
        let status = ReplicatedItemStatus {
            identity: support::identity(),
            claim: Some(claim(failback::api::DesiredPhase::Protected)),
            ..ReplicatedItemStatus::default()
        };
        Self { spec: spec(), status, facts: facts(stage, at(0)), stage }
    }

    /// The same in the classic generation.
    pub fn classic(stage: Stage) -> Self {
        Self { facts: classic(stage, at(0)), ..Self::at(stage) }
    }

    pub fn machine(&self) -> Machine<'_> {
        let Self { spec, status, facts, stage } = self;
        Machine { spec, status, facts, stage: *stage, running: None, now: at(0) }
    }

    pub fn outcomes(&self) -> Vec<CheckOutcome> {
        checks::run(&self.machine())
    }

    pub fn outcome(&self, check: &str) -> Option<CheckOutcome> {
        self.outcomes().into_iter().find(|outcome| outcome.check.name == check)
    }
}
