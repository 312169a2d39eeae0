//! Tenants with what they decide ([`ports::catalog::Catalog`]), their reference tables
//! ([`ports::references::References`]), the register of workspaces, people and keys
//! ([`ports::register::Register`]) and the audit log ([`ports::register::AuditLog`]), in one SQLite file beside the
//! manifest, with a writer and a poison of its own; or, with feature `postgres`, in PostgreSQL for several servers.
//! Tables: `docs/data-model.md`.

mod by_tenant;
mod sqlite_catalog;
mod tenants;
mod quotas;
mod references;
mod register;
mod audit;
mod entities;
mod migrations;
mod upgrade;
mod as_it_lies;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(test)]
mod tests;

pub use as_it_lies::CatalogAsItLies;
pub use sqlite_catalog::SqliteCatalog;
