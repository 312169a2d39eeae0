//! How values of records are stored: an instant as microseconds, no workspace as an empty text, a hash as its bytes.

use std::sync::Arc;

use domain::access::email::Email;
use domain::access::record::Versioned;
use domain::rate::Rate;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use sqlite::{Failure, tenant_id, unsigned};

/// An instant that may be missing.
pub(crate) fn micros(instant: Option<Timestamp>) -> Option<i64> {
    instant.map(Timestamp::micros)
}

/// Reads an instant that may be missing.
pub(crate) fn instant(stored: Option<i64>) -> Option<Timestamp> {
    stored.map(Timestamp::from_micros)
}

/// A limit that may be missing.
pub(crate) fn stored_rate(rate: Option<Rate>) -> Option<i64> {
    rate.map(|rate| i64::from(rate.get()))
}

/// Reads a limit that may be missing.
pub(crate) fn rate(column: &'static str, stored: Option<i64>) -> Result<Option<Rate>, Failure> {
    let read = |stored: i64| u64::try_from(stored).ok().and_then(|stored| Rate::new(stored).ok());
    stored.map(|stored| parsed(column, read(stored))).transpose()
}

/// The workspace of a record, or that it is the server's.
pub(crate) fn workspace_text(workspace: Option<&TenantId>) -> String {
    workspace.map_or_else(String::new, |workspace| workspace.as_str().to_owned())
}

/// Reads a workspace, or that it is the server's.
pub(crate) fn workspace(stored: &str) -> Result<Option<TenantId>, Failure> {
    if stored.is_empty() { Ok(None) } else { tenant_id(stored).map(Some) }
}

/// Reads a hash.
pub(crate) fn hash(column: &'static str, stored: &[u8]) -> Result<[u8; 32], Failure> {
    stored.try_into().map_err(|_| Failure::corrupt(format!("{column} has {} bytes", stored.len())))
}

/// Reads an address.
pub(crate) fn email(stored: &str) -> Result<Email, Failure> {
    parsed("email", Email::parse(stored).ok())
}

/// What was read of a column, which is damaged if that could not be read.
pub(crate) fn parsed<T>(column: &'static str, read: Option<T>) -> Result<T, Failure> {
    read.ok_or_else(|| Failure::corrupt(format!("{column} is not what was written")))
}

/// A text that may be missing.
pub(crate) fn text(shared: Option<&Arc<str>>) -> Option<String> {
    shared.map(|text| text.as_ref().to_owned())
}

/// Reads when a record was made and changed.
pub(crate) fn versioned(created_us: i64, updated_us: i64, version: i64) -> Result<Versioned, Failure> {
    let (created, updated) = (Timestamp::from_micros(created_us), Timestamp::from_micros(updated_us));
    Ok(Versioned { created, updated, version: unsigned("version", version)? })
}
