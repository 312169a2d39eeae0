//! Every limit of the product, in one file (I6). Configuration may lower or raise the ones in
//! [`Limits`]; the constants hold for every configuration and never change at run time.

use std::time::Duration;

use crate::rate::ServerRates;
use crate::time::Timestamp;

/// Erasures that one workspace may ask for.
pub const ERASURES_MAX: usize = 10_000;
/// Erasures of one workspace that are not finished: each is looked for in every segment, and in the workspace's audit log.
pub const ERASURES_UNFINISHED_MAX: usize = 100;
/// Requests for an erasure at once: each makes segments of what is not flushed, and looks through an audit log.
pub const ERASURES_AT_ONCE_MAX: usize = 2;
/// Requests of one tenant for an erasure at once.
pub const ERASURES_OF_TENANT_MAX: usize = 1;

/// Longest event id, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 256;
/// Longest source of a `CloudEvent`, in bytes.
pub const SOURCE_BYTES_MAX: usize = 2_048;
/// Longest tenant, project, customer, user, event type or model name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest key of a request that may be repeated (`Idempotency-Key`), in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Longest endpoint, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 2_048;
/// Largest count of tokens that one event may carry. Sums saturate at `i64::MAX`, which needs
/// more than nine million events of this size in one aggregate.
pub const TOKENS_MAX: u64 = 1_000_000_000_000;
/// Largest latency that one event may carry, in microseconds (about eleven days).
pub const LATENCY_US_MAX: u64 = 1_000_000_000_000;
/// Most events in one journal record, hence in one request: an index in a record has 16 bits.
pub const RECORD_EVENTS_MAX: usize = 65_536;
/// Most sums of warnings in the answer to one request.
pub const WARNING_SUMS_MAX: usize = 64;
/// Longest row or line of a file that is imported, in bytes, unless properties may be longer still.
pub const IMPORT_ROW_BYTES_MAX: usize = 1 << 20;
/// Most columns of a table that is imported.
pub const IMPORT_COLUMNS_MAX: usize = 1_024;
/// Most bytes of a refused row that its line in the reject file repeats.
pub const REJECT_RAW_BYTES_MAX: usize = 1_024;
/// Codes and fields by which the summary of an import tells apart what was refused and warned about.
pub const IMPORT_FINDINGS_MAX: usize = 200;
/// Longest secret that is wrapped under the master key, in bytes.
pub const WRAPPED_SECRET_BYTES_MAX: usize = 64 << 10;
/// Most paths of one workspace that are encrypted or once were.
pub const ENCRYPTED_PATHS_MAX: usize = 64;
/// Most versions of the key of one workspace that were not destroyed: all of them are open in every process.
pub const DATA_KEYS_MAX: usize = 100;
/// How many times as large properties may become by being encrypted as they may be themselves.
pub const ENCRYPTED_GROWTH_MAX: usize = 4;
/// Most values of one event that are encrypted.
pub const ENCRYPTED_VALUES_MAX: usize = 1_000;
/// Fewest characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes, once it is composed.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Most passwords that wait to be hashed or compared.
pub const PASSWORDS_WAITING_MAX: usize = 32;
/// Most accounts, addresses and pairs of both whose login attempts are remembered.
pub const LOGIN_COUNTS_MAX: usize = 100_000;
/// Longest bearer token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4 << 10;
/// Most verified access tokens that are remembered.
pub const TOKENS_REMEMBERED_MAX: usize = 10_000;
/// Most keys that tokens of one issuer are verified with.
pub const TOKEN_KEYS_MAX: usize = 64;
/// Longest set of keys of an external issuer, in bytes.
pub const TOKEN_KEY_SET_BYTES_MAX: usize = 256 << 10;
/// Oldest signature of a request that is taken, in seconds.
pub const SIGNATURE_AGE_S_MAX: i64 = 300;
/// How far ahead of the clock a request may have been signed, in seconds.
pub const SIGNATURE_AHEAD_S_MAX: i64 = 30;
/// Most rows in one page of any listing.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Bytes after which a page of any listing ends before its last row.
pub const PAGE_BYTES_MAX: usize = 8 << 20;
/// Memory of answers that their readers have not received yet, in bytes.
pub const ANSWER_BYTES_MAX: usize = 512 << 20;
/// Memory of answers to one tenant that their readers have not received yet, in bytes.
pub const ANSWER_BYTES_OF_TENANT_MAX: usize = 128 << 20;
/// Rows in one page of a listing when the request names no limit.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Most users of a series, those of all its points together: two bytes each in memory, about.
pub const SERIES_USERS_MAX: u64 = 50_000_000;
/// Most sums of hours, by project and type as far as they are told apart, that a series is added up from.
pub const HOUR_SUMS_MAX: usize = 500_000;
/// Longest any read query may run.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(30);
/// Largest body of a structured query, in bytes.
pub const QUERY_BODY_BYTES_MAX: usize = 256 << 10;
/// Most aggregations of a structured query.
pub const QUERY_AGGREGATIONS_MAX: usize = 16;
/// Most columns that a structured query groups by.
pub const QUERY_GROUPS_MAX: usize = 8;
/// Most nodes of a structured query's filter.
pub const QUERY_FILTER_NODES_MAX: usize = 64;
/// Deepest nesting of a structured query's filter, in levels.
pub const QUERY_FILTER_DEPTH_MAX: usize = 8;
/// Most values of one `in` of a structured query.
pub const QUERY_IN_VALUES_MAX: usize = 1_000;
/// Most segments of a property path.
pub const QUERY_PATH_SEGMENTS_MAX: usize = 8;
/// Longest property path, in bytes.
pub const QUERY_PATH_BYTES_MAX: usize = 512;
/// Most rows of an answer to a structured query.
pub const QUERY_ROWS_MAX: usize = 10_000;
/// Rows of an answer to a structured query that names no limit.
pub const QUERY_ROWS_DEFAULT: usize = 1_000;
/// Longest answer to a structured query, in bytes of its texts.
pub const QUERY_ANSWER_BYTES_MAX: usize = 32 << 20;
/// Most significant digits of a number of a structured query, of its filter and of its answer.
pub const QUERY_NUMBER_DIGITS_MAX: u32 = 28;
/// Where the first digit of such a number may stand at most, either way, as a power of ten.
pub const QUERY_NUMBER_EXPONENT_MAX: i64 = 9_999;
/// Most decimal places from the first digit of the largest to the last digit of the finest of all numbers that
/// are added up in one cell of a structured query.
pub const QUERY_SUM_PLACES_MAX: i32 = 57;
/// Most memory that one structured query may take for its groups and values, in bytes.
pub const QUERY_MEMORY_BYTES_MAX: usize = 256 << 20;
/// Structured queries that run at once; others wait.
pub const QUERIES_AT_ONCE_MAX: usize = 3;
/// Structured queries of one tenant that run at once, so that no tenant's keep another's waiting.
pub const QUERIES_OF_TENANT_MAX: usize = 2;
/// Requests at once whose event ids are looked up in files; others wait for [`SIGHTING_WAIT_MAX`]. Most
/// ids need no file.
pub const SIGHTING_READS_AT_ONCE_MAX: usize = 4;
/// Longest wait of a request to have its event ids looked up in files; then memory alone tells which are
/// known.
pub const SIGHTING_WAIT_MAX: Duration = Duration::from_millis(50);
/// Questions that read files at once; others wait.
pub const READS_AT_ONCE_MAX: usize = 8;
/// Questions of one tenant that read files at once.
pub const READS_OF_TENANT_MAX: usize = 6;
/// Questions that the manifest alone answers at once; others wait.
pub const LOOKUPS_AT_ONCE_MAX: usize = 4;
/// Questions of one tenant that the manifest alone answers at once.
pub const LOOKUPS_OF_TENANT_MAX: usize = 3;
/// Live windows that are added up at once; others wait.
pub const LIVE_SUMS_AT_ONCE_MAX: usize = 4;
/// Live windows of one tenant that are added up at once.
pub const LIVE_SUMS_OF_TENANT_MAX: usize = 3;
/// Changes of a time zone at once, each of which counts all that a tenant has; others wait.
pub const ZONE_CHANGES_AT_ONCE_MAX: usize = 1;
/// Requests of one tenant that wait for a permit of one class of work; further ones are refused.
pub const WAITERS_PER_TENANT_MAX: usize = 1_000;
/// Longest wait of a change of settings for another of the same tenant: shorter than its request waits, so that a
/// client is told which of the two it was.
pub const SETTINGS_TURN_WAIT_MAX: Duration = Duration::from_secs(20);
/// Longest wait for a permit, where the request itself has no earlier end.
pub const PERMIT_WAIT_MAX: Duration = Duration::from_secs(30);
/// Reads of the server itself at once, which need no permit: the live view at a start, announcements.
pub const SERVER_READS_MAX: usize = 2;
/// Reads of files that a ledger runs at once: all that have a permit, which those whose callers have left
/// keep until they end, and the server's own.
pub const FILE_READS_MAX: usize = READS_AT_ONCE_MAX + STATISTICS_AT_ONCE_MAX + SERVER_READS_MAX;
/// Reads of the manifest at once: one for each read of files and each question that it alone answers,
/// so that none waits behind those of another tenant.
pub const MANIFEST_READS_MAX: usize = FILE_READS_MAX + LOOKUPS_AT_ONCE_MAX;

