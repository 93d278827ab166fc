//! GET: may be repeated, and must yield JSON.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use tracing::Instrument;
use url::Url;

use super::{Arm, Call, DEFAULT_PAUSE, MOST_ATTEMPTS, Patience, patience::backoff};
use crate::{
    azure::{
        arm_error::ArmError,
        http::{Answer, BodyFault, Sent},
    },
    core::failure::{Failure, FailureClass},
    ports::trace,
};

/// What an attempt came to.
enum Attempt {
    /// What was read, and how many bytes it was.
    Done(Value, usize),
    /// The same call would fail again.
    Failed(Failure),
    /// Worth another attempt, after the pause that the other side named, if it named one.
    Again(Failure, Option<Duration>),
}

const fn class(attempted: &Result<Attempt, Failure>) -> Option<FailureClass> {
    match attempted {
        Ok(Attempt::Done(..)) => None,
        Ok(Attempt::Failed(failure) | Attempt::Again(failure, _)) | Err(failure) => Some(failure.class),
    }
}

const fn outcome(attempted: &Result<Attempt, Failure>) -> &'static str {
    match attempted {
        Ok(Attempt::Done(..)) => "ok",
        Ok(Attempt::Failed(_)) => "failed",
        Ok(Attempt::Again(..)) => "worth another try",
        Err(_) => "not sent",
    }
}

impl Arm {
    /// Reads a resource. Repeated on 5xx, 429 and trouble in the transport, as long as the waits together stay short;
    /// a longer pause becomes [`FailureClass::Throttled`].
    pub(crate) async fn read(&self, url: &Url) -> Result<Value, Failure> {
        self.read_sized(url).await.map(|(body, _)| body)
    }

    /// The same, with the number of bytes that it was.
    pub(crate) async fn read_sized(&self, url: &Url) -> Result<(Value, usize), Failure> {
        let call = Call::new(self, Method::GET, url, None, None);
        let mut patience = Patience::new();
        let mut attempt = 1;
        loop {
            let span = call.span(attempt);
            let attempted = self.attempt(&call, &mut patience).instrument(span.clone()).await;
            trace::ended(&span, outcome(&attempted), class(&attempted));
            let (failure, pause) = match attempted? {
                Attempt::Done(body, size) => return Ok((body, size)),
                Attempt::Failed(failure) => return Err(failure),
                Attempt::Again(failure, pause) => (failure, pause),
            };
            let wait = pause.map_or_else(|| backoff(attempt), |pause| self.shared.clock.wall(pause));
            let too_long = !patience.allows(wait);
            if attempt >= MOST_ATTEMPTS || too_long {
                return Err(match pause {
                    Some(retry_after) if too_long => {
                        Failure { class: FailureClass::Throttled { retry_after }, ..failure }
                    }
                    Some(_) | None => failure,
                });
            }
            attempt += 1;
            patience.spend(wait).await;
        }
    }

    async fn attempt(&self, call: &Call<'_>, patience: &mut Patience) -> Result<Attempt, Failure> {
        Ok(match self.exchange(call, patience).await? {
            Ok(answer) => self.judge(call, &answer),
            Err(fault) if fault.sent == Sent::Refused => {
                Attempt::Failed(call.unanswered(&fault, FailureClass::Invalid))
            }
            Err(fault) => Attempt::Again(call.unanswered(&fault, FailureClass::Transient), None),
        })
    }

    fn judge(&self, call: &Call<'_>, answer: &Answer) -> Attempt {
        let status = answer.status;
        let pause = self.pause_of(answer);
        if status.is_success() {
            let read = |body: &Bytes| Some((serde_json::from_slice(body).ok()?, body.len()));
            return match answer.body.as_ref().ok().and_then(read) {
                Some((body, size)) => Attempt::Done(body, size),
                // A cut body may be whole the next time; a web page will not turn into JSON.
                None if answer.body == Err(BodyFault::Cut) => {
                    Attempt::Again(call.unreadable(FailureClass::Invalid, answer), None)
                }
                None => Attempt::Failed(call.unreadable(FailureClass::Invalid, answer)),
            };
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = pause.unwrap_or(DEFAULT_PAUSE);
            return Attempt::Again(call.said(FailureClass::Throttled { retry_after }, answer), Some(retry_after));
        }
        let readable = answer.body.as_ref().is_ok_and(|body| ArmError::parse(body).is_some());
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            let failure = if readable || answer.body.as_ref().is_ok_and(|body| body.is_empty()) {
                call.said(FailureClass::Transient, answer)
            } else {
                call.unreadable(FailureClass::Transient, answer)
            };
            return Attempt::Again(failure, pause);
        }
        // Only ARM itself can say that something is denied or absent: not the login page of a proxy.
        if !readable && status != StatusCode::UNAUTHORIZED {
            return Attempt::Failed(call.unreadable(FailureClass::Invalid, answer));
        }
        Attempt::Failed(call.said(definite_class(status), answer))
    }
}

/// The class of a client error that ARM itself has spoken.
pub(super) fn definite_class(status: StatusCode) -> FailureClass {
    match status {
        StatusCode::UNAUTHORIZED => FailureClass::Unauthenticated,
        StatusCode::FORBIDDEN => FailureClass::Denied,
        StatusCode::NOT_FOUND => FailureClass::NotFound,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => FailureClass::Conflict,
        _ => FailureClass::Invalid,
    }
}
