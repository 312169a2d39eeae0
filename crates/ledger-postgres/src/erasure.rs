//! Erasing what was counted of a user, a customer or a tenant. A request locks the buckets and notes the erasure with the
//! last record in them. What it covers then goes in steps of some thousand rows, each a transaction behind the buckets'
//! fence that takes raw events away and leaves their sums as residuals: before and after each step all sums of the tenant
//! are the same. What is begun goes on after a crash: what is gone is not found again. The name of the subject is the
//! last to go, when it is confirmed that nobody else has to go by it. An erasure is finished when the owner's login has
//! written anew the tables whose files may hold its texts (see [`crate::maintain`]).

mod requests;
mod step;
mod gone;
mod user;
mod customer;
mod tenant;
mod leftovers;

use domain::erasure::SubjectKind;
use ports::PortError;
use ports::erasures::{ErasureStage, StoredErasure};
use postgres::Failure;
use sqlx::Row as _;

use crate::ledger::PostgresLedger;
use crate::stored_erasures::{load_erasures, load_remains, note_unscrubbed};
use crate::transaction::OwnTransaction;

const WHAT: &str = "erase in PostgreSQL";

/// An erasure that is being made.
#[derive(Debug)]
struct Erasing {
    stored: StoredErasure,
    tenant_no: i32,
    /// The number that the erased user had.
    user_no: Option<i32>,
}

impl Erasing {
    fn subject(&self) -> &str {
        self.stored.subject.as_deref().unwrap_or_default()
    }
}

impl PostgresLedger {
    /// Makes the erasures that were asked for, as far as there is nobody to wait for.
    pub(crate) async fn erase_due(&self) -> Result<(), PortError> {
        if !self.state.read().erasures.is_due() {
            return Ok(());
        }
        // A recount of days must not see half of what goes.
        let _alone = self.recounting.lock().await;
        // One after the other: what is left of the events of one may be of the next one's subject.
        let asked = self.state.read().erasures.at(ErasureStage::Removing);
        let held = self.writer.lock().await.buckets.numbers();
        // Whoever has a tenant's bucket removes its rows.
        let is_mine = |stored: &StoredErasure| held.contains(&self.count.bucket_of(&stored.tenant).cast_signed());
        for stored in asked.into_iter().filter(is_mine) {
            let id = stored.erasure.id.clone();
            self.told(self.remove(stored).await, WHAT)?;
            self.state.write().erasures.note_removed(std::iter::once(id));
        }
        let confirmed = self.state.read().erasures.at(ErasureStage::Confirmed);
        if confirmed.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = confirmed.into_iter().map(|stored| stored.erasure.id).collect();
        self.told(self.finish(&ids).await, WHAT)
    }

    async fn remove(&self, stored: StoredErasure) -> Result<(), Failure> {
        let sql = "SELECT tenant_no, user_no FROM erasures WHERE id = $1";
        let mut connection = self.worker.acquire().await?;
        let row = sqlx::query(sql).bind(&stored.erasure.id).fetch_one(&mut *connection).await?;
        drop(connection);
        let erasing = Erasing { stored, tenant_no: row.try_get(0)?, user_no: row.try_get(1)? };
        match erasing.stored.erasure.kind {
            SubjectKind::User => self.remove_user(&erasing).await?,
            SubjectKind::Customer => self.remove_customer(&erasing).await?,
            SubjectKind::Workspace => self.remove_tenant(&erasing).await?,
        }
        self.remove_leftovers(&erasing).await
    }

    /// Forgets the names of subjects, and marks what is finished: what was nameless when the owner began to write tables
    /// anew.
    async fn finish(&self, ids: &[String]) -> Result<(), Failure> {
        let mut transaction = OwnTransaction::begin(&self.worker).await?;
        let forget = "UPDATE erasures SET subject = NULL, nameless_at = clock_timestamp() \
                      WHERE id = ANY($1) AND subject IS NOT NULL";
        let forgotten = sqlx::query(forget).bind(ids).execute(transaction.on()).await?.rows_affected();
        if forgotten > 0 {
            note_unscrubbed(transaction.on(), &["erasures".to_owned()]).await?;
        }
        transaction.commit().await?;
        let mut connection = self.worker.acquire().await?;
        let mark = "UPDATE erasures SET finished_at = clock_timestamp() \
                    WHERE id = ANY($1) AND finished_at IS NULL AND nameless_at < (SELECT begun_at FROM scrub)";
        let finished = sqlx::query(mark).bind(ids).execute(&mut *connection).await?.rows_affected();
        let stored = load_erasures(&mut connection).await?;
        let remains = load_remains(&mut connection).await?;
        drop(connection);
        if finished > 0 {
            for (StoredErasure { tenant, erasure, .. }, _) in stored
                .iter()
                .filter(|(stored, _)| ids.contains(&stored.erasure.id) && stored.erasure.finished_at.is_some())
            {
                tracing::warn!(
                    %tenant, erasure = %erasure.id, kind = erasure.kind.as_str(), events = erasure.gone.events,
                    users = erasure.gone.users, dead_letters = erasure.gone.dead_letters, "an erasure is done"
                );
            }
        }
        let mut state = self.state.write();
        state.follow_erasures(stored);
        state.remains = remains;
        Ok(())
    }
}
