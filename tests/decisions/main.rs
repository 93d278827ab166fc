//! What is decided, as golden files: read them like a specification. A line that surprises is a defect.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

mod bad_input;
mod found;
mod gates;
mod hooks;
mod matrix;
mod places;
mod plans;
mod size;
mod stories;
#[path = "../support/mod.rs"]
mod support;
mod undo;
mod ways;
