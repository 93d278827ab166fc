//! Conditions: what to set, and how the list that is stored changes by it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::text::cut;

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// True.
    True,
    /// False.
    False,
    /// Unknown.
    Unknown,
}

impl Truth {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// A condition to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// `type`.
    pub kind: &'static str,
    /// `status`.
    pub status: Truth,
    /// `reason`, CamelCase.
    pub reason: &'static str,
    /// `message`.
    pub message: String,
}

impl Draft {
    /// A condition to set.
    pub fn new(kind: &'static str, status: impl Into<Truth>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: status.into(), reason, message: message.into() }
    }
}

/// The list to store: exactly the drafts, in their order; `lastTransitionTime` stays where the status stays.
pub fn merge(before: &[Condition], drafts: Vec<Draft>, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    drafts
        .into_iter()
        .map(|draft| {
            let since = before
                .iter()
                .find(|old| old.type_ == draft.kind && old.status == draft.status.as_str())
                .map_or(Time(now), |old| old.last_transition_time.clone());
            Condition {
                type_: draft.kind.to_owned(),
                status: draft.status.as_str().to_owned(),
                reason: draft.reason.to_owned(),
                message: cut(&draft.message, 4000),
                last_transition_time: since,
                observed_generation: generation,
            }
        })
        .collect()
}

/// The stored condition of a type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the stored condition is True.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// The three conditions that kstatus reads, for an object that is waiting, moving, stalled or done. `Reconciling` and
/// `Stalled` are present only when True, and never both.
pub fn summary(ready: bool, moving: bool, stalled: bool, reason: &'static str, message: &str) -> Vec<Draft> {
    let mut drafts = vec![Draft::new("Ready", ready, reason, message)];
    if stalled {
        drafts.push(Draft::new("Stalled", true, reason, message));
    } else if moving && !ready {
        drafts.push(Draft::new("Reconciling", true, reason, message));
    }
    drafts
}
