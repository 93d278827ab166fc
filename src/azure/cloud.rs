//! The national clouds, and custom endpoints: where tokens come from, and where ARM is.

use url::{Host, Url};

use crate::{
    azure::ids,
    core::failure::{Failure, FailureClass, Remote},
};

/// An Azure cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// The public cloud.
    Public,
    /// Azure US Government.
    UsGovernment,
    /// Azure China, operated by 21Vianet.
    China,
    /// Any other: Azure Stack, a gateway, or a simulated site.
    Custom {
        /// Where tokens are fetched, such as `https://login.microsoftonline.com`.
        authority: String,
        /// Where ARM is, such as `https://management.azure.com`.
        management: String,
        /// For whom tokens are issued; the management address when not given.
        audience: Option<String>,
    },
}

/// The addresses of a cloud, checked.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) authority: Url,
    pub(crate) management: Url,
    /// Without a trailing slash: `{audience}/.default` is the scope, `{audience}/` the resource for IMDS.
    pub(crate) audience: String,
    /// For whom a token of another issuer must be made out, to be exchanged here.
    pub(crate) federation: &'static str,
}

impl Cloud {
    /// Its addresses. Source: the vendor's table of national clouds (protocol reference §10).
    pub(crate) fn endpoints(&self, allow_plain_http: bool) -> Result<Endpoints, Failure> {
        let (authority, management, audience) = match self {
            Self::Public => ("https://login.microsoftonline.com", "https://management.azure.com", None),
            Self::UsGovernment => ("https://login.microsoftonline.us", "https://management.usgovcloudapi.net", None),
            Self::China => ("https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn", None),
            Self::Custom { authority, management, audience } => {
                (authority.as_str(), management.as_str(), audience.as_deref())
            }
        };
        Ok(Endpoints {
            federation: match self {
                Self::Public | Self::Custom { .. } => "api://AzureADTokenExchange",
                Self::UsGovernment => "api://AzureADTokenExchangeUSGov",
                Self::China => "api://AzureADTokenExchangeChina",
            },
            audience: audience.unwrap_or(management).trim_end_matches('/').to_owned(),
            authority: address("authority", authority, allow_plain_http)?,
            management: address("management", management, allow_plain_http)?,
        })
    }
}

impl Endpoints {
    /// A URL of ARM below the configured base.
    pub(crate) fn arm<'a>(&self, segments: impl IntoIterator<Item = &'a str>, query: &[(&str, &str)]) -> Url {
        let mut url = self.management.clone();
        extend(&mut url, segments);
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    /// The token endpoint of a tenant.
    pub(crate) fn token(&self, tenant: &str) -> Url {
        let mut url = self.authority.clone();
        extend(&mut url, [tenant, "oauth2", "v2.0", "token"]);
        url
    }

    /// Whether a bearer token may be sent to this URL: the configured origin, or a regional host of the same cloud
    /// (`eastus.management.azure.com`), as found in `nextLink`.
    pub(crate) fn may_follow(&self, url: &Url) -> bool {
        if url.origin() == self.management.origin() {
            return url.username().is_empty() && url.password().is_none();
        }
        let (Some(Host::Domain(base)), Some(Host::Domain(host))) = (self.management.host(), url.host()) else {
            return false;
        };
        url.scheme() == "https"
            && self.management.scheme() == "https"
            && url.port_or_known_default() == self.management.port_or_known_default()
            && host.strip_suffix(base).is_some_and(|region| region.len() > 1 && region.ends_with('.'))
            && url.username().is_empty()
            && url.password().is_none()
    }
}

fn extend<'a>(url: &mut Url, segments: impl IntoIterator<Item = &'a str>) {
    // Fails for URLs that cannot have a path (`mailto:`), which `address` has already rejected.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
}

