//! The accept loop. Bounds what a connection may cost before, between and after its requests: plain
//! `axum::serve` has no timer, so a peer that sends nothing would stay for ever.

mod answer_body;
mod checked_stream;
mod connection;
mod exchange;
mod framing;
mod head;
mod head_budget;
mod linger;
mod service;
mod table;
mod timed_stream;
mod tls;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use domain::limits::{HEAD_BYTES_MAX, HTTP2_HEAD_BYTES_MAX, Limits};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pipeline::Metrics;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::base_path::BasePath;

use checked_stream::CheckedStream;
pub(crate) use connection::{ConnectionGuard, ConnectionHandle, OutsideBasePath, Peer};
use exchange::Exchange;
pub(crate) use head::{HeadFault, HeadRefusal};
use head_budget::HeadBudget;
use service::ConnectionService;
pub(crate) use service::{SentTarget, is_probe};
use table::{Table, Ticket};
use timed_stream::{ConnectionTimeouts, TimedStream};
use tls::ALPN_HTTP2;
pub use tls::{FileError, Tls, TlsError};

/// The first bytes of a connection of HTTP/2 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// Room in the parser's buffer beside the longest head, in bytes.
const PARSER_ROOM: usize = 8 << 10;
/// What the parser of HTTP/2 takes of a head that is too long, so that its refusal can be written, in bytes.
const HTTP2_REFUSED_BYTES: u32 = 8 << 10;
/// Time between two pings on an HTTP/2 connection, and the wait for each answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Pause after the machine had no file descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait at the end for requests under way.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(20);
/// Time between two looks whether a WebSocket has ended.
const WEBSOCKET_POLL: Duration = Duration::from_millis(200);
/// How long a connection without a request under way may take to end when it is asked to.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// What a server serves with, beside its routes.
#[derive(Debug)]
pub struct Serving {
    /// What a connection may take.
    pub limits: Limits,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
    /// The path that all routes lie below; probes and metrics are at the root, too.
    pub base_path: BasePath,
    /// Connections are of TLS if it is given, and of nothing else.
    pub tls: Option<Tls>,
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    router: Router,
    base_path: BasePath,
    tls: Option<TlsAcceptor>,
    timeouts: ConnectionTimeouts,
    heads: HeadBudget,
    stopped: watch::Receiver<bool>,
    /// What goes on after an answer, such as a stream, holds a sender.
    open: mpsc::Sender<()>,
}

