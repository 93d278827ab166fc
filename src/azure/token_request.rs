//! The requests to Entra's token endpoint and to the instance metadata service, and what their answers mean.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{Instrument, Span};
use url::{Url, form_urlencoded};

use crate::{
    azure::{
        cloud::Endpoints,
        credentials::{Credential, Granted, TokenCache, TokenFetch, TokenSource},
        headers,
        http::{Answer, LARGEST_TOKEN, Most, Sent, TransportFault},
        quote::{glimpse, identifier, quote},
        shared::AzureShared,
    },
    core::failure::{Failure, FailureClass, Remote, codes},
    ports::{Secret, trace},
};

/// Fetches tokens for one credential.
pub(crate) struct TokenRequest {
    pub(crate) shared: AzureShared,
    pub(crate) endpoints: Endpoints,
    pub(crate) credential: Credential,
}

#[async_trait]
impl TokenFetch for TokenRequest {
    async fn fetch(&self) -> Result<Granted, Failure> {
        // Asking for a token changes nothing, so that a second try is harmless. A refused identity gets none: it
        // could lock the account.
        let first = self.attempt(1).await;
        match first {
            Err(Failure { class: FailureClass::Transient, .. }) => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                self.attempt(2).await
            }
            Ok(_) | Err(_) => first,
        }
    }
}

impl TokenRequest {
    async fn attempt(&self, number: u32) -> Result<Granted, Failure> {
        let span = trace::call(Remote::Entra, "token", number);
        let granted = self.once().instrument(span.clone()).await;
        trace::ended_as(&span, &granted);
        granted
    }

    async fn once(&self) -> Result<Granted, Failure> {
        let request = self.request().await?;
        let begun = Instant::now();
        let sent = self.shared.transport.send(request).await;
        let code = sent.as_ref().map_or(0, |answer| answer.status.as_u16());
        trace::answered(&Span::current(), code);
        self.shared.meter.called(Remote::Entra, code, begun.elapsed());
        if code == 429 {
            self.shared.meter.throttled(Remote::Entra);
        }
        let answer = sent.map_err(|fault| unreachable_endpoint(&fault))?;
        grant(&answer).ok_or_else(|| self.refusal(&answer))
    }

