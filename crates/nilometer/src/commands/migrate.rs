//! `nilometer migrate`: the logins and the schema of a database that servers share.

#[cfg(feature = "cluster")]
mod postgres;

#[cfg(feature = "cluster")]
pub(super) use postgres::migrate;

/// Says what this program was built without.
#[cfg(not(feature = "cluster"))]
pub(super) async fn migrate(_: crate::cli::MigrateCommand) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("PostgreSQL is not part of this build: build it with `--features cluster`")
}
