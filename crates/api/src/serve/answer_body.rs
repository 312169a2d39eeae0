//! The body of an answer, which keeps its connection from counting as idle until it is sent, and the memory of
//! its request's head taken until then.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::head_budget::HeadReservation;
use super::timed_stream::ActiveRequest;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct AnswerBody {
    pub(super) body: AxumBody,
    pub(super) _active: ActiveRequest,
    pub(super) _heads: Vec<HeadReservation>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
