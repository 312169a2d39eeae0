//! Settings of the embedded ledger.

use std::collections::HashMap;
use std::time::Duration;

use domain::limits::{QUERY_MEMORY_BYTES_MAX, QUERY_TIME_MAX, RETENTION_DELAY};
use domain::position::Seq;
use domain::tenant::TenantId;
use domain::window::WindowRule;

/// When to flush, how to merge, what to keep.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Events in the memtable that start a flush.
    pub flush_rows: usize,
    /// Bytes of the memtable that start a flush.
    pub flush_bytes: usize,
    /// Age of the oldest event in the memtable that starts a flush.
    pub flush_age: Duration,
    /// How many neighbouring segments of one level are merged into one of the next; at least 2.
    pub compact_fan_in: usize,
    /// Segments that would have more events than this when merged are left alone.
    pub segment_rows_max: u64,
    /// Days that raw events are kept; windows, rollups and ids are kept for ever.
    pub retention_days: Option<u32>,
    /// Days that the raw events of these tenants are kept instead, 0 for ever.
    pub tenant_retention_days: HashMap<TenantId, u32>,
    /// How long what retention would drop at once waits, counted while the ledger is open: after a start with a
    /// retention that is new or shorter, or with a clock that is ahead.
    pub retention_delay: Duration,
    /// Whether what is due on opening is dropped without waiting.
    pub retention_now: bool,
    /// Whether this process decides on retention. A command that reads a folder, or writes into it without the
    /// server's settings, leaves what is waited for as it is.
    pub retains: bool,
    /// The last record that was durable when the folder was opened. Until it is applied nothing is dropped, since
    /// nobody knows yet what that would be; and on a full disk records up to it are taken all the same, since the
    /// journal holds them and until they are applied nothing is answered.
    pub replay_through: Seq,
    /// Most memory that one structured query may take for its groups and values, in bytes.
    pub query_memory_bytes_max: usize,
    /// Longest that one structured query may run.
    pub query_time_max: Duration,
    /// Windows of a new folder; an existing folder must have been made with the same.
    pub rule: WindowRule,
    /// Secret of a new folder, for the hashes of event ids, users and distinct values, and for receipts.
    pub seed_key: [u8; 16],
    /// Flush and merge on a thread of the ledger's own. Without it, `apply` flushes in line and
    /// [`crate::EmbeddedLedger::maintain`] has to be called: for tests that need one order of steps.
    pub background: bool,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            flush_rows: 200_000,
            flush_bytes: 96 << 20,
            flush_age: Duration::from_secs(60),
            compact_fan_in: 8,
            segment_rows_max: 8_000_000,
            retention_days: None,
            tenant_retention_days: HashMap::new(),
            retention_delay: RETENTION_DELAY,
            retention_now: false,
            retains: true,
            replay_through: Seq::ZERO,
            query_memory_bytes_max: QUERY_MEMORY_BYTES_MAX,
            query_time_max: QUERY_TIME_MAX,
            rule: WindowRule::default(),
            seed_key: [0; 16],
            background: true,
        }
    }
}
