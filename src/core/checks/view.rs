//! What a rule looks at, and what it says.

use jiff::Timestamp;

use crate::{
    api::{DecidedLocation, ReplicatedItemSpec, ReplicatedItemStatus},
    core::{
        action::Verb,
        facts::{ItemFacts, Machine, SiteFacts, TargetFacts},
        observed::{Datastore, Fabric, Replication, VirtualMachine},
        placement::{self, Placement},
        refusal::Refusal,
        stage::Stage,
        target::{self, Finding},
    },
};

const SEE_BOTH: &str = "See the conditions of the RecoveryVault and of the VCenter.";

/// What a rule looks at.
pub(super) struct View<'a> {
    pub(super) machine: Machine<'a>,
    pub(super) spec: &'a ReplicatedItemSpec,
    pub(super) status: &'a ReplicatedItemStatus,
    pub(super) facts: &'a ItemFacts,
    pub(super) stage: Stage,
    /// The call of ours that is open.
    pub(super) running: Option<Verb>,
    pub(super) now: Timestamp,
    pub(super) placement: Placement<'a>,
}

impl<'a> View<'a> {
    pub(super) fn of(machine: &Machine<'a>) -> Self {
        let Machine { spec, status, facts, stage, running, now } = *machine;
        Self { machine: *machine, spec, status, facts, stage, running, now, placement: placement::choose(machine) }
    }

    pub(super) fn item(&self) -> Result<&'a Replication, Verdict> {
        self.facts.replication.known().map_err(|why| Verdict::unknown(why, "See the RecoveryVault's conditions."))
    }

    pub(super) fn fabric(&self) -> Result<&'a Fabric, Verdict> {
        self.facts.fabric.known().map_err(|why| Verdict::unknown(why, "See the RecoveryVault's conditions."))
    }

    pub(super) fn site(&self) -> Result<&'a SiteFacts, Verdict> {
        self.facts.site.known().map_err(|why| Verdict::unknown(why, "See the conditions of the VCenter."))
    }

    /// The decided location. Where it is ruled out, `LocationPossible` alone tells why.
    pub(super) fn location(&self) -> Result<DecidedLocation, Verdict> {
        match &self.placement.location {
            Ok(location) => Ok(location.decided),
            Err(Refusal::Unknown(_)) => {
                Err(Verdict::unknown("The location is not decided.", "Do what the check LocationPossible says."))
            }
            Err(Refusal::Refused { .. }) => Err(Verdict::Irrelevant),
        }
    }

    /// The chosen target.
    pub(super) fn target(&self) -> Result<&'a TargetFacts, Verdict> {
        match &self.placement.target {
            Ok(chosen) => Ok(chosen.target),
            Err(Refusal::Unknown(why)) => Err(Verdict::unknown(why, SEE_BOTH)),
            Err(Refusal::Refused { why, remedy }) => Err(Verdict::unknown(why, remedy)),
        }
    }

    /// The chosen target's VM in vCenter.
    pub(super) fn target_vm(&self) -> Result<&'a VirtualMachine, Verdict> {
        target::machine(self.target()?).map_err(Verdict::from)
    }

    /// The chosen datastore. Where none is possible, `DatastoreReachable` alone tells why.
    pub(super) fn datastore(&self) -> Result<&'a Datastore, Verdict> {
        let name = match &self.placement.datastore {
            Ok(name) => name,
            Err(Refusal::Unknown(_)) => {
                return Err(Verdict::unknown("No datastore is chosen.", "Do what the check DatastoreReachable says."));
            }
            Err(Refusal::Refused { .. }) => return Err(Verdict::Irrelevant),
        };
        self.site()?
            .datastores
            .iter()
            .map(AsRef::as_ref)
            .find(|datastore: &&Datastore| datastore.name == *name)
            .ok_or_else(|| {
                Verdict::unknown(
                    format!("Datastore \"{name}\" was not found in vCenter."),
                    "Check that the VCenter's account can see it.",
                )
            })
    }
}

/// What a rule says.
pub(super) enum Verdict {
    Passed(String),
    Failed {
        saw: String,
        remedy: String,
    },
    Unknown {
        why: String,
        remedy: String,
    },
    /// It does not apply to this machine.
    Irrelevant,
}

impl Verdict {
    pub(super) fn passed(saw: impl Into<String>) -> Self {
        Self::Passed(saw.into())
    }

    pub(super) fn failed(saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed { saw: saw.into(), remedy: remedy.into() }
    }

    pub(super) fn unknown(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Unknown { why: why.into(), remedy: remedy.into() }
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(why) => Self::unknown(why, SEE_BOTH),
            Refusal::Refused { why, remedy } => Self::failed(why, remedy),
        }
    }
}

impl From<Finding> for Verdict {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Ok(saw) => Self::Passed(saw),
            Finding::Bad { saw, remedy } => Self::Failed { saw, remedy },
            Finding::Unknown { why, remedy } => Self::Unknown { why, remedy },
        }
    }
}

/// Lets a rule end early with `?`: where what it looks at is not known.
pub(super) fn judged(verdict: Result<Verdict, Verdict>) -> Verdict {
    verdict.unwrap_or_else(|early| early)
}
