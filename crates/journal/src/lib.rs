//! The journal on local disk: a segmented log with group commit, one sync per group, checksums that
//! reject zeros and stale bytes, and recovery that never skips a record. Files: `docs/formats/journal-record.md`.

mod options;
mod checksum;
mod record;
mod segment;
mod reader;
mod renewal;
mod recovery;
mod failure;
mod folder;
mod queue;
mod writer;
mod replay;
mod local;

pub use local::LocalJournal;
pub use options::JournalOptions;
