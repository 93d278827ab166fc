//! What lies around a request: the faults that strike it, and the record of mutating calls.

use std::time::Duration;

use serde_json::{Value, json};

use crate::call::Call;
use crate::fault::Effect;
use crate::wire::{Answer, Request};
use crate::world::World;
use crate::{arm, soap};

/// A larger body is not kept with its call, only its length.
const LARGE_BODY: usize = 64 << 10;

/// Waits as long as faults want.
pub(crate) async fn late(effects: &[Effect]) {
    for effect in effects {
        if let Effect::Latency { millis } = effect {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
        }
    }
}

/// The answer that a fault gives instead of the site.
pub(crate) fn instead(effects: &[Effect]) -> Option<Answer> {
    effects.iter().find_map(|effect| match effect {
        Effect::Status { status, code, message, retry_after, body } => {
            let mut answer = match (code, body) {
                (Some(code), _) => arm::Refusal::arm(*status, code, message.clone().unwrap_or_else(|| "Injected on purpose.".to_owned())).into_answer(),
                (None, Some(body)) => Answer::text(*status, "text/plain", body.clone()),
                (None, None) => Answer::empty(*status),
            };
            if let Some(after) = retry_after {
                answer = answer.with("retry-after", after.clone());
            }
            Some(answer)
        }
        Effect::Html { status } => Some(Answer::text(
            *status,
            "text/html",
            "<html><head><title>Gateway</title></head><body><h1>The proxy could not handle the request</h1></body></html>",
        )),
        Effect::ResetBefore => Some(Answer::reset()),
        Effect::SoapFault { fault } => Some(soap::fault_answer(fault, "Injected on purpose.")),
        Effect::Latency { .. }
        | Effect::CutBody { .. }
        | Effect::ResetAfter
        | Effect::JobFails { .. }
        | Effect::JobStuck { .. }
        | Effect::StaleList
        | Effect::LateJobs { .. }
        | Effect::World { .. } => None,
    })
}

/// The machine that an ARM path is about.
pub(crate) fn arm_machine(world: &World, path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').collect();
    let after = |name: &str| {
        segments
            .iter()
            .position(|segment| segment.eq_ignore_ascii_case(name))
            .and_then(|at| segments.get(at + 1))
            .copied()
    };
    if let (Some(fabric), Some(item)) = (after("replicationFabrics"), after("replicationProtectedItems")) {
        let fabric = world.fabrics.iter().position(|known| known.name.eq_ignore_ascii_case(fabric))?;
        let index = *world.by_item.get(&World::item_key(fabric, item))?;
        return world.machines.get(index).map(|machine| machine.spec.name.clone());
    }
    let vm = after("virtualMachines")?;
    world
        .machines
        .iter()
        .find(|machine| machine.azure.name.eq_ignore_ascii_case(vm))
        .map(|machine| machine.spec.name.clone())
}

/// Keeps a mutating call. `status` is 0 when no answer is sent.
pub(crate) fn record(world: &mut World, request: &Request, soap: Option<&str>, status: u16, effect: bool) {
    let at = world.now;
    if let Some(method) = soap {
        if let Some((target, body)) = soap::mutation(world, request, method) {
            let (path, verb) = (request.path.clone(), method.to_owned());
            world.keep_call(Call { at, method: request.method.clone(), path, verb, body, status, target, effect });
        }
        return;
    }
    let reads = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if reads || !request.path.to_ascii_lowercase().starts_with("/subscriptions/") {
        return;
    }
    let last = request.path.rsplit('/').next().unwrap_or_default().to_owned();
    let verb = if request.method == "POST" { last } else { request.method.clone() };
    let body = match request.body.len() {
        length if length > LARGE_BODY => json!({"omitted": length}),
        _ => serde_json::from_slice(&request.body).unwrap_or(Value::Null),
    };
    let target = arm_machine(world, &request.path);
    world.keep_call(Call {
        at,
        method: request.method.clone(),
        path: request.path.clone(),
        verb,
        body,
        status,
        target,
        effect,
    });
}
