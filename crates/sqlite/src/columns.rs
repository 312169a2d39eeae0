//! How values are stored: everything is SQLite's 64-bit integer, text or blob; instants are
//! microseconds since the epoch. A stored value that cannot be read back is corrupt.

use domain::tenant::TenantId;

use crate::failure::Failure;

/// Reads a count, a size or a record number.
///
/// # Errors
/// When it is negative: the file is damaged.
pub fn unsigned(column: &'static str, stored: i64) -> Result<u64, Failure> {
    u64::try_from(stored).map_err(|_| Failure::corrupt(format!("{column} is {stored}")))
}

/// Writes a count, a size or a record number.
///
/// # Errors
/// When it is over 2^63 and can never be stored.
pub fn signed(column: &'static str, value: u64) -> Result<i64, Failure> {
    i64::try_from(value).map_err(|_| Failure::unacceptable(format!("{column} {value} is over 2^63")))
}

/// Reads the name of a tenant.
///
/// # Errors
/// When it is no such name: the file is damaged.
pub fn tenant_id(stored: &str) -> Result<TenantId, Failure> {
    TenantId::parse(stored).map_err(|error| Failure::corrupt(format!("tenant {stored:?}: {error}")))
}
