//! A database with three logins of its own, and sessions that go round the adapter.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::postgres::{Logins, PostgresCatalog, PostgresLimits, migrate};
use domain::quota::CarriedPeriods;
use domain::time::TimeRange;
use ports::PortError;
use ports::catalog::Catalog;
use ports::references::References;
use ports::testing::catalog::WholeCatalog;
use ports::testing::manifest::Place;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Row as _};
use testservers::{Database, Error, Postgres};

/// The password of all logins.
const PASSWORD: &str = "secret";

/// A database, which its owner's login owns. Ends with the test.
pub(crate) struct Base {
    database: Database,
    pub(crate) logins: Logins,
}

impl Base {
    /// A new one on the server that the tests share, or none if there is no PostgreSQL here.
    pub(crate) fn new() -> Result<Option<Self>, Error> {
        testservers::database()?.map(Self::of).transpose()
    }

    /// A new one on a server of the test's own.
    pub(crate) fn on(server: &Postgres) -> Result<Self, Error> {
        Self::of(server.database()?)
    }

    fn of(database: Database) -> Result<Self, Error> {
        let name = database.name();
        let logins = Logins { app: format!("{name}_app"), worker: format!("{name}_worker") };
        database.sql(&format!(
            "CREATE ROLE {name}_owner LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE {} LOGIN PASSWORD '{PASSWORD}'; \
             CREATE ROLE {} LOGIN BYPASSRLS PASSWORD '{PASSWORD}'; ALTER DATABASE {name} OWNER TO {name}_owner",
            logins.app, logins.worker
        ))?;
        Ok(Self { database, logins })
    }

    /// The address for a login.
    fn url(&self, login: &str, password: &str) -> String {
        let at = self.database.url().split_once('@').map_or("", |(_, at)| at);
        format!("postgres://{login}:{password}@{at}")
    }

    pub(crate) fn owner_url(&self) -> String {
        self.url(&format!("{}_owner", self.database.name()), PASSWORD)
    }

    pub(crate) fn app_url(&self) -> String {
        self.url(&self.logins.app, PASSWORD)
    }

    pub(crate) fn worker_url(&self) -> String {
        self.url(&self.logins.worker, PASSWORD)
    }

    pub(crate) fn superuser_url(&self) -> &str {
        self.database.url()
    }

    pub(crate) fn url_with_wrong_password(&self) -> String {
        self.url(&self.logins.app, "wrong")
    }

    pub(crate) fn name(&self) -> &str {
        self.database.name()
    }

    /// Runs SQL as superuser.
    pub(crate) fn sql(&self, sql: &str) -> Result<String, Error> {
        self.database.sql(sql)
    }

    /// Brings the schema up to date.
    pub(crate) async fn migrate(&self) -> Result<usize, PortError> {
        migrate(&self.owner_url(), &self.logins).await
    }

    /// Removes all rows, and begins with the revision again that the superuser has kept in `public.first`.
    pub(crate) fn empty(&self) -> Result<String, Error> {
        self.sql(
            "DO $do$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'nilometer' \
             AND tablename <> 'schema_step' LOOP EXECUTE 'TRUNCATE nilometer.' || t; END LOOP; END $do$; \
             INSERT INTO nilometer.register_revision SELECT * FROM public.first",
        )
    }

    /// Opens the catalog, whose schema has to be there.
    pub(crate) async fn open(&self) -> Result<PostgresCatalog, PortError> {
        PostgresCatalog::open(&self.app_url(), &limits()).await
    }

    /// Makes the schema and opens the catalog.
    pub(crate) async fn catalog(&self) -> Result<PostgresCatalog, PortError> {
        self.migrate().await?;
        self.open().await
    }

    /// A session of the application's login that goes round the adapter.
    pub(crate) async fn session(&self) -> Result<Session, sqlx::Error> {
        Ok(Session(PgConnection::connect(&self.app_url()).await?))
    }
}

/// Periods of quotas, which a change of a zone carries.
pub(crate) fn carried() -> CarriedPeriods {
    CarriedPeriods { day: TimeRange::ALL, month: TimeRange::ALL }
}

/// One connection, so that it is used again.
pub(crate) fn limits() -> PostgresLimits {
    PostgresLimits { connections: 1, wait: Duration::from_secs(20), ..PostgresLimits::default() }
}

/// Raw SQL.
pub(crate) struct Session(pub(crate) PgConnection);

impl Session {
    /// Runs statements one by one outside of any prepared one, and returns how many rows they changed.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await?.rows_affected())
    }

    /// The first column of all rows, each as a number.
    pub(crate) async fn numbers(&mut self, sql: &str) -> Result<Vec<i64>, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// What SQLSTATE a statement is refused with, if it is.
    pub(crate) async fn refused(&mut self, sql: &str) -> Option<String> {
        let refused = self.run(sql).await.err()?;
        Some(refused.as_database_error().and_then(|said| said.code()).unwrap_or_default().into_owned())
    }
}

#[async_trait]
impl Place<dyn Catalog> for Base {
    async fn open(&self) -> Result<Arc<dyn Catalog>, PortError> {
        Ok(Arc::new(self.catalog().await?))
    }
}

#[async_trait]
impl Place<dyn References> for Base {
    async fn open(&self) -> Result<Arc<dyn References>, PortError> {
        Ok(Arc::new(self.catalog().await?))
    }
}

#[async_trait]
impl Place<dyn WholeCatalog> for Base {
    async fn open(&self) -> Result<Arc<dyn WholeCatalog>, PortError> {
        Ok(Arc::new(self.catalog().await?))
    }
}
