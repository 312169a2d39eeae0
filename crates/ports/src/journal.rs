//! The journal: the truth until the ledger has it durably. Append is durable on return; one consumer
//! gets every record at least once and acknowledges each.
//!
//! [`Journal`] is what every journal can promise, a broker too. [`OrderedJournal`] is what only one
//! ordered log can: numbers without gaps, the last durable one, and trimming through a number. The
//! embedded ledger needs that order; so do receipts and the closing of windows, as long as one process
//! applies all records. A broker's journal has no [`OrderedJournal`]: its confirmation carries no
//! number, it redelivers out of order, and it deletes what is acknowledged.

use async_trait::async_trait;
use bytes::Bytes;
use domain::admit::Admitted;
use domain::position::{RecordId, Seq};

use crate::PortError;

/// A durable record as the worker gets it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Names the record; the same at every delivery.
    pub id: RecordId,
    /// Its payload; see `domain::record`.
    pub payload: Bytes,
}

/// What is durable and not yet acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many records.
    pub records: u64,
    /// Their bytes.
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

/// Holds records durably until they are acknowledged.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Appends one record and returns its id once it is durable (I8). Once called, the record may
    /// become durable even when the returned future is dropped. After `Overloaded`, `Full`, `Closed`,
    /// `Unacceptable` and `Conflict` the record is never delivered. After any other error the outcome
    /// is "not acknowledged": it may be delivered later, and the caller's retry is deduplicated by
    /// event id.
    ///
    /// # Errors
    /// `Overloaded` over the backlog limit, `Full` without disk space, `Poisoned` after a failed
    /// sync, `Closed` after `close`.
    async fn append(&self, admitted: &Admitted) -> Result<RecordId, PortError>;

    /// Durable records that were not delivered since the journal was opened, at least one; waits for
    /// them. A record that is not acknowledged is delivered again after the next opening, and may be
    /// before. Empty only after `close`, when everything has been delivered. Cancel-safe: a dropped
    /// call loses no record. One consumer at a time.
    ///
    /// # Errors
    /// `Corrupt` when a stored record is not what was written.
    async fn next(&self) -> Result<Vec<Delivery>, PortError>;

    /// Says that these records are applied: they leave the backlog. In any order, and again without
    /// effect. An acknowledgement may be lost, and the record is then delivered again, so this must
    /// follow what it speaks of and not precede it.
    async fn ack(&self, ids: &[RecordId]);

    /// What waits to be acknowledged.
    async fn backlog(&self) -> Backlog;

    /// Whether it takes records.
    async fn health(&self) -> JournalHealth;

    /// Returns when every record that was found at the opening is as durable as one that is appended. At once,
    /// unless the opening had to put that off; then it is tried, and `append` does the same. Until it has come to
    /// pass nothing may be answered that rests on such a record, such as that an event is known.
    ///
    /// # Errors
    /// As `append`.
    async fn settle(&self) -> Result<(), PortError> {
        Ok(())
    }

    /// Refuses further appends, finishes those under way, and lets `next` end.
    async fn close(&self);
}

/// A journal that is one log in one order. Its records are numbered without gaps, in the order of
/// durability, and their ids carry the numbers. `next` delivers them in that order, beginning with the
/// record after the one that the constructor was told of, and none twice between two openings.
///
/// After an append that failed without a known outcome, the record has a lower number than that of any
/// append that is called later and succeeds.
#[async_trait]
pub trait OrderedJournal: Journal {
    /// The number of a record of this journal.
    fn seq(&self, id: RecordId) -> Seq {
        Seq::of_record(id)
    }

    /// The id of the record with this number.
    fn id(&self, seq: Seq) -> RecordId {
        seq.into()
    }

    /// Number of the last durable record.
    fn last_durable(&self) -> Seq;

    /// The mark: every record up to and with this one is acknowledged, and the next one is not.
    // public for tests: conformance compares it with what was acknowledged
    fn acked_through(&self) -> Seq;

    /// Says that everything up to and with `flushed` is durable elsewhere: it may be deleted. What
    /// is deleted is never delivered again; what is not may stay for any time.
    ///
    /// # Errors
    /// `Unavailable` when old files cannot be deleted; harmless, try again with a later call.
    async fn trim(&self, flushed: Seq) -> Result<(), PortError>;

    /// Sees to it that no file with records up to and with `through` is written to any more, so that trimming
    /// removes them as soon as all that stands with them is flushed. `through` has been flushed.
    ///
    /// # Errors
    /// As `append`; harmless, try again.
    async fn part_after(&self, through: Seq) -> Result<(), PortError>;

    /// The first record of which bytes may still be in the journal's files; the next one to come if there is none.
    fn first_kept(&self) -> Seq;
}
