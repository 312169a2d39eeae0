//! Settings of the ledger in PostgreSQL.

use std::collections::HashMap;
use std::time::Duration;

use domain::limits::{LEDGER_LEASE, RETENTION_DELAY};
use domain::tenant::TenantId;
use domain::window::WindowRule;
use postgres::PostgresLimits;

/// How one process opens the ledger.
#[derive(Debug, Clone)]
pub struct PostgresLedgerOptions {
    /// What the application's login may take of the server.
    pub app: PostgresLimits,
    /// What the worker's login may take of the server.
    pub worker: PostgresLimits,
    /// The buckets that this process takes, all of them or none; empty: all that the ledger has.
    pub buckets: Vec<u16>,
    /// Names the journal whose records are applied, which the buckets keep; those that keep another one are not taken. None:
    /// the one that they have come with.
    pub journal: Option<String>,
    /// Whether buckets that have come with another journal begin at the first record of this one, whatever its number is;
    /// what they had before is told by its ids.
    pub takes_over: bool,
    /// Whether the process that applied the records of this journal has certainly ended: its lease need not.
    pub is_after_crash: bool,
    /// For how long buckets are taken, unless that is renewed. Another process takes them after so long at the latest.
    pub lease: Duration,
    /// Windows of a new ledger; an existing one must have been made with the same.
    pub rule: WindowRule,
    /// Secret of a new ledger, for the hashes of event ids and users, and for receipts.
    pub seed_key: [u8; 16],
    /// For how many days raw events of tenants without a retention of their own are kept, `None` for ever.
    pub retention_days: Option<u32>,
    /// For how many days those of these tenants are kept instead, 0 for ever.
    pub tenant_retention_days: HashMap<TenantId, u32>,
    /// How long what retention would drop at once waits, counted while servers run.
    pub retention_delay: Duration,
    /// Drop at the first look what would wait.
    pub retention_now: bool,
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
            buckets: Vec::new(),
            journal: None,
            lease: LEDGER_LEASE,
            rule: WindowRule::default(),
            seed_key: [0; 16],
            retention_days: None,
            tenant_retention_days: HashMap::new(),
            retention_delay: RETENTION_DELAY,
            retention_now: false,
            node: 0,
            takes_over: false,
            is_after_crash: false,
            replica: None,
        }
    }
}
