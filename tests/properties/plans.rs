//! Decisions about plans.

use std::collections::BTreeSet;

use failback::{
    api::{ApprovalStep, DeletionPolicy, DesiredPhase},
    core::{conditions, decide::plan::PlanDecision, stage::Stage},
};
use proptest::{prelude::*, sample::select};
use serde_json::json;

use crate::{
    anything::any_claim,
    support::{PLAN, plans::Case, status},
};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A plan over some of six machines, any of which may be missing, claimed by anyone, or in need of a person.
fn any_case() -> impl Strategy<Value = Case> {
    let items = prop::collection::vec(prop::option::weighted(0.9, (select(Stage::ALL.to_vec()), any_claim())), 6);
    let wave = || prop::sample::subsequence(NAMES.to_vec(), 1..=4);
    let spec = (select(DesiredPhase::ALL.to_vec()), prop::collection::vec((wave(), 1..4i32), 1..4), any::<[bool; 6]>());
    (items, spec, prop::sample::subsequence(NAMES.to_vec(), 0..=2), prop::option::of(1..3i32)).prop_map(
        |(items, (desired, waves, flags), skip, approvers)| {
            let mut case = Case::new(desired.as_str(), &[]);
            let wave = |(index, (items, most)): (usize, &(Vec<&str>, i32))| {
                json!({ "name": format!("wave-{index}"), "items": items, "maxConcurrent": most })
            };
            // A machine is in one wave.
            let mut seen = BTreeSet::new();
            let once = |(items, most): (Vec<&'static str>, i32)| {
                (items.into_iter().filter(|item| seen.insert(*item)).collect::<Vec<_>>(), most)
            };
            let waves: Vec<_> = waves.into_iter().map(once).filter(|(items, _)| !items.is_empty()).collect();
            let waves: Vec<_> = waves.iter().enumerate().map(wave).collect();
            case.spec.waves = serde_json::from_value(json!(waves)).unwrap();
            case.spec.skip = skip.into_iter().map(str::to_owned).collect();
            for (name, item) in NAMES.iter().zip(items) {
                if let Some((stage, claim)) = item {
                    let mut status = status(stage, claim);
                    if flags[0] && *name == "a" {
                        status.conditions.extend(conditions::merge(
                            &[],
                            conditions::summary(false, false, true, "OperationFailed", "It failed.").split_off(1),
                            Some(1),
                            case.now,
                        ));
                    }
                    case.items.insert((*name).to_owned(), status);
                }
            }
            if let Some(count) = approvers {
                case.spec.approvals = serde_json::from_value(json!([{ "step": "Commit", "count": count }])).unwrap();
            }
            if flags[1] {
                case.approve(ApprovalStep::Commit, "ann");
            }
            case.spec.suspend = flags[2] && flags[3];
            case.deleting = flags[4] && flags[5];
            if flags[3] {
                case.spec.deletion_policy = DeletionPolicy::Abandon;
            }
            case
        },
    )
}

/// What each machine may do after the decision was written.
fn limits(case: &Case) -> Vec<(&str, DesiredPhase)> {
    let ours = |(name, item): (&'static str, &failback::api::ReplicatedItemStatus)| {
        item.claim.as_ref().filter(|claim| claim.plan_uid == PLAN).map(|claim| (name, claim.up_to))
    };
    NAMES.iter().filter_map(|name| case.items.get(*name).map(|item| (*name, item))).filter_map(ours).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_never_lets_a_machine_do_more_than_it_says(mut case in any_case()) {
        case.pass();
        for (name, up_to) in limits(&case) {
            prop_assert!(up_to <= case.spec.desired_phase, "{name}");
            prop_assert!(!case.spec.skip.iter().any(|skipped| skipped == name), "{name} is skipped");
            prop_assert!(case.spec.waves.iter().any(|wave| wave.items.iter().any(|item| item == name)), "{name}");
            let reached = failback::core::schedule::load::phase_reached(&case.items[name]);
            prop_assert!(!case.spec.suspend || up_to <= reached, "{name} of a suspended plan");
            let approved = case.approvals.len() as i32 >= case.spec.approvals.first().map_or(0, |lack| lack.count);
            let of_item = case.items.get(name).map(|item| item.conditions.as_slice()).unwrap_or_default();
            // An approval is for a step that lies ahead; it may end after that.
            let behind = ["Committed", "Protected"].iter().any(|step| conditions::is_true(of_item, step));
            prop_assert!(approved || behind || up_to < DesiredPhase::Committed, "{name} without approval");
            if case.deleting {
                let allowed = behind || !case.approvals.is_empty();
                prop_assert!(up_to < DesiredPhase::Committed || allowed, "{name} of a deleted plan");
            }
        }
    }

    #[test]
    fn a_claim_of_another_plan_is_left_alone(mut case in any_case()) {
        let theirs = |case: &Case| -> Vec<_> {
            let of_other = |item: &failback::api::ReplicatedItemStatus| item.claim.clone().filter(|claim| claim.plan_uid != PLAN);
            case.items.iter().map(|(name, item)| (name.clone(), of_other(item))).filter(|row| row.1.is_some()).collect()
        };
        let before = theirs(&case);
        case.pass();
        prop_assert_eq!(before, theirs(&case));
    }

    #[test]
    fn the_same_input_gives_the_same_decision_and_a_later_pass_changes_nothing(mut case in any_case()) {
        prop_assert_eq!(case.decide(), case.decide());
        for pass in 0.. {
            let before = case.status.clone();
            let PlanDecision { status, claims, .. } = case.pass();
            if status == before && claims.is_empty() {
                break;
            }
            prop_assert!(pass < 5, "after {pass} passes still {claims:?}");
        }
    }

    #[test]
    fn no_more_than_the_wave_allows_are_on_their_way(mut case in any_case()) {
        case.items.values_mut().for_each(|item| item.claim = None);
        case.pass();
        let mut earlier = BTreeSet::new();
        for wave in &case.spec.waves {
            let of_wave = |name: &str| wave.items.iter().any(|item| item == name) && !earlier.contains(name);
            let reached = |name: &str| Stage::of(&crate::support::replication(stage_of(&case, name))).reached();
            let moving = limits(&case)
                .into_iter()
                .filter(|(name, up_to)| of_wave(name) && reached(name).unwrap_or_default() < *up_to)
                .filter(|(name, _)| !conditions::is_true(&case.items[*name].conditions, "Stalled"))
                .count();
            prop_assert!(moving <= usize::try_from(wave.max_concurrent).unwrap(), "{moving} in {wave:?}");
            earlier.extend(wave.items.iter().cloned());
        }
    }

    #[test]
    fn conditions_are_sound(mut case in any_case()) {
        for _ in 0..2 {
            let status = case.pass().status;
            let kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
            prop_assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len());
            prop_assert!(!(kinds.contains(&"Reconciling") && kinds.contains(&"Stalled")), "{kinds:?}");
            let counts = &status.summary;
            prop_assert!(counts.reached + counts.moving + counts.waiting + counts.stalled <= 2 * counts.total);
            prop_assert_eq!(counts.total, status.waves.iter().map(|wave| wave.total).sum::<i32>());
            prop_assert!(status.conditions.iter().all(|condition| !condition.message.is_empty()));
        }
    }
}

/// The stage whose phase the item shows.
fn stage_of(case: &Case, name: &str) -> Stage {
    let phase = case.items[name].phase;
    Stage::ALL.into_iter().find(|stage| stage.phase() == phase).unwrap()
}
