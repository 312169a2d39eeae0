//! What was taken in, as it is read back.

use domain::tenant::TenantId;
use domain::time::Timestamp;
use ports::PortError;
use ports::reports::{Customer, Window};
use postgres::Failure;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::taking::Intake;
use crate::sums::{Customers, SumTable, Windows, values};
use crate::types::Instant;

impl Intake {
    /// Windows of a tenant behind one, or from the first on, `limit` at most, in order of customer and start.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn windows_after(
        &self,
        tenant: &TenantId,
        after: Option<(&str, Timestamp)>,
        limit: u32,
    ) -> Result<Vec<Window>, PortError> {
        let found = async {
            let (customer, start) = after.map_or(("", None), |(customer, start)| (customer, Some(Instant(start))));
            let sql = format!(
                "SELECT b.closed_through, t.customer, t.window_start, {} FROM aggregation_windows t, buckets b \
                 WHERE t.tenant_no = $1 AND (t.customer, t.window_start) > ($2, coalesce($3, '-infinity')) AND b.bucket = $4 \
                 ORDER BY t.customer, t.window_start LIMIT $5",
                values::<Windows>()
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(self.of(tenant)?.no).bind(customer).bind(start);
            let query = query.bind(self.of(tenant)?.bucket).bind(i64::from(limit));
            let rows = query.fetch_all(&mut *self.pool.acquire().await?).await?;
            let read = |row: &PgRow| {
                let (Instant(closed_through), Instant(start)) = (row.try_get(0)?, row.try_get(2)?);
                let aggregate = Windows::read(row, 3)?;
                Ok(Window::of(self.ledger.rule, closed_through, row.try_get(1)?, start, aggregate))
            };
            rows.iter().map(read).collect::<Result<Vec<_>, Failure>>()
        };
        found.await.map_err(|failure| failure.during("read windows in PostgreSQL"))
    }

    /// Customers of a tenant behind one, or from the first on, `limit` at most, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn customers_after(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Customer>, PortError> {
        let found = async {
            let behind = if after.is_some() { "t.customer > $2" } else { "$2::text IS NULL" };
            let sql = format!(
                "SELECT t.customer, {} FROM customers t WHERE t.tenant_no = $1 AND {behind} \
                 ORDER BY t.customer LIMIT $3",
                values::<Customers>()
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(self.of(tenant)?.no).bind(after).bind(i64::from(limit));
            let rows = query.fetch_all(&mut *self.pool.acquire().await?).await?;
            let read = |row: &PgRow| Ok(Customers::read(row, 1)?.into_customer(row.try_get(0)?));
            rows.iter().map(read).collect::<Result<Vec<_>, Failure>>()
        };
        found.await.map_err(|failure| failure.during("read customers in PostgreSQL"))
    }
}