    async fn request(&self) -> Result<Request<Bytes>, Failure> {
        let scope = format!("{}/.default", self.endpoints.audience);
        let (tenant, form) = match &self.credential {
            Credential::ManagedIdentity { client_id } => return self.metadata_request(client_id.as_deref()),
            Credential::ClientSecret { tenant, client_id, secret } => {
                (tenant, vec![("client_id", client_id.clone()), ("client_secret", secret.reveal().to_owned())])
            }
            Credential::WorkloadIdentity { tenant, client_id, token_file } => {
                let assertion = tokio::fs::read_to_string(token_file).await.map_err(|error| {
                    let message = format!("the federated token file {}: {error}", token_file.display());
                    Failure::new(Remote::Entra, FailureClass::Unauthenticated, message)
                })?;
                (tenant, asserting(client_id, assertion.trim()))
            }
            Credential::ServiceAccount { tenant, client_id, namespace, identity } => {
                let assertion = identity.assertion(namespace, self.endpoints.federation).await?;
                (tenant, asserting(client_id, assertion.reveal()))
            }
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", &scope)
            .extend_pairs(form)
            .finish();
        Request::builder()
            .method(Method::POST)
            .uri(self.endpoints.token(tenant).as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .extension(Most(LARGEST_TOKEN))
            .body(Bytes::from(form))
            .map_err(|error| Failure::new(Remote::Entra, FailureClass::Invalid, error.to_string()))
    }

    /// `GET /metadata/identity/oauth2/token` (protocol reference §10).
    fn metadata_request(&self, client_id: Option<&str>) -> Result<Request<Bytes>, Failure> {
        let invalid = |why: String| Failure::new(Remote::Entra, FailureClass::Invalid, why);
        let mut url = Url::parse(&self.shared.metadata_service)
            .and_then(|base| base.join("/metadata/identity/oauth2/token"))
            .map_err(|_| invalid("the address of the instance metadata service is not a URL".to_owned()))?;
        let resource = format!("{}/", self.endpoints.audience);
        url.query_pairs_mut().append_pair("api-version", "2018-02-01").append_pair("resource", &resource);
        if let Some(client_id) = client_id {
            url.query_pairs_mut().append_pair("client_id", client_id);
        }
        Request::get(url.as_str())
            .header("Metadata", "true")
            .extension(Most(LARGEST_TOKEN))
            .body(Bytes::new())
            .map_err(|error| invalid(error.to_string()))
    }

    fn refusal(&self, answer: &Answer) -> Failure {
        let trouble = |class, message: String| {
            let mut failure = Failure::new(Remote::Entra, class, message);
            failure.request_id = headers::request_id(&answer.headers);
            failure
        };
        let status = answer.status;
        let pause = headers::retry_after(&answer.headers, self.shared.clock.now());
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = pause.unwrap_or(Duration::from_secs(10));
            return trouble(FailureClass::Throttled { retry_after }, "the token endpoint asks for a pause".to_owned());
        }
        let Some(refusal) = answer.body.as_ref().ok().and_then(|body| Refusal::parse(body)) else {
            let class = if status.is_server_error() { FailureClass::Transient } else { FailureClass::Invalid };
            let seen = match &answer.body {
                Ok(body) => glimpse(body),
                Err(fault) => fault.to_string(),
            };
            let message = format!("the token endpoint answered HTTP {}: {seen}", status.as_u16());
            return trouble(class, message).with_code(codes::UNREADABLE_ANSWER);
        };
        // The metadata service answers 404 and 410 while it is being updated: documented as worth another try.
        let updating = matches!(self.credential, Credential::ManagedIdentity { .. })
            && (status == StatusCode::NOT_FOUND || status == StatusCode::GONE);
        let class = if status.is_server_error() || updating || refusal.is_temporary() {
            FailureClass::Transient
        } else {
            FailureClass::Unauthenticated
        };
        let mut failure = trouble(class, refusal.message);
        failure.code = refusal.code;
        failure.request_id = refusal.trace_id.or(failure.request_id);
        failure
    }
}

/// The fields that present a token of another issuer instead of a secret.
fn asserting(client_id: &str, assertion: &str) -> Vec<(&'static str, String)> {
    vec![
        ("client_id", client_id.to_owned()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
        ("client_assertion", assertion.to_owned()),
    ]
}

/// A token out of an answer. `expires_in` is a number at Entra and a string at the metadata service.
fn grant(answer: &Answer) -> Option<Granted> {
    let body: Value = answer
        .status
        .is_success()
        .then_some(answer.body.as_ref().ok())?
        .and_then(|body| serde_json::from_slice(body).ok())?;
    let token = body.get("access_token")?.as_str().map(str::trim).filter(|token| !token.is_empty())?;
    let seconds = body.get("expires_in").and_then(|v| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok()));
    let lifetime = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(Duration::from_secs(300));
    // Nobody issues tokens for longer than a day or so.
    Some(Granted { token: Secret::new(token), lifetime: lifetime.min(Duration::from_secs(48 * 3600)) })
}

/// `{"error":"invalid_client","error_description":"AADSTS7000215: …\r\nTrace ID: …","error_codes":[7000215]}`
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    code: Option<String>,
    message: String,
    trace_id: Option<String>,
    error: String,
}

