//! What holds for every decision, whatever is declared, recorded and seen.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

mod anything;
mod choices;
mod machines;
mod plans;
#[path = "../support/mod.rs"]
mod support;
