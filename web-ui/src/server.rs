//! Connections: the one place that accepts them, so that every server in the house has the same limits.
//!
//! Invariants: the number of open connections is bounded; a peer that does not finish its request head in time is dropped;
//! an answer that leaves a part of its request unread never promises a connection that then ends (`leftover`);
//! after `stop` nothing is accepted and what is still open gets a last, short time to finish.

use crate::leftover;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Open connections at one time. One slot costs a task and about 16 KiB of buffers; when all are taken, a new peer waits
/// in the kernel's accept queue until one closes.
const CONNECTIONS_MAX: usize = 128;

/// A peer has this long for the head of a request, and an idle connection this long for its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// After `stop`, open answers have this long to finish.
const CLOSING_TIME: Duration = Duration::from_secs(3);

/// The other end of a connection. Every request carries it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves `router` on `listener` until `stop`. The only error is a listener that cannot accept any more.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()> + Send) -> std::io::Result<()> {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(16 * 1024).max_headers(64);
    let closing = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        while open.try_join_next().is_some() {}
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_transient(&error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file handles: give the ones in use time to close instead of spinning.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let inner = TowerToHyperService::new(router.clone());
        let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let inner = inner.clone();
            leftover::settle(request, move |request| hyper::service::Service::call(&inner, request))
        });
        let connection = closing.watch(http.serve_connection(TokioIo::new(stream), service));
        open.spawn(async move {
            // A peer that goes away in the middle of an answer is everyday life, not an event worth a line per case.
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(CLOSING_TIME, closing.shutdown()).await.is_err() {
        tracing::warn!(connections = open.len(), "connections did not finish in time and are cut");
    }
    open.shutdown().await;
    Ok(())
}

fn is_transient(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    // 23 and 24: ENFILE and EMFILE (errno(3)), the system's and the process's file handles are used up.
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
        || matches!(error.raw_os_error(), Some(23 | 24))
}
