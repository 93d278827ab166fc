//! Whatever the plans, durations and failures: limits hold, waves wait, nothing starves.

use std::collections::BTreeMap;

use failback::{
    api::{DesiredPhase, FailbackPlanSpec, OnItemFailure},
    core::{
        conditions,
        schedule::{load::Limits, order::depends_on},
    },
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    support::plans::plan_spec,
    world::{Thing, World},
};

/// A few plans over machines of their own, that share targets, hosts and a vault.
fn any_world(failing: bool) -> impl Strategy<Value = World> {
    let machine = (1..4i32, 0..2usize, 0..2usize, prop::array::uniform4(1..9i64), 0..30i64);
    let fails = if failing { prop::option::weighted(0.15, 0..4usize).boxed() } else { Just(None).boxed() };
    // Checks that forbid a step for a while; among failures also some that do so for ever.
    let minute =
        if failing { prop::option::weighted(0.7, 0..60i64).boxed() } else { (0..60i64).prop_map(Some).boxed() };
    let forbids = prop::option::weighted(0.15, (0..4usize, minute));
    let wave = (prop::collection::vec((machine, fails, forbids), 1..5), 1..4i32, 0..3usize);
    let plan = (prop::collection::vec(wave, 1..4), prop::option::of(1..4i32), 0..3usize, prop::option::of(0..3i32));
    (prop::collection::vec(plan, 1..4), 1..4u32, 1..3u32).prop_map(|(plans, calls, starts)| {
        let limits =
            Limits { calls_per_vault: calls, starts_per_host: starts, disks_per_target: 13, ..Limits::default() };
        let mut things = BTreeMap::new();
        let mut specs = Vec::new();
        for (number, (waves, most, policy, budget)) in plans.into_iter().enumerate() {
            let mut named = Vec::new();
            for (index, (machines, at_a_time, depends)) in waves.into_iter().enumerate() {
                let name = format!("w{index}");
                let mut items = Vec::new();
                for (place, ((disks, target, host, job, sync), fails, forbids)) in machines.into_iter().enumerate() {
                    let item = format!("p{number}-{name}-{place}");
                    let thing = Thing {
                        disks,
                        target: format!("mt-{target}"),
                        host: format!("esx-{host}"),
                        fails,
                        forbids,
                        ..Thing::new(number, &name, job, sync)
                    };
                    things.insert(item.clone(), thing);
                    items.push(item);
                }
                let mut wave = json!({ "name": name, "items": items, "maxConcurrent": at_a_time });
                match depends {
                    0 => {}
                    1 => wave["dependsOn"] = json!([]),
                    _ => wave["dependsOn"] = json!((0..index).map(|i| format!("w{i}")).collect::<Vec<_>>()),
                }
                named.push(wave);
            }
            let policy = ["Stop", "Continue", "Quarantine"][policy];
            let mut spec = json!({
                "desiredPhase": "Protected", "waves": named, "onItemFailure": policy, "commit": { "policy": "Manual" },
            });
            if let Some(most) = most {
                spec["maxConcurrent"] = json!(most);
            }
            if let Some(budget) = budget {
                spec["failureBudget"] = json!(budget);
            }
            specs.push(plan_spec(spec));
        }
        World::new(limits, specs, things)
    })
}

fn sum<'a>(rows: impl Iterator<Item = (&'a str, u32)>) -> BTreeMap<&'a str, u32> {
    let mut sums = BTreeMap::new();
    rows.for_each(|(key, value)| *sums.entry(key).or_default() += value);
    sums
}

fn limits_hold(world: &World) {
    let things = || world.things.values();
    let calls = things().filter(|thing| thing.calling(world.now)).count();
    assert!(calls <= world.limits.calls_per_vault as usize, "{calls} calls");
    let starting = things().filter(|thing| thing.running.is_some_and(|(step, ..)| step == 1));
    for (host, starts) in sum(starting.map(|thing| (thing.host.as_str(), 1))) {
        assert!(starts <= world.limits.starts_per_host, "{starts} start at {host}");
    }
    let attached = things().filter(|thing| thing.attached());
    for (target, disks) in sum(attached.map(|thing| (thing.target.as_str(), thing.disks as u32))) {
        assert!(disks <= world.limits.disks_per_target, "{disks} disks at {target}");
    }
    for (index, (spec, _)) in world.plans.iter().enumerate() {
        let moving = |of: &dyn Fn(&Thing) -> bool| {
            things().filter(|thing| thing.plan == index && thing.running.is_some() && of(thing)).count()
        };
        let most = spec.max_concurrent.unwrap_or(i32::MAX) as usize;
        assert!(moving(&|_| true) <= most, "plan {index}");
        for wave in &spec.waves {
            assert!(moving(&|thing| thing.wave == wave.name) <= wave.max_concurrent as usize, "{}", wave.name);
        }
    }
}

fn waves_wait(world: &World) {
    for (index, (spec, _)) in world.plans.iter().enumerate() {
        let of = |wave: &str| {
            let aside = spec.on_item_failure == OnItemFailure::Quarantine;
            let wave = wave.to_owned();
            world
                .things
                .values()
                .filter(move |thing| thing.plan == index && thing.wave == wave && !(aside && thing.failed))
        };
        for (place, wave) in spec.waves.iter().enumerate() {
            let begins = of(&wave.name).filter(|thing| thing.running.is_some()).count() > 0;
            for before in depends_on(&spec.waves, place) {
                let verified = of(before).all(|thing| thing.reached >= DesiredPhase::FailedBack);
                assert!(!begins || verified, "plan {index}: {} runs before {before} is verified", wave.name);
            }
            let fails_back = of(&wave.name).any(|thing| thing.running.is_some_and(|(step, ..)| step == 1));
            let ready = of(&wave.name).all(|thing| thing.reached >= DesiredPhase::Reprotected);
            assert!(!fails_back || ready, "plan {index}: {} is failed back without all recovery points", wave.name);
        }
    }
}

