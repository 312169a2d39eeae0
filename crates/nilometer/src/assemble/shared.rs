//! A ledger and a catalog in PostgreSQL, with the journal in the data folder in front of them. The two belong together:
//! what the journal holds and the database has not applied yet is in no other place. So the journal has an id, in
//! `journal.id` beside it, which the database keeps too; a folder and a database that do not know each other are refused.

mod journal_id;

use std::path::Path;
use std::sync::Arc;

use catalog::postgres::{PostgresCatalog, PostgresLimits};
use clock::SystemClock;
use domain::limits::POSTGRES_REPLICA_WAIT_MAX;
use journal::{JournalOptions, LocalJournal};
use ledger_embedded::LedgerOptions;
use ledger_postgres::{Owner, PostgresLedger, PostgresLedgerOptions, ReplicaOptions, journal_of};
use pipeline::TrustedClock;
use ports::catalog::Catalog;
use ports::ledger::Ledger;
use ports::{ErrorKind, PortError};
use postgres::Logins;
use tokio::task::JoinHandle;

use super::postgres_config::PostgresConfig;
use crate::folder::{CATALOG_FILE, FolderError, HeldFolder, IfCopy, JOURNAL_FOLDER, MANIFEST_FILE};

/// A start for which the database does not answer. Another one may find it.
#[derive(Debug, thiserror::Error)]
#[error("the database of {place} does not answer")]
pub(crate) struct DatabaseAway {
    /// Its address, without a password.
    place: String,
}

/// The two in PostgreSQL, open.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ledger: Arc<PostgresLedger>,
    pub(super) catalog: Arc<PostgresCatalog>,
    /// What erases and drops events in the background, if this process does.
    maintaining: Option<JoinHandle<()>>,
}

impl Shared {
    /// Begins to erase and drop events in the background, with the owner's login if there is one.
    fn maintain(&mut self, clock: Arc<TrustedClock>, config: &PostgresConfig) {
        let owner = config.owner_url.clone().map(|url| Owner { url, logins: Logins::default() });
        self.maintaining = Some(self.ledger.maintain_in_background(clock, owner));
    }

    /// Gives the buckets of events to others and closes all connections.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        if let Some(maintaining) = self.maintaining {
            maintaining.abort();
            // What it was doing never happened.
            let _ = maintaining.await;
        }
        self.ledger.close().await?;
        Ok(self.catalog.close().await?)
    }
}

/// How a database and its journal are opened.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Windows and retention.
    pub(super) ledger: LedgerOptions,
    pub(super) journal: JournalOptions,
    /// By how much the machine's clock may differ from the time that is trusted, in microseconds.
    pub(super) clock_drift_us_max: i64,
}

/// A database with the folder whose journal belongs to it, both open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) shared: Shared,
    pub(super) local: Local,
}

/// What of it is on this machine.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) held: HeldFolder,
    pub(super) journal: LocalJournal,
    pub(super) clock: Arc<TrustedClock>,
    /// The secret key of receipts and of hashes of payloads.
    pub(super) key: [u8; 16],
}

/// Opens the database and the journal in `data` that belongs to it, making what is not there yet.
pub(super) async fn open(data: &Path, config: &PostgresConfig, wanted: Wanted) -> anyhow::Result<Opened> {
    // Records of a journal are checked as it is opened, so a copy needs no other proof.
    let if_copy = if config.recover_copy { IfCopy::Recover } else { IfCopy::Refuse };
    let held = HeldFolder::open(data, if_copy)?;
    refuse_embedded(data)?;
    if let Some(owner_url) = &config.owner_url {
        bring_up_to_date(owner_url, config).await?;
    }
    let login = |why| told(why, "postgres_worker_url", config);
    PostgresCatalog::check_worker(&config.worker_url).await.map_err(login)?;
    let of_ledger = journal_of(&config.worker_url).await.map_err(login)?;
    let journal = journal_id::settle(&**held.vfs(), data, of_ledger.as_deref(), config.new_journal)?;
    let mut shared = connect(config, &wanted.ledger, journal, held.was_left_open()).await?;
    let retains = wanted.ledger.retains;
    tracing::info!(database = config.shown(), "all but the journal is kept in PostgreSQL");
    match open_journal(data, held, wanted, &shared.ledger).await {
        Ok(local) => {
            if retains {
                shared.maintain(Arc::clone(&local.clock), config);
            }
            Ok(Opened { shared, local })
        }
        Err(why) => {
            // Else the next start would wait for the end of the lease.
            if let Err(error) = shared.close().await {
                tracing::warn!(%error, "the database was not left tidily");
            }
            Err(why)
        }
    }
}

