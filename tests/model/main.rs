//! Every order in which things can happen, explored: the real decisions, journal, comparison and plan against a world in
//! which readings are stale, answers are lost, processes die, jobs fail, two controllers run and people use the portal.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

mod acts;
#[path = "../support/long.rs"]
mod long;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod translate;
mod world;

use std::{collections::BTreeSet, time::Instant};

use failback::{api::DesiredPhase, core::stage::Stage};
use stateright::{Checker, HasDiscoveries, Model};

use long::long;
use steps::{Build, World};

const LEGS: [(Stage, DesiredPhase); 4] = [
    (Stage::FailedOver, DesiredPhase::Reprotected),
    (Stage::ReadyToFailBack, DesiredPhase::FailedBack),
    (Stage::FailedBack, DesiredPhase::Committed),
    (Stage::HomeCommitted, DesiredPhase::Protected),
];

const END: &str = "the end is reached";
const FOUND: &str = "a lost call is found again";
const AGAIN: &str = "a call that never arrived is made again";
const RETRIED: &str = "a person lets a failed step be tried again";
const WORD: &str = "a person's word lets it go on";
/// What should be seen. Everything else that is discovered must never be.
const POSSIBLE: [&str; 5] = [END, FOUND, AGAIN, RETRIED, WORD];

/// One step of the journey.
fn leg(build: Build, (begin, to): (Stage, DesiredPhase), processes: usize) -> World {
    World { desired: to, most_desired: to, ..World::new(build, begin, processes) }
}

/// Explores, prints how much there was, and gives what was found.
fn explore(what: &str, world: World, stop: HasDiscoveries) -> BTreeSet<&'static str> {
    let begin = Instant::now();
    let checker = world.checker().threads(2).finish_when(stop).spawn_bfs().join();
    println!(
        "{what}: {} states, {} distinct, depth {}, {:.1?}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        begin.elapsed()
    );
    let found = checker.discoveries();
    for (name, path) in found.iter().filter(|(name, _)| !POSSIBLE.contains(name)) {
        println!("  {name}: {:?}", path.clone().into_actions());
    }
    found.into_keys().collect()
}

/// The controller as it is: nothing that must never be, and all that must be possible.
fn holds(what: &str, world: World, possible: &[&'static str]) {
    assert_eq!(world.build, Build::AsItIs);
    let found = explore(what, world, HasDiscoveries::AnyFailures);
    let wrong: Vec<_> = found.iter().filter(|name| !POSSIBLE.contains(*name)).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}");
    let missing: Vec<_> = possible.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "{what}: never seen: {missing:?}");
}

/// A controller without one of its precautions: the same checker finds what the precaution is for.
fn breaks(what: &str, world: World, property: &'static str) {
    let found = explore(what, world, HasDiscoveries::AnyOf([property].into()));
    assert!(found.contains(property), "{what}: not found in {found:?}");
}

/// The controller as it is, at each of these steps of one machine, in a world that is otherwise as told.
fn at_each(legs: &[(Stage, DesiredPhase)], what: &str, processes: usize, change: impl Fn(World) -> World) {
    for at in legs {
        let world = change(leg(Build::AsItIs, *at, processes));
        holds(&format!("{at:?}, {what}"), world, &[END, FOUND, AGAIN]);
    }
}

#[test]
fn each_step_with_readings_of_different_age() {
    at_each(&LEGS, "a mishap", 1, |world| world);
}

#[test]
fn each_step_with_two_mishaps() {
    at_each(&LEGS, "two mishaps", 1, |world| World { torn: false, mischief: 2, ..world });
}

#[test]
fn the_whole_journey() {
    let world = World { torn: false, ..World::new(Build::AsItIs, Stage::FailedOver, 1) };
    holds("the whole journey, a mishap", world, &[END, FOUND, AGAIN]);
}

#[test]
fn a_plan_that_is_raised_step_by_step() {
    let begin = World::new(Build::AsItIs, Stage::FailedOver, 1);
    // With no mishap that takes time, the agent at home is heard of later.
    let world = World { torn: false, desired: DesiredPhase::Assessed, mischief: 0, ticks: 5, ..begin };
    holds("raised step by step", world, &[END]);
}

#[test]
fn a_failed_failback_and_a_retry_token() {
    let world = World { torn: false, tokens: 1, ..leg(Build::AsItIs, LEGS[1], 1) };
    holds("a retry token", world, &[END, FOUND, AGAIN, RETRIED]);
}

