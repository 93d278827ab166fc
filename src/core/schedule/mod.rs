//! What a plan reckons with: when it may start something, in which order, and beside whom.

pub mod cron;
pub mod load;
pub mod order;
pub mod window;
