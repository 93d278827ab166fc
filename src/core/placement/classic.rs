//! What only the classic generation's calls name: retention volume, policies, account, disks.

use crate::core::{
    facts::{Machine, TargetFacts},
    observed::{Policy, RetentionVolume},
    refusal::Refusal,
    target::best_volume,
};

/// The master target's retention volume: declared, else the best one.
///
/// # Errors
/// Why there is none.
pub(in crate::core) fn retention<'a>(
    machine: &Machine<'_>,
    target: &'a TargetFacts,
) -> Result<&'a RetentionVolume, Refusal> {
    let (Some(wanted), Some(volumes)) = (machine.spec.retention_drive.as_deref(), &target.target.retention) else {
        return best_volume(&target.target);
    };
    let plain = |name: &str| name.trim_end_matches([':', '\\']).to_lowercase();
    let names: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    volumes
        .iter()
        .find(|volume| plain(&volume.name) == plain(wanted))
        .ok_or_else(|| Refusal::missing("spec.retentionDrive", "retention volume", wanted, &names))
}

/// The failback policy: declared, else `<forward policy>-failback`, which is made together with the forward policy.
///
/// # Errors
/// Why there is none.
pub(in crate::core) fn failback_policy<'a>(machine: &Machine<'a>) -> Result<&'a Policy, Refusal> {
    let policies = machine.facts.policies.known()?;
    let field = "spec.failbackPolicyId";
    if let Some(wanted) = &machine.spec.failback_policy_id {
        return declared(policies, field, wanted);
    }
    let item = machine.facts.replication.known()?;
    let used = [&item.policy_id, &item.last_used_policy_id].into_iter().flatten();
    let Some(forward) = used.filter_map(|id| by_id(policies, id)).next() else {
        return Err(Refusal::refused(
            format!("{field}: the vault does not name the policy that protected the machine."),
            format!("Set {field} to the ARM id of a failback policy."),
        ));
    };
    let name = format!("{}-failback", forward.name);
    policies.iter().find(|policy| policy.name.eq_ignore_ascii_case(&name)).ok_or_else(|| {
        Refusal::refused(
            format!("{field}: the vault has no policy \"{name}\" beside \"{}\".", forward.name),
            format!("Set {field} to the ARM id of a failback policy."),
        )
    })
}

/// The policy for protecting again: declared, else the one that was used before, else the one that the failback policy
/// in use was made beside.
///
/// # Errors
/// Why there is none.
pub(in crate::core) fn forward_policy(machine: &Machine<'_>) -> Result<String, Refusal> {
    let item = machine.facts.replication.known()?;
    let named = machine.spec.reprotection.policy_id.clone().or_else(|| item.last_used_policy_id.clone());
    let beside = || {
        let policies = machine.facts.policies.value()?;
        let in_use = by_id(policies, item.policy_id.as_deref()?)?;
        let name = in_use.name.strip_suffix("-failback")?;
        policies.iter().find(|policy| policy.name == name).map(|policy| policy.id.clone())
    };
    named.or_else(beside).ok_or_else(|| {
        Refusal::refused(
            "spec.reprotection.policyId: the vault does not name the policy that was used before the failover.",
            "Set spec.reprotection.policyId to the ARM id of one.",
        )
    })
}

fn by_id<'a>(policies: &'a [Policy], id: &str) -> Option<&'a Policy> {
    policies.iter().find(|policy| policy.id.eq_ignore_ascii_case(id))
}

fn declared<'a>(policies: &'a [Policy], field: &str, wanted: &str) -> Result<&'a Policy, Refusal> {
    let ids: Vec<_> = policies.iter().map(|policy| policy.id.as_str()).collect();
    by_id(policies, wanted).ok_or_else(|| Refusal::missing(field, "policy", wanted, &ids))
}

/// Number of the configuration server's account: declared, else the one that the machine used, else the only one. It
/// is needed only for pushing an agent.
///
/// # Errors
/// When the declared one does not exist.
pub(in crate::core) fn run_as_account(machine: &Machine<'_>) -> Result<Option<String>, Refusal> {
    let accounts = &machine.facts.fabric.known()?.run_as_accounts;
    if let Some(wanted) = machine.spec.run_as_account.as_deref() {
        let names: Vec<_> = accounts.iter().map(|account| account.name.as_str()).collect();
        return accounts
            .iter()
            .find(|account| account.id.eq_ignore_ascii_case(wanted) || account.name.eq_ignore_ascii_case(wanted))
            .map(|account| Some(account.id.clone()))
            .ok_or_else(|| {
                Refusal::missing("spec.runAsAccount", "account of the configuration server", wanted, &names)
            });
    }
    let used = machine.facts.replication.known()?.run_as_account_id.clone();
    Ok(used.or_else(|| match accounts.as_slice() {
        [only] => Some(only.id.clone()),
        _ => None,
    }))
}

/// Ids of the disks to replicate; `None` for all.
///
/// # Errors
/// When a disk to leave out does not exist, or none is left.
pub(in crate::core) fn disks_to_include(machine: &Machine<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let excluded = &machine.spec.exclude_disks;
    if excluded.is_empty() {
        return Ok(None);
    }
    let disks = &machine.facts.replication.known()?.disks;
    let names: Vec<_> = disks.iter().map(|disk| disk.name.as_str()).collect();
    if let Some(unknown) = excluded.iter().find(|out| !disks.iter().any(|d| d.id == **out || d.name == **out)) {
        return Err(Refusal::missing("spec.excludeDisks", "replicated disk", unknown, &names));
    }
    let left: Vec<_> = disks
        .iter()
        .filter(|disk| !excluded.contains(&disk.id) && !excluded.contains(&disk.name))
        .map(|disk| disk.id.clone())
        .collect();
    if left.is_empty() {
        return Err(Refusal::refused(
            "spec.excludeDisks: no disk is left to come home.",
            "Take some of them out of spec.excludeDisks.",
        ));
    }
    Ok(Some(left))
}
