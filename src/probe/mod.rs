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
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

use crate::{
    api::{GuestIpProbe, HttpProbe, Probe},
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
        let limit = Instant::now() + Duration::from_secs(seconds);
        let looked = async {
            let target = timeout_at(limit, self.target(probe, guest_ip)).await;
            // Names are resolved on this side: that it took too long says nothing about the machine.
            let slow = |_| ProbeSeen::Inconclusive(format!("Its name was not resolved within {seconds} s."));
            let seen = timeout_at(limit, ask(target.map_err(slow)??)).await;
            // Silence is how a firewall, or a machine that hangs, says no.
            seen.unwrap_or_else(|_| Ok(ProbeSeen::Bad(format!("No answer within {seconds} s."))))
        };
        looked.await.unwrap_or_else(|seen| seen)
    }
}

/// What a look would say if the guest had this address, and answered this over HTTP. Without a wire, for fuzzing.
pub fn read(probe: &Probe, guest_ip: &str, status: u16, body: &[u8]) -> ProbeSeen {
    let seen = match (&probe.guest_ip, &probe.http) {
        (Some(wanted), _) => guest_address(wanted, guest_ip),
        (None, Some(wanted)) => guest_ip.parse().map_err(|_| unreadable(guest_ip)).and_then(|ip| {
            let address = SocketAddr::new(ip, u16::try_from(wanted.port).unwrap_or_default());
            admitted(guest_ip, &[address], false)?;
            http::read(wanted, guest_ip, address, status, body)
        }),
        (None, None) => Err(unreadable(guest_ip)),
    };
    seen.unwrap_or_else(|seen| seen)
}

/// What one look is about, once it is known where to look.
enum Target<'a> {
    GuestIp(&'a GuestIpProbe, &'a str),
    Tcp(SocketAddr),
    Http(&'a HttpProbe, &'a str, SocketAddr),
}

async fn ask(target: Target<'_>) -> Result<ProbeSeen, ProbeSeen> {
    match target {
        Target::GuestIp(wanted, seen) => guest_address(wanted, seen),
        Target::Tcp(address) => Ok(match TcpStream::connect(address).await {
            Ok(_) => ProbeSeen::Good(format!("{address} accepts connections.")),
            Err(error) => ProbeSeen::Bad(format!("{address} cannot be connected to: {error}.")),
        }),
        Target::Http(wanted, host, address) => http::get(wanted, host, address).await,
    }
}

impl NetworkProber {
    async fn target<'a>(&self, probe: &'a Probe, guest_ip: Option<&'a str>) -> Result<Target<'a>, ProbeSeen> {
        if let Some(wanted) = &probe.guest_ip {
            return Ok(Target::GuestIp(wanted, host(None, guest_ip)?));
        }
        if let Some(wanted) = &probe.tcp {
            let host = host(wanted.host.as_deref(), guest_ip)?;
            return Ok(Target::Tcp(self.resolve(host, wanted.port).await?));
        }
        if let Some(wanted) = &probe.http {
            let host = host(wanted.host.as_deref(), guest_ip)?;
            return Ok(Target::Http(wanted, host, self.resolve(host, wanted.port).await?));
        }
        Err(ProbeSeen::Inconclusive("The probe says neither guestIp, nor tcp, nor http.".to_owned()))
    }

    /// The address to talk to. One that is refused among several refuses all: a name must not be half inside.
    async fn resolve(&self, host: &str, port: i32) -> Result<SocketAddr, ProbeSeen> {
        let port = u16::try_from(port).map_err(|_| ProbeSeen::Inconclusive(format!("Port {port} does not exist.")))?;
        let unresolved = |why: String| ProbeSeen::Inconclusive(format!("\"{host}\" cannot be resolved: {why}."));
        let found: Vec<SocketAddr> =
            lookup_host((host, port)).await.map_err(|error| unresolved(error.to_string()))?.collect();
        admitted(host, &found, self.allow_loopback)?;
        found.first().copied().ok_or_else(|| unresolved("it has no address".to_owned()))
    }
}

/// Whether a probe may go where a host's name leads, whatever the name says. What is refused is not looked at, so that
/// nothing is said of the machine.
fn admitted(host: &str, found: &[SocketAddr], allow_loopback: bool) -> Result<(), ProbeSeen> {
    let refused = found.iter().find_map(|at| Some((at.ip(), address::refusal(at.ip(), allow_loopback)?)));
    refused.map_or(Ok(()), |(ip, what)| {
        Err(ProbeSeen::Inconclusive(format!("\"{host}\" is {what} ({ip}): a probe does not go there.")))
    })
}

fn host<'a>(declared: Option<&'a str>, guest_ip: Option<&'a str>) -> Result<&'a str, ProbeSeen> {
    let unknown = || ProbeSeen::Inconclusive("vCenter does not show the guest's address.".to_owned());
    declared.or(guest_ip).ok_or_else(unknown)
}

fn unreadable(what: &str) -> ProbeSeen {
    ProbeSeen::Inconclusive(format!("\"{what}\" is neither an address nor a network."))
}

fn guest_address(wanted: &GuestIpProbe, text: &str) -> Result<ProbeSeen, ProbeSeen> {
    let seen: IpAddr = text.parse().map_err(|_| unreadable(text))?;
    for expected in &wanted.expected {
        if address::fits(seen, expected).ok_or_else(|| unreadable(expected))? {
            return Ok(ProbeSeen::Good(format!("The guest's address is {seen}.")));
        }
    }
    Ok(ProbeSeen::Bad(format!("The guest's address is {seen}; expected {}.", wanted.expected.join(" or "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_to_a_metadata_address_among_others_is_refused() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 80);
        for second in
            ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "168.63.129.16", "fd00:ec2::254"]
        {
            let seen = admitted("metadata.example.com", &[at("10.1.2.3"), at(second)], true);
            let Err(ProbeSeen::Inconclusive(why)) = seen else { panic!("{second}: {seen:?}") };
            assert_eq!(
                why,
                format!(
                    "\"metadata.example.com\" is a link-local or metadata address ({}): a probe does not go there.",
                    at(second).ip()
                )
            );
        }
        assert_eq!(admitted("web", &[at("10.1.2.3"), at("2001:db8::1")], false), Ok(()));
    }
}
