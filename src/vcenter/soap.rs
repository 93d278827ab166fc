//! One SOAP request over HTTP, and what came of it. Nothing here retries.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, redirect};
use tracing::{Instrument, Span, debug};

use super::{
    address::Address,
    error::{Fault, VimError},
    tls::{self, Trust},
    xml::{self, Element, MoRef},
};
use crate::ports::{CallMeter, Remote, trace};

/// Three times what a page of 100 machines takes, of which a vCenter of 10,000 sends a hundred.
const MAX_ANSWER: usize = 32 << 20;
/// Longest pause that is believed; a longer one is asked for again.
const LONGEST_PAUSE: u64 = 3600;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The oldest version that site recovery supports; newer servers answer it as well.
const SOAP_ACTION: &str = "\"urn:vim25/6.5\"";
const SESSION_COOKIE: &str = "vmware_soap_session=";

/// A method call: `<method><_this/>arguments</method>`.
///
/// No `Debug`: the arguments of `Login` hold the password.
pub(super) struct Call {
    pub(super) method: &'static str,
    this: MoRef,
    arguments: String,
    timeout: Duration,
}

impl Call {
    pub(super) fn new(method: &'static str, this: &MoRef, arguments: String) -> Self {
        Self { method, this: this.clone(), arguments, timeout: Duration::from_secs(60) }
    }

    pub(super) const fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn envelope(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
             <{method} xmlns=\"urn:vim25\">{this}{arguments}</{method}></soapenv:Body></soapenv:Envelope>",
            method = self.method,
            this = xml::reference("_this", &self.this),
            arguments = self.arguments,
        )
    }

    /// An error page may repeat the request, so nothing of an answer to these is ever quoted.
    fn is_secret(&self) -> bool {
        self.method == "Login"
    }
}

/// What a successful call gave.
pub(super) struct Answer {
    /// The response element, `<RetrievePropertiesExResponse>`.
    pub(super) response: Element,
    /// The session cookie as `name=value`, verbatim, when the answer set one.
    pub(super) cookie: Option<HeaderValue>,
}

/// The way to one vCenter.
pub(super) struct Wire {
    http: Client,
    address: Address,
    meter: Arc<dyn CallMeter>,
}

impl Wire {
    pub(super) fn new(address: Address, trust: &Trust, meter: Arc<dyn CallMeter>) -> Result<Self, String> {
        let builder = Client::builder()
            .tls_backend_preconfigured(tls::client_config(trust)?)
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would carry the password to a place that nobody named.
            .redirect(redirect::Policy::none())
            .http1_only()
            .user_agent(concat!("failback/", env!("CARGO_PKG_VERSION")));
        // Plain HTTP is for this machine alone, so it must not take the way over a proxy.
        let builder = if address.plain { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|e| chain(&e))?;
        Ok(Self { http, address, meter })
    }

    /// The name of the vCenter as shown to people.
    pub(super) fn server(&self) -> &str {
        &self.address.name
    }

    /// So many more sessions are open, or less.
    pub(super) fn count_sessions(&self, change: i64) {
        self.meter.sessions(change);
    }

    /// Proves, before any password is sent, that a vCenter answers there.
    pub(super) async fn probe(&self) -> Result<(), VimError> {
        let timeout = Duration::from_secs(30);
        let request = self.http.get(self.address.versions()).timeout(timeout);
        let (status, headers, body) = self.exchange(request, timeout).await?;
        read_versions(status, &headers, &body)
    }

    /// Sends a call once and reads its answer or fault.
    pub(super) async fn send(&self, call: &Call, cookie: Option<&HeaderValue>) -> Result<Answer, VimError> {
        let mut request = self
            .http
            .post(self.address.sdk.clone())
            .timeout(call.timeout)
            .header(header::CONTENT_TYPE, "text/xml; charset=utf-8")
            .header("SOAPAction", SOAP_ACTION)
            .body(call.envelope());
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie.clone());
        }
        let started = Instant::now();
        let span = trace::call(Remote::VCenter, call.method, 1);
        let outcome = self.exchange(request, call.timeout).instrument(span.clone()).await;
        let status = outcome.as_ref().map_or(0, |(status, ..)| status.as_u16());
        debug!(server = self.server(), method = call.method, status, took = ?started.elapsed(), "called vCenter");
        let answer = outcome.and_then(|(status, headers, body)| {
            let response = read_answer(call, status, &headers, &body)?;
            Ok(Answer { response, cookie: session_cookie(&headers) })
        });
        match &answer {
            Ok(_) => trace::ended(&span, "ok", None),
            Err(error) if !span.is_disabled() => trace::ended(&span, "failed", Some(error.class())),
            Err(_) => {}
        }
        answer
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<(StatusCode, HeaderMap, BytesMut), VimError> {
        let started = Instant::now();
        let outcome = async {
            let response = request.send().await.map_err(|e| transport(&e, timeout))?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, read_body(response, timeout).await?))
        }
        .await;
        let code = outcome.as_ref().map_or(0, |(status, ..): &(StatusCode, _, _)| status.as_u16());
        trace::answered(&Span::current(), code);
        self.meter.called(Remote::VCenter, code, started.elapsed());
        if matches!(code, 429 | 503) {
            self.meter.throttled(Remote::VCenter);
        }
        outcome
    }
}

