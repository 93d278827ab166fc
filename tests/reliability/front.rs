//! An endpoint before several sites, as Azure Resource Manager stands before all vaults: parts of it fail on request.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::StatusCode;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::gate::{forward, status};

/// What leads to a site: the resource group of its vault and its tenant.
pub(crate) struct Route {
    group: String,
    marks: Vec<String>,
    url: String,
}

impl Route {
    pub(crate) fn of(group: &str, tenant: &str, url: &str) -> Self {
        let marks = vec![format!("/resourcegroups/{group}/"), format!("/{tenant}/")];
        Self { group: group.to_owned(), marks, url: url.to_owned() }
    }

    /// Whatever is called.
    pub(crate) fn any(url: &str) -> Self {
        Self { group: String::new(), marks: vec!["/".to_owned()], url: url.to_owned() }
    }
}

#[derive(Default)]
struct State {
    broken: Mutex<HashSet<String>>,
    hangs: AtomicBool,
    refused: AtomicUsize,
    held: AtomicUsize,
}

/// The endpoint.
pub(crate) struct Front {
    pub(crate) url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl Front {
    pub(crate) async fn before(routes: Vec<Route>) -> Self {
        let state = Arc::new(State::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (routes, client, shared) = (Arc::new(routes), reqwest::Client::new(), Arc::clone(&state));
        let router = Router::new().fallback(move |request: Request| {
            let (routes, client, state) = (Arc::clone(&routes), client.clone(), Arc::clone(&shared));
            async move { state.answer(&routes, client, request).await }
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, server }
    }

    /// From now on every call for this resource group is answered with 500.
    pub(crate) fn breaks(&self, group: &str) {
        self.state.broken.lock().unwrap().insert(group.to_owned());
    }

    /// From now on no call is answered.
    pub(crate) fn hangs(&self) {
        self.state.hangs.store(true, Ordering::SeqCst);
    }

    pub(crate) fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn held(&self) -> usize {
        self.state.held.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    async fn answer(&self, routes: &[Route], client: reqwest::Client, request: Request) -> Response<Body> {
        if self.hangs.load(Ordering::SeqCst) {
            self.held.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        let path = request.uri().path().to_ascii_lowercase();
        let Some(route) = routes.iter().find(|route| route.marks.iter().any(|mark| path.contains(mark))) else {
            return status(StatusCode::NOT_FOUND);
        };
        if self.broken.lock().unwrap().contains(&route.group) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        forward(client, route.url.clone(), request).await
    }
}
