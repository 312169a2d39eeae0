//! The ledger in PostgreSQL, which several servers share: the ports `Ledger`, `Receipts`, `Reports`, `ActiveUsers`,
//! `Analytics`, `Queries` and `Erasures`. A batch of records is one transaction, decided and added up in Rust; the database keeps
//! what is unique and makes it durable (decision 35). Refuses to count without owning the bucket. The tables, with what
//! each column holds: `schema/p0001_ledger.sql`. Everything is behind feature `postgres`, so that what is built without
//! it links no client of PostgreSQL.

#[cfg(feature = "postgres")]
mod types;
#[cfg(feature = "postgres")]
mod columns;
#[cfg(feature = "postgres")]
mod copy;
#[cfg(feature = "postgres")]
mod fences;
#[cfg(feature = "postgres")]
mod schema;
#[cfg(feature = "postgres")]
mod options;
#[cfg(feature = "postgres")]
mod attempts;
#[cfg(feature = "postgres")]
mod batch;
#[cfg(feature = "postgres")]
mod decide;
#[cfg(feature = "postgres")]
mod properties;
#[cfg(feature = "postgres")]
mod fold;
#[cfg(feature = "postgres")]
mod stored_erasures;
#[cfg(feature = "postgres")]
mod seen;
#[cfg(feature = "postgres")]
mod leaves;
#[cfg(feature = "postgres")]
mod sums;
#[cfg(feature = "postgres")]
mod tenants;
#[cfg(feature = "postgres")]
mod ids;
#[cfg(feature = "postgres")]
mod users;
#[cfg(feature = "postgres")]
mod rows;
#[cfg(feature = "postgres")]
mod bucket;
#[cfg(feature = "postgres")]
mod transaction;
#[cfg(feature = "postgres")]
mod state;
#[cfg(feature = "postgres")]
mod apply;
#[cfg(feature = "postgres")]
mod changes;
#[cfg(feature = "postgres")]
mod deltas;
#[cfg(feature = "postgres")]
mod upkeep;
#[cfg(feature = "postgres")]
mod scoped;
#[cfg(feature = "postgres")]
mod replica;
#[cfg(feature = "postgres")]
mod lookups;
#[cfg(feature = "postgres")]
mod retention_run;
#[cfg(feature = "postgres")]
mod lease;
#[cfg(feature = "postgres")]
mod listening;
#[cfg(feature = "postgres")]
mod ledger;
#[cfg(feature = "postgres")]
mod receipts;
#[cfg(feature = "postgres")]
mod journal;
#[cfg(feature = "postgres")]
mod unanswered;
#[cfg(feature = "postgres")]
mod floor;
#[cfg(feature = "postgres")]
mod zone;
#[cfg(feature = "postgres")]
mod reads;
#[cfg(feature = "postgres")]
mod probe;
#[cfg(feature = "postgres")]
mod identity;
#[cfg(feature = "postgres")]
mod verify;
#[cfg(feature = "postgres")]
mod intake;
#[cfg(feature = "postgres")]
mod erasure;
#[cfg(feature = "postgres")]
mod leases;
#[cfg(feature = "postgres")]
mod retention;
#[cfg(feature = "postgres")]
mod figures;
#[cfg(feature = "postgres")]
mod scrub;
#[cfg(feature = "postgres")]
mod maintain;
#[cfg(feature = "postgres")]
mod background;

#[cfg(feature = "postgres")]
pub use background::Owner;
#[cfg(feature = "postgres")]
pub use figures::{Figures, TableFigures};
#[cfg(feature = "postgres")]
pub use intake::Intake;
#[cfg(feature = "postgres")]
pub use journal::journal_of;
#[cfg(feature = "postgres")]
pub use ledger::PostgresLedger;
#[cfg(feature = "postgres")]
pub use maintain::{Maintained, maintain};
#[cfg(feature = "postgres")]
pub use options::{PostgresLedgerOptions, ReplicaOptions};
#[cfg(feature = "postgres")]
pub use probe::{BareRows, Probe, TableSize, fill_ids};
#[cfg(feature = "postgres")]
pub use schema::{migrate, migrate_with, status};
#[cfg(feature = "postgres")]
pub use scrub::Scrubbed;
#[cfg(feature = "postgres")]
pub use verify::verify;
