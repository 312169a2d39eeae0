//! Retention: as every ledger keeps it, and what goes of tables and partitions.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::tenant::TenantId;
use domain::time::Timestamp;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions, maintain};
use parking_lot::Mutex;
use ports::ErrorKind;
use ports::clock::Clock;
use ports::erasures::Erasures;
use ports::ledger::Ledger;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::conformance::{RetentionHome, SERVER_DAYS, retention_conformance};
use ports::testing::ledger::records::{at, event_at, record, scope};

use crate::Outcome;
use crate::place::{Base, Copy, options};

/// A copy of a database, with the process that has its buckets.
struct Keeping<'b> {
    base: &'b Base,
    copy: Copy,
    clock: ManualClock,
    passes: AtomicU32,
    open: Mutex<Option<Arc<PostgresLedger>>>,
    _user: Arc<dyn Any + Send + Sync>,
}

impl RetentionHome for Keeping<'_> {
    type Ledger = PostgresLedger;

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    #[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
    async fn open(&self, own: HashMap<TenantId, u32>) -> Arc<PostgresLedger> {
        let last = self.open.lock().take();
        if let Some(last) = last {
            last.close().await.unwrap();
        }
        let options = PostgresLedgerOptions { retention_days: Some(SERVER_DAYS), ..options() };
        let ledger = PostgresLedger::open(&self.copy.app_url, &self.copy.worker_url, &options).await.unwrap();
        for (tenant, days) in own {
            ledger.set_retention(&scope(tenant.as_str()), Some(days));
        }
        *self.open.lock() = Some(Arc::clone(&ledger));
        ledger
    }

    #[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
    async fn maintain(&self, ledger: &PostgresLedger) {
        ledger.maintain(&self.clock).await.unwrap();
        // As seldom as an operator runs it.
        if self.passes.fetch_add(1, Ordering::Relaxed).is_multiple_of(10) {
            maintain(&self.base.owner_of(&self.copy.app_url), &self.base.logins).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_raw_events_as_every_ledger() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    #[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
    let home = async || {
        let user: Arc<dyn Any + Send + Sync> = Arc::new(());
        let copy = base.copy(Arc::downgrade(&user)).await.unwrap();
        let (clock, passes) = (ManualClock::new(at(0)), AtomicU32::new(0));
        Keeping { base: &base, copy, clock, passes, open: Mutex::new(None), _user: user }
    };
    retention_conformance(1..=3, home).await;
    Ok(())
}

const DAY_US: i64 = 86_400_000_000;

/// Three tenants that keep raw events for 2 days, for 10 and for ever; an imported history of 30 days, which came in long
/// ago, and a day of which each tenant has an event: rows go of the partition that others are shown something of, and
/// whole partitions when nobody is shown anything of them.
#[tokio::test]
async fn a_partition_goes_when_nobody_is_shown_anything_of_it_and_rows_before() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let now =
        Timestamp::parse(&base.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")?)?;
    // Partitions as they were made when these days were today.
    for (days, name) in [(40, "old"), (20, "later")] {
        base.sql(&format!(
            "DO $do$ DECLARE d date := (now() AT TIME ZONE 'UTC')::date - {days}; BEGIN EXECUTE format('CREATE TABLE %I \
             PARTITION OF usage_events FOR VALUES FROM (%L) TO (%L)', 'usage_events_' || to_char(d, 'YYYYMMDD'), \
             d || ' 00:00+00', (d + 1) || ' 00:00+00'); END $do$"
        ))
        .map_err(|why| format!("{name}: {why}"))?;
        base.sql(&format!("ALTER TABLE usage_events_{} OWNER TO {}_owner", day(&base, days)?, base.name()))?;
    }
    base.migrate().await?;
    let options = PostgresLedgerOptions { retention_delay: Duration::ZERO, ..options() };
    let ledger = base.open_with(&options).await?;
    let tenants = ["two", "ten", "all"];
    let received = |days: i64| now.plus_micros(-days * DAY_US);
    for (n, tenant) in (0_u64..).zip(tenants) {
        // Half came in forty days ago and is of the thirty days before; half twenty days ago, of the days around.
        for (half, days) in [(0, 40), (1, 20)] {
            let events: Vec<_> = (0..30)
                .map(|day: i64| event_at(&format!("{half}-{day}"), received(days + 1 + day)).customer("c").user("u"))
                .collect();
            let seq = n * 2 + half + 1;
            let applied = ledger.apply(&[record(seq, &scope(tenant), received(days), &events)]).await;
            assert!(applied.failed.is_none(), "{:?}", applied.failed);
        }
    }
    ledger.set_retention(&scope("two"), Some(2));
    ledger.set_retention(&scope("ten"), Some(10));
    let clock = ManualClock::new(now);
    let rows = |base: &Base| {
        base.sql(
            "SELECT string_agg(tenant_id || ' ' || n, ', ' ORDER BY tenant_id) FROM (SELECT tenant_id, count(*) AS n \
             FROM usage_events JOIN tenants USING (tenant_no) GROUP BY 1) counted",
        )
    };
    assert_eq!(rows(&base)?, "all 60, ten 60, two 60");
    ledger.maintain(&clock).await?;
    assert_eq!(rows(&base)?, "all 60", "of partitions that the third keeps, rows go");
    assert_eq!(maintain(&base.owner_url(), &base.logins).await?.dropped, [""; 0], "which stay themselves");
    // Everybody: what was waited for is gone from sight first.
    ledger.set_retention(&scope("all"), Some(35));
    ledger.maintain(&clock).await?;
    let left = base.sql("SELECT count(*) FROM usage_events")?;
    assert_eq!(left, "45", "of forty days ago nobody is shown anything: that partition waits for the owner");
    let dropped = maintain(&base.owner_url(), &base.logins).await?.dropped;
    assert_eq!(dropped, [format!("usage_events_{}", day(&base, 40)?)]);
    assert_eq!(rows(&base)?, "all 15");
    let sums = base.sql("SELECT sum(calls), (SELECT sum(calls) FROM aggregation_windows), (SELECT count(*) FROM event_ids) FROM customers")?;
    assert_eq!(sums, "180|180|180", "sums and ids stay");
    ledger.close().await?;
    Ok(())
}

fn day(base: &Base, ago: i64) -> Result<String, testservers::Error> {
    base.sql(&format!("SELECT to_char((now() AT TIME ZONE 'UTC')::date - {ago}, 'YYYYMMDD')"))
}

/// What is added up anew behind an erasure needs the raw events that came later.
#[tokio::test]
async fn retention_drops_nothing_while_an_erasure_removes_events() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let options = PostgresLedgerOptions { retention_delay: Duration::ZERO, retention_days: Some(2), ..options() };
    let (ledger, acme) = (base.open_with(&options).await?, scope("acme"));
    let old = |id: &str, customer: &str| event_at(id, at(0)).customer(customer);
    // Of the other something is shown for long, so that the partition stays.
    let shown = event_at("shown", at(100 * 86_400)).customer("other");
    assert!(ledger.apply(&[record(1, &acme, at(100 * 86_400), &[old("1", "c"), shown])]).await.failed.is_none());
    let subject = domain::erasure::Subject::Customer("c".to_owned());
    let asked = domain::erasure::ErasureRequest { id: "one".to_owned(), subject, blocks: false, by: "a".to_owned() };
    ledger.erase(&acme, &asked).await?;
    assert!(ledger.apply(&[record(2, &acme, at(2), &[old("2", "c"), old("3", "other")])]).await.failed.is_none());
    let clock = ManualClock::new(at(0));
    clock.advance(Duration::from_secs(50 * 86_400));
    assert!(clock.doubt().is_none());
    ledger.maintain(&clock).await?;
    let windows = "SELECT customer, calls FROM aggregation_windows WHERE customer = 'c'";
    assert_eq!(base.sql(windows)?, "c|1", "what came later is counted");
    assert_eq!(base.sql("SELECT string_agg(id, ' ' ORDER BY id) FROM usage_events")?, "2 3 shown", "and still there");
    ports::testing::ledger::conformance::erasing::confirm(&*ledger);
    ledger.maintain(&clock).await?;
    assert_eq!(base.sql("SELECT string_agg(id, ' ' ORDER BY id) FROM usage_events")?, "shown");
    assert_eq!(base.sql(windows)?, "c|1");
    ledger.close().await?;
    Ok(())
}

