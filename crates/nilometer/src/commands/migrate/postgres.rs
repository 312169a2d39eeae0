//! The logins and the schema in PostgreSQL. Steps go forwards only; the catalog's are made before the ledger's.

use std::io::Write;
use std::process::ExitCode;

use ::postgres::{Logins, make_logins};
use domain::bucket::BucketCount;

use crate::assemble::PostgresConfig;
use crate::cli::{MaintainArgs, MigrateCommand, OwnerArgs};
use crate::commands::destination::or_environment;
use crate::config::{CONFIG_VARIABLE, Config, ConfigError, OWNER_URL, login_passwords, value_in_file};
use crate::exit::Exit;

/// Runs one of the commands.
pub(crate) async fn migrate(command: MigrateCommand) -> anyhow::Result<ExitCode> {
    match command {
        MigrateCommand::Logins { admin_url } => logins(&address(admin_url, "postgres_admin_url", "--admin-url")?).await,
        MigrateCommand::Status(args) => status(&Owner::of(args)?.url).await,
        MigrateCommand::Up { owner, buckets } => up(Owner::of(owner)?, buckets).await,
    }
}

/// The owner of a schema.
struct Owner {
    /// What it logs in with.
    url: String,
    /// What a superuser logs in with, if the owner's login is derived from that.
    admin_url: Option<String>,
}

impl Owner {
    /// The one that is named, or else the one of the settings of a server.
    fn of(OwnerArgs { owner_url }: OwnerArgs) -> Result<Self, ConfigError> {
        let named = owner_url.map_or_else(|| value_in_file(OWNER_URL), |url| Ok(Some(url)))?;
        if let Some(url) = named.filter(|url| !url.is_empty()) {
            return Ok(Self { url, admin_url: None });
        }
        let settings = Config::of_folder(or_environment(None, CONFIG_VARIABLE)?.as_deref())?.engine.postgres;
        let (url, admin_url) =
            settings.map_or((None, None), |PostgresConfig { owner_url, admin_url, .. }| (owner_url, admin_url));
        let missing = || {
            let why = "is not set: name the database with --owner-url, or in profile dev with postgres_url";
            ConfigError::new(format!("{OWNER_URL} {why}"))
        };
        Ok(Self { url: url.ok_or_else(missing)?, admin_url })
    }
}

/// The address of a database: the one that is `named`, or else the one in the file that the environment names.
pub(crate) fn address(named: Option<String>, setting: &str, flag: &str) -> Result<String, ConfigError> {
    let found = match named {
        Some(named) => Some(named),
        None => value_in_file(setting)?,
    };
    let missing = || ConfigError::new(format!("{setting} is not set: name the database with {flag}"));
    found.filter(|address| !address.is_empty()).ok_or_else(missing)
}

async fn logins(admin_url: &str) -> anyhow::Result<ExitCode> {
    let passwords: [String; 3] = std::array::from_fn(|_| format!("{:032x}", rand::random::<u128>()));
    let made = make_logins(admin_url, passwords.each_ref().map(String::as_str)).await;
    let made = made.map_err(|failure| failure.during("make the logins"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "NILOMETER_POSTGRES_URL={}", made.app)?;
    writeln!(out, "NILOMETER_POSTGRES_WORKER_URL={}", made.worker)?;
    writeln!(out, "NILOMETER_POSTGRES_OWNER_URL={}", made.owner)?;
    Ok(ExitCode::SUCCESS)
}

async fn status(owner_url: &str) -> anyhow::Result<ExitCode> {
    let catalog = catalog::postgres::status(owner_url).await?;
    let ledger = ledger_postgres::status(owner_url).await?;
    let mut out = std::io::stdout().lock();
    for (name, status) in [("catalog", &catalog), ("ledger", &ledger)] {
        let (made, missing) = (status.applied.len(), status.pending.len());
        let newest = status.pending.last().map_or(String::new(), |last| format!("; missing up to {last}"));
        writeln!(out, "{name:<8} {made} of {} steps{newest}", made + missing)?;
    }
    let is_current = catalog.pending.is_empty() && ledger.pending.is_empty();
    Ok(if is_current { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

/// Maintains the ledger, and says what was done.
pub(crate) async fn maintain(args: MaintainArgs) -> anyhow::Result<ExitCode> {
    let maintained = ledger_postgres::maintain(&Owner::of(args.owner)?.url, &Logins::default()).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "partitions made     {}", maintained.made.len())?;
    writeln!(out, "partitions dropped  {}", maintained.dropped.len())?;
    maintained.dropped.iter().try_for_each(|leaf| writeln!(out, "  {leaf}"))?;
    match maintained.scrubbed {
        None => writeln!(out, "no erasure waits for tables to be written anew")?,
        Some(scrubbed) => {
            writeln!(out, "tables written anew {}", scrubbed.tables.len())?;
            writeln!(out, "what was erased may still stand in")?;
            scrubbed.remains().iter().try_for_each(|place| writeln!(out, "  {place}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(Owner { url, admin_url }: Owner, buckets: Option<u16>) -> anyhow::Result<ExitCode> {
    let buckets = buckets.map(BucketCount::new).transpose();
    let buckets = buckets.map_err(|why| ConfigError::new(format!("--buckets: {why}")))?;
    let mut out = std::io::stdout();
    if let Some(admin_url) = admin_url {
        let passwords = login_passwords(&admin_url)?;
        let made = make_logins(&admin_url, passwords.each_ref().map(String::as_str)).await;
        made.map_err(|failure| failure.during("make the logins as the superuser of postgres_url"))?;
        writeln!(out, "logins   nilometer_owner, nilometer_app, nilometer_worker")?;
    }
    let of_catalog = catalog::postgres::migrate(&url, &Logins::default()).await?;
    let of_ledger = match buckets {
        None => ledger_postgres::migrate(&url, &Logins::default()).await?,
        Some(buckets) => ledger_postgres::migrate_with(&url, &Logins::default(), buckets).await?,
    };
    writeln!(out, "catalog  {of_catalog} steps made")?;
    writeln!(out, "ledger   {of_ledger} steps made")?;
    Ok(ExitCode::SUCCESS)
}
