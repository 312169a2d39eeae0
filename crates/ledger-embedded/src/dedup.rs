//! Exact deduplication: (tenant, event id) → 128-bit keyed hash → first sighting. Ids that are not flushed stand in
//! the memtable, flushed ones in sorted runs with a filter each; both are exact.

mod run;

pub(crate) use domain::dedup::{IdHash, IdHasher};
use domain::payload::PayloadHash;
use domain::position::Position;

pub(crate) use run::{IdLookup, IdRecord, IdRun, IdRunWriter};

/// The first sighting of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstSeen {
    /// Where it stands in the journal.
    pub(crate) position: Position,
    /// Hash of what the client sent.
    pub(crate) payload: PayloadHash,
}
