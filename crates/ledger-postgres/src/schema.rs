//! The schema: steps forwards only, and the partitions that are made ahead of what comes.

use domain::bucket::BucketCount;
use ports::PortError;
use postgres::{Failure, Logins, Schema, SchemaStatus, Step};
use sqlx::postgres::PgConnection;

use crate::fences::{SCHEMA, fences};

/// What the lock is called among those of the database.
const LOCK: i64 = 0x6e69_6c6f_6c65_6467;
/// How many days of partitions are made ahead of today.
const DAYS_AHEAD: u32 = 28;
/// How many there have to be when a server starts.
const DAYS_AHEAD_MIN: i32 = 14;
/// The statistics of these columns would keep their texts.
const TEXTS: &str = "'id', 'kind', 'project', 'customer', 'user_name', 'endpoint', 'model', 'properties', \
                     'properties_raw', 'aggregation_data', 'name', 'subject', 'payload', 'body', 'reason', 'dead_reason'";
/// Rows of these partitions are changed again and again.
const CHANGED: &str = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000";

/// All steps in order. A step that was ever released is never changed.
const STEPS: [(&str, &str); 1] = [("p0001_ledger", include_str!("schema/p0001_ledger.sql"))];

/// All steps and the table of rights.
pub(crate) fn schema() -> Schema {
    schema_of(BucketCount::default())
}

