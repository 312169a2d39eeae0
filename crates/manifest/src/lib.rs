//! What is relational and small, in one SQLite file: the embedded ledger's commit point
//! ([`ports::manifest::Manifest`]), the register of tenants ([`ports::catalog::Catalog`]) and their
//! reference tables ([`ports::references::References`]). Tables and the reason of each index:
//! `docs/data-model.md`.

mod store;
mod connection;
mod place;
mod failure;
mod manifest;
mod catalog;
mod references;
mod entities;
mod migrations;
mod packed;
mod seal;

pub use store::SqliteStore;
