//! vCenter, read over its SOAP API (vim25): one session, the inventory as it changes, single VMs uncached.
//!
//! A thin client of our own: SOAP is what every vCenter that site recovery supports speaks (6.5 on), while the newer
//! REST APIs lack snapshots, `extraConfig`, raw device mappings and a feed of changes. Nothing here changes anything in
//! a vCenter: site recovery itself powers machines on and off.
//!
//! ```text
//! client      the port VirtualCenter
//! inventory   following: everything, then changes, then everything anew every ten minutes
//! collector   views, property collector, waiting for updates        (die with their session)
//! known       rows by id, and how an update changes them
//! rows        properties → core::observed                           devices: its disks
//! properties  what is asked; objects as answered; reads page by page
//! session     login (single-flight, refusals remembered), keepalive, logout, few calls at a time
//! soap        one request: envelope, cookie, fault                  xml: element tree with limits
//! error       what can go wrong → ports::Failure
//! tls         system roots, CA bundle or thumbprint                 certificate: thumbprint and expiry
//! address     what a person typed → https://host/sdk
//! ```

mod address;
mod certificate;
mod client;
mod collector;
mod devices;
mod error;
mod inventory;
mod known;
#[doc(hidden)]
pub mod parsers;
mod properties;
mod rows;
mod session;
mod soap;
mod tls;
mod xml;

pub use client::{VCenterClient, VCenterConfig};
pub use tls::Trust;
