//! One machine comes home, end to end: the controller, the embedded API server and the simulated site, over their wires.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

mod bad_input;
mod cancel;
mod consent;
mod deletion;
mod examples;
mod hooks;
mod identity;
mod kubectl;
mod limits;
#[path = "../support/long.rs"]
mod long;
mod lost;
mod namespaces;
mod permissions;
mod probes;
#[path = "../support/process.rs"]
mod process;
mod restarts;
mod site;
mod stage;
mod steps;
mod whole;
mod worlds;
