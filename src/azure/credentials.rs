//! Who we are to Azure: how a token is asked for, and how it is kept.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    core::failure::{Failure, FailureClass, Remote},
    ports::{NamespaceIdentity, Secret, SharedClock},
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
    /// Federation with the cluster: the token of a namespace's own ServiceAccount, asked for anew for each exchange.
    ServiceAccount {
        /// Entra tenant id or domain.
        tenant: String,
        /// Application (client) id.
        client_id: String,
        /// The namespace.
        namespace: String,
        /// Who speaks for it.
        identity: Arc<dyn NamespaceIdentity>,
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
/// A renewal that fails or takes long harms nobody as long as the old token holds. A refusal is remembered for a short
/// while, so that fifty waiting calls do not present a wrong secret fifty times; a corrected Secret makes a new cache.
pub struct TokenCache {
    fetch: Arc<dyn TokenFetch>,
    clock: SharedClock,
    held: Mutex<Option<Held>>,
    /// Held while a request is under way. Inside: the last failure, and how long it is remembered.
    flight: tokio::sync::Mutex<Option<(Failure, Instant)>>,
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
/// How long a renewal may keep its caller waiting while the old token still holds.
const LONGEST_RENEWAL: Duration = Duration::from_secs(5);
/// How long after a renewal that took too long the next caller tries.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(20);

impl TokenCache {
    /// An empty cache. For how long a failure is remembered is on this clock; the tokens' own times are on the wall's.
    pub fn new(fetch: Arc<dyn TokenFetch>, clock: SharedClock) -> Self {
        Self { fetch, clock, held: Mutex::default(), flight: tokio::sync::Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        // Nothing panics while holding it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept token, if it holds for long enough (`Ok`), or for the time being (`Err(Some)`).
    fn kept(&self) -> Result<Secret, Option<Secret>> {
        let now = Instant::now();
        match self.held().as_ref() {
            Some(held) if now < held.renew_at => Ok(held.token.clone()),
            Some(held) if now < held.ends_at => Err(Some(held.token.clone())),
            Some(_) | None => Err(None),
        }
    }

    async fn renew(&self, refused: &mut Option<(Failure, Instant)>) -> Result<Secret, Failure> {
        if let Some((failure, until)) = refused
            && Instant::now() < *until
        {
            return Err(failure.clone());
        }
        match self.fetch.fetch().await {
            Ok(granted) => {
                let token = granted.token.clone();
                *self.held() = Some(Held::new(granted, Instant::now()));
                *refused = None;
                Ok(token)
            }
            Err(failure) => {
                *refused = Some((failure.clone(), Instant::now() + self.remember(failure.class)));
                Err(failure)
            }
        }
    }
}

impl TokenCache {
    fn remember(&self, class: FailureClass) -> Duration {
        self.clock.wall(match class {
            FailureClass::Throttled { retry_after } => retry_after,
            FailureClass::Unauthenticated | FailureClass::Denied | FailureClass::Invalid => REMEMBER_REJECTION,
            FailureClass::Transient | FailureClass::Conflict | FailureClass::NotFound | FailureClass::Lost => {
                REMEMBER_TROUBLE
            }
        })
    }

    /// One caller renews while the old token holds; all others, and that one too if it takes long, go on with the old
    /// one.
    async fn renew_in_passing(&self) -> Option<Secret> {
        let mut refused = self.flight.try_lock().ok()?;
        match tokio::time::timeout(LONGEST_RENEWAL, self.renew(&mut refused)).await {
            Ok(renewed) => renewed.ok(),
            Err(_) => {
                let slow = Failure::new(Remote::Entra, FailureClass::Transient, "no token: no answer in time");
                *refused = Some((slow, Instant::now() + BETWEEN_RENEWALS));
                None
            }
        }
    }
}

#[async_trait]
impl TokenSource for TokenCache {
    async fn token(&self) -> Result<Secret, Failure> {
        match self.kept() {
            Ok(token) => Ok(token),
            Err(Some(valid)) => Ok(self.renew_in_passing().await.unwrap_or(valid)),
            Err(None) => {
                // Whoever waits here waits for the one request that is under way.
                let mut refused = self.flight.lock().await;
                match self.kept() {
                    Ok(token) | Err(Some(token)) => Ok(token),
                    Err(None) => self.renew(&mut refused).await,
                }
            }
        }
    }

    async fn reject(&self, token: &Secret) {
        // Another call may have renewed it already.
        self.held().take_if(|held| held.token == *token);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Grants tokens `t1`, `t2`, … for an hour, after a second; fails while `failing` is set, and hangs when told to.
    #[derive(Default)]
    struct Endpoint {
        calls: AtomicUsize,
        failing: Mutex<Option<FailureClass>>,
        hanging: std::sync::atomic::AtomicBool,
    }

    #[async_trait]
    impl TokenFetch for Endpoint {
        async fn fetch(&self) -> Result<Granted, Failure> {
            let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            let slow = self.hanging.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(if slow { 60 } else { 1 })).await;
            match *self.failing.lock().unwrap() {
                Some(class) => Err(Failure::new(Remote::Entra, class, "no")),
                None => Ok(Granted { token: Secret::new(format!("t{call}")), lifetime: Duration::from_secs(3600) }),
            }
        }
    }

    struct Wall;

    impl crate::ports::Clock for Wall {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }

        fn wall(&self, span: Duration) -> Duration {
            span
        }
    }

    fn cache() -> (Arc<Endpoint>, TokenCache) {
        let endpoint = Arc::new(Endpoint::default());
        (Arc::clone(&endpoint), TokenCache::new(endpoint, Arc::new(Wall)))
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_callers_make_one_request() {
        let (endpoint, cache) = cache();
        let tokens = futures::future::join_all((0..50).map(|_| cache.token())).await;
        assert!(tokens.iter().all(|token| *token == Ok(Secret::new("t1"))));
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_ends_and_kept_when_that_fails() {
        let (endpoint, cache) = cache();
        assert_eq!(cache.token().await, Ok(Secret::new("t1")));
        tokio::time::advance(Duration::from_secs(3299)).await;
        assert_eq!(cache.token().await, Ok(Secret::new("t1")));
        *endpoint.failing.lock().unwrap() = Some(FailureClass::Transient);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(cache.token().await, Ok(Secret::new("t1")), "the old one still holds");
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 2);
        *endpoint.failing.lock().unwrap() = None;
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(cache.token().await, Ok(Secret::new("t3")));
        *endpoint.failing.lock().unwrap() = Some(FailureClass::Transient);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(cache.token().await.is_err(), "an ended token is not given out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_hangs_holds_nobody_up() {
        let (endpoint, cache) = cache();
        cache.token().await.unwrap();
        tokio::time::advance(Duration::from_secs(3301)).await;
        endpoint.hanging.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        let tokens = futures::future::join_all((0..50).map(|_| async {
            let token = cache.token().await;
            (token, begun.elapsed())
        }))
        .await;
        assert!(tokens.iter().all(|(token, _)| *token == Ok(Secret::new("t1"))));
        assert_eq!(tokens.iter().filter(|(_, took)| *took > Duration::ZERO).count(), 1, "one renews");
        assert!(begun.elapsed() <= LONGEST_RENEWAL + Duration::from_millis(10));
        assert_eq!(endpoint.calls.load(Ordering::SeqCst), 2);
        let begun = Instant::now();
        assert_eq!(cache.token().await, Ok(Secret::new("t1")));
        assert_eq!(begun.elapsed(), Duration::ZERO, "the next caller is not held up either");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_token_is_not_given_out_again() {
        let (endpoint, cache) = cache();
        let first = cache.token().await.unwrap();
        cache.reject(&Secret::new("another")).await;
        assert_eq!(cache.token().await, Ok(first.clone()));
        cache.reject(&first).await;
        assert_eq!(cache.token().await, Ok(Secret::new("t2")));
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
