//! What a table holds of every tenant, in order of tenant: databases differ in the order of texts.

use domain::tenant::TenantId;
use sqlite::Failure;

/// What each of the rows says, if all of them can be read.
pub(crate) fn by_tenant<R, T>(
    rows: Vec<R>,
    read: impl FnMut(R) -> Result<(TenantId, T), Failure>,
) -> Result<Vec<(TenantId, T)>, Failure> {
    let mut found = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}
