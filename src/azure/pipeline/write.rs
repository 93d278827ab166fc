//! POST: sent once.
//!
//! Site recovery's verbs have no idempotency key, so that a second request could start a second failover. Only a
//! request that never left is tried again. Whatever else keeps a clear answer away makes the outcome unknown: `Lost`.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use tracing::Instrument;
use url::Url;

use super::{Arm, Call, DEFAULT_PAUSE, MOST_ATTEMPTS, Patience, patience::backoff, read::definite_class};
use crate::{
    azure::{
        arm_error::ArmError,
        headers,
        http::{Answer, Sent, TransportFault},
    },
    core::failure::{Failure, FailureClass},
    ports::{Permit, Submitted, trace},
};

impl Arm {
    /// Sends a mutating call, for as long as it is permitted.
    pub(crate) async fn mutate(
        &self,
        url: &Url,
        body: Option<&Value>,
        permit: Permit<'_>,
    ) -> Result<Submitted, Failure> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let call = Call::new(self, Method::POST, url, body, Some(permit));
        let mut patience = Patience::new();
        let mut attempt = 1;
        loop {
            let span = call.span(attempt);
            let sent = self.exchange(&call, &mut patience).instrument(span.clone()).await;
            let never = matches!(&sent, Ok(Err(fault)) if fault.sent == Sent::Never);
            let result = self.concluded(&call, sent);
            trace::ended_as(&span, &result);
            let wait = backoff(attempt);
            if !never || attempt >= MOST_ATTEMPTS || !patience.allows(wait) {
                return result;
            }
            attempt += 1;
            patience.spend(wait).await;
        }
    }

    /// What an exchange came to. The outer failure means that nothing was sent.
    fn concluded(
        &self,
        call: &Call<'_>,
        sent: Result<Result<Answer, TransportFault>, Failure>,
    ) -> Result<Submitted, Failure> {
        match sent? {
            Ok(answer) => self.outcome(call, &answer),
            Err(fault) => Err(call.unanswered(
                &fault,
                match fault.sent {
                    Sent::Refused => FailureClass::Invalid,
                    Sent::Perhaps => FailureClass::Lost,
                    Sent::Never => FailureClass::Transient,
                },
            )),
        }
    }

    fn outcome(&self, call: &Call<'_>, answer: &Answer) -> Result<Submitted, Failure> {
        let status = answer.status;
        if status.is_success() {
            let job_id = headers::job_id(&answer.headers);
            // An accepted call has an empty body; a finished one answers with the item. A web page is neither.
            return if job_id.is_some() || is_plausible(answer) {
                Ok(Submitted { job_id })
            } else {
                Err(call.unreadable(FailureClass::Lost, answer))
            };
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let retry_after = self.pause_of(answer).unwrap_or(DEFAULT_PAUSE);
                Err(call.said(FailureClass::Throttled { retry_after }, answer))
            }
            StatusCode::UNAUTHORIZED | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
                Err(call.said(definite_class(status), answer))
            }
            _ if !is_definite(answer) => Err(call.unreadable(FailureClass::Lost, answer)),
            _ if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
                Err(call.said(definite_class(status), answer))
            }
            _ => Err(call.said(FailureClass::Lost, answer)),
        }
    }
}

fn is_plausible(answer: &Answer) -> bool {
    match &answer.body {
        Ok(body) => body.is_empty() || serde_json::from_slice::<Value>(body).is_ok_and(|body| body.is_object()),
        // Accepted is accepted; of a finished call the item can be read.
        Err(_) => answer.status == StatusCode::ACCEPTED || answer.status == StatusCode::NO_CONTENT,
    }
}

/// Whether ARM itself has spoken.
fn is_definite(answer: &Answer) -> bool {
    answer.body.as_ref().is_ok_and(|body| ArmError::parse(body).is_some())
}
