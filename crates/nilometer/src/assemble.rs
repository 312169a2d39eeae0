//! Puts the parts together. Adapters are named here and in the modules below, and nowhere else.

mod backend;
mod postgres_config;
mod stores;
#[cfg(feature = "cluster")]
mod shared;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use domain::access::audit::Cause;
use domain::limits::Limits;
use domain::tenant::TenantId;
use domain::window::WindowRule;
use journal::{JournalOptions, LocalJournal};
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use live::{LiveOptions, MemoryLive};
use pipeline::{
    FairLimiter, IngestRole, LiveRole, Metrics, Pipeline, PipelineParts, ReadPorts, Settings, TrustedClock, WorkerRole,
};
use ports::catalog::{Catalog, TenantSettings};
use ports::clock::Clock;
use ports::encryption::Encryption;
use ports::erasures::Erasures;
use ports::journal::{Journal, OrderedJournal};
use ports::live::Live;
use ports::manifest::{Identity, Manifest};
use vfs::{DiskVfs, Vfs};

use crate::folder::{FolderError, HeldFolder, IfCopy, JOURNAL_FOLDER, JOURNAL_ID_FILE, MANIFEST_FILE, SEGMENTS_FOLDER};
use backend::{Backend, CatalogPorts, LedgerPorts};
use clock::SystemClock;
pub(crate) use postgres_config::PostgresConfig;
#[cfg(feature = "cluster")]
pub(crate) use shared::DatabaseAway;
use stores::Stores;
pub(crate) use stores::{CatalogAsItLies, read_register};

/// How the parts are set up.
#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    /// By how much the machine's clock may differ from the time that is trusted, in microseconds.
    pub(crate) clock_drift_us_max: i64,
    pub(crate) ledger: LedgerOptions,
    pub(crate) journal: JournalOptions,
    pub(crate) live: LiveOptions,
    /// Where all but the journal is kept, if not in the folder.
    pub(crate) postgres: Option<PostgresConfig>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let clock_drift_us_max = Limits::default().clock_drift_us_max;
        let (ledger, journal, live) = Default::default();
        Self { clock_drift_us_max, ledger, journal, live, postgres: None }
    }
}

/// What runs over an open data folder, and the ports that requests read.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) reads: ReadPorts,
    pub(crate) settings: Arc<Settings>,
}

/// An open data folder, with the database that goes with it if there is one.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) journal: Arc<LocalJournal>,
    pub(crate) ledger: Arc<dyn LedgerPorts>,
    pub(crate) erasures: Arc<dyn Erasures>,
    pub(crate) clock: Arc<TrustedClock>,
    pub(crate) data: PathBuf,
    /// The secret key of receipts and of hashes of payloads.
    pub(crate) key: [u8; 16],
    /// Length and grace of windows.
    pub(crate) rule: WindowRule,
    catalog: Arc<dyn CatalogPorts>,
    backend: Backend,
    live: LiveOptions,
    held: HeldFolder,
}

impl Engine {
    /// Opens `data`, creating what is not there yet.
    pub(crate) async fn open(data: &Path, options: EngineOptions) -> anyhow::Result<Self> {
        match &options.postgres {
            None => Folder::open(data, IfCopy::Refuse).await?.engine(options).await,
            #[cfg(feature = "cluster")]
            Some(postgres) => Self::open_shared(data, &options, postgres).await,
            #[cfg(not(feature = "cluster"))]
            Some(never) => match *never {},
        }
    }

    /// Opens the database that `postgres` names, with its journal in `data`.
    #[cfg(feature = "cluster")]
    async fn open_shared(data: &Path, options: &EngineOptions, postgres: &PostgresConfig) -> anyhow::Result<Self> {
        let (ledger, journal) = (options.ledger.clone(), options.journal.clone());
        let rule = ledger.rule;
        let wanted = shared::Wanted { ledger, journal, clock_drift_us_max: options.clock_drift_us_max };
        let shared::Opened { shared, local } = shared::open(data, postgres, wanted).await?;
        let shared::Local { held, journal, clock, key } = local;
        Ok(Self {
            journal: Arc::new(journal),
            ledger: shared.ledger.clone(),
            erasures: shared.ledger.clone(),
            clock,
            data: data.to_owned(),
            key,
            rule,
            catalog: shared.catalog.clone(),
            backend: Backend::Shared(shared),
            live: options.live.clone(),
            held,
        })
    }

