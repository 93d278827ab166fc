//! The pure core: from what was seen to what is to be done. No clock, no socket, no environment.

pub mod action;
pub mod failure;
pub mod observed;
