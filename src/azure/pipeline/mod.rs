//! One call to ARM: token, budget, request, answer, and the rules for trying again.
//!
//! Two roads, because they may do so different things: [`Arm::read`] repeats a GET, [`Arm::mutate`] sends a POST once.
//! What both share is one exchange: budget first, then a token, then the request; a 401 costs one more token.

mod patience;
mod read;
mod write;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use tokio::time::Instant;
use tracing::Span;
use url::Url;

use self::patience::Patience;
use crate::{
    azure::{
        arm_error,
        budget::{Budget, CallClass},
        cloud::Endpoints,
        credentials::TokenSource,
        headers,
        http::{Answer, Sent, TransportFault, bearable},
        shared::AzureShared,
    },
    core::failure::{Failure, FailureClass, Remote, codes},
    ports::{Permit, Secret, trace},
};

/// Attempts of a call that may be repeated.
const MOST_ATTEMPTS: u32 = 3;

/// The pause after a 429 that names none.
const DEFAULT_PAUSE: Duration = Duration::from_secs(10);

/// ARM at one cloud with one identity.
#[derive(Clone)]
pub(crate) struct Arm {
    pub(crate) shared: AzureShared,
    pub(crate) endpoints: Endpoints,
    pub(crate) tokens: Arc<dyn TokenSource>,
}

/// A request, and how to speak of it.
struct Call<'a> {
    method: Method,
    url: &'a Url,
    body: Option<Bytes>,
    class: CallClass,
    budget: Arc<Budget>,
    /// For our messages: the method and the end of the path. Never the query, which may be signed.
    what: String,
    /// Sent as `x-ms-client-request-id`, the same for all attempts.
    id: String,
    /// Asked before each sending of a call that changes something.
    permit: Option<Permit<'a>>,
}

impl<'a> Call<'a> {
    fn new(arm: &Arm, method: Method, url: &'a Url, body: Option<Bytes>, permit: Option<Permit<'a>>) -> Self {
        let class = if method == Method::GET { CallClass::Read } else { CallClass::Write };
        let what = format!("{method} {}", ending(url));
        let management = arm.endpoints.management.origin().ascii_serialization();
        let budget = arm.shared.budgets.of(&management, subscription(url));
        Self { method, url, body, class, budget, what, id: uuid::Uuid::new_v4().to_string(), permit }
    }

    fn request(&self, token: &Secret) -> Result<Request<Bytes>, Failure> {
        let invalid =
            |error: http::Error| Failure::new(Remote::Arm, FailureClass::Invalid, format!("{}: {error}", self.what));
        let mut bearer = http::HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
            .map_err(|error| invalid(error.into()))?;
        bearer.set_sensitive(true);
        let mut builder = Request::builder()
            .method(self.method.clone())
            .uri(self.url.as_str())
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json")
            .header(headers::CLIENT_REQUEST_ID, &self.id);
        if self.body.is_some() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        } else if self.method == Method::POST {
            // HTTP clients leave the length out of a POST without a body, and front ends answer that with 411.
            builder = builder.header(header::CONTENT_LENGTH, "0");
        }
        builder.body(self.body.clone().unwrap_or_default()).map_err(invalid)
    }

    /// A span for one attempt.
    fn span(&self, attempt: u32) -> Span {
        trace::call(Remote::Arm, &self.what, attempt)
    }

    fn failure(&self, class: FailureClass, why: &str) -> Failure {
        let mut failure = Failure::new(Remote::Arm, class, format!("{}: {why}", self.what));
        failure.request_id = Some(self.id.clone());
        failure
    }

    fn throttled(&self, retry_after: Duration, why: &str) -> Failure {
        self.failure(FailureClass::Throttled { retry_after }, why)
    }

    /// The failure of an answer that says itself what is wrong, in this class.
    fn said(&self, class: FailureClass, answer: &Answer) -> Failure {
        arm_error::failure(class, &self.what, answer, &self.id)
    }

    fn unreadable(&self, class: FailureClass, answer: &Answer) -> Failure {
        arm_error::unreadable(class, &self.what, answer, &self.id)
    }

    /// Nothing was sent, or nothing is known of what became of it.
    fn unanswered(&self, fault: &TransportFault, class: FailureClass) -> Failure {
        let failure = self.failure(class, &fault.what);
        match fault.sent {
            Sent::Never => failure.with_code(codes::UNREACHABLE),
            Sent::Refused | Sent::Perhaps => failure,
        }
    }
}

