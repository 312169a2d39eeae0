//! A stream that shows the parser behind it only heads that are whole and may pass. In place of one that may
//! not, the parser gets a request of no one's, which the service answers with the refusal: so refusals look like all
//! others, and pipelined requests before them are answered first. Holds the head that is not whole, within
//! the budget of heads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use domain::limits::HEAD_BYTES_FREE;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::exchange::Exchange;
use super::framing::{Fault, Framing, Step};
use super::head::{HeadFault, HeadRefusal};
use super::head_budget::{HeadBudget, HeadReservation};
use super::linger::{LINGER_BYTES_MAX, LINGER_TIME_MAX};

/// What the parser gets in place of a refused head. No client's request has such a target: it is refused.
const REFUSED: &[u8] = b"GET * HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// What it gets in place of one to whose answer no body belongs.
const REFUSED_WITHOUT_BODY: &[u8] = b"HEAD * HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// Bytes that are read at once of a head that is not whole.
const READ_BYTES: usize = 4 << 10;
/// The least that such a head grows by, in bytes.
const GROWTH_BYTES: usize = 1 << 10;

const NO_ROOM: HeadRefusal =
    HeadRefusal::new(HeadFault::NoRoom, "head", "the heads of other requests fill the memory set aside for them");
const CUT_SHORT: HeadRefusal =
    HeadRefusal::new(HeadFault::Malformed, "head", "the request ended in the middle of its head");

/// Whether the target of a request says that it stands for a refused head.
pub(super) fn is_refused(request: &http::request::Parts) -> bool {
    request.uri.path() == "*" && request.method != http::Method::OPTIONS
}

/// The stream of one connection.
#[derive(Debug)]
pub(super) struct CheckedStream<S> {
    stream: S,
    framing: Framing,
    /// Bytes that the parser has not been given.
    held: Vec<u8>,
    /// How many of them it may be given.
    passing: usize,
    /// How many heads have passed.
    heads: u64,
    /// The memory of the head that is not whole.
    reservation: Option<HeadReservation>,
    budget: HeadBudget,
    exchange: Arc<Exchange>,
    /// What the parser gets next, and why.
    refusal: Option<(HeadRefusal, &'static [u8])>,
    /// Whether a body broke off.
    is_cut: bool,
    shutdown: Shutdown,
}

#[derive(Debug)]
enum Shutdown {
    Open,
    /// What the peer still sends is read for a while, or closing would take the answer away from it.
    Draining(Pin<Box<Sleep>>, usize),
    Done,
}

impl<S> CheckedStream<S> {
    /// A connection of HTTP/1, whose first bytes were read already.
    pub(super) fn http1(stream: S, first: Vec<u8>, budget: HeadBudget, exchange: Arc<Exchange>) -> Self {
        Self {
            stream,
            framing: Framing::new(),
            held: first,
            passing: 0,
            heads: 0,
            reservation: None,
            budget,
            exchange,
            refusal: None,
            is_cut: false,
            shutdown: Shutdown::Open,
        }
    }

    /// A connection of another protocol, which passes as it is.
    pub(super) fn other(stream: S, first: Vec<u8>, budget: HeadBudget, exchange: Arc<Exchange>) -> Self {
        let passing = first.len();
        Self { framing: Framing::other(), passing, ..Self::http1(stream, first, budget, exchange) }
    }

    /// How many of `bytes` the parser may be given.
    fn look(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while let Some(rest @ [_, ..]) = bytes.get(passed..) {
            match self.framing.step(rest) {
                Ok(Step::Body(pass)) => passed += pass,
                Ok(Step::Head(pass)) => {
                    if !self.keep_room(pass) {
                        self.refuse(NO_ROOM, rest);
                        break;
                    }
                    self.heads += 1;
                    passed += pass;
                }
                Ok(Step::More | Step::Wait) => break,
                Err(Fault::Head(refusal)) => {
                    self.refuse(refusal, rest);
                    break;
                }
                Err(Fault::Chunks) => {
                    self.is_cut = true;
                    break;
                }
            }
        }
        passed
    }

    /// Keeps the memory of a head that is whole until its request is answered.
    fn keep_room(&mut self, bytes: usize) -> bool {
        let head = match self.reservation.take() {
            Some(head) => head.finish().map(Some),
            None => self.budget.reserve_whole(bytes),
        };
        let has_room = head.is_ok();
        if let Ok(Some(head)) = head {
            self.exchange.hand_over(head);
        }
        has_room
    }

