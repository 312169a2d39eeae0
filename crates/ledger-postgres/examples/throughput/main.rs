//! The ledger's transaction against binary COPY of the same events into a bare logged table, in turns: `live` has all
//! events now, `history` has them over 60 days, about one window per event. Starts a PostgreSQL of its own with its
//! defaults; its folder is below `TMPDIR`, if that is set.
//!
//! ```text
//! throughput live|history [batches=40] [tenants=1000] [customers=100] [users=200] [record=500] [whale=0|1]
//!            [warm=100] [reads=0] [windows_fill=N] [rollups_fill=N] [name=value …]
//! ```
//! `customers` and `users` are of one tenant; the whale has half of all events and twenty times as many. The first `warm`
//! batches do not count. `…_fill`: the fill factor of their partitions. `reads`: each question about the
//! whale, or else about one tenant, is asked so often at the end. Other names are settings of the server.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures and tells what it has")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use domain::record::ReceiptTimes;
use domain::time::Timestamp;
use futures::TryStreamExt;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions, migrate};
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::testing::ledger::records::{EventSpec, event_at, record_with, scope};
use postgres::Logins;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use testservers::{Database, Postgres};

mod reads;

use reads::Asker;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Events of a batch.
const BATCH: u64 = 10_000;
/// One of so many events repeats one that came shortly before.
const REPEATED: u64 = 50;
const HISTORY_US: u64 = 60 * 86_400_000_000;
/// How many times as many customers and users the whale has.
const WHALE: u64 = 20;
const SCHEMA: &str = "nilometer_ledger";

/// What is measured.
#[derive(Debug, Clone)]
struct Plan {
    is_history: bool,
    numbers: HashMap<String, u64>,
}

impl Plan {
    fn number(&self, name: &str) -> u64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }
}

/// Numbers that look random and are the same each time.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn event_of(plan: &Plan, number: u64, scale: u64, now: Timestamp) -> EventSpec {
    let id = if number % REPEATED == REPEATED - 1 { number - 40 } else { number };
    let (dice, more) = (mix(id), mix(id ^ 0x5bd1_e995));
    let back = if plan.is_history { dice % HISTORY_US } else { dice % 1_000_000 };
    let (customers, users) = (plan.number("customers") * scale, plan.number("users") * scale);
    event_at(&format!("evt-{:016x}-{id}", mix(id ^ 7)), now.plus_micros(-i64::try_from(back).unwrap_or(0)))
        .kind(["api_call", "completion", "embedding"][(more >> 8) as usize % 3])
        .customer(&format!("customer-{}", (more >> 16) % customers))
        .user(&format!("user-{}", mix(more) % users))
        .project(["web", "batch"][(more >> 12) as usize % 2])
        .endpoint(["/v1/chat", "/v1/embed", "/v1/search"][(more >> 24) as usize % 3])
        .model(["small", "large"][(more >> 28) as usize % 2])
        .tokens((more >> 32) % 900, (more >> 40) % 300)
        .latency_ms((more >> 48) % 2_000)
        .properties(&format!(r#"{{"region": "eu-{}", "status": {}}}"#, more % 4, 200 + more % 5))
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap_or(0))
}

/// A batch of records.
fn batch(plan: &Plan, number: u64) -> Vec<Delivery> {
    let (size, records) = (plan.number("record"), BATCH / plan.number("record"));
    let now = now();
    let make = |record: u64| {
        let is_whale = plan.number("whale") == 1 && record.is_multiple_of(2);
        let (tenant, scale) = if is_whale {
            ("whale".to_owned(), WHALE)
        } else {
            (format!("tenant-{}", record % plan.number("tenants")), 1)
        };
        let events: Vec<_> = (record * size..(record + 1) * size).map(|n| event_of(plan, n, scale, now)).collect();
        let times = ReceiptTimes { received_at: now, watermark: Timestamp::MIN };
        record_with(record + 1, &scope(&tenant), times, &events)
    };
    (number * records..(number + 1) * records).map(make).collect()
}

/// A server with an opened ledger.
struct Place {
    database: Database,
    ledger: Arc<PostgresLedger>,
    raw: PgConnection,
    worker: String,
    _server: Postgres,
}

