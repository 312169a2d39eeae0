//! What the catalog and the ledger in PostgreSQL have in common: connections with settings of their own, the table of
//! rights with the fences that are made of it, the steps of a schema, and what a failure means to the caller. Knows no
//! table. Everything is behind feature `client`, so that what is built without it links no client of PostgreSQL.

#[cfg(feature = "client")]
mod failure;
#[cfg(feature = "client")]
mod connection;
#[cfg(feature = "client")]
mod fences;
#[cfg(feature = "client")]
mod logins;
#[cfg(feature = "client")]
mod rights;
#[cfg(feature = "client")]
mod schema;

#[cfg(feature = "client")]
pub use connection::{PostgresLimits, connect, connect_standby};
#[cfg(feature = "client")]
pub use failure::{Failure, kind_of_client};
#[cfg(feature = "client")]
pub use fences::{Fence, Fences, Function, SEARCH_PATH, Table};
#[cfg(feature = "client")]
pub use logins::{LoginUrls, login_urls, make_logins, password_of, shown};
#[cfg(feature = "client")]
pub use rights::Login;
#[cfg(feature = "client")]
pub use schema::{Logins, Schema, SchemaStatus, Step, check, migrate, refuse_other, status};