#[tokio::test]
async fn without_partitions_ahead_it_says_which_command_to_run() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let drop_some = "DO $do$ DECLARE leaf text; BEGIN FOR leaf IN SELECT relname FROM pg_class WHERE relname ~ \
                     '^receipts_\\d{8}$' AND right(relname, 8) > to_char(now() + interval '13 days', 'YYYYMMDD') LOOP \
                     EXECUTE 'DROP TABLE ' || leaf; END LOOP; END $do$";
    base.sql(drop_some)?;
    let refused = base.open().await.map(drop);
    let Err(refused) = refused else { return Err("it has opened".into()) };
    assert_eq!(refused.kind(), ErrorKind::Unacceptable);
    let told = format!("{refused:?}");
    assert!(told.contains("receipts") && told.contains("nilometer maintain --postgres"), "{told}");
    let made = maintain(&base.owner_url(), &base.logins).await?.made;
    assert!(made.iter().all(|leaf| leaf.starts_with("receipts_")) && made.len() > 10, "{made:?}");
    base.open().await?.close().await?;
    assert_eq!(maintain(&base.owner_url(), &base.logins).await?.made, [""; 0], "there is nothing more to do");
    Ok(())
}

/// Receipts are kept for a day.
#[tokio::test]
async fn old_receipts_go_with_their_partitions() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    for ago in [1, 2] {
        let (from, to) = (day(&base, ago)?, day(&base, ago - 1)?);
        let make = format!(
            "CREATE TABLE IF NOT EXISTS receipts_{from} PARTITION OF receipts FOR VALUES FROM ('{from} 00:00+00') TO ('{to} 00:00+00')"
        );
        base.sql(&format!("{make}; ALTER TABLE receipts_{from} OWNER TO {}_owner", base.name()))?;
    }
    let dropped = maintain(&base.owner_url(), &base.logins).await?.dropped;
    assert_eq!(dropped, [format!("receipts_{}", day(&base, 2)?)]);
    Ok(())
}