/// Most rows of a statistic over days, weeks or months, and most cohorts.
pub const STATISTIC_ROWS_MAX: usize = 3_660;
/// Questions about the users of days that hold their sets at once; others wait.
pub const STATISTICS_AT_ONCE_MAX: usize = 4;
/// Questions of one tenant about the users of days that hold their sets at once.
pub const STATISTICS_OF_TENANT_MAX: usize = 3;
/// Most periods that a cohort is followed for.
pub const RETENTION_PERIODS_MAX: usize = 366;
/// Most cells of a retention table.
pub const RETENTION_CELLS_MAX: usize = 200_000;
/// Most event types in one answer.
pub const TOP_EVENTS_MAX: usize = 1_000;
/// Most accounts in a sample, and most users in the summary of one.
pub const ACCOUNT_ROWS_MAX: usize = 100;
/// Most groups of a series, also of those that are answered as one: 150 bytes each in memory, about.
pub const SERIES_GROUPS_MAX: usize = 500_000;
/// Most points of a series.
pub const SERIES_POINTS_MAX: usize = 10_000;
/// Memory for answers that are given again, in bytes.
pub const ANSWER_CACHE_BYTES_MAX: u64 = 32 << 20;
/// What an answer takes beside its text, in bytes; it also bounds how many are kept.
pub const ANSWER_OVERHEAD_BYTES: u64 = 1 << 10;
/// Longest lateness that a tenant may allow, in seconds: a hundred years.
pub const TENANT_LATENESS_SEC_MAX: u32 = 36_525 * 24 * 3_600;
/// Most days that raw events can be kept, unless for ever: a hundred years.
pub const RETENTION_DAYS_MAX: u32 = 36_525;
/// Most quotas of one workspace, those of its customers included.
pub const QUOTAS_OF_WORKSPACE_MAX: usize = 1_000;
/// How often one request is held to quotas: again when an id that was refused may count already.
pub const QUOTA_ATTEMPTS_MAX: usize = 8;
/// Most users in a reference table.
pub const REFERENCE_USERS_MAX: usize = 1_000_000;
/// Most different attributes in a reference table, hence of one user.
pub const REFERENCE_ATTRIBUTES_MAX: usize = 32;
/// Most different combinations of attributes in a reference table: each takes half a kilobyte and more,
/// users alike share one.
pub const REFERENCE_COMBINATIONS_MAX: usize = 250_000;
/// Longest name of an attribute, in bytes.
pub const REFERENCE_NAME_BYTES_MAX: usize = 64;
/// Longest value of an attribute, in bytes.
pub const REFERENCE_VALUE_BYTES_MAX: usize = 256;
/// Most distinct values of one attribute: the live view answers with a number for each.
pub const REFERENCE_VALUES_MAX: usize = 10_000;
/// Most bytes of the distinct values of all attributes together, 16 counted with each: the live view
/// answers with them.
pub const REFERENCE_VALUES_BYTES_MAX: usize = 1 << 20;
/// How far in the future the version time of a reference table may lie, in microseconds: a table of a
/// far future would refuse every later one.
pub const REFERENCE_FUTURE_US_MAX: i64 = 120 * 1_000_000;
/// Large texts of reference tables that are held at once, from the first byte until the table is changed;
/// others wait.
pub const REFERENCE_TEXTS_AT_ONCE_MAX: usize = 4;
/// Large texts of reference tables of one tenant that are held at once.
pub const REFERENCE_TEXTS_OF_TENANT_MAX: usize = 2;
/// Reference tables that are read from their text and changed at once; others wait.
pub const REFERENCE_CHANGES_AT_ONCE_MAX: usize = 2;
/// Reference tables of one tenant that are read from their text and changed at once.
pub const REFERENCE_CHANGES_OF_TENANT_MAX: usize = 1;
/// Answers that hold a whole reference table at once; others wait.
pub const REFERENCE_READS_AT_ONCE_MAX: usize = 8;
/// Answers of one tenant that hold a whole reference table at once.
pub const REFERENCE_READS_OF_TENANT_MAX: usize = 4;
/// How long a reader may take to receive a reference table.
pub const REFERENCE_READ_TIME_MAX: Duration = Duration::from_secs(120);
/// Largest body that replaces or changes a reference table, in bytes.
pub const REFERENCE_BODY_BYTES_MAX: usize = 64 << 20;
/// Longest live window that can be configured, in seconds.
pub const LIVE_RETENTION_SEC_MAX: u32 = 7_200;
/// Users of one tenant within the retention of the live view; further ones count as unknown.
pub const LIVE_USERS_MAX: usize = 2_000_000;
/// Most live streams open at once.
pub const LIVE_STREAMS_MAX: usize = 1_000;
/// Most live streams of one tenant.
pub const LIVE_STREAMS_PER_TENANT_MAX: usize = 200;
/// Most different lengths of the live streams of one tenant: each is added up once a second.
pub const LIVE_STREAM_LENGTHS_MAX: usize = 32;
/// Messages that a reader of a live stream may lag behind before it is dropped.
pub const LIVE_LAG_MAX: usize = 64;
/// Windows announced at once; of more, readers are told to read the listing.
pub const ANNOUNCED_WINDOWS_MAX: usize = 50_000;
/// Late windows that wait to be announced; of more, readers are told to read the listing.
pub const ANNOUNCED_LATE_MAX: usize = 1_000;

