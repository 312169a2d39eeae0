//! What a row said stands in the files of its table when the row is gone, also behind a VACUUM, which frees the room and
//! leaves the bytes. So the owner's login has tables written anew (`VACUUM FULL`) in which rows of an erasure have gone,
//! when nobody reads a moment from before any more, and then has the write-ahead log go on in another file, behind a
//! checkpoint. Each table is locked while it is written.

use std::time::Duration;

use ports::ErrorKind;
use postgres::Failure;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::types::Instant;

/// Longest wait for transactions that may still see what is gone.
const READERS_MAX: Duration = Duration::from_secs(120);
/// How often these are looked at.
const READERS_PAUSE: Duration = Duration::from_millis(50);
/// Tables without texts of anybody: their room is freed, and that is all.
const WITHOUT_TEXTS: [&str; 2] = ["event_ids", "receipts"];
/// What the server says to a login that may not do something.
const MAY_NOT: &str = "42501";

/// Tables that were written anew, and where texts of erased rows may stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbed {
    /// The tables and partitions, in order.
    pub tables: Vec<String>,
    /// Whether the write-ahead log goes on in another file, behind a checkpoint.
    pub has_switched_wal: bool,
    /// Whether the server uses old files of the log again as they are (`wal_recycle`) instead of deleting them.
    pub recycles_wal: bool,
    /// How much of the log has to be written until no such file is left (`max_wal_size`).
    pub wal_max: String,
    /// The longest time between two checkpoints (`checkpoint_timeout`).
    pub checkpoint_every: String,
    /// Whether the log is archived (`archive_mode`).
    pub archives: String,
    /// How many replicas and other readers keep parts of the log (`pg_replication_slots`).
    pub slots: i64,
}

impl Scrubbed {
    /// Where texts may stand still, and until when or why, a sentence each.
    pub fn remains(&self) -> Vec<String> {
        let Self { recycles_wal, wal_max, checkpoint_every, archives, slots, .. } = self;
        let wal = match (self.has_switched_wal, recycles_wal) {
            (true, false) => None,
            (true, true) => Some(format!(
                "old files of PostgreSQL's write-ahead log, which are used again (wal_recycle = on), until {wal_max} more \
                 are written"
            )),
            (false, _) => Some(format!(
                "PostgreSQL's write-ahead log, until its files are used again: behind two checkpoints (each after \
                 {checkpoint_every} at most) and {wal_max} that are written; the owner's login may not begin another file, \
                 for which it needs EXECUTE on pg_switch_wal() and the role pg_checkpoint"
            )),
        };
        let copies = format!(
            "backups of PostgreSQL, archives of its log (archive_mode = {archives}), replicas and what is kept of the log \
             for them ({slots} slots), and the log of its messages"
        );
        wal.into_iter().chain([copies]).collect()
    }
}

/// Writes tables anew if an erasure waits for that; none if none does.
///
/// # Errors
/// `Overloaded` when what is gone may still be seen, or a table is in use: what is done is done, and the next call goes
/// on.
pub(crate) async fn scrub(on: &mut PgConnection) -> Result<Option<Scrubbed>, Failure> {
    let waits = "SELECT EXISTS (SELECT FROM erasures WHERE nameless_at IS NOT NULL AND finished_at IS NULL \
                 AND nameless_at >= coalesce((SELECT begun_at FROM scrub), '-infinity'))";
    if !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *on).await? {
        return Ok(None);
    }
    let begun: Instant = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *on).await?;
    outwait_readers(on).await?;
    let names = "SELECT name FROM unscrubbed WHERE noted_at <= $1 ORDER BY name";
    let names: Vec<String> = sqlx::query_scalar(names).bind(begun).fetch_all(&mut *on).await?;
    for name in &names {
        rewrite(on, name).await?;
        let done = "DELETE FROM unscrubbed WHERE name = $1 AND noted_at <= $2";
        sqlx::query(done).bind(name).bind(begun).execute(&mut *on).await?;
    }
    let has_switched_wal = switch_wal(on).await?;
    let scrubbed = report(on, names, has_switched_wal).await?;
    let note = "INSERT INTO scrub (id, begun_at, ended_at, remains) VALUES (1, $1, clock_timestamp(), $2) \
                ON CONFLICT (id) DO UPDATE SET begun_at = excluded.begun_at, ended_at = excluded.ended_at, \
                remains = excluded.remains";
    sqlx::query(note).bind(begun).bind(scrubbed.remains()).execute(on).await?;
    Ok(Some(scrubbed))
}

