//! Appliances and master targets: what is said of one, which VM it is, and what machines share through it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

mod joins;
mod roster;
mod statuses;
#[path = "../support/mod.rs"]
mod support;
