//! The logins and the schema in PostgreSQL. Steps go forwards only; the catalog's are made before the ledger's.

use std::io::Write;
use std::process::ExitCode;

use ::postgres::{Logins, make_logins};

use crate::cli::{MigrateCommand, OwnerArgs};
use crate::config::{ConfigError, value_in_file};
use crate::exit::Exit;

/// Runs one of the commands.
pub(crate) async fn migrate(command: MigrateCommand) -> anyhow::Result<ExitCode> {
    match command {
        MigrateCommand::Logins { admin_url } => logins(&address(admin_url, "postgres_admin_url", "--admin-url")?).await,
        MigrateCommand::Status(args) => status(&of_owner(args)?).await,
        MigrateCommand::Up(args) => up(&of_owner(args)?).await,
    }
}

fn of_owner(OwnerArgs { owner_url }: OwnerArgs) -> Result<String, ConfigError> {
    address(owner_url, "postgres_owner_url", "--owner-url")
}

/// The address of a database: the one that is `named`, or else the one in the file that the environment names.
fn address(named: Option<String>, setting: &str, flag: &str) -> Result<String, ConfigError> {
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

async fn up(owner_url: &str) -> anyhow::Result<ExitCode> {
    let of_catalog = catalog::postgres::migrate(owner_url, &Logins::default()).await?;
    let of_ledger = ledger_postgres::migrate(owner_url, &Logins::default()).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "catalog  {of_catalog} steps made")?;
    writeln!(out, "ledger   {of_ledger} steps made")?;
    Ok(ExitCode::SUCCESS)
}
