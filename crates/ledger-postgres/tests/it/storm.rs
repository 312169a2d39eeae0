//! Many at once: writers whose rows others lock in another order, one connection for all, a panic in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::bucket::BucketCount;
use fail::FailScenario;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::ErrorKind;
use ports::ledger::Ledger;
use ports::receipts::Receipts;
use ports::testing::ledger::records::{at, event, ids, record, scope};
use postgres::PostgresLimits;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::Outcome;
use crate::place::{Base, options};

/// Writers at once, each with a bucket of its own.
const WRITERS: u64 = 8;
/// Records of each.
const RECORDS: u64 = 40;
/// Events of a record.
const EVENTS: u64 = 12;

/// A number that looks like any other.
fn dice(seed: u64, of: u64) -> u64 {
    let mixed = (seed ^ (seed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) % of
}

/// Two tenants of a bucket.
fn tenants(bucket: u64) -> Vec<String> {
    let is_in = |name: &String| u64::from(BucketCount::default().bucket_of(scope(name).tenant())) == bucket;
    (0..).map(|n| format!("t{n}")).filter(is_in).take(2).collect()
}

/// Applies the records of one bucket, each again and again until it counts.
async fn write(ledger: Arc<PostgresLedger>, bucket: u64) -> Result<u64, String> {
    let (tenants, mut retries) = (tenants(bucket), 0);
    for seq in 1..=RECORDS {
        let events: Vec<_> = (0..EVENTS)
            .map(|n| {
                let customer = format!("c{}", dice(seq * 97 + n * 31 + bucket, 5));
                let time = dice(seq * 13 + n, 7).cast_signed() * 3_600;
                event(&format!("e{seq}-{n}"), time).customer(&customer).user(&customer)
            })
            .collect();
        let record = record(seq, &scope(&tenants[usize::from(dice(seq, 2) == 1)]), at(1), &events);
        loop {
            match ledger.apply(std::slice::from_ref(&record)).await.failed.map(|why| why.kind()) {
                None => break,
                Some(ErrorKind::Unavailable) => retries += 1,
                Some(kind) => return Err(format!("{kind:?}")),
            }
        }
    }
    Ok(retries)
}

/// Locks rows of all tenants in no order, three at a time, for as long as it is let; counts the deadlocks that it loses.
async fn lock(url: String, seed: u64, deadlocks: Arc<AtomicU64>) -> Result<(), sqlx::Error> {
    let mut session = PgConnection::connect(&url).await?;
    for turn in 0_u64.. {
        let run =
            async |session: &mut PgConnection, sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await;
        run(&mut session, "BEGIN; SET LOCAL deadlock_timeout = '20ms'".to_owned()).await?;
        for part in 0..3 {
            let pick = dice(seed + turn * 7 + part, 16);
            let sql = format!(
                "UPDATE nilometer_ledger.customers SET version = version WHERE ctid = (SELECT ctid FROM \
                 nilometer_ledger.customers ORDER BY tenant_no, customer OFFSET {pick} * 5 LIMIT 1)"
            );
            if let Err(error) = run(&mut session, sql).await {
                let code = error.as_database_error().and_then(|said| said.code()).unwrap_or_default();
                deadlocks.fetch_add(u64::from(code == "40P01"), Ordering::Relaxed);
                break;
            }
        }
        run(&mut session, "ROLLBACK".to_owned()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_a_storm_of_deadlocks_loses_and_doubles_nothing() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    base.sql(&format!("ALTER ROLE {} SET deadlock_timeout = '20ms'", base.logins.worker)).ok();
    let mut writing = Vec::new();
    for bucket in 0..WRITERS {
        let mine = vec![u16::try_from(bucket)?];
        let ledger = base.open_with(&PostgresLedgerOptions { buckets: mine, ..options() }).await?;
        writing.push(tokio::spawn(write(ledger, bucket)));
    }
    let deadlocks = Arc::new(AtomicU64::new(0));
    let lock = |seed: u64| tokio::spawn(lock(base.superuser_url(), seed * 1_000, Arc::clone(&deadlocks)));
    let locking: Vec<_> = (0..3).map(lock).collect();
    let mut retries = 0;
    for writer in writing {
        retries += writer.await??;
    }
    locking.iter().for_each(tokio::task::JoinHandle::abort);
    let events = (WRITERS * RECORDS * EVENTS).to_string();
    let counts = base.sql(
        "SELECT (SELECT count(*) FROM event_ids), (SELECT count(*) FROM usage_events), \
         (SELECT sum(calls) FROM aggregation_windows), (SELECT sum(calls) FROM customers), \
         (SELECT sum(calls) FROM rollups WHERE grain = 0), (SELECT sum(events) FROM received), \
         (SELECT sum(events) FROM buckets), (SELECT sum(accepted) FROM receipts)",
    )?;
    assert_eq!(counts, vec![events; 8].join("|"));
    assert_eq!(base.sql("SELECT count(*) FROM dead_letters")?, "0");
    assert!(retries + deadlocks.load(Ordering::Relaxed) > 0, "nobody has met another");
    Ok(())
}

/// One connection for requests and one for the worker are enough for everything at once, only slower.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f38_a_pool_of_one_does_everything_in_turn() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let one = PostgresLimits { connections: 1, wait: Duration::from_secs(60), ..PostgresLimits::default() };
    let ledger = base.open_with(&PostgresLedgerOptions { app: one, worker: one, ..options() }).await?;
    let acme = scope("acme");
    let asking: Vec<_> = (0..8_i64)
        .map(|n| {
            let (ledger, acme) = (Arc::clone(&ledger), acme.clone());
            tokio::spawn(async move {
                for seq in 1..=20_u64 {
                    let id = record(seq, &acme, at(1), &[event("e", 0)]).id;
                    ledger.wait_for(&acme, id, Duration::from_secs(300)).await?;
                    ledger.seen_exactly(&acme, &ids(&[&format!("e{seq}")])).await?;
                    ledger.meter_customer(&acme, &format!("c{n}")).await?;
                    ledger.close_through(at(n)).await?;
                }
                Ok::<_, ports::PortError>(())
            })
        })
        .collect();
    for seq in 1..=20_u64 {
        let events = [event(&format!("e{seq}"), 0).customer(&format!("c{}", seq % 8))];
        let applied = ledger.apply(&[record(seq, &acme, at(1), &events)]).await;
        assert!(applied.failed.is_none(), "{:?}", applied.failed);
    }
    for asked in asking {
        asked.await??;
    }
    assert_eq!(base.sql("SELECT sum(events) FROM received WHERE customer <> ''")?, "20");
    Ok(())
}

#[tokio::test]
async fn f38_a_panic_in_the_middle_of_a_transaction_takes_it_back() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let _alone = FailScenario::setup();
    let ledger = base.open().await?;
    let records = [record(1, &scope("acme"), at(1), &[event("e", 0)])];
    for (place, counted) in [("before_commit", 0), ("after_commit", 1)] {
        fail::cfg(format!("ledger_postgres::{place}"), "1*panic")?;
        let panicking = tokio::spawn({
            let (ledger, records) = (Arc::clone(&ledger), records.clone());
            async move { ledger.apply(&records).await }
        });
        assert!(panicking.await.is_err_and(|ended| ended.is_panic()), "{place}");
        assert_eq!(base.sql("SELECT count(*) FROM usage_events")?, counted.to_string(), "{place}");
    }
    let applied = ledger.apply(&records).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    assert_eq!(base.sql("SELECT count(*), (SELECT max(cursor) FROM buckets) FROM usage_events")?, "1|1");
    Ok(())
}
