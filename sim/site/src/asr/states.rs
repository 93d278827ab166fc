//! What the stages are called on the wire: protection states, allowed operations and instance types (protocol reference §2, §3).

use crate::scenario::{Generation, Unknowns};
use crate::world::{Machine, Stage};

/// `providerSpecificDetails.instanceType` of an item.
pub(crate) fn instance_type(generation: Generation, stage: Stage) -> &'static str {
    match (generation, stage.is_reverse()) {
        (Generation::Modernized, false) => "InMageRcm",
        (Generation::Modernized, true) => "InMageRcmFailback",
        (Generation::Classic, false) => "InMageAzureV2",
        (Generation::Classic, true) => "InMage",
    }
}

/// `protectionState` and its description.
pub(crate) fn protection_state(
    generation: Generation,
    machine: &Machine,
    unknowns: &Unknowns,
) -> (String, &'static str) {
    let classic = generation == Generation::Classic;
    let (state, description) = match machine.stage {
        Stage::ForwardInitial | Stage::ReverseInitial => {
            ("InitialReplicationInProgress", "Initial replication is in progress")
        }
        Stage::ForwardPointPending => {
            ("InitialReplicationRecoveryCompletionPending", "Waiting for first recovery point")
        }
        Stage::ReverseProtected if machine.was_cancelled() => (unknowns.state_after_cancel.as_str(), "Protected"),
        Stage::ForwardProtected | Stage::ReverseProtected => ("Protected", "Protected"),
        Stage::FailedOver => ("UnplannedFailoverCommitPendingStatesBegin", "Failover completed"),
        Stage::FailedOverCommitted => ("UnplannedFailoverCommitted", "Failover committed"),
        Stage::FailedBack if classic => (unknowns.classic_state_after_failback.as_str(), "Failover completed"),
        Stage::FailedBack => (unknowns.state_after_planned_failover.as_str(), "Planned failover finished"),
        Stage::FailedBackCommitted if classic => ("UnplannedFailoverCommitted", "Failover committed"),
        Stage::FailedBackCommitted => (unknowns.state_after_failback_commit.as_str(), "Failover committed"),
        Stage::Migrated => ("MigrationCompleted", "Migration completed"),
    };
    (state.to_owned(), description)
}

/// `activeLocation`: relative to the present direction of replication (protocol reference §2).
pub(crate) fn active_location(generation: Generation, stage: Stage, unknowns: &Unknowns) -> String {
    match stage {
        Stage::ForwardInitial
        | Stage::ForwardPointPending
        | Stage::ForwardProtected
        | Stage::ReverseInitial
        | Stage::ReverseProtected => "Primary".to_owned(),
        Stage::FailedOver | Stage::FailedOverCommitted | Stage::Migrated => "Recovery".to_owned(),
        Stage::FailedBack | Stage::FailedBackCommitted if generation == Generation::Classic => "Recovery".to_owned(),
        Stage::FailedBack | Stage::FailedBackCommitted => unknowns.location_after_failback.clone(),
    }
}

/// `allowedOperations` of an idle item.
pub(crate) fn allowed_operations<'a>(
    generation: Generation,
    machine: &Machine,
    unknowns: &'a Unknowns,
) -> Vec<&'a str> {
    let classic = generation == Generation::Classic;
    let known: &[&str] = match machine.stage {
        Stage::ForwardInitial | Stage::ForwardPointPending | Stage::ReverseInitial | Stage::Migrated => {
            &["DisableProtection"]
        }
        Stage::ForwardProtected => &["UnplannedFailover", "DisableProtection", "TestFailover"],
        Stage::FailedOver => &["CompleteMigration", "Commit", "DisableProtection", "ChangePit", "SwitchProtection"],
        Stage::FailedOverCommitted => &["CompleteMigration", "DisableProtection", "SwitchProtection"],
        // A failback is offered once there is a recovery point.
        Stage::ReverseProtected if !machine.has_points => &["DisableProtection"],
        Stage::ReverseProtected if classic => &["UnplannedFailover", "DisableProtection"],
        Stage::ReverseProtected if machine.was_cancelled() => return named(&unknowns.operations_after_cancel),
        Stage::ReverseProtected => &["PlannedFailover", "DisableProtection"],
        Stage::FailedBack if classic => &["Commit", "DisableProtection"],
        Stage::FailedBack => return named(&unknowns.operations_after_planned_failover),
        Stage::FailedBackCommitted if classic => &["CompleteMigration", "DisableProtection", "SwitchProtection"],
        Stage::FailedBackCommitted => return named(&unknowns.operations_after_failback_commit),
    };
    known.to_vec()
}

fn named(operations: &[String]) -> Vec<&str> {
    operations.iter().map(String::as_str).collect()
}
