//! One short file per kind: gather, decide, act, record. The deciding is in `core`; here is what surrounds it.

mod act;
mod approval;
mod connection;
mod context;
mod counts;
mod gather;
mod hooks;
mod item;
mod job_probes;
mod join;
mod ledger;
mod master_target;
mod opening;
mod plan;
mod probes;
mod run;
mod triggers;
mod turns;
mod vault;
mod vcenter;

pub use context::{Context, Settings};
pub use run::{Controllers, run};

use crate::{kube_io::write::WriteError, ports::FailureClass};

/// Why a pass ended early. The object is looked at again after a while; nobody else is affected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was written or read is out of date: look again at once.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// Something that a pass needs could not be read; that says nothing of whether it is there.
    #[error("the API server refused or did not answer a read")]
    Unread(#[source] Box<kube::Error>),
    /// An object without namespace, name or UID, which no server makes.
    #[error("the object has no {0}")]
    Malformed(&'static str),
    /// A pass panicked: a defect of ours, kept to this object.
    #[error("a defect: {0}")]
    Panicked(String),
}

impl Error {
    /// The class of failure that it is; none where a race was lost, as is usual, and the next pass sees the newer object.
    const fn class(&self) -> Option<FailureClass> {
        match self {
            Self::Write(WriteError::Conflict | WriteError::Gone) => None,
            Self::Write(WriteError::Forbidden(_)) => Some(FailureClass::Denied),
            Self::Write(WriteError::Kube(_)) | Self::Unread(_) => Some(FailureClass::Transient),
            Self::Malformed(_) | Self::Panicked(_) => Some(FailureClass::Invalid),
        }
    }

    /// The label used in metrics: a closed set.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Write(WriteError::Conflict) => "conflict",
            Self::Write(WriteError::Gone) => "gone",
            Self::Write(WriteError::Forbidden(_)) => "forbidden",
            Self::Write(WriteError::Kube(_)) | Self::Unread(_) => "kubernetes",
            Self::Malformed(_) => "malformed",
            Self::Panicked(_) => "panic",
        }
    }
}
