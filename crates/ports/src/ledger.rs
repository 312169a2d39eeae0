//! The ledger: where a durable record becomes counted. Dedup, events, aggregates and the cursor
//! become visible as one, and durable as one.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::event::EventId;
use domain::payload::PayloadHash;
use domain::position::{EventPosition, Seq};
use domain::quota::Amounts;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};

use crate::journal::Delivery;
use crate::{ErrorKind, PortError};

/// What became of one event of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Counted.
    Fresh,
    /// Its id was counted before with the same payload.
    Duplicate,
    /// Its id was counted before with another payload; the first one stands.
    Mismatch,
    /// Its id was counted before, and what was counted has been erased since.
    Erased,
    /// An erasure refuses what comes of its user, its customer or its tenant. Only of a record that nobody was told is
    /// accepted, if the erasure was asked for while all that was accepted before was applied.
    Refused,
}

impl Outcome {
    /// What becomes of an event whose id was counted before, with the payload `first`.
    pub fn of_known(first: PayloadHash, again: PayloadHash) -> Self {
        if first.rule.is_erased() {
            Self::Erased
        } else if first.contradicts(again) {
            Self::Mismatch
        } else {
            Self::Duplicate
        }
    }
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The record.
    pub seq: Seq,
    /// Per event, in order.
    pub outcomes: Vec<Outcome>,
}

/// What became of a run of records handed to [`Ledger::apply`].
#[derive(Debug, Default)]
pub struct AppliedRecords {
    /// The leading records that were applied, in order.
    pub applied: Vec<Applied>,
    /// Those among them that the ledger itself has given up: they are dead letters, without outcomes.
    pub dead: Vec<DeadRecord>,
    /// Why the record after them was not; the later ones were not looked at, or will be again.
    pub failed: Option<PortError>,
}

/// A record that has become a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadRecord {
    /// The record.
    pub seq: Seq,
    /// Why it could not be applied.
    pub reason: String,
}

/// An earlier sighting of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The record in which it was counted.
    pub seq: Seq,
    /// The hash of the payload that was counted, with the rule that made it.
    pub payload: PayloadHash,
}

