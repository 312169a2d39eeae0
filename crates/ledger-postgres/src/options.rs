//! Settings of the ledger in PostgreSQL.

use std::time::Duration;

use domain::limits::LEDGER_LEASE;
use domain::window::WindowRule;
use postgres::PostgresLimits;

/// How one process opens the ledger.
#[derive(Debug, Clone)]
pub struct PostgresLedgerOptions {
    /// What the application's login may take of the server.
    pub app: PostgresLimits,
    /// What the worker's login may take of the server.
    pub worker: PostgresLimits,
    /// For how long a bucket is taken, unless that is renewed. Another process takes it after so long at the latest.
    pub lease: Duration,
    /// Windows of a new ledger; an existing one must have been made with the same.
    pub rule: WindowRule,
    /// Secret of a new ledger, for the hashes of event ids and users, and for receipts.
    pub seed_key: [u8; 16],
    /// Names this process among those that take buckets.
    pub node: u128,
    /// A server that follows, which answers what it can.
    pub replica: Option<ReplicaOptions>,
}

/// A server that follows the one that is written.
#[derive(Debug, Clone)]
pub struct ReplicaOptions {
    /// Its address, with the application's login.
    pub url: String,
    /// What that login may take of it.
    pub limits: PostgresLimits,
    /// For how long it is waited for to have what was written before a question; then the other server answers.
    pub wait: Duration,
}

impl Default for PostgresLedgerOptions {
    fn default() -> Self {
        let worker = PostgresLimits { connections: 2, ..PostgresLimits::default() };
        Self {
            app: PostgresLimits::default(),
            worker,
            lease: LEDGER_LEASE,
            rule: WindowRule::default(),
            seed_key: [0; 16],
            node: 0,
            replica: None,
        }
    }
}