async fn read_body(mut response: Response, timeout: Duration) -> Result<BytesMut, VimError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| transport(&e, timeout))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(VimError::Unreadable(format!("it is longer than {} MiB", MAX_ANSWER >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The list of API versions that any vCenter gives to anybody.
pub(super) fn read_versions(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), VimError> {
    if status != StatusCode::OK {
        return Err(no_soap(status, headers, body, false));
    }
    let versions = xml::parse(body).map_err(|e| unreadable(&e.to_string(), body, false))?;
    let spoken = versions.all("namespace").any(|n| n.text_at("name").is_some_and(|name| name.trim() == "urn:vim25"));
    if versions.name == "namespaces" && spoken {
        Ok(())
    } else {
        Err(unreadable("its list of API versions does not name urn:vim25", body, false))
    }
}

/// Faults come with status 500, and some servers in between send them with 200.
pub(super) fn read_answer(
    call: &Call,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Element, VimError> {
    if status != StatusCode::OK && status != StatusCode::INTERNAL_SERVER_ERROR {
        return Err(no_soap(status, headers, body, call.is_secret()));
    }
    let document = match xml::parse(body) {
        Ok(document) if document.name == "Envelope" => document,
        _ if status != StatusCode::OK => return Err(no_soap(status, headers, body, call.is_secret())),
        Ok(_) => return Err(unreadable("it is no SOAP envelope", body, call.is_secret())),
        Err(xml::XmlError::Truncated) if !body.is_empty() && page_title(body).is_none() => {
            // A body without its end is a connection that broke, whatever the HTTP stack thought of it.
            return Err(VimError::Cut("the answer is cut off".into()));
        }
        Err(error) => return Err(unreadable(&error.to_string(), body, call.is_secret())),
    };
    let content = document.children.into_iter().find(|c| c.name == "Body");
    match content.and_then(|body| body.children.into_iter().next()) {
        Some(element) if element.name == "Fault" => Err(VimError::Fault(Box::new(fault(&element)))),
        Some(element) if status == StatusCode::OK && element.name == format!("{}Response", call.method) => Ok(element),
        Some(_) | None => {
            Err(VimError::Unreadable(format!("HTTP {} without a {}Response", status.as_u16(), call.method)))
        }
    }
}

fn fault(element: &Element) -> Fault {
    let detail = element.child("detail").and_then(|d| d.children.first());
    let kind = match detail {
        Some(d) if !d.kind().is_empty() => d.kind().to_owned(),
        Some(d) => d.name.trim_end_matches("Fault").to_owned(),
        None => "SoapFault".to_owned(),
    };
    let within = |name: &str| detail.and_then(|d| d.child(name));
    Fault {
        kind,
        message: element.text_at("faultstring").unwrap_or_default().trim().to_owned(),
        // `ManagedObjectNotFound` says `obj`, `NoPermission` says `object`.
        object: within("obj").or_else(|| within("object")).and_then(Element::moref),
        privilege: within("privilegeId").map(|p| p.text.clone()).filter(|p| !p.is_empty()),
    }
}

/// The cookie up to its attributes. Older servers put the value in quotes, which belong to it.
pub(super) fn session_cookie(headers: &HeaderMap) -> Option<HeaderValue> {
    let set = headers.get_all(header::SET_COOKIE).iter().filter_map(|v| v.to_str().ok());
    let pair = set.filter_map(|v| v.split(';').next()).map(str::trim).rfind(|pair| pair.starts_with(SESSION_COOKIE))?;
    let mut value = HeaderValue::from_str(pair).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn transport(error: &reqwest::Error, timeout: Duration) -> VimError {
    if let Some(refusal) = tls::refusal(error) {
        VimError::Untrusted(Box::new(refusal.clone()))
    } else if tls::is_no_tls(error) {
        VimError::Unreadable("no TLS is spoken there".into())
    } else if error.is_connect() {
        VimError::Unreachable(chain(error))
    } else if error.is_timeout() {
        VimError::TimedOut(timeout)
    } else {
        VimError::Cut(chain(error))
    }
}

/// The innermost cause says what happened; the outer ones repeat the URL.
fn chain(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn no_soap(status: StatusCode, headers: &HeaderMap, body: &[u8], secret: bool) -> VimError {
    let seconds: Option<u64> =
        headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    let hint = if secret { None } else { page_title(body) };
    VimError::Status {
        status: status.as_u16(),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST_PAUSE))),
        hint: hint.map(|title| format!(" ({title})")).unwrap_or_default(),
    }
}

fn unreadable(why: &str, body: &[u8], secret: bool) -> VimError {
    let title = if secret { None } else { page_title(body) };
    VimError::Unreadable(title.map_or_else(|| why.to_owned(), |title| format!("a web page titled {title:?}")))
}

/// The title of an HTML page, which names the proxy or the trouble better than its status.
fn page_title(body: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(body.get(..4096).unwrap_or(body)).to_string();
    let start = head.to_ascii_lowercase().find("<title>")? + "<title>".len();
    let title = head.get(start..)?.split('<').next()?;
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
#[path = "soap_tests.rs"]
mod tests;
