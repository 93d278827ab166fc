//! The real binary is killed before and after every single call that changes something, one run per point, and started
//! again. Each time the machine comes home, and every verb took effect exactly once.
//!
//! `FAILBACK_LONG=1` takes every point; by default every mutating call of site recovery is taken on both sides, and of
//! the writes to our own objects every fifth.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    gate::{Point, Side},
    world::World,
};

const WALL: Duration = Duration::from_secs(90);
/// Runs side by side: they mostly wait.
const RUNS: usize = 4;

async fn world() -> World {
    World::of(vec!["web-01".to_owned()], 1, 1200.0).await
}

/// The points of an undisturbed run.
async fn points() -> Vec<Point> {
    let world = world().await;
    let controller = world.controller();
    world.until_home(WALL).await.unwrap();
    drop(controller);
    let points = world.gate.points();
    world.end().await;
    points
}

/// One run: killed at the point, started again, and what came of it. `Ok(false)`: the point was not met in this run,
/// since the number of status writes varies.
async fn killed_at(point: &Point, side: Side) -> Result<bool, String> {
    let world = world().await;
    world.gate.arm(point.clone(), side);
    let controller = world.controller();
    let met = tokio::select! {
        () = world.gate.struck() => true,
        home = world.until_home(WALL) => { home?; false }
    };
    drop(controller);
    let home = world.until_home_again(WALL).await;
    world.end().await;
    home.map(|()| met)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_call_it_goes_on_and_repeats_nothing() {
    let all = points().await;
    let verbs = all.iter().filter(|(call, _)| call.starts_with("POST ")).count();
    assert_eq!(verbs, 4, "{all:?}");
    let taken: Vec<Point> = all
        .iter()
        .enumerate()
        .filter(|(at, (call, _))| crate::long() || call.starts_with("POST ") || at % 5 == 0)
        .map(|(_, point)| point.clone())
        .collect();
    let runs = taken.iter().flat_map(|point| [(point, Side::Before), (point, Side::After)]);
    let results: Vec<(String, Result<bool, String>)> = stream::iter(runs)
        .map(|(point, side)| async move {
            let name = format!("{side:?} {} #{}", point.0, point.1 + 1);
            (name, killed_at(point, side).await)
        })
        .buffered(RUNS)
        .collect()
        .await;
    println!("calls that change something in an undisturbed run: {}; taken: {}", all.len(), taken.len());
    let mut met = 0;
    let mut wrong: Vec<Value> = Vec::new();
    for (name, result) in &results {
        let told = match result {
            Ok(true) => {
                met += 1;
                "home, each verb once".to_owned()
            }
            Ok(false) => "not met in this run; home, each verb once".to_owned(),
            Err(why) => {
                wrong.push(json!({ "point": name, "why": why }));
                format!("WRONG: {why}")
            }
        };
        println!("{name:70} {told}");
    }
    println!("{} runs, {met} killed, {} wrong", results.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(met * 10 >= results.len() * 8, "eight of ten points are met again: {met} of {}", results.len());
}
