//! What `docs/reliability.md` promises, shown with the real binary in a process of its own: killed at every call, under
//! random faults, and beside parts that fail. Tables are printed: `cargo nextest run --test reliability --no-capture`.
//!
//! `FAILBACK_LONG=1` makes all of them longer, as each says.

#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected shall fail, and kills real processes on the wall's clock"
)]

mod crash;
mod front;
mod gate;
mod isolation;
#[path = "../support/long.rs"]
mod long;
#[path = "../support/process.rs"]
mod process;
mod soak;
mod takeover;
mod trouble;
mod world;

pub(crate) use long::long;
