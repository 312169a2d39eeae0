//! The rows of the buckets that this process has taken: how far each has come, and its epoch, which is the fence of every
//! transaction. Rows are locked in the order of their numbers, all that this process has. Only the server's clock counts.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::bucket::BucketCount;
use domain::position::Seq;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use ports::ErrorKind;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::copy::miscounted;
use crate::types::{Instant, Uuid, signed, unsigned};

/// What of a row is read, in this order.
const COLUMNS: &str = "bucket, epoch, cursor, record_no, closed_through, events, dead_letters, holds_former_ids";

/// Buckets that this process has taken, all that it may have or those that are left of them.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub(crate) count: BucketCount,
    lease: Duration,
    held: BTreeMap<i16, Held>,
    /// Whether another process has taken one of them.
    is_one_lost: bool,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    epoch: i64,
    at: Progress,
}

/// How far a bucket has come, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The journal's number up to which all records of the bucket have been applied.
    pub(crate) cursor: Seq,
    /// The bucket's own number of the last record, which positions are made of.
    pub(crate) number: Seq,
    pub(crate) closed_through: Timestamp,
    pub(crate) events: u64,
    pub(crate) dead_letters: u64,
    pub(crate) holds_former_ids: bool,
}

/// Who takes which buckets.
#[derive(Debug)]
pub(crate) struct Wanted<'w> {
    /// All if it is empty.
    pub(crate) buckets: &'w [u16],
    pub(crate) node: Uuid,
    pub(crate) lease: Duration,
    /// Names the journal whose records are applied.
    pub(crate) journal: Option<&'w str>,
    /// Whether they go on with this journal, whatever they had before.
    pub(crate) takes_over: bool,
    /// Whether the process that applied the records of this journal has certainly ended: its lease need not.
    pub(crate) is_after_crash: bool,
}