impl Place {
    async fn make(settings: &[(&str, &str)]) -> Outcome<Self> {
        let server = Postgres::launch(settings)?.ok_or("there is no PostgreSQL here")?;
        let database = server.database()?;
        let logins = Logins::default();
        database.sql(&format!(
            "CREATE ROLE o LOGIN PASSWORD 'x'; CREATE ROLE {} LOGIN PASSWORD 'x'; \
             CREATE ROLE {} LOGIN BYPASSRLS PASSWORD 'x'; ALTER DATABASE {} OWNER TO o",
            logins.app,
            logins.worker,
            database.name()
        ))?;
        let at = database.url().split_once('@').map_or("", |(_, at)| at).to_owned();
        let url = |login: &str| format!("postgres://{login}:x@{at}");
        migrate(&url("o"), &logins).await?;
        let options = PostgresLedgerOptions { seed_key: [5; 16], ..PostgresLedgerOptions::default() };
        let ledger = PostgresLedger::open(&url(&logins.app), &url(&logins.worker), &options).await?;
        let mut raw = PgConnection::connect(database.url()).await?;
        let make = format!("CREATE TABLE bare (LIKE {SCHEMA}.usage_events)");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut raw).await?;
        Ok(Self { database, ledger, raw, worker: logins.worker, _server: server })
    }

    async fn number(&mut self, sql: &str) -> Outcome<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.raw).await?)
    }

    /// Sets how full pages of a table's partitions are made.
    async fn fill(&mut self, table: &str, percent: u64) -> Outcome<()> {
        let sql = format!(
            "DO $do$ DECLARE c regclass; BEGIN FOR c IN SELECT inhrelid FROM pg_inherits \
             WHERE inhparent = '{SCHEMA}.{table}'::regclass LOOP \
             EXECUTE format('ALTER TABLE %s SET (fillfactor = {percent})', c); END LOOP; END $do$"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.raw).await?;
        Ok(())
    }

    /// The partition that events are written to now, and its pages.
    async fn leaf(&mut self) -> Outcome<(String, i64)> {
        let sql = format!(
            "SELECT c.oid::regclass::text, pg_relation_size(c.oid) / 8192 FROM pg_inherits i \
             JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = '{SCHEMA}.usage_events'::regclass \
             ORDER BY c.relname = 'usage_events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') DESC LIMIT 1"
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut self.raw).await?)
    }

    /// Copies the rows of a batch into the bare table: those behind so many pages, of records after one.
    async fn bare(&mut self, leaf: &str, pages: i64, from: u64) -> Outcome<(Duration, u64)> {
        let rows = format!(
            "COPY (SELECT * FROM {leaf} WHERE ctid >= '({},0)'::tid AND position >= {}) TO STDOUT (FORMAT binary)",
            (pages - 1).max(0),
            (from + 1) << 16
        );
        let rows: Vec<_> = self.raw.copy_out_raw(&rows).await?.try_collect().await?;
        let bytes = rows.concat();
        let begun = Instant::now();
        let mut copying = self.raw.copy_in_raw("COPY bare FROM STDIN (FORMAT binary)").await?;
        copying.send(bytes).await?;
        let count = copying.finish().await?;
        Ok((begun.elapsed(), count))
    }

    async fn apply(&mut self, records: &[Delivery]) -> Outcome<Duration> {
        let begun = Instant::now();
        let applied = self.ledger.apply(records).await;
        let took = begun.elapsed();
        applied.failed.map_or(Ok(took), |why| Err(why.into()))
    }

    /// How many locks of relations a transaction has at most, while some batches are applied.
    async fn locks(&mut self, plan: &Plan, from: u64) -> Outcome<i64> {
        let (is_over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let mut looking = PgConnection::connect(self.database.url()).await?;
        let sql = format!(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE locktype = 'relation' AND usename = '{}' GROUP BY pid) locks",
            self.worker
        );
        let watch = tokio::spawn({
            let (is_over, most) = (Arc::clone(&is_over), Arc::clone(&most));
            async move {
                while !is_over.load(Ordering::Relaxed) {
                    let found = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_one(&mut looking).await;
                    most.fetch_max(found.unwrap_or(0), Ordering::Relaxed);
                }
            }
        });
        for number in from..from + 5 {
            self.apply(&batch(plan, number)).await?;
        }
        is_over.store(true, Ordering::Relaxed);
        watch.await?;
        Ok(most.load(Ordering::Relaxed))
    }

    /// Vacuums what has dead rows, and returns how long that takes.
    async fn settle(&mut self) -> Outcome<Duration> {
        let sql = "SELECT coalesce(string_agg(format('VACUUM %I.%I', schemaname, relname), '; '), '') \
                   FROM pg_stat_user_tables WHERE schemaname = 'nilometer_ledger' AND n_dead_tup > 0";
        let begun = Instant::now();
        let vacuum: String = sqlx::query_scalar(sql).fetch_one(&mut self.raw).await?;
        for one in vacuum.split("; ").filter(|one| !one.is_empty()) {
            sqlx::raw_sql(AssertSqlSafe(one.to_owned())).execute(&mut self.raw).await?;
        }
        Ok(begun.elapsed())
    }

    /// Tells what is stored: bytes per event of each table, and whether each event counts once.
    async fn tell(&mut self, plan: &Plan, locks: i64) -> Outcome<()> {
        let sizes = "FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'nilometer_ledger'::regnamespace";
        let events = self.number(&format!("SELECT sum(events)::int8 FROM {SCHEMA}.buckets")).await?;
        let bytes = self.number(&format!("SELECT sum(pg_total_relation_size(c.oid))::int8 {sizes}")).await?;
        let worker = self.worker.clone();
        let connections = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{worker}'");
        let connections = self.number(&connections).await?;
        println!(
            "{events} events: {:.0} bytes per event, at most {locks} locks of relations, {connections} connections of the worker",
            bytes as f64 / events as f64
        );
        let tables = format!(
            "SELECT c.relname, round(sum(pg_table_size(c.oid)) / {events}.0, 1), \
             round(sum(pg_indexes_size(c.oid)) / {events}.0, 1) {sizes} AND pg_total_relation_size(c.oid) > 2 * {events} \
             GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC"
        );
        println!("bytes per event of table|rows|indexes\n{}", self.database.sql(&tables)?);
        let counts = self.database.sql(
            "SET search_path = nilometer_ledger; SELECT (SELECT sum(events) FROM buckets), (SELECT count(*) FROM event_ids), \
             (SELECT count(*) FROM usage_events), (SELECT sum(calls) FROM aggregation_windows), \
             (SELECT sum(calls) FROM customers), (SELECT sum(calls) FROM rollups WHERE grain = 0), \
             (SELECT sum(calls) FROM rollups WHERE grain = 1), (SELECT sum(events) FROM received)",
        )?;
        let batches = plan.number("batches") + plan.number("warm") + 5;
        let expected = vec![(batches * BATCH * (REPEATED - 1) / REPEATED).to_string(); 8].join("|");
        if counts == expected { Ok(()) } else { Err(format!("counted {counts} and not {expected}").into()) }
    }
}

