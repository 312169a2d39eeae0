//! A request body whose rest is still read for a while after the handler has answered without it.
//! Closing at once would reset the connection under a client that is still sending, and the answer
//! would be lost with it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// How long the rest of a body is read.
pub(super) const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
/// How much of the rest of a body is read, in bytes.
pub(super) const LINGER_BYTES_MAX: usize = 64 << 20;

/// The body of a request.
#[derive(Debug)]
pub(super) struct Linger {
    /// `None` once it has ended.
    body: Option<Incoming>,
    /// Whether the client sends; false while it waits for `100 Continue`.
    sending: bool,
}

impl Linger {
    pub(super) fn new(headers: &HeaderMap, body: Incoming) -> Self {
        Self { body: (!body.is_end_stream()).then_some(body), sending: !headers.contains_key(EXPECT) }
    }
}

impl Body for Linger {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.sending = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        match self.body.take() {
            Some(body) if self.sending && !body.is_end_stream() => {
                tokio::spawn(tokio::time::timeout(LINGER_TIME_MAX, discard(body)));
            }
            _ => {}
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut bytes_left = LINGER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match bytes_left.checked_sub(bytes) {
            Some(left) => bytes_left = left,
            None => return,
        }
    }
}