    fn refuse(&mut self, refusal: HeadRefusal, head: &[u8]) {
        let is_without_body = head.trim_ascii_start().starts_with(b"HEAD ");
        self.framing.end();
        self.refusal = Some((refusal, if is_without_body { REFUSED_WITHOUT_BODY } else { REFUSED }));
    }

    /// Refuses the head that is not whole, and frees it.
    fn refuse_held(&mut self, refusal: HeadRefusal) {
        let head = std::mem::take(&mut self.held);
        self.refuse(refusal, &head);
    }

    /// Hands the refusal over, and lets the request pass that is answered with it.
    fn pass_refusal(&mut self) {
        if let Some((refusal, request)) = self.refusal.take() {
            self.exchange.refuse(refusal);
            self.reservation = None;
            self.held = request.to_vec();
            self.passing = request.len();
        }
    }

    /// Has what is held counted, when it is long.
    fn has_room(&mut self) -> bool {
        let bytes = self.held.capacity();
        match &self.reservation {
            _ if self.held.len() <= HEAD_BYTES_FREE => true,
            Some(head) => head.grow_to(bytes),
            None => {
                self.reservation = self.budget.reserve(bytes);
                self.reservation.is_some()
            }
        }
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let bytes = self.passing.min(buffer.remaining());
        buffer.put_slice(self.held.get(..bytes).unwrap_or_default());
        self.held.drain(..bytes);
        self.passing -= bytes;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.held.capacity() - self.held.len() < bytes.len() {
            self.held.reserve_exact(bytes.len().max(GROWTH_BYTES));
        }
        self.held.extend_from_slice(bytes);
    }
}

impl<S: AsyncRead + Unpin> CheckedStream<S> {
    /// Reads when nothing is held: into the parser's own buffer, where most requests are whole.
    fn poll_direct(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        let is_end = came.is_empty();
        let passed = if self.framing.is_other() { came.len() } else { self.look(came) };
        if let Some(rest @ [_, ..]) = came.get(passed..) {
            // A short drop of what a refusal does not need, otherwise the beginning of a head.
            if !self.framing.is_broken() {
                self.hold(rest);
            }
            buffer.set_filled(before + passed);
        }
        Poll::Ready(Ok(if is_end { usize::MAX } else { passed }))
    }

    /// Reads more of the head that is held.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_evicted = self.reservation.as_ref().is_some_and(|head| head.is_evicted(context.waker()));
        if is_evicted || !self.has_room() {
            self.refuse_held(NO_ROOM);
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        match buffer.filled() {
            [] => self.refuse_held(CUT_SHORT),
            came => self.hold(came),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CheckedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.passing > 0 {
                this.give(buffer);
                return Poll::Ready(Ok(()));
            }
            this.pass_refusal();
            if this.passing > 0 {
                continue;
            }
            if this.is_cut {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if this.framing.is_broken() {
                // The parser has got its last request, and closes.
                return Poll::Pending;
            }
            if this.framing.is_waiting() {
                match this.exchange.switched(this.heads, context.waker()) {
                    Some(is_switched) => this.framing.answered(is_switched),
                    None => return Poll::Pending,
                }
            }
            if this.held.is_empty() {
                if ready!(this.poll_direct(context, buffer))? > 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let held = std::mem::take(&mut this.held);
            let passing = this.look(&held);
            (this.held, this.passing) = (held, passing);
            let is_settled = this.passing > 0 || this.refusal.is_some() || this.is_cut || this.framing.is_waiting();
            if !is_settled {
                ready!(this.poll_held(context))?;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for CheckedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.shutdown, Shutdown::Open) {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.shutdown = match this.framing.is_broken() {
                true => Shutdown::Draining(Box::pin(tokio::time::sleep(LINGER_TIME_MAX)), LINGER_BYTES_MAX),
                false => Shutdown::Done,
            };
        }
        while let Shutdown::Draining(timer, bytes_left) = &mut this.shutdown {
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            let is_over = match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().is_empty() || *bytes_left < READ_BYTES,
                Poll::Ready(Err(_)) => true,
                Poll::Pending => {
                    ready!(timer.as_mut().poll(context));
                    true
                }
            };
            *bytes_left = bytes_left.saturating_sub(READ_BYTES);
            if is_over {
                this.shutdown = Shutdown::Done;
            }
        }
        Poll::Ready(Ok(()))
    }
}
