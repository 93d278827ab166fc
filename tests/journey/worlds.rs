//! One world per check, in which that check alone fails: the plan waits and names it, no call is made, the world is
//! mended through the site's admin interface, and the plan goes on by itself.

use std::{collections::BTreeSet, time::Duration};

use failback::{
    api::{CheckResult, DesiredPhase},
    core::checks::CHECKS,
};
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use sim_site::{Effect, Fault};

use crate::{
    examples::{Example, example},
    stage::Stage,
};

const SPEED: f64 = 600.0;
const WALL: Duration = Duration::from_secs(120);
/// Worlds side by side: they mostly wait.
const WORLDS: usize = 3;

/// One way to fail a check; see `worlds.yaml`.
#[derive(Debug, Deserialize)]
struct World {
    /// The check.
    check: String,
    /// Folder of `examples` that the world is made of.
    example: String,
    /// The item that is looked at.
    item: String,
    /// How far the plan gets before the world is broken.
    #[serde(default)]
    from: DesiredPhase,
    /// What it then wants, in vain until the world is mended.
    to: DesiredPhase,
    /// Changes of the scenario, as JSON pointers with values.
    #[serde(default)]
    scenario: Vec<(String, Value)>,
    /// Changes of the item's spec.
    #[serde(default)]
    spec: Value,
    #[serde(rename = "break")]
    breaks: Value,
    mend: Value,
    /// Where no check is shown: what the item says instead.
    #[serde(default)]
    told: Option<String>,
    /// Where the plan counts too and holds the machine before its check does: what the item says then.
    #[serde(default)]
    held: Option<String>,
    /// Checks that say the same in other words, and so fail with it.
    #[serde(default)]
    with: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_holds_its_step_until_the_world_is_mended() {
    let worlds: Vec<World> = serde_yaml::from_str(include_str!("worlds.yaml")).unwrap();
    let shown: BTreeSet<&str> = worlds.iter().map(|world| world.check.as_str()).collect();
    // Two objects for one machine: see `bad_input`. Its world is a probe's: see `probes`. A backup gates nothing. No location is possible where the OS is not supported.
    let elsewhere =
        ["DescribedOnce", "ProbesPassed", "ConfigurationServerBackedUp", "FailbackSucceeded", "LocationPossible"];
    let missing: Vec<_> = CHECKS
        .iter()
        .map(|check| check.name)
        .filter(|name| !shown.contains(name) && !elsewhere.contains(name))
        .collect();
    assert!(missing.is_empty(), "no world for {missing:?}");
    let results: Vec<(String, Result<(), String>)> = stream::iter(&worlds)
        .map(|world| async move { (format!("{} ({})", world.check, world.example), play(world).await) })
        .buffered(WORLDS)
        .collect()
        .await;
    for (name, result) in &results {
        println!("{name:50} {}", result.as_ref().map_or_else(String::as_str, |()| "held, mended, went on"));
    }
    let wrong: Vec<_> = results.iter().filter(|(_, result)| result.is_err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn play(world: &World) -> Result<(), String> {
    let Example { mut scenario, mut manifests } = example(&world.example);
    for (pointer, value) in &world.scenario {
        put(&mut scenario, pointer, value.clone());
    }
    for object in &mut manifests {
        if object["kind"] == "FailbackPlan" {
            object["spec"]["desiredPhase"] = json!(world.from);
        }
        if object["kind"] == "ReplicatedItem" && object["metadata"]["name"] == json!(world.item) {
            for (field, value) in world.spec.as_object().into_iter().flatten() {
                object["spec"][field] = value.clone();
            }
        }
    }
    let stage = Stage::playing(&scenario.to_string(), SPEED, manifests).await;
    let result = held_and_mended(&stage, world).await;
    stage.end().await;
    result
}

async fn held_and_mended(stage: &Stage, world: &World) -> Result<(), String> {
    stage.all_ready(WALL).await?;
    // Whole before it is broken: what has not been read yet does not pass either.
    stage.wait(WALL, || shown(stage, world), |(shown, failing)| *shown > 0 && failing.is_empty()).await?;
    change(stage, &world.breaks)?;
    let made = stage.verbs().len();
    let expected: BTreeSet<String> = world.with.iter().cloned().chain([world.check.clone()]).collect();
    // The world is seen broken before anything more is wanted.
    match &world.told {
        Some(told) => drop(stage.wait(WALL, || stage.reason(&world.item), |reason| reason.contains(told)).await?),
        None => drop(stage.wait(WALL, || shown(stage, world), |(_, failing)| *failing == expected).await?),
    }
    stage.raise_all(world.to).await;
    // Twenty simulated minutes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    // On a busy machine a reading may be late, so that more is unknown for a moment.
    if world.told.is_none() {
        stage.wait(WALL, || shown(stage, world), |(_, failing)| *failing == expected).await?;
    }
    let told = stage.reason(&world.item).await;
    if !told.contains(world.held.as_ref().or(world.told.as_ref()).unwrap_or(&world.check)) {
        return Err(format!("the item waits for something else: {told}"));
    }
    if stage.verbs().len() != made {
        return Err(format!("a call was made: {:?}", stage.verbs()));
    }
    change(stage, &world.mend)?;
    stage.wait(WALL, || async { stage.verbs().len() }, |verbs| *verbs > made).await.map(drop)
}

/// How many checks gate something now, and those that do not pass.
async fn shown(stage: &Stage, world: &World) -> (usize, BTreeSet<String>) {
    let status = stage.items().get(&world.item).await.unwrap().status.unwrap_or_default();
    let gating: Vec<_> = status.checks.into_iter().filter(|check| !check.gates.is_empty()).collect();
    let failing = gating.iter().filter(|check| check.result != CheckResult::Passed);
    (gating.len(), failing.map(|check| check.name.clone()).collect())
}

fn change(stage: &Stage, change: &Value) -> Result<(), String> {
    for change in change.as_array().cloned().unwrap_or_else(|| vec![change.clone()]) {
        let change = serde_json::from_value(change).map_err(|error| error.to_string())?;
        let effect = Effect::World { change: Box::new(change) };
        let fault = Fault { method: None, path: None, soap: None, machine: None, skip: 0, times: 1, effect };
        stage.rehearsal.site.try_inject(fault).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn put(scenario: &mut Value, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let place = scenario.pointer_mut(parent).unwrap();
    match place.as_array_mut() {
        Some(list) => list.push(value),
        None => place[field] = value,
    }
}