impl Buckets {
    /// Takes all that are wanted, if nobody has any of them. Tells whether their last owner has left without giving them
    /// away.
    pub(crate) async fn take(on: &mut PgConnection, wanted: &Wanted<'_>) -> Result<Option<(Self, bool)>, Failure> {
        const FREE: &str = "SELECT bucket, owner IS NULL OR expires_at < clock_timestamp() OR ($2 AND generation = $3), \
                            owner IS NOT NULL, generation <> $3 FROM buckets WHERE bucket = ANY($1) ORDER BY bucket";
        let count = count(on).await?;
        let all = (0..count.get()).filter(|no| wanted.buckets.is_empty() || wanted.buckets.contains(no));
        let all: Vec<_> = all.map(u16::cast_signed).collect();
        if all.is_empty() || wanted.buckets.iter().any(|no| *no >= count.get()) {
            return Err(Failure::unacceptable(format!("the ledger has the buckets 0 to {}", count.get() - 1)));
        }
        let is_free =
            |rows: &[PgRow]| rows.iter().map(|row| row.try_get::<bool, _>(1)).all(|free| free.unwrap_or(false));
        // Who has them is not waited for.
        if !is_free(
            &sqlx::query(FREE).bind(&all).bind(wanted.is_after_crash).bind(wanted.journal).fetch_all(&mut *on).await?,
        ) {
            return Ok(None);
        }
        let lock = sqlx::query(format_lock(FREE)).bind(&all).bind(wanted.is_after_crash).bind(wanted.journal);
        let rows = lock.fetch_all(&mut *on).await?;
        if !is_free(&rows) {
            return Ok(None);
        }
        let is_anothers = |row: &PgRow| matches!(row.try_get::<Option<bool>, _>(3), Ok(Some(true)));
        if !wanted.takes_over && rows.iter().any(is_anothers) {
            let reason = "the ledger goes on with another journal".to_owned();
            return Err(Failure::Refused { kind: ErrorKind::Conflict, reason });
        }
        let was_left = rows.iter().any(|row| row.try_get(2).unwrap_or(false));
        let take = "UPDATE buckets SET epoch = epoch + 1, owner = $2, \
                    expires_at = clock_timestamp() + $3 * interval '1 millisecond', \
                    cursor = CASE WHEN generation <> $4 THEN 0 ELSE cursor END, \
                    generation = coalesce($4, generation) WHERE bucket = ANY($1) RETURNING ";
        let take = sqlx::AssertSqlSafe(format!("{take}{COLUMNS}"));
        let taken = sqlx::query(take).bind(&all).bind(wanted.node).bind(ms(wanted.lease)).bind(wanted.journal);
        let held = taken.fetch_all(on).await?.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Some((Self { count, lease: wanted.lease, held, is_one_lost: false }, was_left)))
    }

    /// The bucket of a tenant.
    pub(crate) fn of(&self, tenant: &TenantId) -> i16 {
        self.count.bucket_of(tenant).cast_signed()
    }

    /// Up to which record all of this bucket have been applied; none if this process has not got it.
    pub(crate) fn cursor_of(&self, no: i16) -> Option<Seq> {
        Some(self.held.get(&no)?.at.cursor)
    }

    /// The epoch of a bucket; one that no bucket has if this process has not got it.
    pub(crate) fn epoch_of(&self, no: i16) -> i64 {
        self.held.get(&no).map_or(-1, |held| held.epoch)
    }

    /// The numbers of those that this process has, in order.
    pub(crate) fn numbers(&self) -> Vec<i16> {
        self.held.keys().copied().collect()
    }

    /// Whether this process has any.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether another process has taken one of them.
    pub(crate) fn is_one_lost(&self) -> bool {
        self.is_one_lost
    }

    /// Up to which record all that belong to any of them have been applied; none when they have just come to a journal
    /// of which nobody knows where it begins.
    pub(crate) fn cursor(&self) -> Option<Seq> {
        let is_new = |at: &Progress| at.cursor == Seq::ZERO && at.number > Seq::ZERO;
        if self.at().any(is_new) {
            return None;
        }
        Some(self.at().map(|at| at.cursor).min().unwrap_or(Seq::ZERO))
    }

    /// The greatest of their own numbers: those of the next records follow it.
    pub(crate) fn number(&self) -> Seq {
        self.at().map(|at| at.number).max().unwrap_or(Seq::ZERO)
    }

    /// What they come to together. `cursor` is up to where all records have been applied.
    pub(crate) fn together(&self, cursor: Seq) -> Progress {
        Progress {
            cursor,
            number: self.number(),
            closed_through: self.at().map(|at| at.closed_through).min().unwrap_or(Timestamp::MIN),
            events: self.at().map(|at| at.events).sum(),
            dead_letters: self.at().map(|at| at.dead_letters).sum(),
            holds_former_ids: self.at().any(|at| at.holds_former_ids),
        }
    }

    fn at(&self) -> impl Iterator<Item = &Progress> {
        self.held.values().map(|held| &held.at)
    }

    /// What a transaction moves them to: all to the journal's record `cursor`, at least, and the own number `number`.
    pub(crate) fn moved(&self, cursor: Seq, number: Seq) -> BTreeMap<i16, Progress> {
        let moved = |(no, held): (&i16, &Held)| {
            // One that others have written meanwhile may be further.
            (*no, Progress { cursor: cursor.max(held.at.cursor), number, ..held.at })
        };
        self.held.iter().map(moved).collect()
    }

    /// Locks them for a transaction, which begins with this. Those that others have taken are given up, and that is the
    /// error. Returns whether they stand where they are believed to; where they stand is known from then on.
    pub(crate) async fn fence(&mut self, on: &mut PgConnection) -> Result<bool, Failure> {
        let (numbers, epochs) = (self.numbers(), self.epochs());
        let lock = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM buckets WHERE bucket = ANY($1) AND epoch = ANY($2) ORDER BY bucket FOR NO KEY UPDATE"
        ));
        let rows = sqlx::query(lock).bind(&numbers).bind(epochs).fetch_all(on).await?;
        let found = rows.iter().map(read).collect::<Result<BTreeMap<_, _>, _>>()?;
        let (mut lost, mut is_as_known) = (Vec::new(), true);
        self.held.retain(|no, held| match found.get(no).filter(|found| found.epoch == held.epoch) {
            Some(found) => {
                is_as_known &= found.at.cursor == held.at.cursor && found.at.number == held.at.number;
                held.at = found.at;
                true
            }
            None => {
                lost.push(no.to_string());
                false
            }
        });
        if lost.is_empty() && !self.is_empty() {
            return Ok(is_as_known);
        }
        self.is_one_lost = true;
        if lost.is_empty() {
            return Err(lost_because("other processes have taken all buckets".to_owned()));
        }
        let lost = lost.join(", ");
        tracing::error!(buckets = lost, "another process has taken buckets");
        Err(lost_because(format!("another process has taken bucket {lost}")))
    }

    /// Moves them to what a transaction has made of them, which ends with this, and renews the lease. `record` is the
    /// last one that has been applied.
    pub(crate) async fn advance(
        &self,
        on: &mut PgConnection,
        to: &BTreeMap<i16, Progress>,
        record: Uuid,
    ) -> Result<(), Failure> {
        let sql = "UPDATE buckets b SET cursor = k.cursor, record_no = k.number, anchor = $9, events = k.events, \
                   dead_letters = k.dead_letters, holds_former_ids = k.holds_former_ids, \
                   expires_at = clock_timestamp() + $10 * interval '1 millisecond' \
                   FROM unnest($1::int2[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], \
                   $8::bool[]) k(bucket, epoch, before, cursor, number, events, dead_letters, holds_former_ids) \
                   WHERE b.bucket = k.bucket AND b.epoch = k.epoch AND b.cursor = k.before";
        let column = |value: fn(&Progress) -> u64| to.values().map(|at| signed(value(at))).collect::<Vec<_>>();
        let moved = sqlx::query(sql)
            .bind(to.keys().copied().collect::<Vec<_>>())
            .bind(self.epochs())
            .bind(self.at().map(|at| signed(at.cursor.0)).collect::<Vec<_>>())
            .bind(column(|at| at.cursor.0))
            .bind(column(|at| at.number.0))
            .bind(column(|at| at.events))
            .bind(column(|at| at.dead_letters))
            .bind(to.values().map(|at| at.holds_former_ids).collect::<Vec<_>>())
            .bind(record)
            .bind(ms(self.lease))
            .execute(on)
            .await?;
        let (changed, expected) = (moved.rows_affected(), to.len() as u64);
        if changed == expected { Ok(()) } else { Err(miscounted("buckets", changed, expected)) }
    }

    /// Says that a transaction counts.
    pub(crate) fn advanced(&mut self, to: &BTreeMap<i16, Progress>) {
        for (no, at) in to {
            if let Some(held) = self.held.get_mut(no) {
                held.at = *at;
            }
        }
    }

    /// Moves up to when windows are closed, later or, if `back` says so, earlier; in a transaction behind the fence.
    /// Returns where each stands then.
    pub(crate) async fn close(
        &self,
        on: &mut PgConnection,
        to: Timestamp,
        back: bool,
    ) -> Result<BTreeMap<i16, Progress>, Failure> {
        let sql = if back {
            "UPDATE buckets SET closed_through = least(closed_through, $2) WHERE bucket = ANY($1) RETURNING "
        } else {
            "UPDATE buckets SET closed_through = greatest(closed_through, $2) WHERE bucket = ANY($1) RETURNING "
        };
        let sql = sqlx::AssertSqlSafe(format!("{sql}{COLUMNS}"));
        let moved = sqlx::query(sql).bind(self.numbers()).bind(Instant(to)).fetch_all(on).await?;
        let moved = moved.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(moved.into_iter().map(|(no, held)| (no, held.at)).collect())
    }

    /// Keeps them for another lease; in a transaction behind the fence.
    pub(crate) async fn renew(&self, on: &mut PgConnection) -> Result<(), Failure> {
        let sql = "UPDATE buckets SET expires_at = clock_timestamp() + $2 * interval '1 millisecond' \
                   WHERE bucket = ANY($1)";
        sqlx::query(sql).bind(self.numbers()).bind(ms(self.lease)).execute(on).await?;
        Ok(())
    }

    /// Gives them to whoever wants them; in a transaction behind the fence.
    pub(crate) async fn release(&self, on: &mut PgConnection) -> Result<(), Failure> {
        let sql = "UPDATE buckets SET owner = NULL, expires_at = NULL WHERE bucket = ANY($1)";
        sqlx::query(sql).bind(self.numbers()).execute(on).await?;
        Ok(())
    }

    /// Another view of the same, for who renews them.
    pub(crate) fn view(&self) -> Self {
        Self { count: self.count, lease: self.lease, held: self.held.clone(), is_one_lost: self.is_one_lost }
    }

    /// How often they are to be renewed.
    pub(crate) fn renewal(&self) -> Duration {
        self.lease / 3
    }

    fn epochs(&self) -> Vec<i64> {
        self.held.values().map(|held| held.epoch).collect()
    }
}

/// A record cannot be applied because its bucket is another process's.
pub(crate) fn lost_because(reason: String) -> Failure {
    Failure::Refused { kind: ErrorKind::Closed, reason }
}

/// How many there are.
async fn count(on: &mut PgConnection) -> Result<BucketCount, Failure> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM buckets").fetch_one(on).await?;
    let count = u16::try_from(count).ok().and_then(|count| BucketCount::new(count).ok());
    count.ok_or_else(|| Failure::Refused {
        kind: ErrorKind::Corrupt,
        reason: "the ledger has no buckets, or more than there may be".to_owned(),
    })
}

fn format_lock(select: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!("{select} FOR NO KEY UPDATE"))
}

fn read(row: &PgRow) -> Result<(i16, Held), Failure> {
    let Instant(closed_through) = row.try_get(4)?;
    let at = Progress {
        cursor: Seq(unsigned(row.try_get(2)?)),
        number: Seq(unsigned(row.try_get(3)?)),
        closed_through,
        events: unsigned(row.try_get(5)?),
        dead_letters: unsigned(row.try_get(6)?),
        holds_former_ids: row.try_get(7)?,
    };
    Ok((row.try_get(0)?, Held { epoch: row.try_get(1)?, at }))
}

fn ms(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}
