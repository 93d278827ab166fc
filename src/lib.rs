//! Failback: a Kubernetes operator that brings virtual machines home from Azure to VMware.
//!
//! The rooms, and the rule between them:
//!
//! ```text
//! api ← core ← ports ← { azure, vcenter, probe, inventory, kube_io } ← reconcile ← cli
//! ```
//!
//! * [`api`]: the custom resources. Types and validation rules, nothing else.
//! * [`core`]: pure decisions. No clock, no socket, no environment.
//! * [`ports`]: the traits that effects hide behind.
//! * `azure`, `vcenter`: the adapters. Neither knows the other, nor Kubernetes.
//! * `probe`: looks at machines that came home, over the network.
//! * `inventory`: what was seen of vaults and vCenters, shared by all who look.
//! * `kube_io`: watches, writes, events, the lease.
//! * `reconcile`: one short file per kind: gather, decide, act, record. `reconcile/act.rs` is the only place that makes
//!   mutating calls.
//! * `observability`: metrics, logging, health.
//! * `rehearsal` (feature `demo`): a simulated site, an embedded API server and the controller in one process.
//! * `cli`, `config`: what was typed; only they name concrete adapters.
//!
//! Without the feature `operator` only [`api`] and [`core`] are built, from dependencies that can do no I/O.

pub mod api;
pub mod core;

#[cfg(feature = "operator")]
pub mod azure;
#[cfg(feature = "operator")]
pub mod cli;
#[cfg(feature = "operator")]
pub mod config;
#[cfg(feature = "operator")]
pub mod inventory;
#[cfg(feature = "operator")]
pub mod kube_io;
#[cfg(feature = "operator")]
pub mod observability;
#[cfg(feature = "operator")]
pub mod ports;
#[cfg(feature = "operator")]
pub mod probe;
#[cfg(feature = "operator")]
pub mod reconcile;
#[cfg(feature = "demo")]
pub mod rehearsal;
#[cfg(feature = "operator")]
pub mod vcenter;