    /// Opens `data` as it was made, for a command that only reads.
    pub(crate) async fn open_existing(data: &Path, if_copy: IfCopy) -> anyhow::Result<Self> {
        if !data.join(MANIFEST_FILE).is_file() {
            refuse_journal_of_database(data)?;
            refuse_lost_manifest(&DiskVfs, data)?;
            return Err(FolderError::Missing { folder: data.to_owned() }.into());
        }
        let folder = Folder::open(data, if_copy).await?;
        let seed = Identity { key: rand::random(), rule: WindowRule::default() };
        let rule = folder.stores.manifest.load(&seed).await?.identity.rule;
        folder
            .engine(EngineOptions {
                ledger: LedgerOptions { rule, retains: false, ..LedgerOptions::default() },
                ..Default::default()
            })
            .await
    }

    /// Opens `data` to write into it, with the windows it was made with; a new folder is made as
    /// `options` say.
    pub(crate) async fn open_to_load(data: &Path, options: EngineOptions) -> anyhow::Result<Self> {
        if options.postgres.is_some() {
            let ledger = LedgerOptions { retains: false, ..options.ledger };
            return Self::open(data, EngineOptions { ledger, ..options }).await;
        }
        let folder = Folder::open(data, IfCopy::Refuse).await?;
        let seed = Identity { key: rand::random(), rule: options.ledger.rule };
        let rule = folder.stores.manifest.load(&seed).await?.identity.rule;
        folder
            .engine(EngineOptions { ledger: LedgerOptions { rule, retains: false, ..options.ledger }, ..options })
            .await
    }

    /// The ledger in the folder, for what only that can do.
    pub(crate) fn embedded(&self) -> anyhow::Result<&EmbeddedLedger> {
        self.backend.embedded()
    }

    /// Records the tenants that may come, as made by `cause`.
    pub(crate) async fn ensure_tenants(&self, tenants: &[TenantId], cause: &Cause) -> anyhow::Result<()> {
        Ok(self.catalog.ensure_tenants(tenants, self.clock.now(), cause).await?)
    }

    /// Where the register and its audit log are kept.
    pub(crate) fn register_store(&self) -> Arc<dyn access::Store> {
        self.catalog.clone()
    }

    /// The catalog in the folder, to be moved.
    #[cfg(feature = "cluster")]
    pub(crate) fn folder_catalog(&self) -> anyhow::Result<&catalog::SqliteCatalog> {
        self.backend.folder_catalog()
    }

    /// Starts all roles, behind one gate.
    pub(crate) async fn start(
        &self,
        limits: Limits,
        metrics: Arc<Metrics>,
        encryption: Arc<dyn Encryption>,
    ) -> anyhow::Result<Running> {
        let limiter = FairLimiter::new();
        let reads = self.backend.reads(&limiter);
        let stored = self.catalog.settings().await?;
        let active_users = Arc::new(reads.active_users.clone());
        let (catalog, ledger) = (self.catalog.clone(), self.ledger.clone());
        let settings = Arc::new(Settings::new(catalog, active_users, ledger, self.clock.clone(), stored));
        settings.quotas().load().await?;
        let live: Arc<dyn Live> = Arc::new(MemoryLive::with(self.live.clone()));
        let parts = PipelineParts {
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            limits,
            rule: self.rule,
            limiter,
            ingest: Some(IngestRole {
                journal: self.journal.clone(),
                reports: reads.reports.clone(),
                fates: self.backend.fates(),
                settings: Arc::clone(&settings),
                encryption,
                key: self.key,
            }),
            worker: Some(WorkerRole { journal: self.journal.clone(), live: Arc::clone(&live) }),
            live: Some(LiveRole {
                live,
                reports: self.ledger.clone(),
                catalog: self.catalog.clone(),
                references: self.catalog.clone(),
            }),
        };
        Ok(Running { pipeline: Pipeline::start(parts, metrics), reads, settings })
    }

