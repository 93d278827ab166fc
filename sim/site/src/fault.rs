//! Faults: what goes wrong, on which call, how often. They are armed by the scenario, by the admin endpoint or by the API.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mend::Mend;

/// A fault and the calls that it strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// HTTP method, e.g. `POST`. Absent: any.
    #[serde(default)]
    pub method: Option<String>,
    /// Path without query, compared without case; `*` stands for anything, e.g. `*/plannedFailover`. Absent: any.
    #[serde(default)]
    pub path: Option<String>,
    /// SOAP method, e.g. `Login`. Absent: any.
    #[serde(default)]
    pub soap: Option<String>,
    /// Machine that the call is about (for job faults). Absent: any.
    #[serde(default)]
    pub machine: Option<String>,
    /// Let so many matching calls pass first.
    #[serde(default)]
    pub skip: u32,
    /// Strike so many times; 0: until it is mended.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub effect: Effect,
}

fn once() -> u32 {
    1
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// The answer is late by so much wall time.
    Latency {
        /// Milliseconds.
        millis: u64,
    },
    /// An HTTP error instead of the answer; nothing takes effect.
    Status {
        /// Status code.
        status: u16,
        /// ARM error code; absent: an empty body.
        #[serde(default)]
        code: Option<String>,
        /// Message of the ARM error.
        #[serde(default)]
        message: Option<String>,
        /// `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
        /// This text as the body instead of an ARM error.
        #[serde(default)]
        body: Option<String>,
    },
    /// The HTML page of a proxy; nothing takes effect.
    Html {
        /// Status code.
        status: u16,
    },
    /// The call takes effect and its answer's body ends too early.
    CutBody {
        /// Bytes that arrive.
        after_bytes: usize,
    },
    /// The connection is closed before the call takes effect.
    ResetBefore,
    /// The call takes effect, then the connection is closed without an answer.
    ResetAfter,
    /// A SOAP fault.
    SoapFault {
        /// The fault's type, e.g. `NotAuthenticated`.
        fault: String,
    },
    /// The job that the call starts fails.
    JobFails {
        /// Error code.
        code: String,
        /// Message.
        message: String,
        /// At the task of this name; absent: at the first.
        #[serde(default)]
        task: Option<String>,
    },
    /// The job that the call starts never ends.
    JobStuck {
        /// At the task of this name; absent: at the first.
        #[serde(default)]
        task: Option<String>,
    },
    /// The list of replicated items shows the world as it was when this fault was armed.
    StaleList,
    /// The list of jobs does not show those yet that were begun in the last so many seconds.
    LateJobs {
        /// Seconds of the site.
        seconds: u32,
    },
    /// A change of the world's facts rather than of a call: see [`Mend`].
    World {
        /// The change.
        change: Box<Mend>,
    },
}

/// An armed fault and how often it has matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Armed {
    pub(crate) fault: Fault,
    pub(crate) seen: u32,
    pub(crate) struck: u32,
    /// What a stale list shows.
    #[serde(default)]
    pub(crate) frozen: Option<Value>,
}

/// The call that is about to be served, as faults see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) soap: Option<&'a str>,
    pub(crate) machine: Option<&'a str>,
}

/// All armed faults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Faults {
    pub(crate) armed: Vec<Armed>,
}

impl Faults {
    /// The effects that strike this call, of those that `wanted` selects; counts them.
    pub(crate) fn strike(&mut self, target: Target<'_>, wanted: impl Fn(&Effect) -> bool) -> Vec<Effect> {
        self.struck(target, wanted).into_iter().map(|(effect, _)| effect).collect()
    }

    /// What a list that lags behind shows to this call.
    pub(crate) fn stale(&mut self, target: Target<'_>) -> Option<Value> {
        self.struck(target, |effect| *effect == Effect::StaleList).into_iter().find_map(|(_, frozen)| frozen)
    }

    /// By how many seconds a list of jobs lags behind.
    pub(crate) fn late_jobs(&mut self, target: Target<'_>) -> u32 {
        let late = self.strike(target, |effect| matches!(effect, Effect::LateJobs { .. })).into_iter();
        late.map(|effect| if let Effect::LateJobs { seconds } = effect { seconds } else { 0 }).max().unwrap_or_default()
    }

    /// Counts the faults that strike, and drops those that are used up.
    fn struck(&mut self, target: Target<'_>, wanted: impl Fn(&Effect) -> bool) -> Vec<(Effect, Option<Value>)> {
        let mut struck = Vec::new();
        for armed in &mut self.armed {
            if !wanted(&armed.fault.effect) || !armed.fault.matches(target) {
                continue;
            }
            armed.seen += 1;
            if armed.seen > armed.fault.skip {
                armed.struck += 1;
                struck.push((armed.fault.effect.clone(), armed.frozen.clone()));
            }
        }
        self.armed.retain(|armed| armed.fault.times == 0 || armed.struck < armed.fault.times);
        struck
    }
}

impl Effect {
    /// Effects that concern the HTTP exchange itself, as opposed to the job that it starts.
    pub(crate) fn is_of_the_wire(&self) -> bool {
        match self {
            Effect::Latency { .. }
            | Effect::Status { .. }
            | Effect::Html { .. }
            | Effect::CutBody { .. }
            | Effect::ResetBefore
            | Effect::ResetAfter
            | Effect::SoapFault { .. } => true,
            Effect::JobFails { .. }
            | Effect::JobStuck { .. }
            | Effect::StaleList
            | Effect::LateJobs { .. }
            | Effect::World { .. } => false,
        }
    }

    /// Effects on the job that a call starts.
    pub(crate) fn is_of_the_job(&self) -> bool {
        matches!(self, Effect::JobFails { .. } | Effect::JobStuck { .. })
    }
}

impl Fault {
    fn matches(&self, target: Target<'_>) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| match wanted {
            None => true,
            Some(wanted) => is.is_some_and(|is| wanted.eq_ignore_ascii_case(is)),
        };
        same(&self.method, Some(target.method))
            && same(&self.soap, target.soap)
            && same(&self.machine, target.machine)
            && self
                .path
                .as_ref()
                .is_none_or(|pattern| glob(&pattern.to_ascii_lowercase(), &target.path.to_ascii_lowercase()))
    }
}

/// `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return text.is_empty() };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        assert!(glob("*/plannedfailover", "/a/b/plannedfailover"));
        assert!(!glob("*/plannedfailover", "/a/plannedfailover/x"));
        assert!(glob("/a/*/c*", "/a/b/c"));
        assert!(glob("/a", "/a"));
        assert!(!glob("/a", "/ab"));
    }

    #[test]
    fn counts_strikes() {
        let fault: Fault =
            serde_yaml::from_str("{method: POST, skip: 1, times: 2, effect: {type: resetAfter}}").unwrap();
        let mut faults = Faults { armed: vec![Armed { fault, seen: 0, struck: 0, frozen: None }] };
        let target = Target { method: "POST", path: "/x", soap: None, machine: None };
        let struck: Vec<usize> = (0..4).map(|_| faults.strike(target, Effect::is_of_the_wire).len()).collect();
        assert_eq!(struck, [0, 1, 1, 0]);
        assert!(faults.armed.is_empty(), "what is used up is gone");
    }
}
