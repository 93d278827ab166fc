//! Decisions about machines.

use std::collections::BTreeSet;

use failback::{
    api::{CheckResult, DesiredPhase, ReplicatedItemStatus},
    core::{
        action::Verb,
        checks::CHECKS,
        decide::{Next, events, item::ItemDecision},
        failure::FailureClass,
        journal,
        observed::{AzureVm, Fact, JobState, OnPremisesVm, Power, Scenario, Tools},
        stage::Stage,
        waiting::REASONS,
    },
};
use proptest::{prelude::*, strategy::ValueTree as _};

use crate::{
    anything::{Anything, anything},
    support::{at, claim, decide_on, job, run_job, status, story::Story},
};

fn decide(anything: &Anything) -> ItemDecision {
    decide_on(&anything.status, &anything.facts, at(0))
}

/// The verb, when a call is decided.
fn called(decision: &ItemDecision) -> Option<Verb> {
    match &decision.next {
        Next::Act(guarded, _) => Some(guarded.action.verb()),
        Next::Again | Next::Wait(..) | Next::Done => None,
    }
}

fn conditions_are_sound(status: &ReplicatedItemStatus) {
    let kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len(), "a type twice: {kinds:?}");
    assert!(!(kinds.contains(&"Reconciling") && kinds.contains(&"Stalled")), "both: {kinds:?}");
    for condition in &status.conditions {
        let word = condition.reason.chars().all(|c| c.is_ascii_alphanumeric());
        assert!(word && condition.reason.starts_with(|c: char| c.is_ascii_uppercase()), "{condition:?}");
        assert!(!condition.message.is_empty() && condition.message.len() <= 32_768, "{condition:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_decision(input in anything()) {
        prop_assert_eq!(decide(&input), decide(&input));
    }

    #[test]
    fn every_wait_has_a_documented_reason_and_a_sentence(input in anything()) {
        if let Next::Wait(on, recheck) = decide(&input).next {
            prop_assert!(REASONS.iter().any(|row| row.0 == on.reason()), "{on:?}");
            prop_assert!(!on.message().trim().is_empty(), "{on:?}");
            prop_assert!(!recheck.is_zero() && recheck.as_secs() <= 24 * 3600, "{on:?} {recheck:?}");
        }
    }

    #[test]
    fn conditions_are_sound_and_the_status_is_small(input in anything()) {
        let after = decide(&input).status;
        conditions_are_sound(&after);
        prop_assert!(after.history.len() <= 10);
        prop_assert_eq!(&after.claim, &input.status.claim, "the claim has another owner");
        let bytes = serde_json::to_vec(&after).unwrap().len();
        prop_assert!(bytes < 32 * 1024, "{bytes} bytes");
    }

    #[test]
    fn nothing_is_called_beside_something_else(input in anything()) {
        if let Some(verb) = called(&decide(&input)) {
            prop_assert!(!input.status.operation.as_ref().is_some_and(journal::is_open), "{verb} beside an open record");
            let item = input.facts.replication.value().expect("it acts on an item that was not seen");
            prop_assert!(item.scenario.is_none() && item.complete, "{verb} on {item:?}");
            let jobs = input.facts.jobs.value().expect("it acts without knowing the jobs");
            let running = jobs.iter().find(|job| job.in_flight() && job.scenario != Scenario::InitialReplication);
            prop_assert!(running.is_none(), "{verb} beside {running:?}");
        }
    }

    #[test]
    fn nothing_is_called_that_no_claim_leads_to(input in anything()) {
        if let Some(verb) = called(&decide(&input)) {
            let claim = input.status.claim.as_ref().expect("it acts without a claim");
            let wanted = match verb {
                Verb::Cancel => claim.cancel.is_some(),
                Verb::FailBack | Verb::Commit => claim.up_to >= verb.leads_to() && claim.cancel.is_none(),
                Verb::Reprotect | Verb::Protect => claim.up_to >= verb.leads_to(),
            };
            prop_assert!(wanted, "{verb} under {claim:?}");
            prop_assert_eq!(Stage::of(input.facts.replication.value().unwrap()), verb.starts_from());
        }
    }

    #[test]
    fn no_gate_is_passed_while_its_check_is_not(input in anything()) {
        let decision = decide(&input);
        if let Some(verb) = called(&decision) {
            for check in decision.status.checks.iter().filter(|check| check.gates.iter().any(|gate| gate == verb.as_str())) {
                prop_assert!(check.result == CheckResult::Passed || check.waived.is_some(), "{verb} in spite of {check:?}");
                let waivable = CHECKS.iter().any(|known| known.name == check.name && known.waivable);
                prop_assert!(check.waived.is_none() || waivable, "{check:?} cannot be waived");
            }
        }
    }

    /// Not from the checks' own words, but from what was seen.
    #[test]
    fn a_commit_needs_the_azure_vm_off_and_the_home_vm_running(input in anything()) {
        if called(&decide(&input)) == Some(Verb::Commit) {
            let off = match input.facts.azure_vm.value() {
                Some(AzureVm::Absent) => true,
                Some(AzureVm::Present { power, .. }) => power.is_off(),
                None => false,
            };
            let on = matches!(
                input.facts.on_premises.value(),
                Some(OnPremisesVm::Found(vm))
                    if vm.power == Some(Power::On)
                    && matches!(vm.tools, Some(Tools::Running | Tools::ExecutingScripts))
            );
            prop_assert!(off && on, "{:?}", input.facts);
            prop_assert!(!input.facts.replication.value().unwrap().failover_undone());
        }
    }

    #[test]
    fn a_commit_follows_the_plans_own_failback_or_a_persons_word(input in anything()) {
        if called(&decide(&input)) == Some(Verb::Commit) {
            let claim = input.status.claim.as_ref().unwrap();
            let own = input.status.operation.iter().chain(&input.status.history).any(|record| {
                record.verb == "FailBack" && record.plan_uid == claim.plan_uid && !record.foreign
            });
            let word = claim.found.as_ref().is_some_and(|found| found.consent.is_some());
            prop_assert!(own || word, "{:?}", input.status);
        }
    }

    #[test]
    fn a_second_pass_over_an_unchanged_world_writes_nothing(input in anything()) {
        let mut status = input.status.clone();
        for pass in 0.. {
            let decision = decide_on(&status, &input.facts, at(0));
            if called(&decision).is_some() {
                break;
            }
            let settled = decision.status == status && !matches!(decision.next, Next::Again);
            if settled {
                prop_assert!(events::of_item(&status, &decision.status).is_empty());
                break;
            }
            prop_assert!(pass < 4, "still {:?} after {pass} passes; before {:?}", decision.next, status);
            status = decision.status;
        }
    }

    /// A decided step is the same one until the world changes; its record follows those before it.
    #[test]
    fn an_attempt_has_a_key_of_its_own(input in anything()) {
        if let Next::Act(_, intent) = decide(&input).next {
            let before = input.status.operation.iter().chain(&input.status.history);
            prop_assert!(before.clone().all(|old| old.key != intent.key), "{intent:?}");
        }
    }
}

