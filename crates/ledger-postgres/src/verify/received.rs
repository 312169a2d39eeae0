//! What was received, from raw events in order of tenant and receive time: in memory is one quarter of an hour. Of a tenant
//! that may have lost raw events nothing can be compared: which of them were received when is not known.

use std::collections::BTreeMap;

use domain::position::Position;
use domain::quota::{Amounts, quarter_of};
use domain::time::Timestamp;
use futures::TryStreamExt;
use ports::verification::VerifySummary;
use postgres::Failure;
use sqlx::Row as _;

use super::moment::Moment;
use super::report::{Report, Subject, VerifiedTenant};
use super::stored::Stored;
use crate::sums::{Received, SumTable, values};
use crate::types::{Instant, unsigned};

/// Tenant, start of the quarter, and customer; the empty one stands for the tenant as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct QuarterKey(i32, Timestamp, String);

impl Subject for QuarterKey {
    fn tenant_no(&self) -> i32 {
        self.0
    }

    fn is_whole(&self, tenant: &VerifiedTenant) -> bool {
        tenant.has_every()
    }

    fn name(&self) -> String {
        format!("customer {:?} received in {}", self.2, self.1)
    }

    fn count(summary: &mut VerifySummary) -> Option<&mut u64> {
        Some(&mut summary.received)
    }
}

pub(super) async fn compare(moment: &Moment, report: &mut Report<'_>) -> Result<(), Failure> {
    let (mut of_raw, mut of_stored) = (moment.reader().await?, moment.reader().await?);
    let sql = format!(
        "SELECT t.tenant_no, t.start, t.customer, {} FROM received t ORDER BY t.tenant_no, t.start, t.customer",
        values::<Received>()
    );
    let mut stored = Stored::<QuarterKey, Amounts>::open(of_stored.on(), sql, |row| {
        let Instant(start) = row.try_get(1)?;
        Ok((QuarterKey(row.try_get(0)?, start, row.try_get(2)?), Received::read(row, 3)?))
    });
    let mut open: BTreeMap<QuarterKey, Amounts> = BTreeMap::new();
    let sql = "SELECT tenant_no, received_at, position, customer, tokens, endpoint IS NOT NULL OR model IS NOT NULL \
               FROM usage_events ORDER BY tenant_no, received_at";
    let mut rows = sqlx::query(sql).fetch(of_raw.on());
    while let Some(row) = rows.try_next().await? {
        let (tenant_no, Instant(received_at)): (i32, _) = (row.try_get(0)?, row.try_get(1)?);
        let record = Position::from_bits(row.try_get::<i64, _>(2)?.cast_unsigned()).seq();
        let amounts = Amounts::of_parts(row.try_get::<Option<i64>, _>(4)?.map(unsigned), row.try_get(5)?);
        let quarter = quarter_of(received_at);
        if open.first_key_value().is_some_and(|(key, _)| (key.0, key.1) != (tenant_no, quarter)) {
            close(&mut stored, &mut open, report).await?;
        }
        let tenant = report.tenants.get(&tenant_no);
        if tenant.is_none_or(|tenant| record > tenant.received_after) {
            open.entry(QuarterKey(tenant_no, quarter, String::new())).or_default().add(&amounts);
        }
        let is_metered = |customer: &&str| tenant.is_some_and(|tenant| tenant.metered.contains(*customer));
        if let Some(customer) = row.try_get::<Option<&str>, _>(3)?.filter(is_metered) {
            open.entry(QuarterKey(tenant_no, quarter, customer.to_owned())).or_default().add(&amounts);
        }
    }
    drop(rows);
    close(&mut stored, &mut open, report).await?;
    stored.finish(report).await?;
    of_raw.end().await?;
    of_stored.end().await
}

async fn close(
    stored: &mut Stored<'_, QuarterKey, Amounts>,
    open: &mut BTreeMap<QuarterKey, Amounts>,
    report: &mut Report<'_>,
) -> Result<(), sqlx::Error> {
    while let Some((key, sum)) = open.pop_first() {
        stored.compare(&key, &sum, report).await?;
    }
    Ok(())
}
