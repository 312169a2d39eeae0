//! What stands behind the ports: two SQLite files and segments in the data folder, or a database. All that differs
//! between the two after they are open.

use std::sync::Arc;

use ledger_embedded::EmbeddedLedger;
use pipeline::{FairLimiter, ReadPorts};
use ports::active_users::ActiveUsers;
use ports::analytics::Analytics;
use ports::catalog::Catalog;
use ports::ledger::Ledger;
use ports::queries::Queries;
use ports::receipts::Receipts;
use ports::references::References;
use ports::reports::Reports;

use super::stores::Stores;

/// What every ledger answers.
pub(crate) trait LedgerPorts: Ledger + Reports + Analytics + ActiveUsers + Queries {}

impl<L: Ledger + Reports + Analytics + ActiveUsers + Queries> LedgerPorts for L {}

/// What every catalog keeps.
pub(crate) trait CatalogPorts: Catalog + References + access::Store {}

impl<C: Catalog + References + access::Store> CatalogPorts for C {}

/// Where everything but the journal is kept.
#[derive(Debug)]
pub(super) enum Backend {
    /// In the data folder.
    Folder {
        /// The segments, and what counts of them.
        ledger: Arc<EmbeddedLedger>,
        /// The files.
        stores: Stores,
    },
    /// In PostgreSQL.
    #[cfg(feature = "cluster")]
    Shared(super::shared::Shared),
}

impl Backend {
    /// What requests read, behind `limiter`.
    pub(super) fn reads(&self, limiter: &FairLimiter) -> ReadPorts {
        match self {
            Self::Folder { ledger, .. } => ReadPorts::of(ledger, limiter),
            #[cfg(feature = "cluster")]
            Self::Shared(shared) => ReadPorts::of(&shared.ledger, limiter),
        }
    }

    /// The ledger in the folder.
    pub(super) fn embedded(&self) -> anyhow::Result<&EmbeddedLedger> {
        match self {
            Self::Folder { ledger, .. } => Ok(ledger),
            #[cfg(feature = "cluster")]
            Self::Shared(_) => anyhow::bail!("the events are in PostgreSQL, and not in the data folder"),
        }
    }

    /// The catalog in the folder.
    #[cfg(feature = "cluster")]
    pub(super) fn folder_catalog(&self) -> anyhow::Result<&catalog::SqliteCatalog> {
        match self {
            Self::Folder { stores, .. } => Ok(&stores.catalog),
            Self::Shared(_) => anyhow::bail!("the catalog is in PostgreSQL, and not in the data folder"),
        }
    }

    /// Who tells what became of records that other processes may have applied.
    pub(super) fn fates(&self) -> Option<Arc<dyn Receipts>> {
        match self {
            Self::Folder { .. } => None,
            #[cfg(feature = "cluster")]
            Self::Shared(shared) => Some(shared.ledger.clone()),
        }
    }

    /// Closes it, tidily. Nothing else may hold the ledger any more.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Folder { ledger, stores } => {
                drop(ledger);
                stores.close().await
            }
            #[cfg(feature = "cluster")]
            Self::Shared(shared) => shared.close().await,
        }
    }
}
