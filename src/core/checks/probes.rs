//! The check on the probes that are declared for a machine.

use super::{Check, Verdict, View};
use crate::{api::CheckResult, core::action::Verb};

pub(super) const PROBES_PASSED: Check = Check {
    name: "ProbesPassed",
    gates: &[Verb::Commit],
    holds_when: "Every probe of spec.verification passes, by looks that are not older than two intervals.",
    rule,
};

fn rule(view: &View<'_>) -> Verdict {
    const WAIT: &str = "Wait for the probes; see status.probes.";
    let probes = match view.facts.probes.known() {
        Ok(probes) => probes,
        Err(why) => return Verdict::unknown(why, WAIT),
    };
    let told = |name: &str, message: &str| format!("Probe \"{name}\": {message}");
    if let Some(failed) = probes.iter().find(|probe| probe.result == CheckResult::Failed) {
        let remedy = "Look at the service in the machine, or correct the probe in spec.verification.";
        return Verdict::failed(told(&failed.name, &failed.message), remedy);
    }
    if let Some(open) = probes.iter().find(|probe| probe.result == CheckResult::Unknown) {
        return Verdict::unknown(told(&open.name, &open.message), WAIT);
    }
    if let Some(stale) = probes.iter().find(|probe| probe.is_stale(view.now)) {
        return Verdict::unknown(told(&stale.name, "its last look is too old."), WAIT);
    }
    match probes.len() {
        0 => Verdict::passed("No probe is declared."),
        count => Verdict::passed(format!("All {count} probe(s) pass.")),
    }
}
