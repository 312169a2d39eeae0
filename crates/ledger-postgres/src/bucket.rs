//! The row of a bucket: who may write it, and how far it has come. Its epoch is the fence of every transaction. Only the
//! server's clock counts.

use std::time::Duration;

use domain::position::Seq;
use domain::time::Timestamp;
use ports::ErrorKind;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::copy::miscounted;
use crate::types::{Instant, Uuid, signed, unsigned};

/// A bucket that this process has taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    pub(crate) no: i16,
    epoch: i64,
    lease: Duration,
}

/// How far a bucket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) cursor: Seq,
    pub(crate) closed_through: Timestamp,
    pub(crate) events: u64,
    pub(crate) dead_letters: u64,
    pub(crate) holds_former_ids: bool,
}

impl Bucket {
    /// Takes a bucket for so long, if nobody has it.
    pub(crate) async fn take(
        on: &mut PgConnection,
        no: i16,
        node: Uuid,
        lease: Duration,
    ) -> Result<Option<(Self, Progress)>, Failure> {
        let sql = "UPDATE buckets SET epoch = epoch + 1, owner = $2, \
                   expires_at = clock_timestamp() + $3 * interval '1 millisecond' \
                   WHERE bucket = $1 AND (owner IS NULL OR expires_at < clock_timestamp()) \
                   RETURNING cursor, closed_through, events, dead_letters, holds_former_ids, epoch";
        let taken = sqlx::query(sql).bind(no).bind(node).bind(ms(lease)).fetch_optional(on).await?;
        let Some(row) = taken else { return Ok(None) };
        Ok(Some((Self { no, epoch: row.try_get(5)?, lease }, read(&row)?)))
    }

    /// Locks the bucket for a transaction, which begins with this.
    pub(crate) async fn fence(&self, on: &mut PgConnection) -> Result<Progress, Failure> {
        const FENCE: &str = "SELECT cursor, closed_through, events, dead_letters, holds_former_ids FROM buckets \
                             WHERE bucket = $1 AND epoch = $2 FOR NO KEY UPDATE";
        let row = sqlx::query(FENCE).bind(self.no).bind(self.epoch).fetch_optional(on).await?;
        read(&row.ok_or_else(|| self.lost())?)
    }

    /// Moves the bucket from `from` to what a transaction has made of it, which ends with this, and renews the lease.
    pub(crate) async fn advance(
        &self,
        on: &mut PgConnection,
        from: Seq,
        to: &Progress,
        record: Uuid,
    ) -> Result<(), Failure> {
        let sql = "UPDATE buckets SET cursor = $4, record_no = $4, anchor = $5, events = $6, dead_letters = $7, \
                   holds_former_ids = $8, expires_at = clock_timestamp() + $9 * interval '1 millisecond' \
                   WHERE bucket = $1 AND epoch = $2 AND cursor = $3";
        let moved = sqlx::query(sql)
            .bind(self.no)
            .bind(self.epoch)
            .bind(signed(from.0))
            .bind(signed(to.cursor.0))
            .bind(record)
            .bind(signed(to.events))
            .bind(signed(to.dead_letters))
            .bind(to.holds_former_ids)
            .bind(ms(self.lease))
            .execute(on)
            .await?;
        if moved.rows_affected() == 1 { Ok(()) } else { Err(miscounted("buckets", moved.rows_affected(), 1)) }
    }

    /// Moves up to when windows are closed, later or, if `back` says so, earlier. Returns where it stands then.
    pub(crate) async fn close(&self, on: &mut PgConnection, to: Timestamp, back: bool) -> Result<Timestamp, Failure> {
        let sql = if back {
            "UPDATE buckets SET closed_through = least(closed_through, $3) WHERE bucket = $1 AND epoch = $2 \
             RETURNING closed_through"
        } else {
            "UPDATE buckets SET closed_through = greatest(closed_through, $3) WHERE bucket = $1 AND epoch = $2 \
             RETURNING closed_through"
        };
        let moved = sqlx::query(sql).bind(self.no).bind(self.epoch).bind(Instant(to)).fetch_optional(on).await?;
        let Instant(closed_through) = moved.ok_or_else(|| self.lost())?.try_get(0)?;
        Ok(closed_through)
    }

    /// Keeps the bucket for another lease.
    pub(crate) async fn renew(&self, on: &mut PgConnection) -> Result<(), Failure> {
        let sql = "UPDATE buckets SET expires_at = clock_timestamp() + $3 * interval '1 millisecond' \
                   WHERE bucket = $1 AND epoch = $2";
        let renewed = sqlx::query(sql).bind(self.no).bind(self.epoch).bind(ms(self.lease)).execute(on).await?;
        if renewed.rows_affected() == 1 { Ok(()) } else { Err(self.lost()) }
    }

    /// Gives the bucket to whoever wants it.
    pub(crate) async fn release(&self, on: &mut PgConnection) -> Result<(), Failure> {
        let sql = "UPDATE buckets SET owner = NULL, expires_at = NULL WHERE bucket = $1 AND epoch = $2";
        sqlx::query(sql).bind(self.no).bind(self.epoch).execute(on).await?;
        Ok(())
    }

    /// How often it is to be renewed.
    pub(crate) fn renewal(&self) -> Duration {
        self.lease / 3
    }

    fn lost(&self) -> Failure {
        let reason = format!("another process has taken bucket {}", self.no);
        Failure::Refused { kind: ErrorKind::Closed, reason }
    }
}

fn read(row: &PgRow) -> Result<Progress, Failure> {
    let Instant(closed_through) = row.try_get(1)?;
    Ok(Progress {
        cursor: Seq(unsigned(row.try_get(0)?)),
        closed_through,
        events: unsigned(row.try_get(2)?),
        dead_letters: unsigned(row.try_get(3)?),
        holds_former_ids: row.try_get(4)?,
    })
}

fn ms(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}
