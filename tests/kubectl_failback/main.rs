//! `kubectl failback` against the embedded API server: the program itself, with what a controller would have left.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]
#![cfg(feature = "demo")]

mod acting;
mod looking;
mod stage;
