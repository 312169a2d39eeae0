//! Puts the parts together. The only file that names adapters.
//!
//! ```text
//! DATA/LOCK             held by the one process that uses the folder
//! DATA/manifest.sqlite  what counts: segments, rollups, names, cursor
//! DATA/journal/         records that are durable and perhaps not yet in a segment
//! DATA/segments/        events, sums and ids
//! ```

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use domain::limits::Limits;
use domain::tenant::TenantId;
use domain::window::WindowRule;
use journal::{JournalOptions, LocalJournal};
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use live::{LiveOptions, MemoryLive};
use manifest::SqliteStore;
use pipeline::{Metrics, Pipeline, PipelineParts};
use ports::catalog::Catalog;
use ports::clock::Clock;
use ports::journal::{Journal, OrderedJournal};
use ports::ledger::Ledger;
use ports::manifest::{Identity, Manifest};
use vfs::{DiskVfs, Vfs};

use crate::clock::SystemClock;
use crate::lock::FolderLock;

const MANIFEST_FILE: &str = "manifest.sqlite";
const JOURNAL_FOLDER: &str = "journal";
const SEGMENTS_FOLDER: &str = "segments";

/// How the parts are set up.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineOptions {
    pub(crate) ledger: LedgerOptions,
    pub(crate) journal: JournalOptions,
    pub(crate) live: LiveOptions,
}

/// An open data folder.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) journal: Arc<LocalJournal>,
    pub(crate) ledger: Arc<EmbeddedLedger>,
    clock: Arc<dyn Clock>,
    store: Arc<SqliteStore>,
    live: LiveOptions,
    _lock: FolderLock,
}

impl Engine {
    /// Opens `data`, creating what is not there yet.
    pub(crate) async fn open(data: &Path, options: EngineOptions) -> anyhow::Result<Self> {
        Folder::open(data).await?.engine(options).await
    }

    /// Opens `data` as it was made, for a command that only reads.
    pub(crate) async fn open_existing(data: &Path) -> anyhow::Result<Self> {
        if !data.join(MANIFEST_FILE).is_file() {
            bail!("{} is no data folder: it holds no {MANIFEST_FILE}", data.display());
        }
        let folder = Folder::open(data).await?;
        let seed = Identity { key: rand::random(), rule: WindowRule::default() };
        let rule = folder.store.load(&seed).await?.identity.rule;
        folder
            .engine(EngineOptions { ledger: LedgerOptions { rule, ..LedgerOptions::default() }, ..Default::default() })
            .await
    }

    /// Opens `data` to write into it, with the windows it was made with; a new folder is made as
    /// `options` say.
    pub(crate) async fn open_to_load(data: &Path, options: EngineOptions) -> anyhow::Result<Self> {
        let folder = Folder::open(data).await?;
        let seed = Identity { key: rand::random(), rule: options.ledger.rule };
        let rule = folder.store.load(&seed).await?.identity.rule;
        folder.engine(EngineOptions { ledger: LedgerOptions { rule, ..options.ledger }, ..options }).await
    }

    /// Records the tenants that may come.
    pub(crate) async fn ensure_tenants(&self, tenants: &[TenantId]) -> anyhow::Result<()> {
        Ok(self.store.ensure_tenants(tenants, self.clock.now()).await?)
    }

    /// Starts everything that runs.
    pub(crate) async fn start(
        &self,
        limits: Limits,
        rule: WindowRule,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Arc<Pipeline>> {
        let parts = PipelineParts {
            journal: self.journal.clone(),
            ledger: self.ledger.clone(),
            reports: self.ledger.clone(),
            active_users: self.ledger.clone(),
            analytics: self.ledger.clone(),
            queries: self.ledger.clone(),
            live: Arc::new(MemoryLive::with(self.live.clone())),
            references: self.store.clone(),
            catalog: self.store.clone(),
            settings: self.store.settings().await?,
            clock: Arc::clone(&self.clock),
            limits,
            rule,
            key: self.ledger.identity().key,
        };
        Ok(Pipeline::start(parts, metrics))
    }

    /// Closes the folder, tidily; a crash instead of this loses nothing.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let Self { journal, ledger, store, .. } = self;
        drop((journal, ledger));
        Ok(store.close().await?)
    }

    /// Applies what the journal still holds, so that a command sees everything that is durable.
    pub(crate) async fn catch_up(&self) -> anyhow::Result<()> {
        while self.ledger.applied() < self.journal.last_durable() {
            let entries = self.journal.next().await?;
            let batch = self.ledger.apply(&entries).await;
            if let Some(why) = batch.failed {
                return Err(why).context("failed to apply the journal; start the server once to see to it");
            }
        }
        Ok(())
    }
}

/// A data folder that this process holds.
#[derive(Debug)]
struct Folder<'d> {
    data: &'d Path,
    lock: FolderLock,
    vfs: Arc<dyn Vfs>,
    store: Arc<SqliteStore>,
}

impl<'d> Folder<'d> {
    async fn open(data: &'d Path) -> anyhow::Result<Self> {
        let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
        vfs.create_dir_all(data).with_context(|| format!("failed to create the data folder {}", data.display()))?;
        let lock = FolderLock::acquire(data)?;
        let store = Arc::new(SqliteStore::open(&data.join(MANIFEST_FILE)).await?);
        Ok(Self { data, lock, vfs, store })
    }

    async fn engine(self, options: EngineOptions) -> anyhow::Result<Engine> {
        let Self { data, lock, vfs, store } = self;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger = LedgerOptions { seed_key: rand::random(), ..options.ledger };
        let cursor = store.load(&Identity { key: ledger.seed_key, rule: ledger.rule }).await?.cursor;
        // The journal first: when the manifest was lost or is older than the journal, it refuses here,
        // before the ledger deletes segment files that such a manifest does not know.
        let journal = LocalJournal::open(Arc::clone(&vfs), data.join(JOURNAL_FOLDER), cursor, options.journal)?;
        let ledger =
            EmbeddedLedger::open(vfs, data.join(SEGMENTS_FOLDER), store.clone(), Arc::clone(&clock), ledger).await?;
        Ok(Engine { journal: Arc::new(journal), ledger, clock, store, live: options.live, _lock: lock })
    }
}