/// Counts records exactly once.
#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// The last record whose effects are durable here; the journal is read from the next one.
    fn cursor(&self) -> Seq;

    /// The last record whose effects are visible to queries.
    fn applied(&self) -> Seq;

    /// Applies records in order. Each becomes visible whole: its ids, events and aggregates. A
    /// record at or before `applied` changes nothing and reports what it did the first time only
    /// as far as known. May wait while earlier effects are made durable (backpressure).
    ///
    /// The key of a record is remembered, as an id of scheme `Request` with the hash of the body, when an event
    /// of the record is counted and no earlier record has left the key; it is kept as long as the ids of events.
    ///
    /// In `failed`: `Unacceptable` when the record itself can never be applied, `Conflict` when it
    /// is not the next one, anything else when it may succeed later. After three refusals of a record as
    /// `Unacceptable` its caller gives it up with [`Ledger::dead_letter`]. A ledger that keeps the count itself, so
    /// that it outlives the process, does so in place of the third, and tells in `dead`; never for any other
    /// failure.
    async fn apply(&self, deliveries: &[Delivery]) -> AppliedRecords;

    /// Puts a record that can never be applied among the dead letters, with the reason, and counts
    /// it as applied without events.
    ///
    /// # Errors
    /// When the dead letter cannot be stored; try again.
    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), PortError>;

    /// Per id the earlier sighting, if it has been applied, in the order of `ids`. A hint: an id that is
    /// still on its way is not seen, an unreadable index sees nothing, and under load a known id may be missed,
    /// because this waits for other lookups for [`domain::limits::SIGHTING_WAIT_MAX`] at most. What is missed
    /// here is found by [`Ledger::apply`], which decides. Never blocks the thread that polls it.
    async fn seen(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Vec<Option<Sighting>>;

    /// Whether any id may have been applied under which an earlier release knew a `CloudEvent`, which did not look at
    /// the source: an id with a payload hash of the first rule. False only when that is certain.
    fn holds_former_ids(&self) -> bool;

    /// What [`Ledger::seen`] says, but never missing what is applied: it may wait for a disk, and for other
    /// lookups for [`domain::limits::PERMIT_WAIT_MAX`]. Also finds the keys of requests.
    ///
    /// # Errors
    /// `Overloaded` when other lookups leave no room in time, `Corrupt` when the index cannot be read.
    async fn seen_exactly(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Result<Vec<Option<Sighting>>, PortError>;

    /// The greatest position that any event of the records up to `applied` can have: events of these
    /// stand at or before it, events of later records behind it.
    fn applied_position(&self) -> EventPosition;

    /// Says that every event received before `through` has been applied, which closes the windows
    /// whose grace ended by then. Durable on return; never goes back but by [`Ledger::reopen_after`].
    ///
    /// # Errors
    /// When it cannot be made durable; try again.
    async fn close_through(&self, through: Timestamp) -> Result<(), PortError>;

    /// Takes back that windows whose grace ends after `closed` are closed: a clock that was ahead has closed
    /// them. Durable on return; changes nothing when none is.
    ///
    /// # Errors
    /// When it cannot be made durable; try again.
    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError>;

    /// Up to when windows are closed.
    fn closed_through(&self) -> Timestamp;

    /// Makes everything applied durable and returns the new cursor.
    ///
    /// # Errors
    /// When it cannot be made durable; the effects stay visible and the journal still holds them.
    async fn flush(&self) -> Result<Seq, PortError>;

    /// The names that tenants are known to use, to resume cardinality limits after a restart.
    fn names(&self) -> Vec<(TenantId, Dimension, String)>;

    /// Why nothing can be made durable any more until the process starts again, if that is so.
    fn failure(&self) -> Option<ErrorKind> {
        None
    }

    /// Why nothing can be applied or read for the time being, as far as that is known. It passes by itself, and what is
    /// applied meanwhile is tried again.
    fn outage(&self) -> Option<String> {
        None
    }

    /// What retention will drop after a wait, if anything.
    fn retention_notice(&self) -> Option<RetentionNotice> {
        None
    }

    /// Takes for how many days a tenant's raw events are kept, 0 for ever; `None` as long as the server keeps those of
    /// others. Held in memory, as stored by [`crate::catalog::Catalog::store_settings`]; what would be dropped at once
    /// waits as it does after a change of the server's setting. A ledger that keeps everything has nothing to do.
    fn set_retention(&self, _scope: &TenantScope, _days: Option<u32>) {}

    /// How far back a tenant's raw events are shown, and what retention will drop of them.
    fn retention_of(&self, _scope: &TenantScope) -> TenantNotice {
        TenantNotice::default()
    }

    /// Whether an erasure refuses later events of this customer or user. [`Ledger::apply`] does not count such events
    /// either. A ledger that erases nothing refuses nothing.
    fn refuses(&self, _scope: &TenantScope, _customer: Option<&str>, _user: Option<&str>) -> bool {
        false
    }

    /// The last record of which an erasure that is done has removed events: no file may hold it longer than needed.
    fn erased_through(&self) -> Seq {
        Seq::ZERO
    }

    /// How much was counted of what a tenant's requests brought inside `range`, by their receive times. The bounds are
    /// rounded down to quarters of an hour. Of customers only those that [`Ledger::meter_customer`] has named.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError>;

    /// Has what a customer's requests bring counted by receive time, from now on and for ever. What they have brought
    /// so far is counted from the raw events that are kept. Durable on return; changes nothing when it was asked for
    /// before.
    ///
    /// # Errors
    /// `Conflict` when an erasure of the customer is not finished, or the whole tenant is erased. Otherwise when it
    /// cannot be made durable; try again.
    async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError>;

    /// Figures for metrics.
    fn stats(&self) -> LedgerStats;
}

/// What retention will drop after a wait, unless it is made longer before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionNotice {
    /// Raw events before this will no longer be shown.
    pub before: Timestamp,
    /// Segments that have such events.
    pub segments: u64,
    /// How many events these have: at most so many will go.
    pub events: u64,
    /// The time of the earliest of them.
    pub oldest: Option<Timestamp>,
    /// How long it waits still, while the process runs.
    pub due_in: Duration,
}

/// What was received in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// By the tenant as a whole.
    pub all: Amounts,
    /// By its customers, those that are counted and have brought anything.
    pub by_customer: BTreeMap<String, Amounts>,
}

impl Received {
    /// Adds what was received of a customer; the empty one stands for all.
    pub fn add(&mut self, customer: &str, amounts: &Amounts) {
        match customer {
            "" => self.all.add(amounts),
            _ => self.by_customer.entry(customer.to_owned()).or_default().add(amounts),
        }
    }
}

/// How retention stands for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantNotice {
    /// Raw events before this are not shown any more; `None` when all are.
    pub kept_since: Option<Timestamp>,
    /// Raw events before this time will go, after so much more time that the server runs.
    pub waiting: Option<(Timestamp, Duration)>,
}

/// The size of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerStats {
    /// Events that are applied but not flushed.
    pub unflushed_events: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Events on disk.
    pub flushed_events: u64,
    /// Bytes on disk.
    pub flushed_bytes: u64,
    /// Records among the dead letters.
    pub dead_letters: u64,
}
