//! What was found about the transaction of a ledger in a database.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::inside::TableBytes;

/// One batch and the copy of its events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Events that counted.
    pub(super) events: u64,
    /// Time of the transaction.
    pub(super) took: Duration,
    /// Time of the copy.
    pub(super) bare: Duration,
    /// Bytes of log of the transaction.
    pub(super) log_bytes: u64,
}

impl Turn {
    /// The speed of the transaction, of the copy's.
    fn ratio(self) -> f64 {
        self.bare.as_secs_f64() / self.took.as_secs_f64()
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, took, bare, .. } = self;
        write!(f, "{events} events, ledger {took:.1?}, bare copy {bare:.1?}, ratio {:.2}", self.ratio())
    }
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct LedgerReport {
    /// Events that were timed.
    events: u64,
    /// Events per second of the ledger.
    events_per_s: f64,
    /// Events per second of the copies.
    bare_per_s: f64,
    /// The median of the ratios of all batches.
    ratio: f64,
    /// How long it took until nothing was left to be vacuumed, in seconds.
    vacuum_s: f64,
    /// Events per second with that time.
    settled_per_s: f64,
    /// The ratio of all time with that time.
    settled_ratio: f64,
    /// Bytes of log per event.
    log_bytes: f64,
    /// Most locks of relations that a transaction had.
    locks: u64,
    /// Connections of the worker.
    connections: u64,
    /// Events that are stored, with those that were not timed.
    stored: u64,
    /// Bytes of tables and indexes per stored event.
    stored_bytes: f64,
    /// Bytes of each table.
    tables: Vec<TableBytes>,
}

impl LedgerReport {
    /// Adds up.
    #[expect(clippy::cast_precision_loss, reason = "sums of bytes are far below 2^52")]
    pub(super) fn of(
        turns: &[Turn],
        vacuum: Duration,
        locks: u64,
        connections: u64,
        stored: u64,
        tables: Vec<TableBytes>,
    ) -> Self {
        let events = turns.iter().map(|turn| turn.events).sum();
        let (took, bare): (Duration, Duration) =
            (turns.iter().map(|turn| turn.took).sum(), turns.iter().map(|turn| turn.bare).sum());
        let mut ratios: Vec<_> = turns.iter().map(|turn| turn.ratio()).collect();
        ratios.sort_by(f64::total_cmp);
        let log_bytes: u64 = turns.iter().map(|turn| turn.log_bytes).sum();
        let bytes: u64 = tables.iter().map(|table| table.rows_bytes + table.indexes_bytes).sum();
        Self {
            events,
            events_per_s: rate(events, took),
            bare_per_s: rate(events, bare),
            ratio: ratios.get(ratios.len() / 2).copied().unwrap_or(0.0),
            vacuum_s: vacuum.as_secs_f64(),
            settled_per_s: rate(events, took + vacuum),
            settled_ratio: bare.as_secs_f64() / (took + vacuum).as_secs_f64(),
            log_bytes: log_bytes as f64 / events as f64,
            locks,
            connections,
            stored,
            stored_bytes: bytes as f64 / stored as f64,
            tables,
        }
    }
}

impl fmt::Display for LedgerReport {
    #[expect(clippy::cast_precision_loss, reason = "sums of bytes are far below 2^52")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, events_per_s, bare_per_s, ratio, vacuum_s, settled_per_s, settled_ratio, .. } = self;
        writeln!(f, "ledger      {events_per_s:.0} events/s over {events} events, bare copy {bare_per_s:.0}")?;
        writeln!(f, "ratio       {ratio:.3} (median of the batches)")?;
        writeln!(f, "vacuum      {vacuum_s:.1} s; with it {settled_per_s:.0} events/s, ratio {settled_ratio:.3}")?;
        let Self { log_bytes, locks, connections, stored, stored_bytes, tables, .. } = self;
        writeln!(f, "log         {log_bytes:.0} bytes per event")?;
        writeln!(f, "locks       {locks} of relations at most, {connections} connections of the worker")?;
        write!(f, "stored      {stored_bytes:.0} bytes per event, of {stored} events")?;
        for TableBytes { name, rows_bytes, indexes_bytes } in tables {
            let each = |bytes: &u64| *bytes as f64 / *stored as f64;
            if each(rows_bytes) >= 1.0 {
                write!(f, "\n  {name:<20} {:>6.1} rows {:>6.1} indexes", each(rows_bytes), each(indexes_bytes))?;
            }
        }
        Ok(())
    }
}

/// Events per second.
#[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
fn rate(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}
