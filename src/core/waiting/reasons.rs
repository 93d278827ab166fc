//! The reasons of waits, with meaning and remedy: `docs/reasons.md` is generated from them.

use crate::core::found::STATUS_LOST;

/// A remedy that not everybody has: the chart's policies ask for the verb once a plan has started.
macro_rules! by_waiver {
    ($remedy:literal) => {
        concat!($remedy, " Of a started plan or a claimed machine, that takes the verb waive on failbackplans.")
    };
}
pub(crate) use by_waiver;

/// A remedy that ends with another try. PLAN stands for the plan's name, where that is not known.
macro_rules! then_retry {
    ($remedy:literal) => {
        concat!($remedy, " run: kubectl failback retry PLAN (with GitOps: set spec.retryToken to any new text).")
    };
}

/// A row of the documentation: reason, meaning, remedy, whether it stalls.
pub type ReasonRow = (&'static str, &'static str, &'static str, bool);

/// The reason of a machine that waits for what its vault shows, and the vault is not read.
pub const VAULT_UNREADABLE: &str = "VaultUnreadable";

/// Reasons for which a plan holds an item back.
pub const HELD_REASONS: [&str; 25] = [
    "Suspended",
    "ApprovalRequired",
    STATUS_LOST,
    "WaveNotStarted",
    "ConcurrencyLimit",
    "ItemFailed",
    "PlanDeleted",
    "DryRun",
    "InvalidSpec",
    "WindowClosed",
    "RecoveryPointsMissing",
    "NotVerified",
    "WaitingForSoak",
    "MasterTargetFull",
    "WaveTooLarge",
    "VaultBusy",
    "HostBusy",
    "Cancelled",
    "StepEnding",
    "Quarantined",
    "HookRunning",
    "HookFailed",
    "WaitingForChecks",
    "WaitingForInput",
    "WaitingForObservation",
];

/// Every reason with its meaning and remedy; `docs/reasons.md` is generated from it.
pub const REASONS: [ReasonRow; 44] = [
    ("NotClaimed", "No plan has claimed the item; it is only observed.", "Name it in a FailbackPlan.", false),
    (
        "Suspended",
        "The plan is suspended.",
        "Run: kubectl failback resume PLAN (with GitOps: set spec.suspend to false).",
        false,
    ),
    (
        "ApprovalRequired",
        "The next step needs an approval.",
        "Somebody with the approver role runs: kubectl failback approve PLAN --step STEP; the message names both.",
        false,
    ),
    (
        STATUS_LOST,
        "The machine was found failed back, or back in Azure after a failback, and no record says that the plan did that: its status was lost, or somebody else did it. The next step that cannot be taken back needs explicit approval.",
        "(1) See which copy runs, and which has the newer data. (2) To go on, run: kubectl failback approve PLAN --step STEP, as the message says, or kubectl failback retry PLAN. (3) Or name the machine in spec.skip to leave it as it is, or in spec.cancel to undo its failback.",
        true,
    ),
    (
        "WaveNotStarted",
        "A wave that this one depends on is not verified yet.",
        "None; see that wave's machines. Name those that are not to come home in spec.skip.",
        false,
    ),
    (
        "ConcurrencyLimit",
        "As many machines as the wave, or the plan, allows are on their way.",
        "None, or raise maxConcurrent.",
        false,
    ),
    (
        "ItemFailed",
        "Another machine of the plan needs a person, so nothing new starts.",
        "See why with kubectl describe replicateditem; resolve that, or name the machine in spec.skip.",
        false,
    ),
    (
        "PlanDeleted",
        "The plan is being deleted, so nothing new starts.",
        "The plan's condition Ready names what a commit lacks. Or undo the failback with spec.cancel, or give the plan up: kubectl failback abandon PLAN.",
        false,
    ),
    ("DryRun", "The plan is a dry run.", "Set spec.dryRun to false.", false),
    ("InvalidSpec", "The plan cannot be carried out as it is.", "Change the field that the message names.", false),
    (
        "WindowClosed",
        "Failbacks and commits start inside the plan's window only.",
        by_waiver!("None; the message says when it opens. Or change spec.window."),
        false,
    ),
    (
        "RecoveryPointsMissing",
        "A wave is failed back only once each of its machines has a recovery point.",
        "None; name machines that will never have one in spec.skip.",
        false,
    ),
    (
        "NotVerified",
        "The commit waits until the machine is verified at home.",
        "Do what its checks say in status.checks.",
        false,
    ),
    (
        "MasterTargetFull",
        "The master target carries as many disks as it can.",
        "None: disks get free when machines that came home through it are committed. Or name another one in spec.masterTargetRef of machines that are not reprotected yet.",
        false,
    ),
    (
        "WaveTooLarge",
        "The wave has more disks for one master target than that one carries.",
        "Split the wave, or name another master target in spec.masterTargetRef of some of its machines.",
        false,
    ),
    ("VaultBusy", "As many calls as the vault is given at a time are in flight.", "None.", false),
    ("HostBusy", "As many machines as the host is given at a time are being powered on.", "None.", false),
    (
        "Cancelled",
        "The plan asks for the failback to be undone, or not to be made.",
        then_retry!(
            "Waves that depend on its wave wait for it: name one that stays in Azure in spec.skip. To fail it back after all, take it out of spec.cancel; where its failback was undone,"
        ),
        false,
    ),
    ("StepEnding", "The step before has not ended yet.", "None.", false),
    (
        "Quarantined",
        "The machine failed and is set aside; the plan goes on without it.",
        then_retry!("Fix the cause, then"),
        false,
    ),
    (
        "HookRunning",
        "A hook of the plan must end first, or all machines that it runs for must have come so far.",
        "None; or see the Job that the message names.",
        false,
    ),
    (
        "HookFailed",
        "A hook of the plan failed, or its Job could not be made.",
        then_retry!(
            "A Job that could not be made is tried again every minute. To give up the hook, take it out of spec.hooks: one that holds before a step of a started plan takes the verb waive on failbackplans. To run it again, see the Job and its log, correct its jobTemplate in spec.hooks, then"
        ),
        true,
    ),
    (
        "WaitingForObservation",
        "What must be known first has not been observed: of this machine, or the master target of another one of its wave.",
        "See the RecoveryVault's conditions, and the spelling of spec.machine.",
        false,
    ),
    (
        "UnsupportedProvider",
        "The item is not protected by a VMware provider of a generation handled here.",
        "Take the machine out of the plan: name it in spec.skip. failback handles only VMware machines and physical servers that Azure Site Recovery protects, with a replication appliance or a configuration server.",
        true,
    ),
    (
        "WaitingForTransition",
        "Site recovery is between two states.",
        "None, unless it lasts for hours; then look at the item and its jobs in the portal.",
        false,
    ),
    (
        "WaitingForChecks",
        "Checks that gate the next step have not passed. The machine holds no place of its plan meanwhile.",
        "See the remedy of each check in status.checks.",
        false,
    ),
    (
        "WaitingForInput",
        "A value that the next call needs is neither declared nor known. The machine holds no place of its plan meanwhile.",
        "Set the field that the message names.",
        false,
    ),
    (
        VAULT_UNREADABLE,
        "The vault has not been read for a while, so that what the machine waits for cannot be seen.",
        "See the RecoveryVault's conditions. It goes on by itself once the vault is read again.",
        false,
    ),
    ("WaitingForJob", "A site recovery job runs.", "None.", false),
    (
        "JobSuspended",
        "The site recovery job waits for a person.",
        "Resume or cancel the job in the portal, under Site Recovery jobs of the vault.",
        true,
    ),
    (
        "WaitingForAnotherOperation",
        "A job runs that this operator did not start.",
        "None; it goes on when that job has ended.",
        false,
    ),
    ("WaitingForSettling", "The job ended; the item does not show its effect yet.", "None.", false),
    (
        "AzureVmRemains",
        "The failback was committed half an hour ago, and the Azure VM still exists.",
        "Remove the locks on the VM, its NICs and disks, or whatever else keeps it, and delete it in Azure. It goes on by itself once the VM is gone.",
        true,
    ),
    ("WaitingForSynchronisation", "Data is being synchronised.", "None.", false),
    (
        "WaitingForSoak",
        "Verification must hold a while longer before the commit.",
        by_waiver!("None, or lower spec.commit.soakSeconds."),
        false,
    ),
    ("WaitingForRetry", "A call was refused or a job failed; it is tried again later.", "See the message.", false),
    ("WaitingForOutcome", "A call was sent and no answer came; its effect is being looked for.", "None.", false),
    (
        "OperationFailed",
        "A step failed and is not repeated by itself; or its call was refused for good, or again and again.",
        then_retry!("Fix the cause, then"),
        true,
    ),
    (
        "OperationOutcomeUnknown",
        "It cannot be found out whether a call took effect.",
        then_retry!(
            "Look at the item and its jobs in the portal. Finish the step there; or, only if nothing was started,"
        ),
        true,
    ),
    (
        "ExternalChange",
        "What the plan had done was undone by somebody else.",
        then_retry!("To leave it as it is, name it in spec.skip. To do it again,"),
        true,
    ),
    (
        "FailbackCancelled",
        "The failback was undone because the plan asks for that; the machine stays in Azure.",
        then_retry!("To fail it back again, take it out of the plan's spec.cancel, then"),
        false,
    ),
    (
        "CancelNotPossible",
        "The plan asks to undo the failback, and site recovery does not offer that.",
        "Take it out of the plan's spec.cancel, or undo the failback in the portal. The classic generation cannot undo one.",
        true,
    ),
    (
        "FailbackIncomplete",
        "A failback did not complete, and site recovery could not revert it: it offers to cancel it, and not to commit it.",
        "Undo it with `kubectl failback cancel`, so that the machine runs in Azure again; then see why it failed.",
        true,
    ),
    (
        "NotRunningInAzure",
        "The failback was undone, and the machine in Azure does not run again.",
        "Start the VM in Azure, or move it back to its resource group; its activity log tells what keeps it from starting, such as a quota. It goes on by itself once it runs.",
        true,
    ),
];

/// What to do about a reason.
pub fn remedy(reason: &str) -> Option<&'static str> {
    row(reason).map(|row| row.2)
}

pub(super) fn row(reason: &str) -> Option<ReasonRow> {
    REASONS.into_iter().find(|row| row.0 == reason)
}