async fn open_journal(
    data: &Path,
    mut held: HeldFolder,
    wanted: Wanted,
    ledger: &PostgresLedger,
) -> anyhow::Result<Local> {
    held.opened();
    let vfs = Arc::clone(held.vfs());
    let journal = LocalJournal::open(vfs, data.join(JOURNAL_FOLDER), ledger.cursor(), wanted.journal)?;
    let last_stamp = journal.last_stamp().max(Some(ledger.closed_through()));
    let clock = TrustedClock::start(Arc::new(SystemClock), last_stamp, wanted.clock_drift_us_max);
    Ok(Local { held, journal, clock, key: ledger.secret_key().await })
}

/// Makes the steps of the schema that are missing, as its owner. Of several servers one makes them.
async fn bring_up_to_date(owner_url: &str, config: &PostgresConfig) -> anyhow::Result<()> {
    let logins = Logins::default();
    let made = async {
        let of_catalog = catalog::postgres::migrate(owner_url, &logins).await?;
        Ok::<_, PortError>(of_catalog + ledger_postgres::migrate(owner_url, &logins).await?)
    };
    let made = made.await.map_err(|why| told(why, "postgres_owner_url", config))?;
    if made > 0 {
        tracing::info!(steps = made, "brought the schema in PostgreSQL up to date");
    }
    Ok(())
}

async fn connect(
    config: &PostgresConfig,
    options: &LedgerOptions,
    journal: String,
    is_after_crash: bool,
) -> anyhow::Result<Shared> {
    let PostgresConfig { app_url, worker_url, .. } = config;
    let limits = PostgresLimits::default();
    let catalog = PostgresCatalog::open(app_url, &limits).await.map_err(|why| told(why, "postgres_url", config))?;
    let replica = config.replica_url.clone();
    let replica = replica.map(|url| ReplicaOptions { url, limits, wait: POSTGRES_REPLICA_WAIT_MAX });
    let settings = catalog.settings().await.map_err(|why| told(why, "postgres_url", config))?;
    let own = settings.into_iter().filter_map(|(tenant, settings)| Some((tenant, settings.retention_days?)));
    let ledger = PostgresLedgerOptions {
        rule: options.rule,
        seed_key: rand::random(),
        retention_days: options.retention_days,
        tenant_retention_days: own.collect(),
        retention_delay: options.retention_delay,
        retention_now: options.retention_now,
        node: rand::random(),
        journal: Some(journal),
        takes_over: config.new_journal,
        is_after_crash,
        replica,
        ..PostgresLedgerOptions::default()
    };
    let ledger = PostgresLedger::open(app_url, worker_url, &ledger).await;
    let ledger = ledger.map_err(|why| told(why, "postgres_url, postgres_worker_url", config))?;
    Ok(Shared { ledger, catalog: Arc::new(catalog), maintaining: None })
}

/// Why the database cannot be used as one of the logins, by the name of its setting.
fn told(why: PortError, setting: &str, config: &PostgresConfig) -> anyhow::Error {
    let place = config.shown();
    match why.kind() {
        ErrorKind::Unavailable => anyhow::Error::new(why).context(DatabaseAway { place }),
        ErrorKind::Unacceptable if config.admin_url.is_some() => anyhow::Error::new(why).context(
            "the logins derived from postgres_url cannot be used; `nilometer migrate up` makes them and the schema",
        ),
        _ => anyhow::Error::new(why).context(format!("{setting}: the database of {place} cannot be used")),
    }
}

/// Refuses a folder with a ledger of its own.
fn refuse_embedded(data: &Path) -> Result<(), FolderError> {
    let Some(file) = [MANIFEST_FILE, CATALOG_FILE].into_iter().find(|file| data.join(file).exists()) else {
        return Ok(());
    };
    let why = format!(
        "it holds a ledger of its own ({file}), and postgres_url names another one: take it there with `nilometer move \
         --from {} --to URL`, or name another folder",
        data.display()
    );
    Err(FolderError::OtherLedger { folder: data.to_owned(), why })
}
