//! The conditions of a machine. Each can be set anew from Azure and vCenter alone.

use super::{Next, item_action::action};
use crate::api::CheckResult;
use crate::core::{
    action::Verb,
    checks::{self, CheckOutcome},
    conditions::{Draft, Truth, summary},
    facts::Machine,
    observed::{AzurePower, AzureVm, Health, Replication},
    probes::ProbeFact,
    schedule::load::INPUT_MISSING,
    stage::Stage,
    waiting::{VAULT_UNREADABLE, WaitingOn},
};

pub(super) fn drafts(machine: &Machine<'_>, checks: &[CheckOutcome], next: &Next) -> Vec<Draft> {
    let (stage, facts) = (machine.stage, machine.facts);
    let item = facts.replication.value();
    let mut drafts = readiness(machine, checks, next);
    drafts.push(preflight(machine, checks));
    drafts.push(reprotected(stage));
    drafts.push(failed_back(stage, item));
    drafts.push(verified(machine, checks));
    drafts.push(committed(stage, facts.azure_vm.known()));
    drafts.push(protected(stage));
    drafts.push(source_stopped(stage, facts.azure_vm.known()));
    drafts.push(replication_healthy(item));
    drafts
}

fn readiness(machine: &Machine<'_>, checks: &[CheckOutcome], next: &Next) -> Vec<Draft> {
    match next {
        Next::Done => {
            let reached = machine.stage.reached().map_or("where it should be", |phase| phase.as_str());
            summary(true, false, false, "PhaseReached", &format!("The machine is {reached}."))
        }
        Next::Act(guarded, _) => {
            let message = format!("{} is being called.", guarded.action.verb());
            summary(false, true, false, "Calling", &message)
        }
        // What follows shows in the next pass, which comes at once.
        Next::Again => summary(false, true, false, "Recording", "The machine moved on; looking again."),
        Next::Wait(WaitingOn::Plan, _) => {
            match upcoming(machine.stage).and_then(|verb| obstacle(machine, verb, checks)) {
                None => summary(true, false, false, "Observed", "Observed; no plan has claimed this machine."),
                Some(on) => summary(false, false, false, on.reason(), &on.message()),
            }
        }
        Next::Wait(on, _) => {
            let moving =
                machine.status.claim.is_some() && !matches!(on, WaitingOn::Held { .. } | WaitingOn::Cancelled(_));
            let message = on.message_of(machine.status.claim.as_ref().map(|claim| claim.plan.as_str()));
            match machine.facts.unread.as_ref().filter(|_| machine.status.claim.is_some() && on.is_for_vault()) {
                Some(unread) => summary(false, moving, false, VAULT_UNREADABLE, &format!("{message} {unread}")),
                None => summary(false, moving, on.stalled(), on.reason(), &message),
            }
        }
    }
}

/// The step whose checks are of interest at a stage.
const fn upcoming(stage: Stage) -> Option<Verb> {
    match stage {
        Stage::SyncingToVMware => Some(Verb::FailBack),
        Stage::FailedOver
        | Stage::ReadyToFailBack
        | Stage::FailedBack
        | Stage::HomeCommitted
        | Stage::SyncingToAzure
        | Stage::ProtectedToAzure
        | Stage::InTransition
        | Stage::Unknown => stage.next_verb(),
    }
}

/// What would keep the step from starting, were it asked for now: shown from the moment that a machine is declared.
fn obstacle(machine: &Machine<'_>, verb: Verb, checks: &[CheckOutcome]) -> Option<WaitingOn> {
    let failing = super::item_step::failing(checks, verb);
    if !failing.is_empty() {
        return Some(WaitingOn::Checks { step: verb, failing });
    }
    if machine.stage.next_verb() != Some(verb) {
        return None;
    }
    action(verb, machine).err().map(|refusal| WaitingOn::Input { step: verb, message: refusal.sentence() })
}

