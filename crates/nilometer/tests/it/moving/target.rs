//! A database with its logins and schema, on a server of the test's own: roles are a server's.

use testservers::{Database, Postgres};

use crate::harness::{run, stderr, stdout};

/// Where a folder is moved.
pub(super) struct Target {
    database: Database,
    app_url: String,
    worker_url: String,
    _server: Postgres,
}

impl Target {
    /// A new one, or none if there is no PostgreSQL here.
    pub(super) fn new() -> Option<Self> {
        let server = Postgres::launch(&[]).unwrap()?;
        let database = server.database().unwrap();
        let made = run(&["migrate", "logins", "--admin-url", database.url()]);
        assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
        let url = |name: &str| {
            let prefix = format!("NILOMETER_POSTGRES_{name}=");
            stdout(&made).lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
        };
        let up = run(&["migrate", "up", "--owner-url", &url("OWNER_URL")]);
        assert_eq!(up.status.code(), Some(0), "{}", stderr(&up));
        Some(Self { app_url: url("URL"), worker_url: url("WORKER_URL"), database, _server: server })
    }

    pub(super) fn move_args<'a>(&'a self, folder: &'a str) -> [&'a str; 7] {
        ["move", "--from", folder, "--to", &self.app_url, "--worker-url", &self.worker_url]
    }

    pub(super) fn verify_args(&self) -> [&str; 5] {
        ["verify", "--postgres", &self.app_url, "--worker-url", &self.worker_url]
    }

    /// Runs SQL as superuser.
    pub(super) fn sql(&self, sql: &str) -> String {
        self.database.sql(sql).unwrap()
    }

    /// Each table with the number of its rows and a hash of all that they say, but for what tells when they were moved.
    pub(super) fn digest(&self) -> Vec<String> {
        let tables = self.sql(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname IN ('nilometer', 'nilometer_ledger') AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
             AND c.relname NOT IN ('moves', 'schema_step', 'buckets', 'audit_entry', 'audit_detail', 'audit_head') \
             ORDER BY 1",
        );
        let of = |table: &str| {
            // What a sequence gives is not given twice.
            let sql = format!(
                "SELECT count(*), md5(string_agg(row, ';' ORDER BY row)) \
                 FROM (SELECT (to_jsonb(t) - 'number')::text AS row FROM {table} t) rows"
            );
            format!("{table} {}", self.sql(&sql))
        };
        let mut digest: Vec<_> = tables.lines().map(of).collect();
        // Who has the bucket, and how often it was taken, tells nothing of the move.
        digest.push(self.sql(
            "SELECT cursor, record_no, events, dead_letters, closed_through, holds_former_ids FROM nilometer_ledger.buckets",
        ));
        // The last entry of the server's own log tells of the move itself.
        digest.push(self.sql(
            "SELECT count(*), md5(string_agg(encode(hash, 'hex'), ';' ORDER BY chain, seq)) FROM nilometer.audit_entry \
             WHERE action <> 'server.move'",
        ));
        digest
    }
}
