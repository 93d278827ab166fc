//! What machines share through a target: how many disks, who comes first, and who is told of a change.

use std::collections::BTreeSet;

use failback::{
    api::{DesiredPhase, ItemPhase, OperationOutcome, ReplicatedItemStatus, TargetStatus},
    core::{
        action::Verb,
        conditions::{self, Draft},
        roster::{Entry, ItemKey, Load, Roster, Share},
        schedule::{self, load::Limits},
    },
};

use crate::support::{ITEM, PHASES, at, claim, identity, record, spec};

fn key(name: &str) -> ItemKey {
    ("ns".to_owned(), name.to_owned())
}

fn status(phase: ItemPhase, disks: i32) -> ReplicatedItemStatus {
    ReplicatedItemStatus {
        phase,
        disks: Some(disks),
        target: Some(TargetStatus { appliance_id: "MT".to_owned(), ..TargetStatus::default() }),
        ..ReplicatedItemStatus::default()
    }
}

fn claimed(disks: i32) -> ReplicatedItemStatus {
    ReplicatedItemStatus { claim: Some(claim(DesiredPhase::Reprotected)), ..status(ItemPhase::FailedOver, disks) }
}

/// Disks that come before an object's.
fn before(roster: &Roster, target: &str, name: &str) -> u32 {
    let taken = roster.taken(target, &key(name), 60);
    taken.attached + taken.planned
}

fn entry(status: &ReplicatedItemStatus) -> Option<Entry> {
    Some(Entry::of("ns", None, &spec(), status))
}

#[test]
fn disks_count_from_the_reprotect_until_the_commit() {
    let share = |status: &ReplicatedItemStatus| Entry::of("ns", None, &spec(), status).share;
    let attached: Vec<_> = PHASES.into_iter().filter(|phase| share(&status(*phase, 1)) == Share::Attached).collect();
    use ItemPhase::{Cancelling, Committing, FailedBack, FailingBack, Reprotected, Reprotecting};
    assert_eq!(attached, [Reprotecting, Reprotected, FailingBack, FailedBack, Cancelling, Committing]);
    // No plan, however far it goes, lets what is home start again.
    let home = ReplicatedItemStatus { claim: Some(claim(DesiredPhase::Protected)), ..status(ItemPhase::Committed, 1) };
    assert_eq!(share(&home), Share::None);
}

#[test]
fn a_claim_counts_once_it_lets_start_and_a_call_at_once() {
    let share = |status: &ReplicatedItemStatus| Entry::of("ns", None, &spec(), status).share;
    assert_eq!(share(&status(ItemPhase::FailedOver, 1)), Share::None);
    let held = ReplicatedItemStatus { claim: Some(claim(DesiredPhase::Assessed)), ..status(ItemPhase::FailedOver, 1) };
    assert_eq!(share(&held), Share::None);
    assert_eq!(share(&claimed(1)), Share::Planned);
    let mut stalled = claimed(1);
    stalled.conditions = conditions::merge(&[], vec![Draft::new("Stalled", true, "R", "m")], None, at(0));
    assert_eq!(share(&stalled), Share::None);
    for (outcome, expected) in [
        (OperationOutcome::Intended, Share::Attached),
        (OperationOutcome::Submitted, Share::Attached),
        (OperationOutcome::Failed, Share::Planned),
    ] {
        let called = ReplicatedItemStatus { operation: Some(record(Verb::Reprotect, outcome, at(0))), ..claimed(1) };
        assert_eq!(share(&called), expected, "{outcome:?}");
    }
    assert_eq!(Entry::of("ns", None, &spec(), &ReplicatedItemStatus::default()).disks, 1);
}

#[test]
fn of_two_that_may_start_the_second_sees_the_first() {
    let mut roster = Roster::default();
    roster.apply(&key("a"), entry(&claimed(40)));
    roster.apply(&key("b"), entry(&claimed(30)));
    assert_eq!(before(&roster, "mt", "a"), 0);
    assert_eq!(before(&roster, "mt", "b"), 40);
    assert_eq!(roster.load("mt"), Load { attached: 0, planned: 70, machines: 0 });

    roster.apply(&key("a"), entry(&status(ItemPhase::Reprotected, 40)));
    assert_eq!(before(&roster, "mt", "a"), 0);
    assert_eq!(before(&roster, "MT", "b"), 40);
    assert_eq!(roster.load("Mt"), Load { attached: 40, planned: 30, machines: 1 });
    assert_eq!(roster.load("other"), Load::default());

    roster.apply(&key("a"), None);
    assert_eq!(before(&roster, "mt", "b"), 0);
}

#[test]
fn one_that_never_fits_keeps_nobody_waiting() {
    let mut roster = Roster::default();
    roster.apply(&key("a"), entry(&claimed(61)));
    assert_eq!(before(&roster, "mt", "b"), 0);
}

