//! Connections: taken while there is room, told apart into HTTP/1 and HTTP/2, closed when they dawdle, ended in peace.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use laguna_base::Result;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::Peer;
use crate::Core;
use crate::metrics::ByDoor;

/// Connections at once; more wait in the system's queue.
const MOST: usize = 1024;

/// How long a client may take for its TLS handshake, for a request's head, and between two requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// With which bytes an HTTP/2 connection without TLS begins (RFC 9113, section 3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0";

/// What clients may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1 or HTTP/2.
    Both,
    /// HTTP/2 alone, as gRPC does.
    Http2,
}

/// Serves the connections of `door` until `stop`, then ends idle ones and waits for the others.
pub(crate) async fn serve(
    door: &'static str,
    speaks: Speaks,
    listener: TcpListener,
    router: Router,
    core: Arc<Core>,
    stop: CancellationToken,
) -> Result<()> {
    let tls = core.tls.as_ref().map(|tls| {
        let mut tls = rustls::ServerConfig::clone(&tls.config);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        if speaks == Speaks::Both {
            tls.alpn_protocols.push(b"http/1.1".to_vec());
        }
        TlsAcceptor::from(Arc::new(tls))
    });
    let room = Arc::new(Semaphore::new(MOST));
    let connections = TaskTracker::new();
    let open = core.metrics.connections.get_or_create(&ByDoor { door }).clone();
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = room.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A client that left before it was taken, or no file handles: neither ends the door.
                tracing::warn!(%error, "a connection could not be taken");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let service = WithPeer { router: router.clone(), peer: Peer(address.ip().to_canonical()) };
        let (tls, stop, open) = (tls.clone(), stop.clone(), open.clone());
        connections.spawn(async move {
            open.inc();
            let _open = scopeguard(move || {
                open.dec();
            });
            connection(stream, tls, speaks, service, &stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// One connection from its first byte to its last.
async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    speaks: Speaks,
    service: WithPeer,
    stop: &CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    match tls {
        None if speaks == Speaks::Http2 => requests(stream, true, service, stop).await,
        None => {
            let http2 = tokio::select! {
                http2 = timeout(PATIENCE, begins_http2(&stream)) => http2,
                () = stop.cancelled() => return,
            };
            if let Ok(Some(http2)) = http2 {
                requests(stream, http2, service, stop).await;
            }
        }
        Some(tls) => {
            let shaken = tokio::select! {
                shaken = timeout(PATIENCE, tls.accept(stream)) => shaken,
                () = stop.cancelled() => return,
            };
            if let Ok(Ok(stream)) = shaken {
                let http2 = speaks == Speaks::Http2 || stream.get_ref().1.alpn_protocol() == Some(b"h2");
                requests(stream, http2, service, stop).await;
            }
        }
    }
}

/// Whether a client speaks HTTP/2 from the first byte; `None` when it left.
async fn begins_http2(stream: &TcpStream) -> Option<bool> {
    let mut bytes = [0; HTTP2.len()];
    loop {
        let count = stream.peek(&mut bytes).await.ok().filter(|count| *count > 0)?;
        match bytes[..count] == HTTP2[..count] {
            false => return Some(false),
            true if count == HTTP2.len() => return Some(true),
            // `P` may become POST or PRI: wait for more.
            true => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// The requests of one connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    service: WithPeer,
    stop: &CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PATIENCE)
        .keep_alive_timeout(PATIENCE)
        .max_concurrent_streams(STREAMS);
    let builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut served = pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        // Clients leave in the middle of things; that is theirs to know.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The router, told who is at the other end.
#[derive(Clone)]
struct WithPeer {
    router: Router,
    peer: Peer,
}

// The trait is `tower_service::Service`, as the gRPC library passes it on.
impl<B> tonic::codegen::Service<axum::http::Request<B>> for WithPeer
where
    B: axum::body::HttpBody<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        let mut router = self.router.clone();
        Box::pin(async move { tonic::codegen::Service::call(&mut router, request).await })
    }
}

/// Runs something when it is dropped, however the task ends.
fn scopeguard(end: impl FnMut()) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(end)
}
