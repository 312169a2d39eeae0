//! What is relational and small, in one SQLite file: the embedded ledger's commit point
//! ([`ports::manifest::Manifest`]) and the register of tenants ([`ports::catalog::Catalog`]).
//! Tables and the reason of each index: `docs/data-model.md`.

mod store;
mod connection;
mod place;
mod failure;
mod manifest;
mod catalog;
mod references;
mod entities;
mod migrations;
mod seal;

pub use store::SqliteStore;