/// What was measured.
#[derive(Debug, Default)]
struct Measured {
    ledger: Duration,
    bare: Duration,
    events: u64,
    ratios: Vec<f64>,
    wal: i64,
}

async fn measure(place: &mut Place, plan: &Plan) -> Outcome<Measured> {
    const LSN: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8";
    let (warm, batches) = (plan.number("warm"), plan.number("batches"));
    let mut measured = Measured::default();
    for number in 0..warm + batches {
        let records = batch(plan, number);
        let from = place.ledger.cursor().0;
        let (leaf, pages) = place.leaf().await?;
        let before = place.number(LSN).await?;
        let took = place.apply(&records).await?;
        let wal = place.number(LSN).await? - before;
        let (copy, count) = place.bare(&leaf, pages, from).await?;
        if number < warm {
            continue;
        }
        measured.ledger += took;
        measured.bare += copy;
        measured.events += count;
        measured.wal += wal;
        measured.ratios.push(copy.as_secs_f64() / took.as_secs_f64());
        if batches < 12 || number % (batches / 12) == 0 {
            let ratio = copy.as_secs_f64() / took.as_secs_f64();
            println!("{number:>5}: {count} events, ledger {took:>7.1?}, bare {copy:>7.1?}, ratio {ratio:.2}");
        }
    }
    Ok(measured)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let is_history = arguments.next().is_some_and(|kind| kind == "history");
    let numbers = [
        ("batches", 40),
        ("tenants", 1_000),
        ("customers", 100),
        ("users", 200),
        ("record", 500),
        ("whale", 0),
        ("warm", 100),
        ("reads", 0),
        ("windows_fill", 0),
        ("rollups_fill", 0),
    ];
    let numbers = numbers.map(|(name, number)| (name.to_owned(), number)).into();
    let mut plan = Plan { is_history, numbers };
    let mut settings = Vec::new();
    for pair in arguments {
        let (name, value) = pair.split_once('=').ok_or("name=value")?;
        match plan.numbers.get_mut(name) {
            Some(number) => *number = value.parse()?,
            None => settings.push((name.to_owned(), value.to_owned())),
        }
    }
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut place = Place::make(&settings).await?;
    for (table, name) in [("aggregation_windows", "windows_fill"), ("rollups", "rollups_fill")] {
        if plan.number(name) > 0 {
            place.fill(table, plan.number(name)).await?;
        }
    }
    let Measured { ledger, bare, events, mut ratios, wal } = measure(&mut place, &plan).await?;
    ratios.sort_by(f64::total_cmp);
    let (settled, rate) = (place.settle().await?, |time: Duration| events as f64 / time.as_secs_f64());
    println!(
        "{events} events: {:.0}/s, bare {:.0}/s, ratio {:.3} (median {:.3}), {:.1} µs and {:.0} bytes of log per event; \
         vacuum {settled:.1?}, with it {:.0}/s, ratio {:.3}",
        rate(ledger),
        rate(bare),
        bare.as_secs_f64() / ledger.as_secs_f64(),
        ratios[ratios.len() / 2],
        ledger.as_secs_f64() * 1e6 / events as f64,
        wal as f64 / events as f64,
        rate(ledger + settled),
        bare.as_secs_f64() / (ledger + settled).as_secs_f64(),
    );
    let locks = place.locks(&plan, plan.number("warm") + plan.number("batches")).await?;
    place.tell(&plan, locks).await?;
    if plan.number("reads") > 0 {
        let (tenant, scale) = if plan.number("whale") == 1 { ("whale", WHALE) } else { ("tenant-1", 1) };
        let customers = plan.number("customers") * scale;
        let asker = Asker { ledger: &place.ledger, scope: scope(tenant), now: now(), customers };
        asker.ask_all(plan.number("reads")).await?;
    }
    place.ledger.close().await?;
    Ok(())
}
