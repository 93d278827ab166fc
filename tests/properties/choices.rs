//! Where machines come home, and to which recovery points.

use failback::{
    api::{DecidedLocation, LocationChoice},
    core::{
        facts::Machine,
        location,
        observed::{Direction, OnPremisesVm, RecoveryPointSeen},
        points::newest_common,
        stage::Stage,
    },
};
use proptest::{prelude::*, sample::select};

use crate::{
    anything::anything,
    support::{at, spec},
};

/// Points at some of a few times, so that members share some.
fn any_points() -> impl Strategy<Value = Vec<RecoveryPointSeen>> {
    let one = (0..8i64, any::<bool>(), any::<bool>());
    prop::collection::vec(one, 0..8).prop_map(|points| {
        points
            .into_iter()
            .enumerate()
            .map(|(n, (time, app_consistent, group))| RecoveryPointSeen {
                id: n.to_string(),
                time: at(-time),
                app_consistent,
                group,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The rules, anew and from what was seen.
    #[test]
    fn a_location_never_contradicts_the_rules(
        input in anything(),
        choice in select(vec![LocationChoice::Auto, LocationChoice::Original, LocationChoice::Alternate]),
    ) {
        let spec = failback::api::ReplicatedItemSpec { location: choice, ..spec() };
        let (status, facts) = (&input.status, &input.facts);
        let machine = Machine { spec: &spec, status, facts, stage: Stage::FailedOver, running: None, now: at(0) };
        if let Ok(location) = location::decide(&machine) {
            let item = facts.replication.value().expect("decided on an item that was not seen");
            let physical = item.direction == Some(Direction::ToAzure) && item.physical == Some(true);
            prop_assert!(!(physical && item.os_name.is_some()), "a physical 2008 R2 comes home");
            match location.decided {
                DecidedLocation::Original => {
                    prop_assert!(!physical && choice != LocationChoice::Alternate);
                    prop_assert!(matches!(facts.on_premises.value(), Some(OnPremisesVm::Found(_))));
                }
                DecidedLocation::Alternate => {
                    prop_assert!(choice != LocationChoice::Original);
                    prop_assert!(physical || facts.on_premises.value() == Some(&OnPremisesVm::NotFound));
                }
            }
        }
    }

    #[test]
    fn the_common_point_is_the_newest_that_all_members_share(
        own in any_points(),
        others in prop::collection::vec(any_points(), 0..3),
    ) {
        let others: Vec<&[RecoveryPointSeen]> = others.iter().map(Vec::as_slice).collect();
        let times = |points: &[RecoveryPointSeen]| -> std::collections::BTreeSet<_> {
            points.iter().filter(|point| point.app_consistent && point.group).map(|point| point.time).collect()
        };
        let shared = others.iter().fold(times(&own), |shared, theirs| &shared & &times(theirs));
        let chosen = newest_common(&own, &others);
        prop_assert_eq!(chosen.map(|point| point.time), shared.last().copied());
        prop_assert!(chosen.is_none_or(|point| point.app_consistent && point.group));
    }
}
