//! The Kubernetes API: watches, status writes, finalizers, events, the leader's lease.

pub mod feed;
pub mod jobs;
pub mod lease;
mod malformed;
pub mod report;
pub mod write;
