//! The checks: rules of the vendors' documents, each with a name, the steps that it gates, and what was observed.
//!
//! One file per scope. A check passes only on a positive, known observation; Unknown blocks a gated step just as
//! Failed does. One that does not apply to the machine is not shown.

mod azure;
mod datastore;
mod fabric;
mod group;
mod home;
mod master_target;
mod probes;
mod replication;
mod vcenter;
mod view;

use self::view::{Verdict, View, judged};
use super::{action::Verb, facts::Machine, observed::Generation, stage::Stage};
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
    /// Why the plan waives it: then it gates nothing. `None` when it passed, or cannot be waived.
    pub waived: Option<String>,
}

/// A rule.
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// The vendor's article that demands it, or `Practice`.
    pub source: &'static str,
    /// The generation that it is for; `None` for both.
    pub generation: Option<Generation>,
    /// The steps that do not start unless it passes. Empty: it only warns.
    pub gates: &'static [Verb],
    /// Whether a plan may waive it. Not those that keep what must never happen from happening: ending failback for good,
    /// two live copies, a commit that was not verified, or a step that destroys the only way back.
    pub waivable: bool,
    /// Whether it is told long before its step: it can be judged, and takes time to mend.
    pub early: bool,
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

// The vendor's articles, by their titles.
const REPROTECT: &str = "Reprotect VMs from Azure to an on-premises site";
const FAILBACK: &str = "Fail back VMware VMs to an on-premises site";
const PREPARE: &str = "Prepare for reprotection and failback of VMware VMs";
const OVERVIEW: &str = "About on-premises disaster recovery failover and failback";
const MASTER_TARGET: &str = "Install a Linux master target server for failback";
const PRACTICE: &str = "Practice";

/// Every check, in the order of the journey.
pub const CHECKS: &[&Check] = &[
    &replication::DESCRIBED_ONCE,
    &replication::NOT_MIGRATED,
    &fabric::TARGET_IS_VMWARE,
    &home::OS_SUPPORTED,
    &azure::AZURE_VM_PRESENT,
    &azure::AZURE_VM_RUNNING,
    &azure::AGENT_REGISTERED,
    &vcenter::ORIGINAL_VCENTER,
    &vcenter::VCENTER_CONNECTED,
    &fabric::CONFIGURATION_SERVER_AVAILABLE,
    &fabric::KNOWN_TO_CONFIGURATION_SERVER,
    &fabric::CONFIGURATION_SERVER_BACKED_UP,
    &fabric::APPLIANCE_HEALTHY,
    &fabric::PROCESS_SERVER_AVAILABLE,
    &master_target::MASTER_TARGET_DISCOVERED,
    &master_target::MASTER_TARGET_OS_MATCHES,
    &master_target::MASTER_TARGET_HEALTHY,
    &master_target::MASTER_TARGET_NO_SNAPSHOTS,
    &master_target::MASTER_TARGET_DISK_SLOTS,
    &master_target::MASTER_TARGET_RETENTION,
    &master_target::MASTER_TARGET_CONTROLLER,
    &fabric::ESX_HOST_DISCOVERED,
    &datastore::LOCATION_POSSIBLE,
    &datastore::DATASTORE_REACHABLE,
    &datastore::DATASTORE_IS_VMFS,
    &datastore::DATASTORE_HAS_SPACE,
    &home::SPECIAL_DISKS_ATTACHED,
    &home::VM_NAME_FREE,
    &group::REPLICATION_GROUP_TOGETHER,
    &azure::DISKS_UNCHANGED,
    &replication::REPROTECT_COMPLETE,
    &replication::REPLICATION_HEALTHY,
    &replication::RECOVERY_POINT_AVAILABLE,
    &replication::FAILBACK_SUCCEEDED,
    &azure::AZURE_VM_STOPPED,
    &azure::NO_DELETE_LOCK,
    &home::ON_PREMISES_VM_RUNNING,
    &home::VMWARE_TOOLS_RUNNING,
    &probes::PROBES_PASSED,
];

/// The check that no other object acts for the machine: it is not about the machine itself.
pub const DESCRIBED_ONCE: &str = replication::DESCRIBED_ONCE.name;

/// The check on the declared probes: it has a reason of its own in the condition `Verified`.
pub const PROBES_PASSED: &str = probes::PROBES_PASSED.name;

/// The check on a master target's disks, which plans share out among their waves.
pub const DISK_SLOTS: &str = master_target::MASTER_TARGET_DISK_SLOTS.name;

/// Whether a plan may waive a check; `None` when there is none of that name.
pub fn is_waivable(name: &str) -> Option<bool> {
    CHECKS.iter().find(|check| check.name == name).map(|check| check.waivable)
}

/// Runs every check that means something for this machine now.
pub fn run(machine: &Machine<'_>) -> Vec<CheckOutcome> {
    let view = View::of(machine);
    let generation = machine.facts.replication.value().and_then(|item| item.generation);
    CHECKS
        .iter()
        .filter(|check| check.generation.is_none() || generation.is_none() || check.generation == generation)
        .filter_map(|check| outcome(check, &view))
        .collect()
}

fn outcome(check: &'static Check, view: &View<'_>) -> Option<CheckOutcome> {
    let timing = timing(check, view.stage)?;
    let (result, mut message, remedy) = match (check.rule)(view) {
        Verdict::Irrelevant => return None,
        Verdict::Passed(saw) => (CheckResult::Passed, saw, String::new()),
        Verdict::Failed { saw, remedy } => (CheckResult::Failed, saw, remedy),
        Verdict::Unknown { why, remedy } => (CheckResult::Unknown, why, remedy),
    };
    let told = match timing {
        Timing::Now => true,
        Timing::Early => result != CheckResult::Unknown,
        Timing::OnlyIfFailed => result == CheckResult::Failed,
    };
    if !told {
        return None;
    }
    let waivers = view.status.claim.as_ref().map(|claim| claim.waivers.as_slice()).unwrap_or_default();
    let waiver = waivers.iter().find(|waiver| waiver.check == check.name && result != CheckResult::Passed);
    if waiver.is_some() && !check.waivable {
        message.push_str(" The plan's waiver is ignored: this check cannot be waived.");
    }
    let waived = waiver.filter(|_| check.waivable).map(|waiver| waiver.reason.clone());
    Some(CheckOutcome { check, result, message, remedy, waived })
}

/// How a check is told at a stage.
enum Timing {
    /// It gates the step that comes next.
    Now,
    /// It gates a later one, and what it needs may not be known yet.
    Early,
    /// It explains why there is no step.
    OnlyIfFailed,
}

/// What gates steps further ahead mostly cannot hold yet (the VM at home is off until the failback), and would only
/// frighten.
fn timing(check: &Check, stage: Stage) -> Option<Timing> {
    let in_azure = matches!(stage, Stage::FailedOver | Stage::SyncingToVMware | Stage::ReadyToFailBack);
    if check.gates.iter().any(|verb| is_ahead(*verb, stage)) || check.gates.is_empty() && in_azure {
        return Some(Timing::Now);
    }
    if check.early && in_azure {
        return Some(Timing::Early);
    }
    // A machine whose migration was completed is offered nothing any more.
    (*check == replication::NOT_MIGRATED && stage == Stage::InTransition).then_some(Timing::OnlyIfFailed)
}

/// Whether a step is the next one, or, while synchronising, the one after.
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
        .filter(|outcome| outcome.check.gates.contains(&verb))
        .filter(|outcome| outcome.result != CheckResult::Passed && outcome.waived.is_none())
        .collect()
}