#[test]
fn two_controllers_at_the_first_half() {
    at_each(&LEGS[..2], "two controllers", 2, |world| World { torn: false, ticks: 1, ..world });
}

#[test]
fn two_controllers_at_the_second_half() {
    at_each(&LEGS[2..], "two controllers", 2, |world| World { torn: false, ticks: 1, ..world });
}

#[test]
fn an_azure_that_goes_on_permitting_a_step_while_its_job_runs() {
    at_each(&LEGS, "permissive", 1, |world| World { torn: false, permissive: true, ..world });
}

#[test]
fn each_step_with_readings_of_different_age_and_two_mishaps() {
    if !long() {
        return;
    }
    at_each(&LEGS, "readings of different age, two mishaps", 1, |world| World { mischief: 2, ..world });
}

#[test]
fn two_controllers_with_more_time() {
    if !long() {
        return;
    }
    at_each(&LEGS, "two controllers, more time", 2, |world| World { torn: false, ..world });
}

#[test]
fn the_whole_journey_with_two_mishaps() {
    if !long() {
        return;
    }
    let world = World { torn: false, mischief: 2, ..World::new(Build::AsItIs, Stage::FailedOver, 1) };
    holds("the whole journey, two mishaps", world, &[END, FOUND, AGAIN]);
}

#[test]
fn without_comparing_two_jobs_run_and_an_unsafe_commit_is_made() {
    let world = World { torn: false, ..leg(Build::Blind, LEGS[1], 1) };
    breaks("blind on its cache", world, "at most one job runs on a machine");
    let world = World { torn: false, ..leg(Build::Blind, LEGS[2], 1) };
    breaks("blind on its cache, committing", world, "no unsafe commit");
}

#[test]
fn without_a_written_intent_an_attempt_is_made_twice() {
    // A failback is saved by its job in the list, which no record explains; a reprotect is not.
    let world = World { torn: false, mischief: 2, ..leg(Build::Forgetful, LEGS[0], 1) };
    breaks("forgets its intent", world, "no attempt is accepted twice");
}

#[test]
fn without_a_precondition_on_the_intent_two_controllers_make_the_same_attempt() {
    let world = World { torn: false, stale_objects: true, ..leg(Build::Overwriting, LEGS[1], 2) };
    breaks("writes its intent over another", world, "no attempt is accepted twice");
}

/// One step of two machines, of which one moves at a time.
fn leg_of_two(build: Build, (begin, to): (Stage, DesiredPhase)) -> World {
    World { desired: to, most_desired: to, ..World::of_two(build, begin) }
}

fn leg_of_two_by_two(build: Build, (begin, to): (Stage, DesiredPhase)) -> World {
    World { desired: to, most_desired: to, ..World::of_two_by_two(build, begin) }
}

/// From a machine that came home to its commit, with its status lost, or an old one back, at any time.
fn lossy(build: Build, begin: Stage) -> World {
    let world = leg(build, (begin, DesiredPhase::Committed), 1);
    World { fresh: true, torn: false, losses: 1, people: 1, tokens: 1, mischief: 0, ..world }
}

#[test]
fn two_machines_in_a_wave() {
    for at in LEGS {
        // The steps that cannot be taken back are looked at with a mishap.
        let mischief = if long() || at == LEGS[1] || at == LEGS[2] { 1 } else { 0 };
        let possible: &[_] = if mischief > 0 { &[END, FOUND, AGAIN] } else { &[END] };
        let world = World { mischief, ticks: if long() { 2 } else { 1 }, ..leg_of_two(Build::AsItIs, at) };
        holds(&format!("{at:?}, two machines, {mischief} mishap"), world, possible);
    }
}

#[test]
fn two_machines_in_two_waves() {
    for at in LEGS {
        let world = World { waves: true, mischief: 0, ..leg_of_two(Build::AsItIs, at) };
        holds(&format!("{at:?}, two waves"), world, &[END]);
    }
}

#[test]
fn two_machines_and_two_controllers_that_see_objects_late() {
    let legs = if long() { &LEGS[..] } else { &LEGS[1..2] };
    for at in legs {
        for waves in [false, true] {
            let world = World { waves, mischief: u8::from(long()), ..leg_of_two_by_two(Build::AsItIs, *at) };
            holds(&format!("{at:?}, two machines, two controllers, waves: {waves}"), world, &[END]);
        }
    }
}