/// Waits for all transactions of this moment, by their locks, which every login is shown.
async fn outwait_readers(on: &mut PgConnection) -> Result<(), Failure> {
    let kept = "SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()), \
                (SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL)";
    let row = sqlx::query(kept).fetch_one(&mut *on).await?;
    let (prepared, slots): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if prepared + slots > 0 {
        return Err(busy(format!(
            "{prepared} prepared transactions and {slots} replication slots keep what is gone: end them first"
        )));
    }
    let open =
        "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'virtualxid' AND granted AND pid <> pg_backend_pid()";
    let before: Vec<String> = sqlx::query_scalar(open).fetch_all(&mut *on).await?;
    let waiting = async {
        loop {
            let still: Vec<String> = sqlx::query_scalar(open).fetch_all(&mut *on).await?;
            if !still.iter().any(|one| before.contains(one)) {
                return Ok::<(), Failure>(());
            }
            tokio::time::sleep(READERS_PAUSE).await;
        }
    };
    let waited = tokio::time::timeout(READERS_MAX, waiting).await;
    waited.unwrap_or_else(|_| {
        let seconds = READERS_MAX.as_secs();
        Err(busy(format!("a transaction that may see what is gone is open for more than {seconds} s")))
    })
}

fn busy(reason: String) -> Failure {
    Failure::Refused { kind: ErrorKind::Overloaded, reason }
}

async fn rewrite(on: &mut PgConnection, name: &str) -> Result<(), Failure> {
    let there: Option<String> =
        sqlx::query_scalar("SELECT to_regclass($1)::text").bind(name).fetch_one(&mut *on).await?;
    // A partition that has gone whole has taken its file with it.
    let Some(table) = there else { return Ok(()) };
    let full = if WITHOUT_TEXTS.iter().any(|without| table.starts_with(without)) { "" } else { "(FULL)" };
    sqlx::raw_sql(AssertSqlSafe(format!("VACUUM {full} {table}"))).execute(on).await?;
    Ok(())
}

/// Whether this login may have the log go on in another file, behind a checkpoint.
async fn switch_wal(on: &mut PgConnection) -> Result<bool, Failure> {
    for sql in ["SELECT pg_switch_wal()", "CHECKPOINT"] {
        if let Err(error) = sqlx::raw_sql(sql).execute(&mut *on).await {
            let failure = Failure::from(error);
            if failure.code().as_deref() == Some(MAY_NOT) {
                return Ok(false);
            }
            return Err(failure);
        }
    }
    Ok(true)
}

async fn report(on: &mut PgConnection, tables: Vec<String>, has_switched_wal: bool) -> Result<Scrubbed, Failure> {
    let sql = "SELECT current_setting('wal_recycle')::boolean, current_setting('max_wal_size'), \
               current_setting('checkpoint_timeout'), current_setting('archive_mode'), \
               (SELECT count(*) FROM pg_replication_slots)";
    let row = sqlx::query(sql).fetch_one(on).await?;
    Ok(Scrubbed {
        tables,
        has_switched_wal,
        recycles_wal: row.try_get(0)?,
        wal_max: row.try_get(1)?,
        checkpoint_every: row.try_get(2)?,
        archives: row.try_get(3)?,
        slots: row.try_get(4)?,
    })
}
