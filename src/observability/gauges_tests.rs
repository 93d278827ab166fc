use std::time::Duration;

use prometheus_client::encoding::text::encode;

use super::*;
use crate::{
    core::{
        decide::connection::{LinkState, drafts},
        failure::{Failure, FailureClass, codes},
    },
    ports::{MasterTargetDisks, Reading},
};

fn shown(standings: &[Standing]) -> String {
    let mut registry = Registry::default();
    let gauges = Gauges::new(&mut registry);
    for standing in standings {
        gauges.set(standing);
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} in\n{text}");
    }
}

#[test]
fn a_gauge_follows_what_is_and_shows_nothing_as_0() {
    let item = |phase, reason: &str| (phase, reason.to_owned());
    let first = Standing { items: vec![item(ItemPhase::FailedOver, "NotClaimed")], ..Standing::default() };
    let second = Standing {
        items: vec![
            item(ItemPhase::Protected, "PhaseReached"),
            item(ItemPhase::Protected, "PhaseReached"),
            item(ItemPhase::FailedBack, "web-01 is on fire"),
        ],
        ..Standing::default()
    };
    let text = shown(&[first, second]);
    has(
        &text,
        &[
            "items{phase=\"Protected\"} 2",
            "items{phase=\"FailedOver\"} 0",
            "waiting{waiting_on=\"PhaseReached\"} 2",
            "waiting{waiting_on=\"Other\"} 1",
            "waiting{waiting_on=\"NotClaimed\"} 0",
            "stalled{kind=\"FailbackPlan\"} 0",
            "both_copies_running 0",
        ],
    );
    assert!(!text.contains("fire"), "labels are a closed set: {text}");
}

#[test]
fn every_part_of_a_standing_is_shown() {
    let text = shown(&[Standing {
        items: Vec::new(),
        checks: [
            (("VCenterConnected".to_owned(), Some(CheckResult::Failed)), 3),
            (("VCenterConnected".to_owned(), None), 1),
            (("Invented".to_owned(), None), 1),
        ]
        .into(),
        stalled: [("ReplicatedItem", 2)].into(),
        connections: [(("vcenter", "CredentialsRejected".to_owned()), 1)].into(),
        master_targets: [("False".to_owned(), 1), ("NotAWord".to_owned(), 1)].into(),
        disks: MasterTargetDisks { attached: 12, planned: 4, fewest_free: Some(44) },
        both_copies: 1,
        unapproved: Duration::from_hours(1),
        uncommitted: Duration::from_hours(25),
        readings: vec![
            Reading { remote: Remote::Arm, age: Duration::from_secs(70), stale: false },
            Reading { remote: Remote::Arm, age: Duration::from_secs(7000), stale: true },
            Reading { remote: Remote::VCenter, age: Duration::from_secs(5), stale: false },
        ],
        budgets: vec![(Remote::Arm, "read", 42.5)],
    }]);
    has(
        &text,
        &[
            "checks{check=\"VCenterConnected\",result=\"Failed\"} 3",
            "checks{check=\"VCenterConnected\",result=\"Waived\"} 1",
            "checks{check=\"VCenterConnected\",result=\"Passed\"} 0",
            "stalled{kind=\"ReplicatedItem\"} 2",
            "connections{api=\"vcenter\",reason=\"CredentialsRejected\"} 1",
            "connections{api=\"arm\",reason=\"CredentialsRejected\"} 0",
            "master_targets{state=\"Unhealthy\"} 1",
            "master_targets{state=\"Unknown\"} 1",
            "master_target_disks{state=\"attached\"} 12",
            "master_target_disks{state=\"planned\"} 4",
            "master_target_disks{state=\"fewest_free\"} 44",
            "both_copies_running 1",
            "approval_pending_seconds 3600.0",
            "uncommitted_seconds 90000.0",
            "inventory_age_seconds{api=\"arm\"} 7000",
            "inventory_age_seconds{api=\"vcenter\"} 5",
            "inventories_stale{api=\"arm\"} 1",
            "inventories_stale{api=\"vcenter\"} 0",
            "budget_tokens{api=\"arm\",class=\"read\"} 42.5",
        ],
    );
    assert!(!text.contains("Invented"), "{text}");
}

/// What the core can say of a connection is among the labels; otherwise an alert on it would never fire.
#[test]
fn the_reasons_of_connections_are_known() {
    let pause = FailureClass::Throttled { retry_after: Duration::ZERO };
    let classes = [
        FailureClass::Transient,
        pause,
        FailureClass::Conflict,
        FailureClass::NotFound,
        FailureClass::Unauthenticated,
        FailureClass::Denied,
        FailureClass::Invalid,
        FailureClass::Lost,
    ];
    let failed = |class, code: &str| LinkState::Down(Failure::new(Remote::Arm, class, "").with_code(code));
    let mut states = vec![LinkState::Connecting, LinkState::Up, LinkState::NoSecret(String::new())];
    states.extend(classes.map(|class| failed(class, "")));
    states.extend(codes::ALL.map(|code| failed(FailureClass::Transient, code)));
    let said: std::collections::BTreeSet<_> = states.iter().flat_map(drafts).map(|draft| draft.reason).collect();
    let unknown: Vec<_> = said.iter().filter(|reason| !CONNECTION_REASONS.contains(reason)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(said.len() + 1, CONNECTION_REASONS.len(), "a reason that nothing says: {said:?}");
}
