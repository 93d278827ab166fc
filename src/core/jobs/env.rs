//! What a Job's containers are told of what they run for. Never a secret: all of it is in the status that everybody who
//! may read the objects can read.

use std::collections::BTreeMap;

use crate::api::{DecidedLocation, Hook, ReplicatedItemSpec, ReplicatedItemStatus};

/// Environment variables.
pub type Environment = BTreeMap<&'static str, String>;

/// Every variable: its name, what it says, and the Jobs that have it. The table of `docs/hooks.md`.
pub const ENVIRONMENT: [(&str, &str, &str); 23] = [
    ("FAILBACK_NAMESPACE", "namespace of plan and machine", "all"),
    ("FAILBACK_PLAN", "name of the plan", "all"),
    ("FAILBACK_HOOK", "name of the hook", "hooks"),
    ("FAILBACK_WHEN", "`Before` or `After`", "hooks"),
    ("FAILBACK_STEP", "`Reprotect`, `FailBack`, `Commit` or `Protect`", "hooks"),
    ("FAILBACK_SCOPE", "`Plan`, `Wave` or `Item`", "hooks"),
    ("FAILBACK_PROBE", "name of the probe", "probes"),
    ("FAILBACK_WAVE", "name of the wave", "hooks of scope Wave and Item, probes"),
    ("FAILBACK_ITEMS", "names of the wave's ReplicatedItems, separated by spaces", "hooks of scope Wave"),
    ("FAILBACK_ITEM", "name of the ReplicatedItem", "hooks of scope Item, probes"),
    ("FAILBACK_MACHINE", "`spec.machine`: the name in the vault, or the ARM id of the replicated item", "as above"),
    ("FAILBACK_PHASE", "`status.phase`", "as above"),
    ("FAILBACK_RUNS_IN", "`Azure` or `VMware`", "as above"),
    ("FAILBACK_LOCATION", "`Original` or `Alternate`", "as above"),
    ("FAILBACK_AZURE_VM_ID", "ARM id of the machine in Azure", "as above"),
    ("FAILBACK_ITEM_ID", "ARM id of the replicated item", "as above"),
    ("FAILBACK_VM_MOREF", "managed object id of the VM at home", "as above"),
    ("FAILBACK_VM_INSTANCE_UUID", "its instance UUID", "as above"),
    ("FAILBACK_VM_BIOS_UUID", "its BIOS UUID", "as above"),
    ("FAILBACK_GUEST_IP", "the guest's address, as VMware Tools tell it", "as above"),
    ("FAILBACK_DATASTORE", "display name of the datastore at home", "as above"),
    ("FAILBACK_HOST", "name of the ESX host", "as above"),
    ("FAILBACK_RECOVERY_POINT_TIME", "when the recovery point was made, RFC 3339", "as above"),
];

/// What a hook's Job is told, whatever it runs for.
pub fn of_hook(namespace: &str, plan: &str, hook: &Hook, wave: &str) -> Environment {
    let mut told = Environment::from([
        ("FAILBACK_NAMESPACE", namespace.to_owned()),
        ("FAILBACK_PLAN", plan.to_owned()),
        ("FAILBACK_HOOK", hook.name.clone()),
        ("FAILBACK_WHEN", hook.when.as_str().to_owned()),
        ("FAILBACK_STEP", hook.step.as_str().to_owned()),
        ("FAILBACK_SCOPE", hook.scope.as_str().to_owned()),
    ]);
    if !wave.is_empty() {
        told.insert("FAILBACK_WAVE", wave.to_owned());
    }
    told
}

/// What is known of a machine. What is not known is there and empty, so that a script may insist on its variables.
pub fn of_item(
    name: &str,
    spec: &ReplicatedItemSpec,
    status: &ReplicatedItemStatus,
    guest_ip: Option<&str>,
) -> Environment {
    let known = |value: &Option<String>| value.clone().unwrap_or_default();
    let identity = &status.identity;
    let target = status.target.as_ref();
    let location = status.location.as_ref().map(|location| match location.decided {
        DecidedLocation::Original => "Original",
        DecidedLocation::Alternate => "Alternate",
    });
    let point = status.recovery_point.as_ref().and_then(|point| point.time.as_ref());
    Environment::from([
        ("FAILBACK_ITEM", name.to_owned()),
        ("FAILBACK_MACHINE", spec.machine.clone()),
        ("FAILBACK_PHASE", format!("{:?}", status.phase)),
        ("FAILBACK_RUNS_IN", known(&status.runs_in)),
        ("FAILBACK_LOCATION", location.unwrap_or_default().to_owned()),
        ("FAILBACK_AZURE_VM_ID", known(&identity.azure_vm_id)),
        ("FAILBACK_ITEM_ID", known(&identity.item_id)),
        ("FAILBACK_VM_MOREF", known(&identity.moref)),
        ("FAILBACK_VM_INSTANCE_UUID", known(&identity.instance_uuid)),
        ("FAILBACK_VM_BIOS_UUID", known(&identity.bios_uuid)),
        ("FAILBACK_GUEST_IP", guest_ip.unwrap_or_default().to_owned()),
        ("FAILBACK_DATASTORE", target.map(|target| target.datastore.clone()).unwrap_or_default()),
        ("FAILBACK_HOST", target.and_then(|target| target.host.clone()).unwrap_or_default()),
        ("FAILBACK_RECOVERY_POINT_TIME", point.map(|time| time.0.to_string()).unwrap_or_default()),
    ])
}
