//! Every stage under every claim, and every stage under every state of the journal.

use std::fmt::Write as _;

use failback::{
    api::{Claim, DesiredPhase, OperationOutcome, OperationRecord, ReplicatedItemStatus},
    core::{
        action::Verb,
        decide::Next,
        facts::ItemFacts,
        journal,
        observed::{AzurePower, AzureVm, Fact, Health, JobState, Tools},
        stage::Stage,
    },
};

use crate::support::{
    AZURE_VM, at, change_home, change_item, claim, decide_on, facts, held, job, list_job, record, run_job, show, status,
};

/// A healthy world; one in which whatever gates the next step fails; one in which little is known.
type World = (&'static str, fn(Stage) -> ItemFacts);

const WORLDS: [World; 3] = [("healthy", healthy), ("failing", failing), ("unknown", unknown)];

fn healthy(stage: Stage) -> ItemFacts {
    facts(stage, at(0))
}

fn failing(stage: Stage) -> ItemFacts {
    let mut facts = healthy(stage);
    change_item(&mut facts, |item| {
        item.health = Health::Critical;
        item.agent_registered = item.agent_registered.map(|_| false);
        item.last_failover = Some(at(-5));
        item.agent_heartbeat = Some(at(-900));
    });
    change_home(&mut facts, |vm| vm.tools = Some(Tools::NotRunning));
    let on = |power| AzureVm::Present { id: AZURE_VM.to_owned(), power, disks: None };
    // Off where it should run, running where it should be off or gone.
    let power = if stage == Stage::FailedOver { AzurePower::Deallocated } else { AzurePower::Running };
    facts.azure_vm = Fact::seen(on(power), at(0));
    facts
}

fn unknown(stage: Stage) -> ItemFacts {
    let why = "could not be read";
    ItemFacts {
        azure_vm: Fact::unknown(why),
        vcenter: Fact::unknown(why),
        on_premises: Fact::unknown(why),
        ..healthy(stage)
    }
}

fn claims() -> Vec<(String, Option<Claim>)> {
    let mut claims = vec![("no claim".to_owned(), None)];
    claims.extend(DesiredPhase::ALL.map(|phase| (format!("up to {}", phase.as_str()), Some(claim(phase)))));
    claims.push(("held by Suspended".to_owned(), Some(held("Suspended"))));
    claims
}

#[test]
fn every_stage_under_every_claim() {
    for (world, facts_of) in WORLDS {
        let mut table = String::new();
        for (name, claim) in claims() {
            writeln!(table, "\n# {name}").unwrap();
            for stage in Stage::ALL {
                let before = status(stage, claim.clone());
                let decision = decide_on(&before, &facts_of(stage), at(0));
                writeln!(table, "{:<17}{}", format!("{stage:?}:"), show::cell(&before, &decision)).unwrap();
            }
        }
        insta::assert_snapshot!(format!("claims_{world}"), table);
    }
}

/// A state of the journal, with what the vault shows of the operation.
type Journal = (&'static str, fn(Verb, &mut ItemFacts) -> OperationRecord);

const JOURNALS: [Journal; 15] = [
    ("intended just now", |verb, _| record(verb, OperationOutcome::Intended, at(0))),
    ("intended, 5 min ago, nothing shows", |verb, _| record(verb, OperationOutcome::Intended, at(-5))),
    ("intended, 3 min ago, the jobs are unknown", |verb, facts| {
        facts.jobs = Fact::unknown("not read");
        record(verb, OperationOutcome::Intended, at(-3))
    }),
    ("intended, 31 min ago, the jobs are unknown", |verb, facts| {
        facts.jobs = Fact::unknown("not read");
        record(verb, OperationOutcome::Intended, at(-31))
    }),
    ("intended, a job runs", |verb, facts| {
        run_job(facts, job("j1", verb, JobState::InProgress, at(-1)));
        record(verb, OperationOutcome::Intended, at(-2))
    }),
    ("submitted, the job runs", |verb, facts| {
        run_job(facts, job("j1", verb, JobState::InProgress, at(-9)));
        submitted(verb, -10)
    }),
    ("submitted, the job is not listed", |verb, _| submitted(verb, -10)),
    ("submitted, the job is not listed for 40 min", |verb, _| submitted(verb, -40)),
    ("submitted, the job succeeded 7 min ago", |verb, facts| {
        list_job(facts, job("j1", verb, JobState::Succeeded, at(-10)));
        submitted(verb, -10)
    }),
    ("submitted, the job succeeded 37 min ago", |verb, facts| {
        list_job(facts, job("j1", verb, JobState::Succeeded, at(-40)));
        submitted(verb, -40)
    }),
    ("submitted, the job failed", |verb, facts| {
        list_job(facts, job("j1", verb, JobState::Failed, at(-10)));
        submitted(verb, -10)
    }),
    ("succeeded an hour ago", |verb, _| record(verb, OperationOutcome::Succeeded, at(-60))),
    ("its job failed an hour ago", |verb, _| {
        let failed = record(verb, OperationOutcome::Failed, at(-60));
        OperationRecord { job_id: Some("j1".to_owned()), ..failed }
    }),
    ("refused for good an hour ago", |verb, _| record(verb, OperationOutcome::Failed, at(-60))),
    ("not made an hour ago", |verb, _| record(verb, OperationOutcome::NotMade, at(-60))),
];

fn submitted(verb: Verb, minute: i64) -> OperationRecord {
    let intended = record(verb, OperationOutcome::Submitted, at(minute));
    OperationRecord { job_id: Some("j1".to_owned()), ..intended }
}

/// The phase that was shown while the record was open, else the resting point's.
fn shown_with(record: &OperationRecord, verb: Verb, stage: Stage) -> ReplicatedItemStatus {
    let before = status(stage, Some(claim(DesiredPhase::Protected)));
    let open = journal::is_open(record);
    let phase = if open { verb.running_phase() } else { before.phase };
    ReplicatedItemStatus { phase, operation: Some(record.clone()), ..before }
}

#[test]
fn every_stage_under_every_state_of_the_journal() {
    for verb in [Verb::Reprotect, Verb::FailBack, Verb::Commit, Verb::Protect] {
        let mut table = String::new();
        for (name, prepare) in JOURNALS {
            writeln!(table, "\n# {name}").unwrap();
            for stage in Stage::ALL {
                let mut facts = healthy(stage);
                let before = shown_with(&prepare(verb, &mut facts), verb, stage);
                let mut decision = decide_on(&before, &facts, at(0));
                // What is noted in an open record changes nothing yet: the next pass tells what comes of it.
                while decision.next == Next::Again && decision.status.operation.as_ref().is_some_and(journal::is_open) {
                    decision = decide_on(&decision.status, &facts, at(0));
                }
                writeln!(table, "{:<17}{}", format!("{stage:?}:"), show::cell(&before, &decision)).unwrap();
            }
        }
        insta::assert_snapshot!(format!("journal_{verb}"), table);
    }
}
