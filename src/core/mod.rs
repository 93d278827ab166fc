//! The pure core: from what is declared, recorded and observed to what is to be done.
//!
//! Nothing here reads a clock, an environment variable or a socket; `cargo check --no-default-features` builds
//! this room without anything that could.

pub mod action;
pub mod backoff;
pub mod checks;
pub mod conditions;
pub mod decide;
pub mod estimate;
pub mod facts;
pub mod failure;
pub mod found;
pub mod guard;
pub mod jobs;
pub mod join;
pub mod journal;
pub mod location;
pub mod names;
pub mod nearest;
pub mod observed;
pub mod placement;
pub mod points;
pub mod preview;
pub mod probes;
pub mod refusal;
pub mod roster;
pub mod schedule;
pub mod stage;
pub mod target;
pub mod text;
pub mod undo;
pub mod waiting;
