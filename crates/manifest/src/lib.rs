//! The embedded ledger's commit point ([`ports::manifest::Manifest`]), in one SQLite file. Tables and the
//! reason of each index: `docs/data-model.md`.

mod sqlite_manifest;
mod manifest;
mod entities;
mod migrations;
mod format2;
mod opening;

pub use format2::Format2Manifest;
pub use opening::OpenedManifest;
pub use sqlite_manifest::SqliteManifest;
