//! Plans over a tiny world in which machines take their steps in their time: limits hold, nothing starves, and waiting
//! is never the plan's fault.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

#[path = "../support/list_schedule.rs"]
mod list_schedule;
mod makespan;
mod soundness;
#[path = "../support/mod.rs"]
mod support;
mod times;
mod world;