/// The first step makes so many buckets.
fn schema_of(buckets: BucketCount) -> Schema {
    let step = |(name, sql): (&'static str, &str)| Step { name, sql: vec![sql.to_owned()] };
    let mut steps: Vec<_> = STEPS.into_iter().map(step).collect();
    if let Some(first) = steps.first_mut() {
        first.sql.extend((0..buckets.get()).map(bucket));
    }
    Schema { fences: fences(), steps, lock: LOCK }
}

/// The statements that make a bucket.
fn bucket(no: u16) -> String {
    format!(
        "INSERT INTO buckets (bucket) VALUES ({no}); \
         CREATE TABLE event_ids_{no} PARTITION OF event_ids FOR VALUES IN ({no}); \
         CREATE UNIQUE INDEX event_ids_{no}_by_hash ON event_ids_{no} (id_hash)"
    )
}

/// Brings the schema of the ledger up to date as its owner, makes partitions for the days to come, and puts rights and
/// fences as they are to be. Returns how many steps were made. Of several processes at once one makes them, and the
/// others wait. A ledger that is new has the default number of buckets.
///
/// # Errors
/// `Unacceptable` when a newer program has made the schema, the login is a superuser or may not do it, the logins are
/// missing or have more rights than they may (the worker's needs BYPASSRLS), or the server would lose commits. `Conflict`
/// when rows do not fit a step. Otherwise when the server cannot be reached; nothing has changed then, or all of it.
pub async fn migrate(owner_url: &str, logins: &Logins) -> Result<usize, PortError> {
    bring_up(owner_url, &schema(), logins, None).await
}

/// What [`migrate`] does, with so many buckets.
///
/// # Errors
/// As [`migrate`], and `Conflict` when the ledger was made with another number of buckets, which never changes.
pub async fn migrate_with(owner_url: &str, logins: &Logins, buckets: BucketCount) -> Result<usize, PortError> {
    bring_up(owner_url, &schema_of(buckets), logins, Some(has_buckets(buckets))).await
}

/// The statement that refuses a ledger with another number of buckets.
fn has_buckets(wanted: BucketCount) -> String {
    let wanted = wanted.get();
    format!(
        "DO $do$ DECLARE made bigint; BEGIN SELECT count(*) INTO made FROM buckets; IF made <> {wanted} THEN \
         RAISE EXCEPTION 'the ledger was made with % buckets, which never changes, and not with {wanted}', made \
         USING ERRCODE = 'check_violation'; END IF; END $do$"
    )
}

async fn bring_up(
    owner_url: &str,
    schema: &Schema,
    logins: &Logins,
    check: Option<String>,
) -> Result<usize, PortError> {
    let upkeep: Vec<_> = check.into_iter().chain(partitions()).collect();
    let made = postgres::migrate(owner_url, schema, logins, STEPS.len(), &upkeep).await;
    made.map_err(|failure| failure.during("bring the schema of the ledger in PostgreSQL up to date"))
}

/// Makes partitions for the days to come, of a schema that is up to date.
pub(crate) async fn make_partitions(owner_url: &str, logins: &Logins) -> Result<(), Failure> {
    postgres::migrate(owner_url, &schema(), logins, STEPS.len(), &partitions()).await.map(drop)
}

/// Refuses a schema that is not the newest.
pub(crate) async fn refuse_other(on: &mut PgConnection) -> Result<(), Failure> {
    postgres::refuse_other(on, &schema()).await
}

/// How far the schema is.
///
/// # Errors
/// `Unacceptable` when a newer program has made it; otherwise when the server cannot be asked.
pub async fn status(url: &str) -> Result<SchemaStatus, PortError> {
    let asked = postgres::status(url, &schema()).await;
    asked.map_err(|failure| failure.during("look at the schema of the ledger in PostgreSQL"))
}

/// The statements that make partitions for the days to come, as they are to be. May be run again and again.
pub(crate) fn partitions() -> [String; 5] {
    [
        leaves("usage_events", "day", ""),
        leaves("receipts", "day", ""),
        leaves("aggregation_windows", "month", &format!("WITH (fillfactor = 70, {CHANGED})")),
        leaves("rollups", "month", &format!("WITH (fillfactor = 50, {CHANGED})")),
        forget_texts(),
    ]
}

/// The statement that has ANALYZE keep no values of columns that hold what may be erased.
fn forget_texts() -> String {
    format!(
        "DO $do$ DECLARE a record; BEGIN FOR a IN SELECT attrelid::regclass AS of_table, attname FROM pg_attribute \
         JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind IN ('r', 'p') \
         AND attnum > 0 AND NOT attisdropped AND attname IN ({TEXTS}) AND coalesce(attstattarget, -1) <> 0 \
         AND c.relname NOT IN ('leases', 'nodes', 'schema_step', 'unscrubbed') LOOP \
         EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', a.of_table, a.attname); END LOOP; END $do$"
    )
}

/// Refuses to work on a schema whose partitions soon end.
pub(crate) async fn refuse_few_partitions(on: &mut PgConnection) -> Result<(), Failure> {
    let sql = "SELECT parent.relname::text FROM pg_class parent JOIN pg_inherits ON inhparent = parent.oid \
               JOIN pg_class leaf ON leaf.oid = inhrelid WHERE parent.relnamespace = $1::regnamespace \
               AND parent.relname IN ('usage_events', 'receipts', 'aggregation_windows', 'rollups') \
               GROUP BY parent.relname HAVING coalesce(max(right(leaf.relname, 8)) FILTER (WHERE leaf.relname ~ '_\\d{8}$'), '') \
               < to_char(date_trunc(CASE WHEN parent.relname IN ('usage_events', 'receipts') THEN 'day' ELSE 'month' END, \
               now() AT TIME ZONE 'UTC' + $2 * interval '1 day'), 'YYYYMMDD') ORDER BY 1";
    let few: Vec<String> = sqlx::query_scalar(sql).bind(SCHEMA).bind(DAYS_AHEAD_MIN).fetch_all(on).await?;
    if few.is_empty() {
        return Ok(());
    }
    Err(Failure::unacceptable(format!(
        "the partitions of {} end in less than {DAYS_AHEAD_MIN} days; run `nilometer maintain --postgres` with the owner's \
         login",
        few.join(", ")
    )))
}

/// The statement that makes a table's partitions from the one before now on. Rows that came too early for theirs are in
/// the partition for all others and stay there, and that span has no partition of its own.
fn leaves(table: &str, step: &str, storage: &str) -> String {
    format!(
        "DO $do$ DECLARE s timestamp; BEGIN FOR s IN SELECT generate_series(\
         date_trunc('{step}', now() AT TIME ZONE 'UTC') - interval '1 {step}', \
         date_trunc('{step}', now() AT TIME ZONE 'UTC' + interval '{DAYS_AHEAD} days'), interval '1 {step}') LOOP \
         BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS {SCHEMA}.%I PARTITION OF {SCHEMA}.{table} \
         FOR VALUES FROM (%L) TO (%L) {storage}', '{table}_' || to_char(s, 'YYYYMMDD'), \
         s::text || '+00', (s + interval '1 {step}')::text || '+00'); \
         EXCEPTION WHEN check_violation THEN NULL; END; END LOOP; END $do$"
    )
}