fn address(what: &str, text: &str, allow_plain_http: bool) -> Result<Url, Failure> {
    let invalid = |why: &str| {
        let text = crate::azure::quote::quote(text);
        Failure::new(Remote::Arm, FailureClass::Invalid, format!("the {what} endpoint {text:?} {why}"))
    };
    let url = Url::parse(text).map_err(|_| invalid("is not a URL"))?;
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("must not have a query, a fragment or a user name"));
    }
    if url.path_segments().is_some_and(|mut segments| segments.any(|s| !s.is_empty() && !ids::is_name(s))) {
        return Err(invalid("has an unsound path"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_plain_http || is_loopback(&url) => Ok(url),
        "http" => Err(invalid("must be https: secrets and tokens are never sent in the clear")),
        _ => Err(invalid("must be https")),
    }
}

/// Whether nothing sent to this URL leaves the machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(authority: &str, management: &str) -> Cloud {
        Cloud::Custom { authority: authority.into(), management: management.into(), audience: None }
    }

    #[test]
    fn each_cloud_has_its_addresses() {
        for (cloud, token, audience) in [
            (Cloud::Public, "https://login.microsoftonline.com/t/oauth2/v2.0/token", "https://management.azure.com"),
            (
                Cloud::UsGovernment,
                "https://login.microsoftonline.us/t/oauth2/v2.0/token",
                "https://management.usgovcloudapi.net",
            ),
            (Cloud::China, "https://login.chinacloudapi.cn/t/oauth2/v2.0/token", "https://management.chinacloudapi.cn"),
        ] {
            let endpoints = cloud.endpoints(false).unwrap();
            assert_eq!(endpoints.token("t").as_str(), token);
            assert_eq!(endpoints.audience, audience);
        }
        let endpoints = custom("http://127.0.0.1:1/login/", "http://127.0.0.1:1/arm").endpoints(false).unwrap();
        assert_eq!(endpoints.token("t").as_str(), "http://127.0.0.1:1/login/t/oauth2/v2.0/token");
        let url = endpoints.arm(["subscriptions", "a b/c"], &[("api-version", "1"), ("$expand", "x")]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/arm/subscriptions/a%20b%2Fc?api-version=1&%24expand=x");
    }

    #[test]
    fn plain_http_needs_loopback_or_the_flag() {
        assert!(custom("http://localhost:8", "http://[::1]:8").endpoints(false).is_ok());
        let refused = custom("https://login.example", "http://arm.example").endpoints(false).unwrap_err();
        assert_eq!(refused.class, FailureClass::Invalid);
        assert!(refused.message.contains("never sent in the clear"), "{refused}");
        assert!(custom("https://login.example", "http://arm.example").endpoints(true).is_ok());
        for bad in ["ftp://a", "not a url", "https://u:p@host", "https://host/?q=1", "mailto:a@b"] {
            assert!(custom(bad, "https://host").endpoints(true).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_are_followed_only_within_the_cloud() {
        let public = Cloud::Public.endpoints(false).unwrap();
        let follow = |url: &str| public.may_follow(&Url::parse(url).unwrap());
        assert!(follow("https://management.azure.com/x?api-version=1&skipToken=2"));
        assert!(follow("https://eastus.management.azure.com/x"));
        for foreign in [
            "https://management.azure.com.evil.example/x",
            "https://evilmanagement.azure.com/x",
            "https://.management.azure.com/x",
            "http://management.azure.com/x",
            "https://management.azure.com:8443/x",
            "http://eastus.management.azure.com/x",
            "https://user@management.azure.com/x",
            "https://management.usgovcloudapi.net/x",
        ] {
            assert!(!Url::parse(foreign).is_ok_and(|url| public.may_follow(&url)), "{foreign}");
        }
        let local = custom("http://127.0.0.1:1", "http://127.0.0.1:1").endpoints(false).unwrap();
        assert!(local.may_follow(&Url::parse("http://127.0.0.1:1/next").unwrap()));
        assert!(!local.may_follow(&Url::parse("http://127.0.0.1:2/next").unwrap()));
    }
}
