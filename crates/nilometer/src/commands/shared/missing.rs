//! In place of the ledger in PostgreSQL in a build that has none: says so. There never is one.

use std::sync::Arc;
use std::time::Duration;

use bench::{Asked, DatabaseUrls, SharedLedger, TableBytes};
use ports::journal::Delivery;
use ports::ledger::{Applied, Ledger};

/// No ledger.
#[derive(Debug)]
pub(crate) enum Shared {}

impl Shared {
    /// Says what this program was built without.
    pub(crate) async fn open(_: &DatabaseUrls, _: u64) -> anyhow::Result<Self> {
        anyhow::bail!("PostgreSQL is not part of this build: build it with `--features cluster`")
    }
}

impl SharedLedger for Shared {
    fn ledger(&self) -> Arc<dyn Ledger> {
        match *self {}
    }

    async fn copy_bare(&mut self, _: &[Delivery], _: &[Applied]) -> anyhow::Result<(Duration, u64)> {
        match *self {}
    }

    async fn ask(&mut self, _: Asked) -> anyhow::Result<u64> {
        match *self {}
    }

    async fn vacuum(&mut self) -> anyhow::Result<()> {
        match *self {}
    }

    async fn sizes(&mut self) -> anyhow::Result<Vec<TableBytes>> {
        match *self {}
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {}
    }
}