/// What may happen to a call, and after it.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    AnswerLostAndDone,
    AnswerLostAndNothing,
    Refused,
    JobFailed,
}

const FATES: [Fate; 5] =
    [Fate::Done, Fate::AnswerLostAndDone, Fate::AnswerLostAndNothing, Fate::Refused, Fate::JobFailed];

const fn arrival(verb: Verb) -> Stage {
    match verb {
        Verb::Reprotect => Stage::SyncingToVMware,
        Verb::FailBack => Stage::FailedBack,
        Verb::Commit => Stage::HomeCommitted,
        Verb::Protect => Stage::SyncingToAzure,
        Verb::Cancel => Stage::ReadyToFailBack,
    }
}

/// Time passes; what synchronises arrives.
fn drift(story: &mut Story, stage: &mut Stage, minutes: i64) {
    *stage = match *stage {
        Stage::SyncingToVMware => Stage::ReadyToFailBack,
        Stage::SyncingToAzure => Stage::ProtectedToAzure,
        Stage::FailedOver | Stage::ReadyToFailBack | Stage::FailedBack | Stage::HomeCommitted => *stage,
        Stage::ProtectedToAzure | Stage::InTransition | Stage::Unknown => *stage,
    };
    story.later(minutes, *stage);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// While only the controller acts, no change of phase is one that somebody else must have made.
    #[test]
    fn phases_follow_the_table_when_only_the_controller_acts(
        fates in prop::collection::vec(prop::sample::select(FATES.to_vec()), 1..20),
        tokens in any::<bool>(),
    ) {
        let mut stage = Stage::FailedOver;
        let mut story = Story::begin(stage, status(stage, Some(claim(DesiredPhase::Protected))));
        let mut jobs = 0;
        for fate in fates {
            if !story.pass("") {
                if tokens && let Some(claim) = &mut story.status.claim {
                    claim.retry_token.push('x');
                }
                drift(&mut story, &mut stage, 20);
                continue;
            }
            let verb = Verb::parse(&story.status.operation.as_ref().unwrap().verb).unwrap();
            jobs += 1;
            let id = format!("j{jobs}");
            let begun = story.now();
            match fate {
                Fate::Done | Fate::JobFailed => story.answered(Ok(&id)),
                Fate::AnswerLostAndDone | Fate::AnswerLostAndNothing => story.answered(Err(FailureClass::Lost)),
                Fate::Refused => story.answered(Err(FailureClass::Conflict)),
            };
            if matches!(fate, Fate::Done | Fate::JobFailed | Fate::AnswerLostAndDone) {
                let before = story.facts.clone();
                run_job(&mut story.facts, job(&id, verb, JobState::InProgress, begun));
                story.pass("");
                let state = if matches!(fate, Fate::JobFailed) { JobState::Failed } else { JobState::Succeeded };
                story.facts = before;
                story.facts.jobs = Fact::seen(vec![job(&id, verb, state, begun)], begun);
                if !matches!(fate, Fate::JobFailed) {
                    stage = arrival(verb);
                }
            }
            story.later(10, stage);
        }
        let told = story.told();
        prop_assert!(!told.contains("ExternalChangeDetected"), "{told}");
    }
}

/// Otherwise the properties above would hold of nothing.
#[test]
fn every_call_and_most_reasons_come_up() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut calls, mut reasons) = (std::collections::BTreeMap::new(), BTreeSet::new());
    for _ in 0..12_000 {
        let input = anything().new_tree(&mut runner).unwrap().current();
        match decide(&input).next {
            Next::Act(guarded, _) => *calls.entry(guarded.action.verb()).or_insert(0) += 1,
            Next::Wait(on, _) => drop(reasons.insert(on.reason())),
            Next::Again | Next::Done => {}
        }
    }
    for verb in Verb::ALL {
        assert!(calls.get(&verb).copied().unwrap_or(0) >= 10, "{calls:?}");
    }
    // Of the documented reasons, four are given by plans only.
    assert!(reasons.len() >= REASONS.len() - 4, "{reasons:?}");
}
