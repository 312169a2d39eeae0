//! The accept loop. Bounds what a connection may cost before, between and after its requests: plain
//! `axum::serve` has no timer, so a peer that sends nothing would stay for ever.

mod linger;
mod timed_stream;
mod connection;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use domain::limits::Limits;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

pub(crate) use connection::{ConnectionGuard, ConnectionHandle};
use linger::Linger;
use timed_stream::{ActiveRequests, ConnectionTimeouts, TimedStream};

/// Most requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// Largest head of an HTTP/1 request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Time between two pings on an HTTP/2 connection, and the wait for each answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Pause after the machine had no file descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait at the end for requests under way.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(20);

/// Answers connections on `listener` with `router` until `shutdown` resolves; then lets the requests
/// under way finish, within a time limit. Returns what `shutdown` did.
pub async fn serve<T>(listener: TcpListener, router: Router, limits: &Limits, shutdown: impl Future<Output = T>) -> T {
    let timeouts = ConnectionTimeouts { head: limits.header_timeout, idle: limits.idle_timeout };
    let (stop, stopped) = watch::channel(false);
    // What goes on after an answer, such as a stream, holds a sender.
    let (open, mut closed) = mpsc::channel(1);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    let ending = loop {
        tokio::select! {
            ending = &mut shutdown => break ending,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < limits.connections_max => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), timeouts, stopped.clone(), open.clone()));
                }
                Err(why) => refused(&why).await,
            },
        }
    };
    drop((listener, open));
    let _ = stop.send(true);
    let drained = async {
        while connections.join_next().await.is_some() {}
        let _: Option<()> = closed.recv().await;
    };
    if tokio::time::timeout(DRAIN_TIME_MAX, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections still busy at the end of the drain are cut");
    }
    ending
}

/// A connection could not be accepted. Its own fault passes with it; want of file descriptors or
/// memory needs a pause, or the loop would spin.
async fn refused(why: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(why.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%why, "failed to accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    timeouts: ConnectionTimeouts,
    mut stopped: watch::Receiver<bool>,
    open: mpsc::Sender<()>,
) {
    if let Err(why) = stream.set_nodelay(true) {
        tracing::debug!(%why, "failed to set TCP_NODELAY");
    }
    let requests = Arc::new(ActiveRequests::default());
    let io = TokioIo::new(TimedStream::new(stream, timeouts, Arc::clone(&requests)));
    let connection = ConnectionHandle { requests: Arc::clone(&requests), stopped: stopped.clone(), open };
    let service = service_fn(move |request: Request<Incoming>| {
        let active = requests.begin(request.version());
        let (mut head, body) = request.into_parts();
        head.extensions.insert(connection.clone());
        let body = Linger::new(&head.headers, body);
        let answer = router.clone().oneshot(Request::from_parts(head, body));
        async move {
            let answer = answer.await;
            drop(active);
            answer
        }
    });
    let builder = builder();
    let served = builder.serve_connection_with_upgrades(io, service);
    tokio::pin!(served);
    let outcome = tokio::select! {
        outcome = &mut served => outcome,
        _ = stopped.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(why) = outcome {
        tracing::debug!(why, "connection ended");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}
