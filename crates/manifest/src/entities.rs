//! The tables as SeaORM entities, and how a row becomes what the ports speak of. A row that cannot
//! is corrupt: nothing but this crate writes them. Everything is stored as SQLite's 64-bit integer,
//! text or blob; instants are microseconds since the epoch.

pub(crate) mod activity;
pub(crate) mod daily_rollup;
pub(crate) mod dead_letter;
pub(crate) mod hourly_rollup;
pub(crate) mod meta;
pub(crate) mod name;
pub(crate) mod reference_table;
pub(crate) mod segment;
pub(crate) mod segment_file;
pub(crate) mod tenant;
pub(crate) mod tenant_settings;
pub(crate) mod tenant_users;
pub(crate) mod user_page;

use domain::tenant::TenantId;

use crate::failure::Failure;

/// Reads a count, a size or a record number.
fn unsigned(column: &'static str, stored: i64) -> Result<u64, Failure> {
    u64::try_from(stored).map_err(|_| Failure::corrupt(format!("{column} is {stored}")))
}

/// Writes a count, a size or a record number.
pub(crate) fn signed(column: &'static str, value: u64) -> Result<i64, Failure> {
    i64::try_from(value).map_err(|_| Failure::unacceptable(format!("{column} {value} is over 2^63")))
}

fn tenant_id(stored: &str) -> Result<TenantId, Failure> {
    TenantId::parse(stored).map_err(|error| Failure::corrupt(format!("tenant {stored:?}: {error}")))
}
