//! The checks: rules of the vendors' documents, each with a name, the steps that it gates, and what was observed.
//!
//! One file per scope. A check passes only on a positive, known observation; Unknown blocks a gated step just as
//! Failed does.

mod azure;
mod probes;
mod replication;
mod vcenter;

use jiff::Timestamp;

use super::{action::Verb, facts::ItemFacts, stage::Stage};
use crate::api::CheckResult;

/// How one check came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// The check.
    pub check: &'static Check,
    /// How it came out.
    pub result: CheckResult,
    /// What was observed.
    pub message: String,
    /// What to do. Empty when it passed.
    pub remedy: String,
}

/// A rule.
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// The steps that do not start unless it passes.
    pub gates: &'static [Verb],
    /// What it demands, in a sentence for the docs.
    pub holds_when: &'static str,
    rule: fn(&View<'_>) -> Verdict,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Check {}

/// What a rule looks at.
struct View<'a> {
    facts: &'a ItemFacts,
    stage: Stage,
    /// The call of ours that is open.
    running: Option<Verb>,
    now: Timestamp,
}

/// What a rule says.
enum Verdict {
    Passed(String),
    Failed { saw: String, remedy: String },
    Unknown { why: String, remedy: String },
}

impl Verdict {
    fn passed(saw: impl Into<String>) -> Self {
        Self::Passed(saw.into())
    }

    fn failed(saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed { saw: saw.into(), remedy: remedy.into() }
    }

    fn unknown(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Unknown { why: why.into(), remedy: remedy.into() }
    }
}

/// Every check, in the order of the catalogue.
pub const CHECKS: [&Check; 11] = [
    &azure::AZURE_VM_PRESENT,
    &azure::AZURE_VM_RUNNING,
    &azure::AGENT_REGISTERED,
    &vcenter::VCENTER_CONNECTED,
    &replication::REPROTECT_COMPLETE,
    &replication::RECOVERY_POINT_AVAILABLE,
    &replication::FAILBACK_SUCCEEDED,
    &azure::AZURE_VM_STOPPED,
    &vcenter::ON_PREMISES_VM_RUNNING,
    &vcenter::VMWARE_TOOLS_RUNNING,
    &probes::PROBES_PASSED,
];

/// The check on the declared probes: it has a reason of its own in the condition `Verified`.
pub const PROBES_PASSED: &str = probes::PROBES_PASSED.name;

/// Runs every check that means something at this stage, while `running` is open: one whose gated steps all lie behind is not shown.
pub fn run(facts: &ItemFacts, stage: Stage, running: Option<Verb>, now: Timestamp) -> Vec<CheckOutcome> {
    let view = View { facts, stage, running, now };
    CHECKS
        .into_iter()
        .filter(|check| check.gates.iter().any(|verb| is_ahead(*verb, stage)))
        .map(|check| {
            let (result, message, remedy) = match (check.rule)(&view) {
                Verdict::Passed(saw) => (CheckResult::Passed, saw, String::new()),
                Verdict::Failed { saw, remedy } => (CheckResult::Failed, saw, remedy),
                Verdict::Unknown { why, remedy } => (CheckResult::Unknown, why, remedy),
            };
            CheckOutcome { check, result, message, remedy }
        })
        .collect()
}

/// Whether a step is the next one, or, while synchronising, the one after: what gates steps further ahead cannot hold
/// yet (the VM at home is off until the failback), and would only frighten.
fn is_ahead(verb: Verb, stage: Stage) -> bool {
    match stage {
        Stage::FailedOver => verb == Verb::Reprotect,
        Stage::SyncingToVMware | Stage::ReadyToFailBack => verb == Verb::FailBack,
        Stage::FailedBack => verb == Verb::Commit,
        Stage::HomeCommitted => verb == Verb::Protect,
        Stage::SyncingToAzure | Stage::ProtectedToAzure | Stage::InTransition | Stage::Unknown => false,
    }
}

/// The outcomes that keep a step from starting.
pub fn blocking(outcomes: &[CheckOutcome], verb: Verb) -> Vec<&CheckOutcome> {
    outcomes
        .iter()
        .filter(|outcome| outcome.check.gates.contains(&verb) && outcome.result != CheckResult::Passed)
        .collect()
}
