//! A gate in front of API server and site: it counts the calls that change something, and at one of them it stops the
//! caller for good, before the call is passed on or after it took effect.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use failback::rehearsal::Rehearsal;
use http::{Method, StatusCode};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tower::Service;

/// On which side of a call the caller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The call is never passed on.
    Before,
    /// It takes effect, and its answer is never heard.
    After,
}

/// A call that changes something, and how often such a one came before it.
pub(crate) type Point = (String, usize);

#[derive(Default)]
struct State {
    seen: Vec<String>,
    verbs: Vec<String>,
    reads: Vec<String>,
    deadly: Option<(Point, Side)>,
}

/// The gate: two servers in front of a rehearsal's.
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
    struck: Arc<Notify>,
    pub(crate) api: SocketAddr,
    pub(crate) site: String,
    servers: Vec<JoinHandle<()>>,
}

impl Gate {
    pub(crate) async fn before(rehearsal: &Rehearsal) -> Self {
        let (state, struck) = (Arc::new(Mutex::new(State::default())), Arc::new(Notify::new()));
        let watch = Watch { state: Arc::clone(&state), struck: Arc::clone(&struck) };
        let api = {
            let (watch, service) = (watch.clone(), rehearsal.api.service("controller"));
            listen(Router::new().fallback(move |request: Request| {
                let (watch, mut service) = (watch.clone(), service.clone());
                async move {
                    let change = of_api(&request);
                    let answer =
                        async move { service.call(request).await.map_or_else(cut, |answer| answer.map(Body::new)) };
                    watch.pass(change, answer).await
                }
            }))
            .await
        };
        let site = {
            let (client, url) = (reqwest::Client::new(), rehearsal.site_url.clone());
            listen(Router::new().fallback(move |request: Request| {
                let (watch, client, url) = (watch.clone(), client.clone(), url.clone());
                async move {
                    let (change, path) = (of_site(&request), request.uri().path().to_owned());
                    {
                        let mut state = watch.state.lock().unwrap();
                        if change.is_some() { state.verbs.push(path) } else { state.reads.push(path) }
                    }
                    watch.pass(change, forward(client, url, request)).await
                }
            }))
            .await
        };
        let url = format!("http://{}", site.0);
        Self { state, struck, api: api.0, site: url, servers: vec![api.1, site.1] }
    }

    /// From now on the caller dies at this point.
    pub(crate) fn arm(&self, point: Point, side: Side) {
        self.state.lock().unwrap().deadly = Some((point, side));
    }

    /// Resolves when the point is met: the moment to kill the caller.
    pub(crate) async fn struck(&self) {
        self.struck.notified().await;
    }

    /// The verbs of site recovery that were sent, with the path of each.
    pub(crate) fn verbs(&self) -> Vec<String> {
        self.state.lock().unwrap().verbs.clone()
    }

    /// The paths of all other calls to the site.
    pub(crate) fn reads(&self) -> Vec<String> {
        self.state.lock().unwrap().reads.clone()
    }

    /// The calls that changed something, in their order.
    pub(crate) fn points(&self) -> Vec<Point> {
        numbered(&self.state.lock().unwrap().seen)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

/// Each call with how many of the same came before it.
fn numbered(seen: &[String]) -> Vec<Point> {
    let before = |at: usize| seen.iter().take(at).filter(|other| **other == seen[at]).count();
    (0..seen.len()).map(|at| (seen[at].clone(), before(at))).collect()
}

#[derive(Clone)]
struct Watch {
    state: Arc<Mutex<State>>,
    struck: Arc<Notify>,
}

impl Watch {
    /// Passes a call on, unless it is the one at which the caller dies: that one is never answered.
    async fn pass(&self, change: Option<String>, answer: impl Future<Output = Response<Body>>) -> Response<Body> {
        match change.and_then(|change| self.strikes(change)) {
            None => answer.await,
            Some(side) => {
                if side == Side::After {
                    drop(answer.await);
                }
                self.struck.notify_one();
                std::future::pending().await
            }
        }
    }

    fn strikes(&self, change: String) -> Option<Side> {
        let mut state = self.state.lock().unwrap();
        let before = state.seen.iter().filter(|seen| **seen == change).count();
        let met = state.deadly.as_ref().is_some_and(|(point, _)| point.0 == change && point.1 == before);
        state.seen.push(change);
        met.then(|| state.deadly.take()).flatten().map(|(_, side)| side)
    }
}

/// Writes to our own objects, and Jobs of the user's. Events and the lease change nothing that a decision is made from.
fn of_api(request: &Request) -> Option<String> {
    let path = request.uri().path();
    let ours = (path.contains("/failback.dev/") || path.ends_with("/jobs")) && *request.method() != Method::GET;
    let manager =
        request.uri().query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("fieldManager="));
    let (_, object) = path.rsplit_once("/namespaces/default/")?;
    ours.then(|| format!("{} {object} {}", request.method(), manager.unwrap_or_default()).trim_end().to_owned())
}

/// The verbs of site recovery.
fn of_site(request: &Request) -> Option<String> {
    let path = request.uri().path();
    let verb = path.rsplit('/').next().unwrap_or_default();
    (request.method() == Method::POST && path.contains("/replicationProtectedItems/")).then(|| format!("POST {verb}"))
}

pub(crate) async fn forward(client: reqwest::Client, url: String, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    // With the host that was asked: links to further pages lead there.
    let headers = parts.headers;
    let sent = client.request(parts.method, format!("{url}{path}")).headers(headers).body(body).send().await;
    // The site ends before the gate when a test is over.
    let Ok(answer) = sent else { return status(StatusCode::BAD_GATEWAY) };
    let mut response = Response::builder().status(answer.status());
    response.headers_mut().unwrap().extend(answer.headers().clone());
    response.headers_mut().unwrap().remove("transfer-encoding");
    match answer.bytes().await {
        Ok(bytes) => response.body(Body::from(bytes)).unwrap(),
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

/// An answer that breaks off: the connection ends.
fn cut(error: std::io::Error) -> Response<Body> {
    Response::new(Body::from_stream(futures::stream::once(async move { Err::<bytes::Bytes, _>(error) })))
}

pub(crate) fn status(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

async fn listen(router: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}
