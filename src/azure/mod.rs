//! Azure: who we are to it, the road to its Resource Manager, and site recovery and compute at the end of that road.
//!
//! * [`AzureVault`] implements [`crate::ports::SiteRecovery`] for one Recovery Services vault. All vaults share an
//!   [`AzureShared`]: the HTTP client, the call budgets per subscription, the meter and the clock.
//! * `credentials` and `token_request` turn a [`Credential`] into tokens; `cloud` knows where they come from and where
//!   they may go.
//! * `pipeline` is one call: `read` may repeat it, `mutate` sends it once. `http` is the transport below, `budget`
//!   holds calls back before Azure has to.
//! * `wire` is what Azure sends, decoded so leniently that nothing fails; `observe` makes observed facts of it and
//!   refuses what must not be guessed; `bodies` is what we send.
//!
//! The rules that keep a failover from being started twice are in `pipeline::write`; they hold for every caller because
//! there is no other way to send a POST from here.

mod arm_error;
mod bodies;
mod budget;
mod cloud;
mod compute;
mod credentials;
mod headers;
mod http;
mod ids;
mod observe;
mod paging;
mod pipeline;
mod quote;
mod shared;
mod site_recovery;
#[cfg(test)]
mod testing;
mod token_request;
mod wire;

pub use self::{
    budget::Budgets,
    cloud::Cloud,
    credentials::{Credential, Granted, TokenCache, TokenFetch, TokenSource},
    http::{Answer, BodyFault, HttpOptions, Sent, Transport, TransportFault},
    shared::AzureShared,
    site_recovery::{AzureConfig, AzureVault},
};
pub use crate::ports::Secret;