/// Whatever was claimed and started in whatever order, the next in line can start when it fits, and the limit holds.
#[test]
fn a_crowd_goes_through_one_target_without_waiting_in_a_circle() {
    let mut roster = Roster::default();
    let names: Vec<String> = (0..5000).map(|n| format!("m{n:04}")).collect();
    for name in &names {
        roster.apply(&key(name), entry(&claimed(7)));
    }
    let mut waiting: Vec<&String> = names.iter().collect();
    let mut rounds = 0;
    while !waiting.is_empty() {
        let start: Vec<&String> =
            waiting.iter().copied().filter(|name| before(&roster, "mt", name) + 7 <= 60).collect();
        assert_eq!(start.len(), waiting.len().min(8), "round {rounds}");
        for name in &start {
            roster.apply(&key(name), entry(&status(ItemPhase::Reprotecting, 7)));
        }
        assert!(roster.load("mt").attached <= 60);
        for name in &start {
            roster.apply(&key(name), entry(&status(ItemPhase::Committed, 7)));
        }
        waiting.retain(|name| !start.contains(name));
        rounds += 1;
        if rounds == 20 {
            break;
        }
    }
    assert_eq!(waiting.len(), 5000 - 20 * 8);
}

#[test]
fn those_who_share_something_are_told_and_nobody_else() {
    let mut roster = Roster::default();
    roster.apply(&key("a"), entry(&claimed(2)));
    let touched = roster.apply(&key("b"), entry(&claimed(2)));
    assert_eq!(touched.targets, BTreeSet::from(["mt".to_owned()]));
    assert_eq!(touched.items, BTreeSet::from([key("a")]));
    assert_eq!(roster.apply(&key("b"), entry(&claimed(2))), Default::default());

    // Progress that changes no share touches nobody.
    roster.apply(&key("c"), entry(&status(ItemPhase::Reprotecting, 1)));
    assert_eq!(roster.apply(&key("c"), entry(&status(ItemPhase::Reprotected, 1))), Default::default());

    let group = |status: ReplicatedItemStatus| ReplicatedItemStatus { group: Some("g".to_owned()), ..status };
    let unclaimed = || ReplicatedItemStatus { target: None, ..group(status(ItemPhase::FailedOver, 1)) };
    roster.apply(&key("x"), entry(&unclaimed()));
    let touched = roster.apply(&key("y"), entry(&unclaimed()));
    assert_eq!((touched.targets.len(), touched.items), (0, BTreeSet::from([key("x")])));
}

#[test]
fn a_target_that_says_less_is_full_earlier() {
    let targets = [("MT", 20, 0), ("MT", 12, 2), ("other", 60, 0)];
    let limits = Limits::declared(targets.map(|(id, disks, others)| (id.to_owned(), disks, others)));
    assert_eq!((limits.disks("MT"), limits.disks("other"), limits.disks("undeclared")), (12, 60, 60));
    let mut load = schedule::load::Load::of(limits, &[], &BTreeSet::new());
    assert_eq!(load.take_disks(&[("MT", 8)].into()), Ok(()));
    let full = load.take_disks(&[("MT", 3)].into()).unwrap_err();
    assert_eq!((full.of.as_str(), full.limit, full.asked), ("MT", 12, 3));
}

/// Of several objects for one machine one goes first, whoever asks; one that only observes stands in nobody's way.
#[test]
fn of_several_objects_for_one_item_one_goes_first() {
    let mut roster = Roster::default();
    let (made, later) = (Some(at(0)), Some(at(1)));
    let of = |made, status: &ReplicatedItemStatus| Some(Entry::of("ns", made, &spec(), status));
    let first = |roster: &Roster, name: &str| roster.goes_before(ITEM, &key(name)).map(|key| key.1.clone());
    let seen = ReplicatedItemStatus { identity: identity(), ..status(ItemPhase::FailedOver, 1) };
    let claimed = ReplicatedItemStatus { identity: identity(), ..claimed(1) };

    roster.apply(&key("a"), of(made, &seen));
    roster.apply(&key("b"), of(later, &claimed));
    assert_eq!((first(&roster, "a").as_deref(), first(&roster, "b")), (Some("b"), None), "a only observes");

    let touched = roster.apply(&key("a"), of(made, &claimed));
    assert!(touched.items.contains(&key("b")), "it has to look again");
    assert_eq!((first(&roster, "a"), first(&roster, "b").as_deref()), (None, Some("a")), "the older one");

    let called = ReplicatedItemStatus {
        operation: Some(record(Verb::Reprotect, OperationOutcome::Intended, at(2))),
        ..claimed.clone()
    };
    roster.apply(&key("b"), of(later, &called));
    assert_eq!((first(&roster, "a").as_deref(), first(&roster, "b")), (Some("b"), None), "the one that calls");

    roster.apply(&key("b"), None);
    assert_eq!(first(&roster, "a"), None);
}
