//! Connections: plain and TLS, HTTP/1.1 and HTTP/2, closed at once when the site shuts down.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Answer, Request};
use crate::site::Site;
use crate::{admin, arm};

/// The largest body that a client may send.
const MOST_OF_BODY: usize = 8 << 20;

/// The admin endpoint takes whole worlds.
const MOST_OF_ADMIN: usize = 512 << 20;

/// Serves plain HTTP until `shutdown`.
pub(crate) async fn serve_plain(
    site: Site,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    accept(listener, shutdown, move |stream| {
        let site = site.clone();
        async move { connection(site, stream, "http").await }
    })
    .await
}

/// Serves TLS until `shutdown`.
pub(crate) async fn serve_tls(
    site: Site,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let acceptor = tokio_rustls::TlsAcceptor::from(tls);
    accept(listener, shutdown, move |stream| {
        let (site, acceptor) = (site.clone(), acceptor.clone());
        async move {
            match acceptor.accept(stream).await {
                Ok(stream) => connection(site, stream, "https").await,
                Err(error) => tracing::debug!(%error, "TLS handshake failed"),
            }
        }
    })
    .await
}

async fn accept<F, C>(listener: TcpListener, shutdown: F, serve: impl Fn(TcpStream) -> C) -> std::io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    let mut shutdown = Box::pin(shutdown);
    // Dropping the set ends long polls at once: a demo must not wait a minute for them.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY could not be set");
                    }
                    connections.spawn(serve(stream));
                }
                // The machine is short of file descriptors, or the peer is gone again: neither ends the site.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "a connection's task panicked");
                }
            }
        }
    }
}

async fn connection<S>(site: Site, stream: S, scheme: &'static str)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let site = site.clone();
        async move { exchange(site, request, scheme).await }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// The peer gets no answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
struct Closed;

async fn exchange(
    site: Site,
    request: hyper::Request<Incoming>,
    scheme: &str,
) -> Result<hyper::Response<Outgoing>, Closed> {
    let (head, body) = request.into_parts();
    let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = host
        .or_else(|| head.uri.authority().map(|authority| authority.to_string()))
        .unwrap_or_else(|| "127.0.0.1".to_owned());
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    let most = if admin::is_admin(&path) { MOST_OF_ADMIN } else { MOST_OF_BODY };
    let Some(body) = read(body, most).await? else {
        let message = format!("The request body is larger than {most} bytes.");
        return response(arm::Refusal::arm(413, "RequestEntityTooLarge", message).into_answer());
    };
    let request = Request {
        method: head.method.as_str().to_owned(),
        path,
        query,
        headers: head.headers,
        body,
        base: format!("{scheme}://{host}"),
    };
    let answer = site.answer(request).await;
    if answer.reset {
        return Err(Closed);
    }
    response(answer)
}

/// The body, unless it is too large. The rest of one that is is read and thrown away, within reason, so that its sender gets to see the answer.
async fn read(mut body: Incoming, most: usize) -> Result<Option<Bytes>, Closed> {
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Closed)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= most {
            kept.extend_from_slice(&data);
        } else if length > most.saturating_mul(4) {
            break;
        }
    }
    Ok((length <= most).then(|| kept.into()))
}

fn response(answer: Answer) -> Result<hyper::Response<Outgoing>, Closed> {
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response = response.header(http::header::CONTENT_LENGTH, answer.body.len());
    let announced = answer.body.len() as u64;
    let mut body = answer.body;
    let cut = answer.cut.is_some_and(|cut| cut < body.len());
    if let Some(cut) = answer.cut {
        body.truncate(cut);
    }
    let data = (!body.is_empty()).then(|| Bytes::from(body));
    response.body(Outgoing { data, cut, announced }).map_err(|error| {
        tracing::error!(%error, "an answer could not be built");
        Closed
    })
}

/// A body that may end before the length that it announced.
struct Outgoing {
    data: Option<Bytes>,
    cut: bool,
    announced: u64,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.data.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if self.cut => {
                self.cut = false;
                Poll::Ready(Some(Err(std::io::Error::other("cut on purpose"))))
            }
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.data.is_some() || self.cut { self.announced } else { 0 })
    }
}
