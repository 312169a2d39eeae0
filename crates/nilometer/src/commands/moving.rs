//! `nilometer move`: a folder of a stopped server into PostgreSQL.

#[cfg(feature = "cluster")]
mod postgres;
#[cfg(feature = "cluster")]
mod stages;
#[cfg(feature = "cluster")]
mod comparison;

#[cfg(feature = "cluster")]
pub(super) use postgres::run;

/// Says what this program was built without.
#[cfg(not(feature = "cluster"))]
pub(super) async fn run(_: crate::cli::MoveArgs) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!(super::migrate::NOT_BUILT)
}
