//! One machine comes home, end to end: the controller, the embedded API server and the simulated site, over their wires.
#![cfg(feature = "demo")]

mod bad_input;
mod kubectl;
mod stage;
mod steps;
mod whole;
