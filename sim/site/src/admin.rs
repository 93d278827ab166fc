//! The admin endpoint: read the world, move its time, break and mend it. It is not part of what a client of the vendors sees.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::arm;
use crate::fault::{Armed, Effect, Fault};
use crate::mend::{Mend, mend};
use crate::site::Site;
use crate::snapshot;
use crate::wire::{Answer, Request};
use crate::world::World;

fn bad(message: impl std::fmt::Display) -> Answer {
    Answer::json(400, &json!({"error": message.to_string()}))
}

/// A path of the admin endpoint.
pub(crate) fn is_admin(path: &str) -> bool {
    path == "/_world" || path.starts_with("/_world/")
}

/// Answers below `/_world`.
pub(crate) fn answer(site: &Site, request: &Request) -> Answer {
    let path = request.path.trim_end_matches('/').to_owned();
    let rest = path.strip_prefix("/_world").unwrap_or_default().trim_start_matches('/');
    let body: Value = if request.body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(&request.body) {
            Ok(body) => body,
            Err(error) => return bad(format!("the body is not JSON: {error}")),
        }
    };
    match (request.method.as_str(), rest) {
        ("GET", "") => Answer::json(200, &site.snapshot()),
        ("GET", "calls") => Answer::json(200, &json!(site.calls())),
        ("GET", "clock") => Answer::json(
            200,
            &json!({"now": site.now(), "origin": site.lock().world.start, "speed": site.clock().speed}),
        ),
        ("GET", "save") => match site.save() {
            Ok(saved) => Answer::json(200, &saved),
            Err(error) => bad(error),
        },
        ("POST", "load") => match site.replace(body) {
            Ok(()) => Answer::json(200, &json!({"now": site.now()})),
            Err(error) => bad(error),
        },
        ("POST", "advance") => advance(site, &body),
        ("POST", "faults") => faults(site, body),
        ("DELETE", "faults") => {
            site.lock().world.faults.armed.clear();
            Answer::json(200, &json!({"faults": []}))
        }
        ("POST" | "PATCH", "mend") => match serde_json::from_value::<Mend>(body) {
            Ok(change) => {
                let done = mend(&mut site.lock().world, &change);
                site.tell();
                done.map_or_else(bad, |()| Answer::json(200, &json!({})))
            }
            Err(error) => bad(error),
        },
        ("GET", rest) => match rest.strip_prefix("machines/") {
            Some(name) => {
                let state = site.lock();
                let index = state.world.machine_named(name);
                match index.and_then(|index| {
                    state.world.machines.get(index).map(|machine| snapshot::machine(&state.world, index, machine))
                }) {
                    Some(machine) => Answer::json(200, &machine),
                    None => Answer::json(404, &json!({"error": format!("there is no machine `{name}`")})),
                }
            }
            None => Answer::json(404, &json!({"error": format!("there is no `/_world/{rest}`")})),
        },
        _ => Answer::json(
            404,
            &json!({"error": "known: GET /_world, calls, clock, machines/{name}, save; POST advance, faults, mend, load; DELETE faults"}),
        ),
    }
}

fn advance(site: &Site, body: &Value) -> Answer {
    let Some(seconds) = body.get("seconds").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0) else {
        return bad("`seconds` must be a number that is not negative");
    };
    match SignedDuration::try_from_secs_f64(seconds) {
        Ok(by) => {
            site.advance(by);
            Answer::json(200, &json!({"now": site.now()}))
        }
        Err(error) => bad(error),
    }
}

fn faults(site: &Site, body: Value) -> Answer {
    let list = if body.is_array() { body } else { json!([body]) };
    match serde_json::from_value::<Vec<Fault>>(list) {
        Ok(list) => {
            let count = list.len();
            for fault in list {
                if let Err(error) = site.try_inject(fault) {
                    return bad(error);
                }
            }
            Answer::json(200, &json!({"armed": count}))
        }
        Err(error) => bad(error),
    }
}

/// Arms a fault; a change of facts takes place at once. A fault that names something that is not in the world is refused.
pub(crate) fn inject(world: &mut World, fault: Fault) -> Result<(), String> {
    if let Some(name) = &fault.machine
        && world.machine_named(name).is_none()
    {
        return Err(format!("there is no machine `{name}`"));
    }
    if let Effect::World { change } = &fault.effect {
        return mend(world, change);
    }
    let frozen = matches!(fault.effect, Effect::StaleList).then(|| arm::freeze(world));
    world.faults.armed.push(Armed { fault, seen: 0, struck: 0, frozen });
    Ok(())
}
