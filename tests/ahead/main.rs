//! Looking ahead: how long it takes, and what would be done. Pure, as the core is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

mod durations;
mod machines;
mod plans;
mod schedules;
#[path = "../support/mod.rs"]
mod support;