/// Largest body of a request about signing in, in bytes.
pub const AUTH_BODY_BYTES_MAX: usize = 16 << 10;
/// Largest body of a request about members and invitations, in bytes.
pub const MEMBER_BODY_BYTES_MAX: usize = 16 << 10;
/// Largest body of a change of a person, in bytes.
pub const USER_BODY_BYTES_MAX: usize = 16 << 10;
/// Largest body of a request about keys and signing secrets, in bytes.
pub const KEY_BODY_BYTES_MAX: usize = 16 << 10;
/// Largest body of a request about projects, in bytes.
pub const PROJECT_BODY_BYTES_MAX: usize = 16 << 10;
/// Largest body of a request about workspaces, in bytes.
pub const WORKSPACE_BODY_BYTES_MAX: usize = 16 << 10;
/// Largest body of a change of a rate, in bytes.
pub const RATE_BODY_BYTES_MAX: usize = 1 << 10;
/// Largest body of a change of settings, in bytes.
pub const SETTINGS_BODY_BYTES_MAX: usize = 64 << 10;
/// Largest body of a change of what is encrypted, in bytes.
pub const ENCRYPTION_BODY_BYTES_MAX: usize = 64 << 10;
/// Largest body of a change of a customer, in bytes.
pub const CUSTOMER_BODY_BYTES_MAX: usize = 64 << 10;

