//! The tables as SeaORM entities, all but the rollups, and how a row becomes what the ports speak of. A row that cannot
//! is corrupt: nothing but this crate writes them. Everything is stored as SQLite's 64-bit integer,
//! text or blob; instants are microseconds since the epoch.

pub(crate) mod activity;
pub(crate) mod dead_letter;
pub(crate) mod erased_activity;
pub(crate) mod erasure;
pub(crate) mod meta;
pub(crate) mod metered_customer;
pub(crate) mod name;
pub(crate) mod received_after;
pub(crate) mod retention_wait;
pub(crate) mod tenant_retention;
pub(crate) mod segment;
pub(crate) mod segment_file;
pub(crate) mod tenant_users;
pub(crate) mod user_page;
