//! What buckets count, how far they have come, and the names that tenants use.

use domain::invariant::Invariant;
use domain::position::{Position, Seq};
use postgres::Failure;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::moment::Moment;
use super::report::Report;

pub(super) async fn compare(moment: &Moment, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut reader = moment.reader().await?;
    compare_buckets(reader.on(), report).await?;
    compare_names(reader.on(), report).await?;
    compare_erased(reader.on(), report).await?;
    reader.end().await
}

async fn compare_buckets(on: &mut PgConnection, report: &mut Report<'_>) -> Result<(), Failure> {
    let sql = "SELECT b.bucket, b.record_no, b.events, b.dead_letters, b.holds_former_ids, \
               (SELECT count(*) FROM usage_events e WHERE e.bucket = b.bucket), \
               greatest((SELECT max(position) FROM usage_events e WHERE e.bucket = b.bucket), \
               (SELECT max(position) FROM event_ids i WHERE i.bucket = b.bucket)), \
               (SELECT count(*) FROM dead_letters d WHERE d.bucket = b.bucket), \
               EXISTS (SELECT FROM event_ids i WHERE i.bucket = b.bucket AND i.hash_rule = 0) \
               FROM buckets b ORDER BY b.bucket";
    for row in sqlx::query(sql).fetch_all(on).await? {
        let bucket: i16 = row.try_get(0)?;
        let number = |at: usize| row.try_get::<i64, _>(at);
        let mut differs = |what: &str, expected: String, found: String| {
            report.differs(Invariant::OneTruth, format!("bucket {bucket} {what}"), expected, found);
        };
        let record_no = number(1)?;
        let last: Option<i64> = row.try_get(6)?;
        let last = last.map_or(Seq::ZERO, |last| Position::from_bits(last.cast_unsigned()).seq());
        if Seq(record_no.cast_unsigned()) < last {
            differs("number of the last record", format!("at least {last}"), record_no.to_string());
        }
        if number(3)? != number(7)? {
            differs("dead letters", number(7)?.to_string(), number(3)?.to_string());
        }
        let (holds, has): (bool, bool) = (row.try_get(4)?, row.try_get(8)?);
        if has && !holds {
            differs("whether it holds ids of former releases", "true".to_owned(), "false".to_owned());
        }
        let mut tenants = report.tenants.values().filter(|tenant| tenant.bucket == bucket);
        let has_every = tenants.all(|tenant| tenant.has_every());
        let (expected, found) = (number(5)?, number(2)?);
        if (has_every && found != expected) || found < expected {
            let what = format!("bucket {bucket} events");
            report.differs(Invariant::OneTruth, what, expected.to_string(), found.to_string());
        }
    }
    Ok(())
}

/// Every name that an event uses is known: how many a tenant may have is held against them.
async fn compare_names(on: &mut PgConnection, report: &mut Report<'_>) -> Result<(), Failure> {
    for (dimension, column) in ["kind", "endpoint", "model", "project"].into_iter().enumerate() {
        let sql = format!(
            "SELECT used.tenant_no, used.name FROM (SELECT DISTINCT tenant_no, {column} AS name FROM usage_events \
             WHERE {column} <> '') used WHERE NOT EXISTS (SELECT FROM names n WHERE n.tenant_no = used.tenant_no \
             AND n.dimension = {dimension} AND n.name = used.name) ORDER BY 1, 2"
        );
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *on).await? {
            let name: &str = row.try_get(1)?;
            let subject = report.name(row.try_get(0)?, &format!("name of {column} {name:?}"));
            report.differs(Invariant::OneTruth, subject, "known".to_owned(), "not known".to_owned());
        }
    }
    Ok(())
}

/// Residuals count as many events as erasures have removed.
async fn compare_erased(on: &mut PgConnection, report: &mut Report<'_>) -> Result<(), Failure> {
    // An erasure of a whole tenant, of kind 2, leaves no sums.
    let sql = "SELECT t.tenant_no, \
               coalesce((SELECT sum(events)::int8 FROM erasures e WHERE e.tenant_no = t.tenant_no AND kind <> 2), 0), \
               coalesce((SELECT sum(calls)::int8 FROM residuals r WHERE r.tenant_no = t.tenant_no), 0), \
               EXISTS (SELECT FROM erasures e WHERE e.tenant_no = t.tenant_no AND kind = 2) \
               FROM tenants t ORDER BY t.tenant_no";
    for row in sqlx::query(sql).fetch_all(on).await? {
        let (tenant_no, expected, found): (i32, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let expected = if row.try_get(3)? { 0 } else { expected };
        if expected != found {
            let subject = report.name(tenant_no, "events in residuals");
            report.differs(Invariant::OneTruth, subject, expected.to_string(), found.to_string());
        }
    }
    Ok(())
}
