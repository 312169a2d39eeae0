//! How often a record was tried alone, kept in the database so that it is known whatever ends the process. It is raised
//! before the record is tried, in a transaction of its own: so a record that ends the process is given up as well as one
//! that fails for its own sake. A failure for any other reason is no attempt: the record is tried again under the same
//! one.

use domain::limits::{LEDGER_ATTEMPTS_READ_MAX, LEDGER_BATCH_RECORDS_MAX};
use domain::position::RecordId;
use hashbrown::HashSet;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};

use crate::batch::Record;
use crate::bucket::{Buckets, lost_because};
use crate::rows::uuid;
use crate::types::Uuid;

/// What is known of attempts.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// So many of the next records are tried alone: one of them has made a batch fail, or may have ended the process that
    /// had the buckets before.
    pub(crate) suspects: usize,
    /// The records that the database has attempts of.
    noted: HashSet<RecordId>,
    /// The record that is being tried, its bucket, and how often it was tried with this time.
    under_way: Option<(RecordId, i16, i16)>,
}

impl Attempts {
    /// Reads those of the records of these buckets. `was_left` says that their last owner may have ended in the middle of
    /// a batch.
    pub(crate) async fn load(on: &mut PgConnection, buckets: &Buckets, was_left: bool) -> Result<Self, Failure> {
        let sql = "SELECT record_id FROM attempts WHERE bucket = ANY($1) LIMIT $2";
        let rows = sqlx::query(sql).bind(buckets.numbers()).bind(LEDGER_ATTEMPTS_READ_MAX).fetch_all(on).await?;
        let id = |row: &sqlx::postgres::PgRow| Ok(RecordId::from_bits(row.try_get::<Uuid, _>(0)?.0));
        let noted = rows.iter().map(id).collect::<Result<_, sqlx::Error>>()?;
        let suspects = if was_left { LEDGER_BATCH_RECORDS_MAX } else { 0 };
        Ok(Self { suspects, noted, under_way: None })
    }

    /// Whether the database has attempts of this record.
    pub(crate) fn has(&self, id: RecordId) -> bool {
        self.noted.contains(&id)
    }

    /// Whether these records are one that is to be tried alone.
    pub(crate) fn are_suspect(&self, records: &[Record<'_>]) -> bool {
        matches!(records, [one] if self.suspects > 0 || self.has(one.id))
    }

    /// Raises the attempts of a record, unless one is under way. Returns how many there are.
    pub(crate) async fn raise(
        &mut self,
        pool: &PgPool,
        buckets: &Buckets,
        bucket: i16,
        id: RecordId,
    ) -> Result<i16, Failure> {
        if let Some((_, _, tries)) = self.under_way.filter(|(under_way, ..)| *under_way == id) {
            return Ok(tries);
        }
        // Also when this future is dropped.
        self.noted.insert(id);
        let sql = "INSERT INTO attempts (record_id, bucket, tries) SELECT $1, bucket, 1 FROM buckets \
                   WHERE bucket = $2 AND epoch = $3 \
                   ON CONFLICT (bucket, record_id) DO UPDATE SET tries = least(attempts.tries + 1, 1000) RETURNING tries";
        let raise = sqlx::query(sql).bind(uuid(id)).bind(bucket).bind(buckets.epoch_of(bucket));
        let raised = raise.fetch_optional(&mut *pool.acquire().await?).await?;
        let raised = raised.ok_or_else(|| lost_because(format!("another process has taken bucket {bucket}")))?;
        let tries = raised.try_get(0)?;
        self.under_way = Some((id, bucket, tries));
        Ok(tries)
    }

    /// Takes back the attempt that is under way, which has ended for another reason than the record. As far as that can be
    /// done: more than enough of them are needed to give a record up.
    pub(crate) async fn take_back(&mut self, pool: &PgPool) {
        let Some((id, bucket, _)) = self.under_way.take() else { return };
        let sql = "UPDATE attempts SET tries = tries - 1 WHERE bucket = $1 AND record_id = $2 AND tries > 0";
        let taken = async { sqlx::query(sql).bind(bucket).bind(uuid(id)).execute(&mut *pool.acquire().await?).await };
        if let Err(error) = taken.await {
            tracing::warn!(%error, "an attempt of a record counts though the record has not failed");
        }
    }

    /// Says that the attempt that is under way has failed for the record's own sake.
    pub(crate) fn failed(&mut self) {
        self.under_way = None;
    }

    /// Says that records are done with.
    pub(crate) fn forget(&mut self, records: &[Record<'_>]) {
        records.iter().for_each(|record| self.forget_one(record.id));
    }

    /// Says that a record is done with.
    pub(crate) fn forget_one(&mut self, id: RecordId) {
        self.suspects = self.suspects.saturating_sub(1);
        self.noted.remove(&id);
        self.under_way = self.under_way.filter(|(under_way, ..)| *under_way != id);
    }

    /// Removes from the database what is noted of records that a transaction passes: each with its bucket.
    pub(crate) async fn delete(
        &self,
        on: &mut PgConnection,
        records: impl Iterator<Item = (i16, RecordId)>,
    ) -> Result<(), Failure> {
        for (bucket, id) in records.filter(|(_, id)| self.has(*id)) {
            let sql = "DELETE FROM attempts WHERE bucket = $1 AND record_id = $2";
            sqlx::query(sql).bind(bucket).bind(uuid(id)).execute(&mut *on).await?;
        }
        Ok(())
    }
}

/// Whether a failure is for the sake of what was to be written: data that no column takes or a limit of the server that
/// it exceeds. Not a lost connection, a timeout, a deadlock, another writer, a right that is missing, or a full disk.
pub(crate) fn is_of_the_record(failure: &Failure) -> bool {
    if matches!(failure, Failure::Client(sqlx::Error::Encode(_))) {
        return true;
    }
    let code = failure.code().unwrap_or_default();
    let class = code.get(..2).unwrap_or_default();
    // A value that is missing or is none that a column may have.
    matches!(class, "22" | "54") || matches!(code.as_str(), "23502" | "23514")
}
