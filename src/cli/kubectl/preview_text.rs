//! A preview for people: each machine with its calls, what would stop it, and the time.

use super::{
    gates::Gate,
    style::{Style, Tone},
};
use crate::{
    api::{EstimateBasis, Transfer},
    core::{
        estimate::{size, span},
        preview::{MachinePreview, PlanEstimate, Preview},
    },
};

pub(super) fn render(name: &str, preview: &Preview, gates: &[Gate], stops: &[(&str, String)], style: Style) -> String {
    let totals = preview.totals();
    let calls: i32 = totals.calls.iter().map(|calls| calls.count).sum();
    let mut lines = vec![style.paint(
        Tone::Strong,
        &format!(
            "Plan {name}, up to {}: {} machine(s) to move, {}, {calls} call(s) to Azure",
            preview.desired_phase.as_str(),
            totals.machines,
            bytes(totals.bytes, totals.bytes_unknown),
        ),
    )];
    lines.extend(gates.iter().map(|gate| gate.told.clone()));
    for wave in &preview.waves {
        lines.push(String::new());
        let most = format!("Wave {}: {} machine(s), {} at a time", wave.name, wave.machines.len(), wave.max_concurrent);
        lines.push(style.paint(Tone::Strong, &most));
        wave.machines.iter().for_each(|machine| lines.extend(of_machine(machine, style)));
    }
    lines.push(String::new());
    for hook in &preview.hooks {
        lines.push(format!("Hook {}: {}, {} Job(s)", hook.name, hook.runs, hook.jobs));
    }
    lines.extend(of_estimate(&preview.estimate));
    // What other plans have in use is the controller's to know.
    lines.push("Disks used by other plans are not counted here; see status.preview of the applied plan.".to_owned());
    lines.extend(
        stops.iter().map(|(reason, message)| format!("{} {reason}: {message}", style.paint(Tone::Bad, "STOPPED"))),
    );
    lines.push(verdict(totals.blocked, gates, stops, style));
    lines.join("\n")
}

fn verdict(blocked: i32, gates: &[Gate], stops: &[(&str, String)], style: Style) -> String {
    let machines = format!("{blocked} machine(s) would be stopped now.");
    let waits: Vec<&str> = gates.iter().filter_map(|gate| gate.waits_for.as_deref()).collect();
    match (stops.is_empty(), blocked, waits.is_empty()) {
        (false, 0, _) => style.paint(Tone::Bad, "The plan would be stopped now."),
        (false, _, _) => style.paint(Tone::Bad, &format!("The plan would be stopped now. Besides, {machines}")),
        (true, 0, true) => style.paint(Tone::Good, "Nothing would stop it now."),
        (true, 0, false) => format!("Nothing would stop it now; it would wait for {}.", waits.join(", ")),
        (true, _, _) => style.paint(Tone::Bad, &machines),
    }
}

fn bytes(known: i64, unknown: i32) -> String {
    match unknown {
        0 => size(known),
        _ if known == 0 => "size not known yet".to_owned(),
        more => format!("{} and {more} machine(s) of a size not known yet", size(known)),
    }
}

fn of_machine(machine: &MachinePreview, style: Style) -> Vec<String> {
    let mut lines = vec![format!("  {}  {:?}", machine.item, machine.phase)];
    let mut row = |label: &str, text: String| lines.push(format!("    {label:<7} {text}"));
    if !machine.calls.is_empty() {
        row("home", home(machine));
        let point = machine.recovery_point.as_ref();
        let loses = |seconds: i64| if seconds > 0 { format!(" Loses {}.", span(seconds)) } else { String::new() };
        let point =
            point.map(|point| format!("{}{}", point.message, point.loss_seconds.map(loses).unwrap_or_default()));
        row("point", point.unwrap_or_else(|| "not decided yet".to_owned()));
        let calls: Vec<String> = machine.calls.iter().map(|call| format!("{} ({})", call.path, call.verb)).collect();
        row("calls", calls.join(", "));
    }
    if !machine.steps.is_empty() {
        let steps = machine.steps.iter().map(|step| {
            let name =
                if step.running { format!("{} (runs)", step.step.as_str()) } else { step.step.as_str().to_owned() };
            let time = step
                .time
                .map_or_else(|| "not known".to_owned(), |t| format!("{}{}", span(t.seconds), of_basis(t.basis)));
            format!("{name} {time}")
        });
        row("time", steps.collect::<Vec<_>>().join(", "));
    }
    for blocker in &machine.blockers {
        let text = format!("{}: {}", blocker.reason, blocker.message);
        row(&style.paint(Tone::Bad, "STOPPED"), text);
        if !blocker.remedy.is_empty() {
            row("remedy", blocker.remedy.clone());
        }
    }
    if machine.steps.is_empty() && machine.blockers.is_empty() {
        row("", "nothing to do".to_owned());
    }
    lines
}

/// Where it comes home to and by what.
fn home(machine: &MachinePreview) -> String {
    let location = machine.location.as_ref().map_or_else(
        || "location not decided yet".to_owned(),
        |location| {
            let what = match location.transfer {
                Transfer::Changes => "changes of",
                Transfer::Full => "all of",
            };
            let bytes = location.bytes.map_or_else(|| "a size not known yet".to_owned(), size);
            format!("{:?}, {what} {bytes}", location.decided)
        },
    );
    let Some(target) = &machine.target else { return location };
    let on = target.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let through = target.process_server.as_ref().map(|server| format!(", process server {server}")).unwrap_or_default();
    format!("{location}, through {}{through} into {}{on}", target.appliance, target.datastore)
}

fn of_basis(basis: EstimateBasis) -> &'static str {
    match basis {
        EstimateBasis::Declared => "",
        EstimateBasis::Measured => " (measured)",
        EstimateBasis::MeasuredElsewhere => " (measured on other machines)",
        EstimateBasis::Typical => " (typical)",
    }
}

fn of_estimate(estimate: &PlanEstimate) -> Vec<String> {
    let mut lines = Vec::new();
    let basis = estimate.basis.map(of_basis).unwrap_or_default();
    match estimate.seconds {
        Some(seconds) => {
            let without = estimate.not_counted().map(|what| format!(", {what} not counted")).unwrap_or_default();
            lines.push(format!("Estimate: {}{basis}{without}", span(seconds)));
        }
        None => {
            lines.push(format!("Estimate: not known; at least {}{basis}", span(estimate.at_least_seconds)));
            lines.extend(estimate.unknown.iter().map(|why| format!("  {why}")));
            let more = estimate.unknown_machines.saturating_sub(estimate.unknown.len());
            if more > 0 {
                lines.push(format!("  and {more} more machine(s)"));
            }
        }
    }
    lines.extend(estimate.overrun.as_ref().map(|overrun| overrun.message.clone()));
    if estimate.critical_path.len() > 1 {
        let path = estimate
            .critical_path
            .iter()
            .map(|part| format!("{} ({}, from {})", part.item, part.wave, span(part.starts)));
        lines.push(format!("Critical path: {}", path.collect::<Vec<_>>().join(" > ")));
    }
    lines
}
