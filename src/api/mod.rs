//! The custom resources of `failback.dev/v1alpha1`: types, validation rules, printer columns. Nothing else.
//!
//! Field documentation here becomes the CRDs' documentation (`kubectl explain`).

#![allow(
    clippy::duplicated_attributes,
    unreachable_pub,
    reason = "printer columns repeat keys by their nature, and the schema derive copies each type into a private scope"
)]

pub mod approval;
pub mod claim;
pub mod common;
pub mod crds;
pub mod found;
pub mod item;
pub mod job;
pub mod location;
pub mod master_target;
pub mod plan;
pub mod preview;
pub mod progress;
pub mod vault;
pub mod vcenter;
pub mod verification;

pub use approval::{ApprovalStep, FailbackApproval, FailbackApprovalSpec, FailbackApprovalStatus};
pub use claim::{Claim, ClaimWaiver};
pub use common::{CheckResult, CheckStatus, Reference, SecretReference};
pub use crds::{crds, crds_yaml};
pub use found::Found;
pub use item::{
    Identity, ItemPhase, LocationChoice, OperationOutcome, OperationRecord, RecoveryPointChoice, ReplicatedItem,
    ReplicatedItemSpec, ReplicatedItemStatus, ReprotectionSpec, TargetStatus,
};
pub use job::{JobTemplate, TemplateMetadata};
pub use location::{DecidedLocation, LocationStatus, RecoveryPointStatus, Transfer};
pub use master_target::{
    MOST_DISKS, MasterTarget, MasterTargetSpec, MasterTargetStatus, TargetDatastore, TargetDisks, TargetKind, TargetVm,
    TargetVolume,
};
pub use plan::{
    Approval, CancelRequest, Cancelled, CommitPolicy, CommitSpec, DeletionPolicy, DesiredPhase, FailbackPlan,
    FailbackPlanSpec, FailbackPlanStatus, Hook, HookOutcome, HookScope, HookStatus, HookTime, Issue, LabelDemand,
    LabelOperator, LabelValue, OnHookFailure, OnItemFailure, OnProbeFailure, Results, Selector, Summary, Waiver, Wave,
    WaveStatus, Window,
};
pub use preview::{Blocker, CallCount, PlanPreview};
pub use progress::{EstimateBasis, Progress, StepTiming};
pub use vault::{
    AZURE_SERVICE_ACCOUNT, AzureCloud, AzureCredential, ClientSecretCredential, CustomEndpoints,
    ManagedIdentityCredential, RecoveryVault, RecoveryVaultSpec, RecoveryVaultStatus, ServiceAccountCredential,
    WorkloadIdentityCredential,
};
pub use vcenter::{VCenter, VCenterSpec, VCenterStatus};
pub use verification::{GuestIpProbe, HttpProbe, JobProbe, Probe, ProbeStatus, Scheme, TcpProbe, VerificationSpec};

/// The API group of all resources.
pub const GROUP: &str = "failback.dev";
/// Set on plans and items, so that a deletion half-way is noticed.
pub const FINALIZER: &str = "failback.dev/hold";
/// `failback.dev/abandon: <UID>` lets a deleted plan go although its work is half done, and a deleted item although the
/// fate of a call is open.
pub const ABANDON_ANNOTATION: &str = "failback.dev/abandon";
/// `failback.dev/requested-by: <user>` says who asked for a plan; the chart's admission policy holds it to the name of the
/// requesting user.
pub const REQUESTED_BY_ANNOTATION: &str = "failback.dev/requested-by";