fn preflight(machine: &Machine<'_>, checks: &[CheckOutcome]) -> Draft {
    let (kind, stage) = ("PreflightPassed", machine.stage);
    if matches!(stage, Stage::Unknown | Stage::InTransition) {
        return unseen(kind);
    }
    let Some(verb) = upcoming(stage) else {
        return Draft::new(kind, true, "NothingAhead", "No step lies ahead.");
    };
    let waived: Vec<_> = checks
        .iter()
        .filter(|outcome| outcome.check.gates.contains(&verb) && outcome.waived.is_some())
        .map(|outcome| outcome.check.name)
        .collect();
    match obstacle(machine, verb, checks) {
        None if waived.is_empty() => {
            Draft::new(kind, true, "AllPassed", format!("All checks that gate {verb} passed."))
        }
        None => {
            let message = format!("All checks that gate {verb} passed, or are waived: {}.", waived.join(", "));
            Draft::new(kind, true, "AllPassed", message)
        }
        Some(WaitingOn::Checks { .. }) => {
            let failing = checks::blocking(checks, verb);
            let names: Vec<_> = failing.iter().map(|outcome| outcome.check.name).collect();
            Draft::new(kind, false, "ChecksFailed", format!("{verb} is gated by: {}.", names.join(", ")))
        }
        Some(on) => Draft::new(kind, false, INPUT_MISSING, on.message()),
    }
}

fn unseen(kind: &'static str) -> Draft {
    Draft::new(kind, Truth::Unknown, "NotObserved", "What site recovery shows cannot be placed.")
}

/// A condition that a machine reaches at one stage and keeps in all later ones.
fn reached(kind: &'static str, stage: Stage, since: Stage, yes: &str, no: &str) -> Draft {
    const ORDER: [Stage; 7] = [
        Stage::FailedOver,
        Stage::SyncingToVMware,
        Stage::ReadyToFailBack,
        Stage::FailedBack,
        Stage::HomeCommitted,
        Stage::SyncingToAzure,
        Stage::ProtectedToAzure,
    ];
    let rank = |stage: Stage| ORDER.iter().position(|other| *other == stage);
    match (rank(stage), rank(since)) {
        (Some(at), Some(from)) if at > from => Draft::new(kind, true, "AlreadyFurther", yes),
        (Some(at), Some(from)) if at == from => Draft::new(kind, true, "Reached", yes),
        (Some(_), Some(_)) => Draft::new(kind, false, "NotReached", no),
        (None, _) | (_, None) => unseen(kind),
    }
}

fn reprotected(stage: Stage) -> Draft {
    if stage == Stage::SyncingToVMware {
        return Draft::new("Reprotected", false, "Synchronising", "Data is being synchronised to VMware.");
    }
    reached(
        "Reprotected",
        stage,
        Stage::ReadyToFailBack,
        "The machine replicates, or has come home.",
        "The machine does not replicate to VMware.",
    )
}

fn failed_back(stage: Stage, item: Option<&Replication>) -> Draft {
    if stage == Stage::FailedBack && item.is_some_and(Replication::failback_incomplete) {
        let message = "The failback did not complete, and was not reverted.";
        return Draft::new("FailedBack", false, "Incomplete", message);
    }
    reached("FailedBack", stage, Stage::FailedBack, "The machine runs at home.", "The machine runs in Azure.")
}

fn verified(machine: &Machine<'_>, checks: &[CheckOutcome]) -> Draft {
    let stage = machine.stage;
    if stage == Stage::FailedBack {
        let failing = checks::blocking(checks, Verb::Commit);
        // A failback may be undone on ProbesFailed, which is told whatever else fails. A probe that could not judge is no
        // reason for that.
        let says_no = |probe: &ProbeFact| probe.result == CheckResult::Failed;
        let failed = machine.facts.probes.value().is_some_and(|probes| probes.iter().any(says_no));
        let of_probes = failing.iter().find(|outcome| failed && outcome.check.name == checks::PROBES_PASSED);
        // Who else may act for it says nothing of the machine.
        let of_machine = || failing.iter().find(|outcome| outcome.check.name != checks::DESCRIBED_ONCE);
        return match of_probes.or_else(of_machine) {
            None => Draft::new("Verified", true, "Reached", "The machine at home is the right one, runs and answers."),
            Some(first) => {
                let reason = match (first.check.name == checks::PROBES_PASSED, first.result) {
                    (true, CheckResult::Failed) if failed => "ProbesFailed",
                    (true, CheckResult::Failed) => "ProbesInconclusive",
                    (true, CheckResult::Passed | CheckResult::Unknown) => "ProbesPending",
                    (false, _) => "ChecksFailed",
                };
                Draft::new("Verified", false, reason, format!("{}: {}", first.check.name, first.message))
            }
        };
    }
    reached("Verified", stage, Stage::HomeCommitted, "The machine is home.", "The machine was not failed back.")
}

