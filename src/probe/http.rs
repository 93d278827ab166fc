//! One GET, to one address, without redirects or proxies.

use std::net::SocketAddr;

use regex::bytes::Regex;
use reqwest::{Certificate, Client, Response, redirect::Policy};
use url::Url;

use crate::{
    api::{HttpProbe, Scheme},
    core::probes::ProbeSeen,
};

/// As much of a body as is searched.
const MOST: usize = 64 * 1024;

pub(super) async fn get(wanted: &HttpProbe, host: &str, address: SocketAddr) -> Result<ProbeSeen, ProbeSeen> {
    let (url, pattern) = (url(wanted, host)?, pattern(wanted)?);
    let answer = match client(wanted, host, address)?.get(url).send().await {
        Ok(answer) => answer,
        Err(error) => return Ok(ProbeSeen::Bad(format!("{address} did not answer: {}.", innermost(&error)))),
    };
    let status = answer.status().as_u16();
    if pattern.is_none() || i32::from(status) != wanted.expected_status {
        return Ok(judge(wanted, pattern.as_ref(), address, status, &[]));
    }
    let body = beginning(answer).await.map_err(|error| ProbeSeen::Bad(format!("The body broke off: {error}.")))?;
    Ok(judge(wanted, pattern.as_ref(), address, status, &body))
}

/// The same of an answer that is there already.
pub(super) fn read(
    wanted: &HttpProbe,
    host: &str,
    address: SocketAddr,
    status: u16,
    body: &[u8],
) -> Result<ProbeSeen, ProbeSeen> {
    drop(url(wanted, host)?);
    drop(trusted(wanted)?);
    let body = body.get(..MOST).unwrap_or(body);
    Ok(judge(wanted, pattern(wanted)?.as_ref(), address, status, body))
}

fn judge(wanted: &HttpProbe, pattern: Option<&Regex>, address: SocketAddr, status: u16, body: &[u8]) -> ProbeSeen {
    if i32::from(status) != wanted.expected_status {
        return ProbeSeen::Bad(format!("{address} answered {status}; expected {}.", wanted.expected_status));
    }
    match pattern.map(|pattern| pattern.is_match(body)) {
        None => ProbeSeen::Good(format!("{address} answered {status}.")),
        Some(true) => ProbeSeen::Good(format!("{address} answered {status}, and the body matches.")),
        Some(false) => ProbeSeen::Bad(format!("{address} answered {status}, but the body does not match bodyMatch.")),
    }
}

fn pattern(wanted: &HttpProbe) -> Result<Option<Regex>, ProbeSeen> {
    wanted.body_match.as_deref().map(Regex::new).transpose().map_err(inconclusive("bodyMatch"))
}

/// Text without a certificate is no error to the parser. To trust nobody would say something of the machine that only the
/// probe is to blame for.
fn trusted(wanted: &HttpProbe) -> Result<Option<Vec<Certificate>>, ProbeSeen> {
    let bundle = wanted.ca_bundle.as_deref().map(|pem| Certificate::from_pem_bundle(pem.as_bytes()));
    let certificates = bundle.transpose().map_err(inconclusive("caBundle"))?;
    if certificates.as_ref().is_some_and(Vec::is_empty) {
        return Err(inconclusive("caBundle")("it holds no certificate (PEM)"));
    }
    Ok(certificates)
}

fn inconclusive<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> ProbeSeen {
    move |error| ProbeSeen::Inconclusive(format!("{what} cannot be used: {error}."))
}

fn url(wanted: &HttpProbe, host: &str) -> Result<Url, ProbeSeen> {
    let scheme = match wanted.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Url::parse(&format!("{scheme}://{host}:{}{}", wanted.port, wanted.path)).map_err(inconclusive("The URL"))
}

/// A client that knows one address only, so that nothing is resolved a second time.
fn client(wanted: &HttpProbe, host: &str, address: SocketAddr) -> Result<Client, ProbeSeen> {
    let mut builder = Client::builder().redirect(Policy::none()).no_proxy().resolve(host, address);
    if let Some(trusted) = trusted(wanted)? {
        builder = builder.tls_certs_only(trusted);
    }
    builder.build().map_err(inconclusive("The connection"))
}

async fn beginning(mut answer: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() >= MOST {
            body.truncate(MOST);
            break;
        }
    }
    Ok(body)
}

/// What the operating system or TLS said: the outer errors only name the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
