//! The transport: one request, at most one answer, and what can be said about a request that got none.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use url::{Host, Url};

use crate::{
    azure::{cloud::is_loopback, quote::quote},
    core::{
        failure::{Failure, FailureClass, Remote},
        journal,
    },
};

/// Largest body that is read. A page of 100 items with 60 disks each stays below 10 MiB.
pub(crate) const LARGEST_BODY: usize = 16 << 20;

/// Largest body of the token endpoint's, whose tokens have some 2 KB.
pub(crate) const LARGEST_TOKEN: usize = 64 << 10;

/// The most memory that a body may take once it is read. That page takes some 42 MiB.
const LARGEST_TREE: usize = 64 << 20;

/// An extension of a request: as much as is read of the answer's body, where that is not [`LARGEST_BODY`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most(pub(crate) usize);

/// An HTTP answer. Its body may have been lost or refused after the status line and headers had arrived.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, or why there is none.
    pub body: Result<Bytes, BodyFault>,
}

/// Why an answer has no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It is larger than the so many bytes that are read.
    #[error("the answer is larger than {}", size(*.0))]
    TooLarge(usize),
    /// So many lists, objects and entries are in it that they would fill the memory.
    #[error("the answer has too many entries to be kept")]
    TooMany,
    /// The connection broke in the middle of it.
    #[error("the answer was cut off")]
    Cut,
}

fn size(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

/// A body of JSON that can be read without harm: three bytes of it can ask for two hundred of memory.
///
/// An object begins with room for eleven fields, a list with room for four entries, and while a list grows there are
/// two of it.
pub(crate) fn bearable(body: Bytes) -> Result<Bytes, BodyFault> {
    let takes = |byte: &u8| match byte {
        b'{' => 640,
        b'[' | b',' => 128,
        _ => 0,
    };
    if body.iter().map(takes).fold(body.len(), usize::saturating_add) <= LARGEST_TREE {
        Ok(body)
    } else {
        Err(BodyFault::TooMany)
    }
}

/// How far a request got that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was not even tried: this client does not send to such an address.
    Refused,
    /// No connection came about: the other side has seen nothing of it.
    Never,
    /// It may have arrived.
    Perhaps,
}

/// A request without an answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct TransportFault {
    /// How far it got.
    pub sent: Sent,
    /// What happened, in one line, without the URL's query.
    pub what: String,
}

/// Sends requests. A seam, so that the pipeline's rules can be tested without a network and without waiting.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request exactly once and follows no redirect.
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, TransportFault>;
}

/// What can be set of the HTTP client.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Allow `http://` to hosts other than this machine. Secrets then travel in the clear.
    pub allow_plain_http: bool,
    /// Time for making a connection.
    pub connect_timeout: Duration,
    /// Time for a whole exchange.
    pub request_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { allow_plain_http: false, connect_timeout: Duration::from_secs(10), request_timeout: journal::ANSWER }
    }
}

/// A mutating call leaves this soon after it was permitted, or not at all: the margin by which the lease's validity ends
/// before the lease does.
const SOON: Duration = Duration::from_secs(5);

/// The transport over the network.
pub(crate) struct Network {
    allow_plain_http: bool,
    /// Through the system's proxy, as the environment names it.
    outside: Route,
    /// Without a proxy: to this machine, and to its metadata service.
    here: Route,
}

/// Two clients for one way out.
struct Route {
    /// Keeps connections.
    reading: reqwest::Client,
    /// A new connection for each request: on a kept one that the other side is just closing, nobody could tell
    /// whether a mutating request was seen.
    mutating: reqwest::Client,
}

impl Network {
    pub(crate) fn new(options: &HttpOptions) -> Result<Arc<Self>, Failure> {
        // reqwest is built without a TLS provider of its own and panics when none is installed. The program installs
        // ring as its first act; this is for tests and other users of the library. Losing the race is fine.
        if rustls::crypto::CryptoProvider::get_default().is_none()
            && let Err(installed_meanwhile) = rustls::crypto::ring::default_provider().install_default()
        {
            drop(installed_meanwhile);
        }
        let network = |system_proxy| -> reqwest::Result<Route> {
            Ok(Route {
                reading: client(options, system_proxy).build()?,
                mutating: client(options, system_proxy)
                    .pool_max_idle_per_host(0)
                    .connect_timeout(options.connect_timeout.min(SOON))
                    .build()?,
            })
        };
        let make = || -> reqwest::Result<Self> {
            Ok(Self { allow_plain_http: options.allow_plain_http, outside: network(true)?, here: network(false)? })
        };
        make().map(Arc::new).map_err(|error| {
            let message = format!("no HTTP client for Azure: {}", describe(error));
            Failure::new(Remote::Arm, FailureClass::Invalid, message)
        })
    }
}

fn client(options: &HttpOptions, system_proxy: bool) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        // 307 and 308 would send a POST again, and any redirect could lead out of the cloud.
        .redirect(reqwest::redirect::Policy::none())
        // Whether a request may be sent again is decided in the pipeline alone.
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("failback/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .timeout(options.request_timeout)
        // Azure's load balancers drop idle connections after 240 s.
        .pool_idle_timeout(Duration::from_secs(60))
        // Two signed operation URLs of 3 to 4 KB come in one header block (protocol reference §4).
        .http2_max_header_list_size(64 * 1024);
    if system_proxy { builder } else { builder.no_proxy() }
}

#[async_trait]
impl Transport for Network {
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, TransportFault> {
        let refused = |what: String| TransportFault { sent: Sent::Refused, what };
        let url = Url::parse(&request.uri().to_string()).map_err(|_| refused("not a URL".to_owned()))?;
        let here = is_loopback(&url) || is_metadata_service(&url);
        if url.scheme() != "https" && !(url.scheme() == "http" && (here || self.allow_plain_http)) {
            return Err(refused(format!("plain http to {} is not allowed", url.host_str().unwrap_or("nowhere"))));
        }
        let route = if here { &self.here } else { &self.outside };
        let client = if request.method() == Method::GET { &route.reading } else { &route.mutating };
        let most = request.extensions().get::<Most>().map_or(LARGEST_BODY, |most| most.0);
        let request = request.try_into().map_err(|error| refused(describe(error)))?;
        match client.execute(request).await {
            Ok(response) => Ok(read(response, most).await),
            Err(error) => {
                let sent = if error.is_connect() { Sent::Never } else { Sent::Perhaps };
                let verb = if sent == Sent::Never { "cannot connect to" } else { "no answer from" };
                let host = url.host_str().unwrap_or("nowhere");
                Err(TransportFault { sent, what: format!("{verb} {host}: {}", describe(error)) })
            }
        }
    }
}

/// The instance metadata service answers on a link-local address, by plain http only.
fn is_metadata_service(url: &Url) -> bool {
    matches!(url.host(), Some(Host::Ipv4(ip)) if ip.octets() == [169, 254, 169, 254])
}

async fn read(response: reqwest::Response, most: usize) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let announced = response.content_length().unwrap_or(0);
    let body = if announced > most as u64 { Err(BodyFault::TooLarge(most)) } else { collect(response, most).await };
    Answer { status, headers, body }
}

async fn collect(mut response: reqwest::Response, most: usize) -> Result<Bytes, BodyFault> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| BodyFault::Cut)? {
        if body.len() + chunk.len() > most {
            return Err(BodyFault::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The innermost cause says what happened ("connection refused"); the layers above only say where.
fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    quote(&cause.to_string())
}
