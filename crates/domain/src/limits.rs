//! Every limit of the product, in one file (I6). Configuration may lower or raise the ones in
//! [`Limits`]; the constants are part of the stored formats and never change at run time.

use std::time::Duration;

/// Longest event id, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 256;
/// Longest tenant, project, customer, user, event type or model name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest endpoint, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 2_048;
/// Largest count of tokens that one event may carry. Sums saturate at `i64::MAX`, which needs
/// more than nine million events of this size in one aggregate.
pub const TOKENS_MAX: u64 = 1_000_000_000_000;
/// Largest latency that one event may carry, in microseconds (about eleven days).
pub const LATENCY_US_MAX: u64 = 1_000_000_000_000;
/// Most events in one journal record, hence in one request: an index in a record has 16 bits.
pub const RECORD_EVENTS_MAX: usize = 65_536;
/// Longest row or line of a file that is imported, in bytes, unless properties may be longer still.
pub const IMPORT_ROW_BYTES_MAX: usize = 1 << 20;
/// Most columns of a table that is imported.
pub const IMPORT_COLUMNS_MAX: usize = 1_024;
/// Most bytes of a refused row that its line in the reject file repeats.
pub const REJECT_RAW_BYTES_MAX: usize = 1_024;
/// Most rows in one page of any listing.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Rows in one page of a listing when the request names no limit.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Longest any read query may run.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(30);

/// Limits that an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body as sent, in bytes.
    pub body_bytes_max: usize,
    /// Largest request body after decompression, in bytes.
    pub decoded_bytes_max: usize,
    /// Most events in one request.
    pub batch_events_max: usize,
    /// Largest `properties` of one event, in bytes of JSON.
    pub properties_bytes_max: usize,
    /// Deepest nesting of a JSON body, in levels.
    pub json_depth_max: usize,
    /// How far in the future an event's time may lie, in microseconds.
    pub future_us_max: i64,
    /// How old an event may be on arrival, in microseconds; `None` accepts the whole past.
    pub lateness_us_max: Option<i64>,
    /// Most distinct endpoints of one tenant.
    pub endpoints_max: usize,
    /// Most distinct event types of one tenant.
    pub types_max: usize,
    /// Most distinct models of one tenant.
    pub models_max: usize,
    /// Most distinct projects of one tenant.
    pub projects_max: usize,
    /// Most bytes acknowledged but not yet applied; above it requests get 503.
    pub backlog_bytes_max: usize,
    /// Longest wait for a request's head, in milliseconds.
    pub header_timeout: Duration,
    /// Longest wait for a request's whole body.
    pub body_timeout: Duration,
    /// Longest silence on a kept-alive connection.
    pub idle_timeout: Duration,
    /// Most connections open at once.
    pub connections_max: usize,
    /// Longest that `?wait=applied` holds a request.
    pub wait_applied_max: Duration,
}

impl Limits {
    /// Longest row or line of a file that is imported: an event with the largest properties fits, every
    /// quote in them doubled.
    pub fn import_row_bytes_max(&self) -> usize {
        IMPORT_ROW_BYTES_MAX.max(self.properties_bytes_max.saturating_mul(2).saturating_add(64 << 10))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 << 20,
            decoded_bytes_max: 32 << 20,
            batch_events_max: 10_000,
            properties_bytes_max: 64 << 10,
            json_depth_max: 64,
            future_us_max: 120 * 1_000_000,
            lateness_us_max: None,
            endpoints_max: 10_000,
            types_max: 1_000,
            models_max: 1_000,
            projects_max: 1_000,
            backlog_bytes_max: 64 << 20,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections_max: 10_000,
            wait_applied_max: Duration::from_secs(10),
        }
    }
}