impl Arm {
    /// One exchange. The outer failure means that nothing was sent: no budget, no token, or no permission any more.
    async fn exchange(
        &self,
        call: &Call<'_>,
        patience: &mut Patience,
    ) -> Result<Result<Answer, TransportFault>, Failure> {
        self.wait_for_budget(call, patience).await?;
        let token = self.tokens.token().await?;
        let answer = self.send(call, &token).await?;
        if !matches!(&answer, Ok(answer) if answer.status == StatusCode::UNAUTHORIZED) {
            return Ok(answer);
        }
        // The token was revoked, or our clock is wrong. ARM checks it before it looks at the request, so that nothing
        // has been done yet.
        self.tokens.reject(&token).await;
        let token = self.tokens.token().await?;
        self.wait_for_budget(call, patience).await?;
        self.send(call, &token).await
    }

    async fn wait_for_budget(&self, call: &Call<'_>, patience: &mut Patience) -> Result<(), Failure> {
        let mut wait = call.budget.take(call.class, patience.left());
        loop {
            match wait {
                Ok(Duration::ZERO) => return Ok(()),
                Ok(short) => {
                    patience.spend(short).await;
                    // A 429 that came to someone else meanwhile holds for this call too.
                    let pause = call.budget.paused(call.class);
                    wait = if patience.allows(pause) { Ok(pause) } else { Err(pause) };
                }
                Err(long) => {
                    let retry_after = self.shared.on_our_clock(long);
                    return Err(call.throttled(retry_after, "held back: the subscription's call budget is spent"));
                }
            }
        }
    }

    async fn send(&self, call: &Call<'_>, token: &Secret) -> Result<Result<Answer, TransportFault>, Failure> {
        let request = call.request(token)?;
        if let Some(permit) = call.permit {
            permit()?;
        }
        let begun = Instant::now();
        let answer = self.shared.transport.send(request).await;
        let answer = answer.map(|answer| Answer { body: answer.body.and_then(bearable), ..answer });
        let took = begun.elapsed();
        let code = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        trace::answered(&Span::current(), code);
        self.shared.meter.called(Remote::Arm, code, took);
        tracing::debug!(call = call.what, code, took_ms = took.as_millis(), client_request_id = call.id, "called ARM");
        if let Ok(answer) = &answer {
            if let Some(left) = headers::remaining(&answer.headers, call.class.remaining_header()) {
                call.budget.observe(call.class, left);
            }
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                self.shared.meter.throttled(Remote::Arm);
                let pause = self.pause_of(answer).unwrap_or(DEFAULT_PAUSE);
                call.budget.pause(call.class, self.shared.clock.wall(pause));
            }
        }
        Ok(answer)
    }

    /// The pause that the other side asks for, on our clock, which is the other side's too: a simulated site's seconds
    /// are as short as ours.
    fn pause_of(&self, answer: &Answer) -> Option<Duration> {
        headers::retry_after(&answer.headers, self.shared.clock.now())
    }
}

/// The last two segments of a path, enough to recognise the call by: `…/replicationJobs/{id}`.
fn ending(url: &Url) -> String {
    let path = url.path().trim_end_matches('/');
    match path.rmatch_indices('/').nth(1) {
        Some((at, _)) => format!("…{}", path.get(at..).unwrap_or_default()),
        None => path.to_owned(),
    }
}

/// The subscription that a call is counted for.
fn subscription(url: &Url) -> &str {
    let mut segments = url.path().split('/');
    match segments.find(|segment| segment.eq_ignore_ascii_case("subscriptions")) {
        Some(_) => segments.next().unwrap_or_default(),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_without_its_query() {
        let url = Url::parse("https://m/Subscriptions/S1/a/replicationJobs/4?api-version=1&s=SIGNATURE").unwrap();
        assert_eq!(ending(&url), "…/replicationJobs/4");
        assert_eq!(subscription(&url), "S1");
        assert_eq!(ending(&Url::parse("https://m/").unwrap()), "");
        assert_eq!(subscription(&Url::parse("https://m/x").unwrap()), "");
    }
}
