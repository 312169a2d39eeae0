//! I5 by the database (F36, F37): a session of the application's login that goes round the adapter sees nothing of other
//! tenants, and writes nothing at all.

use domain::time::Timestamp;
use ports::ledger::Ledger;
use ports::testing::ledger::records::{at, event, record, scope};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::Outcome;
use crate::place::Base;

/// Runs statements one by one, and tells the SQLSTATE that they are refused with.
async fn refused(session: &mut PgConnection, sql: &str) -> Option<String> {
    let refused = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.err()?;
    Some(refused.as_database_error().and_then(|said| said.code()).unwrap_or_default().into_owned())
}

async fn count(session: &mut PgConnection, table: &str, rows: &str) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM nilometer_ledger.{table} WHERE {rows}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(session).await
}

/// A database in which two tenants have rows in every table that has any of a tenant.
async fn filled() -> Result<Option<Base>, Box<dyn std::error::Error>> {
    let Some(base) = Base::migrated().await? else { return Ok(None) };
    let ledger = base.open().await?;
    let (acme, other) = (scope("acme"), scope("other"));
    let full = |id: &str| event(id, 0).customer("c").user("u").project("p").endpoint("/a").model("m").tokens(1, 2);
    let records = [record(1, &acme, at(1), &[full("e1")]), record(2, &other, at(1), &[full("e1"), full("e2")])];
    assert!(ledger.apply(&records).await.failed.is_none());
    for scope in [&acme, &other] {
        ledger.meter_customer(scope, "c").await?;
    }
    let cut = |seq, tenant| {
        let mut letter = record(seq, tenant, at(1), &[full("e3")]);
        letter.payload.truncate(letter.payload.len() - 1);
        letter
    };
    for (seq, tenant) in [(3, &acme), (4, &other)] {
        ledger.dead_letter(&cut(seq, tenant), "cut short").await?;
    }
    ledger.close_through(Timestamp::MAX).await?;
    ledger.close().await?;
    base.sql(
        "INSERT INTO user_days (tenant_no, day, chunk, version, audience, name, bits) \
         SELECT DISTINCT ON (1, 2, 5, 6) d.tenant_no, u.day, 0, 1, u.audience, u.name, u.bits FROM user_day_deltas d, \
         unnest(d.days, d.audiences, d.names, d.bits) u(day, audience, name, bits) ORDER BY 1, 2, 5, 6, length(u.bits) DESC; \
         INSERT INTO erased_user_days SELECT tenant_no, day, chunk, version, audience, name, bits FROM user_days; \
         INSERT INTO residuals (start, calls, first_received, last_received, tenant_no, customer, project, kind, endpoint, \
         model) SELECT now(), 1, now(), now(), tenant_no, '', '', '', '', '' FROM tenants; \
         INSERT INTO erasures (through, requested_at, tenant_no, kind, blocks, subject_hash, id, asked_by, zone) \
         SELECT 0, now(), tenant_no, 0, false, gen_random_uuid(), tenant_id, 'user:a', 'UTC' FROM tenants; \
         INSERT INTO outbox (tenant_no, kind, body) SELECT tenant_no, '', '{}' FROM tenants",
    )?;
    Ok(Some(base))
}

#[tokio::test]
async fn f36_a_session_sees_the_rows_of_its_scope_alone_and_changes_none() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let mut session = PgConnection::connect(&base.app_url()).await?;
    let listed = "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_no' \
                  WHERE c.relnamespace = 'nilometer_ledger'::regnamespace AND c.relkind IN ('r', 'p') \
                  AND NOT c.relispartition ORDER BY 1";
    let tables = base.sql(listed)?;
    assert_eq!(tables.lines().count(), 18, "{tables}");
    let own = "tenant_no = (SELECT tenant_no FROM nilometer_ledger.tenants)";
    for table in tables.lines() {
        let all: i64 = base.sql(&format!("SELECT count(*) FROM {table}"))?.parse()?;
        assert!(all > 1, "{table} has rows of both");
        if table == "outbox" {
            assert_eq!(refused(&mut session, "SELECT FROM nilometer_ledger.outbox").await.as_deref(), Some("42501"));
            continue;
        }
        assert_eq!(count(&mut session, table, "true").await?, 0, "{table} outside of a transaction");
        for (tenant, no) in [("", ""), ("nobody", ""), ("", "999")] {
            let enter = format!(
                "BEGIN; SELECT set_config('nilometer.tenant', '{tenant}', true), \
                 set_config('nilometer.tenant_no', '{no}', true)"
            );
            assert_eq!(refused(&mut session, &enter).await, None);
            assert_eq!(count(&mut session, table, "true").await?, 0, "{table} of {tenant:?} {no:?}");
            assert_eq!(refused(&mut session, "ROLLBACK").await, None);
        }
        let no = base.sql("SELECT tenant_no FROM tenants WHERE tenant_id = 'acme'")?;
        let enter = format!(
            "BEGIN; SELECT set_config('nilometer.tenant', 'acme', true), set_config('nilometer.tenant_no', '{no}', true)"
        );
        assert_eq!(refused(&mut session, &enter).await, None);
        let (seen, mine) = (count(&mut session, table, "true").await?, count(&mut session, table, own).await?);
        assert!(seen == mine && seen > 0 && seen < all, "{table}: {mine} of {seen} are of the tenant, of {all}");
        for change in [
            format!("UPDATE nilometer_ledger.{table} SET tenant_no = tenant_no"),
            format!("DELETE FROM nilometer_ledger.{table}"),
            format!("INSERT INTO nilometer_ledger.{table} SELECT * FROM nilometer_ledger.{table}"),
            format!("TRUNCATE nilometer_ledger.{table}"),
            format!("COPY nilometer_ledger.{table} FROM STDIN"),
        ] {
            assert_eq!(refused(&mut session, "SAVEPOINT before").await, None);
            assert_eq!(refused(&mut session, &change).await.as_deref(), Some("42501"), "{change}");
            assert_eq!(refused(&mut session, "ROLLBACK TO before").await, None);
        }
        assert_eq!(refused(&mut session, "ROLLBACK").await, None);
    }
    Ok(())
}

#[tokio::test]
async fn f36_a_partition_cannot_be_addressed() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let mut session = PgConnection::connect(&base.app_url()).await?;
    let leaves = base
        .sql("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'")?;
    assert!(leaves.lines().count() > 30, "{leaves}");
    for leaf in leaves.lines() {
        let leaf = leaf.rsplit('.').next().unwrap_or(leaf);
        let read = format!("SELECT FROM nilometer_ledger.{leaf}");
        assert_eq!(refused(&mut session, &read).await.as_deref(), Some("42501"), "{leaf}");
    }
    Ok(())
}
