//! The ledger in PostgreSQL, with a connection of its owner beside it.

use std::sync::Arc;
use std::time::Duration;

use bench::{Asked, DatabaseUrls, SharedLedger, TableBytes};
use clock::Stopwatch;
use ledger_postgres::{BareRows, PostgresLedger, PostgresLedgerOptions, Probe, fill_ids, migrate};
use ports::journal::Delivery;
use ports::ledger::{Applied, Ledger};

/// An open ledger.
#[derive(Debug)]
pub(crate) struct Shared {
    ledger: Arc<PostgresLedger>,
    probe: Probe,
}

impl Shared {
    /// Brings the schema up to date, makes so many ids that no event has, and opens the ledger.
    pub(crate) async fn open(urls: &DatabaseUrls, ids: u64) -> anyhow::Result<Self> {
        migrate(&urls.owner, &::postgres::Logins::default()).await?;
        fill_ids(&urls.worker, ids).await?;
        let options = PostgresLedgerOptions { seed_key: rand::random(), ..PostgresLedgerOptions::default() };
        let ledger = PostgresLedger::open(&urls.app, &urls.worker, &options).await?;
        Ok(Self { ledger, probe: Probe::open(&urls.owner).await? })
    }
}

impl SharedLedger for Shared {
    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.ledger) as Arc<dyn Ledger>
    }

    async fn copy_bare(&mut self, records: &[Delivery], applied: &[Applied]) -> anyhow::Result<(Duration, u64)> {
        let rows = BareRows::of(records, applied)?;
        let since = Stopwatch::start();
        let copied = self.probe.copy(rows).await?;
        Ok((since.elapsed(), copied))
    }

    async fn ask(&mut self, what: Asked) -> anyhow::Result<u64> {
        Ok(match what {
            Asked::LogBytes => self.probe.log_bytes().await?,
            Asked::Locks => self.probe.locks().await?,
            Asked::Connections => self.probe.connections().await?,
        })
    }

    async fn vacuum(&mut self) -> anyhow::Result<()> {
        Ok(self.probe.vacuum().await?)
    }

    async fn sizes(&mut self) -> anyhow::Result<Vec<TableBytes>> {
        let sizes = self.probe.sizes().await?.into_iter();
        let size = |size: ledger_postgres::TableSize| TableBytes {
            name: size.name,
            rows_bytes: size.rows_bytes,
            indexes_bytes: size.indexes_bytes,
        };
        Ok(sizes.map(size).collect())
    }

    async fn close(self) -> anyhow::Result<()> {
        self.ledger.close().await?;
        Ok(self.probe.close().await?)
    }
}
