//! The catalog's connection.

use ports::PortError;
use postgres::{Login, PostgresLimits};
use sea_orm::DatabaseConnection;
use sqlite::Failure;

use super::connection::connect;
use super::failure::kind;
use super::scoped::Scoped;

/// The catalog in a database of PostgreSQL. Several may be open on it, in several processes.
#[derive(Debug)]
pub struct PostgresCatalog {
    pub(super) pool: DatabaseConnection,
}

impl PostgresCatalog {
    /// Opens the catalog as the application's login. The schema has to be current, see [`super::migrate`].
    ///
    /// # Errors
    /// `Unacceptable`, with the reason, when the schema is not the one of this program, the login may do less or more
    /// than it is to, the address or the password is wrong, or the server may lose what it has committed. Otherwise
    /// when the server cannot be reached.
    pub async fn open(url: &str, limits: &PostgresLimits) -> Result<Self, PortError> {
        let opened = connect(url, limits, Login::App).await;
        opened.map(|pool| Self { pool }).map_err(|failure| failed("open the catalog in", failure))
    }

    /// Refuses a worker's login that may do less or more than it is to.
    ///
    /// # Errors
    /// As [`PostgresCatalog::open`].
    pub async fn check_worker(url: &str) -> Result<(), PortError> {
        let limits = PostgresLimits { connections: 1, ..PostgresLimits::default() };
        let pool = connect(url, &limits, Login::Worker).await;
        let pool = pool.map_err(|failure| failed("check the worker's login in", failure))?;
        // Nothing was changed.
        let _ = pool.close_by_ref().await;
        Ok(())
    }

    /// Waits for what is under way and closes all connections.
    ///
    /// # Errors
    /// `Unavailable` when they cannot be closed.
    pub async fn close(&self) -> Result<(), PortError> {
        let closed = self.pool.close_by_ref().await;
        closed.map_err(|failure| failed("close the catalog in", failure.into()))
    }

    /// Begins a change, which counts only with [`PostgresCatalog::finish`].
    pub(super) async fn begin(&self) -> Result<Scoped, Failure> {
        Scoped::begin(&self.pool).await
    }

    /// Makes a change count if its statements went well, else takes it back. Durable on `Ok`.
    pub(super) async fn finish<T>(
        what: &'static str,
        change: Scoped,
        outcome: Result<T, Failure>,
    ) -> Result<T, PortError> {
        let finished = match outcome.and_then(|made| before_commit().map(|()| made)) {
            Ok(made) => change.commit().await.and_then(|()| after_commit()).map(|()| made),
            Err(failure) => {
                change.end().await;
                Err(failure)
            }
        };
        finished.map_err(|failure| failed(what, failure))
    }
}

/// Says that this could not be done, and why.
pub(super) fn failed(what: &str, failure: Failure) -> PortError {
    PortError::new(kind(&failure), format!("{what} PostgreSQL")).because(failure)
}

/// Where tests stop or fail a change of which nothing counts yet.
fn before_commit() -> Result<(), Failure> {
    fail::fail_point!("postgres::before_commit", |_| Err(std::io::Error::other("injected before the commit").into()));
    Ok(())
}

/// Where tests stop or fail a change that counts already.
fn after_commit() -> Result<(), Failure> {
    fail::fail_point!("postgres::after_commit", |_| Err(std::io::Error::other("injected after the commit").into()));
    Ok(())
}
