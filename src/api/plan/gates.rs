//! What stands between a plan and a step: consent, time, and what a person asks for by name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::approval::ApprovalStep;

/// A step that needs a person's consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Which step.
    pub step: ApprovalStep,
    /// How many different people must approve it.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1, max = 10))]
    pub count: i32,
    /// Whether an approval by the person who asked for the plan does not count. Who that is says the plan's annotation
    /// `failback.dev/requested-by`, which the chart's admission policy holds to the name of the requesting user.
    #[serde(default)]
    pub forbid_requester: bool,
}

const fn default_count() -> i32 {
    1
}

/// What must be so before a failback is committed, besides desiredPhase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CommitPolicy {
    /// Raising desiredPhase to Committed is consent enough: the commit follows as soon as the machine is verified.
    Manual,
    /// Verification must have held for `soakSeconds` without a break.
    #[default]
    Verified,
}

/// What follows when the probes of a machine at home fail for longer than their timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnProbeFailure {
    /// The machine stays where it is, uncommitted.
    #[default]
    Hold,
    /// The failback is undone (modernized generation only): the machine runs in Azure again, and is not failed back
    /// again before retryToken changes. A plan that is being deleted does not begin that by itself.
    Cancel,
}

/// When a failback may be committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitSpec {
    /// What must be so before the commit.
    #[serde(default)]
    pub policy: CommitPolicy,
    /// For how long verification must hold without a break before the commit, in seconds.
    #[serde(default = "default_soak")]
    #[schemars(range(min = 0, max = 604_800))]
    pub soak_seconds: i32,
    /// What follows when probes fail.
    #[serde(default)]
    pub on_probe_failure: OnProbeFailure,
}

impl CommitSpec {
    /// Seconds for which verification must have held.
    pub const fn soak(&self) -> i32 {
        match self.policy {
            CommitPolicy::Manual => 0,
            CommitPolicy::Verified => self.soak_seconds,
        }
    }
}

impl Default for CommitSpec {
    fn default() -> Self {
        Self {
            policy: CommitPolicy::default(),
            soak_seconds: default_soak(),
            on_probe_failure: OnProbeFailure::default(),
        }
    }
}

const fn default_soak() -> i32 {
    60
}

/// When failbacks and commits may start: once, from `start` to `end`, or again and again, for `durationMinutes` from
/// each time that `cron` names. What runs when it closes ends by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.start) == has(self.end) && has(self.cron) == has(self.durationMinutes) && has(self.start) != has(self.cron)")
    .message("give start and end, or cron and durationMinutes"))]
pub struct Window {
    /// When it opens, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// When it closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// When it opens, again and again: minute, hour, day of the month, month, day of the week, such as `0 22 * * SAT`.
    /// Each is `*`, a number, a range `1-5`, a list `1,3`, or any of these with a step `*/15`; days of the week are 0–7
    /// or SUN–SAT, months 1–12 or JAN–DEC. Where both days are restricted, either opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 128))]
    pub cron: Option<String>,
    /// For how many minutes it stays open from each time that `cron` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 44_640))]
    pub duration_minutes: Option<i32>,
    /// The time zone of `cron`, and of times in messages: a name of the IANA database, such as `Europe/Berlin`.
    #[serde(default = "default_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

fn default_zone() -> String {
    "UTC".to_owned()
}

/// A check that does not hold machines of this plan back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiver {
    /// Name of the check.
    #[schemars(length(min = 1, max = 64))]
    pub check: String,
    /// The machines that it is waived for; all of the plan's when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub items: Vec<String>,
    /// Why; it is shown beside the check.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}

impl Waiver {
    /// Whether it is for this machine.
    pub fn is_for(&self, item: &str) -> bool {
        self.items.is_empty() || self.items.iter().any(|name| name == item)
    }
}

/// A demand to undo failbacks that are not committed. Machines that it names are not failed back while it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelRequest {
    /// The machines; all of the plan's when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub items: Vec<String>,
    /// Why; the machine tells it.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}

/// What follows for the others when a machine fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnItemFailure {
    /// Nothing new starts; what runs ends.
    #[default]
    Stop,
    /// Whatever does not depend on it goes on; waves that depend on its wave wait.
    Continue,
    /// It is set aside: its wave counts without it, and waves that depend on its wave go on.
    Quarantine,
}

/// What happens when a plan is deleted half-way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// A plan with a failback that runs or is not committed stays, and says so.
    #[default]
    Hold,
    /// The plan goes at once; machines stay where they are.
    Abandon,
}