impl Refusal {
    fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let word = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
        let (error, description) = (word("error"), word("error_description"));
        if error.is_empty() && description.is_empty() {
            return None;
        }
        // What follows is the same trace, correlation and time that the support case needs only one of.
        let sentence = ["Trace ID:", "Correlation ID:", "Timestamp:"]
            .into_iter()
            .filter_map(|noise| description.find(noise))
            .min()
            .and_then(|end| description.get(..end))
            .unwrap_or(description);
        let sentence = quote(if sentence.trim().is_empty() { error } else { sentence });
        let trace_id = body
            .get("trace_id")
            .and_then(Value::as_str)
            .or_else(|| description.split("Trace ID:").nth(1)?.split_whitespace().next())
            .and_then(identifier);
        let named = sentence.split(':').next().filter(|word| word.starts_with("AADSTS") && !word.contains(' '));
        let numbered = || Some(format!("AADSTS{}", body.get("error_codes")?.get(0)?.as_i64()?));
        let code = named.map(str::to_owned).or_else(numbered).or_else(|| identifier(error));
        let message = match &trace_id {
            Some(trace) => format!("{sentence} (trace id {trace})"),
            None => sentence.clone(),
        };
        Some(Self { code, message, trace_id, error: error.to_owned() })
    }

    /// Entra's own trouble rather than ours: a throttled or unavailable directory.
    fn is_temporary(&self) -> bool {
        self.error == "temporarily_unavailable"
            || matches!(self.code.as_deref(), Some("AADSTS90033" | "AADSTS90012" | "AADSTS90055"))
    }
}

fn unreachable_endpoint(fault: &TransportFault) -> Failure {
    let (class, code) = match fault.sent {
        Sent::Refused => (FailureClass::Invalid, None),
        Sent::Never => (FailureClass::Transient, Some(codes::UNREACHABLE)),
        Sent::Perhaps => (FailureClass::Transient, None),
    };
    let failure = Failure::new(Remote::Entra, class, format!("no token: {}", fault.what));
    match code {
        Some(code) => failure.with_code(code),
        None => failure,
    }
}

/// The source of tokens for a credential.
pub(crate) fn source(request: TokenRequest) -> Arc<dyn TokenSource> {
    let clock = Arc::clone(&request.shared.clock);
    Arc::new(TokenCache::new(Arc::new(request), clock))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(text: &str) -> Option<Refusal> {
        Refusal::parse(text.as_bytes())
    }

    #[test]
    fn the_real_message_is_kept_in_one_line() {
        let description = "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 0b2b-1\r\nCorrelation ID: c\r\n\
                           Timestamp: 2026-01-01 00:00:00Z";
        let body = json!({"error": "invalid_client", "error_codes": [7000215], "error_description": description});
        let entra = refusal(&body.to_string()).unwrap();
        assert_eq!(entra.code.as_deref(), Some("AADSTS7000215"));
        assert_eq!(entra.message, "AADSTS7000215: Invalid client secret provided. (trace id 0b2b-1)");
        assert_eq!(entra.trace_id.as_deref(), Some("0b2b-1"));
        assert!(!entra.is_temporary());
    }

    #[test]
    fn other_refusals_have_a_code_too() {
        let numbered = refusal(r#"{"error":"invalid_request","error_codes":[90002],"error_description":"No tenant."}"#);
        assert_eq!(numbered.unwrap().code.as_deref(), Some("AADSTS90002"));
        let imds = refusal(r#"{"error":"invalid_request","error_description":"Identity not found"}"#).unwrap();
        assert_eq!((imds.code.as_deref(), imds.message.as_str()), (Some("invalid_request"), "Identity not found"));
        assert!(refusal(r#"{"error":"temporarily_unavailable"}"#).unwrap().is_temporary());
        for other in ["", "<html>", "{}", "[]", "null", r#"{"error":7}"#] {
            assert_eq!(refusal(other), None, "{other}");
        }
    }

    #[test]
    fn a_grant_needs_a_token() {
        let answer = |text: &str| Answer {
            status: StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: Ok(Bytes::from(text.to_owned())),
        };
        let lifetime = |text: &str| grant(&answer(text)).map(|granted| granted.lifetime.as_secs());
        assert_eq!(lifetime(r#"{"access_token":"t","expires_in":3599}"#), Some(3599));
        assert_eq!(lifetime(r#"{"access_token":"t","expires_in":"86399"}"#), Some(86399));
        assert_eq!(lifetime(r#"{"access_token":"t"}"#), Some(300));
        assert_eq!(lifetime(r#"{"access_token":"t","expires_in":-1}"#), Some(300));
        assert_eq!(lifetime(r#"{"access_token":""}"#), None);
        assert_eq!(lifetime("<html>"), None);
    }
}