#[tokio::test]
async fn figures_tell_what_is_dead_and_what_waits() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let (ledger, acme) = (base.open().await?, scope("acme"));
    // What the first batch leaves to be folded is folded at once.
    for seq in 1..=2_u64 {
        let events: Vec<_> = (0..50).map(|n| event_at(&format!("{seq}-{n}"), at(n)).user(&format!("u{seq}"))).collect();
        assert!(ledger.apply(&[record(seq, &acme, at(1), &events)]).await.failed.is_none());
    }
    let subject = domain::erasure::Subject::User("u1".to_owned());
    let asked = domain::erasure::ErasureRequest { id: "one".to_owned(), subject, blocks: false, by: "a".to_owned() };
    ledger.erase(&acme, &asked).await?;
    ledger.maintain(&ManualClock::new(at(0))).await?;
    let figures = ledger.figures().await?;
    let events = figures.tables.iter().find(|table| table.name == "usage_events").ok_or("there is such a table")?;
    assert!(events.bytes > 0, "{figures:?}");
    assert!(figures.deltas > 0 && figures.oldest_delta.is_some(), "{figures:?}");
    assert_eq!((figures.unfinished_erasures, figures.unscrubbed > 0), (1, true), "{figures:?}");
    ledger.close().await?;
    Ok(())
}