/// Longest head of a request, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest head of a request over HTTP/2, in bytes of its names and values, 32 counted with each.
pub const HTTP2_HEAD_BYTES_MAX: usize = 16 << 10;
/// Most fields in the head of a request.
pub const HEAD_FIELDS_MAX: usize = 100;
/// Length up to which the head of a request takes nothing of [`HEADS_BYTES_MAX`], in bytes.
pub const HEAD_BYTES_FREE: usize = 4 << 10;
/// Memory of all longer heads together, from their first byte until their request is answered, in bytes.
pub const HEADS_BYTES_MAX: usize = 32 << 20;
/// Connections on top of [`Limits::connections_max`], on which only probes and metrics are answered.
pub const PROBE_CONNECTIONS_MAX: usize = 64;
/// How long a clock has to be off by the same before it is believed, and how often small steps of it become
/// what is expected.
pub const CLOCK_HELD_FOR: Duration = Duration::from_secs(5 * 60);
/// How long a retention that is new or shorter waits before it drops anything, unless it is set.
pub const RETENTION_DELAY: Duration = Duration::from_secs(24 * 3_600);
/// How long a process may not know what another one has changed in the register of workspaces, people and keys.
pub const REGISTER_STALENESS_MAX: Duration = Duration::from_secs(30);
/// Shortest time between two looks at the register for a credential that is unknown here: another process may just have
/// made it.
pub const REGISTER_SEEK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest that a request waits for such a look.
pub const REGISTER_SEEK_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long keys, signing secrets, sessions, invitations, resets of passwords and keys of access tokens are kept after
/// they have ended.
pub const ENDED_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long what a request with an `Idempotency-Key` has made is remembered.
pub const CREATION_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Records that are removed from the register in one transaction.
pub const REMOVED_AT_ONCE_MAX: usize = 500;
/// How exactly it is known when a key was last used.
pub const KEY_USE_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is stored when keys were last used: a crash forgets that much.
pub const KEY_USES_STORED_EVERY: Duration = Duration::from_secs(5 * 60);
/// Uses of keys that are stored in one transaction.
pub const KEY_USES_AT_ONCE_MAX: usize = 1_000;
/// Most keys of one workspace that were not revoked.
pub const KEYS_MAX: usize = 100_000;
/// Most keys of one workspace, with those that have ended and are kept for [`ENDED_KEPT`].
pub const KEYS_KEPT_MAX: usize = 2 * KEYS_MAX;
/// Most signing secrets of one workspace that were not revoked.
pub const SECRETS_MAX: usize = 1_000;
/// Most signing secrets of one workspace, with those that have ended and are kept for [`ENDED_KEPT`].
pub const SECRETS_KEPT_MAX: usize = 10 * SECRETS_MAX;
/// Most open invitations of one workspace.
pub const INVITATIONS_MAX: usize = 10_000;
/// Most invitations of one workspace, with those that have ended and are kept for [`ENDED_KEPT`].
pub const INVITATIONS_KEPT_MAX: usize = 2 * INVITATIONS_MAX;
/// Most signing secrets that are kept decrypted.
pub const SECRETS_OPENED_MAX: usize = 1_000;
/// Addresses whose requests without a credential are counted each by itself; further ones share one count.
pub const RATE_ADDRESSES_MAX: usize = 100_000;
/// Credentials, and workspaces, whose requests are counted each by itself; further ones share one count.
pub const RATE_CALLERS_MAX: usize = 1_000_000;
/// How long after the last request a count is kept.
pub const RATE_IDLE: Duration = Duration::from_secs(10 * 60);
/// The time for which a rate may be used at once by who has used nothing of it before.
pub const RATE_BURST: Duration = Duration::from_secs(10);
/// Largest bound within which a clock is believed at once, in microseconds; the time between two small steps that
/// are taken over, [`CLOCK_HELD_FOR`], is not below it.
pub const CLOCK_DRIFT_US_MAX: i64 = 5 * 60 * 1_000_000;

