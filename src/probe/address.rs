//! Which addresses a probe may talk to, and which networks an address is in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Services of public clouds that know a host by its address alone and hand out its secrets: Azure's wire server, and
/// the metadata services that are not link-local.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
/// The metadata service of a public cloud on IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// Why a probe must not talk to this address: what answers there is not the machine, and may hand out credentials.
pub(super) fn refusal(address: IpAddr, allow_loopback: bool) -> Option<&'static str> {
    let address = plain(address);
    if address.is_loopback() {
        return (!allow_loopback).then_some("a loopback address");
    }
    let refused = match address {
        IpAddr::V4(v4) => (
            v4.is_link_local() || METADATA_V4.contains(&v4),
            v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        ),
        IpAddr::V6(v6) => (v6.is_unicast_link_local() || v6 == METADATA_V6, v6.is_unspecified() || v6.is_multicast()),
    };
    match refused {
        (true, _) => Some("a link-local or metadata address"),
        (_, true) => Some("not the address of one machine"),
        (false, false) => None,
    }
}

/// The IPv4 address that is written or reached as an IPv6 one: mapped, compatible (`::a.b.c.d`), through NAT64 or 6to4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let low = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 => low(a, b),
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => low(a, b),
        _ => address,
    }
}

/// Whether an address is one, or in a network such as `10.1.0.0/16`. `None` when that cannot be read.
pub(super) fn fits(address: IpAddr, expected: &str) -> Option<bool> {
    let (network, length) = match expected.split_once('/') {
        Some((network, length)) => (network, Some(length.parse::<u32>().ok()?)),
        None => (expected, None),
    };
    match (network.trim().parse().ok()?, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let host = 32_u32.checked_sub(length.unwrap_or(32))?;
            Some((network.to_bits() ^ address.to_bits()).checked_shr(host).unwrap_or(0) == 0)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let host = 128_u32.checked_sub(length.unwrap_or(128))?;
            Some((network.to_bits() ^ address.to_bits()).checked_shr(host).unwrap_or(0) == 0)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Some(false),
    }
}
