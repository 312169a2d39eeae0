//! The interfaces of the pipeline to the outside: journal, ledger, receipts and what is read of it, live view, reference
//! tables, catalog, register and clock, as small traits with a contract per method; [`manifest`] is the embedded
//! ledger's own. Adapters live in crates of their own; memory twins, faulty twins and the conformance suites
//! that every adapter runs are behind feature `testing`.

pub mod error;
pub mod clock;
pub mod held;
pub mod journal;
pub mod ledger;
pub mod receipts;
pub mod reports;
pub mod active_users;
pub mod analytics;
pub mod queries;
pub mod erasures;
pub mod verification;
pub mod moving;
pub mod live;
pub mod references;
pub mod manifest;
pub mod catalog;
pub mod register;
pub mod encryption;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{ErrorKind, PortError, error_chain};
