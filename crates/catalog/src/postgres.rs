//! The catalog in PostgreSQL, which several servers share. Same entities, statements and steps of the schema as in
//! SQLite; what differs is here: logins with the least rights, row-level security, and locks in place of the one writer.
//! Nothing but [`scoped::Scoped`] begins a transaction.

mod failure;
mod connection;
mod scoped;
mod fences;
mod schema;
mod store;
mod across;
mod register;
mod tenants;
mod references;
mod audit;
mod moving;
#[cfg(test)]
mod tests;

pub use ::postgres::{Logins, PostgresLimits};
pub use schema::{migrate, status};
pub use store::PostgresCatalog;
