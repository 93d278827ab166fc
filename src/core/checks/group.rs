//! Checks on a multi-VM consistency group.

use super::{Check, REPROTECT, Verdict, View, judged};
use crate::core::{action::Verb, facts::GroupMember};

pub(super) const REPLICATION_GROUP_TOGETHER: Check = Check {
    name: "ReplicationGroupTogether",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "The members of a consistency group share plan, wave, OS family and master target.",
    rule: |view| judged(together(view)),
};

fn together(view: &View<'_>) -> Result<Verdict, Verdict> {
    let item = view.item()?;
    let Some(group) = &item.group else { return Err(Verdict::Irrelevant) };
    let members =
        view.facts.group.known().map_err(|why| Verdict::unknown(why, "See the RecoveryVault's conditions."))?;
    if let Some(member) = members.iter().find(|member| member.os.is_some() && item.os.is_some() && member.os != item.os)
    {
        return Ok(Verdict::failed(
            format!("{} of group \"{group}\" has another OS family.", member.machine),
            "Take it out of the group in the portal.",
        ));
    }
    let target = view.target().ok();
    let apart = members.iter().find(|member| {
        let theirs = member.target_id.as_deref();
        matches!((theirs, target), (Some(theirs), Some(ours)) if !theirs.eq_ignore_ascii_case(&ours.target.id))
    });
    if let (Some(member), Some(ours)) = (apart, target) {
        return Ok(Verdict::failed(
            format!(
                "{} of group \"{group}\" comes home through another target than \"{}\".",
                member.machine, ours.target.name
            ),
            "Name the same MasterTarget in spec.masterTargetRef of each member.",
        ));
    }
    Ok(claimed_together(view, group, members))
}

/// Members that no plan has claimed only wait for one; a contradiction is a plan or wave that is not the others'.
fn claimed_together(view: &View<'_>, group: &str, members: &[GroupMember]) -> Verdict {
    const NAME_ALL: &str = "Name all members of the group in the same wave of one plan.";
    let own = view.status.claim.as_ref().map(|claim| (claim.plan.clone(), claim.wave.clone()));
    match own {
        Some(own) => match members.iter().find(|member| member.claimed.as_ref() != Some(&own)) {
            None => Verdict::passed(format!(
                "All {} members of group \"{group}\" are in plan {}.",
                members.len() + 1,
                own.0
            )),
            Some(member) => {
                let elsewhere = member.claimed.as_ref().map_or_else(
                    || "in no plan".to_owned(),
                    |(plan, wave)| format!("in wave \"{wave}\" of plan {plan}"),
                );
                let saw = format!(
                    "{} of group \"{group}\" is {elsewhere}; this machine is in wave \"{}\" of plan {}.",
                    member.machine, own.1, own.0
                );
                Verdict::failed(saw, NAME_ALL)
            }
        },
        None => {
            let mut claims = members.iter().filter_map(|member| member.claimed.as_ref());
            let first = claims.next();
            match claims.find(|other| first != Some(*other)) {
                Some((plan, wave)) => Verdict::failed(
                    format!(
                        "Members of group \"{group}\" are in different waves, one of them in \"{wave}\" of plan {plan}."
                    ),
                    NAME_ALL,
                ),
                None => Verdict::passed(format!("Group \"{group}\" has {} members. {NAME_ALL}", members.len() + 1)),
            }
        }
    }
}
