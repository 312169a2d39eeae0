//! What retention has dropped. Sums of hours and windows are kept for ever, so they tell.

use domain::rollup::hour_of;
use domain::time::{TimeRange, Timestamp};
use sqlx::Row as _;

use crate::scoped::Scoped;
use crate::types::Instant;
use crate::unanswered::Unanswered;

/// Raw events before it are not shown.
pub(crate) async fn floor(scoped: &mut Scoped) -> Result<Timestamp, sqlx::Error> {
    let sql = "SELECT raw_floor FROM tenants WHERE tenant_no = $1";
    let no = scoped.tenant.no;
    let Instant(floor) = sqlx::query(sql).bind(no).fetch_one(scoped.on()).await?.try_get(0)?;
    Ok(floor)
}

/// Refuses ranges of which retention may have dropped events: hours before the tenant's floor in which there were any,
/// or any of one customer.
pub(crate) async fn refuse_dropped(
    scoped: &mut Scoped,
    customer: Option<&str>,
    ranges: &[TimeRange],
) -> Result<(), Unanswered> {
    let no = scoped.tenant.no;
    let floor = floor(scoped).await?;
    for range in ranges.iter().filter(|range| range.from() < floor && range.from() < range.to()) {
        let (from, to) = (Instant(hour_of(range.from())), Instant(range.to().min(floor)));
        let found = match customer {
            None => {
                let sql =
                    "SELECT 1 FROM rollups WHERE tenant_no = $1 AND grain = 0 AND start >= $2 AND start < $3 LIMIT 1";
                sqlx::query(sql).bind(no).bind(from).bind(to).fetch_optional(scoped.on()).await?
            }
            Some(customer) => {
                let sql = "SELECT 1 FROM aggregation_windows WHERE tenant_no = $1 AND customer = $4 \
                           AND window_start >= $2 AND window_start < $3 LIMIT 1";
                sqlx::query(sql).bind(no).bind(from).bind(to).bind(customer).fetch_optional(scoped.on()).await?
            }
        };
        if found.is_some() {
            return Err(Unanswered::Gone(floor));
        }
    }
    Ok(())
}
