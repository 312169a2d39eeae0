//! `nilometer migrate`: the logins and the schema of a database that servers share.

#[cfg(feature = "cluster")]
mod postgres;

#[cfg(feature = "cluster")]
pub(super) use postgres::{address, maintain, migrate};

/// What a build without the adapters says.
#[cfg(not(feature = "cluster"))]
pub(super) const NOT_BUILT: &str = "PostgreSQL is not part of this build: build it with `--features cluster`";

/// Says what this program was built without.
#[cfg(not(feature = "cluster"))]
pub(super) async fn migrate(_: crate::cli::MigrateCommand) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!(NOT_BUILT)
}

/// Says what this program was built without.
#[cfg(not(feature = "cluster"))]
pub(super) async fn maintain(_: crate::cli::MaintainArgs) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!(NOT_BUILT)
}