fn committed(stage: Stage, azure_vm: Result<&AzureVm, &str>) -> Draft {
    if stage == Stage::HomeCommitted {
        return match azure_vm {
            Ok(AzureVm::Absent) => Draft::new("Committed", true, "Reached", "Committed; the copy in Azure is gone."),
            Ok(AzureVm::Present { .. }) => {
                Draft::new("Committed", false, "AzureVmPresent", "Committed; Azure has not deleted its copy yet.")
            }
            Err(why) => Draft::new("Committed", Truth::Unknown, "NotObserved", why),
        };
    }
    reached("Committed", stage, Stage::HomeCommitted, "Committed; the copy in Azure is gone.", "Not committed.")
}

fn protected(stage: Stage) -> Draft {
    if stage == Stage::SyncingToAzure {
        return Draft::new("Protected", false, "Synchronising", "Data is being synchronised to Azure.");
    }
    reached(
        "Protected",
        stage,
        Stage::ProtectedToAzure,
        "The machine runs at home and replicates to Azure.",
        "The machine does not replicate from home to Azure.",
    )
}

fn source_stopped(stage: Stage, azure_vm: Result<&AzureVm, &str>) -> Draft {
    let kind = "SourceStopped";
    let came_home = matches!(stage, Stage::FailedBack | Stage::HomeCommitted);
    match stage {
        // That it runs there is seen, not concluded: one whose failback was undone may not have been started.
        Stage::FailedOver
        | Stage::SyncingToVMware
        | Stage::ReadyToFailBack
        | Stage::FailedBack
        | Stage::HomeCommitted => match azure_vm {
            Ok(AzureVm::Absent) => Draft::new(kind, true, "Absent", "The machine in Azure does not exist any more."),
            Ok(AzureVm::Present { power, .. }) if power.is_off() => {
                Draft::new(kind, true, "Stopped", format!("The machine in Azure is {power}."))
            }
            Ok(AzureVm::Present { power: AzurePower::Running, .. }) if !came_home => {
                Draft::new(kind, false, "RunsInAzure", "The machine runs in Azure.")
            }
            Ok(AzureVm::Present { power, .. }) => {
                Draft::new(kind, false, "NotStopped", format!("The machine in Azure is {power}."))
            }
            Err(why) => Draft::new(kind, Truth::Unknown, "NotObserved", why),
        },
        Stage::SyncingToAzure | Stage::ProtectedToAzure => {
            Draft::new(kind, true, "RunsAtHome", "The machine runs at home.")
        }
        Stage::InTransition | Stage::Unknown => unseen(kind),
    }
}

fn replication_healthy(item: Option<&Replication>) -> Draft {
    let kind = "ReplicationHealthy";
    match item.map(|item| (&item.health, item.health_errors.first())) {
        None => unseen(kind),
        Some((Health::Normal, _)) => Draft::new(kind, true, "Normal", "The replication is healthy."),
        Some((Health::Unclear(_), _)) => {
            Draft::new(kind, Truth::Unknown, "NotReported", "The vault reports no health for this machine.")
        }
        Some((health @ (Health::Warning | Health::Critical), error)) => {
            let reason = if *health == Health::Warning { "Warning" } else { "Critical" };
            let message = error.map_or_else(
                || format!("The health of the replication is {health}."),
                |error| format!("{} (code {}) {}", error.message, error.code, error.action),
            );
            Draft::new(kind, false, reason, message)
        }
    }
}