/// 1980-01-02T00:00:00Z, a day after the zero time of old file systems: what comes before it is the zero of
/// some clock or a year that is missing digits.
pub const TIME_MIN_DEFAULT: Timestamp = Timestamp::from_micros(315_619_200 * 1_000_000);
/// Longest part of a structured query in PostgreSQL that reads events one by one.
pub const LEDGER_STREAM_MAX: Duration = Duration::from_secs(10);
/// Connections that one server takes to PostgreSQL for its catalog.
pub const POSTGRES_CONNECTIONS_MAX: u32 = 8;
/// Longest wait for a connection to PostgreSQL.
pub const POSTGRES_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest statement in PostgreSQL, but for those of the schema.
pub const POSTGRES_STATEMENT_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a lock in PostgreSQL.
pub const POSTGRES_LOCK_MAX: Duration = Duration::from_secs(10);
/// How long a transaction in PostgreSQL may stand still, which others may wait for.
pub const POSTGRES_IDLE_MAX: Duration = Duration::from_secs(10);
/// For how long a replica is waited for to have what was written before a question.
pub const POSTGRES_REPLICA_WAIT_MAX: Duration = Duration::from_millis(500);
/// Events of one transaction of the ledger in PostgreSQL, unless one record alone has more.
pub const LEDGER_BATCH_EVENTS_MAX: usize = 10_000;
/// Bytes of the records of one transaction of the ledger in PostgreSQL, unless one record alone has more.
pub const LEDGER_BATCH_BYTES_MAX: usize = 16 << 20;
/// Records of one transaction of the ledger in PostgreSQL.
pub const LEDGER_BATCH_RECORDS_MAX: usize = 2_000;
/// Tries of a record that fails for its own sake, after which the ledger in PostgreSQL gives it up.
pub const LEDGER_ATTEMPTS_MAX: i16 = 3;
/// Tries of a record that have ended with the process, after which the ledger in PostgreSQL gives it up. Whoever kills a
/// process leaves the same traces, so this is more than any series of kills is likely to meet one record.
pub const LEDGER_ENDS_MAX: i16 = 100;
/// Records whose attempts the ledger in PostgreSQL looks at when it is opened.
pub const LEDGER_ATTEMPTS_READ_MAX: i64 = 10_000;
/// For how long a process takes a bucket of the ledger in PostgreSQL, unless it renews that.
pub const LEDGER_LEASE: Duration = Duration::from_secs(10);
/// Longest lookup of ids in PostgreSQL whose answer is a hint.
pub const LEDGER_HINT_WAIT_MAX: Duration = Duration::from_secs(1);
/// Users that the writer of the ledger in PostgreSQL keeps the numbers of; then it asks for them again.
pub const LEDGER_USERS_KEPT_MAX: usize = 2_000_000;
/// Sets of users on a day that the writer of the ledger in PostgreSQL keeps.
pub const LEDGER_USER_DAYS_KEPT_MAX: usize = 50_000;
/// Rows of one tenant's new sets of users in PostgreSQL that are folded into those of its days.
pub const LEDGER_DELTAS_MAX: u32 = 32;
/// Rows of new sets of users in PostgreSQL that one transaction folds.
pub const LEDGER_DELTAS_FOLDED_MAX: u32 = 1_000;
/// Memory for what the writer of a bucket of the ledger in PostgreSQL has seen of the keys of one table.
pub const LEDGER_SEEN_BYTES_MAX: usize = 64 << 20;
/// For how long what became of a record is told from the ledger in PostgreSQL, in hours.
pub const LEDGER_RECEIPTS_HOURS: i32 = 24;
/// The shortest and the longest wait of who waits for a receipt from PostgreSQL before the next look at it; a commit of the
/// ledger ends it.
pub const LEDGER_RECEIPT_LOOKS: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

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
    /// The earliest time that an event may have.
    pub time_min: Timestamp,
    /// How far in the future an event's time may lie, in microseconds.
    pub future_us_max: i64,
    /// How old an event may be on arrival, in microseconds; `None` accepts the whole past.
    pub lateness_us_max: Option<i64>,
    /// By how much the machine's clock may differ from the time that is trusted, in microseconds: at most
    /// [`CLOCK_DRIFT_US_MAX`].
    pub clock_drift_us_max: i64,
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
    /// Longest wait for a request's head.
    pub header_timeout: Duration,
    /// Longest wait for a request's whole body.
    pub body_timeout: Duration,
    /// Longest silence on a kept-alive connection.
    pub idle_timeout: Duration,
    /// Most connections open at once.
    pub connections_max: usize,
    /// Longest that `?wait=applied` holds a request.
    pub wait_applied_max: Duration,
    /// How much may come in a second.
    pub rates: ServerRates,
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
            time_min: TIME_MIN_DEFAULT,
            future_us_max: 120 * 1_000_000,
            lateness_us_max: None,
            clock_drift_us_max: 60 * 1_000_000,
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
            rates: ServerRates::default(),
        }
    }
}
