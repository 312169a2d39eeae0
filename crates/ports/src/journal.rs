//! The journal: the truth until flushed. Append is durable on return; one consumer reads in order.

use async_trait::async_trait;
use bytes::Bytes;
use domain::admit::Admitted;
use domain::position::Seq;

use crate::PortError;

/// A durable record as the worker gets it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub seq: Seq,
    /// Its payload; see `domain::record`.
    pub payload: Bytes,
}

/// What is acknowledged but not yet applied, and where the journal stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Number of the last durable record.
    pub durable: Seq,
    /// Number of the last record acknowledged with [`Journal::ack`].
    pub acked: Seq,
    /// Bytes of the durable records after `acked`.
    pub bytes: u64,
}

/// Whether the journal takes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalHealth {
    /// It does.
    Ready,
    /// The disk is full; it will again when there is space.
    Full,
    /// A sync failed, with this reason; only a restart helps.
    Poisoned(String),
    /// It has been closed.
    Closed,
}

/// A durable log of records with one consumer.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Appends one record and returns its number once it is durable (I8). Numbers are contiguous and
    /// ascending in the order of durability. Once called, the record may become durable even when
    /// the returned future is dropped. After `Overloaded`, `Full`, `Closed`, `Unacceptable` and
    /// `Conflict` the record is never read back. After any other error the outcome is "not
    /// acknowledged": it may be read back later, with a lower number than any append called later
    /// that succeeds, and the caller's retry is deduplicated by event id.
    ///
    /// # Errors
    /// `Overloaded` over the backlog limit, `Full` without disk space, `Poisoned` after a failed
    /// sync, `Closed` after `close`.
    async fn append(&self, admitted: &Admitted) -> Result<Seq, PortError>;

    /// The next durable records after those handed out before, in order, at least one; waits for
    /// them. After opening it begins with the record after the one given to the constructor.
    /// Empty only after `close`, when everything has been handed out. Cancel-safe: a dropped call
    /// loses no record. One consumer at a time.
    ///
    /// # Errors
    /// `Corrupt` when a stored record is not what was written.
    async fn next(&self) -> Result<Vec<Entry>, PortError>;

    /// Says that everything up to and with `applied` is applied: it leaves the backlog.
    fn ack(&self, applied: Seq);

    /// Says that everything up to and with `flushed` is durable elsewhere: it may be deleted. What
    /// is deleted is never handed out again; what is not may stay for any time.
    ///
    /// # Errors
    /// `Unavailable` when old files cannot be deleted; harmless, try again with a later call.
    async fn trim(&self, flushed: Seq) -> Result<(), PortError>;

    /// Where the journal stands.
    fn backlog(&self) -> Backlog;

    /// Whether it takes records.
    fn health(&self) -> JournalHealth;

    /// Refuses further appends, finishes those under way, and lets `next` end.
    async fn close(&self);
}
