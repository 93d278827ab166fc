//! Where a vCenter is, from what a person typed: `host`, `host:port` or a URL.

use std::net::IpAddr;

use url::{Host, Url};

/// A vCenter's SOAP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// `https://host[:port]/sdk`, or another path that ends so where a proxy stands before several vCenters.
    pub(super) sdk: Url,
    /// Host and port as shown to people.
    pub(super) name: String,
    /// Plain HTTP, which is only ever spoken to this very machine.
    pub(super) plain: bool,
}

impl Address {
    pub(super) fn parse(server: &str) -> Result<Self, String> {
        let server = server.trim();
        let text = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
        let mut url = Url::parse(&text).map_err(|e| format!("{server:?} is not a host, host:port or URL: {e}"))?;
        let plain = match url.scheme() {
            "https" => false,
            "http" if is_loopback(&url) => true,
            "http" => {
                return Err(format!("{server:?}: the password would go over the network in plain text; use https"));
            }
            other => return Err(format!("{server:?}: {other} is not spoken, only https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the server's address must not hold a user name or a password".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{server:?} must not have a query or a fragment"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        match path.as_str() {
            "" => url.set_path("/sdk"),
            path if path.ends_with("/sdk") => url.set_path(path),
            _ => return Err(format!("{server:?}: the path of a vCenter's API ends with /sdk")),
        }
        let host = url.host_str().ok_or_else(|| format!("{server:?} names no host"))?;
        let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { sdk: url, name, plain })
    }

    /// The document that tells which API versions are spoken; readable without a session.
    pub(super) fn versions(&self) -> Url {
        let mut url = self.sdk.clone();
        url.set_path(&format!("{}/vimServiceVersions.xml", self.sdk.path()));
        url
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_server() {
        for (typed, sdk, name) in [
            ("vc.example.com", "https://vc.example.com/sdk", "vc.example.com"),
            (" vc.example.com:8443 ", "https://vc.example.com:8443/sdk", "vc.example.com:8443"),
            ("https://vc.example.com", "https://vc.example.com/sdk", "vc.example.com"),
            ("https://vc.example.com:443/sdk/", "https://vc.example.com/sdk", "vc.example.com"),
            ("proxy.example.com/vcenters/two/sdk/", "https://proxy.example.com/vcenters/two/sdk", "proxy.example.com"),
            ("10.0.0.4", "https://10.0.0.4/sdk", "10.0.0.4"),
            ("[fd00::4]:444", "https://[fd00::4]:444/sdk", "[fd00::4]:444"),
            ("http://127.0.0.1:8989/sdk", "http://127.0.0.1:8989/sdk", "127.0.0.1:8989"),
            ("http://[::1]:8989", "http://[::1]:8989/sdk", "[::1]:8989"),
        ] {
            let address = Address::parse(typed).unwrap();
            assert_eq!((address.sdk.as_str(), address.name.as_str()), (sdk, name), "{typed}");
            assert_eq!(address.versions().as_str(), format!("{sdk}/vimServiceVersions.xml"));
        }
    }

    #[test]
    fn what_is_refused() {
        for (typed, why) in [
            ("", "not a host"),
            ("http://vc.example.com", "plain text"),
            ("http://127.0.0.1.example.com", "plain text"),
            ("ftp://vc.example.com", "only https"),
            ("https://user:secret@vc.example.com", "must not hold a user name"),
            ("vc.example.com/ui", "ends with /sdk"),
            ("vc.example.com?x=1", "query"),
            ("vc example com", "not a host"),
        ] {
            let error = Address::parse(typed).unwrap_err();
            assert!(error.contains(why), "{typed}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
