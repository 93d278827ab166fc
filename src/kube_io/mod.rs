//! The Kubernetes API: watches, status writes, finalizers, events, the leader's lease.

pub mod coverage;
pub mod feed;
pub mod identity;
pub mod jobs;
pub mod lease;
mod malformed;
pub mod report;
pub mod write;