/// What its checks forbid a machine keeps no place of the others'.
fn forbidden_ones_hold_nothing(world: &World) {
    for (name, thing) in world.things.iter().filter(|(_, thing)| thing.forbidden(world.now)) {
        let up_to = thing.status.claim.as_ref().map(|claim| claim.up_to).unwrap_or_default();
        assert!(up_to <= thing.reached, "{name} may go up to {up_to:?}, and cannot");
    }
}

fn of_wave<'w>(world: &'w World, plan: usize, wave: &'w str) -> impl Iterator<Item = &'w Thing> {
    world.things.values().filter(move |thing| thing.plan == plan && thing.wave == wave)
}

/// A wave with more disks than a target carries at once.
fn is_too_large(world: &World, plan: usize, wave: &str) -> bool {
    sum(of_wave(world, plan, wave).map(|thing| (thing.target.as_str(), thing.disks as u32)))
        .values()
        .any(|disks| *disks > world.limits.disks_per_target)
}

fn too_large(world: &World, plan: usize, spec: &FailbackPlanSpec) -> bool {
    spec.waves.iter().any(|wave| is_too_large(world, plan, &wave.name))
}

fn held(thing: &Thing, by: &[&str]) -> bool {
    thing.status.claim.as_ref().is_some_and(|claim| by.contains(&claim.held_by.as_str()))
}

/// It failed, or a check forbids its next step for ever.
fn in_trouble(thing: &Thing) -> bool {
    thing.failed || thing.forbids.is_some_and(|(step, until)| step == thing.step() && until.is_none())
}

/// Waves of a plan that nothing keeps from the end: neither they nor those before them have a machine in trouble, are
/// too large, or wait for disks.
fn clear<'w>(world: &World, plan: usize, spec: &'w FailbackPlanSpec) -> Vec<&'w str> {
    let mut clear: Vec<&str> = Vec::new();
    for (place, wave) in spec.waves.iter().enumerate() {
        let stuck =
            of_wave(world, plan, &wave.name).any(|thing| in_trouble(thing) || held(thing, &["MasterTargetFull"]));
        let before = depends_on(&spec.waves, place).into_iter().all(|before| clear.contains(&before));
        if before && !stuck && !is_too_large(world, plan, &wave.name) {
            clear.push(&wave.name);
        }
    }
    clear
}

fn run(mut world: World) -> World {
    for _ in 0..2000 {
        world.settle();
        world.begin();
        limits_hold(&world);
        waves_wait(&world);
        forbidden_ones_hold_nothing(&world);
        if !world.pass_time() {
            return world;
        }
    }
    panic!("it never ends");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_failures_every_plan_ends(world in any_world(false)) {
        let world = run(world);
        for (index, (spec, status)) in world.plans.iter().enumerate() {
            if !too_large(&world, index, spec) {
                prop_assert!(status.completed_at.is_some(), "plan {index}: {:?}", status.conditions);
            }
        }
    }

    #[test]
    fn with_failures_every_plan_ends_or_says_what_it_waits_for(world in any_world(true)) {
        let world = run(world);
        // At rest nothing runs that could hold these; and only what is in trouble keeps its disks.
        prop_assert!(!world.things.values().any(|thing| held(thing, &["VaultBusy", "HostBusy", "ConcurrencyLimit"])));
        let any = world.things.values().any(in_trouble);
        prop_assert!(any || !world.things.values().any(|thing| held(thing, &["MasterTargetFull"])));
        for (index, (spec, status)) in world.plans.iter().enumerate() {
            let ready = conditions::find(&status.conditions, "Ready").unwrap();
            let of_plan = || world.things.values().filter(|thing| thing.plan == index);
            let in_line = of_plan().any(|thing| held(thing, &["MasterTargetFull"]));
            prop_assert!(
                ready.status == "True" || in_line || of_plan().any(in_trouble) || too_large(&world, index, spec),
                "plan {index}: {ready:?}"
            );
            let failed = of_plan().filter(|thing| thing.failed).count();
            let within = spec.failure_budget.is_none_or(|budget| failed <= budget as usize);
            if within && (spec.on_item_failure != OnItemFailure::Stop || failed == 0) {
                for wave in clear(&world, index, spec) {
                    let home = of_wave(&world, index, wave).all(|thing| thing.reached == DesiredPhase::Protected);
                    prop_assert!(home, "plan {index}: nothing keeps {wave}, and yet: {ready:?}");
                }
            }
            prop_assert!(ready.status == "True" || ready.reason != "Progressing", "plan {index}: {ready:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    /// Asserted whenever a plan is decided: [`World::settle`].
    #[test]
    fn at_a_crowded_master_target_no_older_wave_is_overtaken(world in any_world(false)) {
        let limits = Limits { calls_per_vault: 20, starts_per_host: 8, disks_per_target: 12, ..Limits::default() };
        let mut things = world.things;
        for (index, thing) in things.values_mut().enumerate() {
            // The oldest plan needs much, the others little at a time.
            thing.disks = if thing.plan == 0 { 3 } else { 1 };
            thing.target = "mt".to_owned();
            thing.forbids = (index % 3 == 1).then_some((0, Some(60)));
        }
        run(World::new(limits, world.plans.into_iter().map(|(spec, _)| spec).collect(), things));
    }
}
