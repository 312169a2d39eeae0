//! Limits how long a connection may stay open without a request under way: a first or next head must be
//! complete within `head` of its first byte, and silence between requests may last `idle`. Time spent on a
//! request itself does not count; the routes bound that. A peer that receives
//! nothing of an answer for `idle` is cut off, also in the middle of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The two time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionTimeouts {
    /// For a whole head; on a new connection from its start.
    pub(super) head: Duration,
    /// For the next request, and for the peer to receive more of an answer.
    pub(super) idle: Duration,
}

/// Counts the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct ActiveRequests {
    begun: AtomicU64,
    ended: AtomicU64,
    multiplexed: AtomicBool,
    /// Whether the peer has yet to receive what was written.
    is_unsent: AtomicBool,
    /// Counts on whenever a connection has nothing to do.
    order: Arc<AtomicU64>,
    idle_since: AtomicU64,
}

impl ActiveRequests {
    /// A new connection among those of `order`.
    pub(super) fn new(order: &Arc<AtomicU64>) -> Self {
        let idle_since = AtomicU64::new(order.fetch_add(1, Ordering::Relaxed));
        Self { order: Arc::clone(order), idle_since, ..Self::default() }
    }

    /// Whether a request, or what goes on after its answer, is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.begun.load(Ordering::Acquire) != self.ended.load(Ordering::Acquire)
    }

    /// Where the connection stands in the order of those that have nothing to do, if it has nothing to do:
    /// the one that waits longest is the first.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let ended = self.ended.load(Ordering::Acquire);
        let is_idle = self.begun.load(Ordering::Acquire) == ended && !self.is_unsent.load(Ordering::Relaxed);
        is_idle.then(|| self.idle_since.load(Ordering::Relaxed))
    }

    /// Notes that a request has come.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> ActiveRequest {
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::AcqRel);
        ActiveRequest(Arc::clone(self))
    }
}

/// A request under way; it ends on drop.
#[derive(Debug)]
pub(super) struct ActiveRequest(Arc<ActiveRequests>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let now = self.0.order.fetch_add(1, Ordering::Relaxed);
        self.0.idle_since.store(now, Ordering::Relaxed);
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a connection is waiting for, and after how many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head(u64),
    Idle(u64),
    Busy,
}

/// A stream that fails with `TimedOut` when a time limit is over.
#[derive(Debug)]
pub(super) struct TimedStream<S> {
    stream: S,
    timeouts: ConnectionTimeouts,
    requests: Arc<ActiveRequests>,
    /// How many requests had ended when bytes last came.
    heard_after: u64,
    armed: Phase,
    timer: Pin<Box<Sleep>>,
    /// Runs while the peer receives nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, timeouts: ConnectionTimeouts, requests: Arc<ActiveRequests>) -> Self {
        let timer = Box::pin(tokio::time::sleep(timeouts.head));
        Self { stream, timeouts, requests, heard_after: 0, armed: Phase::Head(0), timer, stalled: None }
    }

    fn phase(&self) -> Phase {
        let ended = self.requests.ended.load(Ordering::Relaxed);
        if self.requests.begun.load(Ordering::Relaxed) != ended {
            return Phase::Busy;
        }
        // Pings of HTTP/2 are heard between requests too; only its first head is timed.
        let head = self.heard_after == ended && (ended == 0 || !self.requests.multiplexed.load(Ordering::Relaxed));
        if head { Phase::Head(ended) } else { Phase::Idle(ended) }
    }

    /// Called whenever the stream makes the connection wait.
    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let phase = self.phase();
        let wait = match phase {
            Phase::Busy => return Poll::Pending,
            Phase::Head(_) => self.timeouts.head,
            Phase::Idle(_) => self.timeouts.idle,
        };
        if phase != self.armed {
            self.armed = phase;
            self.timer.set(tokio::time::sleep(wait));
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn or_timeout<T>(&mut self, poll: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Pending => self.poll_timeout(context).map(Err),
            ready => ready,
        }
    }

    fn written<T>(&mut self, poll: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            if self.stalled.take().is_some() {
                self.requests.is_unsent.store(false, Ordering::Relaxed);
            }
            return poll;
        }
        self.requests.is_unsent.store(true, Ordering::Relaxed);
        let idle = self.timeouts.idle;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if stalled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.or_timeout(poll, context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if poll.is_ready() {
            self.heard_after = self.requests.ended.load(Ordering::Relaxed);
        }
        self.or_timeout(poll, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(poll, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(poll, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        // A flush ends an answer. The read that is pending since before it was pending in a busy
        // phase, without a timer; the timer set here wakes it.
        match self.poll_timeout(context) {
            Poll::Ready(end) if poll.is_pending() => Poll::Ready(Err(end)),
            _ => poll,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.or_timeout(poll, context)
    }
}