/// Answers connections on `listener` with `router` until `shutdown` resolves; then lets the requests
/// under way finish, within a time limit. Returns what `shutdown` did.
pub async fn serve<T>(listener: TcpListener, router: Router, serving: Serving, shutdown: impl Future<Output = T>) -> T {
    let Serving { limits, metrics, base_path, tls } = serving;
    let timeouts = ConnectionTimeouts { head: limits.header_timeout, idle: limits.idle_timeout };
    let (stop, stopped) = watch::channel(false);
    let (open, mut closed) = mpsc::channel(1);
    let acceptor = tls.as_ref().map(Tls::acceptor);
    let shared = Shared { router, base_path, tls: acceptor, timeouts, heads: HeadBudget::default(), stopped, open };
    let mut certificate = JoinSet::new();
    if let Some(tls) = tls {
        certificate.spawn(tls.follow());
    }
    let mut connections = JoinSet::new();
    let mut table = Table::new(limits.connections_max, metrics);
    tokio::pin!(shutdown);
    let ending = loop {
        tokio::select! {
            ending = &mut shutdown => break ending,
            Some(ended) = connections.join_next_with_id(), if !connections.is_empty() => {
                table.remove(ended.map_or_else(|panicked| panicked.id(), |(id, ())| id));
            }
            accepted = listener.accept(), if table.has_room() => match accepted {
                Ok((stream, peer)) => accept(stream, peer, &shared, &mut table, &mut connections),
                Err(why) => refused(&why).await,
            },
        }
    };
    drop((listener, shared));
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

fn accept(stream: TcpStream, peer: SocketAddr, shared: &Shared, table: &mut Table, connections: &mut JoinSet<()>) {
    // Without a place it is dropped, which closes it.
    let Some(ticket) = table.admit(peer.ip()) else { return };
    let task = connections.spawn(connection(stream, peer.ip(), ticket.clone(), shared.clone()));
    table.enter(task.id(), ticket);
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

async fn connection(stream: TcpStream, peer: IpAddr, ticket: Ticket, shared: Shared) {
    if let Err(why) = stream.set_nodelay(true) {
        tracing::debug!(%why, "failed to set TCP_NODELAY");
    }
    let stream = TimedStream::new(stream, shared.timeouts, Arc::clone(&ticket.requests));
    let Some(acceptor) = shared.tls.clone() else {
        return converse(stream, Peer { address: peer, is_tls: false }, false, ticket, shared).await;
    };
    // The stream below has its time limit for a whole head since it was made, so the handshake lies within it.
    let mut stopped = shared.stopped.clone();
    let shaken = tokio::select! {
        shaken = acceptor.accept(stream) => shaken,
        _ = stopped.changed() => return,
        () = ticket.close.cancelled() => return,
    };
    match shaken {
        Ok(stream) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
            converse(stream, Peer { address: peer, is_tls: true }, is_http2, ticket, shared).await;
        }
        Err(why) => tracing::debug!(%why, "no TLS on a connection"),
    }
}

/// Answers the requests of one connection; if `is_http2`, they must be of HTTP/2.
async fn converse<S>(mut stream: S, peer: Peer, is_http2: bool, ticket: Ticket, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Shared { router, base_path, heads, mut stopped, open, .. } = shared;
    let requests = Arc::clone(&ticket.requests);
    let first = tokio::select! {
        first = first_bytes(&mut stream) => first,
        _ = stopped.changed() => return,
        () = ticket.close.cancelled() => return,
    };
    let Ok(first) = first else { return };
    if is_http2 && first != HTTP2_PREFACE {
        return;
    }
    let exchange = Arc::new(Exchange::default());
    let handle = ConnectionHandle::new(Arc::clone(&requests), stopped.clone(), open);
    let seat = ticket.seat;
    let (budget, told) = (heads.clone(), Arc::clone(&exchange));
    let service = ConnectionService { router, seat, requests, exchange, budget: heads, handle, peer, base_path };
    if first == HTTP2_PREFACE {
        let stream = TokioIo::new(CheckedStream::other(stream, first, budget, told));
        let served = http2_builder().serve_connection(stream, service);
        run(served, |served| served.graceful_shutdown(), &ticket, stopped).await;
    } else {
        let stream = TokioIo::new(CheckedStream::http1(stream, first, budget, told));
        let served = http1_builder().serve_connection(stream, service).with_upgrades();
        run(served, |served| served.graceful_shutdown(), &ticket, stopped).await;
    }
    // A WebSocket goes on without HTTP, and keeps its place.
    while ticket.requests.is_busy() {
        tokio::time::sleep(WEBSOCKET_POLL).await;
    }
}

/// Reads until it is known whether a connection begins with HTTP/2.
async fn first_bytes<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(HTTP2_PREFACE.len());
    while first.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&first) {
        let left = HTTP2_PREFACE.len() - first.len();
        if (&mut *stream).take(left as u64).read_buf(&mut first).await? == 0 {
            break;
        }
    }
    Ok(first)
}

/// Serves a connection until it ends, or until it is asked to end and has no request under way.
async fn run<C: Future<Output = hyper::Result<()>>>(
    served: C,
    finish: fn(Pin<&mut C>),
    ticket: &Ticket,
    mut stopped: watch::Receiver<bool>,
) {
    tokio::pin!(served);
    let mut is_asked = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut served => break outcome,
            _ = stopped.changed() => {
                finish(served.as_mut());
                break served.await;
            }
            () = ticket.close.cancelled(), if !is_asked => {
                finish(served.as_mut());
                is_asked = true;
            }
            () = tokio::time::sleep(CLOSE_TIME_MAX), if is_asked => {
                if ticket.requests.idle_since().is_some() {
                    return;
                }
            }
        }
    };
    if let Err(why) = outcome {
        tracing::debug!(%why, "connection ended");
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX + PARSER_ROOM);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let head_bytes_max = u32::try_from(HTTP2_HEAD_BYTES_MAX).unwrap_or(u32::MAX);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(head_bytes_max.saturating_add(HTTP2_REFUSED_BYTES))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}
