//! The embedded ledger: a log-structured store with one commit point. Records are applied to a
//! memtable; a flush turns it into a segment that one manifest commit makes count.

pub mod options;
mod dedup;
mod users;
mod intern;
mod activity;
mod memtable;
mod segment;
mod state;
mod sightings;
mod query_runtime;
mod core;
mod ledger;
mod consistent_read;
mod reading;
mod flush;
mod merge;
mod compact;
mod erasure;
mod erased_hours;
mod retention;
mod retention_run;
mod received;
mod reports;
mod active_users;
mod analytics;
mod queries;
mod parts;
mod verify;
pub mod interchange;
#[cfg(test)]
mod fixture;

pub use ledger::EmbeddedLedger;
pub use options::LedgerOptions;
pub use parts::{EventParts, IdParts, LedgerParts, ResidualParts, SumParts};
