//! Who we are to Azure: how a token is asked for, and how it is kept.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    azure::secret::Secret,
    core::failure::{Failure, FailureClass},
};

/// A way to sign in to Azure.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A service principal with a client secret.
    ClientSecret {
        /// Entra tenant id or domain.
        tenant: String,
        /// Application (client) id.
        client_id: String,
        /// Its secret.
        secret: Secret,
    },
    /// Federation with the cluster: a service account's token instead of a secret.
    WorkloadIdentity {
        /// Entra tenant id or domain.
        tenant: String,
        /// Application (client) id.
        client_id: String,
        /// File with the federated token, read again for each fetch, since the kubelet replaces it.
        token_file: PathBuf,
    },
    /// The managed identity of the machine that this runs on.
    ManagedIdentity {
        /// Client id of a user-assigned identity; the system-assigned one when not given.
        client_id: Option<String>,
    },
}

/// Gives access tokens for ARM.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that was not found invalid yet.
    async fn token(&self) -> Result<Secret, Failure>;
    /// ARM rejected this token: do not give it out again.
    async fn reject(&self, token: &Secret);
}

/// An answer of the token endpoint.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The token.
    pub token: Secret,
    /// For how long it holds.
    pub lifetime: Duration,
}

/// Asks the token endpoint, without keeping anything.
#[async_trait]
pub trait TokenFetch: Send + Sync {
    /// One request for a token.
    async fn fetch(&self) -> Result<Granted, Failure>;
}

/// Keeps the token of a [`TokenFetch`]: one request in flight whoever asks, renewed before it ends.
///
/// A renewal that fails does not harm as long as the old token holds. A refusal is remembered for a short while, so
/// that fifty waiting calls do not present a wrong secret fifty times; a corrected Secret makes a new cache.
pub struct TokenCache {
    fetch: Arc<dyn TokenFetch>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    refused: Option<(Failure, Instant)>,
}

#[derive(Clone)]
struct Held {
    token: Secret,
    renew_at: Instant,
    ends_at: Instant,
}

/// How long a rejection of our identity is remembered.
const REMEMBER_REJECTION: Duration = Duration::from_secs(30);
/// How long any other failure is remembered.
const REMEMBER_TROUBLE: Duration = Duration::from_secs(1);

impl TokenCache {
    /// An empty cache.
    pub fn new(fetch: Arc<dyn TokenFetch>) -> Self {
        Self { fetch, state: Mutex::default() }
    }
}

#[async_trait]
impl TokenSource for TokenCache {
    async fn token(&self) -> Result<Secret, Failure> {
        // Whoever waits here waits for the one fetch that is under way.
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let valid = match &state.held {
            Some(held) if now < held.renew_at => return Ok(held.token.clone()),
            Some(held) if now < held.ends_at => Some(held.token.clone()),
            Some(_) | None => None,
        };
        if let Some((failure, until)) = &state.refused
            && now < *until
        {
            return valid.ok_or_else(|| failure.clone());
        }
        match self.fetch.fetch().await {
            Ok(granted) => {
                let token = granted.token.clone();
                *state = State { held: Some(Held::new(granted, Instant::now())), refused: None };
                Ok(token)
            }
            Err(failure) => {
                state.refused = Some((failure.clone(), Instant::now() + remember(failure.class)));
                valid.ok_or(failure)
            }
        }
    }

    async fn reject(&self, token: &Secret) {
        let mut state = self.state.lock().await;
        // Another call may have renewed it already.
        if state.held.as_ref().is_some_and(|held| held.token == *token) {
            state.held = None;
        }
    }
}

impl Held {
    fn new(granted: Granted, now: Instant) -> Self {
        let Granted { token, lifetime } = granted;
        let renew_in = if lifetime >= Duration::from_secs(2 * 3600) {
            // Managed identities get 24 hours.
            lifetime / 2
        } else {
            lifetime.saturating_sub(Duration::from_secs(300)).max(lifetime / 2)
        };
        Self { token, renew_at: now + renew_in, ends_at: now + lifetime.saturating_sub(Duration::from_secs(30)) }
    }
}

const fn remember(class: FailureClass) -> Duration {
    match class {
        FailureClass::Throttled { retry_after } => retry_after,
        FailureClass::Unauthenticated | FailureClass::Denied | FailureClass::Invalid => REMEMBER_REJECTION,
        FailureClass::Transient | FailureClass::Conflict | FailureClass::NotFound | FailureClass::Lost => {
            REMEMBER_TROUBLE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::core::failure::Remote;

    /// Grants tokens `t1`, `t2`, … for an hour, after a second; fails while `failing` is set.
    #[derive(Default)]
    struct Endpoint {
        calls: AtomicUsize,
        failing: std::sync::Mutex<Option<FailureClass>>,
    }

    #[async_trait]
    impl TokenFetch for Endpoint {
        async fn fetch(&self) -> Result<Granted, Failure> {
            let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
            match *self.failing.lock().unwrap() {
                Some(class) => Err(Failure::new(Remote::Entra, class, "no")),
                None => Ok(Granted { token: format!("t{call}").into(), lifetime: Duration::from_secs(3600) }),
            }
        }
    }

    fn cache() -> (Arc<Endpoint>, TokenCache) {
        let endpoint = Arc::new(Endpoint::default());
        (Arc::clone(&endpoint), TokenCache::new(endpoint))
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_callers_make_one_request() {
        let (endpoint, cache) = cache();
        let tokens = futures::future::join_all((0..50).map(|_| cache.token())).await;
        assert!(tokens.iter().all(|token| *token == Ok("t1".into())));
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_ends_and_kept_when_that_fails() {
        let (endpoint, cache) = cache();
        assert_eq!(cache.token().await, Ok("t1".into()));
        tokio::time::advance(Duration::from_secs(3299)).await;
        assert_eq!(cache.token().await, Ok("t1".into()));
        *endpoint.failing.lock().unwrap() = Some(FailureClass::Transient);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(cache.token().await, Ok("t1".into()), "the old one still holds");
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 2);
        *endpoint.failing.lock().unwrap() = None;
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(cache.token().await, Ok("t3".into()));
        *endpoint.failing.lock().unwrap() = Some(FailureClass::Transient);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(cache.token().await.is_err(), "an ended token is not given out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_token_is_not_given_out_again() {
        let (endpoint, cache) = cache();
        let first = cache.token().await.unwrap();
        cache.reject(&"another".into()).await;
        assert_eq!(cache.token().await, Ok(first.clone()));
        cache.reject(&first).await;
        assert_eq!(cache.token().await, Ok("t2".into()));
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_secret_is_not_presented_by_every_waiting_call() {
        let (endpoint, cache) = cache();
        *endpoint.failing.lock().unwrap() = Some(FailureClass::Unauthenticated);
        let answers = futures::future::join_all((0..50).map(|_| cache.token())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(cache.token().await.is_err());
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 2);
    }
}
