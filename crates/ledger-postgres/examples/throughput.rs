//! The ledger's transaction against binary COPY of the same events into a bare table, in turns: `live` has all events now,
//! `history` has them over 60 days, about one window per event. Starts a PostgreSQL of its own; its folder is below
//! `TMPDIR`, if that is set.
//!
//! ```text
//! throughput live|history [batches of 10,000 events] [name=value …]
//! ```
//! What stands behind the batches are settings of the server.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures and tells what it has")]

use std::time::{Duration, Instant};

use domain::position::Seq;
use domain::record::ReceiptTimes;
use domain::time::Timestamp;
use futures::TryStreamExt;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions, migrate};
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::testing::ledger::records::{EventSpec, at, event_at, record_with, scope};
use postgres::Logins;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use testservers::Postgres;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCH: u64 = 10_000;
const RECORD: u64 = 500;
const TENANTS: u64 = 20;

/// Numbers that look random and are the same each time.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn event_of(number: u64, now: Timestamp, is_history: bool) -> EventSpec {
    // Every fiftieth is a repetition.
    let id = if number % 50 == 49 { number - 40 } else { number };
    let dice = mix(id);
    let back = if is_history { dice % (60 * 86_400_000_000) } else { dice % 1_000_000 };
    event_at(&format!("evt-{:016x}-{id}", mix(id ^ 7)), now.plus_micros(-i64::try_from(back).unwrap_or(0)))
        .kind(["api_call", "completion", "embedding"][(dice >> 8) as usize % 3])
        .customer(&format!("customer-{}", (dice >> 16) % 2_000))
        .user(&format!("user-{}", (dice >> 20) % 20_000))
        .project(["web", "batch"][(dice >> 12) as usize % 2])
        .endpoint(["/v1/chat", "/v1/embed", "/v1/search"][(dice >> 24) as usize % 3])
        .model(["small", "large"][(dice >> 28) as usize % 2])
        .tokens((dice >> 32) % 900, (dice >> 40) % 300)
        .latency_ms((dice >> 48) % 2_000)
        .properties(&format!(r#"{{"region": "eu-{}", "status": {}}}"#, dice % 4, 200 + dice % 5))
}

/// A batch of records.
fn batch(number: u64, is_history: bool) -> Vec<Delivery> {
    let records = BATCH / RECORD;
    let make = |record: u64| {
        let now = at(i64::try_from(number).unwrap_or(0));
        let first = number * BATCH + (record - number * records) * RECORD;
        let events: Vec<_> = (first..first + RECORD).map(|n| event_of(n, now, is_history)).collect();
        let times = ReceiptTimes { received_at: now, watermark: Timestamp::MIN };
        record_with(record + 1, &scope(&format!("tenant-{}", record % TENANTS)), times, &events)
    };
    (number * records..(number + 1) * records).map(make).collect()
}

/// Copies the rows of a batch into a bare table.
async fn bare(on: &mut PgConnection, from: Seq, to: Seq) -> Outcome<(Duration, u64)> {
    let rows = format!(
        "COPY (SELECT * FROM nilometer_ledger.usage_events WHERE position >= {} AND position < {}) \
         TO STDOUT (FORMAT binary)",
        from.next().0 << 16,
        to.next().0 << 16
    );
    let rows: Vec<_> = on.copy_out_raw(&rows).await?.try_collect().await?;
    let bytes = rows.concat();
    let begun = Instant::now();
    let mut copying = on.copy_in_raw("COPY bare FROM STDIN (FORMAT binary)").await?;
    copying.send(bytes).await?;
    let count = copying.finish().await?;
    Ok((begun.elapsed(), count))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let is_history = arguments.next().is_some_and(|kind| kind == "history");
    let batches: u64 = arguments.next().map_or(Ok(30), |number| number.parse())?;
    let settings: Vec<_> =
        arguments.filter_map(|pair| pair.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()))).collect();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Postgres::launch(&settings)?.ok_or("there is no PostgreSQL here")?;
    let database = server.database()?;
    let logins = Logins::default();
    database.sql(&format!(
        "CREATE ROLE o LOGIN PASSWORD 'x'; CREATE ROLE {} LOGIN PASSWORD 'x'; \
         CREATE ROLE {} LOGIN BYPASSRLS PASSWORD 'x'; ALTER DATABASE {} OWNER TO o",
        logins.app,
        logins.worker,
        database.name()
    ))?;
    let at = database.url().split_once('@').map_or("", |(_, at)| at);
    let url = |login: &str| format!("postgres://{login}:x@{at}");
    migrate(&url("o"), &logins).await?;
    let options = PostgresLedgerOptions { seed_key: [5; 16], ..PostgresLedgerOptions::default() };
    let ledger = PostgresLedger::open(&url(&logins.app), &url(&logins.worker), &options).await?;
    let mut raw = PgConnection::connect(database.url()).await?;
    let make = "CREATE TABLE bare AS SELECT * FROM nilometer_ledger.usage_events";
    sqlx::raw_sql(AssertSqlSafe(make.to_owned())).execute(&mut raw).await?;

    let (mut ledger_time, mut bare_time, mut events) = (Duration::ZERO, Duration::ZERO, 0);
    let mut ratios = Vec::new();
    let mut wal = 0_i64;
    let lsn = "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8";
    for number in 0..batches {
        let records = batch(number, is_history);
        let from = ledger.cursor();
        let before: i64 = sqlx::query_scalar(lsn).fetch_one(&mut raw).await?;
        let begun = Instant::now();
        let applied = ledger.apply(&records).await;
        let took = begun.elapsed();
        if let Some(why) = applied.failed {
            return Err(why.into());
        }
        let after: i64 = sqlx::query_scalar(lsn).fetch_one(&mut raw).await?;
        wal += after - before;
        let (copy, count) = bare(&mut raw, from, ledger.cursor()).await?;
        (ledger_time, bare_time, events) = (ledger_time + took, bare_time + copy, events + count);
        ratios.push(copy.as_secs_f64() / took.as_secs_f64());
        println!(
            "{number:>4}: {count} events, ledger {:>7.1?}, bare {:>7.1?}, ratio {:.2}",
            took,
            copy,
            ratios[ratios.len() - 1]
        );
    }
    ratios.sort_by(f64::total_cmp);
    let size = database.sql("SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'nilometer_ledger'::regnamespace")?;
    let size: f64 = size.parse()?;
    println!(
        "{} events: {:.0} events/s, bare {:.0}, ratio {:.2} (median {:.2}); {:.0} bytes of tables and {:.0} of log per event",
        events,
        events as f64 / ledger_time.as_secs_f64(),
        events as f64 / bare_time.as_secs_f64(),
        bare_time.as_secs_f64() / ledger_time.as_secs_f64(),
        ratios[ratios.len() / 2],
        size / events as f64,
        wal as f64 / events as f64,
    );
    println!("{}", database.sql("SELECT c.relname, pg_size_pretty(sum(pg_table_size(c.oid))), pg_size_pretty(sum(pg_indexes_size(c.oid))) FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'nilometer_ledger'::regnamespace AND pg_total_relation_size(c.oid) > 1000000 GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC")?);
    ledger.close().await?;
    Ok(())
}
