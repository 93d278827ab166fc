//! The server over HTTP and HTTPS.

use std::future::Future;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::service::ApiService;

/// Accepts connections until `shutdown`; then all of them are cut, open watches included.
pub(crate) async fn serve(
    service: ApiService,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let acceptor = tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = listener.accept() => {
                let stream = match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
                    Ok(stream) => stream,
                    // One connection that fails, or too many open files, is no reason to stop serving the others.
                    Err(error) => {
                        tracing::warn!(%error, "accepting a connection");
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                        continue;
                    }
                };
                let (service, acceptor) = (service.clone(), acceptor.clone());
                connections.spawn(async move {
                    match acceptor {
                        None => connection(service, stream).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => connection(service, stream).await,
                            Err(error) => tracing::debug!(%error, "TLS handshake"),
                        },
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(service: ApiService, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = TowerToHyperService::new(tower::util::MapRequest::new(service, |r: Request<Incoming>| r));
    // Clients go away in the middle of a watch; that is no error of the server's.
    if let Err(error) = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error, "connection");
    }
}
