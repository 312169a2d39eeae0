//! A server whose events, people and keys are in PostgreSQL, with the real binary. Each test has a PostgreSQL of its own:
//! the names of the logins are the same in each.
//!
//! | file | what |
//! |---|---|
//! | `newcomer` | the first steps, logins and what the log shows of them |
//! | `bound` | a folder and a database that do not belong together |
//! | `away` | a database that does not answer, at the start and later |
//! | `kills` | the server killed, or asked to end |
//! | `figures` | the web requests, by `import` over HTTP |
//! | `twins` | the same to a server on a folder, which answers the same |

mod newcomer;
mod bound;
mod away;
mod kills;
mod figures;
mod twins;

use std::path::Path;

use testservers::{Database, Postgres};

use crate::faults::server::Launch;
use crate::harness::{nilometer, stderr};

/// A PostgreSQL with one database.
struct Base {
    postgres: Postgres,
    database: Database,
}

impl Base {
    /// One that is empty, or none if there is no PostgreSQL here.
    fn empty() -> Option<Self> {
        let postgres = Postgres::launch(&[]).unwrap()?;
        let database = postgres.database().unwrap();
        Some(Self { postgres, database })
    }

    /// One with logins and schema.
    fn new() -> Option<Self> {
        let base = Self::empty()?;
        base.migrate();
        Some(base)
    }

    fn migrate(&self) {
        let output = nilometer(&["migrate", "up"]).env("NILOMETER_POSTGRES_URL", self.url()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    /// The superuser's address.
    fn url(&self) -> &str {
        self.database.url()
    }

    /// A server on it with its journal in `data`.
    fn launch(&self, data: &Path) -> Launch {
        Launch::on(data).set("postgres_url", self.url())
    }

    /// What SQL gives, in the schema of the ledger.
    fn sql(&self, sql: &str) -> String {
        self.database.sql(&format!("SET search_path = nilometer_ledger; {sql}")).unwrap()
    }

    fn number(&self, sql: &str) -> u64 {
        let text = self.sql(sql);
        text.parse().unwrap_or_else(|why| panic!("{sql}: {text}: {why}"))
    }

    /// Asserts that the tables tell the same of how many events count.
    fn assert_whole(&self) {
        let events = self.number("SELECT count(*) FROM usage_events");
        for sql in [
            "SELECT count(*) FROM event_ids",
            "SELECT sum(events) FROM buckets",
            "SELECT coalesce(sum(calls), 0) FROM aggregation_windows",
            "SELECT coalesce(sum(calls), 0) FROM customers",
            "SELECT coalesce(sum(calls), 0) FROM rollups WHERE grain = 0",
        ] {
            assert_eq!(self.number(sql), events, "I3: {sql}");
        }
    }
}
