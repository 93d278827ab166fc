//! The check on the probes that are declared for a machine.

use super::{Check, PRACTICE, Verdict, View};
use crate::{
    api::CheckResult,
    core::{action::Verb, waiting::by_waiver},
};

pub(super) const PROBES_PASSED: Check = Check {
    name: "ProbesPassed",
    source: PRACTICE,
    generation: None,
    gates: &[Verb::Commit],
    // A commit that was not verified: who does not want a probe takes it out of the item.
    waivable: false,
    early: false,
    holds_when: "Every probe of spec.verification passes, by looks that are not older than two intervals. The time that a look waits for a place does not count.",
    rule,
};

fn rule(view: &View<'_>) -> Verdict {
    const WAIT: &str = "Wait for the next looks; status.probes shows what each saw.";
    if view.spec.verification.as_ref().is_none_or(|asked| asked.probes.is_empty()) {
        return Verdict::Irrelevant;
    }
    let probes = match view.facts.probes.known() {
        Ok(probes) => probes,
        Err(why) => return Verdict::unknown(why, WAIT),
    };
    if let Some(failed) = probes.iter().find(|probe| probe.result == CheckResult::Failed) {
        let remedy = by_waiver!("Look at the service in the machine, or correct the probe in spec.verification.");
        return Verdict::failed(failed.sentence(), remedy);
    }
    if let Some(stuck) = probes.iter().find(|probe| probe.is_inconclusive(view.now)) {
        let remedy = by_waiver!(
            "A probe that cannot tell does not pass. Fix what its message names: VMware Tools must run in the guest, a probe must be allowed to reach the host in spec.verification, a Job's image must be there to pull."
        );
        return Verdict::failed(format!("{} It cannot tell.", stuck.sentence()), remedy);
    }
    if let Some(open) = probes.iter().find(|probe| probe.result == CheckResult::Unknown) {
        return Verdict::unknown(open.sentence(), WAIT);
    }
    if let Some(stale) = probes.iter().find(|probe| probe.is_stale(view.now)) {
        return Verdict::unknown(
            format!("Probe \"{}\": its last look is too old.", stale.name),
            "Wait for the next look. Where many Jobs of probes wait for each other, make them shorter, or their intervalSeconds longer.",
        );
    }
    match probes.len() {
        // What is declared was seen a moment ago, and no probe stands for it yet.
        0 => Verdict::unknown("No probe has looked yet.", WAIT),
        count => Verdict::passed(format!("All {count} probe(s) pass.")),
    }
}
