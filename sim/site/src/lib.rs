//! A simulated disaster-recovery site: Azure (token endpoint, Resource Manager, Site Recovery, the few compute calls that failback
//! needs) and vCenter (SOAP at `/sdk`) over one coupled world, with a clock that can run faster than the wall's.
//!
//! It is spoken to over the real wires only, and knows nothing of the operator that it serves as a site: vendors' own clients and recorded
//! traffic judge it. Start with [`Scenario`], [`Site::new`] and [`Site::serve`]; [`Site::snapshot`] and [`Site::calls`] show what came of it.

#![recursion_limit = "512"]

mod admin;
mod arm;
mod asr;
mod call;
mod clock;
mod exchange;
mod fault;
mod mend;
pub mod scenario;
mod site;
mod snapshot;
mod soap;
mod token;
mod wire;
mod world;

pub use call::Call;
pub use clock::Clock;
pub use fault::{Effect, Fault};
pub use mend::Mend;
pub use scenario::{Scenario, ScenarioError};
pub use site::{FaultError, Options, Site};
pub use wire::{SelfSigned, TlsError};
