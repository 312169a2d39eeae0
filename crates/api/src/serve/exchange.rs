//! What the stream of a connection and the service that answers its requests tell each other beside the bytes:
//! a refusal to answer with, the memory of heads, and that another protocol follows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::head::HeadRefusal;
use super::head_budget::HeadReservation;

/// Shared by the two sides of one connection.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    notes: Mutex<Notes>,
    /// How many requests are answered.
    answered: AtomicU64,
    is_switched: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Notes {
    refusal: Option<HeadRefusal>,
    heads: Vec<HeadReservation>,
}

impl Exchange {
    /// Has the last request of the connection answered with this.
    pub(super) fn refuse(&self, refusal: HeadRefusal) {
        self.notes.lock().refusal = Some(refusal);
    }

    /// What the last request is to be answered with.
    pub(super) fn refusal(&self) -> Option<HeadRefusal> {
        self.notes.lock().refusal
    }

    /// Hands over the memory of a head that has passed.
    pub(super) fn hand_over(&self, head: HeadReservation) {
        self.notes.lock().heads.push(head);
    }

    /// The memory of heads that have passed since the last call.
    pub(super) fn take_heads(&self) -> Vec<HeadReservation> {
        std::mem::take(&mut self.notes.lock().heads)
    }

    /// Notes an answer, and whether another protocol follows it.
    pub(super) fn answered(&self, is_switched: bool) {
        if is_switched {
            self.is_switched.store(true, Ordering::Release);
        }
        self.answered.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Whether another protocol follows, once `heads` requests are answered; until then `waker` is woken by
    /// each answer.
    pub(super) fn switched(&self, heads: u64, waker: &Waker) -> Option<bool> {
        self.waker.register(waker);
        let is_answered = self.answered.load(Ordering::Acquire) >= heads;
        is_answered.then(|| self.is_switched.load(Ordering::Acquire))
    }
}
