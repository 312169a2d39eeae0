//! One step: a transaction behind the fence of the buckets, in which nothing else of them happens.

use domain::dedup::TenantIdHasher;
use ports::ErrorKind;
use ports::erasures::StoredErasure;
use postgres::Failure;
use sqlx::postgres::PgConnection;
use tokio::sync::MutexGuard;

use super::Erasing;
use crate::apply::Writer;
use crate::ledger::PostgresLedger;
use crate::state::KnownTenant;
use crate::stored_erasures::note_unscrubbed;
use crate::transaction::OwnTransaction;

/// A step. Dropped, it never happened, and what the writer keeps in memory is read anew.
pub(super) struct Step<'l> {
    ledger: &'l PostgresLedger,
    pub(super) writer: MutexGuard<'l, Writer>,
    transaction: OwnTransaction,
}

impl<'l> Step<'l> {
    pub(super) async fn begin(ledger: &'l PostgresLedger) -> Result<Self, Failure> {
        let writer = ledger.writer.lock().await;
        Self::begin_with(ledger, writer).await
    }

    pub(super) async fn begin_with(
        ledger: &'l PostgresLedger,
        mut writer: MutexGuard<'l, Writer>,
    ) -> Result<Self, Failure> {
        writer.settle(&ledger.worker, &ledger.state).await?;
        writer.unsettle();
        let mut transaction = OwnTransaction::begin(&ledger.worker).await?;
        writer.enter(transaction.on()).await?;
        Ok(Self { ledger, writer, transaction })
    }

    /// Hashes the names and ids of the erasure's tenant.
    pub(super) fn hasher(&self, erasing: &Erasing) -> Result<TenantIdHasher, Failure> {
        let tenant = &erasing.stored.tenant;
        let known = self.ledger.state.read().tenants.get(tenant).map(|known| known.hasher.clone());
        known.ok_or_else(|| Failure::Refused {
            kind: ErrorKind::Unavailable,
            reason: format!("the secret of tenant {tenant} is not known"),
        })
    }

    pub(super) fn on(&mut self) -> &mut PgConnection {
        self.transaction.on()
    }

    /// The transaction and the writer.
    pub(super) fn parts(&mut self) -> (&mut PgConnection, &mut Writer) {
        (self.transaction.on(), &mut self.writer)
    }

    /// Notes in which tables rows have gone.
    pub(super) async fn note_touched(&mut self, tables: &[&str]) -> Result<(), Failure> {
        let tables: Vec<_> = tables.iter().map(|table| (*table).to_owned()).collect();
        note_unscrubbed(self.on(), &tables).await
    }

    /// Ends a step that has changed nothing.
    pub(super) async fn end(mut self) -> Result<(), Failure> {
        self.transaction.end().await?;
        self.writer.settled(&self.ledger.state);
        Ok(())
    }

    /// Makes a step count that changes nothing of what the writer keeps in memory, and the erasure as it is then known.
    pub(super) async fn commit(mut self, changed: (StoredErasure, KnownTenant)) -> Result<(), Failure> {
        fail::fail_point!("ledger_postgres::before_step");
        self.transaction.commit().await?;
        fail::fail_point!("ledger_postgres::after_step");
        self.writer.settled(&self.ledger.state);
        self.ledger.state.write().follow_erasures(vec![changed]);
        Ok(())
    }

    /// Makes a step count that changes names, users or tenants: all that is kept in memory is read anew.
    pub(super) async fn commit_and_forget(mut self) -> Result<(), Failure> {
        fail::fail_point!("ledger_postgres::before_step");
        self.transaction.commit().await?;
        fail::fail_point!("ledger_postgres::after_step");
        self.writer.settle(&self.ledger.worker, &self.ledger.state).await
    }
}
