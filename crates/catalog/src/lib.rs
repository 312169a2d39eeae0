//! The register of tenants ([`ports::catalog::Catalog`]) and their reference tables
//! ([`ports::references::References`]), in one SQLite file beside the manifest, with a writer and a poison of
//! its own. Tables: `docs/data-model.md`.

mod sqlite_catalog;
mod tenants;
mod references;
mod entities;
mod migrations;
mod upgrade;

pub use sqlite_catalog::SqliteCatalog;
