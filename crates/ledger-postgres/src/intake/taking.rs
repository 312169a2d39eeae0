//! A move as it goes on: stage by stage, and in each transaction a part of one.

use domain::tenant::TenantId;
use domain::time::Timestamp;
use hashbrown::HashMap;
use ports::moving::{MoveStage, MovedLedger};
use ports::{ErrorKind, PortError};
use postgres::Failure;
use sqlx::postgres::PgPool;
use tokio::task::JoinHandle;

use super::hold::Hold;
use crate::transaction::OwnTransaction;
use crate::types::{Uuid, signed};

/// Rows of one `COPY`.
pub(super) const ROWS_AT_ONCE: usize = 10_000;

/// How a tenant's rows are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakenTenant {
    pub(super) no: i32,
    pub(super) bucket: i16,
}

/// A move into this ledger.
#[derive(Debug)]
pub struct Intake {
    pub(super) pool: PgPool,
    pub(super) hold: Hold,
    pub(super) folder: Uuid,
    pub(super) ledger: MovedLedger,
    /// What is added to the numbers of records: these are the bucket's own here.
    pub(super) shift: u64,
    pub(super) closed_through: Timestamp,
    pub(super) tenants: HashMap<TenantId, TakenTenant>,
    /// Who may have lost raw events: entries of ids whose tenant nobody can tell are theirs.
    pub(super) losers: Vec<TakenTenant>,
    pub(super) stage: MoveStage,
    pub(super) taken: u64,
    pub(super) renewing: JoinHandle<()>,
}

impl Intake {
    /// What is to be taken in next.
    pub fn stage(&self) -> MoveStage {
        self.stage
    }

    /// How much of the stage is taken in: what was handed over in it and counts.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Up to when windows are closed here.
    pub fn closed_through(&self) -> Timestamp {
        self.closed_through
    }

    /// Ends a stage: the next one begins.
    ///
    /// # Errors
    /// When the server cannot be reached; whether it has ended is unknown then.
    pub async fn finish(&mut self, stage: MoveStage) -> Result<(), PortError> {
        let Some(next) = MoveStage::of_code(stage.code().saturating_add(1)) else { return Ok(()) };
        let finished = async {
            let mut transaction = self.begin(stage).await?;
            let sql = "UPDATE moves SET stage = $4, taken = 0, changed_at = clock_timestamp() \
                       WHERE folder = $1 AND stage = $2 AND taken = $3";
            let (from, to) = (i16::from(stage.code()), i16::from(next.code()));
            let moved = sqlx::query(sql).bind(self.folder).bind(from).bind(signed(self.taken)).bind(to);
            one_row(moved.execute(transaction.on()).await?.rows_affected())?;
            transaction.commit().await
        };
        finished.await.map_err(|failure: Failure| failure.during(format!("end the move of {}", stage.name())))?;
        (self.stage, self.taken) = (next, 0);
        Ok(())
    }

    /// Gives the buckets to others and closes all connections.
    ///
    /// # Errors
    /// When they cannot be given away: others get it when the lease has ended.
    pub async fn close(self) -> Result<(), PortError> {
        self.renewing.abort();
        let released = async { self.hold.release(&mut *self.pool.acquire().await?).await };
        let released = released.await;
        self.pool.close().await;
        released.map_err(|failure: Failure| failure.during("close the ledger in PostgreSQL"))
    }

    /// Begins to take in something of a stage.
    pub(super) async fn begin(&self, stage: MoveStage) -> Result<OwnTransaction, Failure> {
        if stage != self.stage {
            let reason = format!("{} are to be moved now, not {}", self.stage.name(), stage.name());
            return Err(Failure::Refused { kind: ErrorKind::Conflict, reason });
        }
        let mut transaction = OwnTransaction::begin(&self.pool).await?;
        self.hold.renew(transaction.on()).await?;
        Ok(transaction)
    }

    /// Makes it count, as so much of the stage.
    pub(super) async fn end(&mut self, mut transaction: OwnTransaction, count: u64) -> Result<(), Failure> {
        let sql = "UPDATE moves SET taken = taken + $4, changed_at = clock_timestamp() \
                   WHERE folder = $1 AND stage = $2 AND taken = $3";
        let moved = sqlx::query(sql).bind(self.folder).bind(i16::from(self.stage.code())).bind(signed(self.taken));
        one_row(moved.bind(signed(count)).execute(transaction.on()).await?.rows_affected())?;
        before_commit()?;
        transaction.commit().await?;
        self.taken += count;
        Ok(())
    }

    pub(super) fn of(&self, tenant: &TenantId) -> Result<TakenTenant, Failure> {
        let unknown = || Failure::Refused {
            kind: ErrorKind::Corrupt,
            reason: format!("tenant {tenant} was not named when the move began"),
        };
        self.tenants.get(tenant).copied().ok_or_else(unknown)
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

/// Another process goes on with the same move.
fn one_row(changed: u64) -> Result<(), Failure> {
    if changed == 1 {
        return Ok(());
    }
    let reason = "another process goes on with this move".to_owned();
    Err(Failure::Refused { kind: ErrorKind::Conflict, reason })
}

/// Where tests stop or fail a part of a move of which nothing counts yet.
fn before_commit() -> Result<(), Failure> {
    fail::fail_point!("ledger_postgres::before_move", |_| {
        Err(Failure::Refused { kind: ErrorKind::Unavailable, reason: "injected before the commit".to_owned() })
    });
    Ok(())
}
