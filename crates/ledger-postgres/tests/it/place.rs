//! A database with three logins of its own.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::window::WindowRule;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions, migrate};
use parking_lot::Mutex;
use ports::PortError;
use postgres::{Logins, PostgresLimits};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use testservers::{Database, Error, Postgres};

/// The password of all logins.
const PASSWORD: &str = "secret";

/// Takes all rows away but those that a new database has.
const EMPTY: &str = "DO $do$ DECLARE t regclass; taken smallint[]; BEGIN \
    taken := ARRAY(SELECT bucket FROM nilometer_ledger.buckets); \
    FOR t IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'nilometer_ledger'::regnamespace \
        AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_step' \
    LOOP EXECUTE 'DELETE FROM ' || t; END LOOP; \
    INSERT INTO nilometer_ledger.buckets (bucket) SELECT unnest(taken); END $do$";

/// The addresses of a copy of a database: of the application and of the worker.
pub(crate) struct Copy {
    number: usize,
    pub(crate) app_url: String,
    pub(crate) worker_url: String,
}

/// A database, which its owner's login owns. Ends with the test, but for copies, which end with the server.
pub(crate) struct Base {
    database: Database,
    name: String,
    /// Who uses each copy.
    users_of_copies: Mutex<Vec<Weak<dyn Any + Send + Sync>>>,
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

    /// A new one with its schema.
    pub(crate) async fn migrated() -> Result<Option<Self>, Box<dyn std::error::Error>> {
        let Some(base) = Self::new()? else { return Ok(None) };
        base.migrate().await?;
        Ok(Some(base))
    }

    fn of(database: Database) -> Result<Self, Error> {
        let name = database.name().to_owned();
        let logins = Logins { app: format!("{name}_app"), worker: format!("{name}_worker") };
        database.sql(&format!(
            "CREATE ROLE {name}_owner LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE {} LOGIN PASSWORD '{PASSWORD}'; \
             CREATE ROLE {} LOGIN BYPASSRLS PASSWORD '{PASSWORD}'; ALTER DATABASE {name} OWNER TO {name}_owner",
            logins.app, logins.worker
        ))?;
        Ok(Self { database, name, users_of_copies: Mutex::default(), logins })
    }

    /// The address for a login.
    fn url(&self, login: &str) -> String {
        let server = self.database.url().split_once('@').and_then(|(_, at)| at.split_once('/'));
        format!("postgres://{login}:{PASSWORD}@{}/{}", server.map_or("", |(server, _)| server), self.name)
    }

    pub(crate) fn owner_url(&self) -> String {
        self.url(&format!("{}_owner", self.database.name()))
    }

    /// The owner's address of the database that this is an address of.
    pub(crate) fn owner_of(&self, url: &str) -> String {
        let owner = self.owner_url();
        let parts = owner.rsplit_once('/').zip(url.rsplit_once('/'));
        parts.map_or(String::new(), |((server, _), (_, name))| format!("{server}/{name}"))
    }

    /// The name of the database.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn app_url(&self) -> String {
        self.url(&self.logins.app)
    }

    pub(crate) fn worker_url(&self) -> String {
        self.url(&self.logins.worker)
    }

    pub(crate) fn superuser_url(&self) -> String {
        let (server, _) = self.database.url().rsplit_once('/').unwrap_or_default();
        format!("{server}/{}", self.name)
    }

    /// Runs SQL as superuser, in the database itself and not in a copy.
    pub(crate) fn sql(&self, sql: &str) -> Result<String, Error> {
        self.database.sql(&format!("SET search_path = nilometer_ledger; {sql}"))
    }

    /// Runs one statement as superuser which has to be a transaction of its own.
    pub(crate) fn sql_alone(&self, sql: &str) -> Result<String, Error> {
        self.database.sql(sql)
    }

    /// Brings the schema up to date.
    pub(crate) async fn migrate(&self) -> Result<usize, PortError> {
        migrate(&self.owner_url(), &self.logins).await
    }

    /// A copy of the database without a row. Nobody else gets it before `user` is dropped.
    pub(crate) async fn copy(&self, user: Weak<dyn Any + Send + Sync>) -> Result<Copy, Box<dyn std::error::Error>> {
        let (number, is_used) = {
            let mut users = self.users_of_copies.lock();
            match users.iter().position(|user| user.strong_count() == 0) {
                Some(spare) => {
                    users[spare] = user;
                    (spare, true)
                }
                None => {
                    users.push(user);
                    (users.len() - 1, false)
                }
            }
        };
        let copy = format!("{}_{number}", self.name);
        // Over its socket: the client sends with Nagle's algorithm over TCP, where each COPY waits 40 ms for an
        // acknowledgement that the server delays.
        let socket = self.database.socket().display().to_string().replace('/', "%2F");
        let of = |url: String| {
            url.rsplit_once('/').map_or(String::new(), |(server, _)| format!("{server}/{copy}?host={socket}"))
        };
        if is_used {
            // Faster than another copy.
            let mut superuser = PgConnection::connect(&of(self.superuser_url())).await?;
            sqlx::raw_sql(EMPTY).execute(&mut superuser).await?;
            superuser.close().await?;
        } else {
            let owner = format!("{}_owner", self.database.name());
            self.database.sql(&format!("CREATE DATABASE {copy} OWNER {owner} TEMPLATE {}", self.name))?;
        }
        Ok(Copy { number, app_url: of(self.app_url()), worker_url: of(self.worker_url()) })
    }

    /// An empty ledger in a copy of the database.
    pub(crate) async fn fresh(&self, rule: WindowRule) -> Result<Arc<PostgresLedger>, Box<dyn std::error::Error>> {
        let opening: Arc<dyn Any + Send + Sync> = Arc::new(());
        let copy = self.copy(Arc::downgrade(&opening)).await?;
        let ledger = PostgresLedger::open(&copy.app_url, &copy.worker_url, &with_rule(rule)).await?;
        let user: Arc<dyn Any + Send + Sync> = Arc::<PostgresLedger>::clone(&ledger);
        self.users_of_copies.lock()[copy.number] = Arc::downgrade(&user);
        Ok(ledger)
    }

    /// Opens the ledger, whose schema has to be there.
    pub(crate) async fn open(&self) -> Result<Arc<PostgresLedger>, PortError> {
        self.open_with(&options()).await
    }

    pub(crate) async fn open_with(&self, options: &PostgresLedgerOptions) -> Result<Arc<PostgresLedger>, PortError> {
        PostgresLedger::open(&self.app_url(), &self.worker_url(), options).await
    }
}

/// Few connections, and much time.
pub(crate) fn options() -> PostgresLedgerOptions {
    with_rule(WindowRule::default())
}

pub(crate) fn with_rule(rule: WindowRule) -> PostgresLedgerOptions {
    let limits = PostgresLimits { connections: 2, wait: Duration::from_secs(20), ..PostgresLimits::default() };
    PostgresLedgerOptions { app: limits, worker: limits, rule, seed_key: [9; 16], ..PostgresLedgerOptions::default() }
}
