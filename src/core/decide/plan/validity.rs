//! What no rule of the API server can refuse, and no machine may start under.

use std::collections::BTreeMap;

use super::{PlanInput, gates, waves::Resolved};
use crate::{
    api::{ApprovalStep, HookScope, HookTime},
    core::{
        checks, jobs, names,
        schedule::{
            order,
            window::{self, Opening},
        },
    },
};

/// Field, value and remedy of the first thing that is wrong.
pub(super) fn why_invalid(input: &PlanInput<'_>, waves: &[Resolved<'_>]) -> Option<String> {
    unknown_wave(input)
        .or_else(|| circle(input))
        .or_else(|| in_two_waves(waves))
        .or_else(|| too_many(input, waves))
        .or_else(|| waiver(input))
        .or_else(|| hook(input))
        .or_else(|| many_hooks(input))
        .or_else(|| window(input))
}

fn unknown_wave(input: &PlanInput<'_>) -> Option<String> {
    let spec = input.spec;
    let mut named = spec
        .waves
        .iter()
        .enumerate()
        .flat_map(|(index, wave)| wave.depends_on.iter().flatten().map(move |other| (index, wave, other)));
    named.find(|(_, _, other)| spec.waves.iter().all(|wave| wave.name != **other)).map(|(index, wave, other)| {
        let names: Vec<_> = spec.waves.iter().map(|wave| wave.name.as_str()).collect();
        let (wave, names) = (&wave.name, names.join(", "));
        format!("spec.waves[{index}].dependsOn: wave \"{wave}\" depends on \"{other}\", which the plan does not have; it has: {names}.")
    })
}

fn circle(input: &PlanInput<'_>) -> Option<String> {
    let circle = order::circle(&input.spec.waves);
    (!circle.is_empty()).then(|| {
        let names = circle.join(", ");
        format!("spec.waves[].dependsOn: these waves wait for each other in a circle: {names}. Take one of their dependencies out.")
    })
}

fn in_two_waves(waves: &[Resolved<'_>]) -> Option<String> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for Resolved { wave, found, .. } in waves {
        let names = wave.items.iter().map(String::as_str);
        for name in names.chain(found.iter().flatten().copied()) {
            match first.insert(name, &wave.name) {
                Some(before) if before != wave.name => {
                    return Some(format!(
                        "spec.waves: \"{name}\" is in the waves \"{before}\" and \"{}\". Leave it in one of them.",
                        wave.name
                    ));
                }
                Some(_) | None => {}
            }
        }
    }
    None
}

/// How many bytes of the status the machines found by label may take. With the most of everything else, the status of
/// a plan stays below 64 KiB.
const MOST_LISTED: usize = 16 * 1024;

/// Found by label are more machines than the status could keep: none may be left out without a word.
fn too_many(input: &PlanInput<'_>, waves: &[Resolved<'_>]) -> Option<String> {
    if input.status.started_at.is_some() {
        return None;
    }
    let found = || waves.iter().filter_map(|wave| wave.found.as_ref());
    let entries = found().flat_map(|found| names::fold(found.iter().copied()));
    let bytes: usize = entries.map(|entry| entry.len() + 3).sum();
    let machines: usize = found().map(Vec::len).sum();
    (bytes > MOST_LISTED).then(|| {
        format!(
            "spec.waves[].selector: {machines} machines are found, and their names take {bytes} bytes of the plan's status, which has room for {MOST_LISTED}. Name some in items instead, or make several plans."
        )
    })
}

fn waiver(input: &PlanInput<'_>) -> Option<String> {
    input.spec.waivers.iter().enumerate().find_map(|(index, waiver)| {
        let (field, check) = (format!("spec.waivers[{index}].check"), &waiver.check);
        match checks::is_waivable(check) {
            Some(true) => None,
            Some(false) => Some(format!("{field}: \"{check}\" protects data or the only copy, and cannot be waived.")),
            None => Some(format!("{field}: there is no check \"{check}\"; the machines' status.checks name them.")),
        }
    })
}

fn hook(input: &PlanInput<'_>) -> Option<String> {
    let spec = input.spec;
    spec.hooks.iter().enumerate().find_map(|(index, hook)| {
        let (field, name) = (format!("spec.hooks[{index}]"), &hook.name);
        if let Some(why) = jobs::unfit(&hook.job_template) {
            return Some(format!("{field}.{why}"));
        }
        if let Some(wave) = hook.waves.iter().find(|named| spec.waves.iter().all(|wave| wave.name != **named)) {
            return Some(format!("{field}.waves: hook \"{name}\" names the wave \"{wave}\", which the plan does not have."));
        }
        // A wave that waits for another one is reprotected only once that one is home.
        let waits = (0..spec.waves.len()).find(|wave| !order::depends_on(&spec.waves, *wave).is_empty());
        let of_all = hook.scope == HookScope::Plan && hook.when == HookTime::After && hook.step == ApprovalStep::Reprotect;
        let wave = spec.waves.get(waits.filter(|_| of_all)?)?;
        Some(format!(
            "{field}: hook \"{name}\" runs after the whole plan is reprotected and before any machine is failed back, and wave \"{}\" is not reprotected before another one is home. Use scope: Wave.",
            wave.name
        ))
    })
}

/// Each hook of scope Plan, and each of scope Wave in each of its waves, has a record in the plan's status.
fn many_hooks(input: &PlanInput<'_>) -> Option<String> {
    const MOST: usize = 40;
    let spec = input.spec;
    let rows = spec.hooks.iter().map(|hook| match hook.scope {
        HookScope::Plan => 1,
        HookScope::Wave => spec.waves.iter().filter(|wave| hook.is_for_wave(&wave.name)).count(),
        HookScope::Item => 0,
    });
    let rows: usize = rows.sum();
    (rows > MOST).then(|| {
        format!(
            "spec.hooks: those of scope Plan, and of scope Wave times their waves, are {rows}, and a plan has room for {MOST}. Name fewer waves in spec.hooks[].waves, use scope: Item, or make several plans."
        )
    })
}

fn window(input: &PlanInput<'_>) -> Option<String> {
    match window::look(input.spec.window.as_ref()?, input.now) {
        Err(why) => Some(why),
        // Of a plan that has started, what is left is held, and what is not gated by the window goes on.
        Ok(Opening::Past) if input.status.started_at.is_none() => Some(gates::PAST.to_owned()),
        Ok(Opening::Past | Opening::Open(_) | Opening::Opens(_)) => None,
    }
}
