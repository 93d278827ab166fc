//! Looks at a machine over the network: a port, an HTTP answer, the guest's address.
//!
//! What is looked at is named by whoever may write a ReplicatedItem, from inside the controller's network: each address
//! is judged after it was resolved, and the connection goes to that address and to no other.

mod address;
mod http;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use tokio::net::{TcpStream, lookup_host};

use crate::{
    api::{GuestIpProbe, Probe, TcpProbe},
    core::probes::ProbeSeen,
    ports::Prober,
};

/// Looks over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetworkProber {
    /// Whether a probe may talk to this host itself: for rehearsals, whose guests do not exist.
    pub allow_loopback: bool,
}

#[async_trait]
impl Prober for NetworkProber {
    async fn look(&self, probe: &Probe, guest_ip: Option<&str>) -> ProbeSeen {
        let seconds = u64::try_from(probe.timeout_seconds).unwrap_or(1).max(1);
        let limit = Duration::from_secs(seconds);
        match tokio::time::timeout(limit, self.look_once(probe, guest_ip)).await {
            Ok(Ok(seen)) | Ok(Err(seen)) => seen,
            Err(_) => ProbeSeen::Inconclusive(format!("No answer within {seconds} s.")),
        }
    }
}

impl NetworkProber {
    async fn look_once(&self, probe: &Probe, guest_ip: Option<&str>) -> Result<ProbeSeen, ProbeSeen> {
        if let Some(wanted) = &probe.guest_ip {
            return guest_address(wanted, guest_ip);
        }
        if let Some(tcp) = &probe.tcp {
            return self.tcp(tcp, guest_ip).await;
        }
        if let Some(wanted) = &probe.http {
            let host = host(wanted.host.as_deref(), guest_ip)?;
            let address = self.resolve(host, wanted.port).await?;
            return http::get(wanted, host, address).await;
        }
        Err(ProbeSeen::Inconclusive("The probe says neither guestIp, nor tcp, nor http.".to_owned()))
    }

    async fn tcp(&self, wanted: &TcpProbe, guest_ip: Option<&str>) -> Result<ProbeSeen, ProbeSeen> {
        let address = self.resolve(host(wanted.host.as_deref(), guest_ip)?, wanted.port).await?;
        Ok(match TcpStream::connect(address).await {
            Ok(_) => ProbeSeen::Good(format!("{address} accepts connections.")),
            Err(error) => ProbeSeen::Bad(format!("{address} cannot be connected to: {error}.")),
        })
    }

    /// The address to talk to. One that is refused among several refuses all: a name must not be half inside.
    async fn resolve(&self, host: &str, port: i32) -> Result<SocketAddr, ProbeSeen> {
        let port = u16::try_from(port).map_err(|_| ProbeSeen::Inconclusive(format!("Port {port} does not exist.")))?;
        let unresolved = |why: String| ProbeSeen::Inconclusive(format!("\"{host}\" cannot be resolved: {why}."));
        let found: Vec<SocketAddr> =
            lookup_host((host, port)).await.map_err(|error| unresolved(error.to_string()))?.collect();
        for address in &found {
            if let Some(what) = address::refusal(address.ip(), self.allow_loopback) {
                return Err(ProbeSeen::Bad(format!(
                    "\"{host}\" is {what} ({}): a probe does not go there.",
                    address.ip()
                )));
            }
        }
        found.first().copied().ok_or_else(|| unresolved("it has no address".to_owned()))
    }
}

fn host<'a>(declared: Option<&'a str>, guest_ip: Option<&'a str>) -> Result<&'a str, ProbeSeen> {
    let unknown = || ProbeSeen::Inconclusive("vCenter does not show the guest's address.".to_owned());
    declared.or(guest_ip).ok_or_else(unknown)
}

fn guest_address(wanted: &GuestIpProbe, guest_ip: Option<&str>) -> Result<ProbeSeen, ProbeSeen> {
    let text = host(None, guest_ip)?;
    let unreadable = |what: &str| ProbeSeen::Inconclusive(format!("\"{what}\" is neither an address nor a network."));
    let seen: IpAddr = text.parse().map_err(|_| unreadable(text))?;
    for expected in &wanted.expected {
        if address::fits(seen, expected).ok_or_else(|| unreadable(expected))? {
            return Ok(ProbeSeen::Good(format!("The guest's address is {seen}.")));
        }
    }
    Ok(ProbeSeen::Bad(format!("The guest's address is {seen}; expected {}.", wanted.expected.join(" or "))))
}