#[test]
fn a_call_that_leaves_late() {
    for at in LEGS {
        let mischief = u8::from(long() || at == LEGS[1]);
        let world = World { torn: false, late: true, mischief, ..leg(Build::AsItIs, at, 2) };
        holds(&format!("{at:?}, late calls"), world, &[END, AGAIN]);
    }
}

#[test]
fn an_item_that_shows_its_jobs_late() {
    at_each(&LEGS, "an item that lags", 1, |world| World { torn: false, item_lags: true, ..world });
}

#[test]
fn without_the_jobs_before_a_call_one_of_ours_runs_beside_somebodys() {
    let world = World { torn: false, item_lags: true, ..leg(Build::Jobless, LEGS[1], 1) };
    breaks("does not list the jobs again", world, "at most one job runs on a machine");
}

#[test]
fn without_a_limit_between_intent_and_call_two_jobs_run() {
    let world = World { torn: false, late: true, mischief: 0, ..leg(Build::Late, LEGS[1], 2) };
    breaks("sends late", world, "at most one job runs on a machine");
}

#[test]
fn without_a_lease_on_its_claims_two_machines_move_at_a_time() {
    let world = World { mischief: 0, ..leg_of_two_by_two(Build::Leaderless, LEGS[1]) };
    breaks("hands out claims without the lease", world, "one machine of a wave at a time");
}

#[test]
fn a_plan_of_two_machines_that_people_change() {
    let people = if long() { 3 } else { 2 };
    let world = World { people, demands: true, mischief: 0, ..leg_of_two(Build::AsItIs, LEGS[2]) };
    holds("two machines, approvals, suspension, deletion", world, &[END]);
    let begin = leg_of_two(Build::AsItIs, LEGS[1]);
    let raised =
        World { desired: DesiredPhase::Reprotected, most_desired: DesiredPhase::Committed, mischief: 0, ..begin };
    holds("two machines, raised step by step", World { people: 1, ..raised }, &[END]);
}

#[test]
fn a_status_that_is_lost_at_any_time() {
    for begin in [Stage::ReadyToFailBack, Stage::FailedBack] {
        holds(&format!("{begin:?}, a status lost"), lossy(Build::AsItIs, begin), &[END, WORD]);
    }
    let demanding = World { demands: true, people: 3, ..lossy(Build::AsItIs, Stage::FailedBack) };
    holds("a status lost, approvals demanded", demanding, &[END, WORD]);
}

#[test]
fn a_status_that_is_lost_beside_a_mishap() {
    let begins: &[Stage] = if long() { &[Stage::ReadyToFailBack, Stage::FailedBack] } else { &[Stage::FailedBack] };
    for begin in begins {
        let world = World { mischief: 1, ticks: if long() { 2 } else { 1 }, ..lossy(Build::AsItIs, *begin) };
        holds(&format!("{begin:?}, a status lost, a mishap"), world, &[END, WORD]);
    }
}

#[test]
fn a_status_that_is_lost_of_one_of_two_machines() {
    let people = if long() { 1 } else { 0 };
    let world = World { begin: vec![Stage::FailedBack; 2], people, ..lossy(Build::AsItIs, Stage::FailedBack) };
    holds("two machines, a status lost", world, &[END, WORD]);
}

#[test]
fn without_remembering_who_failed_it_back_a_commit_is_made_that_nobody_asked_for() {
    let property = "no commit of what was found without a word";
    breaks("takes what it finds for its own", lossy(Build::Presuming, Stage::FailedBack), property);
    let world = World { begin: vec![Stage::FailedBack; 2], ..lossy(Build::Presuming, Stage::FailedBack) };
    breaks("the same, of two machines", world, property);
}

#[test]
fn without_asking_the_plan_again_a_step_is_made_against_its_gates() {
    let world = World { people: 2, demands: true, mischief: 0, ..leg(Build::Trusting, LEGS[2], 1) };
    breaks("trusts its claim", World { fresh: true, torn: false, ..world }, "nothing against the plan's gates");
}

#[test]
fn without_bounds_to_its_claims_a_plan_goes_beyond_what_is_wanted() {
    let world = World { mischief: 0, ..leg_of_two(Build::Boundless, LEGS[1]) };
    breaks("claims without bounds", world, "nothing beyond the desired phase");
}

#[test]
fn without_comparing_both_copies_may_run() {
    let world = World { torn: false, mischief: 2, ..leg(Build::Blind, LEGS[1], 1) };
    breaks("blind on its cache, and one of two failbacks fails", world, "never both copies on");
}