    /// Closes the folder, tidily; a crash instead of this loses nothing.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let Self { journal, ledger, erasures, catalog, backend, held, .. } = self;
        drop((journal, ledger, erasures, catalog));
        backend.close().await?;
        held.release()
    }

    /// Closes the files of a folder that is not known to be whole: a copy stays marked as one.
    pub(crate) async fn close_unproven(self) -> anyhow::Result<()> {
        let Self { journal, ledger, erasures, catalog, backend, held, .. } = self;
        drop((journal, ledger, erasures, catalog));
        backend.close().await?;
        held.release_unproven()
    }

    /// Applies what the journal still holds, so that a command sees everything that is durable.
    pub(crate) async fn catch_up(&self) -> anyhow::Result<()> {
        // Not the worker's `Applier`: a command stops at the first failure, makes no dead letter, and leaves the
        // journal as it is, so nothing is acknowledged.
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
    held: HeldFolder,
    stores: Stores,
}

impl<'d> Folder<'d> {
    async fn open(data: &'d Path, if_copy: IfCopy) -> anyhow::Result<Self> {
        let held = HeldFolder::open(data, if_copy)?;
        refuse_journal_of_database(data)?;
        refuse_lost_manifest(&**held.vfs(), data)?;
        let stores = Stores::open(data).await?;
        Ok(Self { data, held, stores })
    }

    async fn engine(self, options: EngineOptions) -> anyhow::Result<Engine> {
        let Self { data, mut held, stores } = self;
        let vfs = Arc::clone(held.vfs());
        let manifest = Arc::clone(&stores.manifest);
        let ledger = LedgerOptions { seed_key: rand::random(), ..options.ledger };
        let found = manifest.load(&Identity { key: ledger.seed_key, rule: ledger.rule }).await?;
        // The journal first: when the manifest was lost or is older than the journal, it refuses here,
        // before the ledger deletes segment files that such a manifest does not know.
        let journal = LocalJournal::open(Arc::clone(&vfs), data.join(JOURNAL_FOLDER), found.cursor, options.journal)?;
        // Nothing was stamped yet in a new folder, which then has closed nothing either.
        let last_stamp = journal.last_stamp().max(Some(found.closed_through));
        let clock = TrustedClock::start(Arc::new(SystemClock), last_stamp, options.clock_drift_us_max);
        let settings = stores.catalog.settings().await?;
        let own = |(tenant, settings): (TenantId, TenantSettings)| Some((tenant, settings.retention_days?));
        let tenant_retention_days = settings.into_iter().filter_map(own).collect();
        let ledger = LedgerOptions { replay_through: journal.last_durable(), tenant_retention_days, ..ledger };
        let ledger = EmbeddedLedger::open(vfs, data.join(SEGMENTS_FOLDER), manifest, clock.clone(), ledger).await?;
        held.opened();
        let Identity { key, rule } = ledger.identity();
        Ok(Engine {
            journal: Arc::new(journal),
            ledger: ledger.clone(),
            erasures: ledger.clone(),
            clock,
            data: data.to_owned(),
            key,
            rule,
            catalog: stores.catalog.clone(),
            backend: Backend::Folder { ledger, stores },
            live: options.live,
            held,
        })
    }
}

/// Refuses a folder whose journal belongs to a database: a ledger in it would be another one.
fn refuse_journal_of_database(data: &Path) -> Result<(), FolderError> {
    if !data.join(JOURNAL_ID_FILE).exists() {
        return Ok(());
    }
    let why = "it holds the journal of a ledger in PostgreSQL: set postgres_url, or ask the server".to_owned();
    Err(FolderError::OtherLedger { folder: data.to_owned(), why })
}

/// Refuses a folder with a journal or segments and no manifest, which is made before both. A new manifest
/// would know no segment, and what no manifest knows is deleted; it would also have another secret key.
fn refuse_lost_manifest(vfs: &dyn Vfs, data: &Path) -> anyhow::Result<()> {
    if data.join(MANIFEST_FILE).is_file() {
        return Ok(());
    }
    for folder in [JOURNAL_FOLDER, SEGMENTS_FOLDER].map(|name| data.join(name)) {
        if !folder.is_dir() {
            continue;
        }
        let files = vfs.list(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
        if !files.is_empty() {
            let manifest = data.join(MANIFEST_FILE);
            bail!("{} is missing, though {} holds files; restore it", manifest.display(), folder.display());
        }
    }
    Ok(())
}
